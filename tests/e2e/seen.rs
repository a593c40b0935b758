//! What an operator sees of the traffic: a line for each request and counts for everything, and nothing that is nobody's
//! business.

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
version: 1
services:
  a: { peers: ["${A}"], timeouts: { response: 300ms }, health: { path: /health, every: 100ms } }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}" }
    cookie: { name: jwt }
routes:
  - { name: login, match: POST /login, auth: public, session: { login: { token: web, service: a, path: /login } } }
  - { name: logout, match: POST /logout, auth: public, session: { logout: { token: web } } }
  - { name: one, match: "GET /people/{id}", auth: public, forward: { service: a, path: /echo } }
  - { name: shaped, match: "/shaped/{id}", auth: public, forward: { service: a, path: "/{id}" }, reply: { 200: { json: { x: "{{ body.nothing.here }}" } } } }
  - { name: mine, match: "/mine/**", auth: { token: web }, forward: { service: a } }
  - { name: all, match: "/a/{rest...}", auth: public, forward: { service: a, path: "/{rest}" } }
  - { name: here, match: GET /here, auth: public, respond: { text: here } }
"#;

async fn start(level: &str) -> (Gateway, Service, String) {
    let token = token("patient");
    let answer = format!(r#"{{"access_token":"{token}","expires_in":900}}"#);
    let service = Service::start(move |seen| match seen.target.as_str() {
        "/login" => Reply::json(200, &answer),
        _ => puppet(seen),
    })
    .await;
    let gateway = Gateway::with(ROUTES)
        .env("A", service.url())
        .env("SECRET", SECRET)
        .env("RUST_LOG", level)
        .log(&format!("{{ level: {level}, access: {{ file: ../access.log }} }}"))
        .start()
        .await;
    (gateway, service, token)
}

#[tokio::test]
async fn every_request_has_one_line() {
    let (gateway, service, token) = start("info").await;
    let peer = service.address().to_string();
    for (n, (request, expected)) in [
        ("GET /here", "here /here GET 200  "),
        ("HEAD /here", "here /here HEAD 200  "),
        ("GET /people/42?x=1", "one /people/{id} GET 200  a"),
        ("POST /here\n\nx", "- - POST 405 method_not_allowed "),
        ("GET /nowhere", "- - GET 404 no_route "),
        ("GET /a/../b", "- - GET 400 path_rejected "),
        ("GET /here\nHost: a b", "- - GET 400 host_rejected "),
        ("GET /mine/x", "mine /mine/** GET 401 token_missing "),
        ("GET /mine/x\nCookie: jwt=bad", "mine /mine/** GET 401 token_invalid "),
        ("GET /a/status/503", "all /a/{rest...} GET 503  a"),
        ("GET /a/silent", "all /a/{rest...} GET 504 peer_timeout a"),
        ("GET /shaped/echo", "shaped /shaped/{id} GET 502 part_failed a"),
        ("BREW /here", "- - other 405 method_not_allowed "),
    ]
    .iter()
    .enumerate()
    {
        let id = format!("line-{n}");
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let answer = gateway
            .send(&format!("{head}\nX-Request-ID: {id}{}{body}", if body.is_empty() { "" } else { "\n\n" }))
            .await;
        let line = gateway.logged_id(&id).await;
        let text = |key: &str, absent: &str| line[key].as_str().unwrap_or(absent).to_owned();
        let got = format!(
            "{} {} {} {} {} {}",
            text("route", "-"),
            text("path", "-"),
            text("method", "-"),
            line["status"],
            text("reason", ""),
            text("service", "")
        );
        assert_eq!(got, *expected, "{request}: {line}");
        assert_eq!(line["status"].as_u64(), Some(u64::from(answer.status)), "{line}");
        assert_eq!(
            (line["client"].as_str(), line["bytes"].as_u64()),
            (Some("127.0.0.1"), Some(answer.body.len() as u64)),
            "{request}: {line}"
        );
        assert!(line["ms"].as_f64().is_some_and(|ms| ms > 0.0) && text("time", "").ends_with('Z'), "{line}");
        if !text("service", "").is_empty() {
            assert_eq!(text("peer", ""), peer, "{line}");
        }
    }
    expect("login", &gateway.send("POST /login\nX-Request-ID: in\nContent-Type: application/json\n\n{}").await, "200");
    assert_eq!(gateway.logged_id("in").await["route"], "login");
    // A client that leaves before its answer.
    let mut client = gateway.connect().await;
    client.write(&message(&format!("GET /a/slow-head/200\nX-Request-ID: left\nAuthorization: Bearer {token}"))).await;
    eventually("the service to have it", async || {
        service.seen().iter().any(|seen| seen.target == "/slow-head/200").then_some(())
    })
    .await;
    drop(client);
    let line = gateway.logged_id("left").await;
    assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(0), Some("client_gone")), "{line}");
    assert_eq!(gateway.access_log().len(), 15);
    assert_eq!(gateway.metrics().await.sum("hilum_requests_total", &[]), 15.0, "as many counts as lines");
}

