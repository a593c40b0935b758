//! Whether a request that failed at one peer is sent again. Pure: what happened goes in, and what is done comes out.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};

use super::Share;
use super::fault::Fault;

/// When a service is asked again, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RetryOptions {
    /// Attempts in all, the first one among them; 1 to [`MOST_ATTEMPTS`].
    pub attempts: u32,
    pub when: Causes,
    /// The pause before the second attempt is a random part of this; twice as much before each further one.
    pub backoff: Duration,
    /// Attempts beyond the first, as a part of all requests; see [`Budget`](super::budget::Budget).
    pub budget: Share,
}

/// What another attempt may help against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Causes {
    /// There was no connection, so that no byte of the request was sent.
    pub connect_failed: bool,
    /// Answers of the service, and our own reasons, with one of these statuses.
    pub statuses: Vec<u16>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// No byte of the request was sent.
    Unsent(Fault),
    /// The peer may have seen the request.
    Broken(Fault),
    /// With this status; and so long the peer wants to be left alone, if it says so (RFC 9110, 10.2.3).
    Answered(StatusCode, Option<Duration>),
}

/// An attempt that is over, and what is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// The number of the attempt; the first is 1.
    pub(super) attempt: u32,
    pub(super) end: End,
    /// The method is idempotent (RFC 9110, 9.2.2), and all of the body can be sent again.
    pub(super) is_repeatable: bool,
    /// Of the time for the request; `None`: it has no end.
    pub(super) left: Option<Duration>,
    /// There is a peer that was not asked yet.
    pub(super) has_other: bool,
}

/// More would only keep a client waiting for what does not come.
pub const MOST_ATTEMPTS: u32 = 10;

/// Nobody is kept waiting longer for the sake of a `Retry-After`: the answer that says it is passed on instead.
const LONGEST: Duration = Duration::from_secs(2);

impl Default for RetryOptions {
    fn default() -> Self {
        RetryOptions {
            attempts: 3,
            when: Causes { connect_failed: true, statuses: vec![502, 503, 504] },
            backoff: Duration::from_millis(50),
            budget: Share::percent(20),
        }
    }
}

impl RetryOptions {
    /// One attempt and no more.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        RetryOptions { attempts: 1, ..RetryOptions::default() }
    }

    /// How long to wait before the next attempt; `None`: there is none. `random` is from 0 to 1.
    pub(super) fn pause(&self, case: &Case, random: f64) -> Option<Duration> {
        let wants = case.attempt < self.attempts && self.when.has(case.end);
        if !wants || !(case.is_repeatable || matches!(case.end, End::Unsent(_))) {
            return None;
        }
        // Who was silent for all the time that a peer may take is not asked a second time.
        if case.end == End::Broken(Fault::Timeout) && !case.has_other {
            return None;
        }
        // All of the pause is chance ("full jitter"): those that failed together do not come back together.
        let jitter = self.backoff.saturating_mul(1 << (case.attempt - 1).min(16)).mul_f64(random);
        let pause = match case.end {
            // Whoever asked to be left alone is; somebody else may be asked.
            End::Answered(_, Some(after)) if !case.has_other => jitter.max(after),
            _ => jitter,
        };
        (pause <= LONGEST.max(jitter) && case.left.is_none_or(|left| pause < left)).then_some(pause)
    }
}

/// How long whoever answered this wants to be left alone: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default()),
    }
}

impl Causes {
    /// Whether another attempt is wanted after such an end.
    pub(super) fn has(&self, end: End) -> bool {
        match end {
            End::Unsent(fault) => self.connect_failed || self.has_status(fault),
            End::Broken(fault) => self.has_status(fault),
            End::Answered(status, _) => self.statuses.contains(&status.as_u16()),
        }
    }

