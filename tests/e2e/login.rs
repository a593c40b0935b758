//! Signing in and out, against an auth service that does all it can.

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
version: 1
services: { auth: { peers: ["${AUTH}"], timeouts: { response: 300ms } } }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}" }
    cookie: { name: jwt }
routes:
  - { name: login, match: POST /login, auth: public, session: { login: { token: web, service: auth, path: /auth/login } } }
  - name: patients-login
    match: POST /patients-login
    auth: public
    session:
      login:
        token: web
        service: auth
        path: /auth/login
        send: { json: { email: "{{ request.body.user }}", password: "{{ request.body.password }}" } }
        claims: { user_type: patient }
    reply: { 200: { json: { hello: "{{ claims.user_id }}", kind: "{{ body.token_type }}" } } }
    errors: { login_refused: { json: { message: "{{ message }}", code: "{{ status }}" } }, upstream: { status: 503, json: { message: down } } }
    messages: { login_refused: No }
  - { name: logout, match: POST /logout, auth: public, session: { logout: { token: web } } }
  - { name: hand-out, match: GET /token, auth: public, session: { hand_out: { token: web } } }
  - { name: hand-out-shaped, match: GET /bearer, auth: { token: web }, session: { hand_out: { token: web } }, reply: { 200: { json: { authorization: "Bearer {{ token }}", of: "{{ claims.user_id }}" } } } }
  - { name: show, match: GET /me, auth: { token: web }, session: { show: { token: web } } }
"#;

fn answer(token: &str, expires: &str) -> Reply {
    Reply::json(
        200,
        format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{expires},"refresh_token":null}}"#),
    )
}

async fn with(auth: Reply) -> (Gateway, Service) {
    let service = Service::always(auth).await;
    (with_service(&service).await, service)
}

async fn with_service(service: &Service) -> Gateway {
    Gateway::with(ROUTES).env("AUTH", service.url()).env("SECRET", SECRET).env("RUST_LOG", "trace").start().await
}

fn login(path: &str, headers: &str) -> String {
    let headers = if headers.is_empty() { String::new() } else { format!("\n{headers}") };
    format!(
        "POST {path}\nContent-Type: application/json{headers}\n\n{{\"user\":\"u7@example.org\",\"password\":\"canary-password\"}}"
    )
}

fn me(token: &str) -> String {
    format!("GET /me\nCookie: jwt={token}")
}

#[tokio::test]
async fn a_token_is_handed_out_to_whoever_brings_it() {
    let token = token("patient");
    let (gateway, _service) = with(answer(&token, "900")).await;
    expect("login", &gateway.send(&login("/login", "")).await, "200");
    let private = "cache-control: private, no-store\ncontent-type: application/json";
    let by_cookie = |path: &str| format!("GET {path}\nCookie: jwt={token}");
    check(
        &gateway,
        &[
            (&by_cookie("/token"), &format!("200\n{private}\n{{\"token\":\"{token}\"}}")),
            (&format!("GET /token\nAuthorization: Bearer {token}"), &format!("200\n{{\"token\":\"{token}\"}}")),
            (&by_cookie("/bearer"), &format!("200\n{private}\n{{\"authorization\":\"Bearer {token}\",\"of\":\"7\"}}")),
            ("GET /token", "401 token_missing\ncache-control: private, no-store"),
            ("GET /token\nCookie: jwt=x", "401 token_invalid"),
            (
                &format!("GET /token\nOrigin: https://evil.example\nCookie: jwt={token}"),
                "200\n!access-control-allow-origin",
            ),
        ],
    )
    .await;
    expect("logout", &gateway.send(&format!("POST /logout\nCookie: jwt={token}\nContent-Length: 0")).await, "200");
    check(&gateway, &[(&by_cookie("/token"), &format!("401 session_unknown\n!~ {token}"))]).await;
    let told = format!("{} {:?}", gateway.stderr(), gateway.access_log());
    assert!(!told.contains(&token), "no log holds a token");
}

