//! Whoever records, and the thread that writes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use super::super::disk::Disk;
use super::super::head::{Found, Head, HeadLock};
use super::super::*;
use super::*;
use crate::telemetry::Time;

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
        new_session: None,
        client: None,
        request_id: id,
        exchange: 1,
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
    let waited = queue.push_urgent(&large).try_recv();
    assert_eq!((queue.counts.dropped.get(), waited), (5, Ok(Err(Unwritten))));
}

#[tokio::test]
async fn a_flood_of_denials_is_in_the_log_as_a_number() {
    let log = Log::new();
    let (_registry, counts) = counts();
    let audit = Audit::of(key(), log.chain(1, u64::MAX), counts).unwrap();
    let client = IpAddr::from([10, 0, 0, 1]);
    for _ in 0..1000 {
        if audit.denied(client, None, None, "token_missing") {
            audit.write(&Record { event: Event::Denied, ..record("denied") });
        }
    }
    audit.finish();
    let text = lines(&log.files()[0]).concat();
    assert_eq!(text.matches("\"event\":\"denied\"").count(), 11);
    assert!(text.contains("\"count\":990"), "{text}");
}

#[tokio::test]
async fn the_last_word_on_the_head_waits_for_whoever_is_at_it() {
    let log = Log::new();
    let (_registry, counts) = counts();
    let audit = Audit::of(key(), log.chain(1, u64::MAX), counts).unwrap();
    let place = Place::new(&log.base());
    let lock = HeadLock::take(&place).unwrap();
    assert_eq!(audit.written(&record("before the end")).await.unwrap(), Ok(()));
    let end = audit.clone();
    let end = std::thread::spawn(move || end.finish());
    let has_stopped = || lines(&log.files()[0]).iter().any(|line| line.contains("\"event\":\"stop\""));
    while !has_stopped() {
        std::thread::yield_now();
    }
    drop(lock);
    end.join().unwrap();
    let Found::Good(head) = Head::read(&place, &key()).unwrap() else { panic!("no head") };
    assert_eq!(head.chains[0].seq, lines(&log.files()[0]).len() as u64, "it knows of the last record");
}

#[tokio::test]
async fn a_head_that_can_not_be_written_is_counted() {
    let log = Log::new();
    let (_registry, counts) = counts();
    let chain = log.chain(1, u64::MAX);
    let in_the_way = log.base().with_extension("log.head.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let audit = Audit::of(key(), chain, counts).unwrap();
    assert_eq!(audit.written(&record("first")).await.unwrap(), Ok(()));
    while audit.queue.counts.head_failed.get() == 0 {
        tokio::task::yield_now().await;
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    audit.finish();
    assert_eq!(log.good(), [""; 0]);
}

#[tokio::test]
async fn when_the_writer_is_gone_nobody_waits_for_it() {
    let log = Log::new();
    let (_registry, counts) = counts();
    let chain = log.chain(1, u64::MAX);
    let room = chain.room();
    let audit = Audit::of(key(), chain, counts).unwrap();
    room.store(Disk::DEFECT, Relaxed);
    assert!(audit.written(&record("in hand")).await.is_err(), "its answer can't come any more");
    audit.write(&record("not waited for"));
    assert!(!matches!(audit.written(&record("later")).await, Ok(Ok(()))), "refused at once");
    audit.finish();
    assert!(audit.queue.counts.dropped.get() >= 2);
}
