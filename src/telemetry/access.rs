//! The access log: one JSON line per request.
//!
//! A line goes into a byte buffer; a thread swaps the buffer every few milliseconds and writes it. Waking the writer for every
//! line costs ten times as much as the line itself (measured), so nobody wakes it.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use prometheus::IntCounter;
use serde::Serialize;

use super::json::{Value, members};

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Stdout,
    File(PathBuf),
    Off,
}

/// What is told of one request: the route's template, never the raw path, the query, cookies or tokens.
#[derive(Debug)]
pub struct Line<'a> {
    /// RFC 3339, UTC, milliseconds.
    pub time: Time,
    pub request_id: &'a str,
    pub client: Option<IpAddr>,
    pub method: &'a str,
    /// The name of the route; absent when none was found.
    pub route: Option<&'a str>,
    /// The path as the route has it, parameters in braces.
    pub path: Option<&'a str>,
    pub status: u16,
    pub reason: Option<&'a str>,
    pub service: Option<&'a str>,
    pub peer: Option<SocketAddr>,
    /// How many peers were asked, or one how often.
    pub attempts: Option<u64>,
    pub bytes: u64,
    /// Milliseconds from the head to the end of the answer.
    pub ms: Millis,
}

impl Line<'_> {
    /// Appends it with its line break.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        members!(out;
            "time": self.time,
            "request_id": self.request_id,
            "client": self.client,
            "method": self.method,
            "route": self.route,
            "path": self.path,
            "status": self.status,
            "reason": self.reason,
            "service": self.service,
            "peer": self.peer,
            "attempts": self.attempts,
            "bytes": self.bytes,
            "ms": self.ms,
        );
        out.extend_from_slice(b"}\n");
    }
}

/// A span in milliseconds, to the microsecond.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Duration);

impl Value for Millis {
    fn write(&self, out: &mut Vec<u8>) {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        (micros / 1000).write(out);
        // Never without a fraction: whoever reads it by its first line would take it for a whole number.
        let mut fraction = *b".000";
        digits(micros % 1000, &mut fraction[1..]);
        let zeros = fraction[2..].iter().rev().take_while(|digit| **digit == b'0').count();
        out.extend_from_slice(&fraction[..4 - zeros]);
    }
}

/// A moment, written as RFC 3339.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub SystemTime);

impl Time {
    fn text(self) -> [u8; 24] {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(year, &mut text[..4]);
        digits(month, &mut text[5..7]);
        digits(day, &mut text[8..10]);
        digits(seconds / 3600, &mut text[11..13]);
        digits(seconds / 60 % 60, &mut text[14..16]);
        digits(seconds % 60, &mut text[17..19]);
        digits(since.subsec_millis().into(), &mut text[20..23]);
        text
    }
}

