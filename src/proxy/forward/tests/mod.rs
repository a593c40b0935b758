//! Heads as text: a client's, and what its service gets.

mod answers;

use super::super::front_door;
use super::*;
use crate::fuzzing::world;
use crate::proxy::Gateway;
use crate::table::ask::Answers;
use crate::table::decide::{self, Facts, Verdict};

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"] }, two: { peers: ["http://One.test", "http://two.test:8080"] } }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { header: X-Token, scheme: T }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    identity: { X-User-ID: user_id, X-User-Roles: roles }
    cookie: { name: jwt }
routes:
  - { name: plain, match: "/plain/**", auth: public, forward: { service: a } }
  - { name: known, match: "/known/**", auth: { token: web }, forward: { service: a } }
  - { name: cookies, match: "/cookies/**", auth: public, forward: { service: a, cookies: pass } }
  - { name: whole, match: "/whole/**", auth: public, forward: { service: a, authorization: pass, reason: pass } }
  - name: edited
    match: "/edited/**"
    auth: public
    forward: { service: a, headers: { X-Fixed: ours } }
    filters: [{ headers: { request: { set: { X-Team: cardiology }, remove: [X-Gone] } } }]
  - { name: two, match: "/two/**", auth: public, forward: { service: two } }
  - { name: kept, match: "/kept/**", auth: public, cache_control: "max-age=60", forward: { service: a } }
  - { name: files, match: "/files/**", auth: { token: web }, files: { root: "${FILES}" } }
  - { name: here, match: /here, auth: public, respond: { text: here } }
"#;

fn gateway() -> Gateway {
    world::gateway_of(ROUTES, "http://127.0.0.1:1")
}

/// `GET /path`, and header lines.
fn request(text: &str) -> RequestHeader {
    let mut lines = text.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let mut head = RequestHeader::build(method, target.as_bytes(), None).unwrap();
    head.insert_header("host", "hilum.test").unwrap();
    for line in lines {
        let (name, value) = line.trim().split_once(": ").unwrap();
        head.append_header(name.to_owned(), value).unwrap();
    }
    head
}

/// The lines of a head, sorted, without what the test of ids looks at.
fn lines(headers: &HeaderMap) -> Vec<String> {
    let told = headers.iter().filter(|(name, _)| **name != REQUEST_ID && **name != TRACE_PARENT);
    let mut lines: Vec<_> = told.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    lines.sort();
    lines
}

/// An exchange as it is when its route is known and nothing was sent yet.
async fn exchange(gateway: &Gateway, peer: &str, client: &RequestHeader) -> Ctx {
    let mut ctx = Ctx::new(gateway);
    ctx.now = world::today();
    front_door::note_client(&mut ctx, client, Some(peer.parse().unwrap()), false);
    let (table, seen) = (ctx.table.clone(), front_door::head_of(client));
    let found = decide::find(&table, &seen).unwrap();
    let route = found.route.clone();
    if let Some(token) = &route.token {
        ctx.caller = token.identify(&client.headers, ctx.now).await;
    }
    let answers = Answers::default();
    let facts = Facts { caller: &ctx.caller, host: seen.host, secure: false, now: ctx.now.unix, answers: &answers };
    if let Verdict::Forward(onward) = decide::judge(&found, &seen, &facts) {
        ctx.onward = onward;
    }
    ctx.states = route.chain.states();
    let mut depth = ctx.depth;
    let every = 0..route.chain.len();
    let _ = route.chain.request(every, client, &mut ctx.facts, &mut ctx.states, &mut depth).await.unwrap();
    ctx.depth = depth;
    ctx.route = Some(route);
    ctx
}

/// What the service gets besides `Host` and what says that `hilum.test` was asked over HTTP by this peer.
#[track_caller]
fn check(gateway: &Gateway, peer: &str, client: &str, expected: &str) {
    let told = format!("{expected}\nhost: hilum.test\nx-forwarded-for: {peer}");
    check_whole(gateway, peer, client, &format!("{told}\nx-forwarded-proto: http\nx-forwarded-host: hilum.test"));
}

#[track_caller]
fn check_whole(gateway: &Gateway, peer: &str, text: &str, expected: &str) {
    let client = request(text);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut ctx = runtime.block_on(exchange(gateway, peer, &client));
    let mut head = client.clone();
    to_service(&mut ctx, &client, &mut head).unwrap();
    assert_eq!(lines(&head.headers), sorted(expected), "{text}");
    assert_eq!(head.headers[REQUEST_ID], *ctx.facts.request_id.as_str());
    assert_eq!(head.headers[TRACE_PARENT], ctx.trace.as_ref().unwrap().value());
}

const STRANGER: &str = "1.1.1.1";
const TRUSTED: &str = "10.0.0.1";