#[tokio::test]
async fn a_sign_in_opens_a_session_and_a_sign_out_ends_it() {
    let token = token("patient");
    let (gateway, service) = with(answer(&token, "900")).await;
    check(
        &gateway,
        &[
            (&me(&token), "401 session_unknown"),
            (&format!("GET /me\nAuthorization: Bearer {token}"), "401 session_unknown"),
        ],
    )
    .await;
    let signed_in = gateway.send(&login("/login", "")).await;
    expect("login", &signed_in, &format!("200\ncache-control: private, no-store\n~ \"access_token\":\"{token}\""));
    let cookie = signed_in.header("set-cookie").unwrap_or_default();
    let (start, rest) = cookie.split_once("; Expires=").unwrap_or_default();
    let (expires, rest) = rest.split_once("; ").unwrap_or_default();
    assert_eq!(start, format!("jwt={token}"));
    assert!(expires.ends_with(" GMT"), "{cookie}");
    let age: u64 = rest.strip_prefix("Max-Age=").and_then(|r| r.split(';').next()?.parse().ok()).expect("an age");
    assert!((898..=900).contains(&age), "{cookie}");
    assert!(rest.ends_with("; HttpOnly; Path=/; SameSite=Lax"), "no Secure over plain HTTP: {cookie}");
    assert_eq!((service.last().method.as_str(), service.last().target.as_str()), ("POST", "/auth/login"));
    check(
        &gateway,
        &[
            (&me(&token), "200\ncache-control: private, no-store\n~ \"user_id\":\"7\""),
            (&format!("GET /me\nAuthorization: Bearer {token}"), "200"),
            (
                "POST /logout",
                "200\nset-cookie: jwt=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Path=/; SameSite=Lax",
            ),
            (&me(&token), "200"),
            (&format!("POST /logout\nCookie: jwt={token}"), "200\nset-cookie: *jwt=;*"),
            (&me(&token), "401 session_unknown"),
            (&format!("GET /me\nAuthorization: Bearer {token}"), "401 session_unknown"),
            (&format!("POST /logout\nCookie: jwt={token}"), "200"),
        ],
    )
    .await;
    for (event, n) in [("opened", 1.0), ("ended", 1.0)] {
        assert_eq!(gateway.metrics().await.sum("hilum_sessions_total", &[("event", event)]), n, "{event}");
    }
}

#[tokio::test]
async fn sessions_in_memory_end_with_the_process() {
    let token = token("patient");
    let (mut gateway, service) = with(answer(&token, "900")).await;
    expect("login", &gateway.send(&login("/login", "")).await, "200");
    expect("before", &gateway.send(&me(&token)).await, "200");
    assert!(gateway.stop().await.success());
    // Whoever had signed out stays signed out, and who had not signs in again: nobody is let in by a session that is not known.
    let next = with_service(&service).await;
    expect("after", &next.send(&me(&token)).await, "401 session_unknown");
    expect("again", &next.send(&login("/login", "")).await, "200");
    expect("and there it is", &next.send(&me(&token)).await, "200");
}

