//! The queue, and the one thread that writes it: take what is there, write, sync, tell those who wait, look again. There is no waiting
//! window: a lone record is on the disk after one sync, and a hundred at the same time after one as well.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::denials::Denials;
use super::record::{Event, Own, body};
use super::segment::Chain;
use super::{Counts, Unwritten};

/// The most bytes that wait. Who may not wait goes on without a record, and that is counted.
const ROOM: usize = 16 * 1024 * 1024;
/// How often records are written that nobody waits for: it bounds what a crash can lose of them.
const EVERY: Duration = Duration::from_millis(25);
/// How often `FILE.head` is brought up to date: what can be cut off unseen after a crash is never more than this.
const LOOK: Duration = Duration::from_secs(1);
/// How often there is a sign of life.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// What a record's end in the queue is, and who waits for it.
type Waiting = (usize, Option<oneshot::Sender<Result<(), Unwritten>>>);

/// Shared by all who record, and the writer.
pub(super) struct Queue {
    waiting: Mutex<Batch>,
    wake: Condvar,
    pub(super) counts: Counts,
    pub(super) denials: Denials,
}

#[derive(Default)]
struct Batch {
    texts: Vec<u8>,
    ends: Vec<Waiting>,
    /// Somebody waits, or it is over.
    is_urgent: bool,
    is_over: bool,
}

impl Queue {
    pub(super) fn new(counts: Counts) -> Queue {
        Queue { waiting: Mutex::default(), wake: Condvar::new(), counts, denials: Denials::default() }
    }

    /// Queues a record.
    pub(super) fn push(&self, body: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.is_over || waiting.texts.len() + body.len() > ROOM {
            return self.counts.dropped(1);
        }
        waiting.texts.extend_from_slice(body);
        let end = waiting.texts.len();
        waiting.ends.push((end, None));
    }

    /// Queues a record that is waited for.
    pub(super) fn push_urgent(&self, body: &[u8]) -> oneshot::Receiver<Result<(), Unwritten>> {
        let (told, written) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.is_over || waiting.texts.len() + body.len() > ROOM {
            self.counts.dropped(1);
            let _ = told.send(Err(Unwritten));
            return written;
        }
        waiting.texts.extend_from_slice(body);
        let end = waiting.texts.len();
        waiting.ends.push((end, Some(told)));
        waiting.is_urgent = true;
        drop(waiting);
        // While the writer writes it waits for nobody, and this costs nothing.
        self.wake.notify_one();
        written
    }

    /// No more records.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_over = true;
        waiting.is_urgent = true;
        drop(waiting);
        self.wake.notify_one();
    }

    /// There is no writer any more: nobody waits for it.
    fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.is_over = true;
        let left = std::mem::take(&mut waiting.ends);
        waiting.texts = Vec::new();
        drop(waiting);
        self.counts.dropped(left.len() as u64);
        // Whoever waits hears of it by the sender that is dropped.
    }

    /// What waits, when somebody is in a hurry or some time has passed; and whether it is over.
    fn take(&self, spare: Batch) -> (Batch, bool) {
        let mut waiting = self.waiting.lock();
        if !waiting.is_urgent {
            let _ = self.wake.wait_for(&mut waiting, EVERY);
        }
        let is_over = waiting.is_over;
        let taken = std::mem::replace(&mut *waiting, spare);
        waiting.is_over = is_over;
        (taken, is_over)
    }
}

/// Writes until it is over.
pub(super) struct Writer {
    queue: Arc<Queue>,
    chain: Chain,
    /// What was lost since the last record that could be written: failed, and dropped.
    missed: (u64, u64),
    is_failing: bool,
    is_head_failing: bool,
    /// How far the head is.
    head: String,
    looked: Instant,
    alive: Instant,
}

/// However it ends, whoever waits for a record is told, and whoever asks for one later is refused at once.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.abandon();
        if std::thread::panicking() {
            log::error!(
                "a defect has ended the audit log: what must be recorded is refused until the gateway is started again"
            );
        }
    }
}

