//! Which of a client's bytes belong to which request of its connection, so that a body can be looked at before Pingora reads it.
//!
//! Pingora reads more than it is asked for: a read that ends a head may bring the body with it and the next requests as well. What
//! was read beyond is kept here until the head it follows is understood; in nearly every request that is nothing.

use bytes::{Buf, BytesMut};

use super::chunks::{Chunks, IllFramed};
use crate::refusal::Reason;

/// How a head says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
}

#[derive(Debug, Default)]
pub(super) struct Wire {
    now: Now,
    /// What has come and belongs to no body: the head that is being read, or the next ones.
    kept: BytesMut,
}

/// What the next byte belongs to.
#[derive(Debug, Default)]
enum Now {
    #[default]
    Head,
    /// So much is missing.
    Length(u64),
    Chunked(Chunks),
    /// To nothing that anybody will read as a request.
    Nothing,
    IllFramed,
}

/// A head that is longer is refused whatever it says; it is not kept a second time beside Pingora's own copy.
const HEAD: usize = 128 * 1024;

/// Beyond that the room is given back after a request: a connection may be idle for long.
const ROOM: usize = 4 * 1024;

impl Wire {
    /// Before the next head. What came with the last request stays.
    pub(super) fn begin(&mut self) {
        self.now = match std::mem::take(&mut self.now) {
            Now::Head | Now::Length(0) => Now::Head,
            Now::Chunked(chunks) if chunks.is_over() => Now::Head,
            Now::IllFramed => Now::IllFramed,
            _ => Now::Nothing,
        };
        // Its capacity says nothing here: what lies before a read position does not count.
        if self.kept.is_empty() && self.kept.try_reclaim(ROOM + 1) {
            self.kept = BytesMut::new();
        }
    }

    /// Bytes have come.
    pub(super) fn came(&mut self, bytes: &[u8]) -> Result<(), IllFramed> {
        let body = match &mut self.now {
            Now::Head if self.kept.len() + bytes.len() > HEAD => {
                self.let_go();
                return Ok(());
            }
            Now::Head => 0,
            Now::Length(left) => take(left, bytes.len()),
            Now::Chunked(chunks) => match chunks.scan(bytes) {
                Ok(body) => body,
                Err(IllFramed) => return self.refuse(),
            },
            Now::Nothing => return Ok(()),
            Now::IllFramed => return Err(IllFramed),
        };
        self.kept.extend_from_slice(&bytes[body..]);
        Ok(())
    }

    /// The head is complete, `head` as Pingora read it, and says how its body is framed.
    ///
    /// # Errors
    /// What has come of the body already is not framed so, or the head was too long.
    pub(super) fn head_is_read(&mut self, head: &[u8], framing: Framing) -> Result<(), Reason> {
        if !matches!(self.now, Now::Head) {
            return Err(Reason::HeadersTooLarge);
        }
        // Pingora writes blanks in a target as `%20`; what came is shorter then, and ends with the first empty line all the same.
        let end = match self.kept.starts_with(head) {
            true => Some(head.len()),
            false => memchr::memmem::find(&self.kept, b"\r\n\r\n").map(|at| at + 4),
        };
        let Some(end) = end else {
            self.let_go();
            return Err(Reason::FramingRejected);
        };
        self.kept.advance(end);
        let came = self.kept.len();
        let body = match framing {
            Framing::Length(mut left) => {
                let body = take(&mut left, came);
                self.now = Now::Length(left);
                body
            }
            Framing::Chunked => {
                let mut chunks = Chunks::new();
                let Ok(body) = chunks.scan(&self.kept) else {
                    return self.refuse().map_err(|IllFramed| Reason::FramingRejected);
                };
                self.now = Now::Chunked(chunks);
                body
            }
        };
        self.kept.advance(body);
        Ok(())
    }

    /// Nothing that comes is a request any more.
    pub(super) fn let_go(&mut self) {
        *self = Wire { now: Now::Nothing, kept: BytesMut::new() };
    }

    fn refuse(&mut self) -> Result<(), IllFramed> {
        *self = Wire { now: Now::IllFramed, kept: BytesMut::new() };
        Err(IllFramed)
    }
}

