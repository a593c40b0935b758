//! One exchange as its layer and its hooks share it: when it is overdue, and whose fault that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{Connection, Framing, Lent, Phase, lock};
use crate::proxy::Entrance;
use crate::refusal::Reason;

/// All hooks of a request run inside of the layer's future, so they find it by their task.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) begun: Instant,
    /// Milliseconds after `begun`; `NEVER`: none.
    deadline: AtomicU64,
    /// How long the service may be silent, in milliseconds; `NEVER`: it is not waited for.
    patience: AtomicU64,
    /// When the service last did something, or it became its turn; milliseconds after `begun`.
    since: AtomicU64,
    /// The client has sent all of its request.
    is_uploaded: AtomicBool,
    /// The client holds its body back until the service has spoken (RFC 9110, 10.1.1).
    is_held_back: AtomicBool,
    /// A hook has run, so that the log line is the proxy's business.
    pub(super) seen: AtomicBool,
    /// Bytes of its body, where no connection counts them.
    received: AtomicU64,
    stall: Duration,
    /// An [`Overdue`], or 0, of an exchange that has no connection of its own.
    pub(super) overdue: AtomicU8,
    entrance: Arc<Entrance>,
    pub(super) connection: Option<Arc<Connection>>,
}

const NEVER: u64 = u64::MAX;

/// Why an exchange is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Overdue {
    /// Its deadline passed while the client was waited for: for more of its request, or to take the answer.
    Client = 1,
    /// Its deadline passed otherwise.
    Deadline = 2,
    /// The service was silent for longer than it may be.
    Silence = 3,
}

tokio::task_local! {
    pub(super) static EXCHANGE: Arc<Exchange>;
}

impl Exchange {
    pub(super) fn new(connection: Option<Arc<Connection>>, stall: Duration, entrance: Arc<Entrance>) -> Self {
        Exchange {
            begun: Instant::now(),
            deadline: AtomicU64::new(NEVER),
            patience: AtomicU64::new(NEVER),
            since: AtomicU64::new(0),
            is_uploaded: AtomicBool::new(false),
            is_held_back: AtomicBool::new(false),
            seen: AtomicBool::new(false),
            received: AtomicU64::new(0),
            stall,
            overdue: AtomicU8::new(0),
            entrance,
            connection,
        }
    }

    /// Whether it is the client that everything waits for.
    pub(super) fn waits_for_client(&self) -> bool {
        let uploaded = self.is_uploaded.load(Relaxed) || self.is_held_back.load(Relaxed);
        match &self.connection {
            // When nobody reads from the client although it has more to send, the service does not take it.
            Some(connection) => connection.is_blocked.load(Relaxed) || (!uploaded && connection.is_read.load(Relaxed)),
            None => !uploaded,
        }
    }

    /// Bytes of the client's that have moved, both ways where the connection is its own.
    pub(super) fn moved(&self) -> u64 {
        self.connection.as_ref().map_or_else(|| self.received.load(Relaxed), |connection| connection.moved())
    }

    /// When it is overdue as things stand, and why it would be.
    pub(super) fn due(&self) -> Option<(Instant, Overdue)> {
        let at = |ms: u64| self.begun + Duration::from_millis(ms);
        let waits_for_client = self.waits_for_client();
        let deadline = Some(self.deadline.load(Relaxed)).filter(|ms| *ms != NEVER);
        let why = if waits_for_client { Overdue::Client } else { Overdue::Deadline };
        let deadline = deadline.map(|ms| (at(ms), why));
        let patience = Some(self.patience.load(Relaxed)).filter(|ms| *ms != NEVER && !waits_for_client);
        let silence = patience.map(|ms| (at(self.since.load(Relaxed).saturating_add(ms)), Overdue::Silence));
        deadline.into_iter().chain(silence).min_by_key(|(due, _)| *due)
    }