impl Writer {
    pub(super) fn new(queue: Arc<Queue>, chain: Chain) -> Writer {
        let head = chain.told();
        let (missed, now) = ((0, 0), Instant::now());
        Writer { queue, chain, missed, is_failing: false, is_head_failing: false, head, looked: now, alive: now }
    }

    pub(super) fn run(mut self) {
        log::info!("audit log begins: {}", self.chain.told());
        let mut spare = Batch::default();
        loop {
            let (batch, is_over) = self.queue.take(std::mem::take(&mut spare));
            spare = self.write(batch);
            if self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                self.look();
            }
            if is_over {
                break;
            }
        }
        self.denials(true);
        self.event(&Own::new(Event::Stop));
        if let Err(e) = self.chain.last_checkpoint() {
            // Whoever starts next reads the chain itself to its end.
            log::error!("the audit log's head can't be written: {e}");
        }
        log::info!("audit log ends: {}", self.chain.told());
    }

    /// Answers the batch, empty, for its memory.
    fn write(&mut self, mut batch: Batch) -> Batch {
        if !batch.ends.is_empty() {
            let dropped = self.queue.counts.take_dropped();
            self.missed.1 += dropped;
            let gap = (self.missed != (0, 0)).then(|| {
                let (failed, dropped) = (Some(self.missed.0), Some(self.missed.1));
                body(&Own { failed, dropped, ..Own::new(Event::Gap) })
            });
            let mut from = 0;
            let bodies = batch.ends.iter().map(|(end, _)| {
                let body = &batch.texts[from..*end];
                from = *end;
                body
            });
            let count = batch.ends.len() as u64;
            let written = self.chain.append(gap.as_deref().into_iter().chain(bodies));
            match &written {
                Ok(()) => {
                    self.queue.counts.written(count);
                    self.missed = (0, 0);
                    if std::mem::take(&mut self.is_failing) {
                        log::info!("the audit log is written again");
                    }
                }
                Err(e) => {
                    self.queue.counts.failed(count);
                    self.missed.0 += count;
                    self.fails(e);
                }
            }
            let written = written.map_err(|_| Unwritten);
            for told in batch.ends.drain(..).filter_map(|(_, told)| told) {
                // Nobody there any more: it is recorded all the same.
                let _ = told.send(written);
            }
        }
        batch.texts.clear();
        if batch.texts.capacity() > 1024 * 1024 {
            batch.texts = Vec::new();
        }
        batch.is_urgent = false;
        batch
    }

    /// Once, not for every record.
    fn fails(&mut self, e: &std::io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            log::error!("the audit log can't be written, what must be recorded is refused: {e}");
        }
    }

    fn look(&mut self) {
        self.denials(false);
        if self.alive.elapsed() >= CHECKPOINT {
            self.alive = Instant::now();
            self.event(&Own::new(Event::Checkpoint));
        }
        if let Err(e) = self.chain.look() {
            return self.fails(&e);
        }
        let told = self.chain.told();
        if told == self.head {
            return;
        }
        match self.chain.checkpoint() {
            Ok(was_changed) => {
                self.head = told;
                if std::mem::take(&mut self.is_head_failing) {
                    log::info!("the audit log's head is written again");
                }
                if was_changed {
                    log::error!("the audit log was tampered with: its head is gone or was changed");
                    self.event(&Own::new(Event::HeadLost));
                }
            }
            // It is tried again at the next look.
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => {
                self.queue.counts.head_failed.inc();
                if !std::mem::replace(&mut self.is_head_failing, true) {
                    log::warn!("the audit log's head can't be written, what is cut off now is not seen: {e}");
                }
            }
        }
    }

    fn denials(&mut self, all: bool) {
        let queue = self.queue.clone();
        queue.denials.drain(all, |body| self.own(body));
    }

    fn event(&mut self, event: &Own<'_>) {
        self.own(&body(event));
    }

    /// A record of the writer's own.
    fn own(&mut self, body: &[u8]) {
        let batch = Batch { texts: body.to_vec(), ends: vec![(body.len(), None)], ..Batch::default() };
        self.write(batch);
    }
}
