//! A log of several processes in a folder of its own.

mod processes;
mod queue;
mod tampering;

use std::path::{Path, PathBuf};

use super::verify::{Older, Report, verify};
use super::*;

pub(in crate::telemetry::audit) fn key() -> Key {
    Key::new("a key of the tests that is long enough")
}

/// A log in a folder of its own.
struct Log(tempfile::TempDir);

impl Log {
    fn new() -> Log {
        Log(tempfile::tempdir().unwrap())
    }

    fn base(&self) -> PathBuf {
        self.0.path().join("audit.log")
    }

    /// A process that begins its chain.
    fn chain(&self, random: u32, rotate: u64) -> Chain {
        Chain::start(Place::new(&self.base()), key(), rotate, random, "c0ffee").unwrap()
    }

    /// A process that wrote so many records and stopped.
    fn written(&self, random: u32, records: u64, rotate: u64) {
        let mut chain = self.chain(random, rotate);
        write(&mut chain, records);
        chain.append([&b"\"time\":\"2000-01-01T00:00:09.000Z\",\"event\":\"stop\""[..]].into_iter()).unwrap();
        chain.checkpoint().unwrap();
    }

    fn files(&self) -> Vec<PathBuf> {
        let place = Place::new(&self.base());
        place.segments().unwrap().iter().map(|(writer, number)| place.segment(writer, *number)).collect()
    }

    fn verify(&self) -> Report {
        verify(&self.base(), &key(), Older::Here).unwrap()
    }

    /// No fault; what is noted.
    #[track_caller]
    fn good(&self) -> Vec<String> {
        let report = self.verify();
        assert_eq!(report.faults, [], "{report:?}");
        report.notes.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn fault(&self, line: Option<u64>, file: &Path, what: &str) {
        let report = self.verify();
        let fits = |fault: &verify::Fault| {
            fault.file == file && (line.is_none() || fault.line == line) && fault.what.contains(what)
        };
        assert!(report.faults.iter().any(fits), "{} {line:?} {what}: {report:#?}", file.display());
    }
}

fn write(chain: &mut Chain, records: u64) {
    for n in 0..records {
        let body =
            format!("\"time\":\"2000-01-01T00:00:00.00{}Z\",\"event\":\"access\",\"resource\":\"patient/{n}\"", n % 10);
        chain.append([body.as_bytes()].into_iter()).unwrap();
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().split_inclusive('\n').map(str::to_owned).collect()
}