    /// Rounded up, so that a timer that fires at it is never early.
    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begun).as_millis() + 1).unwrap_or(NEVER)
    }

    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        self.deadline.store(deadline.map_or(NEVER, |at| self.ms(at)), Relaxed);
    }

    pub(super) fn set_patience(&self, patience: Option<Duration>) {
        let ms = patience.map_or(NEVER, |span| u64::try_from(span.as_millis()).unwrap_or(NEVER));
        self.patience.store(ms, Relaxed);
    }

    pub(super) fn progress(&self) {
        self.since.store(self.ms(Instant::now()), Relaxed);
    }

    /// The second step of an exchange whose first led to nothing. While it has a later deadline, that may still lead to an answer.
    pub(super) fn give_grace(&self, why: Overdue, grace: Duration) {
        let last = match self.deadline.load(Relaxed) {
            ms if why == Overdue::Silence && ms != NEVER => self.begun + Duration::from_millis(ms),
            _ => Instant::now(),
        };
        self.set_patience(None);
        self.set_deadline(Some(last + grace));
    }
}

fn with<R>(work: impl FnOnce(&Exchange) -> R) -> Option<R> {
    EXCHANGE.try_with(|exchange| work(exchange)).ok()
}

/// The head of this task's request is complete.
pub fn head_is_complete() {
    with(|exchange| {
        exchange.seen.store(true, Relaxed);
        if let Some(connection) = &exchange.connection {
            connection.enter(Phase::Busy);
            connection.fresh.is_over();
        }
    });
}

/// When this task's exchange must be over; `None`: never.
pub fn deadline(deadline: Option<Instant>) {
    with(|exchange| exchange.set_deadline(deadline));
}

/// From now on the service may be silent for so long at a time; `None`: it is not waited for. It counts only while it is the
/// service's turn.
pub fn patience(patience: Option<Duration>) {
    with(|exchange| {
        exchange.progress();
        exchange.set_patience(patience);
    });
}

/// The listener by which this task's client came in.
pub fn entrance() -> Arc<Entrance> {
    with(|exchange| exchange.entrance.clone()).unwrap_or_default()
}

/// The service did something, or was given something to do.
pub fn progress() {
    with(Exchange::progress);
}

/// So many bytes of the body have come.
pub fn received(bytes: usize) {
    with(|exchange| exchange.received.fetch_add(bytes as u64, Relaxed));
}

/// How long this task's client may be waited for in the middle of a body.
pub fn stall() -> Option<Duration> {
    with(|exchange| exchange.stall)
}

/// Whether this task waits for its client.
pub fn waits_for_client() -> bool {
    with(Exchange::waits_for_client).unwrap_or(false)
}

/// The client has sent all of its request.
pub fn is_uploaded() {
    with(|exchange| exchange.is_uploaded.store(true, Relaxed));
}

/// The client holds its body back until the service has spoken; or the service has.
pub fn is_held_back(held_back: bool) {
    with(|exchange| exchange.is_held_back.store(held_back, Relaxed));
}

/// Whether this task's exchange took too long, so that an error of its client's connection is ours, and why.
pub fn overdue() -> Option<Overdue> {
    let why = with(|exchange| exchange.connection.as_ref().map_or(&exchange.overdue, |c| &c.overdue).load(Relaxed))?;
    [Overdue::Client, Overdue::Deadline, Overdue::Silence].into_iter().find(|overdue| *overdue as u8 == why)
}

/// This task's head says how its body is framed. `None`: not in one way, and nothing that follows is a request.
///
/// # Errors
/// What has come of the body already is framed otherwise.
pub fn body_follows(head: &[u8], framing: Option<Framing>) -> Result<(), Reason> {
    let follows = |connection: &Arc<Connection>| match framing {
        Some(framing) => lock(&connection.wire).head_is_read(head, framing),
        None => {
            lock(&connection.wire).let_go();
            Err(Reason::FramingRejected)
        }
    };
    let followed = with(|exchange| exchange.connection.as_ref().map(follows)).flatten();
    followed.unwrap_or(Ok(()))
}

/// Whether this task's body broke off where its framing is not what it must be.
pub fn is_ill_framed() -> bool {
    with(|exchange| exchange.connection.as_ref().is_some_and(|c| c.is_ill_framed.load(Relaxed))).unwrap_or(false)
}

/// Hands the client's connection out. `read` must read from it, and goes on until it finds the end: what it gives before had come
/// in already. `None` for HTTP/2, which has no connection of its own.
pub async fn lend(read: impl AsyncFnOnce() -> pingora_error::Result<()>) -> pingora_error::Result<Option<Lent>> {
    let connection = with(|exchange| exchange.connection.clone()).flatten();
    let Some(connection) = connection else { return Ok(None) };
    connection.lends.store(true, Relaxed);
    read().await?;
    let stream = lock(&connection.lent).take();
    Ok(stream)
}
