//! Listeners with TLS: who is shown which certificate, which handshakes fail and what that costs, HTTP/2 beside HTTP/1, and the way
//! from plain to secure.

use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services:
  a: { peers: ["${A}"], timeouts: { response: 2s } }
  brief: { peers: ["${A}"], timeouts: { response: 300ms } }
routes:
  - { name: all, match: "/a/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { time: 1s } }
  - { name: brief, match: "/brief/{rest...}", auth: public, forward: { service: brief, path: "/{rest}" } }
  - { name: small, match: "/small", auth: public, forward: { service: a, path: "/echo" }, limits: { body: 10B } }
  - { name: buffered, match: "/buffered/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { time: 1s, body: 10B }, reply: { 418: { json: {} } } }
"#;

fn secure(ca: &Authority, names: &[&str]) -> Builder {
    with(ca.issue(names), "")
}

fn with(issued: Issued, more: &str) -> Builder {
    Gateway::with(ROUTES)
        .listeners(&format!("[{{ address: \"127.0.0.1:0\", tls: {{ cert: a.pem, key: a.key }}, {more} }}]"))
        .file("conf/a.pem", issued.cert)
        .file("conf/a.key", issued.key)
}

#[tokio::test]
async fn requests_come_over_tls_with_either_version_of_http() {
    let (ca, service) = (Authority::new(), Service::start(puppet).await);
    let gateway = secure(&ca, &["a.test"]).env("A", service.url()).start().await;
    let tls13 = ca.dialer(&["http/1.1"]);
    let tls12 = ca.dialer_with(&["http/1.1"], &[&TLS12], None);
    let without_alpn = ca.dialer(&[]);
    for (case, dialer) in [("TLS 1.3", &tls13), ("TLS 1.2", &tls12), ("no ALPN", &without_alpn)] {
        let answer = dialer.send(gateway.address(), "a.test", "GET /a/echo\nHost: a.test").await.expect(case);
        expect(case, &answer, "200\n~ \"x-forwarded-proto\",\"https\"\n!strict-transport-security");
    }
    let mut http2 = ca.dialer(&["h2", "http/1.1"]).http2(gateway.address(), "a.test").await;
    let answer = http2.send("a.test", "GET /a/echo").await.expect("an answer");
    expect("HTTP/2", &answer, "200\n~ \"x-forwarded-proto\",\"https\"\n~ \"x-forwarded-host\",\"a.test\"");
    gateway.counts("hilum_tls_handshakes_total", &[("result", "ok")], |n| n == 4.0).await;
    assert!(gateway.metrics().await.sum("hilum_certificate_expires_seconds", &[("file", "a.pem")]) > 6e10);
}

#[tokio::test]
async fn who_asks_for_a_name_is_shown_its_certificate() {
    let ca = Authority::new();
    let (first, second, wild) =
        (ca.issue(&["a.test"]), ca.issue(&["b.test", "own.c.test"]), ca.issue(&["*.c.test", "a.test"]));
    let pair = |name: &str| format!("{{ cert: {name}.pem, key: {name}.key }}");
    let list = format!("[{}, {}, {}]", pair("a"), pair("b"), pair("c"));
    let mut builder = Gateway::with(ROUTES)
        .env("A", "http://127.0.0.1:9")
        .listeners(&format!("[{{ address: \"127.0.0.1:0\", tls: {list} }}]"));
    let mut shown = Vec::new();
    for (name, issued) in [("a", first), ("b", second), ("c", wild)] {
        shown.push(issued.cert.clone());
        builder = builder.file(&format!("conf/{name}.pem"), issued.cert).file(&format!("conf/{name}.key"), issued.key);
    }
    let gateway = builder.start().await;
    let dialer = ca.dialer(&["http/1.1"]);
    // Whoever is shown another one refuses it: the client checks the name.
    for (name, fits) in [
        ("a.test", true),
        ("b.test", true),
        ("B.Test", true),
        ("own.c.test", true),
        ("any.c.test", true),
        ("deep.any.c.test", false),
        ("c.test", false),
        ("unknown.test", false),
        // An address is no name for SNI; the first is shown, which is not for it.
        ("127.0.0.1", false),
    ] {
        let answer = dialer.send(gateway.address(), name, "GET /nothing").await;
        assert_eq!(answer.is_ok_and(|answer| answer.status == 404), fits, "{name}");
    }
    gateway.counts("hilum_tls_handshakes_total", &[("result", "refused")], |n| n == 4.0).await;
}

#[tokio::test]
async fn a_failed_handshake_ends_one_connection_and_has_a_count() {
    let ca = Authority::new();
    let builder = secure(&ca, &["a.test"]).env("A", "http://127.0.0.1:9");
    let gateway = builder.conf("connections: { header: 1s }").log("{ level: info, access: off }").start().await;
    let counts = async |result: &str, wanted: f64| {
        gateway.counts("hilum_tls_handshakes_total", &[("result", result)], |n| n == wanted).await;
    };
    // No TLS at all.
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff",
        b"\x16\x03\x01\xff\xff\x01\x00\x00\x00",
        &[0; 600],
    ] {
        let mut client = gateway.connect().await;
        client.write(bytes).await;
        client.closed().await;
    }
    counts("not_tls", 5.0).await;
    // TLS 1.1, in a hello of that time: version 3.2, one cipher, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x00, 0x2f, 1, 0]);
    let mut client = gateway.connect().await;
    client.write(&hello).await;
    client.closed().await;
    assert!(ca.dialer(&["spdy/3"]).dial(gateway.address(), "a.test").await.is_err());
    counts("incompatible", 2.0).await;
    // Nothing, or half a hello: the deadline of a head holds.
    for bytes in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01"] {
        let mut client = gateway.connect().await;
        client.write(bytes).await;
        let took = client.closed().await;
        assert!((900..5000).contains(&took.as_millis()), "{took:?}");
    }
    counts("timeout", 2.0).await;
    gateway.connect().await.finish().await;
    counts("closed", 1.0).await;
    assert!(Authority::new().dialer(&[]).dial(gateway.address(), "a.test").await.is_err(), "an unknown authority");
    counts("refused", 1.0).await;
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
    let answer = ca.dialer(&[]).send(gateway.address(), "a.test", "GET /nothing").await.expect("it lives");
    expect("afterwards", &answer, "404 no_route");
    assert!(!gateway.stderr().to_lowercase().contains("handshake"), "{}", gateway.stderr());
    assert_eq!(gateway.metrics().await.sum("hilum_panics_total", &[]), 0.0);
}

