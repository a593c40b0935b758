//! The chain of this process: it appends to its own segment and to no other, so two processes never write into one file.

use std::fs::{File, OpenOptions};
use std::io::{Error, Result, Write};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use super::chain::{Key, Mac, NONE};
use super::head::{End, Found, Head, HeadLock, real_end};
use super::place::{Place, create, writer};
use super::record::stamp;

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
    /// It was in the head, so that whoever took it out is somebody else.
    is_known: bool,
    lines: Vec<u8>,
}

/// A file of which it is known how much is whole.
struct Disk {
    file: File,
    good: u64,
    /// Something may stand behind what is whole.
    is_torn: bool,
    /// A disk that is full, for tests.
    #[cfg(test)]
    room: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Chain {
    /// Begins a chain. What ended since the last start is named in its first record.
    ///
    /// # Errors
    /// A folder that can't be made or written to.
    pub(super) fn start(place: Place, key: Key, rotate: u64, random: u32, config: &str) -> Result<Chain> {
        place.make_folder()?;
        let lock = HeadLock::take(&place)?;
        let time = stamp(SystemTime::now());
        let writer = writer(&time, random);
        let known = Head::read(&place, &key)?;
        let lost = match &known {
            Found::Good(_) => false,
            Found::Bad => true,
            Found::Nothing => !place.segments()?.is_empty(),
        };
        if lost {
            log::error!(
                "the audit log was tampered with or has another key: {} is gone or was changed",
                place.head().display()
            );
        }
        let known = if let Found::Good(head) = known { head } else { Head::default() };
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        for end in known.chains {
            match is_written(&place, &end) {
                true => live.push(end),
                false => ended.push(real_end(&place, &key, &end)),
            }
        }
        let follows: Vec<_> = ended
            .iter()
            .map(|(end, rest)| serde_json::json!({ "writer": end.writer, "segment": end.segment, "seq": end.seq, "mac": end.mac, "incomplete": rest }))
            .collect();
        let beside: Vec<_> = live
            .iter()
            .map(|end| serde_json::json!({ "writer": end.writer, "segment": end.segment, "seq": end.seq, "mac": end.mac }))
            .collect();
        let first = serde_json::json!({
            "time": time, "event": "start", "writer": writer, "segment": 1, "prev": text(&NONE),
            "version": env!("CARGO_PKG_VERSION"), "config": config, "follows": follows, "beside": beside, "head_lost": lost,
        });
        let disk = Disk::create(&place, &writer, 1)?;
        let mut chain = Chain {
            place,
            key,
            writer,
            number: 1,
            seq: 0,
            mac: NONE,
            disk,
            first: Some(body(&first)),
            rotate,
            is_lost: false,
            is_known: false,
            lines: Vec::new(),
        };
        if let Err(e) = chain.append(std::iter::empty()) {
            // A disk that is full is no reason to serve nobody: what must be recorded is refused until there is room.
            log::error!("the audit log can't be written to {}: {e}", chain.path().display());
            return Ok(chain);
        }
        live.push(chain.end());
        let head = Head { chains: live };
        match head.write(&chain.place, &chain.key) {
            Ok(()) => chain.is_known = true,
            Err(e) => log::error!("the audit log's {} can't be written: {e}", chain.place.head().display()),
        }
        drop(lock);
        Ok(chain)
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
        if self.is_lost {
            self.next_segment()?;
        } else if self.first.is_none()
            && self.disk.good >= self.rotate
            && let Err(e) = self.next_segment()
        {
            // The old one is written on: nothing is lost for the sake of a size.
            log::error!("the audit log can't be rotated: {e}");
        }
        self.disk.heal()?;
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
            "time": stamp(SystemTime::now()), "event": "rotate", "writer": self.writer, "segment": number, "prev": text(&self.mac),
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
    /// What the system says, or that somebody else is at it: it is tried again a little later.
    pub(super) fn checkpoint(&mut self) -> Result<bool> {
        let Some(_lock) = HeadLock::try_take(&self.place)? else { return Err(Error::other("it is being written")) };
        let (mut head, is_bad) = match Head::read(&self.place, &self.key)? {
            Found::Good(head) => (head, false),
            Found::Nothing => (Head::default(), false),
            Found::Bad => (Head::default(), true),
        };
        let ours = head.chains.iter().position(|end| end.writer == self.writer);
        match ours {
            Some(at) => head.chains[at] = self.end(),
            None => head.chains.push(self.end()),
        }
        head.write(&self.place, &self.key)?;
        let was_known = std::mem::replace(&mut self.is_known, true);
        Ok(is_bad || (was_known && ours.is_none()))
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

/// Whether some process holds the segment. A process that has ended, however it did, holds nothing.
fn is_written(place: &Place, end: &End) -> bool {
    // It may have gone on to a further one since.
    let newest = place.segments().ok().and_then(|all| all.into_iter().rfind(|(writer, _)| *writer == end.writer));
    let number = newest.map_or(end.segment, |(_, number)| number.max(end.segment));
    let Ok(file) = File::open(place.segment(&end.writer, number)) else { return false };
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

impl Disk {
    fn create(place: &Place, writer: &str, number: u32) -> Result<Disk> {
        // Never one that is there: whoever put it there may write to it as well.
        let path = place.segment(writer, number);
        let file = create(&path, OpenOptions::new().append(true).create_new(true))?;
        if let Err(e) = file.lock().and_then(|()| place.sync_folder()) {
            // The next try needs the same name.
            let _ = std::fs::remove_file(&path);
            return Err(e);
        }
        Ok(Disk {
            file,
            good: 0,
            is_torn: false,
            #[cfg(test)]
            room: std::sync::Arc::new(u64::MAX.into()),
        })
    }

    fn append(&mut self, lines: &[u8]) -> Result<()> {
        self.is_torn = true;
        #[cfg(test)]
        self.write_what_fits(lines)?;
        #[cfg(not(test))]
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.is_torn = false;
        self.good += lines.len() as u64;
        Ok(())
    }

    /// Takes out what a failed write left behind.
    fn heal(&mut self) -> Result<()> {
        if self.is_torn {
            self.file.set_len(self.good)?;
            self.is_torn = false;
        }
        Ok(())
    }

    #[cfg(test)]
    fn write_what_fits(&mut self, lines: &[u8]) -> Result<()> {
        let room = usize::try_from(self.room.load(std::sync::atomic::Ordering::Relaxed)).unwrap_or(usize::MAX);
        self.file.write_all(&lines[..lines.len().min(room)])?;
        if room < lines.len() { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

fn text(mac: &Mac) -> String {
    String::from_utf8_lossy(mac).into_owned()
}

/// What stands between the braces of an object.
fn body(object: &serde_json::Value) -> Vec<u8> {
    let text = object.to_string();
    text[1..text.len() - 1].into()
}
