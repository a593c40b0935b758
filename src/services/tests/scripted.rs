//! For the tests: a service on a real socket that answers by script, with faults on demand, and a few small tools.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::{Registry, TextEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::services::fleet::Fleet;
use crate::services::lock;
use crate::services::options::{Balance, ServiceOptions, Timeouts};
use crate::services::pool::Pool;
use crate::services::{LimitOptions, RetryOptions};

pub(in crate::services) const CA_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/services/tests/ca.pem");

/// What happens after a request was read whole.
#[derive(Clone, Copy, Debug)]
pub(in crate::services) enum Act {
    /// These bytes are written; the connection stays open unless they say `Connection: close`.
    Send(&'static str),
    /// These bytes are written and the connection is closed.
    SendAndClose(&'static str),
    /// One byte after the other, with a pause in between, for ever.
    Drip(&'static str),
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset (RST) without an answer.
    Reset,
    /// Nothing, for ever.
    Silent,
}

pub(in crate::services) const OK: Act = Act::Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
pub(in crate::services) const UNWELL: Act = Act::Send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");

/// A running scripted service.
pub(in crate::services) struct Scripted {
    pub(in crate::services) address: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

struct State {
    /// The last one goes on for ever.
    acts: Mutex<Vec<Act>>,
    /// Each request as it came: the number of its connection and its text.
    requests: watch::Sender<Vec<(usize, String)>>,
}

impl Scripted {
    pub(in crate::services) async fn start(acts: &[Act]) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State { acts: Mutex::new(acts.to_vec()), requests: watch::Sender::new(Vec::new()) });
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, connection, shared.clone()));
            }
        });
        Scripted { address, state, accepting: accepting.abort_handle() }
    }

    pub(in crate::services) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From the next request on, this happens.
    pub(in crate::services) fn now(&self, act: Act) {
        *lock(&self.state.acts) = vec![act];
    }

    /// The requests so far, once there are `count`.
    pub(in crate::services) async fn requests(&self, count: usize) -> Vec<(usize, String)> {
        let mut requests = self.state.requests.subscribe();
        within(requests.wait_for(|all| all.len() >= count)).await.expect("the sender lives").clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, connection: usize, state: Arc<State>) {
    while let Some(request) = read_request(&mut stream).await {
        let act = {
            let mut acts = lock(&state.acts);
            if acts.len() > 1 { acts.remove(0) } else { acts[0] }
        };
        state.requests.send_modify(|all| all.push((connection, request)));
        match act {
            Act::Send(bytes) => {
                if stream.write_all(bytes.as_bytes()).await.is_err() || bytes.contains("Connection: close") {
                    return;
                }
            }
            Act::SendAndClose(bytes) => {
                _ = stream.write_all(bytes.as_bytes()).await;
                return;
            }
            Act::Drip(bytes) => {
                for byte in bytes.bytes().cycle() {
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Act::Close => return,
            Act::Reset => {
                stream.set_zero_linger().expect("an open socket");
                return;
            }
            Act::Silent => return std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if request.len() >= end + 4 + length.unwrap_or(0) {
                return Some(String::from_utf8_lossy(&request).into_owned());
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => request.extend_from_slice(&chunk[..read]),
        }
    }
}

/// An address at which nobody listens.
pub(in crate::services) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// Fails a test that would otherwise hang.
pub(in crate::services) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it happens in time")
}

/// For what sends no event: asked again until it holds.
pub(in crate::services) async fn eventually(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A fleet that trusts one certificate only: reading the system's takes longer than a test.
pub(in crate::services) fn fleet(registry: &Registry) -> Arc<Fleet> {
    Fleet::new(registry, Some(CA_FILE.to_owned())).expect("the file is there")
}

/// Watches these pools and no others.
pub(in crate::services) fn run(fleet: &Arc<Fleet>, pools: &[&Arc<Pool>]) {
    let pools: Vec<Arc<Pool>> = pools.iter().map(|pool| Arc::clone(pool)).collect();
    fleet.run(&pools, &Handle::current());
}

/// Options of a service with these peers and the usual values.
pub(in crate::services) fn service(name: &str, peers: &[&str]) -> ServiceOptions {
    ServiceOptions {
        name: name.into(),
        peers: peers.iter().map(|peer| peer.parse().expect("a peer")).collect(),
        balance: Balance::RoundRobin,
        health: None,
        eject: None,
        retry: RetryOptions::never(),
        limits: LimitOptions::default(),
        timeouts: Timeouts::default(),
        resolve_every: ServiceOptions::RESOLVE_EVERY,
    }
}

/// All metrics as text.
pub(in crate::services) fn exposed(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).expect("metrics are text")
}
