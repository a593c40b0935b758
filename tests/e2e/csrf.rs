//! Requests that a foreign page makes a browser send, and answers that no cache may keep.

use crate::harness::*;
use crate::world::*;

const UPGRADE: &str =
    "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

fn routes() -> String {
    format!(
        r#"{TOKENS}
defaults:
  auth: {{ token: web }}
routes:
  - {{ name: do, match: "/do/**", forward: {{ service: a }} }}
  - {{ name: free, match: "/free/**", csrf: off, forward: {{ service: a }} }}
  - name: shared
    match: "/shared/**"
    cors: {{ origins: ["https://portal.example"], credentials: true }}
    forward: {{ service: a }}
  - name: shaped
    match: "/shaped/**"
    forward: {{ service: a, path: /echo }}
    reply: {{ 200: {{ json: {{ ok: true }} }} }}
  - {{ name: kept, match: "/kept/**", cache_control: "private, max-age=60", forward: {{ service: a }} }}
  - {{ name: logout, match: POST /logout, auth: public, session: {{ logout: {{ token: web }} }} }}
  - {{ name: who, match: GET /who, auth: public, session: {{ show: {{ token: web }} }} }}
  - {{ name: open, match: "/open/**", auth: public, forward: {{ service: a }} }}
"#
    )
}

#[tokio::test]
async fn a_foreign_page_can_make_a_browser_send_nothing_that_changes_anything() {
    let (gateway, service) = before_a_puppet(&routes()).await;
    let token = token("patient");
    let with = |line: &str, more: &str| format!("{line}\nHost: hilum.example\nCookie: jwt={token}\n{more}");
    let refused = "403 csrf_rejected\n!set-cookie";
    for (request, expectation) in [
        (with("POST /do/x", "Origin: https://evil.example\nContent-Length: 0"), refused),
        (with("POST /do/x", "Content-Length: 0"), refused),
        (with("POST /do/x", "Sec-Fetch-Site: same-site\nContent-Length: 0"), refused),
        (with("DELETE /do/x", "Origin: null"), refused),
        (with("GET /do/socket", &format!("Origin: https://evil.example\n{UPGRADE}")), refused),
        (with("GET /do/socket", UPGRADE), refused),
        (with("POST /shared/x", "Origin: https://evil.example\nContent-Length: 0"), refused),
        (with("POST /logout", "Origin: https://evil.example\nContent-Length: 0"), refused),
    ] {
        expect(&request, &gateway.send(&request).await, expectation);
    }
    assert!(service.seen().is_empty(), "nothing of it reached the service");
    for request in [
        with("POST /do/x", "Origin: http://hilum.example\nContent-Length: 0"),
        with("POST /do/x", "Sec-Fetch-Site: same-origin\nContent-Length: 0"),
        with("POST /do/x", "Referer: http://hilum.example/page\nContent-Length: 0"),
        with("GET /do/x", "Origin: https://evil.example"),
        with("POST /free/x", "Origin: https://evil.example\nContent-Length: 0"),
        with("POST /shared/x", "Origin: https://portal.example\nSec-Fetch-Site: cross-site\nContent-Length: 0"),
        format!("POST /do/x\nAuthorization: Bearer {token}\nOrigin: https://evil.example\nContent-Length: 0"),
        with("POST /open/x", "Origin: https://evil.example\nContent-Length: 0"),
        with("POST /logout", "Content-Length: 0"),
    ] {
        expect(&request, &gateway.send(&request).await, "200");
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hilum_rejections_total", &[("reason", "csrf_rejected")]), 8.0);
}

#[tokio::test]
async fn no_cache_keeps_the_answer_of_a_route_that_is_not_public() {
    let service = Service::start(|seen| match seen.target.as_str() {
        "/do/cached" | "/kept/cached" | "/open/cached" => {
            Reply::new().answer(200, &["Cache-Control: public, max-age=3600"], "x")
        }
        _ => Reply::json(200, "{}"),
    })
    .await;
    let gateway = before(&service, &routes()).await;
    let cookie = format!("Cookie: jwt={}", token("patient"));
    let private = "cache-control: private, no-store";
    check(
        &gateway,
        &[
            (&format!("GET /do/cached\n{cookie}"), &format!("200\n{private}")),
            (&format!("GET /shaped/x\n{cookie}"), &format!("200\n{private}\n{{\"ok\":true}}")),
            ("GET /do/cached", &format!("401 token_missing\n{private}")),
            (&format!("GET /kept/cached\n{cookie}"), "200\ncache-control: private, max-age=60"),
            (&format!("GET /who\n{cookie}"), &format!("200\n{private}\n~ user_id")),
            ("GET /who", &format!("401 token_missing\n{private}")),
            (&format!("POST /logout\n{cookie}"), &format!("200\n{private}")),
            ("GET /open/cached", "200\ncache-control: public, max-age=3600"),
            ("GET /open/plain", "200\n!cache-control"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_sign_in_without_a_cookie_is_open_to_pages_that_cors_lets_ask() {
    let token = token("patient");
    let auth = Service::always(Reply::json(200, format!(r#"{{"access_token":"{token}"}}"#))).await;
    let gateway = before(
        &auth,
        r#"
tokens:
  web: { from: [{ header: Authorization }], verify: { algorithms: [HS256], secret: "${SECRET}" } }
routes:
  - name: login
    match: POST /login
    auth: public
    cors: { origins: ["https://spa.example"] }
    session: { login: { token: web, service: a, path: /auth/login } }
"#,
    )
    .await;
    let login = "POST /login\nOrigin: https://spa.example\nContent-Type: application/json\n\n{\"password\":\"p\"}";
    expect("login", &gateway.send(login).await, "200\n!set-cookie");
}
