//! The chain of this process: it appends to its own segment and to no other, so two processes never write into one file.

use std::io::{ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use super::chain::{Key, Mac, NONE};
use super::disk::Disk;
use super::head::{End, Found, Head, HeadLock};
use super::place::{Place, writer};
use super::start::Before;
use crate::telemetry::Time;

/// One process's chain, and the segment that is written now.
pub(super) struct Chain {
    place: Place,
    key: Key,
    writer: String,
    number: u32,
    seq: u64,
    mac: Mac,
    disk: Disk,
    /// What a new segment begins with, until that is written.
    first: Option<Vec<u8>>,
    rotate: u64,
    /// The file that is written has lost its name: what goes into it is lost as well.
    is_lost: bool,
    /// A larger file is written on since the next one can't be begun; that is told once.
    is_stuck: bool,
    /// The head as it was last written here, so that whoever changed what it says of this chain is somebody else.
    known: Option<Head>,
    /// What it says of this chain if the last try to write it did go through after all.
    tried: Option<End>,
    /// Somebody else did change it, and that is not told yet.
    was_changed: bool,
    lines: Vec<u8>,
}

impl Chain {
    /// Begins a chain. What ended since the last start is named in its first record.
    ///
    /// # Errors
    /// A folder that can't be made or written to.
    pub(super) fn start(place: Place, key: Key, rotate: u64, random: u32, config: &str) -> Result<Chain> {
        place.make_folder()?;
        let _lock = HeadLock::take(&place)?;
        let (mut chain, live) = Chain::begin(place, key, rotate, random, config)?;
        if chain.known.is_none() {
            return Ok(chain);
        }
        if let Err(e) = chain.append(std::iter::empty()) {
            // A disk that is full is no reason to serve nobody: what must be recorded is refused until there is room.
            log::error!("the audit log can't be written to {}: {e}", chain.path().display());
            return Ok(chain);
        }
        // What ended stands in the first record now.
        if let Err(e) = chain.put(live) {
            log::error!("the audit log's {} can't be written: {e}", chain.place.head().display());
        }
        Ok(chain)
    }

    /// A chain whose first record is not written yet: the head tells of it before, so that no record is one that nobody knows of,
    /// whenever the process is killed. Also what the head says once it is written.
    pub(super) fn begin(place: Place, key: Key, rotate: u64, random: u32, config: &str) -> Result<(Chain, Head)> {
        let time = Time(SystemTime::now()).to_string();
        let writer = writer(&time, random);
        let before = Before::read(&place, &key)?;
        let first = before.first(&time, &writer, config);
        let disk = Disk::create(&place, &writer, 1)?;
        let mut chain = Chain {
            place,
            key,
            writer,
            number: 1,
            seq: 0,
            mac: NONE,
            disk,
            first: Some(first),
            rotate,
            is_lost: false,
            is_stuck: false,
            known: None,
            tried: None,
            was_changed: false,
            lines: Vec::new(),
        };
        if let Err(e) = chain.put(before.head) {
            log::error!("the audit log's {} can't be written: {e}", chain.place.head().display());
        }
        Ok((chain, Head { chains: before.live }))
    }

    fn path(&self) -> std::path::PathBuf {
        self.place.segment(&self.writer, self.number)
    }

    fn end(&self) -> End {
        End {
            writer: self.writer.clone(),
            segment: self.number,
            seq: self.seq,
            mac: text(&self.mac),
            bytes: self.disk.good,
        }
    }

    /// Appends records, all or none of them. When this answers `Ok`, they are on the disk.
    ///
    /// # Errors
    /// What the system says; nothing of them is in the file, or it is taken out before anything else is written.
    pub(super) fn append<'b>(&mut self, bodies: impl Iterator<Item = &'b [u8]>) -> Result<()> {
        if self.known.is_none() {
            let Some(lock) = HeadLock::try_take(&self.place)? else { return Err(ErrorKind::WouldBlock.into()) };
            self.update(&lock)?;
        }
        // Before another file is begun: what stands in this one from a write that failed stays there otherwise.
        self.disk.heal()?;
        if self.is_lost {
            self.next_segment()?;
        } else if self.first.is_none() && self.disk.good >= self.rotate {
            match self.next_segment() {
                Ok(()) => self.is_stuck = false,
                // The old one is written on: nothing is lost for the sake of a size. Told once, not for every record.
                Err(e) if !std::mem::replace(&mut self.is_stuck, true) => {
                    log::error!("the audit log can't be rotated, {} is written on: {e}", self.path().display());
                }
                Err(_) => {}
            }
        }
        self.lines.clear();
        let (mut seq, mut mac) = (self.seq, self.mac);
        let (key, lines) = (&self.key, &mut self.lines);
        let mut add = |body: &[u8]| {
            seq += 1;
            mac = key.line(&mac, seq, body, lines);
        };
        self.first.iter().for_each(|first| add(first));
        bodies.for_each(add);
        if self.lines.is_empty() {
            return Ok(());
        }
        self.disk.append(&self.lines)?;
        (self.seq, self.mac, self.first) = (seq, mac, None);
        if self.lines.capacity() > 4 * 1024 * 1024 {
            self.lines = Vec::new();
        }
        Ok(())
    }

    /// Goes on in a new file. A crash before it is in the head does no harm: whoever starts next finds it by its number.
    fn next_segment(&mut self) -> Result<()> {
        let number = self.number + 1;
        let mut disk = Disk::create(&self.place, &self.writer, number)?;
        let first = serde_json::json!({
            "time": Time(SystemTime::now()).to_string(), "event": "rotate", "writer": self.writer, "segment": number, "prev": text(&self.mac),
        });
        std::mem::swap(&mut self.disk, &mut disk);
        (self.number, self.first) = (number, Some(body(&first)));
        #[cfg(test)]
        {
            self.disk.room = disk.room;
        }
        self.is_lost = false;
        Ok(())
    }

    /// Whether the file that is written is still the one of that name. Where it is not, the next one is begun: what was in it is
    /// gone, and its number says so.
    ///
    /// # Errors
    /// There is no place for the next one. Until there is, nothing more can be written.
    pub(super) fn look(&mut self) -> Result<()> {
        if !self.is_lost {
            let ours = self.disk.file.metadata()?;
            let is_there = std::fs::metadata(self.path())
                .is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev());
            let what = match (is_there, ours.len() < self.disk.good) {
                (true, false) => return Ok(()),
                (true, true) => "was cut",
                (false, _) => "was moved away or deleted",
            };
            log::error!("the audit log was tampered with: {} {what} while it was written", self.path().display());
            self.is_lost = true;
        }
        self.append(std::iter::empty())
    }

    /// Writes down how far this chain is, for whoever looks at it when this process is gone. Answers whether what was there had been
    /// changed by somebody else.
    ///
    /// # Errors
    /// What the system says; `WouldBlock`: somebody else is at it. It is tried again a little later.
    pub(super) fn checkpoint(&mut self) -> Result<bool> {
        let Some(lock) = HeadLock::try_take(&self.place)? else { return Err(ErrorKind::WouldBlock.into()) };
        self.update(&lock)?;
        Ok(std::mem::take(&mut self.was_changed))
    }

    /// The same for the last time: it waits for whoever is at it.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn last_checkpoint(&mut self) -> Result<()> {
        let lock = HeadLock::take(&self.place)?;
        self.update(&lock)
    }

    fn update(&mut self, _lock: &HeadLock) -> Result<()> {
        let head = match Head::read(&self.place, &self.key)? {
            Found::Good(head) => {
                self.was_changed |= !self.expects(&head);
                // Whether the last try went through is known now.
                self.known = self.known.is_some().then(|| head.clone());
                head
            }
            Found::Nothing => {
                self.was_changed |= self.known.is_some();
                Head::default()
            }
            Found::Bad => {
                self.was_changed = true;
                Head::default()
            }
        };
        self.put(head)
    }

    /// Whether the head can have become what it is: nobody but this process writes what it says of this chain, and no chain gets
    /// shorter. An older head that was put back is seen by this, as long as somebody writes.
    fn expects(&self, head: &Head) -> bool {
        let Some(known) = &self.known else { return true };
        let of = |head: &Head, writer: &str| head.chains.iter().find(|end| end.writer == writer).cloned();
        let ours = of(head, &self.writer);
        let is_ours = ours.is_some() && (ours == of(known, &self.writer) || ours == self.tried);
        is_ours && head.chains.iter().all(|end| of(known, &end.writer).is_none_or(|before| before.seq <= end.seq))
    }

    /// Puts this chain into the head, as far as it is.
    fn put(&mut self, mut head: Head) -> Result<()> {
        head.chains.retain(|end| end.writer != self.writer);
        head.chains.push(self.end());
        self.tried = Some(self.end());
        head.write(&self.place, &self.key)?;
        (self.known, self.tried) = (Some(head), None);
        Ok(())
    }

    /// For the log: how far it is, so that there is a copy of it in another place.
    pub(super) fn told(&self) -> String {
        format!("writer {} seq {} mac {}", self.writer, self.seq, text(&self.mac))
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> std::sync::Arc<std::sync::atomic::AtomicU64> {
        self.disk.room.clone()
    }
}

pub(super) fn text(mac: &Mac) -> String {
    String::from_utf8_lossy(mac).into_owned()
}

/// What stands between the braces of an object.
pub(super) fn body(object: &serde_json::Value) -> Vec<u8> {
    let text = object.to_string();
    text[1..text.len() - 1].into()
}
