//! How a peer behaves under real traffic: when it is ejected for failing, and how it comes back. Its health checks are another matter;
//! a peer may pass all of them and fail every request.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Share;
use super::fault::{Fault, Outcome};
use super::lock;

/// When a peer is ejected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EjectOptions {
    /// So many failures in a row; at least 1.
    pub after: u32,
    /// For so long nothing is sent to it; then one request after the other shows whether it is well again.
    pub span: Duration,
    /// At most this part of the peers that are up is ejected, though always one where there are two.
    pub share: Share,
    /// When fewer than this part of all peers could be sent to, nobody counts as ejected: those left would only be next.
    pub panic: Share,
}

impl Default for EjectOptions {
    fn default() -> Self {
        let (share, panic) = (Share::percent(50), Share::percent(25));
        EjectOptions { after: 5, span: Duration::from_secs(10), share, panic }
    }
}

/// Why a peer is ejected. The two are counted apart: a peer that can't be reached and one that has errors need different people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No connection, no answer, or none that can be used.
    Failures,
    /// Answers with a server error.
    Errors,
}

/// What is known of one peer of a service, whatever pool it is in.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    /// In a row.
    failures: AtomicU32,
    errors: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    standing: Standing,
    /// An operator wants no new requests to go to it.
    is_drained: bool,
    /// When it began, or came back, beside others that were there already.
    joined: Option<Instant>,
}

/// Whether requests are sent to a peer, as far as its conduct is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Trusted,
    Ejected {
        until: Instant,
    },
    /// Its time is over: one request at a time shows how it is.
    HalfOpen {
        since: Instant,
        is_probed: bool,
    },
}

/// What a request says of the peer that it was sent to.
fn verdict(outcome: Outcome) -> Option<Result<(), Cause>> {
    match outcome {
        // What it does not know how to do is no sign of being unwell (RFC 9110, 15.6.2).
        Outcome::Answered(status) if status.is_server_error() && status.as_u16() != 501 => Some(Err(Cause::Errors)),
        Outcome::Answered(_) => Some(Ok(())),
        Outcome::Failed(Fault::ReplyTooLarge) => Some(Ok(())),
        Outcome::Failed(_) => Some(Err(Cause::Failures)),
        Outcome::Abandoned => None,
    }
}

impl Cause {
    /// Every value of the label `cause`, in the order of the variants.
    pub(super) const LABELS: [&str; 2] = ["failures", "errors"];
}

impl Conduct {
    /// Takes in how a request ended. The answer is why the peer should be ejected, if it should.
    pub(super) fn note(&self, outcome: Outcome, after: u32) -> Option<Cause> {
        // Nearly always all is well and was before: then nothing is written that other threads would have to fetch.
        let clear = |count: &AtomicU32| {
            if count.load(Relaxed) > 0 {
                count.store(0, Relaxed);
            }
        };
        let (count, cause) = match verdict(outcome)? {
            Ok(()) => {
                clear(&self.failures);
                clear(&self.errors);
                return None;
            }
            Err(cause @ Cause::Failures) => (&self.failures, cause),
            Err(cause @ Cause::Errors) => {
                clear(&self.failures);
                (&self.errors, cause)
            }
        };
        (count.fetch_add(1, Relaxed) + 1 >= after).then_some(cause)
    }

    pub(super) fn standing(&self) -> Standing {
        lock(&self.state).standing
    }

    /// No more than that: `now` on, for so long.
    pub(super) fn eject(&self, now: Instant, span: Duration) {
        self.forget();
        lock(&self.state).standing = Standing::Ejected { until: now + span };
    }

    /// Lets a peer whose time is over show how it is.
    pub(super) fn tick(&self, now: Instant) {
        let mut state = lock(&self.state);
        if let Standing::Ejected { until } = state.standing
            && until <= now
        {
            state.standing = Standing::HalfOpen { since: now, is_probed: false };
        }
    }

    /// Whether this request may show how the peer is: one at a time, and one that can be sent elsewhere if it fails. Where no such
    /// request comes for as long as the peer was ejected, any.
    pub(super) fn probe(&self, now: Instant, is_repeatable: bool, patience: Duration) -> bool {
        match &mut lock(&self.state).standing {
            Standing::HalfOpen { since, is_probed } if !*is_probed && (is_repeatable || *since + patience <= now) => {
                *is_probed = true;
                true
            }
            _ => false,
        }
    }

