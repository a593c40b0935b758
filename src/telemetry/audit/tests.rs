//! Whatever is done to the files of a log, it is named; and what happens by itself is no fault.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use super::head::Head;
use super::verify::{Older, Report, verify};
use super::*;

pub(super) fn key() -> Key {
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

#[test]
fn what_was_written_is_good() {
    let log = Log::new();
    log.written(1, 5, u64::MAX);
    log.written(2, 40, 2000);
    log.written(3, 0, u64::MAX);
    assert_eq!(log.good(), [""; 0]);
    let report = log.verify();
    assert!(report.files > 4, "{report:?}");
    // Starts, stops and the first records of further files are records, too.
    assert_eq!(report.records, 5 + 40 + 6 + report.files - 3);
    assert!(report.first.is_some() && report.last.is_some(), "{report:?}");
    for file in log.files() {
        assert_eq!(verify(&file, &key(), Older::Here).unwrap().faults, [], "{}", file.display());
    }
    let head = std::fs::read_to_string(log.base().with_extension("log.head")).unwrap();
    assert_eq!(head.matches("writer").count(), 1, "what ended stands in the next start: {head}");
}

#[test]
fn every_byte_that_is_changed_is_named() {
    let log = Log::new();
    log.written(1, 2, u64::MAX);
    log.written(2, 1, u64::MAX);
    let mut places: Vec<PathBuf> = log.files();
    places.push(log.base().with_extension("log.head"));
    for path in places {
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for flip in [0x01, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                std::fs::write(&path, &changed).unwrap();
                let line = 1 + whole[..at].iter().filter(|b| **b == b'\n').count() as u64;
                let report = log.verify();
                let named = report.faults.iter().any(|fault| {
                    // A byte that became a line break ends its line too early; both halves are told at the first.
                    fault.file == path && fault.line.is_none_or(|l| l == line)
                });
                assert!(named, "{}:{line} byte {at} ^ {flip}: {report:#?}", path.display());
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(log.good(), [""; 0]);
}

#[test]
fn a_line_that_is_removed_repeated_or_moved_is_named() {
    let log = Log::new();
    log.written(1, 5, u64::MAX);
    let path = log.files().remove(0);
    let whole = lines(&path);
    let check = |changed: &[String], line: u64, what: &str| {
        std::fs::write(&path, changed.concat()).unwrap();
        log.fault(Some(line), &path, what);
    };
    for at in 0..whole.len() {
        let mut less = whole.clone();
        less.remove(at);
        match at + 1 == whole.len() {
            true => {
                std::fs::write(&path, less.concat()).unwrap();
                log.fault(None, &path, "its end was cut off");
            }
            false => check(&less, at as u64 + 1, "removed"),
        }
        let mut more = whole.clone();
        more.insert(at, whole[at].clone());
        check(&more, at as u64 + 2, "repeated");
        if at + 1 < whole.len() {
            let mut moved = whole.clone();
            moved.swap(at, at + 1);
            check(&moved, at as u64 + 1, "moved");
        }
    }
}

#[test]
fn wherever_the_end_is_cut_off_it_is_named() {
    let log = Log::new();
    log.written(1, 3, u64::MAX);
    log.written(2, 3, u64::MAX);
    for path in log.files() {
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            log.fault(None, &path, "");
        }
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_file_that_is_gone_put_back_or_put_in_from_elsewhere_is_named() {
    let log = Log::new();
    log.written(1, 30, 1500);
    log.written(2, 3, u64::MAX);
    let files = log.files();
    assert!(files.len() > 4);
    for path in &files {
        let whole = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        let report = log.verify();
        assert!(!report.faults.is_empty(), "{} is gone: {report:?}", path.display());
        std::fs::write(path, whole).unwrap();
    }
    // One file in the place of another.
    let (first, second) = (std::fs::read(&files[0]).unwrap(), std::fs::read(&files[1]).unwrap());
    std::fs::write(&files[1], &first).unwrap();
    log.fault(Some(1), &files[1], "");
    std::fs::write(&files[1], second).unwrap();
    // An old state of a file, before more was written.
    let last = &files[files.len() - 1];
    let whole = std::fs::read_to_string(last).unwrap();
    let old: String = whole.split_inclusive('\n').take(2).collect();
    std::fs::write(last, old).unwrap();
    log.fault(None, last, "its end was cut off");
    std::fs::write(last, whole).unwrap();
    // A chain of another log with the same key.
    let other = Log::new();
    other.written(9, 3, u64::MAX);
    let from = other.files().remove(0);
    let to = log.0.path().join(from.file_name().unwrap());
    std::fs::copy(&from, &to).unwrap();
    log.fault(None, &to, "put here");
    // The same under a new name.
    std::fs::remove_file(&to).unwrap();
    let copy = Place::new(&log.base()).segment("20990101T000000000Z-00000001", 1);
    std::fs::copy(&files[0], &copy).unwrap();
    log.fault(Some(1), &copy, "was written to another file");
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(log.good(), [""; 0]);
    let head = log.base().with_extension("log.head");
    std::fs::remove_file(&head).unwrap();
    log.fault(None, &head, "is missing");
    // A start does not cover it up.
    log.written(3, 1, u64::MAX);
    let last = log.files().pop().unwrap();
    log.fault(None, &last, "the head was gone");
}

#[test]
fn another_key_verifies_nothing() {
    let log = Log::new();
    log.written(1, 1, u64::MAX);
    let report = verify(&log.base(), &Key::new("another key that is long enough for it"), Older::Here).unwrap();
    assert_eq!(report.faults.len(), 2, "{report:?}");
}

#[test]
fn two_that_write_at_once_have_a_chain_each() {
    let log = Log::new();
    let mut old = log.chain(1, 1000);
    write(&mut old, 3);
    old.checkpoint().unwrap();
    let mut new = log.chain(2, 1000);
    for _ in 0..10 {
        write(&mut old, 1);
        write(&mut new, 2);
    }
    old.checkpoint().unwrap();
    new.checkpoint().unwrap();
    assert_eq!(log.good().len(), 2, "both still run");
    drop(old);
    drop(new);
    log.written(3, 1, u64::MAX);
    assert_eq!(log.good().len(), 2, "neither of them said that it stops");
    // The older one's files, all of them.
    let all = log.files();
    let of_old = all.iter().filter(|path| path.to_str().unwrap().contains("00000001."));
    of_old.for_each(|path| std::fs::remove_file(path).unwrap());
    let name = all.iter().find(|path| path.to_str().unwrap().contains("00000001.")).unwrap();
    log.fault(None, name, "the file is missing");
}

#[test]
fn a_process_that_was_killed_leaves_an_incomplete_tail_and_the_next_one_says_so() {
    let log = Log::new();
    let mut chain = log.chain(1, u64::MAX);
    write(&mut chain, 2);
    chain.checkpoint().unwrap();
    // After the last look at it.
    write(&mut chain, 2);
    drop(chain);
    let path = log.files().remove(0);
    let whole = std::fs::read(&path).unwrap();
    let last = lines(&path).pop().unwrap();
    for cut in 1..last.len() {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let notes = log.good();
        assert!(notes[0].contains("is incomplete"), "{notes:?}");
    }
    log.written(2, 1, u64::MAX);
    assert!(log.good()[0].contains("is incomplete"));
    let start = lines(&log.files()[1]).remove(0);
    assert!(start.contains("\"seq\":4") && start.contains("\"incomplete\":1"), "{start}");
    // From then on nothing more can be taken away.
    let less: String = lines(&path)[..3].concat();
    std::fs::write(&path, less).unwrap();
    log.fault(None, &path, "its end was cut off");
}

#[test]
fn what_a_full_disk_did_not_take_is_taken_out_again() {
    let log = Log::new();
    let mut chain = log.chain(1, u64::MAX);
    write(&mut chain, 1);
    let room = chain.room();
    for part in [0, 1, 100, 200] {
        room.store(part, Relaxed);
        let body = b"\"time\":\"2000-01-01T00:00:00.000Z\",\"event\":\"access\"";
        let two = [&body[..], &body[..]];
        assert!(chain.append(two.into_iter()).is_err());
        let notes = log.good();
        assert!(notes.iter().any(|note| note.contains("incomplete") || note.contains("still runs")), "{notes:?}");
        room.store(u64::MAX, Relaxed);
        write(&mut chain, 1);
        assert_eq!(log.verify().faults, []);
    }
    assert_eq!(log.verify().records, 1 + 1 + 4);
}

#[test]
fn a_file_that_is_taken_away_while_it_is_written_is_missing_and_the_next_one_goes_on() {
    let log = Log::new();
    let mut chain = log.chain(1, u64::MAX);
    write(&mut chain, 2);
    let path = log.files().remove(0);
    let away = log.0.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    let folder = log.0.path().to_owned();
    let elsewhere = folder.with_extension("elsewhere");
    std::fs::rename(&folder, &elsewhere).unwrap();
    assert!(chain.look().is_err(), "there is no folder");
    let body = &b"\"time\":\"2000-01-01T00:00:00.000Z\",\"event\":\"access\""[..];
    assert!(chain.append([body].into_iter()).is_err(), "what is written to a file without a name is lost");
    std::fs::rename(&elsewhere, &folder).unwrap();
    chain.look().unwrap();
    write(&mut chain, 1);
    chain.checkpoint().unwrap();
    log.fault(None, &path, "the file is missing");
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(log.verify().faults, []);
}

fn counts() -> (Registry, Counts) {
    let registry = Registry::new();
    let counts = Counts::register(&registry).unwrap();
    (registry, counts)
}

fn record(id: &str) -> Record<'_> {
    Record {
        time: Time(SystemTime::now()),
        event: Event::Access,
        outcome: Outcome::Success,
        status: Some(200),
        reason: None,
        route: Some("r"),
        method: "GET",
        action: Some("read"),
        resource: Some("patient/\"7\"\n"),
        user_id: Some("7"),
        user_type: None,
        session: Some(key().session("a.b.c")),
        client: None,
        request_id: id,
        service: None,
        config: "c0ffee",
    }
}

#[tokio::test]
async fn what_is_waited_for_is_there_when_the_wait_is_over_and_a_stop_is_the_last_word() {
    let log = Log::new();
    let (_registry, counts) = counts();
    let audit = Audit::of(key(), log.chain(1, u64::MAX), counts).unwrap();
    for n in 0..20 {
        let id = format!("waited-{n}");
        assert_eq!(audit.written(&record(&id)).await.unwrap(), Ok(()));
        assert!(std::fs::read_to_string(&log.files()[0]).unwrap().contains(&id));
        audit.write(&record("not waited for"));
    }
    audit.config(Outcome::Refused, Some("bad"));
    audit.finish();
    assert_eq!(audit.written(&record("too late")).await.unwrap(), Err(Unwritten));
    assert_eq!(log.good(), [""; 0]);
    assert_eq!(audit.queue.counts.written.get(), 42);
    let all = lines(&log.files()[0]);
    assert!(all[all.len() - 1].contains("\"event\":\"stop\""), "{all:?}");
    assert!(all.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert!(!all.concat().contains("a.b.c"));
}

#[tokio::test]
async fn what_could_not_be_written_is_counted_and_told_by_the_next_record() {
    let log = Log::new();
    let (_registry, counts) = counts();
    let chain = log.chain(1, u64::MAX);
    let room = chain.room();
    let audit = Audit::of(key(), chain, counts).unwrap();
    room.store(10, Relaxed);
    assert_eq!(audit.written(&record("lost")).await.unwrap(), Err(Unwritten));
    assert_eq!(audit.written(&record("lost")).await.unwrap(), Err(Unwritten));
    room.store(u64::MAX, Relaxed);
    assert_eq!(audit.written(&record("kept")).await.unwrap(), Ok(()));
    audit.finish();
    let text = lines(&log.files()[0]).concat();
    assert!(text.contains("\"event\":\"gap\",\"failed\":2,\"dropped\":0") && !text.contains("\"lost\""), "{text}");
    assert_eq!((audit.queue.counts.failed.get(), log.verify().faults.len()), (2, 0));
}

#[test]
fn a_queue_without_room_drops_and_counts() {
    let (_registry, counts) = counts();
    let queue = Queue::new(counts);
    let large = vec![b'1'; 1024 * 1024];
    (0..20).for_each(|_| queue.push(&large));
    let waited = queue.push_urgent(Some(&large)).try_recv();
    assert_eq!((queue.counts.dropped.get(), waited), (5, Ok(Err(Unwritten))));
}

#[tokio::test]
async fn a_flood_of_denials_is_in_the_log_as_a_number() {
    let log = Log::new();
    let (_registry, counts) = counts();
    let audit = Audit::of(key(), log.chain(1, u64::MAX), counts).unwrap();
    let client = IpAddr::from([10, 0, 0, 1]);
    for _ in 0..1000 {
        if audit.denied(client, None, "token_missing") {
            audit.write(&Record { event: Event::Denied, ..record("denied") });
        }
    }
    audit.finish();
    let text = lines(&log.files()[0]).concat();
    assert_eq!(text.matches("\"event\":\"denied\"").count(), 11);
    assert!(text.contains("\"count\":990"), "{text}");
}

/// A disk that is full when a process starts: it goes on as soon as there is room, and nobody is suspected.
#[test]
fn a_start_without_room_is_made_up_for() {
    let log = Log::new();
    log.written(1, 1, u64::MAX);
    let folder = log.0.path();
    let away = folder.with_extension("away");
    let mut chain = log.chain(2, u64::MAX);
    // As if neither the first record nor the head could be written.
    std::fs::rename(folder, &away).unwrap();
    assert!(chain.look().is_err() && chain.checkpoint().is_err());
    std::fs::rename(&away, folder).unwrap();
    chain.look().unwrap();
    write(&mut chain, 1);
    assert!(!chain.checkpoint().unwrap(), "the head is as it was");
    assert_eq!(log.good().len(), 1);
    std::fs::remove_file(log.base().with_extension("log.head")).unwrap();
    assert!(chain.checkpoint().unwrap(), "somebody took it away");
    let head = Head::read(&Place::new(&log.base()), &key()).unwrap();
    assert!(matches!(head, head::Found::Good(head) if head.chains.len() == 1));
}

#[test]
fn what_was_moved_to_an_archive_is_missed_only_where_nobody_says_so() {
    let log = Log::new();
    log.written(1, 3, u64::MAX);
    log.written(2, 30, 1500);
    log.written(3, 3, u64::MAX);
    let files = log.files();
    assert!(files.len() > 5);
    let elsewhere = || verify(&log.base(), &key(), Older::Elsewhere).unwrap();
    // The whole first chain, and the beginning of the second.
    files[..2].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    assert!(!log.verify().faults.is_empty());
    let report = elsewhere();
    assert_eq!((report.faults.len(), report.notes.len()), (0, 1), "{report:#?}");
    // One between those that are there, the last of a chain, and all of the youngest.
    for path in [&files[3], &files[files.len() - 2], &files[files.len() - 1]] {
        let text = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(!elsewhere().faults.is_empty(), "{}", path.display());
        std::fs::write(path, text).unwrap();
    }
}
