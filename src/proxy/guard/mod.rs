//! The two layers around Pingora's proxy that keep time: one per connection, one per request.
//!
//! Pingora applies its timeouts to single reads, so a client that sends one byte at a time holds a connection for ever; it has no
//! deadline over a whole exchange, and its wait for the service runs while the client still sends. The connection's own IO
//! ([`io::GuardIo`]) sees the first byte of a head and closes when the head is late or the connection idle; it also sees whether
//! anybody reads from the client and whether the client takes what is written, so the request's layer ([`app::GuardedHttp`]) knows
//! whose turn it is, and how long a client was waited for in all ([`pace::Pace`]). An exchange that is overdue is ended in two steps: its client's connection gives an error to whoever reads
//! from it, which leads to an answer; what goes on all the same is dropped a moment later.
//!
//! Since the IO sees every byte first, it also holds chunked bodies to the letter of the RFC ([`chunks`], [`wire`]), and an HTTP/2
//! client to what belongs to its requests ([`frames`], [`streams`]), and to as many of them at once as are its [`share`].

pub mod app;
mod chunks;
mod exchange;
mod frames;
mod io;
mod pace;
mod share;
mod streams;
mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pingora_core::protocols::Stream;
use streams::Streams;
use tokio::io::BufWriter;
use tokio::time::Sleep;

pub use exchange::{
    Overdue, body_follows, deadline, entrance, head_is_complete, is_held_back, is_ill_framed, is_uploaded, lend,
    overdue, patience, progress, received, stall, waits_for_client,
};
pub use share::Share;
pub use wire::Framing;
use wire::Wire;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the first byte of a head to its end.
    pub header: Duration,
    /// Without a request.
    pub idle: Duration,
    /// In the middle of a body or an answer; see [`pace`].
    pub stall: Duration,
}

/// A client's connection that was handed out, with what it had to write.
pub type Lent = BufWriter<Stream>;

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
    /// An [`Overdue`], or 0: reading from the client fails from then on.
    overdue: AtomicU8,
    /// The status that was written first, 0 before: all that is known of an answer that Pingora made by itself.
    status: AtomicU16,
    /// Bytes that have come in.
    received: AtomicU64,
    /// Bytes that have gone out.
    sent: AtomicU64,
    /// Somebody waits for bytes of the client.
    is_read: AtomicBool,
    /// The client does not take what is written.
    is_blocked: AtomicBool,
    /// The body is not framed as it must be: reading from the client fails from then on.
    is_ill_framed: AtomicBool,
    wire: Mutex<Wire>,
    /// Of HTTP/2.
    streams: Option<Arc<Streams>>,
    fresh: Fresh,
    /// The next read hands the stream out.
    lends: AtomicBool,
    lent: Mutex<Option<Lent>>,
    /// Outlives the request: a fresh timer for each would cost a system call each.
    timer: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Connection {
    fn new(fresh: Fresh, streams: Option<Arc<Streams>>) -> Self {
        Connection { fresh, streams, ..Connection::default() }
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Bytes both ways.
    fn moved(&self) -> u64 {
        self.received.load(Relaxed) + self.sent.load(Relaxed)
    }

    /// Before the next head is read.
    fn begin(&self) {
        self.enter(Phase::Idle);
        self.received.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        self.status.store(0, Relaxed);
        self.overdue.store(0, Relaxed);
        self.is_blocked.store(false, Relaxed);
        lock(&self.wire).begin();
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

/// Locks, whatever happened to a thread that held the lock: what is guarded here is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
