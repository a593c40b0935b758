//! Lines that must not be lost: each is on the disk before anybody is told so.
//!
//! A file has one writer at a time, which takes all lines that wait, writes and syncs them, tells those who wait, and looks again: so a
//! hundred requests at the same time cost a few syncs and no line is written into another. What is known of a file outlives the table.

mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::kept::Kept;

/// The most bytes that wait for one file; who comes then waits for room.
const ROOM: u32 = 16 * 1024 * 1024;

/// All files that are recorded to. Lives as long as the process.
#[derive(Debug, Default)]
pub struct Records {
    known: Mutex<Kept<PathBuf, Record>>,
}

/// One file.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    waiting: Mutex<Waiting>,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<Line>,
    /// Somebody writes, and will look again for what came meanwhile.
    is_written: bool,
}

struct Line {
    text: Vec<u8>,
    told: oneshot::Sender<Result<(), Lost>>,
    /// Given back when the line is written, also when nobody waits for it any more.
    room: OwnedSemaphorePermit,
}

/// It is not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({} bytes)", self.text.len())
    }
}

impl Records {
    /// The file of that path, which all who name it share. It is opened when something is written.
    pub fn file(&self, path: &Path) -> Arc<Record> {
        self.known.lock().of(path.to_owned(), |path| Record {
            path: path.clone(),
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(ROOM as usize)),
        })
    }
}

impl Record {
    /// Appends a JSON text as one line. When this answers `Ok`, it is on the disk.
    ///
    /// # Errors
    /// It could not be written; nothing of it is in the file.
    pub async fn append(self: &Arc<Self>, json: &[u8]) -> Result<(), Lost> {
        let size = u32::try_from(json.len()).unwrap_or(ROOM).clamp(1, ROOM);
        let room = self.room.clone().acquire_many_owned(size).await.map_err(|_| Lost)?;
        let (told, written) = oneshot::channel();
        let starts = {
            let mut waiting = self.waiting.lock();
            waiting.lines.push(Line { text: line(json), told, room });
            !std::mem::replace(&mut waiting.is_written, true)
        };
        if starts {
            let this = self.clone();
            drop(tokio::task::spawn_blocking(move || this.write_waiting()));
        }
        written.await.unwrap_or(Err(Lost))
    }

    /// Until nothing waits. Runs on a thread that may wait for a disk.
    fn write_waiting(&self) {
        loop {
            let lines = {
                let mut waiting = self.waiting.lock();
                if waiting.lines.is_empty() {
                    waiting.is_written = false;
                    return;
                }
                std::mem::take(&mut waiting.lines)
            };
            let texts: Vec<&[u8]> = lines.iter().map(|line| line.text.as_slice()).collect();
            let written = write::append(&self.path, &texts.concat()).map_err(|e| {
                log::error!("{} lines can't be recorded in {}: {e}", lines.len(), self.path.display());
                Lost
            });
            for line in lines {
                drop(line.room);
                // Nobody there any more: it is recorded all the same.
                let _ = line.told.send(written);
            }
        }
    }
}

/// JSON in one line: a raw line break is white space in it, and nothing else (RFC 8259, 7).
fn line(json: &[u8]) -> Vec<u8> {
    let mut line: Vec<u8> = json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_of_many_at_once_are_whole_and_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let records = Records::default();
        let (first, second) = (records.file(&path), records.file(&path));
        assert!(Arc::ptr_eq(&first, &second), "a file has one writer");
        let append = |n: usize| {
            let record = if n.is_multiple_of(2) { first.clone() } else { second.clone() };
            tokio::spawn(async move {
                record.append(format!("{{\"n\":\n{n},\r\n\"x\":\"{}\"}}", "x".repeat(n * 50)).as_bytes()).await
            })
        };
        let all: Vec<_> = (0..200).map(append).collect();
        for one in all {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut numbers: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line")["n"].as_u64().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..200).collect::<Vec<u64>>());
    }

    #[tokio::test]
    async fn what_can_not_be_written_is_said_to_be_lost_and_the_next_one_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/lines");
        let record = Records::default().file(&path);
        assert_eq!(record.append(b"1").await, Err(Lost));
        std::fs::create_dir(folder.path().join("later")).unwrap();
        assert_eq!(record.append(b"2").await, Ok(()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
    }

    #[tokio::test]
    async fn more_than_there_is_room_for_waits_and_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let record = Records::default().file(&folder.path().join("lines"));
        let large = vec![b'1'; ROOM as usize + 1];
        let append = |record: Arc<Record>, text: Vec<u8>| tokio::spawn(async move { record.append(&text).await });
        let all = [
            append(record.clone(), large),
            append(record.clone(), b"2".to_vec()),
            append(record.clone(), b"3".to_vec()),
        ];
        for one in all {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        assert_eq!(record.room.available_permits(), ROOM as usize);
    }
}
