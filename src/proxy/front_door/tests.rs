//! Heads as text, and what the front door makes of them.

use super::*;
use crate::fuzzing::world;

fn check(target: &str, host: Option<&str>, expected: Result<&str, Reason>) {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    head.set_raw_path(target.as_bytes()).unwrap();
    if let Some(host) = host {
        head.insert_header("host", host).unwrap();
    }
    let got = admit(&mut head).map(|()| String::from_utf8(head.raw_path().to_vec()).unwrap());
    assert_eq!(got.as_deref().map_err(|r| *r), expected, "{target} {host:?}");
}

#[test]
fn what_is_matched_is_what_is_sent() {
    check("/a?x=1", Some("h"), Ok("/a?x=1"));
    check("/%61%2d?x=%61", Some("h"), Ok("/a-?x=%61"));
    check("http://h/a?b", Some("h"), Ok("/a?b"));
    check("https://H:80", Some("h:80"), Ok("/"));
    check("/caf%c3%a9", Some("h"), Ok("/caf%C3%A9"));
}

/// A target of so many bytes, and header lines with so many bytes each: `X-1: aaa` and its end has ten.
#[track_caller]
fn check_sizes(target: usize, lines: &[usize], expected: Result<(), Reason>) {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    head.set_raw_path(format!("/{}", "a".repeat(target - 1)).as_bytes()).unwrap();
    for (n, bytes) in lines.iter().enumerate() {
        let name = format!("x-{n}");
        let value = "a".repeat(bytes - name.len() - 4);
        head.append_header(name, value).unwrap();
    }
    assert_eq!(check_size(&head), expected, "{target} {}", lines.len());
    // What is too large is not looked at any further: there is no host.
    let without_host = expected.and(Err(Reason::HostRejected));
    assert_eq!(admit(&mut head), without_host, "{target} {}", lines.len());
}

#[test]
fn a_head_may_be_so_large_and_not_a_byte_more() {
    check_sizes(8192, &[], Ok(()));
    check_sizes(8193, &[], Err(Reason::TargetTooLong));
    check_sizes(9999, &[], Err(Reason::TargetTooLong));
    check_sizes(1, &[10; 100], Ok(()));
    check_sizes(1, &[10; 101], Err(Reason::HeadersTooLarge));
    check_sizes(1, &[10; 999], Err(Reason::HeadersTooLarge));
    check_sizes(8192, &[8192], Ok(()));
    check_sizes(8192, &[8193], Err(Reason::HeadersTooLarge));
    check_sizes(4096, &[4096, 4096, 4096], Ok(()));
    check_sizes(4096, &[4096, 4097, 4096], Err(Reason::HeadersTooLarge));
    check_sizes(1, &[99_999], Err(Reason::HeadersTooLarge));
}

/// A target as HTTP/2 has it, and its `Host` → the target and host that it is admitted with.
#[track_caller]
fn check_http2(uri: &str, host: Option<&str>, expected: Result<(&str, &str), Reason>) {
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    head.set_version(Version::HTTP_2);
    head.set_uri(uri.parse().unwrap());
    if let Some(host) = host {
        head.insert_header("host", host).unwrap();
    }
    let got = admit(&mut head).map(|()| (head.uri.to_string(), host_of(&head).to_owned()));
    let got = got.as_ref().map(|(uri, host)| (&**uri, &**host)).map_err(|reason| *reason);
    assert_eq!(got, expected, "{uri} {host:?}");
    if got.is_ok() {
        assert_eq!(head.headers.get_all("host").iter().count(), 1, "{uri} {host:?}");
    }
}

#[test]
fn over_http2_an_authority_is_the_host_and_both_agree() {
    check_http2("https://h/a?b", None, Ok(("https://h/a?b", "h")));
    check_http2("https://h/a?b", Some("h"), Ok(("https://h/a?b", "h")));
    check_http2("https://h:1/%61", None, Ok(("/a", "h:1")));
    check_http2("https://h/a", Some("H"), Ok(("https://h/a", "H")));
    check_http2("/a", Some("h"), Ok(("/a", "h")));
    check_http2("https://h/a", Some("other"), Err(Reason::HostRejected));
    check_http2("https://u@h/a", None, Err(Reason::HostRejected));
    check_http2("https://h/a", Some(""), Err(Reason::HostRejected));
    check_http2("/a", None, Err(Reason::HostRejected));
}

