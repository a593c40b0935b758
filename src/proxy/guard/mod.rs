//! The two layers around Pingora's proxy that keep time: one per connection, one per request.
//!
//! Pingora applies its timeouts to single reads, so a client that sends one byte at a time holds a connection for ever, and it
//! has no deadline over a whole exchange. The connection's own IO ([`io::GuardIo`]) sees the first byte of a head and closes
//! when the head is late or the connection idle; the request's layer ([`app::GuardedHttp`]) ends an exchange when it is overdue:
//! first its client's connection gives an error to whoever reads from it, which leads to an answer; what goes on all the same
//! is dropped a moment later.

pub mod app;
mod io;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the first byte of a head to its end.
    pub header: Duration,
    /// Without a request.
    pub idle: Duration,
}

/// How long an overdue exchange has to answer before it is dropped.
const GRACE: Duration = Duration::from_secs(1);

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Nothing has come of the next request.
    Idle = 0,
    /// A head has begun.
    Header = 1,
    /// A request is being answered; other deadlines hold.
    Busy = 2,
}

/// What the layers of one connection share.
#[derive(Debug, Default)]
struct Connection {
    phase: AtomicU8,
    timed_out: AtomicBool,
    /// The exchange took too long: reading from the client fails from now on.
    overdue: AtomicBool,
    /// The status that was written first, 0 before: all that is known of an answer that Pingora made by itself.
    status: AtomicU16,
    /// Bytes that have come in.
    received: AtomicU64,
    /// Bytes that have gone out.
    sent: AtomicU64,
    fresh: Fresh,
    /// Outlives the request: a fresh timer for each would cost a system call each.
    timer: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Connection {
    fn new(fresh: Fresh) -> Self {
        Connection { fresh, ..Connection::default() }
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }
}

/// Counts a connection until its first head is complete, or it ends.
#[derive(Debug, Default)]
struct Fresh {
    is_counted: AtomicBool,
    counter: Arc<AtomicI64>,
}

impl Fresh {
    fn count(counter: &Arc<AtomicI64>) -> Self {
        counter.fetch_add(1, Relaxed);
        Fresh { is_counted: AtomicBool::new(true), counter: counter.clone() }
    }

    fn is_over(&self) {
        if self.is_counted.swap(false, Relaxed) {
            self.counter.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.is_over();
    }
}

/// What the layer of one request and its hooks share. All hooks of a request run inside the layer's future.
#[derive(Debug)]
pub struct Exchange {
    begun: Instant,
    /// Milliseconds after `begun`; `u64::MAX`: never.
    due: AtomicU64,
    /// A hook has run, so that the log line is the proxy's business.
    seen: AtomicBool,
    connection: Option<Arc<Connection>>,
}

tokio::task_local! {
    static EXCHANGE: Arc<Exchange>;
}

impl Exchange {
    fn new(connection: Option<Arc<Connection>>) -> Self {
        Exchange { begun: Instant::now(), due: AtomicU64::new(u64::MAX), seen: AtomicBool::new(false), connection }
    }

    fn due(&self) -> Option<Instant> {
        match self.due.load(Relaxed) {
            u64::MAX => None,
            ms => Some(self.begun + Duration::from_millis(ms)),
        }
    }

    fn set_due(&self, due: Option<Instant>) {
        let ms = due.map(|at| at.saturating_duration_since(self.begun).as_millis());
        self.due.store(ms.map_or(u64::MAX, |ms| u64::try_from(ms).unwrap_or(u64::MAX)), Relaxed);
    }
}

/// The head of this task's request is complete.
pub fn head_is_complete() {
    let _ = EXCHANGE.try_with(|exchange| {
        exchange.seen.store(true, Relaxed);
        if let Some(connection) = &exchange.connection {
            connection.enter(Phase::Busy);
            connection.fresh.is_over();
        }
    });
}

/// When this task's exchange is overdue; `None`: never.
///
/// It may be moved as often as things move on: a store, and the timer follows lazily.
pub fn due_at(due: Option<Instant>) {
    let _ = EXCHANGE.try_with(|exchange| exchange.set_due(due));
}

/// Whether this task's exchange took too long, so that an error of its client's connection is ours.
pub fn is_overdue() -> bool {
    EXCHANGE.try_with(|exchange| exchange.connection.as_ref().is_some_and(|c| c.overdue.load(Relaxed))).unwrap_or(false)
}

/// Polls a timer that is moved only when it would fire too late, so that a connection needs one and re-arms it rarely.
fn is_past(timer: &mut Option<Pin<Box<Sleep>>>, want: Instant, context: &mut std::task::Context<'_>) -> bool {
    let want = tokio::time::Instant::from_std(want);
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(want)));
    if timer.deadline() > want {
        timer.as_mut().reset(want);
    }
    while timer.as_mut().poll(context).is_ready() {
        if tokio::time::Instant::now() >= want {
            return true;
        }
        timer.as_mut().reset(want);
    }
    false
}
