//! Signals, and the way out: not ready, answer what is in flight, exit when idle.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::reload::Reload;
use crate::proxy::Gateway;

/// How long clients are still accepted after the signal, so that kept-alive ones hear `Connection: close` on an answer instead of
/// finding their connection closed under a request.
const LAME_DUCK: Duration = Duration::from_secs(1);

/// How often the drain looks. The gauges tell nobody when they change: that would cost each request, for the sake of the last second.
const TICK: Duration = Duration::from_millis(50);
/// How long connections without a request are waited for; longer than the listener itself waits for them.
const FRESH: Duration = Duration::from_millis(700);
/// How many looks what is cut has to write its log line.
const CUT: u32 = 5;

/// SIGTERM and SIGINT drain; a second one ends everything at once. SIGHUP reloads.
pub(super) struct Signals {
    gateway: Gateway,
    reload: Reload,
    drain: Duration,
    /// Told when signals are heard.
    hears: tokio::sync::watch::Sender<bool>,
}

impl Signals {
    pub(super) fn new(
        gateway: Gateway,
        reload: Reload,
        drain: Duration,
        hears: tokio::sync::watch::Sender<bool>,
    ) -> Self {
        Signals { gateway, reload, drain, hears }
    }

    fn connections(&self) -> i64 {
        self.gateway.metrics().connections.get()
    }

    /// Until there is no connection, or the time is over.
    async fn lame_duck(&self) {
        let until = Instant::now() + LAME_DUCK;
        while self.connections() > 0 && Instant::now() < until {
            tokio::time::sleep(TICK).await;
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
        self.hears.send_replace(true);
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => {
                    // On its own, since a file that does not hold still is waited for, and a stop must not wait with it.
                    let reload = self.reload.clone();
                    tokio::spawn(async move { reload.now().await });
                }
            }
        }
        let until = Instant::now() + self.drain;
        self.gateway.drain();
        log::info!("draining: {} requests in flight, at most {:?}", in_flight(&self.gateway), self.drain);
        tokio::select! {
            () = self.lame_duck() => {}
            _ = term.recv() => exit_at_once(&self.gateway).await,
            _ = int.recv() => exit_at_once(&self.gateway).await,
        }
        exit_when_idle(self.gateway.clone(), until);
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
            exit_at_once(&gateway).await;
        });
        // Closes listeners and idle connections. Pingora then sleeps its whole grace period, which the thread above cuts short.
        ShutdownSignal::GracefulTerminate
    }
}

/// Ends the process when nothing is in flight, or the time is over.
fn exit_when_idle(gateway: Gateway, until: Instant) {
    tokio::spawn(async move {
        let (mut quiet, fresh_until) = (0, Instant::now() + FRESH);
        // Quiet twice: the last bytes of an HTTP/2 answer leave after its request has ended.
        while quiet < 2 && Instant::now() < until {
            tokio::time::sleep(TICK).await;
            let coming = gateway.fresh().load(Relaxed) > 0 && Instant::now() < fresh_until;
            quiet = if in_flight(&gateway) == 0 && !coming { quiet + 1 } else { 0 };
        }
        match in_flight(&gateway) {
            0 => log::info!("drained"),
            left => log::warn!("cutting {left} requests in flight: the time to drain is over"),
        }
        exit(&gateway).await
    });
}

async fn exit_at_once(gateway: &Gateway) {
    log::warn!("stopped by a second signal");
    exit(gateway).await
}

/// Ends what is still open, so that each exchange says so in the access log, and then the process.
async fn exit(gateway: &Gateway) -> ! {
    gateway.cut();
    for _ in 0..CUT {
        if in_flight(gateway) == 0 {
            break;
        }
        tokio::time::sleep(TICK).await;
    }
    gateway.finish_logs();
    #[allow(clippy::disallowed_methods, reason = "everything is flushed, and Pingora has no other way to end early")]
    std::process::exit(0)
}

fn in_flight(gateway: &Gateway) -> i64 {
    gateway.metrics().in_flight.get()
}
