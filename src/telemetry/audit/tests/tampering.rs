//! Whatever is done to the files of a log is named.

use std::path::PathBuf;

use super::super::verify::{Older, verify};
use super::super::*;
use super::*;

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
