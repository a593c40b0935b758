//! All that a client sends on one connection → what a service gets, through the whole gateway.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::world;
use crate::proxy::Gateway;
use crate::proxy::seams::Door;

struct World {
    runtime: Runtime,
    gateway: Gateway,
    door: Arc<Door>,
    service: Arc<Recorder>,
    quiet: Duration,
    /// `Host` of what the service gets.
    address: String,
}

thread_local! {
    static WORLD: World = World::new(QUIET);
}

/// Sent behind all else: it is answered and ends the connection, or it is part of a message that was never whole.
const LAST: &[u8] = b"GET /here HTTP/1.1\r\nHost: hilum.test\r\nConnection: close\r\n\r\n";

/// After so long without a byte the gateway waits for more of a message. Where the machine was only busy, some code is not reached.
const QUIET: Duration = Duration::from_millis(5);

/// Headers that say something of the client, which only Hilum knows.
const OURS: [&str; 11] = [
    "x-user-id",
    "x-user-roles",
    "authorization",
    "proxy-authorization",
    "proxy-connection",
    "cookie",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
];
/// What names of more such headers begin with.
const FAMILIES: [&str; 5] = ["x-forwarded-", "x-original-", "x-rewrite-", "x-http-method", "x-middleware-"];

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nobody gets past `auth`, no header of ours is the client's, and nothing is asked twice.
pub fn exchange(data: &[u8]) {
    WORLD.with(|world| {
        let seen = world.send(data);
        // All since the start: a service may hear of a request that was given up only while the next one is under way.
        let (got, asked) = (world.service.got.load(Relaxed), world.answered());
        assert!(got <= asked, "{got} requests at the service for {asked} of clients");
        seen.iter().for_each(|head| world.check(head));
    });
}

impl World {
    /// Sends this on a connection of its own, and gives the heads that the service got.
    fn send(&self, data: &[u8]) -> Vec<String> {
        self.runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(64 * 1024);
            let door = self.door.clone();
            let serving = tokio::spawn(async move { door.serve(server).await });
            let talk = async {
                // Whoever refuses early reads no further.
                let _ = client.write_all(data).await;
                let _ = client.write_all(LAST).await;
                let mut answers = Vec::new();
                let quiet = async |answers: &mut Vec<u8>, client: &mut DuplexStream| {
                    tokio::time::timeout(self.quiet, client.read_buf(answers)).await
                };
                while let Ok(Ok(1..)) = quiet(&mut answers, &mut client).await {}
                let _ = client.shutdown().await;
                let _ = client.read_to_end(&mut answers).await;
                serving.await.expect("nothing panics");
                answers
            };
            let answers = tokio::time::timeout(PATIENCE, talk).await.expect("a connection that nobody uses ends");
            assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."), "{}", answers.escape_ascii());
        });
        self.service.take()
    }

    fn new(quiet: Duration) -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let service = Arc::new(Recorder::default());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let gateway = world::gateway(&format!("http://{address}"));
        runtime.spawn(service.clone().accept(listener));
        World { door: Arc::new(Door::new(&gateway)), runtime, gateway, service, quiet, address }
    }

    /// Requests that the gateway has counted.
    fn answered(&self) -> u64 {
        let families = self.gateway.metrics().registry.gather();
        let requests = families.iter().filter(|family| family.name() == "hilum_requests_total");
        let sum: f64 =
            requests.flat_map(|family| family.get_metric()).map(|metric| metric.get_counter().get_value()).sum();
        sum as u64
    }

    /// What a service may be told by somebody who showed no good token. (The good one of the fuzzer was good in another year.)
    fn check(&self, head: &str) {
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let target = first.split(' ').nth(1).unwrap_or_default();
        let path = world::carelessly(target.split('?').next().unwrap_or_default());
        let is_open = ["/public", "/optional", "/to", "/under"]
            .iter()
            .any(|open| path == *open || path.strip_prefix(open).is_some_and(|rest| rest.starts_with('/')));
        assert!(is_open && first.split(' ').count() == 3, "{head:?}");
        let mut hosts = 0;
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").or_else(|| line.split_once(':')).unwrap_or((line, ""));
            let name = name.to_ascii_lowercase();
            let told = match name.as_str() {
                "host" => {
                    hosts += 1;
                    value == self.address
                }
                // The connection of the fuzzer has no address.
                "x-forwarded-for" => value == "0.0.0.0",
                "x-forwarded-proto" => value == "http",
                // What was asked, and the client's to say.
                "x-forwarded-host" => true,
                "transfer-encoding" => value == "chunked",
                // Some services read `_` and `.` as `-`.
                name => {
                    !name.contains(['_', '.'])
                        && !OURS.contains(&name)
                        && !FAMILIES.iter().any(|it| name.starts_with(it))
                }
            };
            assert!(told, "the service is told {line:?} in {head:?}");
        }
        assert_eq!(hosts, 1, "{head:?}");
    }
}

