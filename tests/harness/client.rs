//! A client's connection: bytes out, answers in. It hides nothing: interim answers, framing and early ends are told.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{message, within};

/// An open connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// What was read and belongs to nothing yet.
    left: Vec<u8>,
}

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case, in the order of the answer.
    pub(crate) headers: Vec<(String, String)>,
    /// Without its transfer coding.
    pub(crate) body: Vec<u8>,
    /// False when the connection ended before the body did.
    pub(crate) complete: bool,
    /// Statuses of the interim answers before it.
    pub(crate) interim: Vec<u16>,
}

impl Response {
    /// All lines of this name, joined as RFC 9110, 5.3 says; `None` when there is none.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values = self.all(name);
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Each line of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// The reason that Hilum gives; empty when a service answered.
    pub(crate) fn reason(&self) -> String {
        self.header("x-hilum-reason").unwrap_or_default()
    }

    /// The value that this answer gives the cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.all("set-cookie")
            .into_iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.split(';').next())
    }
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Client {
        Self::try_connect(to).await.unwrap_or_else(|e| panic!("no connection to {to}: {e}"))
    }

    pub(crate) async fn try_connect(to: SocketAddr) -> std::io::Result<Client> {
        let stream = within("a connection", TcpStream::connect(to)).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, left: Vec::new() })
    }

    /// From an address of loopback, 127.0.0.x, and with so much memory for what is not read yet, if that is said.
    pub(crate) async fn from(source: [u8; 4], to: SocketAddr, buffer: Option<u32>) -> std::io::Result<Client> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind((source, 0).into())?;
        let stream = within("a connection", socket.connect(to)).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, left: Vec::new() })
    }

    /// Sends the request that `text` stands for (see [`message`]) and reads its answer.
    pub(crate) async fn send(&mut self, text: &str) -> Response {
        self.write(&message(text)).await;
        self.read(text.trim_start().starts_with("HEAD ")).await
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        within("the gateway to take bytes", self.stream.write_all(bytes))
            .await
            .unwrap_or_else(|e| panic!("writing: {e}"));
    }

    /// Writes bytes; false when the other end does not take them any more.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        within("the gateway to take bytes", self.stream.write_all(bytes)).await.is_ok()
    }

    /// Writes bytes and reads at the same time, until all are written or the connection ends. What came is read next.
    pub(crate) async fn push(&mut self, bytes: &[u8]) {
        let (mut reading, mut writing) = self.stream.split();
        let mut rest = bytes;
        within("the gateway to take bytes", async {
            while !rest.is_empty() {
                tokio::select! {
                    biased;
                    written = writing.write(rest) => rest = written.map_or(&[], |n| &rest[n..]),
                    read = reading.read_buf(&mut self.left) => if !matches!(read, Ok(1..)) { break },
                }
            }
        })
        .await;
    }

    /// Writes bytes and reads at the same time, until so many have come back or the connection ends. What came is read next.
    pub(crate) async fn duplex(&mut self, bytes: &[u8], back: usize) {
        let (mut reading, mut writing) = self.stream.split();
        let mut rest = bytes;
        within("bytes to go both ways", async {
            while self.left.len() < back {
                tokio::select! {
                    written = writing.write(rest), if !rest.is_empty() => rest = written.map_or(&[], |n| &rest[n..]),
                    read = reading.read_buf(&mut self.left) => if !matches!(read, Ok(1..)) { break },
                }
            }
        })
        .await;
    }

    /// Leaves with a reset.
    pub(crate) fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// Ends this side of the connection, and goes on reading.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer. `to_head`: it answers HEAD and has no body whatever it announces.
    pub(crate) async fn read(&mut self, to_head: bool) -> Response {
        self.try_read(to_head).await.expect("the connection ended without an answer")
    }

    /// The next answer, or `None` when the connection ends without one.
    pub(crate) async fn try_read(&mut self, to_head: bool) -> Option<Response> {
        within("an answer", async {
            let mut answer = self.next_head().await?;
            match to_head {
                true => answer.complete = true,
                false => self.body(&mut answer).await,
            }
            Some(answer)
        })
        .await
    }

    /// The head of the next answer; what follows is read by [`Client::piece`].
    pub(crate) async fn head(&mut self) -> Response {
        within("the head of an answer", self.next_head()).await.expect("the connection ended without an answer")
    }

    /// The next bytes as they came; empty at the end of the connection.
    pub(crate) async fn piece(&mut self) -> Vec<u8> {
        if self.left.is_empty() {
            within("more bytes", self.fill()).await;
        }
        std::mem::take(&mut self.left)
    }

    /// Reads up to the end of `text`, which must come, and gives all that came before it too. What follows is left.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = find(&self.left, text.as_bytes()) {
                let all: Vec<u8> = self.left.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&all).into_owned();
            }
            let more = within(text, self.fill()).await;
            assert!(more, "the connection ended before {text:?} came: {:?}", String::from_utf8_lossy(&self.left));
        }
    }

    /// Waits until the other end closes, and tells how long that took. Bytes that come before are dropped.
    pub(crate) async fn closed(&mut self) -> Duration {
        let since = Instant::now();
        self.left.clear();
        within("the connection to end", async {
            while self.fill().await {
                self.left.clear();
            }
        })
        .await;
        since.elapsed()
    }

    async fn next_head(&mut self) -> Option<Response> {
        let mut interim = Vec::new();
        loop {
            let end = loop {
                match find(&self.left, b"\r\n\r\n") {
                    Some(at) => break at,
                    None if !self.fill().await => return None,
                    None => {}
                }
            };
            let head: Vec<u8> = self.left.drain(..end + 4).collect();
            let mut answer = parse(&head);
            match answer.status {
                // A 101 is final: what follows is another protocol.
                100 | 102..200 => interim.push(answer.status),
                _ => {
                    answer.interim = interim;
                    return Some(answer);
                }
            }
        }
    }

    async fn body(&mut self, answer: &mut Response) {
        answer.complete = match (answer.header("transfer-encoding"), answer.header("content-length")) {
            _ if [101, 204, 304].contains(&answer.status) => true,
            (Some(_), _) => self.chunks(&mut answer.body).await,
            (None, Some(length)) => {
                let length = length.parse().unwrap_or_else(|_| panic!("content-length: {length}"));
                let whole = self.at_least(length).await;
                answer.body = self.left.drain(..length.min(self.left.len())).collect();
                whole
            }
            (None, None) => {
                while self.fill().await {}
                answer.body = std::mem::take(&mut self.left);
                true
            }
        };
    }

    /// Reads chunks (RFC 9112, 7.1) up to the last one.
    async fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let end = loop {
                match find(&self.left, b"\r\n") {
                    Some(at) => break at,
                    None if !self.fill().await => return false,
                    None => {}
                }
            };
            let line: Vec<u8> = self.left.drain(..end + 2).collect();
            let size = String::from_utf8_lossy(&line);
            let size = size.trim().split(';').next().unwrap_or_default().to_owned();
            let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a chunk of size {size:?}"));
            if !self.at_least(size + 2).await {
                body.extend(self.left.drain(..size.min(self.left.len())));
                return false;
            }
            body.extend(self.left.drain(..size));
            self.left.drain(..2);
            if size == 0 {
                return true;
            }
        }
    }

    async fn at_least(&mut self, bytes: usize) -> bool {
        while self.left.len() < bytes {
            if !self.fill().await {
                return false;
            }
        }
        true
    }

    /// False at the end, however it came.
    async fn fill(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        match self.stream.read(&mut piece).await {
            Ok(length @ 1..) => {
                self.left.extend_from_slice(&piece[..length]);
                true
            }
            _ => false,
        }
    }
}

/// Sends one request on a connection of its own.
pub(super) async fn send(to: SocketAddr, text: &str) -> Response {
    Client::connect(to).await.send(text).await
}

pub(super) fn parse(head: &[u8]) -> Response {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|l| l.get(2..5)?.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {first:?}"));
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    Response { status, headers: headers.collect(), ..Response::default() }
}

pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