#[tokio::test]
async fn neither_log_holds_what_a_request_said_at_any_level() {
    let (gateway, service, token) = start("trace").await;
    let json = "Content-Type: application/json";
    let mut said = 0;
    for request in [
        "GET /people/canary-path?q=canary-query\nX-A: canary-header".to_owned(),
        format!("POST /login\n{json}\n\n{{\"email\":\"canary-mail\",\"password\":\"canary-password\"}}"),
        format!("POST /login\n{json}\n\n{{\"password\":\"canary-password\""),
        format!("GET /mine/canary-path?q=canary-query\nCookie: jwt={token}; x=canary-cookie"),
        format!("GET /mine/canary-path\nAuthorization: Bearer {token}"),
        "GET /mine/x\nAuthorization: Bearer canary-token".to_owned(),
        "GET /mine/x\nCookie: jwt=canary-token".to_owned(),
        format!("POST /logout\nCookie: jwt={token}"),
        format!("GET /mine/canary-path\nCookie: jwt={token}"),
        "CANARY /here".to_owned(),
        "GET /canary-path/../x?canary-query".to_owned(),
        "GET /canary-nowhere?canary-query".to_owned(),
        "POST /here?canary-query\n\ncanary-body".to_owned(),
        "GET /here\nHost: canary host".to_owned(),
        "GET http://canary.test/".to_owned(),
        "GET /a/silent?canary-query\nX-A: canary-header".to_owned(),
        "GET /a/garbage?canary-query".to_owned(),
        "GET /a/reset?canary-query".to_owned(),
        "GET /a/cut?canary-query".to_owned(),
        "GET /shaped/canary-path?canary-query".to_owned(),
        "GET /shaped/garbage?canary-query".to_owned(),
        "POST /a/canary-path\nTransfer-Encoding: chunked\n\ncanary-chunk\r\n".to_owned(),
    ] {
        gateway.send(&request).await;
        said += 1;
    }
    for bytes in [
        &b"GET /canary-raw HTTP/1.1\r\nHost: x\r\nCookie: canary-cookie\r\nX-\x00: canary\r\n\r\n"[..],
        b"canary-nonsense\r\n\r\n",
        b"POST /a/canary-path HTTP/1.1\r\nHost: x\r\nContent-Length: canary\r\n\r\n",
        b"CANARY /a/x HTTP/9.9\r\n\r\n",
    ] {
        let mut client = gateway.connect().await;
        client.write(bytes).await;
        client.try_read(false).await;
        said += 1;
    }
    let answer = gateway.ask_admin("GET /canary-admin?canary-query\nCookie: canary-cookie").await;
    assert_eq!(answer.status, 404);
    service.has_seen(10).await;
    eventually("a line for each", async || (gateway.access_log().len() >= said).then_some(())).await;
    let (folder, mut gateway) = (gateway.folder().join("access.log"), gateway);
    let lines = std::fs::read_to_string(folder).expect("the access log is there");
    assert!(gateway.stop().await.success());
    let secret_parts: Vec<&str> = token.split('.').collect();
    let everything = [lines, gateway.stderr(), gateway.stdout()].concat();
    for canary in ["canary", "jwt=", "Bearer ", secret_parts[1], secret_parts[2], SECRET, "u7@example.org"] {
        let found = everything.lines().find(|line| line.to_ascii_lowercase().contains(&canary.to_ascii_lowercase()));
        assert_eq!(found, None, "{canary}");
    }
    assert!(gateway.stderr().contains("ready listeners"), "there is a log to look at");
}

