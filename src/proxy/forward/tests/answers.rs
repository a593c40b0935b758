//! A service's answer as text, and what the client gets.

use std::sync::Arc;

use super::*;
use crate::proxy::Entrance;

/// A service's answer on a route, streamed and read whole → what of it passes. `*`: lines that pass streamed alone.
#[track_caller]
fn check_answer(gateway: &Gateway, path: &str, text: &str, expected: &str) {
    let (status, text) = text.split_once('\n').unwrap_or((text, ""));
    let mut head = ResponseHeader::build(status.parse::<u16>().unwrap(), None).unwrap();
    for line in text.lines() {
        let (name, value) = line.trim().split_once(": ").unwrap();
        head.append_header(name.to_owned(), value).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ctx = runtime.block_on(exchange(gateway, STRANGER, &request(&format!("GET {path}"))));
    let mut whole = head.headers.clone();
    from_service(&ctx, &mut head);
    assert_eq!(head.status.as_str(), status);
    assert_eq!(lines(&head.headers), sorted(&expected.replace('*', "")), "{path} streamed: {text}");
    clean(&ctx, &mut whole);
    let expected: Vec<_> = sorted(expected).into_iter().filter(|line| !line.starts_with('*')).collect();
    assert_eq!(lines(&whole), expected, "{path} whole: {text}");
}

#[test]
fn what_belongs_to_a_services_connection_does_not_pass() {
    let gateway = gateway();
    let connection =
        "Keep-Alive: 5\nProxy-Connection: close\nTE: x\nTrailer: X\nUpgrade: h2c\nProxy-Authenticate: Basic";
    check_answer(&gateway, "/plain/a", &format!("200\n{connection}\nX-Kept: 1\nX-Kept: 2"), "x-kept: 1\nx-kept: 2");
    let named = "Connection: X-Private, close\nX-Private: 1\nX-Public: 1";
    check_answer(&gateway, "/plain/a", &format!("200\n{named}"), "*connection: X-Private, close\nx-public: 1");
    // What tells Pingora where the body ends stays, also when a service names it.
    let framing = "Connection: content-length, transfer-encoding\nContent-Length: 5\nTransfer-Encoding: chunked";
    let kept = "*connection: content-length, transfer-encoding\n*content-length: 5\n*transfer-encoding: chunked";
    check_answer(&gateway, "/plain/a", &format!("200\n{framing}"), kept);
    check_answer(&gateway, "/plain/a", "200\nX-Hilum-Reason: forged", "");
    check_answer(&gateway, "/whole/a", "200\nX-Hilum-Reason: not_owner", "x-hilum-reason: not_owner");
    check_answer(&gateway, "/plain/a", "200", "");
    // A 101 is about the connection.
    check_answer(&gateway, "/plain/a", "101\nUpgrade: websocket", "*upgrade: websocket");
}

#[test]
fn a_service_sets_no_cookie_of_ours() {
    let gateway = gateway();
    for (set, passes) in [
        ("Set-Cookie: a=b; Path=/\nSet-Cookie: c=d", "set-cookie: a=b; Path=/\nset-cookie: c=d"),
        ("Set-Cookie: jwt=evil; Path=/", ""),
        ("Set-Cookie: a=b\nSet-Cookie:  jwt =evil\nSet-Cookie: jwt2=c", "set-cookie: a=b\nset-cookie: jwt2=c"),
        ("Set-Cookie: jwt", ""),
        ("X-Kept: jwt=a", "x-kept: jwt=a"),
    ] {
        for path in ["/plain/a", "/known/a", "/cookies/a"] {
            check_answer(&gateway, path, &format!("200\n{set}"), passes);
        }
    }
}

#[test]
fn where_a_service_is_stays_hidden() {
    let gateway = gateway();
    for (location, passes) in [
        ("http://one.test/a?b#c", "/a?b#c"),
        ("http://ONE.test", "/"),
        ("HTTPS://one.test/a", "/a"),
        ("http://one.test?a", "/?a"),
        ("http://one.test#a", "/#a"),
        ("http://two.test:8080/a", "/a"),
        ("http://two.test:8080//evil.test", "/"),
        ("http://two.test/a", "http://two.test/a"),
        ("http://three.test/a", "http://three.test/a"),
        ("ftp://one.test/a", "ftp://one.test/a"),
        ("http://one.test.evil/a", "http://one.test.evil/a"),
        ("/a", "/a"),
        ("one.test/a", "one.test/a"),
    ] {
        check_answer(&gateway, "/two/a", &format!("302\nLocation: {location}"), &format!("location: {passes}"));
    }
}

/// What the client gets of an answer with these lines.
#[track_caller]
fn check_client(gateway: &Gateway, path: &str, change: impl FnOnce(&mut Ctx), answer: &str, expected: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut ctx = runtime.block_on(exchange(gateway, STRANGER, &request(&format!("GET {path}"))));
    change(&mut ctx);
    let mut head = ResponseHeader::build(200, None).unwrap();
    for line in answer.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        head.append_header(name.to_owned(), value).unwrap();
    }
    to_client(&ctx, &mut head).unwrap();
    assert_eq!(lines(&head.headers), sorted(expected), "{path} {answer}");
    assert_eq!(head.headers[REQUEST_ID], *ctx.facts.request_id.as_str());
    assert_eq!(head.headers[TRACE_PARENT], ctx.trace.as_ref().unwrap().value());
}

#[test]
fn every_answer_says_how_long_it_may_be_kept_and_carries_the_next_cookie() {
    let gateway = gateway();
    let nothing = |_: &mut Ctx| {};
    let (asked, private) = ("cache-control: max-age=60", "cache-control: private, no-store");
    check_client(&gateway, "/plain/a", nothing, "X-Kept: 1", "x-kept: 1");
    check_client(&gateway, "/plain/a", nothing, "Cache-Control: public", "cache-control: public");
    check_client(&gateway, "/kept/a", nothing, "", asked);
    check_client(&gateway, "/kept/a", nothing, "Cache-Control: public", asked);
    check_client(&gateway, "/known/a", nothing, "Cache-Control: public", private);
    // A file says itself how long it may be kept; that it is missing does not.
    check_client(&gateway, "/files/a", nothing, "", private);
    check_client(&gateway, "/files/a", nothing, "Cache-Control: public", "cache-control: public");
    check_client(&gateway, "/here", nothing, "Cache-Control: public", "cache-control: public");
    let hsts = |ctx: &mut Ctx| {
        ctx.entrance = Arc::new(Entrance::new(Some(std::time::Duration::from_secs(9)), None));
    };
    check_client(&gateway, "/plain/a", hsts, "", "strict-transport-security: max-age=9");
    let cookie = |ctx: &mut Ctx| ctx.new_cookie = Some(HeaderValue::from_static("jwt=next"));
    let both = format!("set-cookie: a=b\nset-cookie: jwt=next\n{private}");
    check_client(&gateway, "/kept/a", cookie, "Set-Cookie: a=b", &both);
}
