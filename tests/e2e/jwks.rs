//! Tokens whose keys their issuer publishes: an issuer on a port of its own that changes its keys, dies, and answers badly.

use std::sync::{Arc, Mutex};

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [ES256], jwks: { url: "${ISSUER}/keys", refresh: 1s } }
    cookie: { name: jwt }
routes:
  - { name: me, match: GET /me, auth: { token: web }, session: { show: { token: web } } }
  - { name: open, match: GET /open, auth: public, respond: { text: open } }
  - { name: page, match: GET /page, auth: { token: web, when_denied: { else: { redirect: /open, clear_cookie: true } } }, respond: { text: page } }
"#;

/// An issuer, and what it answers from now on.
async fn issuer(says: Reply) -> (Service, Arc<Mutex<Reply>>) {
    let says = Arc::new(Mutex::new(says));
    let answer = says.clone();
    (Service::start(move |_| answer.lock().expect("a reply").clone()).await, says)
}

fn me(token: &str) -> String {
    format!("GET /me\nCookie: jwt={token}")
}

async fn behind(issuer: &Service) -> Gateway {
    Gateway::with(ROUTES).env("ISSUER", issuer.url()).start().await
}

async fn fetched(gateway: &Gateway, result: &str, times: f64) {
    gateway.counts("hilum_jwks_fetches_total", &[("result", result)], |count| count >= times).await;
}

#[tokio::test]
async fn a_new_key_is_good_at_once_and_an_old_one_no_longer_than_it_is_published() {
    let (old, new) = (Pair::new("old"), Pair::new("new"));
    let (issuer, says) = issuer(published(&[&old])).await;
    let gateway = behind(&issuer).await;
    // A request before that would have the keys fetched itself, and nobody could ask again for a while.
    fetched(&gateway, "ok", 1.0).await;
    expect("the first", &gateway.send(&me(&old.token("7"))).await, "200");
    *says.lock().expect("a reply") = published(&[&old, &new]);
    expect("unknown until then", &gateway.send(&me(&new.token("8"))).await, "200");
    expect("both are published", &gateway.send(&me(&old.token("7"))).await, "200");
    // A token that is known and used all the time, when its key is taken back.
    let known = me(&old.token("7"));
    expect("known", &gateway.send(&known).await, "200");
    *says.lock().expect("a reply") = published(&[&new]);
    within("the key is taken back", async { while gateway.send(&known).await.status != 401 {} }).await;
    expect("taken back", &gateway.send(&known).await, "401 token_invalid");
    expect("still published", &gateway.send(&me(&new.token("8"))).await, "200");
}

#[tokio::test]
async fn an_issuer_that_is_down_refuses_nobody_and_lets_nobody_in() {
    let pair = Pair::new("a");
    let (mut issuer, _says) = issuer(published(&[&pair])).await;
    issuer.kill().await;
    let gateway = behind(&issuer).await;
    let mine = me(&pair.token("7"));
    expect("never known", &gateway.send(&mine).await, "503 keys_unavailable\nretry-after: *\n!set-cookie");
    let page = format!("GET /page\nCookie: jwt={}", pair.token("7"));
    expect("no sign-out", &gateway.send(&page).await, "503 keys_unavailable\n!set-cookie\n!location");
    expect("public", &gateway.send("GET /open").await, "200");
    expect("garbage is garbage", &gateway.send(&me("a.b.c")).await, "401 token_invalid");
    issuer.restart();
    fetched(&gateway, "ok", 1.0).await;
    expect("there again", &gateway.send(&mine).await, "200");
    issuer.kill().await;
    fetched(&gateway, "failed", 3.0).await;
    expect("kept", &gateway.send(&mine).await, "200");
    expect("kept for others", &gateway.send(&me(&pair.token("8"))).await, "200");
    let stranger = Pair::new("b");
    expect("may be new", &gateway.send(&me(&stranger.token("9"))).await, "503 keys_unavailable\n!set-cookie");
}

#[tokio::test]
async fn a_bad_answer_changes_nothing() {
    let pair = Pair::new("a");
    let evil = Pair::new("a");
    let (elsewhere, _) = issuer(published(&[&evil])).await;
    let (issuer, says) = issuer(published(&[&pair])).await;
    let gateway = behind(&issuer).await;
    fetched(&gateway, "ok", 1.0).await;
    let large = format!(r#"{{"keys":[{}],"pad":"{}"}}"#, evil.jwk(), "x".repeat(256 * 1024));
    let secret = r#"{"keys":[{"kty":"oct","kid":"a","alg":"HS256","k":"AAAA"}]}"#;
    let bad = [
        Reply::json(500, set_text(&evil)),
        Reply::json(201, set_text(&evil)),
        Reply::new().answer(302, &[&format!("Location: {}/keys", elsewhere.url())], ""),
        Reply::json(200, "<html>Wartung</html>"),
        Reply::json(200, r#"{"keys":[]}"#),
        Reply::json(200, large),
        Reply::json(200, secret),
    ];
    let mut failed = 0.0;
    for reply in bad {
        *says.lock().expect("a reply") = reply.clone();
        failed += 2.0;
        fetched(&gateway, "failed", failed).await;
        expect("kept", &gateway.send(&me(&pair.token("7"))).await, "200");
        expect("not taken", &gateway.send(&me(&evil.token("7"))).await, "401 token_invalid");
        failed = gateway.metrics().await.sum("hilum_jwks_fetches_total", &[("result", "failed")]);
    }
    assert_eq!(elsewhere.seen().len(), 0, "nobody went where the issuer pointed");
}

fn set_text(pair: &Pair) -> String {
    format!(r#"{{"keys":[{}]}}"#, pair.jwk())
}

#[tokio::test]
async fn two_hundred_unknown_keys_are_one_question() {
    let pair = Pair::new("a");
    let (issuer, _says) = issuer(published(&[&pair])).await;
    let routes = ROUTES.replace("refresh: 1s", "refresh: 1h");
    let gateway = Gateway::with(&routes).env("ISSUER", issuer.url()).start().await;
    fetched(&gateway, "ok", 1.0).await;
    for at in 0..200 {
        let token = Pair { kid: format!("k{at}"), pair: Pair::new("").pair }.token("7");
        expect("unknown", &gateway.send(&me(&token)).await, "401 token_invalid");
    }
    assert_eq!(issuer.seen().len(), 2, "one at start, one for all of them");
    expect("known", &gateway.send(&me(&pair.token("7"))).await, "200");
}