    /// How such a request ended; `None`: nobody knows. Whether the peer's standing is another one now.
    pub(super) fn probed(&self, now: Instant, outcome: Option<Outcome>, span: Duration) -> bool {
        let mut state = lock(&self.state);
        let Standing::HalfOpen { is_probed, .. } = &mut state.standing else { return false };
        match outcome.and_then(verdict) {
            None => {
                *is_probed = false;
                return false;
            }
            Some(Ok(())) => (state.standing, state.joined) = (Standing::Trusted, Some(now)),
            Some(Err(_)) => state.standing = Standing::Ejected { until: now + span },
        }
        drop(state);
        self.forget();
        true
    }

    /// It comes, or comes back, while others are there.
    pub(super) fn join(&self, now: Instant) {
        self.forget();
        let mut state = lock(&self.state);
        (state.standing, state.joined) = (Standing::Trusted, Some(now));
    }

    pub(super) fn joined(&self) -> Option<Instant> {
        lock(&self.state).joined
    }

    /// Whether it is drained, from now on. The answer is whether that is new.
    pub(super) fn drain(&self, is_drained: bool) -> bool {
        std::mem::replace(&mut lock(&self.state).is_drained, is_drained) != is_drained
    }

    pub(super) fn is_drained(&self) -> bool {
        lock(&self.state).is_drained
    }

    fn forget(&self) {
        self.failures.store(0, Relaxed);
        self.errors.store(0, Relaxed);
    }
}

/// How much of its share a peer gets that joined a while ago: from a tenth, so that it is seen at all, to everything.
pub(super) fn warmth(since: Duration, slow_start: Duration) -> f64 {
    match slow_start.is_zero() {
        true => 1.0,
        false => (since.as_secs_f64() / slow_start.as_secs_f64()).clamp(0.1, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    /// `.` a success, `x` no answer, `5` a 500, `0` a 501, `-` a client that left → after which it is ejected, and why.
    fn check(outcomes: &str, expected: Option<(usize, Cause)>) {
        let conduct = Conduct::default();
        let found = outcomes.chars().enumerate().find_map(|(at, letter)| {
            let answered = |status| Outcome::Answered(StatusCode::from_u16(status).expect("a status"));
            let outcome = match letter {
                '.' => answered(200),
                'x' => Outcome::Failed(Fault::Reset),
                '5' => answered(500),
                '0' => answered(501),
                'l' => Outcome::Failed(Fault::ReplyTooLarge),
                _ => Outcome::Abandoned,
            };
            conduct.note(outcome, 3).map(|cause| (at + 1, cause))
        });
        assert_eq!(found, expected, "{outcomes}");
    }

    #[test]
    fn so_many_failures_in_a_row_eject_and_each_kind_counts_for_itself() {
        check("xxx", Some((3, Cause::Failures)));
        check("555", Some((3, Cause::Errors)));
        check("xx.xx.xx", None);
        check("55.55", None);
        check("xx5xx", None);
        check("5x5x5", Some((5, Cause::Errors)));
        check("xx-x", Some((4, Cause::Failures)));
        check("xx0x", None);
        check("xxlx", None);
    }

    #[test]
    fn an_ejected_peer_comes_back_by_one_request_that_went_well() {
        let (conduct, begin, span) = (Conduct::default(), Instant::now(), Duration::from_secs(10));
        let after = |seconds| begin + Duration::from_secs(seconds);
        let well = Some(Outcome::Answered(StatusCode::OK));
        conduct.eject(begin, span);
        conduct.tick(after(9));
        assert!(!conduct.probe(after(9), true, span), "its time is not over");
        conduct.tick(after(10));
        assert!(!conduct.probe(after(10), false, span), "what can't be repeated is not risked");
        assert!(conduct.probe(after(10), true, span));
        assert!(!conduct.probe(after(10), true, span), "one at a time");
        assert!(!conduct.probed(after(11), None, span), "a client that left says nothing");
        assert!(conduct.probe(after(11), true, span));
        assert!(conduct.probed(after(11), Some(Outcome::Failed(Fault::Timeout)), span));
        assert_eq!(conduct.standing(), Standing::Ejected { until: after(21) });
        conduct.tick(after(21));
        assert!(!conduct.probe(after(30), false, span));
        assert!(conduct.probe(after(31), false, span), "nothing else came for as long as it was ejected");
        assert!(conduct.probed(after(31), well, span));
        assert_eq!((conduct.standing(), conduct.joined()), (Standing::Trusted, Some(after(31))));
        assert!(!conduct.probed(after(32), well, span), "what was sent before says nothing any more");
    }

    #[test]
    fn what_joins_begins_with_a_tenth() {
        let warm = |seconds| warmth(Duration::from_secs(seconds), Duration::from_secs(10));
        assert_eq!([0, 1, 5, 10, 60].map(warm), [0.1, 0.1, 0.5, 1.0, 1.0]);
        assert_eq!(warmth(Duration::ZERO, Duration::ZERO), 1.0);
    }
}
