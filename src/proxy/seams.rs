//! Parts of the proxy that fuzzing calls one by one. They decide nothing.

use std::io::Cursor;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::protocols::http::ServerSession;
use pingora_core::server::configuration::ServerConf;
use pingora_http::RequestHeader;
use tokio::io::DuplexStream;

use super::guard::Deadlines;
use super::guard::app::GuardedConnections;
use super::{Ctx, Gateway, framing, front_door};
use crate::refusal::Reason;
use crate::router::Head;

/// A head as Pingora reads it, with its raw bytes. `None`: Pingora refuses it by itself.
pub async fn read(bytes: &[u8]) -> Option<(RequestHeader, Vec<u8>)> {
    let mut session = ServerSession::new_http1(Box::new(Cursor::new(bytes.to_vec())));
    let whole = session.read_request().await.ok()?;
    whole.then(|| (session.req_header().clone(), session.to_h1_raw().to_vec()))
}

/// The front door, as `request` has it.
///
/// # Errors
/// Why it is not let in.
pub fn admit(head: &mut RequestHeader, raw: &[u8]) -> Result<(), Reason> {
    if framing::of(raw).is_none() {
        return Err(Reason::FramingRejected);
    }
    front_door::admit(head)?;
    front_door::check_connection(&head.headers).map_err(|_| Reason::Malformed)
}

pub fn head_of(head: &RequestHeader) -> Head<'_> {
    front_door::head_of(head)
}

/// Who is asking, as the front door sees it.
pub fn client(gateway: &Gateway, head: &RequestHeader, peer: IpAddr) -> IpAddr {
    let mut ctx = Ctx::new(gateway);
    front_door::note_client(&mut ctx, head, Some(peer), false);
    ctx.facts.client
}

/// Everything between a client's connection and a service's, without a listener.
pub struct Door(GuardedConnections);

impl Door {
    pub fn new(gateway: &Gateway) -> Door {
        let proxy = pingora_proxy::http_proxy(&Arc::new(ServerConf::default()), gateway.clone());
        let ten = Duration::from_secs(10);
        let deadlines = Deadlines { header: ten, idle: ten, stall: ten };
        Door(GuardedConnections::new(proxy, gateway.clone(), deadlines, u32::MAX))
    }

    /// Serves one connection to its end.
    pub async fn serve(&self, connection: DuplexStream) {
        let (_running, shutdown) = tokio::sync::watch::channel(false);
        self.0.serve(Box::new(connection), self.0.open(), &shutdown).await;
    }
}