#[test]
fn a_target_that_names_another_thing_is_refused() {
    check("foo:bar/admin", Some("h"), Err(Reason::PathRejected));
    check("admin", Some("h"), Err(Reason::PathRejected));
    check("*", Some("h"), Err(Reason::PathRejected));
    check("ftp://h/a", Some("h"), Err(Reason::PathRejected));
    check("http://other/a", Some("h"), Err(Reason::HostRejected));
    check("/a/../b", Some("h"), Err(Reason::PathRejected));
    check("//h/a", Some("h"), Err(Reason::PathRejected));
    // Pingora cuts a fragment before it builds the head.
    check("/a?b#c", Some("h"), Ok("/a?b"));
    check("/a", None, Err(Reason::HostRejected));
    check("/a", Some("a/b"), Err(Reason::HostRejected));
    check("/a", Some("u@h"), Err(Reason::HostRejected));
    check("/a", Some(""), Err(Reason::HostRejected));
    check("/a?\u{f1}", Some("h"), Err(Reason::PathRejected));
}

#[test]
fn a_host_is_said_once_and_only_http_1_0_may_leave_it_out() {
    let cases: [(Version, &[&str], bool); 6] = [
        (Version::HTTP_10, &[], true),
        (Version::HTTP_10, &["h"], true),
        (Version::HTTP_10, &["h", "h"], false),
        (Version::HTTP_11, &[], false),
        (Version::HTTP_11, &["h"], true),
        (Version::HTTP_11, &["h", "h"], false),
    ];
    for (version, hosts, expected) in cases {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.set_version(version);
        for host in hosts {
            head.append_header("host", *host).unwrap();
        }
        assert_eq!(
            admit(&mut head),
            if expected { Ok(()) } else { Err(Reason::HostRejected) },
            "{version:?} {hosts:?}"
        );
    }
}

/// The other end of a connection with TLS or without, and what its lines say → the client, over what, and whether it is believed.
#[track_caller]
fn check_client(gateway: &Gateway, peer: &str, tls: bool, lines: &[(&'static str, &str)], expected: &str) {
    let mut head = RequestHeader::build("PUT", b"/", None).unwrap();
    for (name, value) in lines {
        head.append_header(*name, *value).unwrap();
    }
    let mut ctx = Ctx::new(gateway);
    note_client(&mut ctx, &head, Some(peer.parse().unwrap()), tls);
    let over = if ctx.facts.secure { "https" } else { "http" };
    let trust = if ctx.peer_is_trusted { "trusted" } else { "stranger" };
    assert_eq!(format!("{} {over} {} {trust}", ctx.facts.client, ctx.peer), expected, "{peer} {tls} {lines:?}");
    assert_eq!(ctx.method(), "PUT");
}

#[test]
fn only_a_trusted_proxy_says_who_its_client_is_and_over_what() {
    const FOR: &str = "x-forwarded-for";
    const PROTO: &str = "x-forwarded-proto";
    let gateway = world::gateway("http://127.0.0.1:1");
    let check = |peer, tls, lines: &[_], expected| check_client(&gateway, peer, tls, lines, expected);
    check("1.1.1.1", false, &[], "1.1.1.1 http 1.1.1.1 stranger");
    check("1.1.1.1", true, &[], "1.1.1.1 https 1.1.1.1 stranger");
    check("::ffff:1.1.1.1", false, &[(FOR, "2.2.2.2")], "1.1.1.1 http 1.1.1.1 stranger");
    check("1.1.1.1", false, &[(PROTO, "https")], "1.1.1.1 http 1.1.1.1 stranger");
    check("10.1.1.1", false, &[], "10.1.1.1 http 10.1.1.1 trusted");
    check("10.1.1.1", true, &[], "10.1.1.1 https 10.1.1.1 trusted");
    check("::ffff:10.1.1.1", false, &[(FOR, "::ffff:2.2.2.2")], "2.2.2.2 http 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(FOR, "2.2.2.2, 3.3.3.3")], "3.3.3.3 http 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(FOR, "2.2.2.2, 3.3.3.3,10.2.2.2 ")], "3.3.3.3 http 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(FOR, "2.2.2.2"), (FOR, "10.2.2.2")], "2.2.2.2 http 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(FOR, "2.2.2.2, unknown, 10.2.2.2")], "10.2.2.2 http 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(FOR, "2.2.2.2, ")], "10.1.1.1 http 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(PROTO, "https")], "10.1.1.1 https 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(PROTO, "HTTPS")], "10.1.1.1 https 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(PROTO, "http")], "10.1.1.1 http 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(PROTO, "https, http")], "10.1.1.1 http 10.1.1.1 trusted");
    check("10.1.1.1", false, &[(PROTO, "http"), (PROTO, "http, https")], "10.1.1.1 https 10.1.1.1 trusted");
    // What this gateway sees for itself, nobody talks away.
    check("10.1.1.1", true, &[(PROTO, "http")], "10.1.1.1 https 10.1.1.1 trusted");
}

