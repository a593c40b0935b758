//! `reply:`: an answer that is read whole and shaped, or becomes our own refusal: never half an answer.

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
routes:
  - name: listed
    match: "/listed/{rest...}"
    auth: public
    forward: { service: a, path: "/{rest}" }
    limits: { reply: 64KiB }
    reply:
      200: { json: { ok: true, data: "{{ body }}" } }
      201: { status: 200, json: { made: "{{ body.id }}", by: "{{ request.body.name }}", in: "{{ params.rest }}", page: "{{ query.page }}" } }
      204: { status: 200, json: { gone: true } }
      404: { status: 410, json: { message: "{{ body.detail or 'nothing' }}", code: "{{ status }}" } }
  - name: otherwise
    match: "/otherwise/{rest...}"
    auth: public
    forward: { service: a, path: "/{rest}" }
    reply:
      200: { json: "{{ body }}" }
      else: { json: { message: "{{ body.detail or 'default text' }}", code: "{{ status }}" } }
"#;

/// What the service answers, what the client asks with, and what it gets.
async fn answers(cases: &[(Reply, &str, &str)]) {
    for (reply, request, expectation) in cases {
        let service = Service::always(reply.clone()).await;
        let gateway = before(&service, ROUTES).await;
        check(&gateway, &[(request, expectation)]).await;
    }
}

#[tokio::test]
async fn the_status_of_the_service_chooses_the_shape() {
    answers(&[
        (
            Reply::json(200, r#"{"a":1}"#),
            "GET /listed/x",
            "200\ncontent-type: application/json\n= {\"ok\":true,\"data\":{\"a\":1}}",
        ),
        (
            Reply::json(201, r#"{"id":"n1"}"#),
            "POST /listed/x/y?page=2\nContent-Type: application/json\n\n{\"name\":\"Ñ\"}",
            r#"200
            {"made":"n1","by":"Ñ","in":"x/y","page":"2"}"#,
        ),
        (Reply::new().send("HTTP/1.1 204 No Content\r\n\r\n"), "GET /listed/x", "200\n{\"gone\":true}"),
        (Reply::json(404, r#"{"detail":"no such"}"#), "GET /listed/x", "410\n{\"message\":\"no such\",\"code\":404}"),
        (Reply::json(404, "<html>"), "GET /listed/x", "410\n{\"message\":\"nothing\",\"code\":404}"),
        // An unlisted status passes as it is.
        (
            Reply::new().answer(418, &["X-Pot: tea", "Content-Type: text/x"], "tea"),
            "GET /listed/x",
            "418\nx-pot: tea\ncontent-type: text/x\n= tea",
        ),
        (Reply::json(500, r#"{"detail":"broken"}"#), "GET /otherwise/x", "500\n{\"message\":\"broken\",\"code\":500}"),
        (Reply::json(503, "<html>busy</html>"), "GET /otherwise/x", "503\n{\"message\":\"default text\",\"code\":503}"),
        (
            Reply::new().answer(302, &["Location: /elsewhere"], ""),
            "GET /otherwise/x",
            "302\nlocation: /elsewhere\n{\"message\":\"default text\",\"code\":302}",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_body_that_is_passed_on_unread_is_not_rebuilt() {
    let odd = r#"{"big":123456789012345678901234567890, "exact":1.10,"e":1E400, "dup":1,"dup":2, "z":"\u00e9"}"#;
    answers(&[
        (Reply::json(200, odd), "GET /listed/x", &format!("200\n= {{\"ok\":true,\"data\":{odd}}}")),
        (Reply::json(200, format!("\n  {odd}\n")), "GET /otherwise/x", &format!("200\n= {odd}")),
        (Reply::json(200, "[]"), "GET /otherwise/x", "200\n= []"),
        (Reply::json(200, "7"), "GET /otherwise/x", "200\n= 7"),
    ])
    .await;
}

#[tokio::test]
async fn a_success_that_can_not_be_used_is_our_502() {
    let large = format!("\"{}\"", "x".repeat(64 * 1024));
    let in_chunks = Reply::new().chunked(&[]).chunk(&large).last_chunk();
    answers(&[
        (
            Reply::json(200, "<html>"),
            "GET /listed/x",
            "502 peer_garbage\ncontent-type: application/problem+json\n!~ html",
        ),
        (Reply::json(200, r#"{"cut":"#), "GET /otherwise/x", "502 peer_garbage"),
        (Reply::json(200, ""), "GET /listed/x", "502 peer_garbage"),
        (
            Reply::new().send("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}").close(),
            "GET /listed/x",
            "502 peer_garbage",
        ),
        (Reply::json(200, &large), "GET /listed/x", "502 peer_garbage"),
        (in_chunks, "GET /listed/x", "502 peer_garbage"),
        (
            Reply::json(201, "[]"),
            "POST /listed/x\n\nno json",
            "200\n{\"made\":null,\"by\":null,\"in\":\"x\",\"page\":null}",
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_service_is_asked_for_a_body_that_can_be_read() {
    let service = Service::always(Reply::new().answer(
        200,
        &[
            "ETag: \"1\"",
            "Last-Modified: Thu, 01 Jan 1970 00:00:10 GMT",
            "Accept-Ranges: bytes",
            "X-Own: 1",
            "Cache-Control: max-age=5",
        ],
        "{}",
    ))
    .await;
    let gateway = before(&service, ROUTES).await;
    let conditional = "Accept-Encoding: gzip, br\nIf-None-Match: \"1\"\nIf-Match: \"1\"\nIf-Modified-Since: x\nIf-Unmodified-Since: x\nIf-Range: x\nRange: bytes=0-1\nAccept: text/x";
    let asked = "Accept-Encoding: identity\nAccept: text/x\n!If-None-Match\n!If-Match\n!If-Modified-Since\n!If-Unmodified-Since\n!If-Range\n!Range\nX-Request-ID: *\nTraceparent: *\nX-Forwarded-For: 127.0.0.1";
    sees(
        &gateway,
        &service,
        &[
            (&format!("GET /listed/x?y=1\n{conditional}"), &format!("GET /x\n{asked}")),
            (&format!("HEAD /listed/x\n{conditional}"), &format!("GET /x\n{asked}\n!Content-Length")),
            (
                "POST /listed/x\nTransfer-Encoding: chunked\n\n2\r\n{}\r\n0\r\n\r\n",
                "POST /x\nContent-Length: 2\n!Transfer-Encoding",
            ),
            ("POST /listed/x\nExpect: 100-continue\n\n{}", "POST /x\nContent-Length: 2\n!Expect"),
        ],
    )
    .await;
    let answer = "200\n{\"ok\":true,\"data\":{}}\n!ETag\n!Last-Modified\n!Accept-Ranges\n!Content-Encoding\nx-own: 1\ncache-control: max-age=5\ncontent-length: 21";
    check(
        &gateway,
        &[("GET /listed/x", answer), ("HEAD /listed/x", "200\n=\ncontent-length: 21\ncontent-type: application/json")],
    )
    .await;
}

#[tokio::test]
async fn a_body_that_is_encoded_unasked_is_never_taken_for_plain() {
    let zipped = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let service = Service::always(Reply::new().answer(
        418,
        &["Content-Encoding: gzip", "Content-Type: application/json"],
        zipped,
    ))
    .await;
    let gateway = before(&service, ROUTES).await;
    let answer = gateway.send("GET /listed/x").await;
    let told = answer.header("content-encoding").as_deref() == Some("gzip") && answer.body == zipped;
    assert!(told || answer.reason() == "peer_garbage", "{answer:?}");
}
