//! What a process finds when it begins its chain: who else writes, who has ended, and whether somebody was at the head.

use std::fs::File;
use std::io::Result;

use super::chain::{Key, NONE};
use super::head::{End, Found, Head, real_end};
use super::place::Place;
use super::segment::{body, text};

/// The log before a start. Read under the lock of the head.
pub(super) struct Before {
    /// The head as it is.
    pub(super) head: Head,
    /// Those that are still written.
    pub(super) live: Vec<End>,
    /// Those that ended since the last start, with the bytes behind their last record.
    ended: Vec<(End, u64)>,
    /// The head is gone, or was changed.
    lost: bool,
}

impl Before {
    pub(super) fn read(place: &Place, key: &Key) -> Result<Before> {
        let (head, lost) = match Head::read(place, key)? {
            Found::Good(head) => (head, false),
            Found::Bad => (Head::default(), true),
            // Where nothing was ever recorded nothing is missing: a process found no room, or was killed before its first record.
            Found::Nothing => (Head::default(), place.holds_records()?),
        };
        if lost {
            log::error!(
                "the audit log was tampered with or has another key: {} is gone or was changed",
                place.head().display()
            );
        }
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        for end in &head.chains {
            match is_written(place, &end.writer)? {
                true => live.push(end.clone()),
                false => ended.push(real_end(place, key, end)),
            }
        }
        // Who never wrote a record left nothing that could be missed.
        ended.retain(|(end, _)| end.seq > 0);
        Ok(Before { head, live, ended, lost })
    }

    /// The first record of the chain that begins.
    pub(super) fn first(&self, time: &str, writer: &str, config: &str) -> Vec<u8> {
        let known = |end: &End| serde_json::json!({ "writer": end.writer, "segment": end.segment, "seq": end.seq, "mac": end.mac });
        let follows: Vec<_> = self
            .ended
            .iter()
            .map(|(end, rest)| {
                let mut known = known(end);
                known["incomplete"] = (*rest).into();
                known
            })
            .collect();
        let beside: Vec<_> = self.live.iter().map(known).collect();
        body(&serde_json::json!({
            "time": time, "event": "start", "writer": writer, "segment": 1, "prev": text(&NONE),
            "version": env!("CARGO_PKG_VERSION"), "config": config, "follows": follows, "beside": beside, "head_lost": self.lost,
        }))
    }
}

/// Whether some process holds a segment of that writer. A process that has ended, however it did, holds none.
fn is_written(place: &Place, writer: &str) -> Result<bool> {
    let segments = || -> Result<Vec<u32>> {
        Ok(place.segments()?.into_iter().filter(|(of, _)| of == writer).map(|(_, number)| number).collect())
    };
    let mut numbers = segments()?;
    loop {
        // Not the newest alone: it is there a moment before it is held, and the one before it is held until then.
        let is_held = |number: &u32| {
            File::open(place.segment(writer, *number))
                .is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
        };
        if numbers.iter().any(is_held) {
            return Ok(true);
        }
        // One that has come meanwhile may be held in the place of those that were looked at.
        let now = segments()?;
        if now.iter().max() <= numbers.iter().max() {
            return Ok(false);
        }
        numbers = now;
    }
}
