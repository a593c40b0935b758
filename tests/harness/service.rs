//! A service on a port of its own that does what a script says and keeps what it saw, byte for byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::client::find;
use super::{Reply, Step, within};

/// A request as a service saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// As it stands in the request line.
    pub(crate) target: String,
    /// Names as they were spelled, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// Without its transfer coding.
    pub(crate) body: Vec<u8>,
    /// The bytes of the head, the empty line included.
    pub(crate) head: Vec<u8>,
    /// Which connection it came on, counted from 1.
    pub(crate) connection: usize,
}

impl Seen {
    /// All lines of this name, whatever its case, joined by `, `.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn echo(&self) -> Vec<u8> {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| [name, value]).collect();
        let body = String::from_utf8_lossy(&self.body);
        serde_json::json!({ "method": self.method, "target": self.target, "headers": headers, "body": body })
            .to_string()
            .into_bytes()
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The running service. It ends when it is dropped.
pub(crate) struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
    /// Holds the port while the service is dead, so that nobody else gets it.
    held: Option<TcpSocket>,
}

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    changed: watch::Sender<()>,
}

impl Service {
    /// Starts a service that asks `script` what to do with each request. The script sees the head; the body is read by a step.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Service {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
        });
        let mut service = Service { address, shared, running: None, held: Some(socket) };
        service.restart();
        service
    }

    /// A service that gives every request the same answer.
    pub(crate) async fn always(reply: Reply) -> Service {
        Service::start(move |_| reply.clone()).await
    }

    /// `http://address:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests since the start whose heads have come, oldest first. Health checks are not among them.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// The newest request.
    pub(crate) fn last(&self) -> Seen {
        lock(&self.shared.seen).last().cloned().expect("a request was seen")
    }

    /// Waits until there are so many requests.
    pub(crate) async fn has_seen(&self, requests: usize) -> Vec<Seen> {
        let mut changes = self.shared.changed.subscribe();
        within("requests at the service", async {
            while self.seen().len() < requests {
                changes.changed().await.expect("the sender lives in self");
            }
        })
        .await;
        self.seen()
    }

    /// Waits until no connection is open.
    pub(crate) async fn is_left_alone(&self) {
        let mut changes = self.shared.changed.subscribe();
        within("the connections to a service to end", async {
            while self.shared.open.load(SeqCst) > 0 {
                changes.changed().await.expect("the sender lives in self");
            }
        })
        .await;
    }

    /// Connections since the start.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// Ends it at once, its connections included. From now on connecting is refused.
    pub(crate) async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _ = running.await;
            self.held = Some(bind(self.address));
        }
    }

    /// Goes on at the same address.
    pub(crate) fn restart(&mut self) {
        let Some(socket) = self.held.take() else { return };
        let listener = socket.listen(1024).expect("a bound socket can listen");
        self.running = Some(tokio::spawn(accept(listener, self.shared.clone())));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// A port that nobody listens on and nobody else can take.
pub(crate) struct Refusing(SocketAddr, #[allow(dead_code, reason = "holds the port")] TcpSocket);

impl Refusing {
    pub(crate) fn new() -> Refusing {
        let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0)));
        Refusing(socket.local_addr().expect("a bound socket has an address"), socket)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0)
    }
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a fresh socket takes options");
    socket.bind(address).unwrap_or_else(|e| panic!("{address} can't be bound: {e}"));
    socket
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let number = shared.connections.fetch_add(1, SeqCst) + 1;
                connections.spawn(Connection::new(stream, shared.clone(), number).serve());
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    number: usize,
    left: Vec<u8>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, SeqCst);
        self.shared.changed.send_replace(());
    }
}

impl Connection {
    fn new(stream: TcpStream, shared: Arc<Shared>, number: usize) -> Connection {
        shared.open.fetch_add(1, SeqCst);
        let _ = stream.set_nodelay(true);
        Connection { stream, shared, number, left: Vec::new() }
    }

