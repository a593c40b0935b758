//! An HTTP/2 connection as bytes: any frame, in any order, with any header.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// How long an answer is waited for, longer than every deadline of the gateway under test.
const SILENCE: Duration = Duration::from_secs(6);

/// A frame (RFC 9113, 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields as literals without an index (RFC 7541, 6.2.2), whatever stands in them.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A field that the other end shall keep in its table (RFC 7541, 6.2.1).
pub(crate) fn kept(name: &str, value: &str) -> Vec<u8> {
    let mut field = fields(&[(name, value)]);
    field[0] = 0x40;
    field
}

/// RFC 7541, 5.1, with 7 bits in the first byte.
fn length(mut length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        return block.push(u8::try_from(length).expect("it is small"));
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(u8::try_from(length % 128).expect("it is small") | 128);
        length /= 128;
    }
    block.push(u8::try_from(length).expect("it is small"));
}

/// A frame that came.
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    left: Vec<u8>,
    came: Vec<Frame>,
    is_closed: bool,
}

impl Wire {
    /// Says hello.
    pub(crate) async fn new(stream: TlsStream<TcpStream>) -> Wire {
        let mut wire = Wire { stream, left: Vec::new(), came: Vec::new(), is_closed: false };
        wire.send(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, 0, &[])].concat()).await;
        wire
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // The other end may have closed already, which is told by what is read.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Writes and reads at the same time, until all is written or the connection ends. What came is looked at next.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) {
        let (mut reading, mut writing) = tokio::io::split(&mut self.stream);
        let left = &mut self.left;
        let read = async { while matches!(reading.read_buf(left).await, Ok(1..)) {} };
        let write = async {
            let written = writing.write_all(bytes).await;
            if written.is_err() || writing.flush().await.is_err() {
                // What was said before the end is still there to be read.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = read => {}
            () = write => {}
        }
    }

    /// How a stream ended: `status N`, `reset CODE`, `goaway CODE`, `closed` or `silence`.
    pub(crate) async fn end_of(&mut self, stream: u32) -> String {
        self.until(|frame| match frame.kind {
            1 if frame.stream == stream => Some(format!("status {}", status(&frame.payload))),
            _ => frame.ends(stream),
        })
        .await
    }

    /// The same for what has come by now; `None`: the stream goes on.
    pub(crate) async fn ended(&mut self, stream: u32) -> Option<String> {
        tokio::time::timeout(Duration::ZERO, self.end_of(stream)).await.ok()
    }

    /// How a stream ended after its head: `whole`, `reset CODE`, or as the connection did.
    pub(crate) async fn rest_of(&mut self, stream: u32) -> String {
        self.until(|frame| match frame.kind {
            0 | 1 if frame.stream == stream && frame.flags & 1 != 0 => Some("whole".to_owned()),
            _ => frame.ends(stream),
        })
        .await
    }

    /// How a stream was reset, whatever came before.
    pub(crate) async fn reset_of(&mut self, stream: u32) -> String {
        self.until(|frame| frame.ends(stream)).await
    }

    /// Waits for the end of the connection itself.
    pub(crate) async fn is_over(&mut self) -> String {
        self.until(|_| None).await
    }

    /// Ends it as a client does that has no more to ask.
    pub(crate) async fn finish(mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// How the connection ended.
    pub(crate) async fn end(&mut self) -> String {
        self.until(|frame| (frame.kind == 7).then(|| format!("goaway {}", frame.payload[7]))).await
    }

    /// What came so far.
    pub(crate) fn came(&self) -> &[Frame] {
        &self.came
    }

    async fn until(&mut self, wanted: impl Fn(&Frame) -> Option<String>) -> String {
        let mut looked_at = 0;
        loop {
            self.parse();
            if let Some(found) = self.came[looked_at..].iter().find_map(&wanted) {
                return found;
            }
            looked_at = self.came.len();
            if self.is_closed {
                return "closed".to_owned();
            }
            let mut piece = [0; 16 * 1024];
            match tokio::time::timeout(SILENCE, self.stream.read(&mut piece)).await {
                Err(_) => return "silence".to_owned(),
                Ok(Ok(length @ 1..)) => self.left.extend_from_slice(&piece[..length]),
                Ok(_) => self.is_closed = true,
            }
        }
    }

    fn parse(&mut self) {
        let mut at = 0;
        while let Some(head) = self.left.get(at..at + 9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let (kind, flags) = (head[3], head[4]);
            let Some(payload) = self.left.get(at + 9..at + 9 + length) else { break };
            self.came.push(Frame { kind, flags, stream, payload: payload.to_vec() });
            at += 9 + length;
        }
        self.left.drain(..at);
    }
}

impl Frame {
    /// How it ends this stream before its end.
    fn ends(&self, stream: u32) -> Option<String> {
        match self.kind {
            3 if self.stream == stream => Some(format!("reset {}", self.payload[3])),
            7 if self.payload[7] != 0 => Some(format!("goaway {}", self.payload[7])),
            _ => None,
        }
    }
}

/// The status of a head (RFC 7541, appendix A): one that has an index of its own, or a text behind the index of its name. 0: it was
/// said before, and is in a table that is not kept here.
fn status(block: &[u8]) -> u16 {
    // Behind an update of the table's size.
    let block = if block.first() == Some(&0x20) { &block[1..] } else { block };
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x08 | 0x48, length, code @ ..] if length & 0x80 != 0 => digits(code),
        _ => 0,
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B): 0 to 2 have five bits, 3 to 9 six.
fn digits(code: &[u8]) -> u16 {
    let bits =
        code.iter().take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (4 - code.len().min(3)));
    let (mut number, mut at) = (0, 0);
    for _ in 0..3 {
        let next = bits << at;
        let (digit, length) = if next >> 27 < 3 { (next >> 27, 5) } else { ((next >> 26).wrapping_sub(0x16), 6) };
        number = number * 10 + u16::try_from(digit).expect("a digit");
        at += length;
    }
    number
}
