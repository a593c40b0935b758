//! The admin listener, accepted on a runtime of its own, so that it answers while the other is flooded. Whoever reaches it takes a
//! place, asks one thing and is done in a time: nobody needs its token to hold connections open.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::apps::http_app::HttpServer;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::accept;
use super::opening::Gate;
use super::places::Places;
use crate::admin::Admin;

/// Operators, Prometheus, and the health checks of whatever runs the gateway.
const PLACES: u32 = 64;
/// So that one machine can't keep all others out.
const PER_CLIENT: u32 = 16;
/// For a connection, from its first byte to its last: a reload waits some seconds for files that do not hold still.
const WITHIN: Duration = Duration::from_secs(10);

/// The listener as a service of Pingora's.
pub(super) struct Operators {
    socket: Option<TcpListener>,
    app: Arc<HttpServer<Admin>>,
    places: Places,
    gate: Gate,
    /// A successor serves.
    succeeded: watch::Receiver<bool>,
}

impl Operators {
    pub(super) fn new(app: Admin, socket: TcpListener, gate: Gate, succeeded: watch::Receiver<bool>) -> Operators {
        let (app, places) = (Arc::new(HttpServer::new_app(app)), Places::new(PLACES, PER_CLIENT));
        Operators { socket: Some(socket), app, places, gate, succeeded }
    }

    /// Serves one connection, if there is a place for it.
    fn open(&self, stream: TcpStream, address: SocketAddr, shutdown: &ShutdownWatch) {
        let place = self.places.take().and_then(|mut place| place.give_to(address.ip()).map(|_| place));
        // Without a place it is closed at once.
        let Some(place) = place else { return };
        let (app, shutdown) = (self.app.clone(), shutdown.clone());
        tokio::spawn(async move {
            // What is served is told by nobody; who is late is closed.
            let _ = timeout(WITHIN, app.process_new(Box::new(accept::stream(stream, address)), &shutdown)).await;
            drop(place);
        });
    }
}

#[async_trait]
impl Service for Operators {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        let Some(socket) = self.socket.take() else { return };
        if !self.gate.opens(&shutdown).await {
            return;
        }
        let mut succeeded = self.succeeded.clone();
        tokio::select! {
            _ = accept::each(socket, &shutdown, |stream, address| self.open(stream, address, &shutdown)) => {}
            // From then on operators speak to the successor; half of them would hear of a gateway that drains.
            _ = succeeded.wait_for(|succeeded| *succeeded) => {}
        }
    }

    fn name(&self) -> &str {
        "admin"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}
