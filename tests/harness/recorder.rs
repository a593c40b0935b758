//! A service that trusts nobody: it reads requests by the letter of RFC 9112, keeps those that are whole, and what is none it tells.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::client::find;
use super::{Seen, within};

/// The running service. It answers each whole request with 200 and `took METHOD TARGET`. It ends when it is dropped.
pub(crate) struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    whole: Mutex<Vec<Seen>>,
    faults: Mutex<Vec<String>>,
    changed: watch::Sender<()>,
}

impl Recorder {
    pub(crate) async fn start() -> Recorder {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let running = tokio::spawn(accept(listener, shared.clone()));
        Recorder { address, shared, running }
    }

    /// `http://address:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The whole requests since this was asked last.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.shared.whole))
    }

    /// Waits until a request for this target is whole.
    pub(crate) async fn has(&self, target: &str) {
        let mut changes = self.shared.changed.subscribe();
        within(target, async {
            while !lock(&self.shared.whole).iter().any(|seen| seen.target == target) {
                changes.changed().await.expect("the sender lives in self");
            }
        })
        .await;
    }

    /// What came and is no request, since the start.
    pub(crate) fn faults(&self) -> Vec<String> {
        lock(&self.shared.faults).clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with this task, and all connections with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, shared.clone()));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let (mut came, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        match request(&came) {
            Ok(Some((seen, end))) => {
                came.drain(..end);
                let body = format!("took {} {}", seen.method, seen.target);
                lock(&shared.whole).push(seen);
                shared.changed.send_replace(());
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let answer =
                    if body.starts_with("took HEAD ") { &answer[..answer.len() - body.len()] } else { &answer };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Ok(None) => match stream.read(&mut piece).await {
                Ok(length @ 1..) => came.extend_from_slice(&piece[..length]),
                _ => return,
            },
            Err(fault) => {
                lock(&shared.faults).push(format!("{fault}: {}", came.escape_ascii()));
                return;
            }
        }
    }
}

/// The first request of these bytes and where it ends; nothing while it is not whole.
fn request(came: &[u8]) -> Result<Option<(Seen, usize)>, &'static str> {
    let Some(end) = find(came, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&came[..end]).map_err(|_| "the head is no text")?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) = (first.next(), first.next(), first.next(), first.next())
    else {
        return Err("the request line");
    };
    if !method.bytes().all(is_token) || !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the request line");
    }
    let mut seen = Seen { method: method.to_owned(), target: target.to_owned(), ..Seen::default() };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
        if name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f)
        {
            return Err("a header");
        }
        seen.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    seen.head = came[..end + 4].to_vec();
    let count = |name: &str| seen.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count();
    if count("host") != 1 || count("content-length") + count("transfer-encoding") > 1 {
        return Err("two framings, or not one host");
    }
    let rest = &came[end + 4..];
    let body = match (seen.header("transfer-encoding"), seen.header("content-length")) {
        (Some(coding), _) if coding != "chunked" => return Err("a transfer coding"),
        (Some(_), _) => chunks(rest)?,
        (None, Some(length)) if length.bytes().all(|b| b.is_ascii_digit()) && !length.is_empty() => {
            let length = length.parse().map_err(|_| "a length")?;
            rest.get(..length).map(|body| (body.to_vec(), length))
        }
        (None, Some(_)) => return Err("a length"),
        (None, None) => Some((Vec::new(), 0)),
    };
    let Some((body, length)) = body else { return Ok(None) };
    seen.body = body;
    Ok(Some((seen, end + 4 + length)))
}

/// The data of chunks and how many bytes they are, without extensions and trailers: nobody sends any to a service.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let line = std::str::from_utf8(&bytes[at..at + end]).map_err(|_| "a chunk's size")?;
        if line.is_empty() || !line.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("a chunk's size");
        }
        let size = usize::from_str_radix(line, 16).map_err(|_| "a chunk's size")?;
        at += end + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk's end");
        }
        data.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((data, at)));
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
