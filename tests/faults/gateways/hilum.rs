//! Hilum itself, with the successors that it starts.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Files, process};
use crate::harness::{Builder, Gateway, PATIENCE, eventually};
use crate::services::Service;

pub(crate) struct Hilum {
    pub(crate) gateway: Gateway,
    /// Its file, with `{edition}` in it.
    routes: String,
    /// The process that has taken over, after an upgrade; it is not a child of ours.
    successor: Option<u32>,
}

/// One client address is the whole load here.
const CONF: &str = "connections: { per_client: 10000 }";

/// How many lines of the access log are shown when a scenario fails.
const LINES_SHOWN: usize = 100;

impl Hilum {
    pub(crate) async fn start(files: &Files, services: &[Service]) -> Hilum {
        Hilum::start_with(files, services, |builder| builder).await
    }

    /// With more of its settings.
    pub(crate) async fn start_with(
        files: &Files,
        services: &[Service],
        more: impl FnOnce(Builder) -> Builder,
    ) -> Hilum {
        let edition = |number| files.fill(files.hilum, number, services);
        let gateway = more(Gateway::with(&edition(0)).conf(CONF).conf(files.conf)).start().await;
        // Any number but those that stand in the file by themselves.
        let routes = edition(usize::MAX).replace(&usize::MAX.to_string(), "{edition}");
        Hilum { gateway, routes, successor: None }
    }

    pub(super) async fn reload(&self, edition: usize) {
        self.gateway.edit(&self.routes.replace("{edition}", &edition.to_string()));
        let answer = self.gateway.reload().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    pub(super) async fn refuses_a_broken_file(&self) {
        self.gateway
            .edit(&self.routes.replace("{edition}", "broken").replace("version: 1", "version: 1\nbroken: true"));
        let answer = self.gateway.reload().await;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }

    /// The process that answers now.
    pub(crate) fn id(&self) -> u32 {
        self.successor.unwrap_or_else(|| self.gateway.id())
    }

    pub(super) fn drain(&self) {
        process::tell(self.id(), Signal::SIGTERM);
    }

    pub(super) async fn ended(&mut self) {
        match self.successor {
            Some(id) => process::is_gone(id).await,
            None => assert!(self.gateway.ended().await.success(), "{}", self.gateway.stderr()),
        }
    }

    /// The successor is a child of the process before it for as long as that is there, and says that it is ready on the standard error
    /// that both have.
    pub(super) async fn upgrade(&mut self) {
        let (before, ready) = (self.id(), self.ready());
        process::tell(before, Signal::SIGQUIT);
        let id = eventually("a successor", async || process::child_of(before)).await;
        eventually("the successor to be ready", async || (self.ready() > ready).then_some(())).await;
        self.ended().await;
        self.successor = Some(id);
        assert!(process::is_there(id), "the successor has ended: {}", self.gateway.stderr());
    }

    /// How many processes have said that they are.
    fn ready(&self) -> usize {
        self.gateway.stderr().matches("ready listeners=").count()
    }

    /// Waits until this peer of the service `s` is sent requests, or is not any more; tells how long that took. Who waits in vain is told
    /// how long it waited.
    pub(crate) async fn peer_is(&self, peer: &Service, is_up: bool) -> Duration {
        let since = Instant::now();
        let (address, wanted) = (peer.address().to_string(), f64::from(u8::from(is_up)));
        let labels = [("service", "s"), ("peer", address.as_str())];
        while since.elapsed() < PATIENCE / 2 {
            let metrics = self.gateway.metrics().await;
            if metrics.has("hilum_peer_up", &labels) && metrics.sum("hilum_peer_up", &labels) == wanted {
                break;
            }
            // Not so often that asking is what is measured.
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        since.elapsed()
    }
}

impl Drop for Hilum {
    fn drop(&mut self) {
        if let Some(id) = self.successor {
            process::tell(id, Signal::SIGKILL);
        }
        if std::thread::panicking() {
            // The whole of it is about to be shown, and a load leaves tens of thousands of lines.
            let log = self.gateway.folder().join("access.log");
            let lines = std::fs::read_to_string(&log).unwrap_or_default();
            let skipped = lines.lines().count().saturating_sub(LINES_SHOWN);
            let _ = std::fs::write(log, lines.lines().skip(skipped).collect::<Vec<_>>().join("\n"));
        }
    }
}
