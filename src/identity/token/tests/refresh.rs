//! Tokens that are about to run out, with an issuer that does what it is told.

mod due;

use std::sync::atomic::AtomicU64;

use super::super::super::refresh::{Issued, Issuer};
use super::super::super::testkit::secret;
use super::*;

/// Gives out tokens, each of which lasts two seconds longer than any before, and knows how often it was asked and by what.
#[derive(Default)]
struct Auth {
    asked: Mutex<Vec<Option<String>>>,
    given: AtomicU64,
    fails: AtomicBool,
    /// Gives out tokens with this `user_id` instead, as JSON has it.
    other: Mutex<Option<String>>,
    /// Gives out tokens that end then instead, unless it is 0.
    until: AtomicU64,
    held: AtomicBool,
    release: Notify,
}

impl Auth {
    /// Comes with the first question; a gateway that has none fails the test instead of stopping it.
    async fn is_asked(&self) {
        for _ in 0..100_000 {
            if !self.asked.lock().unwrap().is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("nobody asks");
    }
}

struct Asked(Arc<Auth>);

#[async_trait]
impl Issuer for Asked {
    async fn next(&self, old: &Identity, refresh_token: Option<&str>) -> Result<Issued, String> {
        self.0.asked.lock().unwrap().push(refresh_token.map(Into::into));
        if self.0.held.load(SeqCst) {
            self.0.release.notified().await;
        }
        if self.0.fails.load(SeqCst) {
            return Err("it answered 500".into());
        }
        let user = self.0.other.lock().unwrap().clone();
        let user = user.unwrap_or_else(|| old.claims["user_id"].to_string());
        let n = self.0.given.fetch_add(1, SeqCst) + 1;
        let end = match self.0.until.load(SeqCst) {
            0 => Now::read().unix + 900 + 2 * n,
            until => until,
        };
        let token = token_until(&user, end);
        Ok(Issued { token, lifetime: None, refresh_token: Some(format!("r{n}").into()) })
    }
}

/// A good token at this very moment: refreshing reads the clock itself.
fn token_for(user: &str, seconds: u64) -> String {
    token_until(&format!("\"{user}\""), Now::read().unix + seconds)
}

/// With a `user_id` as JSON has it.
fn token_until(user: &str, end: u64) -> String {
    sign(HS256, format!(r#"{{"user_id":{user},"exp":{end}}}"#))
}

fn same() -> Vec<ClaimPath> {
    vec![claim("user_id")]
}

struct World {
    auth: Arc<Auth>,
    store: Arc<MemoryStore>,
    token: Arc<Token>,
}

fn world() -> World {
    let store = Arc::new(MemoryStore::new(MemoryStore::DEFAULT_MAX_SESSIONS, metrics()));
    let auth = Arc::new(Auth::default());
    World { token: gateway(&auth, &store), auth, store }
}

fn gateway(auth: &Arc<Auth>, store: &Arc<MemoryStore>) -> Arc<Token> {
    let refresh =
        Refresh { before: 120 * SECOND, max: 3600 * SECOND, same: same(), issuer: Box::new(Asked(auth.clone())) };
    Arc::new(Token::new(options(), Some(refresh), store.clone(), metrics()).unwrap())
}

async fn sign_in(token: &Token, text: &str, ago: u64) {
    let now = Now::read();
    let identity = token.verify(text, now).await.unwrap();
    let began = Now { unix: now.unix - ago, ..now };
    token.open_session(&identity, 900 * SECOND, Some("r0"), began).await.unwrap();
}

/// One request with this token → the token in the cookie of its answer.
async fn request(token: &Arc<Token>, by: &str, text: &str) -> Option<String> {
    let now = Now::read();
    let caller = token.identify(&headers(&format!("{by} {text}")), now).await;
    assert!(matches!(caller, Caller::Known { .. }), "{}", say(&caller));
    let cookie = token.refresh(&caller, now, || None)?.cookie(false, 60 * SECOND).await?;
    let cookie = cookie.to_str().unwrap().strip_prefix("predicthealth_jwt=").unwrap().to_owned();
    Some(cookie.split(';').next().unwrap().to_owned())
}

async fn is_signed_in(token: &Token, text: &str) -> bool {
    matches!(token.identify(&headers(&format!("cookie {text}")), Now::read()).await, Caller::Known { .. })
}

#[tokio::test]
async fn a_token_that_runs_out_gets_one_successor_and_every_answer_carries_it() {
    let it = world();
    assert!(it.token.is_refreshed());
    let (early, due) = (token_for("7", 300), token_for("7", 100));
    sign_in(&it.token, &early, 0).await;
    sign_in(&it.token, &due, 0).await;
    assert_eq!(request(&it.token, "cookie", &early).await, None, "nothing is due");
    assert_eq!(request(&it.token, "bearer", &due).await, None, "whoever keeps a token himself would not learn of it");
    assert_eq!(it.auth.asked.lock().unwrap().len(), 0);
    let next = request(&it.token, "cookie", &due).await.expect("a cookie");
    assert!(is_signed_in(&it.token, &next).await && is_signed_in(&it.token, &due).await);
    // The answer was lost on its way.
    assert_eq!(request(&it.token, "cookie", &due).await.as_deref(), Some(&*next));
    assert_eq!(request(&it.token, "cookie", &next).await, None, "not due yet");
    assert_eq!(*it.auth.asked.lock().unwrap(), [Some("r0".into())]);
    assert_eq!(it.token.metrics.refreshed.get(), 1);
}

#[tokio::test]
async fn a_session_goes_on_by_the_refresh_token_that_came_last() {
    let it = world();
    it.auth.given.store(0, SeqCst);
    let refresh =
        Refresh { before: 1800 * SECOND, max: 3600 * SECOND, same: same(), issuer: Box::new(Asked(it.auth.clone())) };
    let token = Arc::new(Token::new(options(), Some(refresh), it.store.clone(), metrics()).unwrap());
    let mut at = token_for("7", 100);
    sign_in(&token, &at, 0).await;
    for _ in 0..3 {
        at = request(&token, "cookie", &at).await.expect("always due");
    }
    let asked = it.auth.asked.lock().unwrap().clone();
    assert_eq!(asked, ["r0", "r1", "r2"].map(|it| Some(it.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_that_come_due_at_once_are_one_question_each() {
    const SESSIONS: usize = 10_000;
    let it = world();
    let other = gateway(&it.auth, &it.store);
    let tokens: Arc<Vec<String>> = Arc::new((0..SESSIONS).map(|n| token_for(&n.to_string(), 100)).collect());
    for text in tokens.iter() {
        sign_in(&it.token, text, 0).await;
    }
    // Both gateways, and each session twice on each, all at the same time.
    let mut requests = tokio::task::JoinSet::new();
    for gateway in [&it.token, &other, &it.token, &other] {
        let (gateway, tokens) = (gateway.clone(), tokens.clone());
        requests.spawn(async move {
            let mut got = Vec::new();
            for text in tokens.iter() {
                got.push(request(&gateway, "cookie", text).await);
            }
            got
        });
    }
    let all = requests.join_all().await;
    assert_eq!(it.auth.asked.lock().unwrap().len(), SESSIONS);
    for n in 0..SESSIONS {
        let next: HashSet<_> = all.iter().filter_map(|got| got[n].as_ref()).collect();
        assert_eq!(next.len(), 1, "session {n}");
        assert!(all.iter().all(|got| got[n].is_some()), "session {n}: every answer carries it");
    }
}

#[tokio::test]
async fn a_failed_refresh_fails_nothing_and_is_not_tried_again_at_once() {
    let it = world();
    let due = token_for("7", 100);
    sign_in(&it.token, &due, 0).await;
    it.auth.fails.store(true, SeqCst);
    for _ in 0..20 {
        assert_eq!(request(&it.token, "cookie", &due).await, None);
    }
    assert_eq!(request(&gateway(&it.auth, &it.store), "cookie", &due).await, None, "nor by another gateway");
    assert_eq!(it.auth.asked.lock().unwrap().len(), 1);
    assert_eq!(it.token.metrics.refresh_failed.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_slow_keeps_an_answer_back_for_a_second_and_not_longer() {
    let it = world();
    let due = token_for("7", 100);
    sign_in(&it.token, &due, 0).await;
    it.auth.held.store(true, SeqCst);
    let asked = tokio::time::Instant::now();
    assert_eq!(request(&it.token, "cookie", &due).await, None);
    assert_eq!(asked.elapsed(), SECOND);
    it.auth.release.notify_one();
    assert!(request(&it.token, "cookie", &due).await.is_some(), "the next answer has it");
}

#[tokio::test]
async fn a_sign_out_ends_what_follows_and_what_went_before() {
    for leaves in [0, 1] {
        let it = world();
        let due = token_for("7", 100);
        sign_in(&it.token, &due, 0).await;
        let next = request(&it.token, "cookie", &due).await.expect("a cookie");
        let both = [&due, &next];
        assert_eq!(it.token.end_session(both[leaves], Now::read()).await, Ok(true));
        for text in both {
            assert!(!is_signed_in(&it.token, text).await);
            assert!(!is_signed_in(&gateway(&it.auth, &it.store), text).await);
        }
    }
}

#[tokio::test]
async fn a_sign_out_during_a_refresh_ends_both() {
    let it = world();
    let due = token_for("7", 100);
    sign_in(&it.token, &due, 0).await;
    it.auth.held.store(true, SeqCst);
    let (gateway, text) = (it.token.clone(), due.clone());
    let waiting = tokio::spawn(async move { request(&gateway, "cookie", &text).await });
    it.auth.is_asked().await;
    assert_eq!(it.token.end_session(&due, Now::read()).await, Ok(true));
    it.auth.release.notify_one();
    assert_eq!(waiting.await.unwrap(), None, "no cookie brings it back");
    assert!(!is_signed_in(&it.token, &due).await);
    let given = token_for("7", 902);
    assert!(!is_signed_in(&it.token, &given).await, "what was given out meanwhile is no session");
    assert_eq!(it.token.metrics.refreshed.get(), 0);
}

#[tokio::test]
async fn a_session_ends_at_its_max_however_often_it_was_refreshed() {
    let it = world();
    let (old, older) = (token_for("7", 100), token_for("8", 100));
    sign_in(&it.token, &old, 3590).await;
    sign_in(&it.token, &older, 3600).await;
    assert_eq!(request(&it.token, "cookie", &older).await, None);
    assert_eq!(it.auth.asked.lock().unwrap().len(), 0);
    let caller = it.token.identify(&headers(&format!("cookie {old}")), Now::read()).await;
    let cookie = it
        .token
        .refresh(&caller, Now::read(), || None)
        .unwrap()
        .cookie(false, 60 * SECOND)
        .await
        .expect("ten seconds are left");
    let cookie = cookie.to_str().unwrap();
    let age: u64 = cookie.split("Max-Age=").nth(1).and_then(|it| it.split(';').next()).unwrap().parse().unwrap();
    assert!(age <= 10, "{cookie}");
}

#[tokio::test]
async fn the_next_token_is_the_same_persons_or_none() {
    let it = world();
    let due = token_for("7", 100);
    sign_in(&it.token, &due, 0).await;
    *it.auth.other.lock().unwrap() = Some(r#""8""#.into());
    assert_eq!(request(&it.token, "cookie", &due).await, None);
    assert!(is_signed_in(&it.token, &due).await);
    assert_eq!(it.token.metrics.refresh_failed.get(), 1);
    // Two tokens that are nobody's are not the same person's.
    let due = token_until("null", Now::read().unix + 100);
    sign_in(&it.token, &due, 0).await;
    *it.auth.other.lock().unwrap() = Some("null".into());
    assert_eq!(request(&it.token, "cookie", &due).await, None);
    assert_eq!(it.token.metrics.refresh_failed.get(), 2);
}

#[tokio::test]
async fn a_session_that_somebody_else_opened_is_left_as_it_is() {
    let it = world();
    let due = token_for("7", 100);
    let key = options().session.unwrap().key.key(&due);
    let session = NewSession { value: &due, token: &due, ttl: 900 * SECOND, origin: None };
    it.store.put(&key, &session, Now::read()).await.unwrap();
    assert_eq!(request(&it.token, "cookie", &due).await, None);
    assert_eq!(it.auth.asked.lock().unwrap().len(), 0);
}

#[test]
fn a_refresh_that_could_not_work_is_refused() {
    let check = |options: TokenOptions, before: u64, max: u64, part: &str| {
        let issuer = Box::new(Asked(Arc::default()));
        let refresh =
            Refresh { before: Duration::from_secs(before), max: Duration::from_secs(max), same: same(), issuer };
        let store = Arc::new(MemoryStore::new(9, metrics()));
        let error = Token::new(options, Some(refresh), store, metrics()).expect_err(part);
        assert!(error.contains(part), "{error}");
    };
    check(TokenOptions { session: None, ..options() }, 120, 3600, "needs `session` and `cookie`");
    check(TokenOptions { cookie: None, ..options() }, 120, 3600, "needs `session` and `cookie`");
    check(options(), 86_400, 100_000, "as long as a token may last");
    check(options(), 120, 120, "over before the first");
    let weak = TokenOptions { verify: VerifyOptions { key: secret(b""), ..verify_options() }, ..options() };
    check(weak, 120, 3600, "the secret is empty");
}