    /// Requests one after the other, until one side has enough.
    async fn serve(mut self) {
        while let Some(seen) = self.next().await {
            let steps = (self.shared.script)(&seen).0;
            let is_check = seen.target == "/health";
            let at = (!is_check).then(|| {
                let mut all = lock(&self.shared.seen);
                all.push(seen.clone());
                all.len() - 1
            });
            self.shared.changed.send_replace(());
            let mut seen = seen;
            for step in steps {
                if self.perform(step, &mut seen, at).await.is_none() {
                    return;
                }
            }
        }
    }

    /// `None`: the connection is over.
    async fn perform(&mut self, step: Step, seen: &mut Seen, at: Option<usize>) -> Option<()> {
        match step {
            Step::ReadBody => {
                let whole = self.read_body(seen).await;
                self.note(seen, at);
                whole
            }
            Step::Send(bytes)
                if seen.method == "HEAD" && bytes.starts_with(b"HTTP/1.1 ") && !bytes.starts_with(b"HTTP/1.1 1") =>
            {
                // An answer to HEAD ends with its head, whatever it announces.
                let end = find(&bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
                self.stream.write_all(&bytes[..end]).await.ok()
            }
            Step::Send(_) if seen.method == "HEAD" => Some(()),
            Step::Send(bytes) => self.stream.write_all(&bytes).await.ok(),
            Step::Echo => {
                let body = seen.echo();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let body = if seen.method == "HEAD" { &[] } else { &*body };
                self.stream.write_all(&[head.as_bytes(), body].concat()).await.ok()
            }
            Step::Pause(time) => {
                tokio::time::sleep(time).await;
                Some(())
            }
            Step::Pipe => loop {
                let piece = std::mem::take(&mut self.left);
                self.stream.write_all(&piece).await.ok()?;
                self.fill().await?;
            },
            Step::Blocks(size) => loop {
                while self.left.len() < size {
                    self.fill().await?;
                }
                let block: Vec<u8> = self.left.drain(..size).collect();
                self.stream.write_all(&block).await.ok()?;
            },
            Step::Take(length) => {
                while self.left.len() < length {
                    self.fill().await?;
                }
                seen.body.extend(self.left.drain(..length));
                self.note(seen, at);
                Some(())
            }
            Step::ReadToEnd => {
                while self.fill().await.is_some() {}
                Some(())
            }
            Step::Deaf => std::future::pending().await,
            Step::Hang => loop {
                self.fill().await?;
            },
            Step::Close => {
                let _ = self.stream.shutdown().await;
                None
            }
            Step::Reset => {
                let _ = self.stream.set_zero_linger();
                None
            }
        }
    }

    /// Lets the test see the body as it is now.
    fn note(&self, seen: &Seen, at: Option<usize>) {
        if let Some(at) = at {
            lock(&self.shared.seen)[at].body.clone_from(&seen.body);
            self.shared.changed.send_replace(());
        }
    }

    async fn next(&mut self) -> Option<Seen> {
        let end = loop {
            match find(&self.left, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.fill().await?,
            }
        };
        let head: Vec<u8> = self.left.drain(..end).collect();
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.trim_end().split("\r\n");
        let mut first = lines.next()?.split(' ');
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Some(Seen {
            method: first.next()?.to_owned(),
            target: first.next()?.to_owned(),
            headers: headers.collect(),
            head,
            connection: self.number,
            ..Seen::default()
        })
    }

    async fn read_body(&mut self, seen: &mut Seen) -> Option<()> {
        if seen.header("transfer-encoding").is_some() {
            loop {
                let end = loop {
                    match find(&self.left, b"\r\n") {
                        Some(at) => break at,
                        None => self.fill().await?,
                    }
                };
                let line: Vec<u8> = self.left.drain(..end + 2).collect();
                let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).ok()?;
                while self.left.len() < size + 2 {
                    self.fill().await?;
                }
                seen.body.extend(self.left.drain(..size));
                self.left.drain(..2);
                if size == 0 {
                    return Some(());
                }
            }
        }
        let length = seen.header("content-length").and_then(|l| l.parse::<usize>().ok()).unwrap_or_default();
        while self.left.len() < length {
            self.fill().await?;
        }
        seen.body = self.left.drain(..length).collect();
        Some(())
    }

    async fn fill(&mut self) -> Option<()> {
        let mut piece = vec![0; 64 * 1024];
        let length = self.stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        self.left.extend_from_slice(&piece[..length]);
        Some(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
