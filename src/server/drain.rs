//! Signals, and the way out: not ready, answer what is in flight, exit when idle.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::opening::Gate;
use super::systemd::Systemd;
use super::upgrade::{self, Predecessor};
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

/// SIGTERM and SIGINT drain; a second one ends everything at once. SIGHUP reloads. SIGQUIT starts a successor, which is another way out.
pub(super) struct Signals {
    pub(super) gateway: Gateway,
    pub(super) reload: Reload,
    pub(super) drain: Duration,
    /// Told when signals are heard.
    pub(super) hears: watch::Sender<bool>,
    /// `None`: there are no upgrades.
    pub(super) predecessor: Mutex<Option<Predecessor>>,
    /// Told when a successor serves.
    pub(super) succeeded: watch::Sender<bool>,
    pub(super) gate: Gate,
    pub(super) systemd: Arc<Systemd>,
    /// Whether sessions end with this process.
    pub(super) forgets_sessions: bool,
}

/// Why the process ends.
enum End {
    Told,
    Succeeded,
    /// It was to take over and may not.
    Barred,
}

impl Signals {
    /// Waits until there is a reason to end.
    async fn end(&self, term: &mut Signal, int: &mut Signal, mut hup: Signal, quit: Signal) -> End {
        // It holds copies of the listening sockets, which are closed only when all copies are: nothing of it may outlive this.
        let mut succeeded = pin!(upgrade::until_succeeded(self.predecessor.lock().take(), quit));
        loop {
            tokio::select! {
                _ = term.recv() => return End::Told,
                _ = int.recv() => return End::Told,
                () = &mut succeeded => return End::Succeeded,
                () = self.gate.barred() => return End::Barred,
                _ = hup.recv() => {
                    // On its own, since a file that does not hold still is waited for, and a stop must not wait with it.
                    let reload = self.reload.clone();
                    tokio::spawn(async move { reload.now().await });
                }
            }
        }
    }

    /// Makes it known that others serve now, or that nobody does.
    fn tell(&self, end: &End) {
        match end {
            End::Told => {
                // A predecessor that agrees from now on comes too late.
                self.gate.bar("stopped by a signal");
                // Without this process the service goes on, if it never served.
                if self.gate.is_open() {
                    self.systemd.stopping();
                }
            }
            End::Succeeded => {
                self.succeeded.send_replace(true);
                if self.forgets_sessions {
                    log::warn!(
                        "sessions are kept in memory and end with this process: who is signed in must sign in again"
                    );
                }
            }
            End::Barred => {}
        }
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
        let (Ok(mut term), Ok(mut int), Ok(hup), Ok(quit)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::hangup()),
            signal(SignalKind::quit()),
        ) else {
            log::error!("signals can't be received; stopping");
            return ShutdownSignal::FastShutdown;
        };
        self.hears.send_replace(true);
        let end = self.end(&mut term, &mut int, hup, quit).await;
        self.tell(&end);
        if let End::Barred = end {
            return ShutdownSignal::FastShutdown;
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
