//! A set over time, with an issuer that answers as it is told and a clock that stands still until it is moved.

use std::sync::atomic::AtomicUsize;

use super::super::Refused;
use super::super::testkit::{TODAY, jwk, options as verify_options, sign_by, today};
use super::super::verify::{KeyOptions, NotVerified, Verifier, VerifyOptions};
use super::*;
use Algorithm::{ES256, ES384};

/// What the issuer answers, and how often it was asked.
#[derive(Default)]
struct Issuer {
    says: Mutex<Option<String>>,
    asked: AtomicUsize,
}

struct Ask(Arc<Issuer>);

#[async_trait]
impl Fetch for Ask {
    async fn fetch(&self) -> Result<Bytes, String> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.0.says.lock().clone().map(Bytes::from).ok_or_else(|| "nobody answers".to_owned())
    }
}

impl Issuer {
    fn publishes(&self, keys: &[(Algorithm, &str)]) {
        let keys: Vec<_> = keys.iter().map(|(alg, kid)| jwk(*alg, &format!(r#""kid":"{kid}""#))).collect();
        *self.says.lock() = Some(format!(r#"{{"keys":[{}]}}"#, keys.join(",")));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

struct World {
    issuer: Arc<Issuer>,
    sets: KeySets,
    set: Arc<KeySet>,
    verifier: Verifier,
}

fn world() -> World {
    let issuer = Arc::new(Issuer::default());
    let sets = KeySets::new(&Registry::new()).unwrap();
    let options = KeySetOptions { url: "https://issuer.example/keys".into(), refresh: Duration::from_secs(600) };
    let set = sets.set(&options, || Box::new(Ask(issuer.clone())));
    let verify =
        VerifyOptions { algorithms: vec![ES256, ES384], key: KeyOptions::Set(set.clone()), ..verify_options() };
    World { issuer, sets, set, verifier: Verifier::new(verify).unwrap() }
}

fn token(algorithm: Algorithm, kid: &str) -> String {
    sign_by(algorithm, format!(r#"{{"alg":"{algorithm:?}","kid":"{kid}"}}"#), format!(r#"{{"exp":{}}}"#, TODAY + 60))
}

impl World {
    fn verify(&self, token: &str) -> &'static str {
        match self.verifier.verify(token, today()) {
            Ok(_) => "good",
            Err(NotVerified::KeyUnknown) => "key unknown",
            Err(NotVerified::Refused(Refused::Invalid(_))) => "invalid",
            Err(_) => "something else",
        }
    }
}

/// Moves the clock; everything that comes due meanwhile is done in its turn.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_set_is_fetched_at_start_and_again_and_again() {
    let it = world();
    it.issuer.publishes(&[(ES256, "a")]);
    assert_eq!(it.verify(&token(ES256, "a")), "key unknown");
    it.set.tend();
    it.set.tend();
    assert_eq!(it.set.renew().await, Renewed::Good);
    assert_eq!(it.issuer.asked(), 1, "who asks meanwhile waits for the same answer");
    assert_eq!(it.verify(&token(ES256, "a")), "good");
    assert_eq!(it.verify(&token(ES384, "a")), "key unknown");
    it.issuer.publishes(&[(ES384, "b")]);
    pass(Duration::from_secs(599)).await;
    assert_eq!((it.issuer.asked(), it.verify(&token(ES256, "a"))), (1, "good"));
    pass(Duration::from_secs(2)).await;
    assert_eq!((it.issuer.asked(), it.verify(&token(ES256, "a"))), (2, "key unknown"));
    assert_eq!(it.verify(&token(ES384, "b")), "good");
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_are_kept_whatever_comes_instead() {
    let it = world();
    it.issuer.publishes(&[(ES256, "a")]);
    assert_eq!(it.set.renew().await, Renewed::Good);
    let generation = it.set.generation();
    for bad in
        [None, Some("<html>Wartung</html>"), Some(r#"{"keys":[]}"#), Some(r#"{"keys":[{"kty":"oct","k":"YQ"}]}"#)]
    {
        *it.issuer.says.lock() = bad.map(Into::into);
        pass(ASK_AGAIN).await;
        assert_eq!(it.set.renew().await, Renewed::Failed, "{bad:?}");
        assert_eq!((it.verify(&token(ES256, "a")), it.set.generation()), ("good", generation), "{bad:?}");
    }
    it.issuer.publishes(&[(ES256, "a")]);
    pass(ASK_AGAIN).await;
    assert_eq!(it.set.renew().await, Renewed::Good);
    assert_eq!(it.set.generation(), generation, "the same keys are no news");
}

#[tokio::test(start_paused = true)]
async fn d14_however_many_unknown_keys_are_named_the_issuer_is_asked_once_in_ten_seconds() {
    let it = world();
    it.issuer.publishes(&[(ES256, "a")]);
    for round in 1..=3 {
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let set = it.set.clone();
            waiting.spawn(async move { set.renew().await });
        }
        while let Some(renewed) = waiting.join_next().await {
            assert_eq!(renewed.unwrap(), Renewed::Good);
        }
        for _ in 0..1000 {
            assert_eq!(it.set.renew().await, Renewed::Good);
        }
        assert_eq!(it.issuer.asked(), round);
        pass(ASK_AGAIN).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_and_goes_away_takes_nothing_from_the_others() {
    let it = world();
    it.issuer.publishes(&[(ES256, "a")]);
    let gone = tokio::time::timeout(Duration::from_millis(10), it.set.renew()).await;
    assert!(gone.is_err());
    assert_eq!(it.set.renew().await, Renewed::Good);
    assert_eq!((it.issuer.asked(), it.verify(&token(ES256, "a"))), (1, "good"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_is_tried_again_soon() {
    let it = world();
    it.set.tend();
    pass(Duration::from_secs(10)).await;
    let asked = it.issuer.asked();
    assert!((3..=5).contains(&asked), "after 0, 1, 3 and 7 s: {asked}");
    it.issuer.publishes(&[(ES256, "a")]);
    pass(Duration::from_secs(10)).await;
    assert_eq!(it.verify(&token(ES256, "a")), "good");
    assert_eq!(it.issuer.asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_nobody_holds_is_fetched_no_more() {
    let it = world();
    let options = it.set.options.clone();
    assert!(
        Arc::ptr_eq(&it.set, &it.sets.set(&options, || unreachable!("it is there"))),
        "a reload keeps what is known"
    );
    it.set.tend();
    pass(Duration::from_secs(60)).await;
    let asked = it.issuer.asked();
    drop((it.set, it.verifier));
    pass(Duration::from_secs(6000)).await;
    assert!(it.issuer.asked() <= asked + 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_signature_is_wrong_whatever_else_there_may_be() {
    let it = world();
    it.issuer.publishes(&[(ES256, "a"), (ES384, "b")]);
    it.set.renew().await;
    let good = token(ES256, "a");
    let (message, _) = good.rsplit_once('.').unwrap();
    let other = token(ES256, "x");
    let (_, signature) = other.rsplit_once('.').unwrap();
    assert_eq!(it.verify(&format!("{message}.{signature}")), "invalid");
    // An algorithm that is not ours asks nobody for keys.
    assert_eq!(it.verify(&sign_by(Algorithm::EdDSA, r#"{"alg":"EdDSA","kid":"z"}"#, "{}")), "invalid");
    let unnamed = sign_by(ES256, r#"{"alg":"ES256"}"#, format!(r#"{{"exp":{}}}"#, TODAY + 60));
    assert_eq!(it.verify(&unnamed), "good");
    let (message, _) = unnamed.rsplit_once('.').unwrap();
    assert_eq!(it.verify(&format!("{message}.{signature}")), "key unknown", "it may be by a key that came since");
}
