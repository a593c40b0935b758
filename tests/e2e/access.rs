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
