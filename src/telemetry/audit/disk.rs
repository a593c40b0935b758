//! One file that is appended to, synced, and healed after a write that did not go through.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};

use super::place::{Place, create};

/// A file of which it is known how much is whole.
pub(super) struct Disk {
    pub(super) file: File,
    pub(super) good: u64,
    /// Something may stand behind what is whole.
    is_torn: bool,
    /// A disk that is full, for tests.
    #[cfg(test)]
    pub(super) room: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Disk {
    /// So little room makes the writer panic.
    #[cfg(test)]
    pub(super) const DEFECT: u64 = u64::MAX - 1;

    pub(super) fn create(place: &Place, writer: &str, number: u32) -> Result<Disk> {
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

    /// # Errors
    /// What the system says; a part of it may be there.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<()> {
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
    pub(super) fn heal(&mut self) -> Result<()> {
        if self.is_torn {
            // A file that somebody has cut is not made longer again: that would hide it, and zeros are no records.
            if self.file.metadata()?.len() > self.good {
                self.file.set_len(self.good)?;
            }
            self.is_torn = false;
        }
        Ok(())
    }

    #[cfg(test)]
    fn write_what_fits(&mut self, lines: &[u8]) -> Result<()> {
        assert_ne!(self.room.load(std::sync::atomic::Ordering::Relaxed), Disk::DEFECT, "a defect, for tests");
        let room = usize::try_from(self.room.load(std::sync::atomic::Ordering::Relaxed)).unwrap_or(usize::MAX);
        self.file.write_all(&lines[..lines.len().min(room)])?;
        if room < lines.len() { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}
