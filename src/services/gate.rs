//! How many requests a service works on at a time. One more waits, if the queue is short and moves; else it is refused at once, so that
//! the others are answered and this one may be sent elsewhere.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::{IntCounter, IntGauge};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::lock;

/// What a service may have at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitOptions {
    /// Requests that are being worked on, by all peers together; at least 1.
    pub in_flight: u32,
    /// How many more may wait for a place.
    pub queue: u32,
    /// How long a peer that joins others is spared; see [`warmth`](super::conduct::warmth).
    pub slow_start: Duration,
}

impl Default for LimitOptions {
    fn default() -> Self {
        LimitOptions { in_flight: 512, queue: 64, slow_start: Duration::from_secs(10) }
    }
}

/// Who goes first where not all can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// May use every place, and waits before all others.
    Critical = 0,
    /// Leaves a tenth of the places to `critical`.
    #[default]
    Normal = 1,
    /// Leaves three tenths to the others.
    Bulk = 2,
}

/// The places of one service, for its whole life: the limits are those of whoever asks.
#[derive(Debug)]
pub(super) struct Gate {
    in_flight: AtomicU32,
    /// How many wait; written under the lock of `queue`.
    waiting: AtomicU32,
    queue: Mutex<Queue>,
    shed: [IntCounter; Priority::LABELS.len()],
    shown: IntGauge,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Option<Arc<Gate>>);

/// There is no place, and nobody to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overloaded;

#[derive(Debug)]
struct Queue {
    /// By priority, those that came first in front.
    waiters: [VecDeque<Waiter>; Priority::LABELS.len()],
    /// Since when somebody has been waiting all the time.
    standing: Option<Instant>,
}

#[derive(Debug)]
struct Waiter {
    /// Places that must not be taken for this one to be let in.
    room: u32,
    turn: oneshot::Sender<Permit>,
}

/// A queue that has not been empty for so long is no burst that passes: the service has more to do than it can, and everybody in the
/// queue only waits longer. From then on it is kept so short that it moves.
const STANDING: Duration = Duration::from_millis(100);
const SHORT: u32 = 4;
/// Nobody waits for longer, however the service stands still.
const LONGEST: Duration = Duration::from_secs(1);

impl Priority {
    /// Every value of the label `priority`, in the order of the variants.
    pub const LABELS: [&str; 3] = ["critical", "normal", "bulk"];

    /// How many of the places one of these may be the last to take.
    fn room(self, in_flight: u32) -> u32 {
        let tenths = match self {
            Priority::Critical => 10,
            Priority::Normal => 9,
            Priority::Bulk => 7,
        };
        u32::try_from((u64::from(in_flight) * tenths).div_ceil(10)).unwrap_or(in_flight)
    }
}

impl Gate {
    /// `shed` counts those that are refused, by priority; `shown` is how many wait.
    pub(super) fn new(shed: [IntCounter; Priority::LABELS.len()], shown: IntGauge) -> Arc<Gate> {
        let queue = Mutex::new(Queue { waiters: Default::default(), standing: None });
        Arc::new(Gate { in_flight: AtomicU32::new(0), waiting: AtomicU32::new(0), queue, shed, shown })
    }

    /// A place; at once, or when it is this one's turn.
    pub(super) async fn enter(
        self: &Arc<Self>,
        limits: &LimitOptions,
        priority: Priority,
        deadline: Option<std::time::Instant>,
    ) -> Result<Permit, Overloaded> {
        let room = priority.room(limits.in_flight);
        if self.waiting.load(SeqCst) == 0 && self.try_take(room) {
            return Ok(Permit(Some(self.clone())));
        }
        let now = Instant::now();
        let until = deadline.map_or(now + LONGEST, |at| (now + LONGEST).min(at.into()));
        let given = match self.line_up(limits, priority, room, now) {
            Ok(permit) => return Ok(permit),
            Err(turn) => turn,
        };
        let permit = match given {
            // A place that comes at the last moment is in the channel and goes on to the next with it.
            Some(turn) => timeout_at(until, turn).await.ok().and_then(Result::ok),
            None => None,
        };
        if permit.is_none() {
            self.shed[priority as usize].inc();
        }
        permit.ok_or(Overloaded)
    }

