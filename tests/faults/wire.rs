//! One end of an HTTP/1.1 connection that never panics at what the other end does: each way in which a message can end is told apart.
//! Both the load and the services stand on it.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Wire {
    stream: TcpStream,
    /// What was read and belongs to nothing yet.
    left: Vec<u8>,
}

/// The head of a request or of an answer.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The request line or the status line.
    pub(crate) first: String,
    headers: Vec<(String, String)>,
}

/// Why there is no whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing of it came.
    Before,
    /// A part of it came.
    Amid,
    /// What came is no HTTP.
    Garbage,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        self.first.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }

    /// Whether the connection ends with this message (RFC 9112, 9.6).
    pub(crate) fn says_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
    }

    fn parse(bytes: &[u8]) -> Option<Head> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().filter(|line| line.contains("HTTP/1."))?.to_owned();
        let split = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Some(Head { first, headers: lines.map(split).collect::<Option<_>>()? })
    }
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Wire {
        let _ = stream.set_nodelay(true);
        Wire { stream, left: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Whether the other end has closed, or said something unasked: then nothing should be sent any more.
    pub(crate) fn is_over(&self) -> bool {
        let mut byte = [0];
        !self.left.is_empty()
            || !matches!(self.stream.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    /// The next head that is final: interim answers are passed over, a 101 is final.
    pub(crate) async fn head(&mut self) -> Result<Head, End> {
        loop {
            let end = loop {
                match find(&self.left, b"\r\n\r\n") {
                    Some(at) => break at + 4,
                    None if self.fill().await => {}
                    None if self.left.is_empty() => return Err(End::Before),
                    None => return Err(if self.left.starts_with(b"HTTP/1.1 ") { End::Amid } else { End::Garbage }),
                }
            };
            let head: Vec<u8> = self.left.drain(..end).collect();
            let head = Head::parse(&head).ok_or(End::Garbage)?;
            if !matches!(head.status(), Some(100 | 102..200)) {
                return Ok(head);
            }
        }
    }

    /// The body that belongs to this head. Without a length and without chunks, a request has none and an answer goes to the end.
    pub(crate) async fn body(&mut self, head: &Head, is_answer: bool) -> Result<Vec<u8>, End> {
        if head.header("transfer-encoding").is_some() {
            return self.chunks().await;
        }
        match head.header("content-length").map(str::parse) {
            Some(Ok(length)) => self.take(length).await,
            Some(Err(_)) => Err(End::Garbage),
            None if is_answer && !matches!(head.status(), Some(204 | 304)) => {
                while self.fill().await {}
                Ok(std::mem::take(&mut self.left))
            }
            None => Ok(Vec::new()),
        }
    }

    /// So many bytes.
    pub(crate) async fn take(&mut self, length: usize) -> Result<Vec<u8>, End> {
        while self.left.len() < length {
            if !self.fill().await {
                return Err(End::Amid);
            }
        }
        Ok(self.left.drain(..length).collect())
    }

    /// Sends back what comes until the other end closes.
    pub(crate) async fn echo(&mut self) {
        loop {
            let piece = std::mem::take(&mut self.left);
            if self.write(&piece).await.is_err() || !self.fill().await {
                return;
            }
        }
    }

    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, End> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match find(&self.left, b"\r\n") {
                    Some(at) => break at,
                    None if !self.fill().await => return Err(End::Amid),
                    None => {}
                }
            };
            let line: Vec<u8> = self.left.drain(..end + 2).collect();
            let size = String::from_utf8_lossy(&line);
            let size = size.trim().split(';').next().unwrap_or_default().to_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|_| End::Garbage)?;
            body.extend(self.take(size).await?);
            self.take(2).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    /// False at the end, however it came.
    async fn fill(&mut self) -> bool {
        self.left.reserve(16 * 1024);
        matches!(self.stream.read_buf(&mut self.left).await, Ok(1..))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
