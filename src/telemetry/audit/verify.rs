//! Reads a log and names what is not as it was written: a record that was changed, removed, moved or repeated; a file that is gone, was
//! cut off, or comes from somewhere else.
//!
//! What it can't see: that *all* files were put back to what they were at an earlier time. The last MAC of a chain is in the
//! gateway's own log whenever a chain begins and ends; who keeps that in another place can compare.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::{self, Key, Mac, NONE};
use super::head::{Found, Head, HeadLock};
use super::place::Place;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub records: u64,
    pub files: u64,
    pub first: Option<String>,
    pub last: Option<String>,
    /// What was done to it, the first of each chain.
    pub faults: Vec<Fault>,
    /// What is as it may be, and still worth knowing.
    pub notes: Vec<Fault>,
}

/// One place.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
        self.seq.map_or(Ok(()), |seq| write!(f, " seq {seq}"))?;
        write!(f, " {}", self.what)
    }
}

/// What the first record of a segment says of the chain. The others have none of it.
#[derive(Debug, Deserialize)]
struct First {
    event: String,
    writer: String,
    segment: u32,
    prev: String,
    #[serde(default)]
    follows: Vec<Known>,
    #[serde(default)]
    beside: Vec<Known>,
    #[serde(default)]
    head_lost: bool,
}

/// How far a chain is, by what another place says.
#[derive(Debug, Deserialize)]
struct Known {
    writer: String,
    seq: u64,
    mac: String,
}

/// What must be true of a chain.
#[derive(Debug)]
struct Claim {
    seq: u64,
    mac: String,
    /// It had ended there; otherwise it may have gone on.
    is_end: bool,
    by: PathBuf,
}

/// Where a chain is while it is read.
struct State {
    seq: u64,
    mac: Mac,
    /// Nothing comes after its last record.
    has_stopped: bool,
}

/// Where the oldest files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// With the others: one that is not there was removed.
    Here,
    /// In an archive, says whoever asks: only what comes after those that are here must be there.
    Elsewhere,
}

/// All files of a log, or one of its segments alone.
///
/// # Errors
/// A file that can't be read, or that there is none.
pub fn verify(path: &Path, key: &Key, older: Older) -> Result<Report> {
    let mut report = Report::default();
    if let Some((place, writer, number)) = Place::of_segment(path) {
        let mut reading = Reading { place: &place, key, claims: BTreeMap::new(), report: &mut report };
        if let Some(mut state) = reading.begin(&writer, number) {
            reading.segment(&writer, number, true, &mut state);
        }
        let what = "only this file was looked at: whether others are missing is seen by verifying the whole log".into();
        report.notes.push(Fault { file: path.to_owned(), line: None, seq: None, what });
        return Ok(report);
    }
    let place = Place::new(path);
    // What is there and what is known of it belong to one moment; whatever is written afterwards only adds to it.
    let lock = HeadLock::to_look(&place);
    let segments = place.segments()?;
    let head = Head::read(&place, key)?;
    let holds_records = place.holds_records()?;
    drop(lock);
    if segments.is_empty() && head == Found::Nothing {
        let text = format!("there is no audit log: no file is called {}.<writer>.<number>", path.display());
        return Err(Error::new(ErrorKind::NotFound, text));
    }
    let mut chains: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (writer, number) in &segments {
        chains.entry(writer).or_default().push(*number);
    }
    let mut reading = Reading { place: &place, key, claims: BTreeMap::new(), report: &mut report };
    // A process that found no room for its first record found none for the head either.
    if head != Found::Nothing || holds_records {
        reading.claims_of_head(head);
    }
    chains.iter().for_each(|(writer, numbers)| reading.claims_of(writer, numbers));
    for (writer, numbers) in &chains {
        reading.chain(writer, numbers, older);
    }
    let Reading { claims, .. } = reading;
    // Who has no record yet is in the head before there is a file.
    let is_missing = |writer: &String, claims: &[Claim]| {
        !chains.contains_key(writer.as_str()) && claims.iter().any(|claim| claim.seq > 0)
    };
    for (writer, claims) in claims.iter().filter(|(writer, claims)| is_missing(writer, claims)) {
        let (by, seq) = (claims[0].by.display(), claims[0].seq);
        let what = format!("the file is missing: {by} knows of it up to seq {seq}");
        let missing = Fault { file: place.segment(writer, 1), line: None, seq: None, what };
        // What had ended before another process began may be in an archive; what the head knows of is too young for that.
        match older == Older::Elsewhere && claims.iter().all(|claim| claim.is_end) {
            true => report.notes.push(missing),
            false => report.faults.push(missing),
        }
    }
    Ok(report)
}

