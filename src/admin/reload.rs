//! Asking for a reload, from wherever it is asked: `POST /reload`, SIGHUP. Whoever owns the file answers.

use tokio::sync::{mpsc, oneshot};

/// Asks for a reload.
#[derive(Clone)]
pub struct Reload(mpsc::Sender<oneshot::Sender<Reloaded>>);

/// What a reload came to.
#[derive(Clone, Debug)]
pub enum Reloaded {
    Loaded {
        hash: String,
        routes: usize,
    },
    /// The text for people; the running table was kept.
    Refused(String),
}

pub type Reloader = mpsc::Receiver<oneshot::Sender<Reloaded>>;

impl Reload {
    pub fn channel() -> (Reload, Reloader) {
        let (sender, receiver) = mpsc::channel(16);
        (Reload(sender), receiver)
    }

    /// Reloads now. `None`: the gateway is on its way out.
    pub async fn now(&self) -> Option<Reloaded> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(sender).await.ok()?;
        receiver.await.ok()
    }
}
