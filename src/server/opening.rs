//! The moment from which on a process serves: at once, or when the one that it takes over from agrees.

use std::sync::Arc;

use parking_lot::Mutex;
use pingora_core::server::ShutdownWatch;
use tokio::sync::watch;

use super::systemd::Systemd;
use super::upgrade::{Successor, Unpublished};

/// Listeners wait behind it. Clones share it.
#[derive(Clone)]
pub(super) struct Gate(Arc<watch::Sender<Stage>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The predecessor serves.
    Closed,
    Open,
    /// It never opens, and why.
    Barred(String),
}

/// What is done when everything is prepared.
pub(super) struct Opening {
    gate: Gate,
    /// Whether signals are heard.
    heard: watch::Receiver<bool>,
    successor: Mutex<Option<Successor>>,
    /// Where successors will look for this process.
    name: Mutex<Option<Unpublished>>,
    systemd: Arc<Systemd>,
    /// What the log says then.
    ready: String,
}

impl Gate {
    pub(super) fn open() -> Gate {
        Gate(Arc::new(watch::Sender::new(Stage::Open)))
    }

    pub(super) fn closed() -> Gate {
        Gate(Arc::new(watch::Sender::new(Stage::Closed)))
    }

    pub(super) fn is_open(&self) -> bool {
        *self.0.borrow() == Stage::Open
    }

    /// Waits until it is open; false when the process stops before.
    pub(super) async fn opens(&self, shutdown: &ShutdownWatch) -> bool {
        let (mut stage, mut over) = (self.0.subscribe(), shutdown.clone());
        tokio::select! {
            stage = stage.wait_for(|stage| *stage != Stage::Closed) => stage.is_ok_and(|stage| *stage == Stage::Open),
            _ = over.wait_for(|is_over| *is_over) => false,
        }
    }

    /// Closes it for good, unless it is open already.
    pub(super) fn bar(&self, why: &str) {
        self.leave_closed(Stage::Barred(why.to_owned()));
    }

    /// Waits until it is closed for good.
    pub(super) async fn barred(&self) {
        // The sender lives in self.
        let _ = self.0.subscribe().wait_for(|stage| matches!(stage, Stage::Barred(_))).await;
    }

    /// Why it never opens.
    pub(super) fn why_barred(&self) -> Option<String> {
        match &*self.0.borrow() {
            Stage::Barred(why) => Some(why.clone()),
            Stage::Closed | Stage::Open => None,
        }
    }

    /// In one step, since a signal and a predecessor may come at the same time.
    fn leave_closed(&self, next: Stage) -> bool {
        self.0.send_if_modified(|stage| {
            let was_closed = *stage == Stage::Closed;
            if was_closed {
                *stage = next;
            }
            was_closed
        })
    }
}

impl Opening {
    pub(super) fn new(
        gate: Gate,
        heard: watch::Receiver<bool>,
        successor: Option<Successor>,
        name: Option<Unpublished>,
        systemd: Arc<Systemd>,
        ready: String,
    ) -> Opening {
        Opening { gate, heard, successor: Mutex::new(successor), name: Mutex::new(name), systemd, ready }
    }

    /// Everything is prepared: opens the gate. False when the predecessor does not agree; then nothing is ever served.
    pub(super) async fn begin(&self) -> bool {
        // Whoever reads the line may send a signal at once. Without signals there is no line, and that is told elsewhere.
        let _ = self.heard.clone().wait_for(|heard| *heard).await;
        let successor = self.successor.lock().take();
        match successor {
            None => self.systemd.ready(None),
            Some(successor) => {
                let heir = match successor.ask().await {
                    Ok(heir) => heir,
                    Err(why) => {
                        self.gate.bar(&format!("the running process was not taken over from: {why}"));
                        return false;
                    }
                };
                if !self.gate.leave_closed(Stage::Open) {
                    // A signal came first. The predecessor sees us leave, and goes on.
                    return false;
                }
                self.systemd.ready(Some(std::process::id()));
                if let Err(e) = heir.serves().await {
                    log::warn!("the process that this one has taken over from is gone: {e}");
                }
            }
        }
        let name = self.name.lock().take();
        if let Some(Err(e)) = name.map(Unpublished::publish) {
            log::error!("the upgrade socket can't be put in its place, so there will be no successor: {e}");
        }
        log::info!("{}", self.ready);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_opens_once_or_never() {
        let (stop, shutdown) = watch::channel(false);
        let gate = Gate::closed();
        assert!(!gate.is_open() && gate.why_barred().is_none());
        let waiting = tokio::spawn({
            let (gate, shutdown) = (gate.clone(), shutdown.clone());
            async move { gate.opens(&shutdown).await }
        });
        assert!(gate.leave_closed(Stage::Open));
        assert!(waiting.await.unwrap() && gate.is_open());
        gate.bar("too late");
        assert!(gate.is_open() && gate.why_barred().is_none());

        let gate = Gate::closed();
        gate.bar("refused");
        assert!(!gate.leave_closed(Stage::Open), "a predecessor that agrees too late");
        assert!(!gate.opens(&shutdown).await);
        gate.barred().await;
        assert_eq!(gate.why_barred().as_deref(), Some("refused"));

        let gate = Gate::closed();
        stop.send_replace(true);
        assert!(!gate.opens(&shutdown).await, "the process stops before");
        assert!(Gate::open().is_open());
    }
}