#[test]
fn an_id_and_a_trace_are_taken_over_when_they_are_well_formed() {
    let gateway = world::gateway("http://127.0.0.1:1");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (id, trace, is_taken) in [("id-1", trace, true), ("has space", "00-0", false)] {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("x-request-id", id).unwrap();
        head.insert_header("traceparent", trace).unwrap();
        let mut ctx = Ctx::new(&gateway);
        note_client(&mut ctx, &head, None, false);
        assert_eq!(ctx.facts.request_id.as_str() == id, is_taken, "{id}");
        assert_eq!(ctx.trace.as_ref().expect("there is one").value() == trace, is_taken, "{trace}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    /// Whatever is asked for: what is sent is what is matched, it is its own canonical form, and admitting it again changes nothing.
    #[test]
    fn what_is_admitted_has_one_form(
        start in "|http://h|https://H",
        pieces in proptest::collection::vec("/|[.]{1,2}|%2[eEfF]|%5c|[\\\\;?#%]|%[0-9a-fA-F]{2}|[ -~]|\\PC", 0..12),
    ) {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        head.insert_header("host", "h").unwrap();
        let target = format!("{start}/{}", pieces.concat());
        if head.set_raw_path(target.as_bytes()).is_ok() && admit(&mut head).is_ok() {
            let sent = String::from_utf8(head.raw_path().to_vec()).unwrap();
            let seen = head_of(&head);
            let matched = seen.query.map_or(seen.path.to_owned(), |query| format!("{}?{query}", seen.path));
            proptest::prop_assert_eq!(&sent, &matched);
            proptest::prop_assert_eq!(path::canonical(seen.path).unwrap(), seen.path);
            proptest::prop_assert!(admit(&mut head).is_ok());
            proptest::prop_assert_eq!(head.raw_path(), sent.as_bytes());
        }
    }
}

#[test]
fn what_is_about_the_connection_is_said_in_one_way() {
    let many = vec!["a"; NOMINATED].join(",");
    let too_many = format!("{many}, a");
    let cases: [(&[(&str, &str)], bool); 24] = [
        (&[], true),
        (&[("connection", "close")], true),
        (&[("connection", "keep-alive, Upgrade"), ("connection", "X-User-ID")], true),
        (&[("connection", "keep-alive ,\tUpgrade ")], true),
        (&[("connection", &many)], true),
        (&[("connection", &too_many)], false),
        (&[("connection", &many), ("connection", "a")], false),
        (&[("connection", "")], false),
        (&[("connection", "close, , x")], false),
        (&[("connection", "close,")], false),
        (&[("connection", "\"close\"")], false),
        (&[("connection", "a b")], false),
        (&[("connection", "HOST")], false),
        (&[("connection", "close, content-length")], false),
        (&[("connection", "X-Forwarded-For")], false),
        (&[("connection", "x-forwarded-host")], false),
        (&[("connection", "a, x-forwarded-proto")], false),
        (&[("connection", "close"), ("connection", "Transfer-Encoding")], false),
        (&[("expect", "100-continue")], true),
        (&[("expect", "100-Continue")], true),
        (&[("expect", "")], false),
        (&[("expect", "y 100-continue")], false),
        (&[("expect", "100-continue, 100-continue")], false),
        (&[("expect", "100-continue"), ("expect", "100-continue")], false),
    ];
    for (lines, expected) in cases {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        assert_eq!(check_connection(&headers).is_ok(), expected, "{lines:?}");
    }
}
