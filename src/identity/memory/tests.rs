//! One store, step by step.

use super::super::key::KeyTemplate;
use super::super::testkit::{check_line, metrics, today};
use super::*;

fn key(name: &str) -> SessionKey {
    "{token}".parse::<KeyTemplate>().unwrap().key(name)
}

/// Runs `steps` against a store of two places: `put NAME TTL`, `has NAME`, `remove NAME`, `wait SECONDS`, `sweep`
/// (every shard once), `count`, `expired`; and compares what each answered.
async fn check(steps: &[(&str, &str)]) {
    let store = MemoryStore::new(2, metrics());
    let mut now = today();
    for (step, expect) in steps {
        let words: Vec<_> = step.split(' ').collect();
        let got = match words[..] {
            ["put", name, ttl] => {
                let ttl = Duration::from_secs(ttl.parse().unwrap());
                let session = NewSession { value: "", token: name, ttl, origin: None };
                format!("{:?}", store.put(&key(name), &session, now).await)
            }
            ["has", name] => {
                let (key, age) = (key(name), Duration::ZERO);
                let standing = store.standing(&key);
                let answer = store.contains_now(&standing, age, now).unwrap();
                assert_eq!(store.contains(&key, &standing, now).await, Ok(answer));
                answer.to_string()
            }
            ["remove", name] => store.remove(&key(name), now).await.unwrap().to_string(),
            ["wait", seconds] => {
                now = now.later(Duration::from_secs(seconds.parse().unwrap()));
                String::new()
            }
            ["sweep"] => (0..SHARDS).map(|_| store.sweep(now)).sum::<usize>().to_string(),
            ["count"] => store.count.load(Relaxed).to_string(),
            ["expired"] => store.metrics.expired.get().to_string(),
            _ => panic!("{step}"),
        };
        assert_eq!(got, *expect, "{step}, of {steps:?}");
    }
}

#[tokio::test]
async fn a_session_is_there_until_its_end() {
    check(&[
        ("has a", "false"),
        ("put a 10", "Ok(())"),
        ("has a", "true"),
        ("has b", "false"),
        ("wait 9", ""),
        ("has a", "true"),
        ("wait 1", ""),
        ("has a", "false"),
        ("remove a", "false"),
        ("expired", "1"),
        ("count", "0"),
    ])
    .await;
    check(&[("put a 0", "Ok(())"), ("has a", "false")]).await;
    check(&[("put a 18446744073709551615", "Ok(())"), ("wait 1000000000", ""), ("has a", "true")]).await;
}

#[tokio::test]
async fn a_removed_session_is_gone_and_can_come_back() {
    check(&[
        ("put a 10", "Ok(())"),
        ("remove a", "true"),
        ("has a", "false"),
        ("remove a", "false"),
        ("put a 10", "Ok(())"),
        ("has a", "true"),
        ("count", "1"),
        ("expired", "0"),
    ])
    .await;
}

#[tokio::test]
async fn putting_it_again_moves_the_end() {
    check(&[
        ("put a 10", "Ok(())"),
        ("wait 5", ""),
        ("put a 10", "Ok(())"),
        ("count", "1"),
        ("wait 9", ""),
        ("has a", "true"),
        ("put a 1", "Ok(())"),
        ("wait 1", ""),
        ("has a", "false"),
        ("put a 5", "Ok(())"),
        ("expired", "1"),
        ("has a", "true"),
        ("sweep", "0"),
    ])
    .await;
}

#[tokio::test]
async fn a_full_store_refuses_and_evicts_nobody() {
    check(&[
        ("put a 10", "Ok(())"),
        ("put b 20", "Ok(())"),
        ("put c 10", "Err(Full)"),
        ("has a", "true"),
        ("has b", "true"),
        ("has c", "false"),
        ("count", "2"),
        ("put a 10", "Ok(())"),
        ("remove b", "true"),
        ("put c 10", "Ok(())"),
        ("put b 10", "Err(Full)"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_over_makes_room_wherever_it_lies() {
    check(&[
        ("put a 10", "Ok(())"),
        ("put b 20", "Ok(())"),
        ("wait 10", ""),
        ("put c 5", "Ok(())"),
        ("expired", "1"),
        ("put d 5", "Err(Full)"),
        ("has b", "true"),
        ("wait 5", ""),
        ("put d 5", "Ok(())"),
        ("has b", "true"),
        ("has d", "true"),
        ("count", "2"),
    ])
    .await;
}

#[tokio::test]
async fn a_sweep_drops_what_is_over_and_nothing_else() {
    check(&[
        ("put a 10", "Ok(())"),
        ("put b 20", "Ok(())"),
        ("sweep", "0"),
        ("wait 10", ""),
        ("count", "2"),
        ("sweep", "1"),
        ("count", "1"),
        ("has b", "true"),
        ("sweep", "0"),
        ("wait 10", ""),
        ("sweep", "1"),
        ("expired", "2"),
        ("count", "0"),
    ])
    .await;
}

#[tokio::test]
async fn sessions_of_one_shard_are_swept_in_the_order_of_their_ends() {
    let mut shared = (0..).map(|name| name.to_string()).filter(|name| key(name).digest()[0] == 7);
    let [a, b, c] = std::array::from_fn(|_| shared.next().unwrap());
    let put = [(a, 20), (b, 10), (c, 30)].map(|(name, ttl)| format!("put {name} {ttl}"));
    let mut steps: Vec<_> = put.iter().map(|step| (step.as_str(), "Ok(())")).take(2).collect();
    // The third has no place before one of the others is over, though nothing asked for a sweep.
    steps.extend([(&*put[2], "Err(Full)"), ("sweep", "0"), ("wait 10", ""), (&*put[2], "Ok(())"), ("expired", "1")]);
    steps.extend([("sweep", "0"), ("wait 10", ""), ("sweep", "1"), ("wait 20", ""), ("sweep", "1"), ("count", "0")]);
    check(&steps).await;
}

#[tokio::test]
async fn many_logins_at_once_stay_within_the_bound() {
    let store = MemoryStore::new(100, metrics());
    let now = today();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for i in 0..100 {
                    let key = key(&format!("{thread}-{i}"));
                    let ttl = Duration::from_secs(9);
                    let session = NewSession { value: "", token: "", ttl, origin: None };
                    let _ = runtime.block_on(store.put(&key, &session, now));
                    assert!(store.count.load(Relaxed) <= 100);
                }
            });
        }
    });
    let held: usize = store.shards.iter().map(|shard| read(shard).ends.len()).sum();
    assert_eq!((held, store.count.load(Relaxed)), (100, 100));
}

#[tokio::test]
async fn sessions_follow_one_another_as_in_any_store() {
    let store = MemoryStore::new(9, metrics());
    check_line(&store, &"{token}".parse().unwrap()).await;
    assert_eq!(store.count.load(Relaxed), 0);
}
