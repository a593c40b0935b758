//! What is too large to be looked at: one byte or line less is taken, and the service sees nothing of the rest.

use crate::harness::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_has_a_size_that_it_may_not_pass() {
    let (gateway, service) = before_a_puppet("routes: [{ match: /**, auth: public, forward: { service: a } }]\n").await;
    let target = |bytes: usize| format!("GET /echo/{}", "a".repeat(bytes - "/echo/".len()));
    // `Host: hilum.test` is the line that the harness adds, 18 bytes with its end.
    let lines = |count: usize| (1..count).map(|n| format!("\nX-{n}: 1")).collect::<String>();
    let block =
        |bytes: usize| format!("GET /echo\nX-Long: {}", "a".repeat(bytes - "/echo".len() - 18 - "X-Long: ".len() - 2));
    let good = [target(8 * 1024), format!("GET /echo{}", lines(100)), block(16 * 1024)];
    let bad = [
        (target(8 * 1024 + 1), "414 target_too_long"),
        (format!("GET /echo{}", lines(101)), "431 headers_too_large"),
        (block(16 * 1024 + 1), "431 headers_too_large"),
        (format!("{}\nX-Long: {}", target(8 * 1024), "a".repeat(9 * 1024)), "431 headers_too_large"),
    ];
    for request in &good {
        check(&gateway, &[(request, "200")]).await;
    }
    for (request, expectation) in &bad {
        check(&gateway, &[(request, expectation)]).await;
        // The connection is as good as before.
        let mut client = gateway.connect().await;
        expect(expectation, &client.send(request).await, expectation);
        expect("the next one", &client.send("GET /echo").await, "200");
    }
    assert_eq!(service.seen().len(), good.len() + bad.len());
}

/// Each alone, with the request behind it that a second reader would find in its body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_end_is_ambiguous_is_refused_and_ends_the_connection() {
    let (gateway, service) = before_a_puppet("routes: [{ match: /**, auth: public, forward: { service: a } }]\n").await;
    for lines in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5\nX: 1\r\n",
    ] {
        let mut client = gateway.connect().await;
        let smuggled = "GET /echo/smuggled HTTP/1.1\r\nHost: hilum.test\r\n\r\n";
        client
            .write(format!("POST /echo HTTP/1.1\r\nHost: hilum.test\r\n{lines}\r\n0\r\n\r\n{smuggled}").as_bytes())
            .await;
        let answer = client.read(false).await;
        assert_eq!(answer.status, 400, "{lines:?}: {answer:?}");
        assert!(["", "framing_rejected"].contains(&&*answer.reason()), "{lines:?}: {answer:?}");
        client.closed().await;
    }
    check(&gateway, &[("POST /echo\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n", "200")]).await;
    assert_eq!(service.seen().len(), 1, "{:?}", service.seen());
}
