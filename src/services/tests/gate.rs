//! The gate, told as text: who comes, who is done, and who is let in, waits or is refused.

use super::*;
use prometheus::Registry;
use std::collections::BTreeMap;
use tokio::task::JoinHandle;

fn gate() -> Arc<Gate> {
    let metrics = super::super::metrics::Metrics::new(&Registry::new()).expect("a fresh registry");
    let series = metrics.service(&Arc::from("s"));
    Gate::new(series.shed.clone(), series.waiting.clone())
}

fn limits(in_flight: u32, queue: u32) -> LimitOptions {
    LimitOptions { in_flight, queue, ..LimitOptions::default() }
}

/// Lets everything happen that can happen now.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Steps, one after the other: `a!` comes as critical, `b` as normal, `c?` as bulk; `-a` is done, or leaves the queue; `+250` so many
/// milliseconds pass. After each step the answer has who is in, and who waits in round brackets; refused ones are in neither.
async fn check(limits: &LimitOptions, steps: &str, expected: &str) {
    let gate = gate();
    let mut coming: BTreeMap<char, JoinHandle<Result<Permit, Overloaded>>> = BTreeMap::new();
    let mut inside: BTreeMap<char, Permit> = BTreeMap::new();
    let mut told = Vec::new();
    for step in steps.split_whitespace() {
        let name = step.trim_start_matches('-').chars().next().expect("a name");
        if let Some(time) = step.strip_prefix('+') {
            tokio::time::advance(Duration::from_millis(time.parse().expect("milliseconds"))).await;
        } else if step.starts_with('-') {
            drop(inside.remove(&name));
            if let Some(waiting) = coming.remove(&name) {
                waiting.abort();
            }
        } else {
            let priority = match step.chars().last() {
                Some('!') => Priority::Critical,
                Some('?') => Priority::Bulk,
                _ => Priority::Normal,
            };
            let (gate, limits) = (gate.clone(), limits.clone());
            coming.insert(name, tokio::spawn(async move { gate.enter(&limits, priority, None).await }));
        }
        settle().await;
        let done: Vec<char> = coming.iter().filter(|(_, task)| task.is_finished()).map(|(name, _)| *name).collect();
        for name in done {
            let task = coming.remove(&name).expect("it is there");
            if let Ok(Ok(permit)) = task.await {
                inside.insert(name, permit);
            }
        }
        let (inside, waiting): (String, String) = (inside.keys().collect(), coming.keys().collect());
        told.push(if waiting.is_empty() { inside } else { format!("{inside}({waiting})") });
    }
    assert_eq!(told.join(" "), expected, "{limits:?} {steps}");
    drop((coming, inside));
    settle().await;
    assert_eq!(gate.in_flight.load(SeqCst), 0, "every place was given back: {steps}");
}

#[tokio::test(start_paused = true)]
async fn so_many_are_let_in_so_many_wait_and_the_others_are_refused_at_once() {
    check(&limits(2, 1), "a! b! c! d! -a -b -c", "a ab ab(c) ab(c) bc c ").await;
    check(&limits(1, 0), "a! b! -a c!", "a a  c").await;
    check(&limits(1, 3), "a! b! c! d! -b -a -c", "a a(b) a(bc) a(bcd) a(cd) c(d) d").await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_a_second_or_its_own_time() {
    check(&limits(1, 2), "a! b! +900 +200 c! -a", "a a(b) a(b) a a(c) c").await;
    let gate = gate();
    let _held = gate.enter(&limits(1, 1), Priority::Critical, None).await.expect("a place");
    let begun = Instant::now();
    let soon = std::time::Instant::from(begun + Duration::from_millis(30));
    assert_eq!(gate.enter(&limits(1, 1), Priority::Critical, Some(soon)).await.err(), Some(Overloaded));
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_last_places_are_for_the_urgent_ones() {
    // Of ten places bulk may take seven and normal ones nine.
    check(
        &limits(10, 0),
        "a? b? c? d? e? f? g? h? i j k l!",
        "a ab abc abcd abcde abcdef abcdefg abcdefg abcdefgi abcdefgij abcdefgij abcdefgijl",
    )
    .await;
    check(&limits(1, 1), "a? b!", "a a(b)").await;
}

#[tokio::test(start_paused = true)]
async fn the_urgent_ones_wait_in_front_and_send_others_away_where_the_queue_is_full() {
    check(&limits(1, 2), "a b? c d! -a -d", "a a(b) a(bc) a(cd) d(c) c").await;
    check(&limits(1, 1), "a b? c? d! e! f", "a a(b) a(b) a(d) a(d) a(d)").await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_empty_is_kept_short() {
    let many = limits(1, 6);
    check(&many, "a! b! c! d! e! f! g! h!", "a a(b) a(bc) a(bcd) a(bcde) a(bcdef) a(bcdefg) a(bcdefg)").await;
    // After a tenth of a second with somebody in it, four are enough; once it was empty, it may be long again.
    check(&many, "a! b! +150 c! d! e! f!", "a a(b) a(b) a(bc) a(bcd) a(bcde) a(bcde)").await;
    check(&many, "a! b! +150 -a -b c! d! e! f! g! h!", "a a(b) a(b) b  c c(d) c(de) c(def) c(defg) c(defgh)").await;
}

/// Many at once on several threads: never more than are allowed, nobody forgotten, no place lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_or_given_twice() {
    let (gate, limits) = (gate(), limits(8, 100_000));
    let most = Arc::new(AtomicU32::new(0));
    let (inside, served) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let all = (0..20_000_u32).map(|number| {
        let (gate, limits, most, inside, served) =
            (gate.clone(), limits.clone(), most.clone(), inside.clone(), served.clone());
        tokio::spawn(async move {
            let priority = [Priority::Critical, Priority::Normal, Priority::Bulk][number as usize % 3];
            let entering = gate.enter(&limits, priority, None);
            // Some leave while they wait.
            let permit = match number % 7 {
                0 => tokio::time::timeout(Duration::from_micros(u64::from(number % 50)), entering).await.ok(),
                _ => Some(entering.await),
            };
            if let Some(Ok(_permit)) = permit {
                most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
                served.fetch_add(1, SeqCst);
            }
        })
    });
    for task in all.collect::<Vec<_>>() {
        task.await.expect("nobody panics");
    }
    assert!(most.load(SeqCst) <= 8, "{most:?} at once");
    assert!(served.load(SeqCst) > 100, "{served:?}");
    assert_eq!(gate.in_flight.load(SeqCst), 0);
    assert!(gate.enter(&limits, Priority::Bulk, None).await.is_ok());
}