#[tokio::test]
async fn what_is_sent_and_shown_is_shaped() {
    let (gateway, service) = with(answer(&token("patient"), "900")).await;
    let shaped = "200\n{\"hello\":\"7\",\"kind\":\"bearer\"}\nset-cookie: *";
    check(&gateway, &[(&login("/patients-login", "Cookie: a=b\nAuthorization: Basic x\nX-User-ID: 1"), shaped)]).await;
    let seen = service.last();
    assert_eq!(String::from_utf8_lossy(&seen.body), r#"{"email":"u7@example.org","password":"canary-password"}"#);
    assert_eq!((seen.header("cookie"), seen.header("authorization")), (None, None));
    assert_eq!(seen.header("content-type").as_deref(), Some("application/json"));
    // As long as the token has left, when the service says nothing, or more.
    for expires in ["null", "999999"] {
        let (gateway, _service) = with(answer(&token("patient"), expires)).await;
        let signed_in = gateway.send(&login("/login", "")).await;
        let age: u64 = signed_in
            .header("set-cookie")
            .and_then(|c| c.split("Max-Age=").nth(1)?.split(';').next()?.parse().ok())
            .expect("an age");
        assert!((898..=900).contains(&age), "{expires}: {age}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_time() {
    let token = token("patient");
    let (gateway, _service) = with(answer(&token, "1")).await;
    expect("login", &gateway.send(&login("/login", "")).await, "200\nset-cookie: *Max-Age=1;*");
    check(&gateway, &[(&me(&token), "200")]).await;
    let refused = eventually("the session to end", async || {
        Some(gateway.send(&me(&token)).await).filter(|answer| answer.status != 200)
    })
    .await;
    expect("over", &refused, "401 session_unknown");
    // It is dropped when it is met, or swept some time later.
    check(&gateway, &[(&format!("POST /logout\nCookie: jwt={token}"), "200")]).await;
    let metrics = gateway.metrics().await;
    let events = ["opened", "expired", "ended"].map(|event| metrics.sum("hilum_sessions_total", &[("event", event)]));
    assert_eq!(events, [1.0, 1.0, 0.0]);
}

#[tokio::test]
async fn a_sign_in_replaces_the_session_whose_cookie_came_with_it() {
    let (first, second) = (
        sign(&claims("patient")),
        sign_json(&format!(r#"{{"user_id":"8","user_type":"patient","exp":{}}}"#, now() + 600.0)),
    );
    let replies = std::sync::Mutex::new(vec![answer(&second, "900"), answer(&first, "900")]);
    let service = Service::start(move |_| {
        replies.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop().unwrap_or_default()
    })
    .await;
    let gateway = with_service(&service).await;
    expect("first", &gateway.send(&login("/login", "")).await, "200");
    check(&gateway, &[(&me(&first), "200")]).await;
    expect("second", &gateway.send(&login("/login", &format!("Cookie: jwt={first}"))).await, "200");
    assert_eq!(service.last().header("authorization"), None, "who signs in is nobody yet");
    check(&gateway, &[(&me(&first), "401 session_unknown"), (&me(&second), "200\n~ \"user_id\":\"8\"")]).await;
}

#[tokio::test]
async fn a_sign_in_that_fails_sets_no_cookie_and_says_why() {
    let good = token("patient");
    let foreign = hilum_demo::token::Key::new("another secret that is long enough").sign(&claims("patient"));
    let over = sign(&hilum_demo::token::Claims { exp: now() - 1.0, ..claims("patient") });
    let refused = |status: u16| Reply::json(status, r#"{"detail":"canary-detail"}"#);
    for (what, auth, expectation) in [
        ("wrong password", refused(401), "401 login_refused\n{\"message\":\"No\",\"code\":401}"),
        ("not active", refused(403), "403 login_refused\n{\"message\":\"No\",\"code\":403}"),
        ("not valid", refused(422), "422 login_refused\n{\"message\":\"No\",\"code\":422}"),
        ("too many", refused(429), "429 login_refused"),
        ("broken", refused(500), "503 part_failed\n{\"message\":\"down\"}\nretry-after: *"),
        ("moved", Reply::new().answer(302, &["Location: /x"], ""), "503 part_failed"),
        ("garbage", Reply::new().send("no HTTP\r\n\r\n").close(), "503 peer_garbage"),
        ("a page", Reply::json(200, "<html>"), "503 peer_garbage"),
        ("no token", Reply::json(200, r#"{"token_type":"bearer"}"#), "503 peer_garbage"),
        ("an empty token", answer("", "900"), "503 peer_garbage"),
        ("no text", Reply::json(200, r#"{"access_token":7}"#), "503 peer_garbage"),
        ("a foreign token", answer(&foreign, "900"), "503 peer_garbage"),
        ("a token that is over", answer(&over, "900"), "503 peer_garbage"),
        ("odd lifetime", answer(&good, "-1"), "503 peer_garbage"),
        ("another type", answer(&token("doctor"), "900"), "403 claim_mismatch"),
        ("slow", Reply::new().then(Step::Hang), "503 peer_timeout"),
        ("reset", Reply::new().reset(), "503 peer_reset"),
    ] {
        let (gateway, _service) = with(auth).await;
        let answer = gateway.send(&login("/patients-login", "")).await;
        expect(what, &answer, &format!("{expectation}\n!set-cookie\n!~ canary"));
        assert_eq!(gateway.metrics().await.sum("hilum_sessions_total", &[("event", "opened")]), 0.0, "{what}");
        check(&gateway, &[(&me(&good), "401 session_unknown")]).await;
    }
    let (gateway, mut service) = with(answer(&good, "900")).await;
    service.kill().await;
    check(&gateway, &[(&login("/patients-login", ""), "503 peer_refused\n!set-cookie\n{\"message\":\"down\"}")]).await;
}

#[tokio::test]
async fn a_sign_in_takes_a_json_object_and_nothing_else() {
    let (gateway, service) = with(answer(&token("patient"), "900")).await;
    let json = "Content-Type: application/json";
    let large = format!("POST /login\n{json}\n\n{{\"x\":\"{}\"}}", "x".repeat(17 * 1024));
    check(
        &gateway,
        &[
            ("POST /login\n\n{}", "415 content_type"),
            ("POST /login\nContent-Type: application/x-www-form-urlencoded\n\nemail=a&password=b", "415 content_type"),
            ("POST /login\nContent-Type: text/plain\n\n{}", "415 content_type"),
            (&format!("POST /login\n{json}"), "400 json_invalid"),
            (&format!("POST /login\n{json}\n\n[]"), "400 json_invalid"),
            (&format!("POST /login\n{json}\n\n\"x\""), "400 json_invalid"),
            (&format!("POST /login\n{json}\n\n{{\"x\":"), "400 json_invalid"),
            (&format!("POST /login\n{json}\n\n{{\"x\":1,\"x\":2}}"), "400 json_invalid"),
            (&large, "413 body_too_large"),
            (&format!("GET /login\n{json}"), "405 method_not_allowed\nallow: POST"),
        ],
    )
    .await;
    assert!(service.seen().is_empty(), "none of them reached the service");
    check(
        &gateway,
        &[
            ("POST /login\nContent-Type: application/json; charset=utf-8\n\n{}", "200"),
            ("POST /login\nContent-Type: application/vnd.x+json\n\n{}", "200"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_sign_out_that_says_yes_has_ended_the_session_of_the_cookie() {
    let token = token("patient");
    for odd in ["Authorization: Bearer junk", "Authorization: Basic YTpi", "Cookie: jwt=junk"] {
        let (gateway, _service) = with(answer(&token, "900")).await;
        expect("login", &gateway.send(&login("/login", "")).await, "200");
        let out = gateway.send(&format!("POST /logout\nCookie: jwt={token}\n{odd}")).await;
        let after = gateway.send(&me(&token)).await;
        assert!(out.status != 200 || after.status == 401, "{odd}: {out:?}, and the session lives: {after:?}");
    }
}
