//! Connections that stay open: they end with their caller's token, its session or the key that signed it, and not before.

use jsonwebtoken::Algorithm::{ES256, ES384};
use prometheus::Registry;

use super::*;
use crate::identity::keys::{Fetch, KeySetOptions, KeySets};
use crate::identity::testkit::{jwk, sign_by};
use crate::identity::verify::KeyOptions;

/// Some time in which the caller is held against token and session more than once.
const WHILE: Duration = Duration::from_secs(2);

fn seconds_from_now(seconds: u64) -> String {
    sign(HS256, format!(r#"{{"user_id":"7","exp":{}}}"#, Now::read().unix + seconds))
}

/// Why it is over; `None`: it is not, after a [`WHILE`].
async fn over_soon(token: &Token, identity: &Arc<Identity>) -> Option<Refused> {
    tokio::time::timeout(WHILE, token.until_over(identity)).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_token_and_its_session() {
    let token = token();
    let identity = open(&token, &seconds_from_now(900), Now::read()).await;
    assert_eq!(over_soon(&token, &identity).await, None);
    token.end_session(&identity.token, Now::read()).await.unwrap();
    assert_eq!(over_soon(&token, &identity).await, Some(Refused::SessionUnknown));
    let now = Now::read();
    let early = Now { unix: now.unix - 60, ..now };
    let text = sign(HS256, format!(r#"{{"user_id":"7","exp":{}}}"#, now.unix));
    let identity = open(&token, &text, early).await;
    assert_eq!(over_soon(&token, &identity).await, Some(Refused::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_ends_no_connection() {
    let store = Arc::new(Slow::default());
    let token = over(&store);
    let identity = open(&token, &seconds_from_now(900), Now::read()).await;
    store.down.store(true, SeqCst);
    assert_eq!(over_soon(&token, &identity).await, None);
    store.down.store(false, SeqCst);
    assert_eq!(over_soon(&token, &identity).await, None);
    store.keys.lock().unwrap().clear();
    let later = tokio::time::timeout(SECOND, token.until_over(&identity));
    assert!(later.await.is_err(), "its answer is believed for a while");
}

/// Publishes what it is told to.
struct Says(Arc<Mutex<Result<String, String>>>);

#[async_trait]
impl Fetch for Says {
    async fn fetch(&self) -> Result<bytes::Bytes, String> {
        self.0.lock().unwrap().clone().map(Into::into)
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_the_key_of_its_token_is_published_no_more() {
    let set_of = |keys: &[&str]| Ok(format!(r#"{{"keys":[{}]}}"#, keys.join(",")));
    let (a, b) = (jwk(ES256, r#""kid":"a""#), jwk(ES384, r#""kid":"b""#));
    let says = Arc::new(Mutex::new(set_of(&[&a])));
    let sets = KeySets::new(&Registry::new()).unwrap();
    let options = KeySetOptions { url: "https://issuer.example/keys".into(), refresh: 600 * SECOND };
    let set = sets.set(&options, || Box::new(Says(says.clone())));
    let verify =
        VerifyOptions { algorithms: vec![ES256, ES384], key: KeyOptions::Set(set.clone()), ..verify_options() };
    let options = TokenOptions { verify, session: None, ..super::options() };
    let token = Token::new(options, None, Arc::new(Slow::default()), metrics()).unwrap();
    let payload = format!(r#"{{"user_id":"7","exp":{}}}"#, Now::read().unix + 900);
    let text = sign_by(ES256, r#"{"alg":"ES256","kid":"a"}"#, payload);
    let identity = token.verify(&text, Now::read()).await.unwrap();
    assert_eq!(ask(&token, &format!("bearer {text}"), Now::read()).await, "7 Header");
    assert_eq!((token.metrics.hit.get(), token.metrics.miss.get()), (1, 0), "it is remembered with its keys");
    assert_eq!(over_soon(&token, &identity).await, None);
    let asked_again = || tokio::time::advance(20 * SECOND);
    // Others came beside it: it is good by the new set as well.
    *says.lock().unwrap() = set_of(&[&a, &b]);
    asked_again().await;
    set.renew().await;
    assert_ne!(identity.generation, set.generation());
    assert_eq!(over_soon(&token, &identity).await, None);
    // An issuer that can't be asked ends nothing.
    *says.lock().unwrap() = Err("nobody answers".into());
    asked_again().await;
    set.renew().await;
    assert_eq!(over_soon(&token, &identity).await, None);
    *says.lock().unwrap() = set_of(&[&b]);
    asked_again().await;
    set.renew().await;
    assert!(matches!(over_soon(&token, &identity).await, Some(Refused::Invalid(_))));
}
