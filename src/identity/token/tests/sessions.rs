//! How long a session lasts, and how it ends.

use super::*;

#[tokio::test]
async fn a_session_lasts_as_long_as_asked_and_no_longer_than_its_token() {
    let token = token();
    for (token_seconds, ttl, at, expect) in
        [(900, 900, 0, 900), (900, 60, 0, 60), (900, 3600, 0, 900), (900, 900, 100, 800), (900, 0, 0, 0)]
    {
        let text = token_of("7", token_seconds);
        let start = today().later(at * SECOND);
        let identity = token.verify(&text, start).await.unwrap();
        let ttl = Duration::from_secs(ttl);
        assert_eq!(token.open_session(&identity, ttl, None, start).await, Ok(Duration::from_secs(expect)));
        if expect > 0 {
            let last = start.later((expect as u32 - 1) * SECOND);
            assert_eq!(ask(&token, &format!("cookie {text}"), last).await, "7 Cookie");
        }
        // The wall clock stands still, so it is the session that is over.
        let end = Now { unix: start.unix, ..start.later(expect as u32 * SECOND) };
        assert_eq!(ask(&token, &format!("cookie {text}"), end).await, "no session Cookie");
    }
    let late = token.verify(&token_of("8", 900), today()).await.unwrap();
    assert_eq!(token.open_session(&late, SECOND, None, today().later(901 * SECOND)).await, Ok(Duration::ZERO));
}

#[tokio::test]
async fn a_logout_ends_one_session_and_its_cache_entry() {
    let token = token();
    let [ana, bob] = ["ana", "bob"].map(|user| token_of(user, 900));
    let identity = open(&token, &ana, today()).await;
    open(&token, &bob, today()).await;
    assert_eq!(token.end_session(&ana, today()).await, Ok(true));
    assert_eq!(token.cache.identities.len(), 1);
    assert_eq!(ask(&token, &format!("cookie {ana}"), today()).await, "no session Cookie");
    assert_eq!(ask(&token, &format!("cookie {bob}"), today()).await, "bob Cookie");
    for unknown in [ana.as_str(), "", "bad", "a.b.c", "access_token:x"] {
        assert_eq!(token.end_session(unknown, today()).await, Ok(false), "{unknown}");
    }
    assert_eq!((token.metrics.opened.get(), token.metrics.ended.get()), (2, 1));
    // Signing in with the same token opens its session again.
    token.open_session(&identity, 900 * SECOND, None, today()).await.unwrap();
    assert_eq!(ask(&token, &format!("cookie {ana}"), today()).await, "ana Cookie");
}

#[tokio::test]
async fn a_full_store_refuses_the_login() {
    let metrics = metrics();
    let token = Token::new(options(), None, Arc::new(MemoryStore::new(1, metrics.clone())), metrics).unwrap();
    open(&token, &token_of("ana", 900), today()).await;
    let bob = token.verify(&token_of("bob", 900), today()).await.unwrap();
    assert_eq!(token.open_session(&bob, 900 * SECOND, None, today()).await, Err(PutError::Full));
    assert_eq!((token.metrics.opened.get(), token.metrics.refused_full.get()), (1, 1));
    assert_eq!(ask(&token, &format!("cookie {}", token_of("ana", 900)), today()).await, "ana Cookie");
    let later = today().later(900 * SECOND);
    assert_eq!(token.open_session(&bob, 900 * SECOND, None, later).await, Ok(Duration::ZERO));
    assert_eq!(token.metrics.expired.get(), 1);
}

#[tokio::test]
async fn without_a_session_a_good_token_is_enough() {
    let store = Arc::new(Slow::default());
    store.down.store(true, SeqCst);
    let token = Token::new(TokenOptions { session: None, ..options() }, None, store, metrics()).unwrap();
    let text = token_of("7", 900);
    assert_eq!(ask(&token, &format!("bearer {text}"), today()).await, "7 Header");
    let identity = token.verify(&text, today()).await.unwrap();
    assert_eq!(token.open_session(&identity, 3600 * SECOND, None, today()).await, Ok(900 * SECOND));
    assert_eq!(token.end_session(&text, today()).await, Ok(false));
    assert_eq!(token.metrics.opened.get(), 0);
}

#[test]
fn a_logout_is_seen_by_every_request_after_it() {
    const ROUNDS: usize = 100;
    const READERS: usize = 6;
    let token = token();
    let requests: Vec<_> = (0..ROUNDS).map(|round| token_of(&round.to_string(), 900)).collect();
    let maps: Vec<_> = requests.iter().map(|text| headers(&format!("cookie {text}"))).collect();
    // The latest round that was opened, whose logout has returned, and that a reader saw living; from 1.
    let (opened, ended, seen) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let stale = AtomicUsize::new(0);
    let is_known = |round: usize| matches!(token.identify_now(&maps[round - 1], today()), Some(Caller::Known { .. }));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while ended.load(SeqCst) < ROUNDS {
                    let gone = ended.load(SeqCst);
                    let round = opened.load(SeqCst).max(1);
                    if is_known(round) {
                        seen.fetch_max(round, SeqCst);
                        stale.fetch_add(usize::from(round <= gone), SeqCst);
                    }
                    // The one before was ended before the latest was opened.
                    if round > 1 && is_known(round - 1) {
                        stale.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        // Also when an assertion fails: a test that fails must not hang.
        let _let_readers_go = LastRound(&ended);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (round, text) in (1..).zip(&requests) {
            runtime.block_on(open(&token, text, today()));
            opened.store(round, SeqCst);
            // The logout comes while they are busy with this session.
            while seen.load(SeqCst) < round {
                std::thread::yield_now();
            }
            assert_eq!(runtime.block_on(token.end_session(text, today())), Ok(true));
            ended.store(round, SeqCst);
        }
    });
    assert_eq!(stale.into_inner(), 0);
}

struct LastRound<'a>(&'a AtomicUsize);

impl Drop for LastRound<'_> {
    fn drop(&mut self) {
        self.0.store(usize::MAX, SeqCst);
    }
}
