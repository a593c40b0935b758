//! Listeners whose connections begin with the name of the client: believed of proxies that are trusted, and of nobody else.

use std::time::Duration;

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"] } }
defaults: { auth: public }
routes:
  - { name: rated, match: GET /rated, respond: { text: here }, rate: [{ allow: 1/1h, key: client }] }
  - { name: all, match: "/**", forward: { service: a } }
"#;
const PROXIES: &str = "trusted_proxies: [127.0.0.1, 10.9.0.0/16]\n";

async fn before(conf: &str) -> (Gateway, Service) {
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(ROUTES).env("A", service.url()).listener("proxy_protocol: true");
    (gateway.conf(&format!("{PROXIES}{conf}")).start().await, service)
}

/// Version 2, with addresses of IPv4 and something more.
fn binary(client: [u8; 4]) -> Vec<u8> {
    let addresses = [&client[..], &[192, 0, 2, 200, 0x12, 0x34, 0x01, 0xbb], &[4, 0, 1, 0]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0".as_slice(), &[16], &addresses].concat()
}

fn text(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 192.0.2.200 4660 443\r\n").into_bytes()
}

/// Sends a header and a request in one go from 127.0.0.`last`; gives the connection and the answer, if there is one.
async fn ask(gateway: &Gateway, last: u8, header: &[u8], request: &str) -> (Option<Client>, Option<Response>) {
    // Who is refused may learn it before the connection is there.
    let Ok(mut client) = Client::from([127, 0, 0, last], gateway.address(), None).await else { return (None, None) };
    client.try_write(&[header, &message(request)].concat()).await;
    let answer = client.try_read(false).await;
    (Some(client), answer)
}

async fn refused(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metrics().await.sum("hilum_connections_refused_total", &[("cause", cause)])
}

#[tokio::test]
async fn the_announced_address_is_the_clients() {
    let (gateway, service) = before("").await;
    let v6 = b"PROXY TCP6 2001:db8::7 2001:db8::8 1 2\r\n";
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let cases: &[(&str, &[u8], &str, &str, &str)] = &[
        ("v1", &text("203.0.113.7"), "", "203.0.113.7", "203.0.113.7"),
        ("v2", &binary([203, 0, 113, 8]), "", "203.0.113.8", "203.0.113.8"),
        ("v1-ipv6", v6, "", "2001:db8::7", "2001:db8::7"),
        // The connection's own address, which is a proxy's.
        ("local", local, "", "127.0.0.1", "127.0.0.1"),
        // A proxy that can't say who its client is does not make it one of its own.
        ("unknown", b"PROXY UNKNOWN\r\n", "X-Forwarded-For: 1.2.3.4", "0.0.0.0", "0.0.0.0"),
        ("no-family", b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", "X-Forwarded-For: 1.2.3.4", "0.0.0.0", "0.0.0.0"),
        // A client is not believed, though a proxy named it; a proxy behind the proxy is.
        ("forged", &text("203.0.113.7"), "X-Forwarded-For: 1.2.3.4", "203.0.113.7", "203.0.113.7"),
        ("chain", &binary([10, 9, 0, 1]), "X-Forwarded-For: 198.51.100.9", "198.51.100.9", "198.51.100.9, 10.9.0.1"),
    ];
    for (name, header, more, client, forwarded) in cases {
        let request = format!("GET /echo\nX-Request-ID: {name}\n{more}");
        let (connection, answer) = ask(&gateway, 1, header, &request).await;
        expect(name, &answer.expect("an answer"), "200");
        assert_eq!(gateway.logged_id(name).await["client"], *client, "{name}");
        assert_eq!(service.last().header("x-forwarded-for").as_deref(), Some(*forwarded), "{name}");
        // For all of the connection.
        expect(
            name,
            &connection.expect("it was answered").send(&format!("GET /echo\nX-Request-ID: {name}-again")).await,
            "200",
        );
        let again = gateway.logged_id(&format!("{name}-again")).await;
        let expected = if *name == "chain" { "10.9.0.1" } else { client };
        assert_eq!(again["client"], expected, "{name}, again");
    }
    // What is counted by client is counted by this one.
    for (client, expectation) in
        [("203.0.113.20", "200"), ("203.0.113.20", "429 rate_limited"), ("203.0.113.21", "200")]
    {
        let (_, answer) = ask(&gateway, 1, &text(client), "GET /rated").await;
        expect(client, &answer.expect("an answer"), expectation);
    }
    assert_eq!(refused(&gateway, "proxy_protocol").await, 0.0);
}

#[tokio::test]
async fn who_announces_nobody_or_may_not_is_closed_and_counted() {
    let (gateway, service) = before("connections: { header: 500ms }").await;
    let good = text("203.0.113.7");
    let cases: &[(u8, &[u8])] = &[
        // Not trusted, whatever it says.
        (2, &good),
        (2, &binary([203, 0, 113, 7])),
        (2, b""),
        // Trusted, and says nothing good.
        (1, b""),
        (1, b"\r\n"),
        (1, b"PROXY TCP4 203.0.113.7\r\n"),
        (1, b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\n"),
        (1, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"),
        (1, b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\x04abcd"),
    ];
    for (n, (last, header)) in cases.iter().enumerate() {
        let (_, answer) = ask(&gateway, *last, header, "GET /echo").await;
        let shown = String::from_utf8_lossy(header);
        assert!(answer.is_none(), "{shown:?}: {answer:?}");
        assert_eq!(refused(&gateway, "proxy_protocol").await, n as f64 + 1.0, "{shown:?}");
    }
    // A second header is a malformed request.
    let (_, answer) = ask(&gateway, 1, &[good.clone(), good.clone()].concat(), "GET /echo").await;
    assert_eq!(answer.map(|answer| answer.status), Some(400));
    // Time is kept.
    for sent in [&b""[..], b"PROXY TCP4 203", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\0"] {
        let before = refused(&gateway, "proxy_protocol").await;
        let mut client = gateway.connect().await;
        client.write(sent).await;
        let took = client.closed().await;
        assert!((Duration::from_millis(450)..Duration::from_secs(3)).contains(&took), "{sent:?}: after {took:?}");
        assert_eq!(refused(&gateway, "proxy_protocol").await, before + 1.0, "{sent:?}");
    }
    // Port checks say nothing, and nothing is said of them.
    let before = refused(&gateway, "proxy_protocol").await;
    let mut client = gateway.connect().await;
    client.finish().await;
    client.closed().await;
    assert_eq!(refused(&gateway, "proxy_protocol").await, before);
    assert!(service.seen().is_empty(), "{:?}", service.seen());
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn clients_behind_a_proxy_have_places_of_their_own() {
    let (gateway, _service) = before("connections: { total: 6, per_client: 1 }").await;
    let mut kept = Vec::new();
    for (header, is_in) in [
        (text("203.0.113.1"), true),
        (binary([203, 0, 113, 1]), false),
        (text("203.0.113.2"), true),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), true),
        (b"PROXY TCP6 2001:db8::2 ::1 1 2\r\n".to_vec(), false),
        (b"PROXY TCP6 ::ffff:203.0.113.2 ::1 1 2\r\n".to_vec(), false),
        (text("10.9.0.1"), true),
        (text("10.9.0.1"), true),
        (b"PROXY UNKNOWN\r\n".to_vec(), true),
    ] {
        let (client, answer) = ask(&gateway, 1, &header, "GET /echo").await;
        assert_eq!(answer.is_some(), is_in, "{:?}", String::from_utf8_lossy(&header));
        kept.extend(client.filter(|_| is_in));
    }
    assert_eq!((refused(&gateway, "client").await, refused(&gateway, "total").await), (3.0, 0.0));
    let (_, answer) = ask(&gateway, 1, &text("203.0.113.9"), "GET /echo").await;
    assert!(answer.is_none(), "six were all");
    assert_eq!(refused(&gateway, "total").await, 1.0);
    kept.clear();
    gateway.counts("hilum_connections", &[], |n| n == 0.0).await;
    let (_, answer) = ask(&gateway, 1, &text("203.0.113.1"), "GET /echo").await;
    expect("given back", &answer.expect("an answer"), "200");
}

#[tokio::test]
async fn without_the_key_a_header_is_a_malformed_request() {
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(ROUTES).env("A", service.url()).conf(PROXIES).start().await;
    for header in [text("203.0.113.7"), binary([203, 0, 113, 7])] {
        let (client, answer) = ask(&gateway, 1, &header, "GET /echo").await;
        assert_eq!(answer.map(|answer| answer.status), Some(400), "{:?}", String::from_utf8_lossy(&header));
        client.expect("it was answered").closed().await;
    }
    assert!(service.seen().is_empty(), "{:?}", service.seen());
    gateway.counts("hilum_rejections_total", &[("reason", "malformed")], |n| n == 2.0).await;
}
