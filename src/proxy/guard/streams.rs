//! What the exchanges of one HTTP/2 connection share: how many it has had, and that it shall end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pingora_core::server::ShutdownWatch;
use tokio::sync::{Notify, watch};

use super::frames::{Flood, Frames};
use super::lock;
use super::share::{Share, Taken};

/// Requests that may still come until the client has heard that the connection ends: it may be far away, and busy.
const LATE: u32 = 1000;

#[derive(Debug)]
pub(super) struct Streams {
    frames: Mutex<Frames>,
    /// Of the client; `None`: behind it are many.
    share: Option<Share>,
    /// Requests that the connection may have.
    most: u32,
    begun: AtomicU32,
    open: AtomicU32,
    is_flooded: AtomicBool,
    /// Tells that it had more than may cross a GOAWAY.
    goes_on: Notify,
    /// Pingora is told by it to say GOAWAY and to answer what is in flight; it knows of no other reason than the end of the process.
    leaves: watch::Sender<bool>,
}

/// One exchange, until it is dropped.
pub(super) struct Stream<'s> {
    streams: &'s Streams,
    _taken: Option<Taken>,
}

impl Streams {
    pub(super) fn new(most: u32, share: Option<Share>) -> Streams {
        let (begun, open, is_flooded, goes_on, leaves) = Default::default();
        let frames = Mutex::new(Frames::new(Instant::now()));
        Streams { frames, share, most, begun, open, is_flooded, goes_on, leaves }
    }

    /// See [`Frames::came`].
    pub(super) fn came(&self, bytes: &[u8], sent: u64) -> Result<(), Flood> {
        let came = lock(&self.frames).came(bytes, Instant::now(), sent);
        self.is_flooded.fetch_or(came.is_err(), Relaxed);
        came
    }

    /// An exchange begins. `None`: the client has as many as it may have.
    pub(super) fn begin(&self) -> Option<Stream<'_>> {
        let begun = self.begun.fetch_add(1, Relaxed) + 1;
        if begun >= self.most {
            self.leave();
        }
        if begun >= self.most.saturating_add(LATE) {
            self.goes_on.notify_one();
        }
        let taken = match self.share.as_ref().map(Share::take) {
            Some(None) => return None,
            taken => taken.flatten(),
        };
        self.open.fetch_add(1, Relaxed);
        Some(Stream { streams: self, _taken: taken })
    }

    /// The client shall make another connection.
    fn leave(&self) {
        self.leaves.send_if_modified(|leaves| !std::mem::replace(leaves, true));
    }

    /// What Pingora watches.
    pub(super) fn watch(&self) -> ShutdownWatch {
        self.leaves.subscribe()
    }

    /// Comes when the connection shall end and does not: its client goes on, or neither asks nor leaves for as long as `idle`.
    pub(super) async fn overstays(&self, mut shutdown: ShutdownWatch, idle: Duration) {
        let mut leaves = self.leaves.subscribe();
        tokio::select! {
            _ = shutdown.wait_for(|is_over| *is_over) => self.leave(),
            _ = leaves.wait_for(|leaves| *leaves) => {}
        }
        // Looked at now and then: an event for each exchange would cost each of them.
        const LOOKS: u32 = 4;
        let (mut begun, mut quiet) = (0, 0);
        while quiet < LOOKS {
            tokio::select! {
                () = tokio::time::sleep(idle / LOOKS) => {}
                () = self.goes_on.notified() => return,
            }
            let now = self.begun.load(Relaxed);
            quiet = if now == begun && self.open.load(Relaxed) == 0 { quiet + 1 } else { 0 };
            begun = now;
        }
    }

    /// Requests that came and of which nothing was told: they were malformed, or too many at once. Behind GOAWAY nothing is one.
    pub(super) fn unseen(&self) -> u32 {
        if *self.leaves.borrow() {
            return 0;
        }
        lock(&self.frames).heads().saturating_sub(self.begun.load(Relaxed))
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.load(Relaxed)
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Relaxed);
    }
}
