//! Signals, and the way out: not ready, answer what is in flight, exit when idle.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};

use super::Reload;
use crate::proxy::Gateway;

/// How long clients are still accepted after the signal, so that kept-alive ones hear `Connection: close` on an answer instead of
/// finding their connection closed under a request.
const LAME_DUCK: Duration = Duration::from_secs(1);

/// SIGTERM and SIGINT drain; a second one ends everything at once. SIGHUP reloads.
pub(super) struct Signals {
    gateway: Gateway,
    reload: Reload,
    drain: Duration,
}

impl Signals {
    pub(super) fn new(gateway: Gateway, reload: Reload, drain: Duration) -> Self {
        Signals { gateway, reload, drain }
    }

    fn connections(&self) -> i64 {
        self.gateway.metrics().connections.get()
    }

    /// Until there is no connection, or the time is over.
    async fn lame_duck(&self) {
        let until = Instant::now() + LAME_DUCK;
        while self.connections() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let (Ok(mut term), Ok(mut int), Ok(mut hup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
        else {
            log::error!("signals can't be received; stopping");
            return ShutdownSignal::FastShutdown;
        };
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => drop(self.reload.now().await),
            }
        }
        let in_flight = self.gateway.metrics().in_flight.get();
        log::info!("draining: {in_flight} requests in flight, at most {:?}", self.drain);
        self.gateway.drain();
        let mut again = std::pin::pin!(async {
            tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
        });
        tokio::select! {
            () = self.lame_duck() => {}
            () = &mut again => {
                log::warn!("stopped by a second signal");
                return ShutdownSignal::FastShutdown;
            }
        }
        exit_when_idle(self.gateway.clone(), self.drain);
        // Closes listeners and idle connections. Pingora then sleeps its whole grace period, which the thread above cuts short.
        ShutdownSignal::GracefulTerminate
    }
}

/// Ends the process when nothing is in flight, or the time is over.
fn exit_when_idle(gateway: Gateway, within: Duration) {
    let wait = move || {
        let (until, mut quiet) = (Instant::now() + within, 0);
        // Quiet twice: the last bytes of an HTTP/2 answer leave after its request has ended.
        while quiet < 2 && Instant::now() < until {
            #[allow(clippy::disallowed_methods, reason = "a thread of its own, with nothing else to do")]
            std::thread::sleep(Duration::from_millis(50));
            quiet = if gateway.metrics().in_flight.get() == 0 { quiet + 1 } else { 0 };
        }
        match gateway.metrics().in_flight.get() {
            0 => log::info!("drained"),
            left => log::warn!("stopped with {left} requests in flight: the time to drain is over"),
        }
        gateway.access_log().finish();
        #[allow(
            clippy::disallowed_methods,
            reason = "everything is flushed, and Pingora has no other way to end early"
        )]
        std::process::exit(0);
    };
    if let Err(e) = std::thread::Builder::new().name("drain".to_owned()).spawn(wait) {
        log::error!("no thread to drain with: {e}");
    }
}
