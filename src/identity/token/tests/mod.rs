//! One kind of token over both kinds of store: the one in memory, and one that has to be waited for.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use tokio::sync::Notify;

mod refresh;

use super::super::cookie::{SameSite, Secure};
use super::super::key::SessionKey;
use super::super::memory::MemoryStore;
use super::super::refresh::Claim;
use super::super::standing::Standing;
use super::super::store::Old;
use super::super::testkit::{HS256, TODAY, claim, metrics, options as verify_options, secret, sign, today, token_of};
use super::*;
use crate::identity::verify::VerifyOptions;
use http::header::AUTHORIZATION;

const SECOND: Duration = Duration::from_secs(1);

fn options() -> TokenOptions {
    TokenOptions {
        name: "web".into(),
        sources: vec![
            Source::Header { name: AUTHORIZATION, scheme: "Bearer".into() },
            Source::Cookie { name: "predicthealth_jwt".into() },
        ],
        verify: verify_options(),
        session: Some(SessionOptions {
            key: "access_token:{token}".parse().unwrap(),
            max_staleness: Duration::from_secs(2),
        }),
        identity: vec![
            (HeaderName::from_static("x-user-id"), claim("user_id")),
            (HeaderName::from_static("x-user-roles"), claim("roles")),
            (HeaderName::from_static("x-reference-id"), claim("metadata.reference_id")),
            (HeaderName::from_static("x-absent"), claim("absent")),
        ],
        cookie: Some(CookieOptions {
            name: "predicthealth_jwt".into(),
            same_site: SameSite::Lax,
            secure: Secure::Auto,
        }),
        cached: 1000,
    }
}

fn token() -> Token {
    let metrics = metrics();
    let store = Arc::new(MemoryStore::new(MemoryStore::DEFAULT_MAX_SESSIONS, metrics.clone()));
    Token::new(options(), None, store, metrics).unwrap()
}

fn over(store: &Arc<Slow>) -> Token {
    Token::new(options(), None, store.clone(), metrics()).unwrap()
}