#[tokio::test]
async fn everything_has_a_count() {
    let (gateway, _service, token) = start("info").await;
    for request in [
        "GET /here",
        "GET /here",
        "POST /here",
        "GET /nowhere",
        "GET /people/1",
        "GET /a/silent",
        "POST /login\nContent-Type: application/json\n\n{}",
        &format!("GET /mine/x\nCookie: jwt={token}"),
        &format!("GET /mine/x\nCookie: jwt={token}"),
        &format!("POST /logout\nCookie: jwt={token}"),
    ] {
        gateway.send(request).await;
    }
    gateway.peers_up(&[("service", "a")], 1.0).await;
    gateway.counts("hilum_requests_total", &[], |n| n == 10.0).await;
    let metrics = gateway.metrics().await;
    for (name, labels, value) in [
        ("hilum_requests_total", &[("route", "here"), ("method", "GET"), ("status", "200")][..], 2.0),
        ("hilum_requests_total", &[("route", ""), ("method", "POST"), ("status", "405")], 1.0),
        ("hilum_requests_total", &[("route", ""), ("status", "404")], 1.0),
        ("hilum_request_seconds_count", &[("route", "one")], 1.0),
        ("hilum_rejections_total", &[("reason", "no_route")], 1.0),
        ("hilum_rejections_total", &[("reason", "peer_timeout")], 1.0),
        ("hilum_service_requests_total", &[("service", "a"), ("outcome", "timeout")], 1.0),
        ("hilum_service_requests_total", &[("service", "a"), ("outcome", "2xx")], 4.0),
        ("hilum_service_seconds_count", &[("service", "a")], 5.0),
        ("hilum_sessions_total", &[("event", "opened")], 1.0),
        ("hilum_sessions_total", &[("event", "ended")], 1.0),
        ("hilum_reloads_total", &[("result", "refused")], 0.0),
        ("hilum_peer_in_flight", &[("service", "a")], 0.0),
        ("hilum_requests_in_flight", &[], 0.0),
        ("hilum_panics_total", &[], 0.0),
        ("hilum_access_log_dropped_total", &[], 0.0),
        ("hilum_table_info", &[], 1.0),
    ] {
        assert_eq!(metrics.sum(name, labels), value, "{name} {labels:?}\n{}", metrics.0);
    }
    for (name, labels) in [
        ("hilum_session_cache_total", &[("result", "hit")][..]),
        ("hilum_session_cache_total", &[("result", "miss")]),
        ("hilum_reloads_total", &[("result", "loaded")]),
        ("hilum_connections", &[]),
        ("process_open_fds", &[]),
        ("process_resident_memory_bytes", &[]),
    ] {
        assert!(metrics.has(name, labels), "{name} {labels:?}\n{}", metrics.0);
    }
}

#[tokio::test]
async fn a_download_that_the_client_leaves_is_told_as_such() {
    let (gateway, service, _token) = start("info").await;
    let mut client = gateway.connect().await;
    client.write(&message("GET /a/sse/1000/20\nX-Request-ID: left-streamed")).await;
    client.until("data: 1\n").await;
    drop(client);
    let line = gateway.logged_id("left-streamed").await;
    assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(200), Some("client_gone")), "{line}");
    service.is_left_alone().await;
    gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
    assert_eq!(gateway.metrics().await.sum("hilum_rejections_total", &[]), 0.0, "nobody was refused");
}
