//! Against a real Redis: answers that are on their way while a session ends.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use super::*;
use crate::identity::testkit::check_line;

/// A `redis-server` of the test's own. Dropped, it ends.
struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn server() -> Server {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed: `make test` does it");
    Server(child, format!("redis://127.0.0.1:{port}/0"))
}

/// A store with its stream, once both work.
async fn store(server: &Server) -> Arc<RedisStore> {
    let options = RedisOptions { url: server.1.as_str().into(), timeout: Duration::from_secs(3) };
    let store = RedisStore::new(&options, &Registry::new()).unwrap();
    store.expect(&template(), true);
    let tended = store.clone();
    tokio::spawn(async move { tended.tend().await });
    let begun = Instant::now();
    while store.stream().proven == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "redis-server does not answer");
        tokio::task::yield_now().await;
    }
    store
}

fn template() -> KeyTemplate {
    "access_token:{token}".parse().unwrap()
}

/// Far longer than any round: nothing but the news of Redis ends an answer here.
const STALENESS: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_outlives_its_end_however_the_answers_cross() {
    const ROUNDS: usize = 10_000;
    const READERS: usize = 6;
    let server = server().await;
    let (store, elsewhere) = (store(&server).await, store(&server).await);
    let stale = AtomicUsize::new(0);
    for round in 0..ROUNDS {
        let key = template().key(&round.to_string());
        let standing = store.standing(&key);
        let reading = AtomicBool::new(true);
        let reader = async || {
            let mut alive = 0_usize;
            while reading.load(SeqCst) {
                let now = Now::read();
                let known = store.contains_now(&standing, STALENESS, now).is_some();
                alive += usize::from(known || store.contains(&key, &standing, now).await.unwrap());
                tokio::task::yield_now().await;
            }
            alive
        };
        let writer = async {
            let session = NewSession { value: "x", token: "x", ttl: Duration::from_secs(900), origin: None };
            elsewhere.put(&key, &session, Now::read()).await.unwrap();
            tokio::task::yield_now().await;
            assert!(elsewhere.remove(&key, Now::read()).await.unwrap());
            reading.store(false, SeqCst);
        };
        let readers = async { tokio::join!(reader(), reader(), reader(), reader(), reader(), reader()) };
        tokio::join!(writer, readers);
        // Once a PING that was sent after the DEL was answered, its news is here: what is still believed would be believed for ever.
        let mut look = pipe();
        look.cmd("PING");
        store.link.query::<()>(&look).await.unwrap();
        let since = Instant::now();
        while store.contains_now(&standing, STALENESS, Now::read()).is_some() {
            if since.elapsed() > Duration::from_millis(100) {
                stale.fetch_add(1, SeqCst);
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(stale.into_inner(), 0, "of {ROUNDS} rounds with {READERS} readers");
}

#[tokio::test]
async fn a_key_without_a_beginning_of_its_own_is_refused_and_prefixes_never_overlap() {
    let options = RedisOptions { url: "redis://127.0.0.1:1".into(), timeout: RedisOptions::TIMEOUT };
    let store = RedisStore::new(&options, &Registry::new()).unwrap();
    assert!(store.check(&"{token}".parse().unwrap()).unwrap_err().contains("begin with a text of its own"));
    let keys = ["s:{token}", "session:{token}", "s:a:{token.sha256}", "s:{token}"].map(|key| key.parse().unwrap());
    keys.iter().for_each(|key| store.check(key).unwrap());
    assert!(store.prefixes().is_empty(), "it was only asked whether it could");
    keys.iter().for_each(|key| store.expect(key, false));
    let prefixes: Vec<_> = store.prefixes().iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["s:", "session:"]);
}

#[test]
fn a_url_is_checked_and_never_repeated() {
    for good in ["redis://h", "redis://h:1/2", "rediss://:p@h", "redis://u:p@[::1]:6379/0"] {
        RedisOptions::check(good).unwrap();
    }
    for bad in
        ["http://u:CANARY@h", "redis://u:CANARY@h:x", "redis://u:CANARY@h/x", "redis://", "h:6379", "unix:///CANARY"]
    {
        let why = RedisOptions::check(bad).expect_err(bad);
        assert!(!why.contains("CANARY"), "{why}");
    }
    let options = RedisOptions { url: "redis://u:CANARY@h".into(), timeout: RedisOptions::TIMEOUT };
    assert!(!format!("{options:?}").contains("CANARY"));
}

#[tokio::test]
async fn sessions_follow_one_another_as_in_any_store() {
    let server = server().await;
    check_line(&*store(&server).await, &template()).await;
}