/// How many of `came` bytes are among those that are left, which become fewer.
fn take(left: &mut u64, came: usize) -> usize {
    let taken = usize::try_from(*left).map_or(came, |left| left.min(came));
    *left -= taken as u64;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    const CHUNKS: &[u8] = b"5\r\nhello\r\n0\r\n\r\n";

    fn wire(came: &[&[u8]]) -> Wire {
        let mut wire = Wire::default();
        wire.begin();
        wire.came(&came.concat()).unwrap();
        wire
    }

    #[test]
    fn what_comes_with_a_head_is_its_body_and_then_the_next_request() {
        for (framing, body) in [(Framing::Chunked, CHUNKS), (Framing::Length(5), b"hello"), (Framing::Length(0), b"")] {
            let all = [HEAD, body, HEAD, body, HEAD].concat();
            // However the bytes are cut into reads that end at or behind the head.
            for first in HEAD.len()..=all.len() {
                let mut wire = wire(&[&all[..first]]);
                wire.head_is_read(HEAD, framing).unwrap();
                wire.came(&all[first..]).unwrap();
                for _ in 0..2 {
                    wire.begin();
                    assert!(wire.kept.starts_with(HEAD), "{framing:?} {first}");
                    wire.head_is_read(HEAD, framing).unwrap();
                }
                assert!(wire.kept.is_empty(), "{framing:?} {first}");
            }
        }
    }

    #[test]
    fn a_fault_is_found_with_the_head_and_behind_it_and_stays() {
        let bad = b"5\r\nhello\r\n\r\n\r\n";
        for first in 0..=bad.len() {
            let mut wire = wire(&[HEAD, &bad[..first]]);
            let with = wire.head_is_read(HEAD, Framing::Chunked);
            let behind = wire.came(&bad[first..]);
            assert!(with == Err(Reason::FramingRejected) || behind.is_err(), "{first}");
            wire.begin();
            assert_eq!(wire.came(b"x"), Err(IllFramed));
        }
    }

    #[test]
    fn a_head_that_pingora_wrote_anew_ends_where_it_ended() {
        let mut wire = wire(&[b"POST /a b HTTP/1.1\r\nHost: a\r\n\r\n", CHUNKS, HEAD]);
        wire.head_is_read(b"POST /a%20b HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Chunked).unwrap();
        wire.begin();
        assert_eq!(&wire.kept[..], HEAD);
    }

    #[test]
    fn after_half_a_body_nothing_is_a_head() {
        for (framing, half) in [(Framing::Length(5), &b"half"[..]), (Framing::Chunked, b"5\r\nhello\r\n0\r\n")] {
            let mut wire = wire(&[HEAD, half]);
            wire.head_is_read(HEAD, framing).unwrap();
            wire.begin();
            wire.came(HEAD).unwrap();
            assert_eq!(wire.head_is_read(HEAD, Framing::Length(0)), Err(Reason::HeadersTooLarge), "{framing:?}");
        }
    }

    #[test]
    fn a_head_is_kept_up_to_a_bound() {
        for (length, is_kept) in [(super::HEAD, true), (super::HEAD + 1, false)] {
            let mut wire = wire(&[&vec![b'a'; length - 1]]);
            wire.came(b"a").unwrap();
            assert_eq!(wire.kept.len(), if is_kept { length } else { 0 });
            assert_eq!(wire.head_is_read(b"a", Framing::Length(0)).is_ok(), is_kept);
        }
        assert_eq!(super::HEAD, 131_072);
    }

    #[test]
    fn small_requests_share_one_buffer_and_a_large_one_gives_its_own_back() {
        let mut small = wire(&[HEAD]);
        let next = |wire: &mut Wire, head: &[u8]| {
            wire.head_is_read(head, Framing::Length(0)).unwrap();
            wire.begin();
            wire.came(head).unwrap();
        };
        next(&mut small, HEAD);
        let cost = allocation_counter::measure(|| {
            for _ in 0..1000 {
                next(&mut small, HEAD);
            }
        });
        assert_eq!(cost.count_total, 0);
        for (size, stays) in [(4096, 4096), (4097, 0), (20_000, 0)] {
            let large = vec![b'a'; size];
            let mut wire = Wire::default();
            let cost = allocation_counter::measure(|| {
                wire.came(&large).unwrap();
                wire.head_is_read(&large, Framing::Length(0)).unwrap();
                wire.begin();
            });
            assert_eq!(cost.bytes_current, stays, "{size}");
            // What belongs to the next request is not given back.
            wire.came(&large).unwrap();
            wire.came(HEAD).unwrap();
            wire.head_is_read(&large, Framing::Length(0)).unwrap();
            wire.begin();
            assert_eq!(&wire.kept[..], HEAD);
        }
    }
}
