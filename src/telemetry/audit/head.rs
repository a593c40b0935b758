//! `FILE.head`: how far each chain was. A chain alone can't tell that its end was cut off, nor that a whole file is gone.
//!
//! It names the chains that are written, and those that ended since the last start. A process that starts names the ended ones in its
//! own first record (`follows`), from where nobody can take them out, and removes them here: so it stays small.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use super::chain::{self, Key, Mac};
use super::place::{Place, create};

/// The last record of a chain, as far as somebody knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) writer: String,
    pub(super) segment: u32,
    pub(super) seq: u64,
    pub(super) mac: String,
    /// Where that record ends in its segment.
    pub(super) bytes: u64,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) chains: Vec<End>,
}

/// What was found in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Good(Head),
    Nothing,
    /// Not written with this key, or changed since.
    Bad,
}

/// What the MAC is for.
const WORD: &str = "head:";

impl End {
    pub(super) fn mac(&self) -> Option<Mac> {
        self.mac.as_bytes().try_into().ok()
    }
}

impl Head {
    pub(super) fn read(place: &Place, key: &Key) -> Result<Found> {
        match std::fs::read(place.head()) {
            Ok(text) => Ok(Head::parse(&text, key).map_or(Found::Bad, Found::Good)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
            Err(e) => Err(e),
        }
    }

    fn parse(text: &[u8], key: &Key) -> Option<Head> {
        let object = key.unseal(WORD, text.strip_suffix(b"\n")?)?;
        serde_json::from_slice(&[object, b"}"].concat()).ok()
    }

    /// Puts it in place whole, or not at all.
    pub(super) fn write(&self, place: &Place, key: &Key) -> Result<()> {
        let mut object = serde_json::to_vec(self).map_err(Error::other)?;
        // Its last brace comes after the MAC.
        object.pop();
        let mut text = key.seal(WORD, object);
        text.push(b'\n');
        let draft = place.new_head();
        let mut file = create(&draft, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(&text)?;
        // A name must never stand for a file whose content is not there yet.
        file.sync_data()?;
        std::fs::rename(draft, place.head())?;
        // And a name that a crash takes back is none.
        place.sync_folder()
    }
}

/// Where a chain that nobody writes any more really ends: as the head says, and further as long as lines fit.
pub(super) fn real_end(place: &Place, key: &Key, known: &End) -> (End, u64) {
    let mut end = known.clone();
    let mut rest = 0;
    loop {
        let Some(mac) = end.mac() else { return (end, rest) };
        let Ok(text) = read_from(&place.segment(&end.writer, end.segment), end.bytes) else { return (end, rest) };
        let (mut seq, mut mac, mut whole) = (end.seq, mac, 0_usize);
        for line in text.split_inclusive(|b| *b == b'\n') {
            let Some((signed, written)) = line.strip_suffix(b"\n").and_then(chain::split) else { break };
            if chain::seq(line) != Some(seq + 1) || key.of_line(&mac, signed) != *written {
                break;
            }
            (seq, mac, whole) = (seq + 1, *written, whole + line.len());
        }
        end.seq = seq;
        end.mac = String::from_utf8_lossy(&mac).into_owned();
        end.bytes += whole as u64;
        rest = (text.len() - whole) as u64;
        let next = place.segment(&end.writer, end.segment + 1);
        // A segment without a record is one that was just begun.
        if rest > 0 || !std::fs::metadata(next).is_ok_and(|about| about.len() > 0) {
            return (end, rest);
        }
        (end.segment, end.bytes) = (end.segment + 1, 0);
    }
}

fn read_from(path: &std::path::Path, from: u64) -> Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// Held while the head is read and changed.
pub(super) struct HeadLock(#[allow(dead_code, reason = "held, and given back when dropped")] File);

impl HeadLock {
    fn open(place: &Place) -> Result<File> {
        create(&place.lock(), OpenOptions::new().write(true).create(true).truncate(false))
    }

    /// Waits for it.
    pub(super) fn take(place: &Place) -> Result<HeadLock> {
        let file = HeadLock::open(place)?;
        file.lock()?;
        Ok(HeadLock(file))
    }

    /// For who only looks; where there is no such file, or it may not be opened, nobody writes.
    pub(super) fn to_look(place: &Place) -> Option<HeadLock> {
        let file = File::open(place.lock()).ok()?;
        file.lock_shared().ok()?;
        Some(HeadLock(file))
    }

    /// `None`: somebody else is at it.
    pub(super) fn try_take(place: &Place) -> Result<Option<HeadLock>> {
        let file = HeadLock::open(place)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(HeadLock(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(e),
        }
    }
}