    /// By the status of the reason that a client would be told.
    fn has_status(&self, fault: Fault) -> bool {
        let status = match fault {
            Fault::Refused | Fault::Reset | Fault::Garbage => 502,
            Fault::Timeout => 504,
            // There is no time for another one; it would be as large.
            Fault::Deadline | Fault::ReplyTooLarge => return false,
        };
        self.statuses.contains(&status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use End::{Answered, Broken, Unsent};

    const GET: bool = true;
    const POST: bool = false;

    fn case(attempt: u32, end: End, is_repeatable: bool) -> Case {
        Case { attempt, end, is_repeatable, left: Some(Duration::from_secs(10)), has_other: true }
    }

    fn status(status: u16) -> End {
        Answered(StatusCode::from_u16(status).expect("a status"), None)
    }

    /// An attempt that failed → the longest pause in milliseconds before the next one.
    #[track_caller]
    fn check(options: &RetryOptions, case: Case, expected: Option<u64>) {
        assert_eq!(options.pause(&case, 1.0), expected.map(Duration::from_millis), "{case:?}");
    }

    #[test]
    fn only_what_may_be_repeated_is_sent_again_and_anything_that_was_not_sent() {
        let usual = RetryOptions::default();
        for fault in [Fault::Reset, Fault::Garbage, Fault::Refused, Fault::Timeout] {
            check(&usual, case(1, Broken(fault), GET), Some(50));
            check(&usual, case(1, Broken(fault), POST), None);
            check(&usual, case(1, Unsent(fault), GET), Some(50));
            check(&usual, case(1, Unsent(fault), POST), Some(50));
        }
        for answered in [502, 503, 504] {
            check(&usual, case(1, status(answered), GET), Some(50));
            check(&usual, case(1, status(answered), POST), None);
        }
        for answered in [200, 404, 429, 500, 501] {
            check(&usual, case(1, status(answered), GET), None);
        }
        check(&usual, case(1, Broken(Fault::Deadline), GET), None);
        check(&usual, case(1, Broken(Fault::ReplyTooLarge), GET), None);
    }

    #[test]
    fn the_file_says_how_often_and_against_what() {
        let usual = RetryOptions::default();
        check(&usual, case(2, Broken(Fault::Reset), GET), Some(100));
        check(&usual, case(3, Broken(Fault::Reset), GET), None);
        check(&RetryOptions::never(), case(1, Unsent(Fault::Refused), GET), None);
        let only = |connect_failed, statuses: &[u16]| RetryOptions {
            when: Causes { connect_failed, statuses: statuses.to_vec() },
            ..RetryOptions::default()
        };
        check(&only(true, &[]), case(1, Unsent(Fault::Timeout), GET), Some(50));
        check(&only(true, &[]), case(1, Broken(Fault::Reset), GET), None);
        check(&only(false, &[502]), case(1, Unsent(Fault::Refused), POST), Some(50));
        check(&only(false, &[502]), case(1, Unsent(Fault::Timeout), POST), None);
        check(&only(false, &[504]), case(1, Broken(Fault::Timeout), GET), Some(50));
        check(&only(false, &[500]), case(1, status(500), GET), Some(50));
    }

    #[test]
    fn the_pause_is_a_random_part_of_the_backoff_within_the_time_of_the_request() {
        let usual = RetryOptions { attempts: 9, ..RetryOptions::default() };
        let at = |attempt, random| usual.pause(&case(attempt, Broken(Fault::Reset), GET), random);
        assert_eq!(at(1, 0.0), Some(Duration::ZERO));
        assert_eq!(at(4, 0.5), Some(Duration::from_millis(200)));
        check(&usual, Case { left: Some(Duration::from_millis(50)), ..case(1, Broken(Fault::Reset), GET) }, None);
        check(&usual, Case { left: Some(Duration::from_millis(51)), ..case(1, Broken(Fault::Reset), GET) }, Some(50));
        check(&usual, Case { left: None, ..case(1, Broken(Fault::Reset), GET) }, Some(50));
    }

    #[test]
    fn when_to_come_back_is_said_in_seconds_or_as_a_date() {
        let said =
            |text: &str| retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().expect("a value"))]));
        assert_eq!(said("2"), Some(Duration::from_secs(2)));
        assert_eq!(said("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(said("Fri, 31 Dec 9999 23:59:59 GMT") > Some(Duration::from_secs(60)));
        assert_eq!((said("soon"), said("-1"), retry_after(&HeaderMap::new())), (None, None, None));
    }

    #[test]
    fn a_peer_that_was_silent_or_asks_to_be_left_alone_is() {
        let usual = RetryOptions::default();
        let alone = |end| Case { has_other: false, ..case(1, end, GET) };
        check(&usual, alone(Broken(Fault::Timeout)), None);
        check(&usual, alone(Unsent(Fault::Timeout)), Some(50));
        let wait = |seconds| Answered(StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(seconds)));
        check(&usual, alone(wait(1)), Some(1000));
        check(&usual, alone(wait(2)), Some(2000));
        check(&usual, alone(wait(3)), None);
        check(&usual, case(1, wait(3), GET), Some(50));
        check(&usual, Case { left: Some(Duration::from_millis(900)), ..alone(wait(1)) }, None);
    }
}
