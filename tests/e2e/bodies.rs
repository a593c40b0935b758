//! Bodies and framing: HEAD, interim answers, chunks, large bodies, limits, and connections that stay.

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
routes:
  - { name: here, match: /here, auth: public, respond: { text: here } }
  - { name: only-get, match: GET /only-get, auth: public, respond: { text: here } }
  - { name: none, match: /none, auth: public, respond: { status: 204 } }
  - { name: buffered, match: "/b/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, reply: { 418: { json: {} } }, limits: { body: 9MiB, reply: 9MiB } }
  - { name: small, match: "/small/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { body: 1KiB } }
  - { name: small-buffered, match: "/small-b/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, reply: { 418: { json: {} } }, limits: { body: 1KiB } }
  - { name: streamed, match: "/s/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { body: 9MiB } }
"#;

#[tokio::test]
async fn head_is_get_without_a_body() {
    let (gateway, service) = before_a_puppet(ROUTES).await;
    let mut client = gateway.connect().await;
    for (request, expectation) in [
        ("HEAD /here", "200\ncontent-length: 4\n="),
        ("HEAD /only-get", "200\ncontent-length: 4\n="),
        ("HEAD /none", "204\n="),
        ("HEAD /s/body/10", "200\ncontent-length: 10\n="),
        ("HEAD /b/body/10", "200\ncontent-length: 10\n="),
        ("HEAD /s/chunked", "200\n="),
        ("HEAD /b/chunked", "200\ncontent-length: 13\n="),
        ("HEAD /missing", "404 no_route\ncontent-length: *\n="),
        // Nothing of those bodies came: the connection is still in step.
        ("GET /here", "200\n= here"),
    ] {
        expect(request, &client.send(request).await, expectation);
    }
    let methods: Vec<_> = service.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    assert_eq!(
        methods,
        ["HEAD /body/10", "GET /body/10", "HEAD /chunked", "GET /chunked"],
        "a buffered route asks with GET"
    );
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    let (gateway, _service) = before_a_puppet(ROUTES).await;
    for path in ["/s/continue", "/b/echo"] {
        let mut client = gateway.connect().await;
        client.write(&message(&format!("POST {path}\nExpect: 100-continue\nContent-Length: 5"))).await;
        client.until("HTTP/1.1 100 Continue\r\n\r\n").await;
        client.write(b"hello").await;
        expect(path, &client.read(false).await, "200\n~ \"body\":\"hello\"");
    }
    // Who is refused is told so without having to send the body.
    for (request, expectation) in [
        ("POST /nowhere\nExpect: 100-continue\nContent-Length: 5", "404 no_route"),
        ("POST /small/echo\nExpect: 100-continue\nContent-Length: 5000", "413 body_too_large"),
        ("POST /small-b/echo\nExpect: 100-continue\nContent-Length: 5000", "413 body_too_large"),
    ] {
        let answer = gateway.send(request).await;
        expect(request, &answer, expectation);
        assert!(answer.interim.is_empty(), "{request}: {answer:?}");
    }
}

#[tokio::test]
async fn chunked_bodies_pass_in_both_directions() {
    let (gateway, service) = before_a_puppet(ROUTES).await;
    for path in ["/s", "/b"] {
        let mut client = gateway.connect().await;
        let head = format!("POST {path}/echo\nTransfer-Encoding: chunked");
        client.write(&message(&head)).await;
        client.write(b"3\r\nabc\r\n").await;
        if path == "/s" {
            // It is passed on as it comes: the service has the head before the body is complete.
            service.has_seen(1).await;
        }
        client.write(b"4;x=y\r\ndefg\r\n0\r\n\r\n").await;
        expect(path, &client.read(false).await, "200\n~ \"body\":\"abcdefg\"");
        expect(path, &client.send(&format!("GET {path}/chunked")).await, "200\n= one two three");
    }
}

#[tokio::test]
async fn eight_mebibytes_arrive_whole_in_both_directions() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let (gateway, service) = before_a_puppet(ROUTES).await;
    let whole: Vec<u8> = b"0123456789abcdefghijklmnopqrstuvwxy\n".iter().copied().cycle().take(LENGTH).collect();
    for path in ["/s", "/b"] {
        let mut client = gateway.connect().await;
        let down = client.send(&format!("GET {path}/body/{LENGTH}")).await;
        assert!(down.complete && down.body == whole, "{path}: {} of {LENGTH}", down.body.len());
        client.write(&message(&format!("POST {path}/status/201\nContent-Length: {LENGTH}"))).await;
        client.write(&whole).await;
        expect(path, &client.read(false).await, "201");
        assert!(service.last().body == whole, "{path}: {} of {LENGTH}", service.last().body.len());
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_however_it_is_framed() {
    let (gateway, service) = before_a_puppet(ROUTES).await;
    let (fits, large) = ("x".repeat(1024), "x".repeat(1025));
    let chunked = |body: &str| format!("Transfer-Encoding: chunked\n\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for path in ["/small/echo", "/small-b/echo"] {
        check(
            &gateway,
            &[
                (&format!("POST {path}\n\n{fits}"), "200"),
                (&format!("POST {path}\n{}", chunked(&fits)), "200"),
                (&format!("POST {path}\n\n{large}"), "413 body_too_large"),
                (&format!("POST {path}\n{}", chunked(&large)), "413 body_too_large"),
            ],
        )
        .await;
    }
    assert!(service.seen().iter().all(|seen| seen.body.len() <= 1024), "more than the limit went on");
}

#[tokio::test]
async fn a_connection_stays_open_over_answers_of_our_own() {
    let (gateway, _service) = before_a_puppet(ROUTES).await;
    let mut client = gateway.connect().await;
    for (request, expectation) in [
        ("GET /here", "200\n= here"),
        ("GET /nowhere", "404 no_route"),
        ("POST /only-get\n\nunread", "405 method_not_allowed\nallow: GET, HEAD"),
        ("POST /here\n\nunread", "200\n= here"),
        ("GET /none", "204"),
        ("GET /a/../b", "400 path_rejected"),
        (&format!("POST /small/echo\n\n{}", "x".repeat(2000)), "413 body_too_large"),
        ("GET /s/echo", "200"),
        ("GET /b/status/404", "404"),
        ("GET /here", "200\n= here"),
    ] {
        let answer = client.send(request).await;
        expect(request, &answer, expectation);
        assert_ne!(answer.header("connection").as_deref(), Some("close"), "{request}");
    }
    assert_eq!(gateway.metrics().await.sum("hilum_connections", &[]), 1.0);
    expect("close", &client.send("GET /here\nConnection: close").await, "200\nconnection: close");
    client.closed().await;
    expect("1.0", &gateway.send("GET /here HTTP/1.0").await, "200\nconnection: close\n= here");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (gateway, _service) = before_a_puppet(ROUTES).await;
    let mut client = gateway.connect().await;
    let requests = [
        "GET /s/slow-head/100",
        "GET /here",
        "POST /s/echo\n\nhello",
        "GET /nowhere",
        "GET /b/status/404",
        "GET /s/body/3",
    ];
    let all: Vec<u8> = requests.iter().flat_map(|request| message(request)).collect();
    client.write(&all).await;
    for (request, expectation) in
        requests.iter().zip(["200\n= late", "200\n= here", "200\n~ hello", "404 no_route", "404", "200\n= 012"])
    {
        expect(request, &client.read(false).await, expectation);
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_arrives() {
    let (gateway, _service) = before_a_puppet(ROUTES).await;
    let large = "x".repeat(4 * 1024 * 1024);
    // Ours: the connection is closed in a way that leaves the client the answer.
    let mut client = gateway.connect().await;
    client.write(&message(&format!("POST /nowhere\nContent-Length: {}", large.len()))).await;
    client.try_write(&large.as_bytes()[..1024 * 1024]).await;
    expect("ours", &client.read(false).await, "404 no_route\nconnection: close");
    client.closed().await;
    // The service's, which closes without having read.
    for path in ["/s/early/403", "/b/early/403"] {
        let mut client = gateway.connect().await;
        client.write(&message(&format!("POST {path}\nContent-Length: {}", large.len()))).await;
        client.try_write(large.as_bytes()).await;
        expect(path, &client.read(false).await, "403\n= early");
    }
}

/// A read may end anywhere, in the middle of a chunk's size too.
#[tokio::test]
async fn chunks_that_come_in_pieces_are_one_body() {
    let (gateway, service) = before_a_puppet(ROUTES).await;
    let body = "5\r\nhello\r\nb;a=1\r\n to a world\r\n0\r\nX-A: 1\r\n\r\n";
    for path in ["/s", "/b"] {
        for cut in 0..body.len() {
            let seen = service.seen().len();
            let mut client = gateway.connect().await;
            let (first, second) = body.split_at(cut);
            client.write(&message(&format!("POST {path}/echo\nTransfer-Encoding: chunked\n\n{first}"))).await;
            // A request that is read whole goes on when it is whole; there is nothing to wait for.
            if path == "/s" {
                service.has_seen(seen + 1).await;
            }
            client.write(second.as_bytes()).await;
            expect(&format!("{path} {cut}"), &client.read(false).await, "200\n~ \"body\":\"hello to a world\"");
        }
    }
}

#[tokio::test]
async fn two_framings_reach_no_service() {
    let (gateway, service) = before_a_puppet(ROUTES).await;
    for path in ["/s", "/b"] {
        // Pingora would take the chunks (RFC 9112, 6.3); another program before us may have taken the length.
        let mut client = gateway.connect().await;
        let smuggled = "5\r\nhello\r\n0\r\n\r\nGET /s/smuggled HTTP/1.1\r\nHost: hilum.test\r\n\r\n";
        let request = format!("POST {path}/echo\nContent-Length: 3\nTransfer-Encoding: chunked\n\n{smuggled}");
        client.write(&message(&request)).await;
        expect(path, &client.read(false).await, "400 framing_rejected\nconnection: close");
        client.closed().await;
    }
    assert!(service.seen().is_empty(), "{:?}", service.seen());
}