/// `bearer TEXT` and `cookie TEXT`, a line each.
fn headers(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        let (name, value) = match line.trim().split_once(' ').unwrap() {
            ("bearer", token) => (AUTHORIZATION, format!("Bearer {token}")),
            ("cookie", token) => (http::header::COOKIE, format!("predicthealth_jwt={token}")),
            _ => panic!("{line}"),
        };
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn say(caller: &Caller) -> String {
    match caller {
        Caller::Missing => "missing".into(),
        Caller::Refused { why: Refused::Invalid(_), by } => format!("invalid {by:?}"),
        Caller::Refused { why: Refused::Expired, by } => format!("expired {by:?}"),
        Caller::Refused { why: Refused::SessionUnknown, by } => format!("no session {by:?}"),
        Caller::StoreDown { by } => format!("store down {by:?}"),
        Caller::KeysDown { by } => format!("keys down {by:?}"),
        Caller::Known { identity, by } => format!("{} {by:?}", identity.claims["user_id"].as_str().unwrap()),
    }
}

async fn ask(token: &Token, text: &str, now: Now) -> String {
    say(&token.identify(&headers(text), now).await)
}

async fn open(token: &Token, text: &str, now: Now) -> Arc<Identity> {
    let identity = token.verify(text, now).await.unwrap();
    token.open_session(&identity, 900 * SECOND, None, now).await.unwrap();
    identity
}

#[tokio::test]
async fn a_caller_is_who_the_first_token_found_says() {
    let token = token();
    let [ana, bob, stranger] = ["ana", "bob", "eve"].map(|user| token_of(user, 900));
    open(&token, &ana, today()).await;
    open(&token, &bob, today()).await;
    let refresh = sign(HS256, format!(r#"{{"user_id":"ana","type":"refresh","exp":{}}}"#, TODAY + 900));
    for (text, expect) in [
        (String::new(), "missing"),
        (format!("bearer {ana}"), "ana Header"),
        (format!("cookie {ana}"), "ana Cookie"),
        (format!("bearer {ana}\ncookie {bob}"), "ana Header"),
        (format!("bearer bad\ncookie {bob}"), "invalid Header"),
        (format!("bearer {ana}\nbearer {ana}"), "invalid Header"),
        (format!("cookie {ana}\ncookie {bob}"), "invalid Cookie"),
        (format!("bearer {stranger}"), "no session Header"),
        (format!("bearer {stranger}\ncookie {bob}"), "no session Header"),
        (format!("cookie {}", token_of("ana", 0)), "expired Cookie"),
        (format!("cookie {refresh}"), "invalid Cookie"),
        (format!("cookie {}x", &ana[..ana.len() - 1]), "invalid Cookie"),
    ] {
        // Twice: the second time what can be in the cache is.
        for _ in 0..2 {
            assert_eq!(ask(&token, &text, today()).await, expect, "{text}");
            assert_eq!(say(&token.identify_now(&headers(&text), today()).unwrap()), expect, "{text}");
        }
    }
}

#[tokio::test]
async fn an_identity_is_made_once() {
    let token = token();
    let text = token_of("7", 900);
    let identity = open(&token, &text, today()).await;
    let lines: Vec<_> = identity.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(lines, [("x-user-id", "7"), ("x-user-roles", "patient"), ("x-reference-id", "r-7")]);
    assert_eq!(identity.authorization, format!("Bearer {text}"));
    assert_eq!((&*identity.token, identity.expires), (&*text, TODAY + 900));
    for _ in 0..3 {
        let Caller::Known { identity: again, .. } = token.identify(&headers(&format!("bearer {text}")), today()).await
        else {
            panic!("is known")
        };
        assert!(Arc::ptr_eq(&identity, &again));
    }
    assert_eq!((token.metrics.hit.get(), token.metrics.miss.get()), (3, 0));
}

#[tokio::test]
async fn strangers_leave_nothing_in_the_cache() {
    let token = token();
    let good = token_of("7", 900);
    let forged = format!("{}{}", &good[..good.len() - 2], "AA");
    for text in ["bad".to_owned(), forged, token_of("7", 0)] {
        ask(&token, &format!("bearer {text}"), today()).await;
    }
    assert_eq!((token.cache.len(), token.metrics.miss.get()), (0, 3));
}

#[tokio::test]
async fn a_cached_token_ends_on_time() {
    let token = token();
    let text = format!("cookie {}", token_of("7", 900));
    open(&token, &text["cookie ".len()..], today()).await;
    assert_eq!(ask(&token, &text, today().later(899 * SECOND)).await, "7 Cookie");
    assert_eq!(token.cache.len(), 1);
    // Both clocks are asked: here only the wall clock has moved on.
    let wall = Now { unix: TODAY + 900, ..today() };
    assert_eq!(ask(&token, &text, wall).await, "expired Cookie");
    assert_eq!(token.cache.len(), 0);
    assert_eq!(token.verify(&text["cookie ".len()..], wall).await.unwrap_err(), Refused::Expired.into());
}

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
    assert_eq!(token.cache.len(), 1);
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

/// A store that never answers at once.
#[derive(Default)]
struct Slow {
    keys: Mutex<HashSet<SessionKey>>,
    down: AtomicBool,
    asked: AtomicUsize,
    /// While set, an answer that was looked up, or a removal that is about to be made, is held back until `release`.
    held: AtomicBool,
    waiting: Notify,
    release: Notify,
}

impl Slow {
    fn is_up(&self) -> Result<(), StoreDown> {
        if self.down.load(SeqCst) { Err(StoreDown) } else { Ok(()) }
    }

    async fn hold(&self) {
        if self.held.load(SeqCst) {
            self.waiting.notify_one();
            self.release.notified().await;
        }
    }
}

#[async_trait]
impl SessionStore for Slow {
    async fn contains(&self, key: &SessionKey, standing: &Standing, now: Now) -> Result<bool, StoreDown> {
        self.asked.fetch_add(1, SeqCst);
        self.is_up()?;
        let question = standing.ask();
        let answer = self.keys.lock().unwrap().contains(key);
        self.hold().await;
        if answer {
            standing.confirm(question, now.tick(), u64::MAX, 0);
        }
        Ok(answer)
    }

    async fn put(&self, key: &SessionKey, _: &NewSession<'_>, _: Now) -> Result<(), PutError> {
        self.is_up().map_err(|StoreDown| PutError::Down)?;
        self.keys.lock().unwrap().insert(key.clone());
        Ok(())
    }

    async fn claim_refresh(&self, _: Old<'_>, _: Duration, _: Now) -> Result<Claim, StoreDown> {
        Ok(Claim::Never)
    }

    async fn succeed(&self, _: Old<'_>, _: &SessionKey, _: &NewSession<'_>, _: Now) -> Result<bool, PutError> {
        Ok(false)
    }

    async fn remove(&self, key: &SessionKey, _now: Now) -> Result<bool, StoreDown> {
        self.is_up()?;
        self.hold().await;
        Ok(self.keys.lock().unwrap().remove(key))
    }

    async fn tend(&self) {}
}

#[tokio::test]
async fn the_answer_of_a_store_that_is_waited_for_is_believed_for_max_staleness() {
    let store = Arc::new(Slow::default());
    let token = over(&store);
    let text = format!("cookie {}", token_of("7", 900));
    open(&token, &text["cookie ".len()..], today()).await;
    let start = today();
    for (milliseconds, expect, asked) in [
        (0, "7 Cookie", 1),
        (1, "7 Cookie", 1),
        (1999, "7 Cookie", 1),
        (2000, "7 Cookie", 2),
        (3999, "7 Cookie", 2),
        (4000, "7 Cookie", 3),
    ] {
        let now = start.later(Duration::from_millis(milliseconds));
        let must_wait = store.asked.load(SeqCst) < asked;
        assert_eq!(token.identify_now(&headers(&text), now).is_none(), must_wait, "{milliseconds}");
        assert_eq!(ask(&token, &text, now).await, expect);
        assert_eq!(store.asked.load(SeqCst), asked, "{milliseconds}");
    }
    // Ended by another gateway, which tells nobody.
    store.keys.lock().unwrap().clear();
    assert_eq!(ask(&token, &text, start.later(Duration::from_millis(5999))).await, "7 Cookie");
    assert_eq!(ask(&token, &text, start.later(Duration::from_millis(6000))).await, "no session Cookie");
    // A "no" is not kept: the session may be opened at any moment.
    open(&token, &text["cookie ".len()..], today()).await;
    assert_eq!(ask(&token, &text, start.later(Duration::from_millis(6001))).await, "7 Cookie");
}

#[tokio::test]
async fn an_outage_refuses_nobody_and_ends_nothing() {
    let store = Arc::new(Slow::default());
    let token = over(&store);
    let [ana, bob] = ["ana", "bob"].map(|user| token_of(user, 900));
    open(&token, &ana, today()).await;
    let identity = open(&token, &bob, today()).await;
    let start = today();
    assert_eq!(ask(&token, &format!("cookie {ana}"), start).await, "ana Cookie");
    store.down.store(true, SeqCst);
    assert_eq!(ask(&token, &format!("cookie {ana}"), start).await, "ana Cookie");
    assert_eq!(ask(&token, &format!("cookie {bob}"), start).await, "store down Cookie");
    assert_eq!(token.end_session(&ana, start).await, Err(StoreDown));
    assert_eq!(token.open_session(&identity, SECOND, None, start).await, Err(PutError::Down));
    assert_eq!(ask(&token, &format!("cookie {ana}"), start.later(SECOND)).await, "ana Cookie");
    assert_eq!(ask(&token, &format!("cookie {ana}"), start.later(2 * SECOND)).await, "store down Cookie");
    assert_eq!(ask(&token, "cookie bad", start).await, "invalid Cookie");
    assert_eq!(token.metrics.store_down.get(), 4);
    store.down.store(false, SeqCst);
    for (user, text) in [("ana", ana), ("bob", bob)] {
        assert_eq!(ask(&token, &format!("cookie {text}"), start.later(2 * SECOND)).await, format!("{user} Cookie"));
    }
}

#[tokio::test]
async fn an_answer_that_was_on_its_way_during_a_logout_is_not_kept() {
    let (store, text) = (Arc::new(Slow::default()), token_of("7", 900));
    let token = Arc::new(over(&store));
    open(&token, &text, today()).await;
    store.held.store(true, SeqCst);
    let early = tokio::spawn({
        let (token, text) = (token.clone(), format!("cookie {text}"));
        async move { ask(&token, &text, today()).await }
    });
    store.waiting.notified().await;
    store.held.store(false, SeqCst);
    assert_eq!(token.end_session(&text, today()).await, Ok(true));
    store.release.notify_one();
    // The request began before the logout and may be served; the next one may not.
    assert_eq!(early.await.unwrap(), "7 Cookie");
    assert_eq!(ask(&token, &format!("cookie {text}"), today()).await, "no session Cookie");
}

#[tokio::test]
async fn an_answer_that_came_while_a_logout_was_on_its_way_is_not_kept() {
    let (store, text) = (Arc::new(Slow::default()), token_of("7", 900));
    let token = Arc::new(over(&store));
    open(&token, &text, today()).await;
    store.held.store(true, SeqCst);
    let logout = tokio::spawn({
        let (token, text) = (token.clone(), text.clone());
        async move { token.end_session(&text, today()).await }
    });
    store.waiting.notified().await;
    store.held.store(false, SeqCst);
    assert_eq!(ask(&token, &format!("cookie {text}"), today()).await, "7 Cookie");
    store.release.notify_one();
    assert_eq!(logout.await.unwrap(), Ok(true));
    assert_eq!(ask(&token, &format!("cookie {text}"), today()).await, "no session Cookie");
}

#[tokio::test]
async fn cookies_are_set_and_cleared_as_configured() {
    let token = token();
    let text = token_of("7", 900);
    let identity = token.verify(&text, today()).await.unwrap();
    assert_eq!(
        token.set_cookie(&identity, 900 * SECOND, today(), false).unwrap(),
        format!(
            "predicthealth_jwt={text}; Expires=Fri, 15 Jan 2027 08:15:00 GMT; Max-Age=900; HttpOnly; Path=/; SameSite=Lax"
        )
    );
    assert_eq!(
        token.clear_cookie(true).unwrap(),
        "predicthealth_jwt=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; Path=/; SameSite=Lax"
    );
    let without =
        Token::new(TokenOptions { cookie: None, ..options() }, None, Arc::new(Slow::default()), metrics()).unwrap();
    assert_eq!(without.set_cookie(&identity, SECOND, today(), false), None);
    assert_eq!(without.clear_cookie(false), None);
}

#[test]
fn options_that_can_have_no_effect_are_refused() {
    let header = || Source::Header { name: AUTHORIZATION, scheme: "Bearer".into() };
    let id = HeaderName::from_static("x-user-id");
    for (options, why) in [
        (TokenOptions { sources: vec![], ..options() }, "looked for nowhere"),
        (TokenOptions { sources: vec![header(), header()], cookie: None, ..options() }, "written twice"),
        (TokenOptions { sources: vec![Source::Cookie { name: "a b".into() }], ..options() }, "`a b` is no cookie name"),
        (TokenOptions { sources: vec![header()], ..options() }, "never read"),
        (
            TokenOptions { identity: vec![(id.clone(), claim("a")), (id, claim("b"))], ..options() },
            "`x-user-id` would be written twice",
        ),
        (TokenOptions { identity: vec![(AUTHORIZATION, claim("a"))], ..options() }, "carries the token itself"),
        (TokenOptions { cached: 0, ..options() }, "at least one"),
        (
            TokenOptions { verify: VerifyOptions { key: secret(b""), ..verify_options() }, ..options() },
            "the secret is empty",
        ),
    ] {
        let error = Token::new(options, None, Arc::new(Slow::default()), metrics()).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn nothing_shown_holds_a_token_or_a_claim() {
    let token = token();
    let text = token_of("7", 900);
    open(&token, &text, today()).await;
    let caller = token.identify(&headers(&format!("cookie {text}")), today()).await;
    let shown = format!("{token:?} {:?} {caller:?}", options());
    for part in text.split('.').chain(["0123456789abcdef", "a@b.c"]) {
        assert!(!shown.contains(part), "{shown}");
    }
    assert!(shown.contains("web") && shown.contains(&(TODAY + 900).to_string()), "{shown}");
}

#[tokio::test]
async fn a_token_and_a_session_that_are_known_cost_no_memory() {
    let slow = over(&Arc::new(Slow::default()));
    for token in [token(), slow] {
        let text = token_of("7", 900);
        open(&token, &text, today()).await;
        for by in ["bearer", "cookie"] {
            let (headers, now) = (headers(&format!("{by} {text}")), today());
            assert_eq!(say(&token.identify(&headers, now).await), if by == "cookie" { "7 Cookie" } else { "7 Header" });
            let cost = allocation_counter::measure(|| {
                let caller = token.identify_now(&headers, now).expect("nobody is asked");
                assert!(matches!(caller, Caller::Known { .. }));
            });
            assert_eq!(cost.count_total, 0, "by {by}");
        }
    }
}
