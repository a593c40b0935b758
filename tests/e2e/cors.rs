//! Cross-origin requests, preflights, and requests that find no route or no method.

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
routes:
  - group: api
    path: /api
    auth: { token: web }
    cors: { origins: ["https://portal.test"], credentials: true, max_age: 10m }
    errors: { else: { json: { in: api, reason: "{{ reason }}" } } }
    routes:
      - { name: read, match: GET /thing, forward: { service: a } }
      - { name: write, match: POST /thing, forward: { service: a } }
      - { name: other, match: "PUT /other/{id}", forward: { service: a } }
  - name: everybody
    match: /open
    auth: public
    cors: { origins: "*" }
    respond: { text: open }
  - { name: none, match: GET /none, auth: public, respond: { text: none } }
"#;
const PREFLIGHT: &str = "Access-Control-Request-Method: POST\nAccess-Control-Request-Headers: x-b, x-a";

#[tokio::test]
async fn a_preflight_needs_no_token_and_is_routed_by_the_asked_method() {
    let (gateway, service) = before_a_puppet(&[TOKENS, ROUTES].concat()).await;
    let ours = format!("OPTIONS /api/thing\nOrigin: https://portal.test\n{PREFLIGHT}");
    let foreign = format!("OPTIONS /api/thing\nOrigin: https://evil.test\n{PREFLIGHT}");
    let put = "OPTIONS /api/other/7\nOrigin: https://portal.test\nAccess-Control-Request-Method: PUT";
    let open = format!("OPTIONS /open\nOrigin: https://any.test\n{PREFLIGHT}");
    let no_cors = "OPTIONS /none\nOrigin: https://portal.test\nAccess-Control-Request-Method: GET";
    let no_method = "OPTIONS /api/thing\nOrigin: https://portal.test\nAccess-Control-Request-Method: DELETE";
    check(
        &gateway,
        &[
            (
                &ours,
                "200\naccess-control-allow-origin: https://portal.test\naccess-control-allow-credentials: true\naccess-control-allow-methods: *POST*\n\
                 access-control-allow-headers: x-a, x-b\naccess-control-max-age: 600\nvary: Origin\n=",
            ),
            (&foreign, "200\n!access-control-allow-origin\n!access-control-allow-methods\nvary: Origin"),
            (put, "200\naccess-control-allow-origin: https://portal.test"),
            (&open, "200\naccess-control-allow-origin: *\n!access-control-allow-credentials\n!vary"),
            (no_cors, "405 method_not_allowed\nallow: GET, HEAD\n!access-control-allow-origin"),
            (no_method, "405 method_not_allowed\nallow: *GET*"),
            // Not a preflight: an `OPTIONS` like any other method.
            ("OPTIONS /api/thing", "405 method_not_allowed"),
            ("OPTIONS /api/thing\nOrigin: https://portal.test", "405 method_not_allowed"),
            ("OPTIONS /nowhere\nOrigin: https://portal.test\nAccess-Control-Request-Method: GET", "404 no_route"),
        ],
    )
    .await;
    assert!(service.seen().is_empty(), "no preflight reaches a service");
}

#[tokio::test]
async fn who_may_read_is_said_on_answers_and_refusals() {
    let service = Service::always(Reply::new().answer(
        200,
        &["Access-Control-Allow-Origin: https://evil.test", "Access-Control-Expose-Headers: x", "Vary: Accept"],
        "ok",
    ))
    .await;
    let gateway = before(&service, &[TOKENS, ROUTES].concat()).await;
    let bearer = format!("Authorization: Bearer {}", token("patient"));
    let ours = format!("GET /api/thing\nOrigin: https://portal.test\n{bearer}");
    let foreign = format!("GET /api/thing\nOrigin: https://evil.test\n{bearer}");
    let null = format!("GET /api/thing\nOrigin: null\n{bearer}");
    let readable =
        "access-control-allow-origin: https://portal.test\naccess-control-allow-credentials: true\nvary: *Origin*";
    check(
        &gateway,
        &[
            (&ours, &format!("200\n{readable}\nvary: Accept, Origin\n= ok")),
            (&foreign, "200\n!access-control-allow-origin\n!access-control-expose-headers\nvary: *Origin*"),
            (&null, "200\n!access-control-allow-origin"),
            ("GET /api/thing\nOrigin: https://portal.test", &format!("401 token_missing\n{readable}")),
            ("GET /open\nOrigin: https://any.test", "200\naccess-control-allow-origin: *\n= open"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_not_found_looks_as_its_part_of_the_file_says() {
    let (gateway, _service) = before_a_puppet(&[TOKENS, ROUTES].concat()).await;
    let problem = "content-type: application/problem+json";
    check(
        &gateway,
        &[
            ("GET /nowhere", &format!("404 no_route\n{problem}\n~ \"reason\":\"no_route\"")),
            ("GET /apix", &format!("404 no_route\n{problem}")),
            (
                "GET /api",
                r#"404 no_route
                {"in":"api","reason":"no_route"}"#,
            ),
            (
                "GET /api/deep/er",
                r#"404 no_route
                {"in":"api","reason":"no_route"}"#,
            ),
            (
                "DELETE /api/thing",
                r#"405 method_not_allowed
                allow: GET, HEAD, POST
                {"in":"api","reason":"method_not_allowed"}"#,
            ),
            ("POST /none", &format!("405 method_not_allowed\nallow: GET, HEAD\n{problem}")),
            ("GET /none/", "404 no_route"),
            ("TRACE /none", "405 method_not_allowed\nallow: GET, HEAD"),
            ("BREW /none", "405 method_not_allowed"),
            ("get /none", "405 method_not_allowed"),
        ],
    )
    .await;
    gateway.counts("hilum_rejections_total", &[("reason", "method_not_allowed")], |n| n == 5.0).await;
}