struct Reading<'r> {
    place: &'r Place,
    key: &'r Key,
    claims: BTreeMap<String, Vec<Claim>>,
    report: &'r mut Report,
}

impl Reading<'_> {
    fn fault(&mut self, file: PathBuf, line: Option<u64>, seq: Option<u64>, what: impl Into<String>) {
        self.report.faults.push(Fault { file, line, seq, what: what.into() });
    }

    fn claims_of_head(&mut self, head: Found) {
        let by = self.place.head();
        match head {
            Found::Good(head) => {
                for end in head.chains {
                    let claim = Claim { seq: end.seq, mac: end.mac, is_end: false, by: by.clone() };
                    self.claims.entry(end.writer).or_default().push(claim);
                }
            }
            Found::Nothing => self.fault(by, None, None, "the file is missing, so nobody knows whether others are"),
            Found::Bad => self.fault(by, None, None, "was changed, or written with another key"),
        }
    }

    /// What a chain says of others. Whether its own record is good is seen when it is read.
    fn claims_of(&mut self, writer: &str, numbers: &[u32]) {
        let path = self.place.segment(writer, numbers[0]);
        let line = self.place.first_line(writer, numbers[0]).unwrap_or_default();
        let Ok(first) = serde_json::from_slice(&line) else { return };
        let First { follows, beside, .. } = first;
        for (known, is_end) in
            follows.into_iter().map(|known| (known, true)).chain(beside.into_iter().map(|known| (known, false)))
        {
            let claim = Claim { seq: known.seq, mac: known.mac, is_end, by: path.clone() };
            self.claims.entry(known.writer).or_default().push(claim);
        }
    }

    fn chain(&mut self, writer: &str, numbers: &[u32], older: Older) {
        let first = if older == Older::Elsewhere { numbers[0] } else { 1 };
        let Some(mut state) = self.begin(writer, first) else { return };
        if first > 1 {
            let what = format!("begins with seq {}: what comes before it is elsewhere", state.seq + 1);
            self.report.notes.push(Fault { file: self.place.segment(writer, first), line: None, seq: None, what });
        }
        for (at, number) in (first..).zip(numbers) {
            if *number != at {
                let what = format!("the file is missing, {} is there", self.place.segment(writer, *number).display());
                return self.fault(self.place.segment(writer, at), None, Some(state.seq + 1), what);
            }
            if !self.segment(writer, *number, *number == numbers[numbers.len() - 1], &mut state) {
                return;
            }
        }
        let path = self.place.segment(writer, numbers[numbers.len() - 1]);
        let Some(claims) = self.claims.remove(writer) else {
            // A chain without a record is one whose disk was full from its first moment on.
            if state.seq > 0 {
                let what = "neither the head nor any other file knows of this file: it was put here, or what knew of it is gone";
                self.fault(path, None, None, what);
            }
            return;
        };
        let ahead = claims.iter().filter(|claim| claim.seq > state.seq).max_by_key(|claim| claim.seq);
        if let Some(ahead) = ahead {
            let what = format!(
                "ends with seq {}, but {} knows of seq {}: its end was cut off",
                state.seq,
                ahead.by.display(),
                ahead.seq
            );
            self.fault(path, None, Some(state.seq + 1), what);
        } else if let Some(end) = claims.iter().find(|claim| claim.is_end && claim.seq != state.seq) {
            let what = format!("goes on after seq {}, where it had ended when {} was begun", end.seq, end.by.display());
            self.fault(path, None, Some(end.seq + 1), what);
        } else if !state.has_stopped {
            let what = "has no last record `stop`: the process still runs, or it was killed";
            self.report.notes.push(Fault { file: path, line: None, seq: Some(state.seq), what: what.to_owned() });
        }
        self.claims.insert(writer.to_owned(), claims);
    }

    /// Where a chain is before a segment: at its beginning, or by what the segment itself says.
    fn begin(&mut self, writer: &str, number: u32) -> Option<State> {
        let nothing = State { seq: 0, mac: NONE, has_stopped: false };
        if number == 1 {
            return Some(nothing);
        }
        let path = self.place.segment(writer, number);
        // One that can't be read is told when it is gone through.
        let line = self.place.first_line(writer, number).unwrap_or_default();
        let first = serde_json::from_slice::<First>(&line).ok();
        let state = first.zip(chain::seq(&line)).and_then(|(first, seq)| {
            Some(State { seq: seq.checked_sub(1)?, mac: first.prev.as_bytes().try_into().ok()?, has_stopped: false })
        });
        if state.is_none() {
            self.fault(path, Some(1), None, "is no first record of a file");
        }
        state
    }

    /// One file. Answers whether it is whole.
    fn segment(&mut self, writer: &str, number: u32, is_last: bool, state: &mut State) -> bool {
        let path = self.place.segment(writer, number);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) => {
                self.fault(path, None, None, format!("can't be read: {e}"));
                return false;
            }
        };
        self.report.files += 1;
        if text.is_empty() && !is_last {
            self.fault(path, None, Some(state.seq + 1), "is empty, and there are files after it");
            return false;
        }
        let claims = self.claims.remove(writer).unwrap_or_default();
        let mut wanted: Vec<&Claim> = claims.iter().filter(|claim| claim.seq > state.seq).collect();
        wanted.sort_by_key(|claim| claim.seq);
        let mut wanted = wanted.into_iter().peekable();
        let mut fault = None;
        let (mut from, mut at) = (0, 0_u64);
        let (mut first_time, mut last_line): (Option<&[u8]>, Option<&[u8]>) = (None, None);
        while from < text.len() {
            at += 1;
            let Some(length) = memchr::memchr(b'\n', &text[from..]) else {
                let file = path.clone();
                if is_last && !state.has_stopped {
                    let what =
                        "is incomplete: the process was killed while it wrote, and nobody was told that it is there";
                    self.report.notes.push(Fault { file, line: Some(at), seq: Some(state.seq + 1), what: what.into() });
                } else {
                    fault = Some((at, Some(state.seq + 1), "is incomplete".to_owned()));
                }
                break;
            };
            let line = &text[from..from + length];
            from += length + 1;
            match self.line(line, at, (writer, number), state) {
                Ok(()) => {}
                Err(what) => {
                    fault = Some((at, chain::seq(line).or(Some(state.seq + 1)), what));
                    break;
                }
            }
            while let Some(claim) = wanted.next_if(|claim| claim.seq == state.seq) {
                if claim.mac.as_bytes() != state.mac {
                    fault = Some((at, Some(state.seq), format!("is not what {} knows of it", claim.by.display())));
                }
            }
            if fault.is_some() {
                break;
            }
            first_time = first_time.or(Some(line));
            last_line = Some(line);
            self.report.records += 1;
        }
        let time = |line: &[u8]| chain::time(line).map(str::to_owned);
        self.report.first = self.report.first.take().into_iter().chain(first_time.and_then(time)).min();
        self.report.last = self.report.last.take().into_iter().chain(last_line.and_then(time)).max();
        state.has_stopped = last_line.is_some_and(|line| memchr::memmem::find(line, b",\"event\":\"stop\"").is_some());
        if !claims.is_empty() {
            self.claims.insert(writer.to_owned(), claims);
        }
        match fault {
            Some((line, seq, what)) => {
                self.fault(path, Some(line), seq, what);
                false
            }
            None => true,
        }
    }

    /// One record after those before it.
    fn line(&mut self, line: &[u8], at: u64, of: (&str, u32), state: &mut State) -> std::result::Result<(), String> {
        let Some((signed, mac)) = chain::split(line) else { return Err("is no record".to_owned()) };
        let Some(seq) = chain::seq(line) else { return Err("is no record".to_owned()) };
        if seq != state.seq + 1 {
            let what = "records between them were removed, or this one was moved, repeated or changed";
            return Err(format!("comes after seq {}: {what}", state.seq));
        }
        if self.key.of_line(&state.mac, signed) != *mac {
            return Err("was changed, or what stood before it, or it was written with another key".to_owned());
        }
        if at == 1 {
            self.first(line, of, state)?;
        } else if memchr::memmem::find(line, b"\"event\":\"head_lost\"").is_some() {
            self.head_was_lost(of, seq);
        }
        (state.seq, state.mac) = (seq, *mac);
        Ok(())
    }

    /// The first record of a file belongs to that file.
    fn first(&mut self, line: &[u8], (writer, number): (&str, u32), state: &State) -> std::result::Result<(), String> {
        let Ok(first) = serde_json::from_slice::<First>(line) else {
            return Err("is no first record of a file".to_owned());
        };
        let event = if number == 1 { "start" } else { "rotate" };
        if (first.writer.as_str(), first.segment, first.event.as_str()) != (writer, number, event)
            || first.prev.as_bytes() != state.mac
        {
            return Err(format!("was written to another file: segment {} of {}", first.segment, first.writer));
        }
        if first.head_lost {
            self.head_was_lost((writer, number), state.seq + 1);
        }
        Ok(())
    }

    fn head_was_lost(&mut self, (writer, number): (&str, u32), seq: u64) {
        let what = "says that the head was gone or changed at that time: files may be missing from before it";
        self.fault(self.place.segment(writer, number), None, Some(seq), what);
    }
}
