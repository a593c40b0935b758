//! One request to a service, over all of its attempts: it has a place, a peer, and so much time. Streamed and buffered requests go this
//! way alike, so that both are tried again by the same rules and counted by the same numbers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, StatusCode};
use smallvec::SmallVec;

use super::fault::{CallError, Outcome};
use super::gate::{Permit, Priority};
use super::lineup::Wish;
use super::peer::{Peer, Picked};
use super::pool::Pool;
use super::retry::{Case, End};

/// Tells a service which attempt this is, from the second one on.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-hilum-attempts");

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Requests with the same key go to the same peer, where the service is balanced so.
    pub key: Option<u64>,
    pub priority: Priority,
    /// Of the method that is sent (RFC 9110, 9.2.2).
    pub is_idempotent: bool,
    /// Of all attempts together; `None`: there is none.
    pub deadline: Option<Instant>,
    /// Nothing of the request is still to come from the client. Otherwise [`Attempts::enter`] is called when it is so.
    pub is_complete: bool,
}

/// A request on its way. Dropped, it has been given up, and that is counted.
pub struct Attempts {
    pool: Arc<Pool>,
    asking: Asking,
    picked: Picked,
    /// When this attempt began.
    since: Instant,
    number: u32,
    /// The peers of the attempts before.
    met: SmallVec<[SocketAddr; 3]>,
    /// Before the next one.
    pause: Duration,
    answered: Option<(StatusCode, Duration)>,
    /// A kept connection of this attempt was closed already, and a fresh one is used.
    is_renewed: bool,
    /// How this attempt ended was counted.
    is_told: bool,
    /// A place at the service: from when the request is complete until its answer begins, so while it is the service's turn. A client
    /// that is slow to send or to take keeps nobody else out.
    permit: Option<Permit>,
}

/// What a further attempt led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retried {
    /// To an answer that is passed on.
    Answered,
    Failed,
    /// Nobody waited any more.
    Abandoned,
    /// It was wanted, and there were too many.
    OverBudget,
}

impl Retried {
    /// Every value of the label `result`, in the order of the variants.
    pub(super) const LABELS: [&str; 4] = ["answered", "failed", "abandoned", "over_budget"];
}

impl Attempts {
    /// A place at the service, if the request is complete, and the peer of the first attempt.
    ///
    /// # Errors
    /// There is no peer, or too much to do.
    pub async fn begin(pool: &Arc<Pool>, asking: Asking) -> Result<Attempts, CallError> {
        // A service without a peer has no place to wait for.
        if !pool.has_peer() {
            return Err(CallError::NoHealthyPeer);
        }
        let (service, limits) = (pool.service(), &pool.options().limits);
        let permit = match asking.is_complete {
            true => Some(service.gate.enter(limits, asking.priority, asking.deadline).await),
            // Who would not be let in now is told before it sends all the rest.
            false => service.gate.check(limits, asking.priority).err().map(Err),
        };
        let permit = permit.transpose().map_err(|_| CallError::Overloaded)?;
        service.budget.pay(pool.options().retry.budget);
        let wish = Wish { key: asking.key, not: &[], is_repeatable: asking.is_idempotent && asking.is_complete };
        let picked = pool.pick(&wish).ok_or(CallError::NoHealthyPeer)?;
        Ok(Attempts {
            pool: pool.clone(),
            asking,
            picked,
            since: Instant::now(),
            number: 1,
            met: SmallVec::new(),
            pause: Duration::ZERO,
            answered: None,
            is_renewed: false,
            is_told: false,
            permit,
        })
    }

    /// Whom this attempt asks.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.picked.peer
    }

    /// The first one is 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The status that the peer answered with, and when.
    pub fn status(&self) -> Option<StatusCode> {
        self.answered.map(|(status, _)| status)
    }

    /// The request is complete, and it is the service's turn.
    ///
    /// # Errors
    /// There is too much to do; the end of the request must not reach the service.
    pub async fn enter(&mut self) -> Result<(), CallError> {
        // It may have been answered before it was complete, or be sent again.
        if self.permit.is_none() && self.answered.is_none() {
            let gate = &self.pool.service().gate;
            let entered = gate.enter(&self.pool.options().limits, self.asking.priority, self.asking.deadline).await;
            self.permit = Some(entered.map_err(|_| CallError::Overloaded)?);
        }
        Ok(())
    }

    /// The head of an answer has come.
    pub fn answer(&mut self, status: StatusCode) {
        self.answered = Some((status, self.since.elapsed()));
        self.permit = None;
    }

    /// Whether an answer with this status would be asked for again.
    pub fn is_wanted_again(&self, status: StatusCode) -> bool {
        self.pool.options().retry.when.has(End::Answered(status, None))
    }

    /// A kept connection turned out to be closed: whether a fresh one to the same peer is tried, which is no attempt of its own.
    pub fn renews(&mut self) -> bool {
        self.asking.is_idempotent && !std::mem::replace(&mut self.is_renewed, true)
    }

    /// This attempt is over. Whether there is another one, whose peer is chosen then; see [`Attempts::pause`]. `is_whole`: all of the
    /// body can be sent again.
    pub fn goes_on_after(&mut self, end: End, is_whole: bool) -> bool {
        let outcome = match end {
            End::Unsent(fault) | End::Broken(fault) => Outcome::Failed(fault),
            End::Answered(status, _) => Outcome::Answered(status),
        };
        let pool = self.pool.clone();
        let retry = &pool.options().retry;
        let has_failed = matches!(outcome, Outcome::Failed(_)) || retry.when.has(end);
        self.tell(outcome, if has_failed { Retried::Failed } else { Retried::Answered });
        let mut met = self.met.clone();
        met.push(self.picked.peer.address());
        let case = Case {
            attempt: self.number,
            end,
            is_repeatable: self.asking.is_idempotent && is_whole,
            left: self.asking.deadline.map(|at| at.saturating_duration_since(Instant::now())),
            has_other: pool.has_peer_but(&met),
        };
        let Some(pause) = retry.pause(&case, rand::random()) else { return false };
        let service = pool.service();
        if !service.budget.take() {
            service.series.retried(Retried::OverBudget);
            return false;
        }
        let wish = Wish { key: self.asking.key, not: &met, is_repeatable: case.is_repeatable };
        // Rather one that it has met already than none.
        let next = pool.pick(&wish).or_else(|| pool.pick(&Wish { not: &[], ..wish }));
        let Some(next) = next else { return false };
        (self.picked, self.met, self.pause) = (next, met, pause);
        (self.answered, self.is_renewed, self.is_told) = (None, false, false);
        self.number += 1;
        true
    }

    /// Waits before an attempt that is not the first.
    pub async fn pause(&mut self) {
        let pause = std::mem::take(&mut self.pause);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.since = Instant::now();
    }

    /// The request is over, as the last attempt ended.
    pub fn end(&mut self, outcome: Outcome) {
        let retried = match outcome {
            Outcome::Answered(_) => Retried::Answered,
            Outcome::Failed(_) => Retried::Failed,
            Outcome::Abandoned => Retried::Abandoned,
        };
        self.tell(outcome, retried);
    }

    fn tell(&mut self, outcome: Outcome, retried: Retried) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        if self.number > 1 {
            self.pool.service().series.retried(retried);
        }
        // Of an answer, what counts is when it began; a client may take its time to read it.
        let took = match (outcome, self.answered) {
            (Outcome::Answered(_), Some((_, took))) => took,
            _ => self.since.elapsed(),
        };
        self.pool.observe(&mut self.picked, outcome, took);
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.end(Outcome::Abandoned);
    }
}
