//! What became of requests: one by one, and summed up.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// 2xx, and the body is its own.
    Good,
    /// 4xx but 429.
    Refusal,
    /// 429 or 503 with `Retry-After`.
    Shed,
    /// Another 5xx.
    Failure,
    /// The connection was refused: nothing was sent.
    Refused,
    /// The connection ended before a byte of the answer, and it had not been said that it would.
    NoAnswer,
    /// It ended amid the answer.
    HalfAnswer,
    /// The client gave up.
    Late,
    /// Another request's body, a part of one, or no HTTP at all.
    Wrong,
}

#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) class: Class,
    /// 0 without an answer.
    pub(crate) status: u16,
    /// Hilum's reason, if it gave one.
    pub(crate) reason: String,
    pub(crate) sets_cookie: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Since the begin of the load.
    pub(crate) due: Duration,
    /// From when it was due, not from when it was sent: who waits for a slow gateway waits.
    pub(crate) took: Duration,
    /// Which line of the plan it belongs to, by name.
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// Requests of one time, or of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records(pub(crate) Vec<Record>);

impl Outcome {
    pub(crate) fn of(class: Class) -> Outcome {
        Outcome { class, status: 0, reason: String::new(), sets_cookie: false }
    }
}

impl Record {
    pub(crate) fn is(&self, class: Class) -> bool {
        self.outcome.class == class
    }

    /// It was sent, and there is no whole answer.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.outcome.class, Class::NoAnswer | Class::HalfAnswer | Class::Late | Class::Wrong)
    }
}

impl Records {
    /// Those that were due in this time.
    pub(crate) fn due(&self, when: Range<Duration>) -> Records {
        self.those(|record| when.contains(&record.due))
    }

    /// Those of lines whose name begins like this.
    pub(crate) fn named(&self, name: &str) -> Records {
        self.those(|record| record.name.starts_with(name))
    }

    pub(crate) fn those(&self, are: impl Fn(&Record) -> bool) -> Records {
        Records(self.0.iter().filter(|record| are(record)).cloned().collect())
    }

    pub(crate) fn sent(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn count(&self, are: impl Fn(&Record) -> bool) -> usize {
        self.0.iter().filter(|record| are(record)).count()
    }

    pub(crate) fn good(&self) -> usize {
        self.count(|record| record.is(Class::Good))
    }

    pub(crate) fn bad(&self) -> usize {
        self.sent() - self.good()
    }

    pub(crate) fn lost(&self) -> usize {
        self.count(Record::is_lost)
    }

    /// The time within which so large a part of them had their answer.
    pub(crate) fn took(&self, part: f64) -> Duration {
        let mut all: Vec<Duration> = self.0.iter().map(|record| record.took).collect();
        all.sort_unstable();
        let at = ((all.len() as f64 * part).ceil() as usize).clamp(1, all.len().max(1)) - 1;
        all.get(at).copied().unwrap_or_default()
    }

    /// What became of those that are not good, in words.
    pub(crate) fn told(&self) -> String {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for record in self.0.iter().filter(|record| !record.is(Class::Good)) {
            let Outcome { class, status, reason, .. } = &record.outcome;
            let status = if *status == 0 { String::new() } else { format!(" {status}") };
            let reason = if reason.is_empty() { String::new() } else { format!(" {reason}") };
            *kinds.entry(format!("{} {class:?}{status}{reason}", record.name)).or_default() += 1;
        }
        kinds.iter().map(|(kind, number)| format!("{number} {kind}")).collect::<Vec<_>>().join(", ")
    }
}