    /// Whether one would be let in, or could wait, at this moment.
    pub(super) fn check(&self, limits: &LimitOptions, priority: Priority) -> Result<(), Overloaded> {
        if self.waiting.load(SeqCst) == 0 {
            return Ok(());
        }
        let (now, mut queue) = (Instant::now(), lock(&self.queue));
        queue.clean();
        self.tell(&mut queue, now);
        if queue.len() < queue.most(limits, now) || queue.has_after(priority) {
            return Ok(());
        }
        self.shed[priority as usize].inc();
        Err(Overloaded)
    }

    /// A place after all, or one in the queue, or neither.
    fn line_up(
        self: &Arc<Self>,
        limits: &LimitOptions,
        priority: Priority,
        room: u32,
        now: Instant,
    ) -> Result<Permit, Option<oneshot::Receiver<Permit>>> {
        let mut queue = lock(&self.queue);
        queue.clean();
        self.tell(&mut queue, now);
        // Who waits already and could have it goes first.
        if !queue.has_before(priority) && self.try_take(room) {
            return Ok(Permit(Some(self.clone())));
        }
        if queue.len() >= queue.most(limits, now) && !queue.send_away_after(priority) {
            return Err(None);
        }
        let is_first = !queue.has_before(priority);
        let (turn, given) = oneshot::channel();
        queue.waiters[priority as usize].push_back(Waiter { room, turn });
        self.tell(&mut queue, now);
        // Whoever was done before it was told that somebody waits has woken nobody.
        if is_first && self.try_take(room) {
            queue.waiters[priority as usize].pop_back();
            self.tell(&mut queue, now);
            return Ok(Permit(Some(self.clone())));
        }
        Err(Some(given))
    }

    fn try_take(&self, room: u32) -> bool {
        self.in_flight.fetch_update(SeqCst, SeqCst, |taken| (taken < room).then_some(taken + 1)).is_ok()
    }

    /// Somebody is done.
    fn release(self: &Arc<Self>) {
        self.in_flight.fetch_sub(1, SeqCst);
        // Whoever lines up is counted before it looks for a place a last time.
        if self.waiting.load(SeqCst) == 0 {
            return;
        }
        let mut queue = lock(&self.queue);
        for at in 0..queue.waiters.len() {
            while let Some(waiter) = queue.waiters[at].pop_front() {
                if waiter.turn.is_closed() {
                    continue;
                }
                if !self.try_take(waiter.room) {
                    queue.waiters[at].push_front(waiter);
                    break;
                }
                if let Err(mut permit) = waiter.turn.send(Permit(Some(self.clone()))) {
                    // It left at this moment. Its place is given on here, where the lock is held already.
                    permit.0 = None;
                    self.in_flight.fetch_sub(1, SeqCst);
                }
            }
        }
        self.tell(&mut queue, Instant::now());
    }

    /// Under the lock: what others ask without it.
    fn tell(&self, queue: &mut Queue, now: Instant) {
        let waiting = queue.len();
        self.waiting.store(waiting, SeqCst);
        self.shown.set(waiting.into());
        queue.standing = (waiting > 0).then(|| queue.standing.unwrap_or(now));
    }
}

impl Queue {
    fn len(&self) -> u32 {
        self.waiters.iter().map(|waiters| waiters.len() as u32).sum()
    }

    /// Forgets those that wait no more.
    fn clean(&mut self) {
        self.waiters.iter_mut().for_each(|waiters| waiters.retain(|waiter| !waiter.turn.is_closed()));
    }

    /// How many may wait.
    fn most(&self, limits: &LimitOptions, now: Instant) -> u32 {
        match self.standing {
            Some(since) if now.duration_since(since) >= STANDING => limits.queue.min(SHORT.max(limits.in_flight / 8)),
            _ => limits.queue,
        }
    }

    /// Somebody waits who is less urgent.
    fn has_after(&self, priority: Priority) -> bool {
        self.waiters[priority as usize + 1..].iter().any(|waiters| !waiters.is_empty())
    }

    fn has_before(&self, priority: Priority) -> bool {
        self.waiters[..=priority as usize].iter().any(|waiters| !waiters.is_empty())
    }

    /// Refuses the last one that is less urgent, if there is one.
    fn send_away_after(&mut self, priority: Priority) -> bool {
        self.waiters[priority as usize + 1..].iter_mut().rev().any(|waiters| waiters.pop_back().is_some())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.release();
        }
    }
}

#[cfg(test)]
#[path = "tests/gate.rs"]
mod tests;
