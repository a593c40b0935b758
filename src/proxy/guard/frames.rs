//! What a client of HTTP/2 sends, frame by frame: how many requests it begins, and how much comes that is no part of one.
//!
//! h2 ends a connection for resets, malformed heads, CONTINUATION and small DATA without end. PING and SETTINGS it answers for ever,
//! and PRIORITY, WINDOW_UPDATE and frames that it does not know it reads for ever (RFC 9113, 10.5).

use std::time::{Duration, Instant};

/// The connection preface (RFC 9113, 3.4).
const PREFACE: usize = 24;
/// Length, type, flags and stream (RFC 9113, 4.1).
const HEAD: usize = 9;

/// What frames beside the requests may cost at once.
const MOST: u32 = 10_000;
/// What of that comes back in a second.
const A_SECOND: u32 = 1000;
/// A client tells of room for more after what it took: so many bytes to it give one back.
const TAKEN: u64 = 1024;

/// So many of them beside its requests that it is no good client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// Reads the heads of frames and passes over the rest.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// How much of it has come.
    filled: usize,
    /// Bytes that come before the next one.
    passing: usize,
    /// The highest stream that was begun.
    last: u32,
    heads: u32,
    left: u32,
    /// When `left` was told last, and how much had been sent to the client by then.
    since: Instant,
    sent: u64,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Frames {
        let (head, filled, last, heads, sent) = Default::default();
        Frames { head, filled, passing: PREFACE, last, heads, left: MOST, since: now, sent }
    }

    /// How many requests were begun.
    pub(super) fn heads(&self) -> u32 {
        self.heads
    }

    /// More has come, and so many bytes have been sent to the client in all.
    ///
    /// # Errors
    /// It is more than a good client has to say.
    pub(super) fn came(&mut self, mut bytes: &[u8], now: Instant, sent: u64) -> Result<(), Flood> {
        while !bytes.is_empty() {
            if self.passing > 0 {
                let passed = self.passing.min(bytes.len());
                self.passing -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let part = (HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + part].copy_from_slice(&bytes[..part]);
            self.filled += part;
            bytes = &bytes[part..];
            if self.filled == HEAD {
                self.filled = 0;
                self.begins(now, sent)?;
            }
        }
        Ok(())
    }

    fn begins(&mut self, now: Instant, sent: u64) -> Result<(), Flood> {
        let [a, b, c, kind, _, stream @ ..] = self.head;
        self.passing = u32::from_be_bytes([0, a, b, c]) as usize;
        // The first bit says nothing.
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        let cost = match kind {
            // A head, unless it is of trailers.
            1 => {
                if stream > self.last {
                    self.last = stream;
                    self.heads += 1;
                }
                0
            }
            // DATA, RST_STREAM, GOAWAY and CONTINUATION: each belongs to a request, and h2 bounds them.
            0 | 3 | 7 | 9 => 0,
            // SETTINGS and PING are answered.
            4 | 6 => 10,
            _ => 1,
        };
        self.pay(cost, now, sent)
    }

    fn pay(&mut self, cost: u32, now: Instant, sent: u64) -> Result<(), Flood> {
        if self.left < cost {
            let time = now.saturating_duration_since(self.since).as_millis() * u128::from(A_SECOND)
                / Duration::from_secs(1).as_millis();
            let taken = u128::from(sent.saturating_sub(self.sent) / TAKEN);
            let earned = u32::try_from(time + taken).unwrap_or(MOST);
            self.left = self.left.saturating_add(earned).min(MOST);
            (self.since, self.sent) = (now, sent);
        }
        self.left = self.left.checked_sub(cost).ok_or(Flood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        [&size[1..], &[kind, 0], &stream.to_be_bytes(), &vec![0; length]].concat()
    }

    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    #[test]
    fn requests_are_counted_however_the_bytes_are_cut() {
        let all = [
            HELLO,
            &frame(4, 0, 12),
            &frame(1, 1, 300),
            &frame(9, 1, 70_000),
            // A body with trailers.
            &frame(1, 3, 20),
            &frame(0, 3, 100),
            &frame(1, 3, 20),
            &frame(1, 0x8000_0005, 0),
            &frame(3, 5, 4),
        ]
        .concat();
        for size in [1, 2, 8, 9, 10, 24, 25, 1000, all.len()] {
            let now = Instant::now();
            let mut frames = Frames::new(now);
            for piece in all.chunks(size) {
                frames.came(piece, now, 0).unwrap();
            }
            assert_eq!((frames.heads(), frames.last, frames.passing, frames.filled), (3, 5, 0, 0), "{size}");
        }
    }

    /// Each step: so many seconds later, and so many bytes to the client later, so many frames of a kind come. Which of all was too many?
    fn check(steps: &[(u64, u64, u8, usize)], expected: Option<usize>) {
        let begin = Instant::now();
        let mut frames = Frames::new(begin);
        frames.came(HELLO, begin, 0).unwrap();
        let (mut now, mut sent, mut count) = (begin, 0, 0);
        for (seconds, bytes, kind, number) in steps {
            now += Duration::from_secs(*seconds);
            sent += bytes;
            for _ in 0..*number {
                count += 1;
                if frames.came(&frame(*kind, 0, 8), now, sent).is_err() {
                    return assert_eq!(Some(count), expected, "{:?}", steps[0]);
                }
            }
        }
        assert_eq!(expected, None, "{:?}", steps[0]);
    }

    #[test]
    fn what_is_no_request_has_a_bound() {
        for kind in [4, 6] {
            check(&[(0, 0, kind, 5000)], Some(1001));
        }
        for kind in [2, 5, 8, 10, 255] {
            check(&[(0, 0, kind, 50_000)], Some(10_001));
        }
        for kind in [0, 1, 3, 9] {
            check(&[(0, 0, kind, 50_000)], None);
        }
        // A client that asks each second whether we are there may do so for a day.
        check(&[(1, 0, 6, 10); 1000], None);
        check(&[(1, 0, 6, 100); 1000], None);
        check(&[(1, 0, 6, 200); 1000], Some(2101));
        // What is saved up has a bound too.
        check(&[(0, 0, 6, 1000), (3600, 0, 6, 5000)], Some(2001));
        // Who takes a gigabyte tells twice for each frame of it.
        check(&[(0, 1 << 30, 8, 131_072)], Some(10_000 + 10_000 + 1));
        check(&[(0, 16 * 1024, 8, 2); 65_536], None);
    }
}
