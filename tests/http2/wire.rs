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

pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    left: Vec<u8>,
    /// What came and was not asked for yet: kind, stream and payload.
    came: Vec<(u8, u32, Vec<u8>)>,
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

    /// Writes and reads at the same time, until all is written or the connection ends.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) {
        let (mut reading, mut writing) = tokio::io::split(&mut self.stream);
        let read = async { while matches!(reading.read(&mut [0; 64 * 1024]).await, Ok(1..)) {} };
        let write = async {
            let _ = writing.write_all(bytes).await;
            let _ = writing.flush().await;
        };
        tokio::select! {
            () = read => {}
            () = write => {}
        }
    }

    /// How a stream ended: `status N`, `reset CODE`, `goaway CODE`, `closed` or `silence`.
    pub(crate) async fn end_of(&mut self, stream: u32) -> String {
        self.until(|kind, on, payload| match kind {
            1 if on == stream => Some(format!("status {}", status(payload))),
            3 if on == stream => Some(format!("reset {}", payload[3])),
            7 if payload[7] != 0 => Some(format!("goaway {}", payload[7])),
            _ => None,
        })
        .await
    }

    /// How the connection ended.
    pub(crate) async fn end(&mut self) -> String {
        self.until(|kind, _, payload| (kind == 7).then(|| format!("goaway {}", payload[7]))).await
    }

    async fn until(&mut self, wanted: impl Fn(u8, u32, &[u8]) -> Option<String>) -> String {
        let mut looked_at = 0;
        loop {
            for (kind, stream, payload) in &self.came[looked_at..] {
                if let Some(found) = wanted(*kind, *stream, payload) {
                    return found;
                }
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
            while self.left.len() >= 9 {
                let length = u32::from_be_bytes([0, self.left[0], self.left[1], self.left[2]]) as usize;
                if self.left.len() < 9 + length {
                    break;
                }
                let whole: Vec<u8> = self.left.drain(..9 + length).collect();
                let stream = u32::from_be_bytes([whole[5], whole[6], whole[7], whole[8]]);
                self.came.push((whole[3], stream, whole[9..].to_vec()));
            }
        }
    }
}

/// The statuses that have an index of their own (RFC 7541, appendix A); 0: another.
fn status(block: &[u8]) -> u16 {
    match block.first() {
        Some(0x88) => 200,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        _ => 0,
    }
}
