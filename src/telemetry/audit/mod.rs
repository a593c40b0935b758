//! The audit log: who did what to which record, who signed in, who was denied, what was configured; in an order that nobody can change
//! afterwards without it being seen.
//!
//! ```text
//! proxy ─ record ─ queue ─ writer ─ segment (chain) ─ disk ─ told to those who wait
//!                             └ head (how far), every second
//! ```
//!
//! * Each process writes its own chain into its own files ([`place`]), so two that take over from each other never meet in one.
//! * A record that is waited for is on the disk before the wait ends. The others follow within milliseconds.
//! * What can't be written is counted, and the next record that can says how many are missing.
//! * [`verify`] reads all files of a log and names the first record that is not as it was written.

mod chain;
mod denials;
mod disk;
mod head;
mod place;
mod record;
mod segment;
mod start;
#[cfg(test)]
mod tests;
pub mod verify;
mod writer;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Context;
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tokio::sync::oneshot;

pub use chain::{Key, Session};
pub use record::{Event, Outcome, Record};

use crate::telemetry::json::Object as _;
use place::Place;
use record::{Own, body};
use segment::Chain;
use writer::{Queue, Writer};

/// How a log is kept.
#[derive(Debug)]
pub struct AuditOptions {
    /// The beginning of the names of its files.
    pub file: PathBuf,
    pub key: Key,
    /// From this many bytes on a new file is begun.
    pub rotate: u64,
}

/// The audit log of one process.
pub struct Audit {
    key: Key,
    queue: Arc<Queue>,
    exchanges: AtomicU64,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// It is not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritten;

/// `hilum_audit_records_total`.
struct Counts {
    written: IntCounter,
    failed: IntCounter,
    dropped: IntCounter,
    /// `hilum_audit_head_failures_total`.
    head_failed: IntCounter,
    /// Those that no record has told of yet.
    untold: AtomicU64,
}

impl Counts {
    fn register(registry: &Registry) -> anyhow::Result<Counts> {
        let help = "Records of the audit log: written, failed (the disk took none) and dropped (the queue was full).";
        let counters = IntCounterVec::new(Opts::new("hilum_audit_records_total", help), &["result"])?;
        registry.register(Box::new(counters.clone()))?;
        let head = "How often the head of the audit log could not be written; it is tried every second.";
        let head_failed = IntCounter::new("hilum_audit_head_failures_total", head)?;
        registry.register(Box::new(head_failed.clone()))?;
        let of = |result| counters.with_label_values(&[result]);
        let (written, failed, dropped) = (of("written"), of("failed"), of("dropped"));
        Ok(Counts { written, failed, dropped, head_failed, untold: AtomicU64::new(0) })
    }

    fn written(&self, count: u64) {
        self.written.inc_by(count);
    }

    fn failed(&self, count: u64) {
        self.failed.inc_by(count);
    }

    fn dropped(&self, count: u64) {
        self.dropped.inc_by(count);
        self.untold.fetch_add(count, Relaxed);
    }

    fn take_dropped(&self) -> u64 {
        self.untold.swap(0, Relaxed)
    }
}

impl Audit {
    /// Begins a chain and the thread that writes it. `config` is the hash of the file that runs.
    ///
    /// # Errors
    /// A folder that can't be made or written to.
    pub fn start(options: &AuditOptions, registry: &Registry, config: &str) -> anyhow::Result<Arc<Audit>> {
        let place = Place::new(&options.file);
        let random = rand::random();
        let chain = Chain::start(place, options.key.clone(), options.rotate, random, config)
            .with_context(|| format!("the audit log can't be begun at {}", options.file.display()))?;
        Audit::of(options.key.clone(), chain, Counts::register(registry)?)
    }

    fn of(key: Key, chain: Chain, counts: Counts) -> anyhow::Result<Arc<Audit>> {
        let queue = Arc::new(Queue::new(counts));
        let writer = Writer::new(queue.clone(), chain);
        let writer = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run())
            .context("the audit log has no thread")?;
        Ok(Arc::new(Audit { key, queue, exchanges: AtomicU64::new(0), writer: Mutex::new(Some(writer)) }))
    }

    /// What the token of a session is called in the records.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// A number for the records of one exchange.
    pub fn exchange(&self) -> u64 {
        self.exchanges.fetch_add(1, Relaxed) + 1
    }

    /// Records without waiting. What finds no room is counted.
    pub fn write(&self, record: &Record<'_>) {
        with_body(record, |body| self.queue.push(body));
    }

    /// Records; the answer comes when it is on the disk, or is known not to be.
    pub fn written(&self, record: &Record<'_>) -> oneshot::Receiver<Result<(), Unwritten>> {
        with_body(record, |body| self.queue.push_urgent(body))
    }

    /// A denial: the first few of a kind have a record each, the others are counted. `session` is that of a verified caller.
    pub fn denied(
        &self,
        client: IpAddr,
        session: Option<Session>,
        route: Option<&Arc<str>>,
        reason: &'static str,
    ) -> bool {
        self.queue.denials.count(client, session, route, reason)
    }

    /// `routes.yaml` was loaded, or refused.
    pub fn config(&self, outcome: Outcome, hash: Option<&str>) {
        self.queue.push(&body(&Own { outcome: Some(outcome), config: hash, ..Own::new(Event::Config) }));
    }

    /// Writes what is left and the last record, and ends the writer. What comes later is counted as dropped.
    pub fn finish(&self) {
        self.queue.end();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

/// Formats a record once, in a buffer of this thread's.
fn with_body<R>(record: &Record<'_>, then: impl FnOnce(&[u8]) -> R) -> R {
    thread_local! {
        static TEXT: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        record.members(text);
        then(text)
    })
}