impl Value for Time {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(&self.text());
        out.push(b'"');
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The last digits of a number, as many as there is room for.
fn digits(mut value: u64, room: &mut [u8]) {
    for place in room.iter_mut().rev() {
        *place = b"0123456789"[usize::try_from(value % 10).unwrap_or_default()];
        value /= 10;
    }
}

/// Year, month and day of a number of days since 1970 (Gregorian).
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of the year 0, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// How often the writer looks: it bounds what a crash can lose.
const EVERY: Duration = Duration::from_millis(5);
/// A second of lines at twenty thousand requests a second; beyond it lines are dropped and counted.
const BOUND: usize = 8 * 1024 * 1024;

/// The log of one process.
pub struct AccessLog {
    buffer: Option<Arc<Mutex<Vec<u8>>>>,
    dropped: IntCounter,
    stop: std::sync::mpsc::Sender<()>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl AccessLog {
    /// Opens the destination and starts the writer.
    ///
    /// # Errors
    /// A file that can't be opened.
    pub fn start(destination: &Destination, dropped: IntCounter) -> anyhow::Result<AccessLog> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let mut out: Box<dyn Write + Send> = match destination {
            Destination::Off => return Ok(AccessLog { buffer: None, dropped, stop, writer: Mutex::new(None) }),
            Destination::Stdout => Box::new(std::io::stdout()),
            Destination::File(path) => {
                let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
                Box::new(file.with_context(|| format!("the access log can't be written to {}", path.display()))?)
            }
        };
        let buffer = Arc::new(Mutex::new(Vec::with_capacity(64 * 1024)));
        let shared = buffer.clone();
        let write = move || {
            let mut taken = Vec::with_capacity(64 * 1024);
            loop {
                let last = !matches!(stopped.recv_timeout(EVERY), Err(std::sync::mpsc::RecvTimeoutError::Timeout));
                std::mem::swap(&mut taken, &mut *shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
                if !taken.is_empty() {
                    // A full disk must not stop traffic, and there is no better place to say it than the other log.
                    if let Err(e) = out.write_all(&taken).and_then(|()| out.flush()) {
                        log::error!("the access log can't be written: {e}");
                    }
                    taken.clear();
                }
                if last {
                    return;
                }
            }
        };
        let writer = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(write)
            .context("the access log has no thread")?;
        Ok(AccessLog { buffer: Some(buffer), dropped, stop, writer: Mutex::new(Some(writer)) })
    }

    pub fn write(&self, line: &Line<'_>) {
        let Some(buffer) = &self.buffer else { return };
        thread_local! {
            static TEXT: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        TEXT.with_borrow_mut(|text| {
            text.clear();
            line.write(text);
            let mut buffer = buffer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match buffer.len() + text.len() <= BOUND {
                true => buffer.extend_from_slice(text),
                false => self.dropped.inc(),
            }
        });
    }

    /// Writes what is left and ends the writer. Later lines are lost.
    pub fn finish(&self) {
        let _ = self.stop.send(());
        let writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(time: u64) -> Line<'static> {
        Line {
            time: Time(UNIX_EPOCH + Duration::from_millis(time)),
            request_id: "r\"1\n",
            client: Some([127, 0, 0, 1].into()),
            method: "GET",
            route: Some("home"),
            path: Some("/{id}"),
            status: 200,
            reason: None,
            service: None,
            peer: None,
            attempts: None,
            bytes: 7,
            ms: Millis(Duration::from_micros(1500)),
        }
    }

    #[test]
    fn a_line_is_one_json_object_whatever_is_in_it() {
        let mut text = Vec::new();
        line(1_795_489_044_763).write(&mut text);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r#"{"time":"2026-11-24T02:57:24.763Z","request_id":"r\"1\n","client":"127.0.0.1","method":"GET","route":"home","path":"/{id}","status":200,"bytes":7,"ms":1.5}
"#
        );
    }

    #[test]
    fn a_span_has_a_fraction_and_no_zeros_behind_it() {
        for (micros, expected) in [
            (0, "0.0"),
            (1, "0.001"),
            (20, "0.02"),
            (300, "0.3"),
            (1000, "1.0"),
            (1050, "1.05"),
            (12_345_678, "12345.678"),
        ] {
            let mut text = Vec::new();
            Millis(Duration::from_micros(micros)).write(&mut text);
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_819, (2027, 1, 1)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }

    #[test]
    fn every_line_is_in_the_file_when_the_log_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let dropped = IntCounter::new("dropped", "dropped").unwrap();
        let log = AccessLog::start(&Destination::File(path.clone()), dropped.clone()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| log.write(&line(0))));
            }
        });
        log.finish();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!((text.lines().count(), dropped.get()), (2000, 0));
        assert!(text.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()));
    }

    #[test]
    fn a_writer_that_cannot_keep_up_drops_lines_and_counts_them() {
        let dropped = IntCounter::new("dropped", "dropped").unwrap();
        let (stop, _stopped) = std::sync::mpsc::channel();
        let buffer = Arc::new(Mutex::new(vec![0; BOUND - 10]));
        let log = AccessLog { buffer: Some(buffer.clone()), dropped: dropped.clone(), stop, writer: Mutex::new(None) };
        log.write(&line(0));
        assert_eq!((dropped.get(), buffer.lock().unwrap().len()), (1, BOUND - 10));
    }
}
