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

/// A service that answers as the last segment of the path says; a number is a status, with JSON.
fn oracle(seen: &Seen) -> Reply {
    match seen.target.rsplit('/').next().unwrap_or_default() {
        "ours" => Reply::json(200, r#"{"institution_id":"r"}"#),
        "theirs" => Reply::json(200, r#"{"institution_id":"x"}"#),
        "nobodys" => Reply::json(200, r#"{"institution_id":null}"#),
        "text" => Reply::new().answer(200, &["Content-Type: application/json"], "<html>"),
        "half" => Reply::new().answer(200, &[], r#"{"institution_id":"r""#),
        "cut" => Reply::new().send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"institution_id\":\"r\"}").close(),
        "huge" => Reply::json(200, format!(r#"{{"institution_id":"r","x":"{}"}}"#, "x".repeat(2000))),
        "garbage" => Reply::new().send("no HTTP at all\r\n\r\n").close(),
        "reset" => Reply::new().reset(),
        "silent" => Reply::new().then(Step::Hang),
        number => Reply::json(number.parse().expect("a status"), r#"{"institution_id":"r"}"#),
    }
}

struct World {
    gateway: Gateway,
    service: Service,
    oracle: Service,
    _gone: Refusing,
}

/// The services `a`, a puppet; `o`, an oracle; and `gone`, where nobody listens.
async fn before_an_oracle(routes: &str) -> World {
    let (service, oracle) = (Service::start(puppet).await, Service::start(oracle).await);
    let gone = Refusing::new();
    let routes = format!(
        r#"version: 1
services:
  a: {{ peers: ["${{A}}"] }}
  o: {{ peers: ["${{O}}"], timeouts: {{ response: 150ms }} }}
  gone: {{ peers: ["${{GONE}}"] }}
{TOKENS}{routes}"#
    );
    let gateway = Gateway::with(&routes).env("A", service.url()).env("O", oracle.url()).env("GONE", gone.url());
    World { gateway: gateway.env("SECRET", SECRET).start().await, service, oracle, _gone: gone }
}

fn bearer(claims: &str) -> String {
    format!("Authorization: Bearer {}", sign_json(&format!(r#"{{"exp":{},{claims}}}"#, now() + 60.0)))
}

#[tokio::test]
async fn a_service_that_is_asked_decides_and_its_outage_is_neither_a_yes_nor_a_no() {
    let World { gateway, service, oracle, _gone } = before_an_oracle(
        r#"
routes:
  - name: doctor
    match: "DELETE /doctors/{id}"
    auth: { token: web, claims: { user_type: institution } }
    limits: { reply: 1KiB }
    require:
      - { unless: claims.metadata.reference_id, reason: claim_missing, message: no institution }
      - { ask: { service: o, path: "/v1/doctors/{id}" }, as: doctor, unless: "doctor.institution_id == claims.metadata.reference_id", reason: not_owner, message: not yours, missing: no such doctor }
    forward: { service: a, path: /echo }
  - name: lazy
    match: "GET /lazy/{id}"
    auth: { token: web }
    require:
      - { ask: { service: o, path: "/v1/lazy/{id}" }, as: it, unless: "claims.user_type == 'patient' or it.institution_id == 'r'", reason: not_owner, missing: none }
    respond: { text: x }
  - name: both
    match: GET /both
    auth: { token: web }
    require:
      - { ask: { service: o, path: /500 }, as: it, unless: "claims.user_type == 'patient' or it.a", reason: not_owner }
      - { unless: not it, reason: not_owner }
    respond: { text: x }
  - name: plain
    match: "GET /plain/{id}"
    auth: { token: web, optional: true }
    require: [{ ask: { service: o, path: "/{id}" }, reason: not_owner, status: 404, message: nothing here }]
    respond: { text: x }
  - name: gone
    match: GET /gone
    auth: { token: web }
    require: [{ ask: { service: gone, path: /x }, reason: not_owner, missing: nothing }]
    forward: { service: a }
"#,
    )
    .await;
    let lazy = |id: &str, by: &str| format!("GET /lazy/{id}\n{by}");
    let mine = bearer(r#""user_type":"institution","user_id":"9","metadata":{"reference_id":"r"}"#);
    let nobodys = bearer(r#""user_type":"institution","metadata":{"reference_id":null}"#);
    let patient = bearer(r#""user_type":"patient","metadata":{"reference_id":"r"}"#);
    let delete =
        |id: &str, by: &str| format!("DELETE /doctors/{id}\n{by}\nX-Team: client\nAccept-Language: es\nCookie: a=b");
    // Nothing is asked that is decided before.
    check(
        &gateway,
        &[
            (&delete("ours", &patient), "403 claim_mismatch"),
            (&delete("ours", &nobodys), "403 claim_missing\n~ no institution"),
            ("DELETE /doctors/ours", "401 token_missing"),
        ],
    )
    .await;
    assert!(oracle.seen().is_empty() && service.seen().is_empty());
    check(
        &gateway,
        &[(&lazy("500", &patient), "200"), (&lazy("404", &patient), "200"), (&lazy("200/x", &patient), "404 no_route")],
    )
    .await;
    assert!(oracle.seen().is_empty(), "what holds whatever the answer is is not asked");
    check(
        &gateway,
        &[
            (&lazy("ours", &mine), "200"),
            (&lazy("theirs", &mine), "403 not_owner"),
            (&lazy("404", &mine), "404 not_found"),
            (&lazy("500", &mine), "503 ask_failed"),
            (&lazy("500", &bearer(r#""user_id":"9""#)), "503 ask_failed"),
        ],
    )
    .await;
    let before = oracle.seen().len();
    check(
        &gateway,
        &[
            (&delete("ours", &mine), "200"),
            (&delete("theirs", &mine), "403 not_owner\n~ not yours"),
            (&delete("nobodys", &mine), "403 not_owner"),
            (&delete("201", &mine), "200"),
            (&delete("404", &mine), "404 not_found\n~ no such doctor"),
            ("GET /plain/200", "200"),
            ("GET /plain/404", "404 not_owner\n~ nothing here"),
        ],
    )
    .await;
    assert_eq!((service.seen().len(), oracle.seen().len() - before), (2, 7), "only what was allowed went on");
    for id in
        ["500", "503", "403", "401", "400", "302", "204", "text", "half", "cut", "huge", "garbage", "reset", "silent"]
    {
        let answer = gateway.send(&delete(id, &mine)).await;
        expect(id, &answer, "503 ask_failed\nretry-after: *\n!~ yours");
    }
    let line = gateway.logged("a failed ask", |line| line["reason"] == "ask_failed").await;
    assert_eq!((line["status"].as_u64(), line["service"].as_str()), (Some(503), Some("o")), "{line}");
    check(&gateway, &[(&format!("GET /gone\n{mine}"), "503 ask_failed")]).await;
    // A later entry reads it, so it is asked all the same.
    check(&gateway, &[(&format!("GET /both\n{patient}"), "503 ask_failed")]).await;
    assert_eq!(service.seen().len(), 2, "nothing that could not be decided went on");
    let asked = &oracle.seen()[before];
    assert_eq!((asked.method.as_str(), asked.target.as_str(), asked.body.len()), ("GET", "/v1/doctors/ours", 0));
    for (name, value) in [
        ("x-user-id", Some("9")),
        ("x-user-type", Some("institution")),
        ("accept", Some("application/json")),
        ("accept-encoding", Some("identity")),
        ("x-team", None),
        ("accept-language", None),
        ("cookie", None),
    ] {
        assert_eq!(asked.header(name).as_deref(), value, "{name}");
    }
    assert!(asked.header("authorization").is_some() && asked.header("x-request-id").is_some());
    let nobody = oracle.seen().into_iter().find(|seen| seen.target == "/200").expect("it was asked for nobody");
    assert_eq!((nobody.header("authorization"), nobody.header("x-user-id")), (None, None));
}

#[tokio::test]
async fn an_owner_may_be_known_by_a_service() {
    let World { gateway, service, oracle, _gone } = before_an_oracle(
        r#"
routes:
  - name: patient
    match: "/patients/{id}/**"
    auth:
      token: web
      when_denied: { else: { redirect: /sign-in } }
      own:
        - { claims: { user_type: patient }, param: id, claim: user_id }
        - { claims: { user_type: doctor }, ask: { service: o, path: "/mine/{id}", is: 200 } }
        - { claims: { user_type: nurse }, ask: { service: gone, path: "/x/{id}" } }
        - { claims: { user_type: nurse }, ask: { service: o, path: "/mine/{id}" } }
    forward: { service: a, path: /echo }
"#,
    )
    .await;
    let by = |user_type: &str| bearer(&format!(r#""user_type":"{user_type}","user_id":"7""#));
    let get = |id: &str, by: &str| format!("GET /patients/{id}/record\n{by}");
    let (patient, doctor, nurse) = (by("patient"), by("doctor"), by("nurse"));
    let denied = "302 not_owner\nlocation: /sign-in";
    check(&gateway, &[(&get("7", &patient), "200"), (&get("8", &patient), denied), (&get("7", &by("admin")), denied)])
        .await;
    assert!(oracle.seen().is_empty(), "claims alone decide these");
    check(
        &gateway,
        &[
            (&get("200", &doctor), "200"),
            (&get("text", &doctor), "200"),
            (&get("404", &doctor), denied),
            (&get("403", &doctor), denied),
            // An outage is no sign-out: it is not redirected.
            (&get("201", &doctor), "503 ask_failed\n!location"),
            (&get("401", &doctor), "503 ask_failed"),
            (&get("500", &doctor), "503 ask_failed"),
            (&get("silent", &doctor), "503 ask_failed"),
            // Two ways: the one that can't be asked says nothing, the other one yes or no.
            (&get("201", &nurse), "200"),
            (&get("404", &nurse), "503 ask_failed"),
        ],
    )
    .await;
    assert_eq!(service.seen().len(), 4, "nobody else reached the service");
}

#[tokio::test]
async fn a_kept_answer_is_asked_for_once_for_each_caller_and_path_and_a_failure_again() {
    let World { gateway, oracle, .. } = &before_an_oracle(
        r#"
routes:
  - name: patient
    match: "GET /patients/{id}"
    auth: { token: web, own: [{ ask: { service: o, path: "/mine/{id}", is: 200, keep: 60s } }] }
    forward: { service: a, path: /echo }
  - name: doctor
    match: "GET /doctors/{id}"
    auth: { token: web }
    require: [{ ask: { service: o, path: "/doctors/{id}", keep: 60s }, as: doctor, unless: "doctor.institution_id == 'r'", reason: not_owner }]
    forward: { service: a, path: /echo }
  - { match: GET /health, auth: public, health: { services: [gone] } }
  - name: fresh
    match: "GET /fresh/{id}"
    auth: { token: web, own: [{ ask: { service: o, path: "/fresh/{id}" } }] }
    forward: { service: a, path: /echo }
"#,
    )
    .await;
    let (one, other) = (bearer(r#""user_id":"1""#), bearer(r#""user_id":"2""#));
    for (path, expectation, calls) in [
        ("/patients/200", "200", 2),
        ("/patients/404", "403 not_owner", 2),
        ("/patients/500", "503 ask_failed", 6),
        ("/patients/silent", "503 ask_failed", 6),
        ("/doctors/ours", "200", 2),
        ("/doctors/theirs", "403 not_owner", 2),
        ("/doctors/404", "403 not_owner", 2),
        ("/doctors/text", "503 ask_failed", 6),
        ("/fresh/200", "200", 6),
    ] {
        let before = oracle.seen().len();
        for by in [&one, &one, &one, &other, &other, &other] {
            expect(path, &gateway.send(&format!("GET {path}\n{by}")).await, expectation);
        }
        assert_eq!(oracle.seen().len() - before, calls, "{path}");
    }
}

#[tokio::test]
async fn a_question_takes_no_longer_than_the_request_may() {
    let silent = Service::always(Reply::new().then(Step::Hang)).await;
    let routes = format!(
        r#"{TOKENS}
routes:
  - name: slow
    match: GET /slow
    auth: {{ token: web }}
    limits: {{ time: 200ms }}
    require: [{{ ask: {{ service: a, path: /x }}, reason: not_owner, missing: none }}]
    respond: {{ text: x }}
"#
    );
    let gateway = before(&silent, &routes).await;
    let slow = format!("GET /slow\nAuthorization: Bearer {}", token("patient"));
    let answer = within("an answer", gateway.send(&slow)).await;
    expect("slow", &answer, "503 ask_failed");
    assert_eq!(silent.seen().len(), 1);
}
