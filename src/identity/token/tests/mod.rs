//! One kind of token over both kinds of store: the one in memory, and one that has to be waited for.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use tokio::sync::Notify;

mod options;
mod over;
mod refresh;
mod sessions;
mod waited;

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
    assert_eq!((token.cache.identities.len(), token.metrics.miss.get()), (0, 3));
}

#[tokio::test]
async fn a_cached_token_ends_on_time() {
    let token = token();
    let text = format!("cookie {}", token_of("7", 900));
    open(&token, &text["cookie ".len()..], today()).await;
    assert_eq!(ask(&token, &text, today().later(899 * SECOND)).await, "7 Cookie");
    assert_eq!(token.cache.identities.len(), 1);
    // Both clocks are asked: here only the wall clock has moved on.
    let wall = Now { unix: TODAY + 900, ..today() };
    assert_eq!(ask(&token, &text, wall).await, "expired Cookie");
    assert_eq!(token.cache.identities.len(), 0);
    assert_eq!(token.verify(&text["cookie ".len()..], wall).await.unwrap_err(), Refused::Expired.into());
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
async fn nothing_shown_holds_a_token_or_a_claim() {
    let token = token();
    let text = token_of("7", 900);
    open(&token, &text, today()).await;
    let caller = token.identify(&headers(&format!("cookie {text}")), today()).await;
    let shown = format!("{token:?} {:?} {caller:?}", options());
    for part in text.split('.').chain(["0123456789abcdef", "a@b.c"]) {
        assert!(!shown.contains(part), "{shown}");
    }
    assert_eq!(format!("{token:?}"), r#"Token { name: "web", .. }"#);
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
