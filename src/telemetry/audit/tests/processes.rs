//! Processes that write at once, are killed, or find no room: none of it is a fault, and none of it covers one up.

use std::sync::atomic::Ordering::Relaxed;

use super::super::head::{self, Head, HeadLock};
use super::super::segment::Chain;
use super::super::*;
use super::*;

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

/// What a copy of the head is good for: the end of a chain that has stopped is cut off, and the head put back that knew no more of it.
#[test]
fn an_older_head_that_is_put_back_is_seen_by_whoever_writes() {
    let log = Log::new();
    let head = log.base().with_extension("log.head");
    let mut cut = log.chain(1, u64::MAX);
    let mut other = log.chain(2, u64::MAX);
    write(&mut cut, 10);
    write(&mut other, 1);
    assert!(!cut.checkpoint().unwrap() && !other.checkpoint().unwrap());
    let old = std::fs::read(&head).unwrap();
    let path = log.files().remove(0);
    let shorter = std::fs::read(&path).unwrap();
    write(&mut cut, 40);
    assert!(!cut.checkpoint().unwrap());
    // Without a word of its own in the meantime, and with one.
    for says in [0, 1] {
        write(&mut other, says);
        assert!(!other.checkpoint().unwrap());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &shorter).unwrap();
        std::fs::write(&head, &old).unwrap();
        write(&mut other, says);
        assert!(other.checkpoint().unwrap(), "{says}");
        std::fs::write(&path, &whole).unwrap();
        assert!(cut.checkpoint().unwrap(), "the other one sees it as well");
    }
}

#[test]
fn a_head_that_could_not_be_written_for_a_while_was_changed_by_nobody() {
    let log = Log::new();
    let mut chain = log.chain(1, u64::MAX);
    let in_the_way = log.base().with_extension("log.head.new");
    std::fs::create_dir(&in_the_way).unwrap();
    for _ in 0..3 {
        write(&mut chain, 1);
        assert!(chain.checkpoint().is_err());
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    assert!(!chain.checkpoint().unwrap());
    assert_eq!(log.good().len(), 1, "it still runs");
}

/// The very first start of all finds no room for the head, and ends before it does.
#[test]
fn a_first_start_without_room_leaves_nothing_that_looks_like_tampering() {
    let log = Log::new();
    std::fs::create_dir_all(log.base().parent().unwrap()).unwrap();
    let in_the_way = log.base().with_extension("log.head.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let mut chain = log.chain(1, u64::MAX);
    let body = &b"\"time\":\"2000-01-01T00:00:00.000Z\",\"event\":\"access\""[..];
    assert!(chain.append([body].into_iter()).is_err(), "nothing is recorded that the head does not know of");
    assert_eq!(log.good(), [""; 0]);
    drop(chain);
    let mut second = log.chain(2, u64::MAX);
    assert!(second.append([body].into_iter()).is_err());
    std::fs::remove_dir(&in_the_way).unwrap();
    write(&mut second, 1);
    assert_eq!(log.good().len(), 1, "the second runs, the first never said a word");
    drop(second);
    log.written(3, 1, u64::MAX);
    assert_eq!(log.good().len(), 1, "the second did not say that it stops");
    assert!(!lines(&log.files()[2])[0].contains("\"head_lost\":true"));
}

/// Wherever a start is killed: before its first record, in the middle of it, and before the head says that it is there.
#[test]
fn a_start_that_is_killed_leaves_nothing_that_looks_like_tampering() {
    let log = Log::new();
    log.written(1, 1, u64::MAX);
    let begin = |random| {
        let _lock = HeadLock::take(&Place::new(&log.base())).unwrap();
        Chain::begin(Place::new(&log.base()), key(), u64::MAX, random, "c0ffee").unwrap().0
    };
    let head = || match Head::read(&Place::new(&log.base()), &key()).unwrap() {
        head::Found::Good(head) => head.chains,
        found => panic!("{found:?}"),
    };
    // Before it: the head knows of it, and still of the one that it follows.
    drop(begin(2));
    assert_eq!(head().iter().map(|end| end.seq).collect::<Vec<_>>(), [3, 0]);
    assert_eq!(log.good().len(), 1, "it did not say that it stops");
    let file = log.files().pop().unwrap();
    // The file itself is not on the disk yet.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(log.good(), [""; 0]);
    // In the middle of it.
    let chain = begin(3);
    chain.room().store(20, Relaxed);
    let mut chain = chain;
    assert!(chain.append(std::iter::empty()).is_err());
    drop(chain);
    assert_eq!(log.good().len(), 2, "an incomplete record, and no `stop`");
    // After it, before the head is written again.
    let mut chain = begin(4);
    chain.append(std::iter::empty()).unwrap();
    drop(chain);
    assert_eq!(head().iter().map(|end| end.seq).collect::<Vec<_>>(), [3, 0, 0, 0]);
    log.good();
    log.written(5, 1, u64::MAX);
    log.good();
    let start = lines(&log.files().pop().unwrap()).remove(0);
    assert!(start.contains("\"head_lost\":false") && start.matches("\"incomplete\"").count() == 2, "{start}");
    assert_eq!(head().len(), 1, "it stays small");
}

/// A rotation makes the next file before it holds it: until then it is the one before that says that somebody writes.
#[test]
fn a_chain_that_is_rotated_while_another_starts_is_still_written() {
    let log = Log::new();
    let mut chain = log.chain(1, 500);
    write(&mut chain, 4);
    let place = Place::new(&log.base());
    let (writer, number) = place.segments().unwrap().pop().unwrap();
    assert!(number > 1, "it was rotated");
    chain.checkpoint().unwrap();
    // The moment between.
    let next = place.segment(&writer, number + 1);
    std::fs::write(&next, "").unwrap();
    let other = log.chain(2, u64::MAX);
    std::fs::remove_file(&next).unwrap();
    let start = lines(&log.files().pop().unwrap()).remove(0);
    assert!(start.contains("\"follows\":[]") && start.contains("\"seq\":"), "{start}");
    write(&mut chain, 4);
    assert!(!chain.checkpoint().unwrap());
    drop(other);
    log.good();
}

/// A batch that the disk did not take whole, and a rotation that did not work at first.
#[test]
fn what_a_failed_write_left_behind_is_taken_out_before_the_next_file_is_begun() {
    let log = Log::new();
    let mut chain = log.chain(1, 400);
    write(&mut chain, 1);
    let place = Place::new(&log.base());
    let (writer, number) = place.segments().unwrap().pop().unwrap();
    let in_the_way = place.segment(&writer, number + 1);
    std::fs::write(&in_the_way, "").unwrap();
    let room = chain.room();
    room.store(30, Relaxed);
    let body = &b"\"time\":\"2000-01-01T00:00:00.000Z\",\"event\":\"access\""[..];
    assert!(chain.append([body].into_iter()).is_err(), "neither rotated nor written");
    room.store(u64::MAX, Relaxed);
    std::fs::remove_file(&in_the_way).unwrap();
    write(&mut chain, 1);
    assert_eq!(place.segments().unwrap().pop().unwrap().1, number + 1, "rotated and written");
    chain.checkpoint().unwrap();
    assert_eq!(log.good().len(), 1, "it still runs");
}
