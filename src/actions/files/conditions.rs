//! Conditional requests and ranges (RFC 9110, 13 and 14): what of a file a client wants, given what it has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, header};

/// The headers by which a client says what it wants and has.
pub const HEADERS: [HeaderName; 6] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Range {
    Whole,
    /// Both ends are sent.
    Part {
        from: u64,
        to: u64,
    },
    Unsatisfiable,
}

/// One range of bytes (RFC 9110, 14.1.2). Several ranges, other units and nonsense are ignored, as the RFC allows.
pub(super) fn parse_range(text: &str, len: u64) -> Range {
    let Some((first, last)) =
        text.strip_prefix("bytes=").filter(|r| !r.contains(',')).and_then(|r| r.trim().split_once('-'))
    else {
        return Range::Whole;
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().unwrap_or(u64::MAX));
    match (first, last, number(first), number(last)) {
        ("", "", ..) | (.., None) | (_, _, None, _) => Range::Whole,
        ("", _, _, Some(0)) => Range::Unsatisfiable,
        ("", _, _, Some(_)) if len == 0 => Range::Unsatisfiable,
        ("", _, _, Some(suffix)) => Range::Part { from: len.saturating_sub(suffix), to: len - 1 },
        (_, _, Some(from), _) if from >= len => Range::Unsatisfiable,
        (_, "", Some(from), _) => Range::Part { from, to: len - 1 },
        (_, _, Some(from), Some(to)) if to < from => Range::Whole,
        (_, _, Some(from), Some(to)) => Range::Part { from, to: to.min(len - 1) },
    }
}

pub(super) enum Verdict {
    Send,
    Unchanged,
    Failed,
}

pub(super) struct Conditions<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) etag: &'a str,
    pub(super) modified: SystemTime,
}

impl Conditions<'_> {
    /// In the order of RFC 9110, 13.2.2.
    pub(super) fn verdict(&self) -> Verdict {
        if self.headers.contains_key(header::IF_MATCH) {
            if !self.lists(&header::IF_MATCH, false) {
                return Verdict::Failed;
            }
        } else if let Some(since) = self.date(&header::IF_UNMODIFIED_SINCE)
            && self.whole_seconds() > since
        {
            return Verdict::Failed;
        }
        if self.headers.contains_key(header::IF_NONE_MATCH) {
            if self.lists(&header::IF_NONE_MATCH, true) {
                return Verdict::Unchanged;
            }
        } else if let Some(since) = self.date(&header::IF_MODIFIED_SINCE)
            && self.whole_seconds() <= since
        {
            return Verdict::Unchanged;
        }
        Verdict::Send
    }

    /// A range is sent only of the version that the client has the rest of (RFC 9110, 13.1.5).
    pub(super) fn range_holds(&self) -> bool {
        match self.text(&header::IF_RANGE) {
            None => true,
            Some(tag) if tag.starts_with('"') => tag == self.etag,
            Some(_) => self.date(&header::IF_RANGE) == Some(self.whole_seconds()),
        }
    }

    /// Whether this version is in the list, which may stand in several lines (RFC 9110, 5.3).
    fn lists(&self, name: &HeaderName, weak: bool) -> bool {
        let lines = self.headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        lines
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag == self.etag || (weak && tag.strip_prefix("W/") == Some(self.etag)))
    }

    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn date(&self, name: &HeaderName) -> Option<SystemTime> {
        httpdate::parse_http_date(self.text(name)?).ok()
    }

    /// HTTP's dates have no fractions.
    fn whole_seconds(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.modified.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
    }
}