#[tokio::test]
async fn an_http2_connection_that_does_not_begin_or_is_idle_ends() {
    let ca = Authority::new();
    let builder = secure(&ca, &["a.test"]).env("A", "http://127.0.0.1:9");
    let gateway = builder.conf("connections: { header: 1s, idle: 500ms }").start().await;
    let dialer = ca.dialer(&["h2"]);
    for part in ["", "PRI * HTTP/2.0\r\n"] {
        let mut silent = dialer.dial(gateway.address(), "a.test").await.expect("TLS");
        let since = Instant::now();
        silent.write_all(part.as_bytes()).await.expect("it is open");
        let _ = within("the end", silent.read_to_end(&mut Vec::new())).await;
        assert!(since.elapsed() >= Duration::from_millis(900), "{:?}", since.elapsed());
    }
    gateway.counts("hilum_rejections_total", &[("reason", "client_too_slow")], |n| n == 2.0).await;
    let mut http2 = dialer.http2(gateway.address(), "a.test").await;
    expect("a request", &http2.send("a.test", "GET /nothing").await.expect("an answer"), "404 no_route");
    let _ = within("the idle connection to end", http2.driver).await;
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_ours_come_in_where_one_is_asked_for() {
    let (ca, other) = (Authority::new(), Authority::new());
    let service = Service::start(puppet).await;
    let builder = with(ca.issue(&["a.test"]), "client_ca: clients.pem").file("conf/clients.pem", ca.pem());
    let gateway = builder.env("A", service.url()).start().await;
    let (good, foreign, over) = (ca.issue(&["client"]), other.issue(&["client"]), ca.issue_until(&["client"], 2001));
    let request = "GET /a/echo\nSSL-Client-Cert: forged\nX-SSL-Client-Verify: SUCCESS\nClient-Cert: :Zm9yZ2Vk:";
    for versions in [&[&TLS13], &[&TLS12]] {
        let send = async |own: Option<&Issued>| {
            let dialer = ca.dialer_with(&["http/1.1"], versions, own);
            dialer.send(gateway.address(), "a.test", request).await
        };
        expect("its own", &send(Some(&good)).await.expect("it is trusted"), "200\n!~ forged\n!~ SUCCESS\n!~ Zm9y");
        assert!(send(None).await.is_err() && send(Some(&foreign)).await.is_err() && send(Some(&over)).await.is_err());
        // With TLS 1.2 such a session could be taken up without a certificate.
        let resuming = ca.dialer_with(&["http/1.1"], versions, Some(&good)).resuming().connector();
        for _ in 0..2 {
            let mut stream = tls::dial(&resuming, gateway.address(), "a.test").await.expect("TLS");
            tls::exchange(&mut stream, "GET /nothing").await.expect("an answer");
            assert!(!tls::is_resumed(&stream));
        }
    }
    gateway.counts("hilum_tls_handshakes_total", &[("result", "client_certificate")], |n| n == 6.0).await;
}

#[tokio::test]
async fn a_client_that_comes_back_takes_its_session_up() {
    let ca = Authority::new();
    let gateway = secure(&ca, &["a.test"]).env("A", "http://127.0.0.1:9").start().await;
    for versions in [&[&TLS13], &[&TLS12]] {
        let resuming = ca.dialer_with(&["http/1.1"], versions, None).resuming().connector();
        let mut taken_up = Vec::new();
        for _ in 0..2 {
            let mut stream = tls::dial(&resuming, gateway.address(), "a.test").await.expect("TLS");
            tls::exchange(&mut stream, "GET /nothing").await.expect("an answer");
            taken_up.push(tls::is_resumed(&stream));
        }
        assert_eq!(taken_up, [false, true]);
    }
}

#[tokio::test]
async fn plain_requests_are_sent_to_https_and_answers_over_tls_say_to_stay() {
    let (ca, service) = (
        Authority::new(),
        Service::start(|seen: &Seen| match seen.target.as_str() {
            "/own" => {
                Reply::new().answer(200, &["Strict-Transport-Security: max-age=1", "Strict-Transport-Security: x"], "x")
            }
            _ => puppet(seen),
        })
        .await,
    );
    let issued = ca.issue(&["a.test"]);
    let listeners = r#"
      - { address: "127.0.0.1:0", tls: { cert: a.pem, key: a.key }, hsts: 8760h, http2: false }
      - { address: "127.0.0.1:0", redirect_to_https: true }
      - { address: "127.0.0.1:0", redirect_to_https: 8443 }
      - { address: "127.0.0.1:0" }"#;
    let builder = Gateway::with(ROUTES).listeners(listeners).file("conf/a.pem", issued.cert);
    let gateway = builder.file("conf/a.key", issued.key).env("A", service.url()).start().await;
    let told = "strict-transport-security: max-age=31536000";
    for (request, status) in [
        ("GET /a/own", "200"),
        ("GET /nothing", "404 no_route"),
        ("GET /a/close", "502 peer_reset"),
        ("GET //", "400 path_rejected"),
    ] {
        let answer =
            ca.dialer(&["http/1.1", "h2"]).send(gateway.listener(0), "a.test", request).await.expect("an answer");
        expect(request, &answer, &format!("{status}\n{told}"));
    }
    assert!(ca.dialer(&["h2"]).dial(gateway.listener(0), "a.test").await.is_err(), "http2: false");
    let seen = service.seen().len();
    for (request, expected) in [
        ("GET /a/own?x=1&y\nHost: a.test", "308\nlocation: https://a.test/a/own?x=1&y"),
        ("HEAD /a\nHost: a.test:80", "308\nlocation: https://a.test/a"),
        ("POST /a/own\nHost: a.test\n\nbody", "308\nlocation: https://a.test/a/own"),
        ("GET http://a.test/x\nHost: a.test", "308\nlocation: https://a.test/x"),
        ("GET /x\nHost: a.test\nX-Forwarded-Host: evil.test", "308\nlocation: https://a.test/x"),
    ] {
        let answer = Client::connect(gateway.listener(1)).await.send(request).await;
        expect(request, &answer, &format!("{expected}\n!strict-transport-security"));
    }
    for request in [
        "GET http://evil.test/x\nHost: a.test",
        "GET //evil.test\nHost: a.test",
        "GET /\\evil.test\nHost: a.test",
        "GET /x\nHost: a@evil.test",
        "GET /x\nHost: a.test\nHost: b.test",
        "GET /x HTTP/1.0\nHost:",
    ] {
        let answer = Client::connect(gateway.listener(1)).await.send(request).await;
        assert!(answer.status == 400 && answer.header("location").is_none(), "{request}: {answer:?}");
    }
    let answer = Client::connect(gateway.listener(2)).await.send("GET /x\nHost: a.test").await;
    expect("another port", &answer, "308\nlocation: https://a.test:8443/x");
    assert_eq!(service.seen().len(), seen, "none of them reached the service");
    let answer = Client::connect(gateway.listener(3)).await.send("GET /a/own\nHost: a.test").await;
    expect("a listener that says nothing", &answer, "200\nstrict-transport-security: max-age=1, x");
}

#[tokio::test]
async fn a_plain_listener_speaks_no_http2() {
    let gateway = Gateway::with(ROUTES).env("A", "http://127.0.0.1:9").start().await;
    let mut client = gateway.connect().await;
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let answer = client.try_read(false).await;
    assert!(answer.is_none_or(|answer| answer.status == 400));
    client.closed().await;
}

#[tokio::test]
async fn what_holds_over_http1_holds_over_http2() {
    let (ca, service) = (Authority::new(), Service::start(puppet).await);
    let gateway = secure(&ca, &["a.test"]).env("A", service.url()).start().await;
    let mut http2 = ca.dialer(&["h2"]).http2(gateway.address(), "a.test").await;
    for (request, expected) in [
        ("GET /a/%65cho?x=1", "200\n~ \"target\":\"/echo\"\n~ \"x-forwarded-host\",\"a.test\""),
        ("HEAD /a/body/10", "200\ncontent-length: 10\n= "),
        ("HEAD /nothing", "404 no_route\n= "),
        ("GET /a/status/204", "204"),
        ("GET /a/chunked", "200\n= one two three\n!transfer-encoding"),
        ("POST /a/echo\n\nsome body", "200\n~ some body"),
        ("POST /small\n\n0123456789", "200"),
        ("POST /small\n\n01234567891", "413 body_too_large"),
        ("POST /small\ncontent-length: 11\n\n01234567891", "413 body_too_large"),
        ("POST /buffered/echo\n\n01234567891", "413 body_too_large"),
        ("POST /buffered/echo\nexpect: 100-continue\n\n0123456789", "200\n~ 0123456789"),
        ("GET /a/../b", "400 path_rejected"),
        ("GET /a/%2e%2e/b", "400 path_rejected"),
        ("GET /a;b", "400 path_rejected"),
        ("TRACE /a/echo", "405 method_not_allowed"),
        ("GET /brief/silent", "504 peer_timeout"),
        ("GET /a/slow-head/5000", "504 deadline"),
        ("GET /buffered/silent", "504 deadline"),
        ("GET /a/reset", "502 peer_reset"),
        ("GET /a/garbage", "502 peer_garbage"),
    ] {
        let answer = http2.send("a.test", request).await.unwrap_or_else(|e| panic!("{request}: {e}"));
        expect(request, &answer, expected);
    }
    let long = "x".repeat(9000);
    expect("target", &http2.send("a.test", &format!("GET /{long}")).await.expect("an answer"), "414 target_too_long");
    let large = format!("GET /a/echo\nx-a: {long}\nx-b: {long}");
    expect("headers", &http2.send("a.test", &large).await.expect("an answer"), "431 headers_too_large");
    // `Host` beside `:authority`.
    expect("same", &http2.send("a.test", "GET /a/echo\nhost: a.test").await.expect("an answer"), "200");
    assert_eq!(http2.send("a.test", "GET /a/echo\nhost: b.test").await.expect("an answer").status, 400);
    // Everything reached the service as HTTP/1 that says once where it ends.
    for seen in service.seen() {
        let head = String::from_utf8_lossy(&seen.head).to_lowercase();
        let framings = head.matches("content-length:").count() + head.matches("transfer-encoding:").count();
        assert!(
            framings <= 1
                && head.matches("\nhost:").count() == 1
                && head.lines().next().is_some_and(|l| l.ends_with("http/1.1")),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_client_that_is_slow_over_http2_loses_its_stream_and_nobody_elses() {
    let (ca, service) = (Authority::new(), Service::start(puppet).await);
    let gateway = secure(&ca, &["a.test"]).env("A", service.url()).start().await;
    let http2 = ca.dialer(&["h2"]).http2(gateway.address(), "a.test").await;
    let begin = async |path: &str| {
        let request =
            http::Request::post(format!("https://a.test{path}")).header("x-request-id", path.replace('/', ""));
        let mut ready = http2.requests.clone().ready().await.expect("a free stream");
        let (answer, mut sending) = ready.send_request(request.body(()).expect("a request"), false).expect("sent");
        sending.send_data("par".into(), false).expect("sent");
        (answer, sending)
    };
    let (streamed, _one) = begin("/a/echo").await;
    let (buffered, _two) = begin("/buffered/echo").await;
    let mut other = Http2 { requests: http2.requests.clone(), driver: tokio::spawn(async { Ok(()) }) };
    expect("beside them", &other.send("a.test", "GET /a/echo").await.expect("an answer"), "200");
    let answer = within("an answer", buffered).await.expect("an answer");
    expect("buffered", &tls::read(answer).await.expect("whole"), "408 client_too_slow");
    let answer = within("the end of the stream", streamed).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 408));
    let line = gateway.logged_id("aecho").await;
    assert_eq!(line["reason"], "client_too_slow", "{line}");
    expect("afterwards", &other.send("a.test", "GET /a/echo").await.expect("an answer"), "200");
    gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn files_that_can_not_be_used_are_told_at_the_start_all_at_once() {
    let ca = Authority::new();
    let (good, other, over) = (ca.issue(&["a.test"]), ca.issue(&["b.test"]), ca.issue_until(&["a.test"], 2001));
    let listeners = r#"
      - { address: "127.0.0.1:0", tls: { cert: missing.pem, key: a.key } }
      - { address: "127.0.0.1:0", tls: { cert: a.pem, key: b.key } }
      - { address: "127.0.0.1:0", tls: { cert: a.key, key: a.pem } }
      - { address: "127.0.0.1:0", tls: { cert: text.txt, key: text.txt } }
      - { address: "127.0.0.1:0", tls: { cert: broken.pem, key: a.key }, client_ca: text.txt }
      - { address: "127.0.0.1:0", tls: [{ cert: a.pem, key: a.key }, { cert: again.pem, key: a.key }] }"#;
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let builder = Gateway::with(ROUTES).env("A", "http://127.0.0.1:9").listeners(listeners);
    let builder = builder.file("conf/a.pem", &good.cert).file("conf/a.key", &good.key).file("conf/b.key", &other.key);
    let builder =
        builder.file("conf/text.txt", "no PEM").file("conf/broken.pem", garbage).file("conf/again.pem", &good.cert);
    let (status, log) = builder.try_start().await.err().expect("it does not start");
    assert_eq!(status.code(), Some(1), "{log}");
    for (place, told) in [
        ("3:48", "missing.pem can't be read"),
        ("4:60", "b.key is not the key of the certificate in a.pem"),
        ("5:48", "a.key holds no certificate"),
        ("5:60", "a.pem holds no private key"),
        ("6:48", "text.txt holds no certificate"),
        ("6:63", "text.txt holds no private key"),
        ("7:48", "broken.pem holds a certificate that can't be read"),
        ("7:85", "text.txt holds no certificate"),
        ("8:78", "again.pem would never be shown"),
    ] {
        let line = format!("error: {told}");
        let mut found = log.match_indices(&line).map(|(at, _)| log[at..].lines().nth(1));
        assert!(found.any(|line| line.is_some_and(|l| l.ends_with(&format!(":{place}")))), "{told}\n{log}");
    }
    assert!(!log.contains("PRIVATE KEY-----\nM") && !log.contains("panic"), "{log}");
    let gateway = with(over, "").env("A", "http://127.0.0.1:9").log("{ access: off }").start().await;
    gateway.said("a.pem: this certificate has expired").await;
    gateway.said("a.key: everybody on this machine can read this private key").await;
}