#[test]
fn what_speaks_for_a_client_is_not_passed_on() {
    for name in [
        "Forwarded",
        "X-Real-IP",
        "X-Scheme",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Client-IP",
        "Proxy",
        "Proxy-Authorization",
        "X-Method-Override",
        "Remote-User",
        "X-Remote-User",
        "X-Remote-Addr",
        "X-Cluster-Client-IP",
        "X-ARR-ClientCert",
        "X-Authenticated-User",
        "Fastly-Client-IP",
        "Client-Cert",
        "Client-Cert-Chain",
        "SSL-Client-Verify",
        "X-Auth-Request-User",
        "X-Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Anything",
        "X-Client-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Middleware-Subrequest",
        "X-SSL-Cert",
        "X_Anything",
        "a_b",
        "a.b",
    ] {
        assert!(is_stripped(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
    }
    for name in [
        "Accept",
        "X-Team",
        "X-Real",
        "X-Clients",
        "Forward",
        "Proxied",
        "Client",
        "Content-Type",
        "Remote",
        "TE",
        "Range",
        "SSL",
        "A-Proxy",
        "Z-Forwarded-For",
    ] {
        assert!(!is_stripped(&HeaderName::from_bytes(name.as_bytes()).unwrap()), "{name}");
    }
    let gateway = gateway();
    let forged = "X-Forwarded-For: 9.9.9.9\nX-Forwarded-Port: 1\nX_User_ID: 1\nX-Real-IP: 9.9.9.9\nX-Real-IP: 8.8.8.8\nEarly-Data: 1";
    check(
        &gateway,
        STRANGER,
        &format!("GET /plain/a\nAccept: a\n{forged}\nX-Kept: 1\nX-Kept: 2"),
        "accept: a\nx-kept: 1\nx-kept: 2",
    );
}

#[test]
fn a_trusted_proxy_is_heard_and_added_to() {
    let gateway = gateway();
    let said = "X-Forwarded-For: 2.2.2.2, 3.3.3.3\nX-Forwarded-For: 10.1.1.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: a.test\nX-Forwarded-Host: b.test\nEarly-Data: 1";
    check_whole(
        &gateway,
        TRUSTED,
        &format!("GET /plain/a\n{said}"),
        "host: hilum.test
        early-data: 1
        x-forwarded-for: 2.2.2.2, 3.3.3.3, 10.1.1.1, 10.0.0.1
        x-forwarded-proto: https
        x-forwarded-host: b.test",
    );
    check(&gateway, TRUSTED, "GET /plain/a", "");
    check(&gateway, STRANGER, &format!("GET /plain/a\n{said}"), "");
}

#[test]
fn who_is_calling_is_said_by_the_token_alone() {
    let gateway = gateway();
    let (bearer, forged) = (format!("Bearer {}", world::token()), "X-User-ID: 1\nX-User-Roles: admin\nX-Token: T x");
    let known = format!("x-user-id: 7\nauthorization: {bearer}");
    for text in [
        format!("GET /known/a\nAuthorization: {bearer}"),
        format!(
            "GET /known/a\nAuthorization: {bearer}\nX-User-ID: 1\nX-User-ID: 2\nX-User-Roles: admin\nCookie: jwt=x"
        ),
        format!("GET /known/a\nCookie: jwt={}", world::token()),
        format!("GET /known/a\nX-Token: T {}", world::token()),
    ] {
        check(&gateway, STRANGER, &text, &known);
    }
    for path in ["plain", "known", "cookies"] {
        check(&gateway, STRANGER, &format!("GET /{path}/a\n{forged}\nAuthorization: Basic x"), "");
    }
    // A gateway behind hears what the client says of itself, and of who it is no more than that.
    check(
        &gateway,
        STRANGER,
        &format!("GET /whole/a\n{forged}\nAuthorization: {bearer}"),
        &format!("authorization: {bearer}"),
    );
}

#[test]
fn cookies_pass_where_the_file_says_so_and_ours_never() {
    let gateway = gateway();
    check(&gateway, STRANGER, "GET /plain/a\nCookie: a=b", "");
    for (sent, passes) in [
        ("Cookie: a=b", "cookie: a=b"),
        ("Cookie: a=b; c=d\nCookie: e=f", "cookie: a=b; c=d; e=f"),
        ("Cookie: jwt=x", ""),
        ("Cookie: jwt", ""),
        ("Cookie: jwt =x;a=b", "cookie: a=b"),
        ("Cookie: a=b; jwt=x; c=jwt; jwt2=y", "cookie: a=b; c=jwt; jwt2=y"),
        ("Accept: a", "accept: a"),
    ] {
        check(&gateway, STRANGER, &format!("GET /cookies/a\n{sent}"), passes);
    }
}

#[test]
fn the_route_and_its_filters_write_before_us() {
    let gateway = gateway();
    let sent = "GET /edited/a\nX-Fixed: theirs\nX-Team: theirs\nX-Gone: 1";
    check(&gateway, STRANGER, sent, "x-fixed: ours\nx-team: cardiology");
}

#[test]
fn a_request_of_our_own_has_nothing_of_the_connection_the_body_and_the_cache() {
    let client = request(
        "POST /a
        Connection: close, X-Private
        Connection: x-more
        X-Private: 1
        X-More: 1
        Keep-Alive: 5
        Proxy-Connection: close
        TE: trailers
        Trailer: X
        Transfer-Encoding: chunked
        Upgrade: h2c
        Proxy-Authenticate: Basic
        Content-Length: 5
        Content-Type: text/plain
        Content-Encoding: gzip
        Digest: x
        Repr-Digest: x
        X-Digest: x
        Expect: 100-continue
        Range: bytes=0-1
        If-Range: a
        If-Match: a
        If-None-Match: a
        If-Modified-Since: a
        If-Unmodified-Since: a
        Accept-Encoding: br
        X-Kept: 1",
    );
    let mut head = own_head(&client);
    let about_body = "content-type: text/plain\ncontent-encoding: gzip\ndigest: x\nrepr-digest: x";
    let kept = "host: hilum.test\naccept-encoding: identity\nx-digest: x\nx-kept: 1";
    assert_eq!(lines(&head.headers), sorted(&format!("{kept}\n{about_body}")));
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/a"));
    replace_body(&mut head);
    assert_eq!(lines(&head.headers), sorted(&format!("{kept}\ncontent-type: application/json")));
}