/// A service that answers everything and keeps the heads.
#[derive(Default)]
struct Recorder {
    heads: Mutex<Vec<String>>,
    /// How many there were, those that were taken among them.
    got: AtomicU64,
}

impl Recorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let recorder = self.clone();
            tokio::spawn(async move { recorder.answer(stream).await });
        }
    }

    /// One request after the other, until something is no message.
    async fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut left = Vec::new();
        loop {
            let end = until(&mut stream, &mut left, b"\r\n\r\n").await?;
            let head: Vec<u8> = left.drain(..end).collect();
            let head = String::from_utf8_lossy(&head).into_owned();
            self.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
            self.got.fetch_add(1, Relaxed);
            let lower = head.to_ascii_lowercase();
            if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
                loop {
                    let line = until(&mut stream, &mut left, b"\r\n").await?;
                    let size = String::from_utf8_lossy(&left[..line]).trim().split(';').next()?.to_owned();
                    let size = usize::from_str_radix(&size, 16).ok()?;
                    left.drain(..line);
                    fill(&mut stream, &mut left, size + 2).await?;
                    left.drain(..size + 2);
                    if size == 0 {
                        break;
                    }
                }
            } else if let Some((_, rest)) = lower.split_once("\r\ncontent-length: ") {
                let length: usize = rest.split("\r\n").next()?.parse().ok()?;
                fill(&mut stream, &mut left, length).await?;
                left.drain(..length);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.ok()?;
        }
    }
}

/// Reads up to the end of `mark`, and says where that is.
async fn until(stream: &mut TcpStream, left: &mut Vec<u8>, mark: &[u8]) -> Option<usize> {
    loop {
        if let Some(at) = left.windows(mark.len()).position(|window| window == mark) {
            return Some(at + mark.len());
        }
        let more = left.len() + 1;
        fill(stream, left, more).await?;
    }
}

async fn fill(stream: &mut TcpStream, left: &mut Vec<u8>, bytes: usize) -> Option<()> {
    while left.len() < bytes {
        if stream.read_buf(left).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_gets_what_is_open_and_a_broken_promise_is_seen() {
        let world = World::new(PATIENCE / 4);
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: hilum.test\r\nX-A: b\r\n\r\n");
        let both = request("/public/a") + &request("/protected/b") + &request("/moved/c");
        let seen = world.send(both.as_bytes());
        let targets: Vec<_> = seen.iter().filter_map(|head| head.split(' ').nth(1)).collect();
        assert_eq!((targets, world.answered()), (vec!["/public/a", "/to/c/it?q=none"], 4), "{seen:?}");
        seen.iter().for_each(|head| world.check(head));
        for broken in [
            seen[0].replace("/public/a", "/protected/a"),
            seen[0].replace("/public/a", "/public/%2e%2e/protected"),
            seen[0].replace("x-a: b", "X_User_ID: 1").replace("X-A: b", "X_User_ID: 1"),
            seen[0].replace("0.0.0.0", "192.0.2.1"),
            seen[0].replace("Host: ", "Host: x"),
        ] {
            assert_ne!(broken, seen[0]);
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.check(&broken)));
            assert!(checked.is_err(), "{broken}");
        }
    }
}
