//! Who may call: nobody in particular, owners, whoever a service says may.

use crate::harness::*;
use crate::world::*;

#[tokio::test]
async fn a_caller_without_a_token_is_nobody_where_the_token_is_optional_and_a_bad_one_is_refused() {
    let routes = format!(
        r#"{TOKENS}
routes:
  - {{ match: GET /greet, auth: {{ token: web, optional: true }}, forward: {{ service: a, path: "/echo/{{claims.user_id:-nobody}}" }} }}
  - {{ match: GET /who, auth: {{ token: web, optional: true }}, respond: {{ json: {{ id: "{{{{ claims.user_id }}}}" }} }} }}
  - {{ match: POST /greet, auth: {{ token: web, optional: true }}, forward: {{ service: a, path: /echo }} }}
"#
    );
    let (gateway, service) = before_a_puppet(&routes).await;
    let cookie = format!("Cookie: jwt={}", token("patient"));
    let bearer = format!("Authorization: Bearer {}", token("patient"));
    sees(
        &gateway,
        &service,
        &[
            ("GET /greet", "GET /echo/nobody\n!x-user-id\n!authorization"),
            ("GET /greet\nX-User-ID: 1", "GET /echo/nobody\n!x-user-id"),
            (&format!("GET /greet\n{cookie}"), "GET /echo/7\nx-user-id: 7\nauthorization: *"),
            (&format!("GET /greet\n{bearer}"), "GET /echo/7\nx-user-id: 7"),
            ("POST /greet\nOrigin: https://evil.example\nContent-Length: 0", "POST /echo\n!x-user-id"),
        ],
    )
    .await;
    let before = service.seen().len();
    check(
        &gateway,
        &[
            ("GET /who", "200\n{\"id\":null}\ncache-control: private, no-store"),
            (&format!("GET /who\n{cookie}"), "200\n{\"id\":\"7\"}"),
            ("GET /greet\nCookie: jwt=a.b.c", "401 token_invalid"),
            (&format!("GET /greet\nAuthorization: Bearer a.b.c\n{cookie}"), "401 token_invalid"),
            (&format!("GET /greet\n{cookie}; jwt=x"), "401 token_invalid"),
            (&format!("POST /greet\n{cookie}\nOrigin: https://evil.example\nContent-Length: 0"), "403 csrf_rejected"),
        ],
    )
    .await;
    assert_eq!(service.seen().len(), before, "no refused caller reached the service");
}

#[tokio::test]
async fn roles_are_where_the_token_says() {
    let tokens = TOKENS.replace("    identity:", "    roles: realm_access.roles\n    identity:");
    let routes = format!(
        "{tokens}routes:\n  - {{ match: GET /ward, auth: {{ token: web, roles: [nurse, doctor] }}, forward: {{ service: a, path: /echo }} }}\n"
    );
    let (gateway, _service) = before_a_puppet(&routes).await;
    let with = |claims: &str| {
        let exp = now() + 60.0;
        format!("GET /ward\nAuthorization: Bearer {}", sign_json(&format!("{{\"exp\":{exp},{claims}}}")))
    };
    check(
        &gateway,
        &[
            (&with(r#""realm_access":{"roles":["a","nurse"]}"#), "200"),
            (&with(r#""realm_access":{"roles":"doctor"}"#), "200"),
            (&with(r#""realm_access":{"roles":["patient"]},"roles":["nurse"]"#), "403 role_missing"),
            (&with(r#""roles":["nurse"]"#), "403 role_missing"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_a_route_requires_is_decided_in_order_and_refused_as_it_says() {
    let routes = format!(
        r#"{TOKENS}
routes:
  - name: record
    match: "GET /records/{{id}}"
    auth: {{ token: web, when_denied: {{ claim_missing: {{ redirect: /sign-in }} }} }}
    messages: {{ claim_mismatch: from messages }}
    require:
      - {{ unless: claims.metadata, reason: claim_missing }}
      - {{ unless: claims.metadata.reference_id, status: 422, reason: value_missing, message: no institution }}
      - {{ unless: "query.ward == claims.metadata.ward", reason: claim_mismatch }}
      - {{ unless: "params.id in claims.metadata.patients", status: 404, reason: not_owner, message: there is none }}
    forward: {{ service: a, path: /echo }}
  - name: open
    match: GET /open
    auth: public
    require: [{{ unless: "query.key|length == 3", reason: value_missing }}]
    forward: {{ service: a, path: /echo }}
"#
    );
    let (gateway, service) = before_a_puppet(&routes).await;
    let with = |target: &str, metadata: &str| {
        let exp = now() + 60.0;
        format!(
            "GET {target}\nAuthorization: Bearer {}",
            sign_json(&format!(r#"{{"exp":{exp},"metadata":{metadata}}}"#))
        )
    };
    let good = r#"{"reference_id":"r","ward":"w","patients":["7","a b"]}"#;
    check(
        &gateway,
        &[
            (&with("/records/7?ward=w", good), "200"),
            (&with("/records/a%20b?ward=w", good), "200"),
            (&with("/records/8?ward=w", good), "404 not_owner\n~ there is none"),
            (&with("/records/7?ward=x", good), "403 claim_mismatch\n~ from messages"),
            (&with("/records/7", good), "403 claim_mismatch"),
            // Neither the query nor the token names a ward: nothing is not equal to nothing.
            (&with("/records/7", r#"{"reference_id":"r","patients":["7"]}"#), "403 claim_mismatch"),
            (&with("/records/7", r#"{"reference_id":"r","ward":null,"patients":["7"]}"#), "403 claim_mismatch"),
            (&with("/records/7?ward=w", r#"{"reference_id":"","ward":"w"}"#), "422 value_missing\n~ no institution"),
            (&with("/records/7?ward=w", r#"{"reference_id":"r","ward":"w"}"#), "404 not_owner"),
            (&with("/records/7?ward=w", r#"{"reference_id":"r","ward":"w","patients":7}"#), "404 not_owner"),
            (&with("/records/7?ward=w", "null"), "302 claim_missing\nlocation: /sign-in"),
            ("GET /records/7?ward=w", "401 token_missing"),
            ("GET /open?key=abc", "200"),
            ("GET /open?key=ab", "400 value_missing"),
            ("GET /open", "400 value_missing"),
        ],
    )
    .await;
    assert_eq!(service.seen().len(), 3, "no refused request reached the service");
}
