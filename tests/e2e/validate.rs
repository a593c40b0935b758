//! Bodies: what they must be before a service is asked, and what is sent in their place.

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
routes:
  - name: people
    match: POST /people/{id}
    auth: public
    forward: { service: a, path: /echo }
    limits: { body: 1KiB }
    rate: [{ allow: 1/1h, key: { body: mail } }]
    validate:
      - { body: object, message: Datos requeridos }
      - { require: [name, address.city], message: "Campo requerido: {{ field }}" }
      - { unless: "request.body.mail is matching('[^@ ]+@[^@ ]+')", message: Correo inválido }
      - { unless: "request.body.born|timestamp < now and params.id != '0' and query.dry is not defined", message: Fecha inválida }
      - { schema: schemas/person.json, message: Formato inválido }
    errors: { body_invalid: { json: { status: error, message: "{{ message }}", code: "{{ status }}" } } }
  - name: plain
    match: /plain
    auth: public
    forward: { service: a, path: /echo }
    validate: [{ require: [name] }]
  - name: read
    match: GET /read
    auth: public
    forward: { service: a, path: /echo }
    validate: [{ unless: "query.page is matching('[0-9]{1,4}')", message: Página }]
  - name: own
    match: POST /own
    auth: { token: web }
    respond: { json: { name: "{{ request.body.name }}", by: "{{ claims.user_id }}" } }
    validate: [{ unless: request.body.by == claims.user_id }]
    messages: { body_invalid: Solo lo propio }
"#;

fn post(path: &str, body: &str) -> String {
    format!("POST {path}\nContent-Type: application/json\n\n{body}")
}

async fn start() -> (Gateway, Service) {
    let service = Service::start(puppet).await;
    let routes = format!("version: 1\nservices: {{ a: {{ peers: [\"${{A}}\"] }} }}\n{TOKENS}{ROUTES}");
    let schema = r##"{ "properties": { "name": { "$ref": "#/$defs/name" } }, "$defs": { "name": { "type": "string", "maxLength": 5 } } }"##;
    let gateway = Gateway::with(&routes)
        .file("schemas/person.json", schema)
        .env("A", service.url())
        .env("SECRET", SECRET)
        .env("RUST_LOG", "trace")
        .start()
        .await;
    (gateway, service)
}

#[tokio::test]
async fn the_first_entry_that_does_not_hold_refuses_and_no_service_hears_of_it() {
    let (gateway, service) = start().await;
    let told = |text: &str| format!("400 body_invalid\n{{\"status\":\"error\",\"message\":\"{text}\",\"code\":400}}");
    let good = r#"{"name":"Ana","address":{"city":"Lima"},"mail":"ana@example.org","born":"1990-05-12T00:00:00Z"}"#;
    let but = |from: &str, to: &str| post("/people/7", &good.replace(from, to));
    for (request, expectation) in [
        (post("/people/7", ""), told("Datos requeridos")),
        ("POST /people/7\nContent-Length: 0".to_owned(), told("Datos requeridos")),
        (post("/people/7", "[]"), told("Datos requeridos")),
        (post("/people/7", "{\"name\":\"canary-body"), told("Datos requeridos")),
        (but(r#""name":"Ana""#, r#""name":"Ana","name":"Eva""#), told("Datos requeridos")),
        (but("\"Ana\"", "\"\""), told("Campo requerido: name")),
        (but("\"Lima\"", "null"), told("Campo requerido: address.city")),
        (but("ana@example.org", "canary-body"), told("Correo inválido")),
        (but("1990", "3990"), told("Fecha inválida")),
        (post("/people/0", good), told("Fecha inválida")),
        (post("/people/7?dry=1", good), told("Fecha inválida")),
        (but("Ana", "Anastasia"), told("Formato inválido")),
        (but("Ana", &"x".repeat(2000)), "413 body_too_large".to_owned()),
        (format!("POST /people/7\nContent-Type: text/plain\n\n{good}"), "415 content_type".to_owned()),
        (format!("POST /people/7\n\n{good}"), "415 content_type".to_owned()),
        // None of these was counted. The good one is, and its body arrives as it was sent.
        (post("/people/7", &format!(" {good}\n")), format!("200\n~ {}", serde_json::json!(format!(" {good}\n")))),
        (post("/people/7", good), "429 rate_limited\nretry-after: *".to_owned()),
        // Without a message of its own.
        (post("/plain", "{}"), "400 body_invalid\n~ The field name is missing.".to_owned()),
        (post("/plain", r#"{"name":7}"#), "200".to_owned()),
        ("GET /plain".to_owned(), "400 body_invalid".to_owned()),
        ("GET /read?page=12".to_owned(), "200".to_owned()),
        ("GET /read?page=12;".to_owned(), "400 body_invalid\n~ Página".to_owned()),
        ("GET /read".to_owned(), "400 body_invalid\n~ Página".to_owned()),
    ] {
        expect(&request, &gateway.send(&request).await, &expectation);
    }
    assert_eq!(service.seen().len(), 3, "what is refused reaches no service");
    assert!(!gateway.stderr().contains("canary-body"), "no log holds a body:\n{}", gateway.stderr());
    let refused = gateway.metrics().await.sum("hilum_rejections_total", &[("reason", "body_invalid")]);
    assert_eq!(refused, 16.0);
}

#[tokio::test]
async fn an_answer_of_our_own_is_given_only_for_a_good_body() {
    let (gateway, _service) = start().await;
    let bearer = format!("Authorization: Bearer {}", token("patient"));
    let own = |body: &str| format!("POST /own\n{bearer}\nContent-Type: application/json\n\n{body}");
    check(
        &gateway,
        &[
            (&own(r#"{"by":"7","name":"Ana"}"#), "200\n= {\"name\":\"Ana\",\"by\":\"7\"}"),
            (&own(r#"{"by":"8","name":"Ana"}"#), "400 body_invalid\n~ Solo lo propio"),
            (&own("[]"), "400 json_invalid"),
            // Who is calling comes first, and so does where from.
            ("POST /own\n\n[]", "401 token_missing"),
            (&format!("POST /own\nCookie: jwt={}\n\n[]", token("patient")), "403 csrf_rejected"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_sign_in_with_a_bad_body_is_no_wrong_password() {
    let service = Service::start(puppet).await;
    let login = r#"
routes:
  - name: login
    match: POST /login
    auth: public
    session: { login: { token: web, service: a, path: /status/401 } }
    rate: [{ allow: 1/1h, key: client, count: failures }]
    validate: [{ body: object }, { require: [email, password], message: "Falta {{ field }}" }]
"#;
    let gateway = before(&service, &format!("{TOKENS}{login}")).await;
    check(
        &gateway,
        &[
            (&post("/login", "[]"), "400 body_invalid"),
            (&post("/login", r#"{"email":"a@b","password":""}"#), "400 body_invalid\n~ Falta password"),
            (&post("/login", r#"{"email":"a@b","password":"x"}"#), "401 login_refused"),
            (&post("/login", r#"{"email":"a@b","password":"x"}"#), "429 rate_limited\nretry-after: *"),
        ],
    )
    .await;
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn what_is_sent_is_made_of_the_body_the_path_the_query_and_the_caller() {
    let routes = r#"
routes:
  - name: made
    match: "POST,PUT /made/{id}"
    auth: { token: web }
    forward: { service: a, path: /echo, body: { json: { name: "{{ request.body.name|upper }}", id: "{{ params.id }}", page: "{{ query.page }}", by: "{{ claims.user_id }}", all: "{{ request.body }}", next: "{{ request.body.n + 1 }}" } } }
  - name: asks
    match: GET /asks/{id}
    auth: public
    forward: { service: a, path: /echo, method: POST, body: { json: { id: "{{ params.id }}", at: "{{ now > 1700000000 }}" } } }
"#;
    let (gateway, service) = before_a_puppet(&format!("{TOKENS}{routes}")).await;
    let bearer = format!("Authorization: Bearer {}", token("patient"));
    let made = |head: &str, body: &str| format!("POST /made/a%20b?page=2\n{bearer}\n{head}\n\n{body}");
    let json = "Content-Type: application/json; charset=utf-8\nContent-Language: es\nContent-Digest: sha-256=:x:";
    sees(
        &gateway,
        &service,
        &[(
            &made(json, r#"{ "name": "ñ", "n": 1 }"#),
            "POST /echo\ncontent-type: application/json\n!content-language\n!content-digest",
        )],
    )
    .await;
    let sent = r#"{"name":"Ñ","id":"a b","page":"2","by":"7","all":{ "name": "ñ", "n": 1 },"next":2}"#;
    assert_eq!(String::from_utf8_lossy(&service.last().body), sent);
    assert_eq!(service.last().header("content-length").map(|length| length.to_string()), Some(sent.len().to_string()));
    check(
        &gateway,
        &[
            (&made(json, "[]"), "400 json_invalid"),
            (&made(json, r#"{"name":"a","name":"b"}"#), "400 json_invalid"),
            (&made(json, ""), "400 json_invalid"),
            (&made("Content-Type: text/plain", "{}"), "415 content_type"),
            (&made(json, r#"{"name":"a","n":"1"}"#), "400 value_missing"),
        ],
    )
    .await;
    assert_eq!(service.seen().len(), 1, "what can't be made is not sent");
    sees(&gateway, &service, &[("GET /asks/9", "POST /echo\ncontent-type: application/json")]).await;
    assert_eq!(String::from_utf8_lossy(&service.last().body), r#"{"id":"9","at":true}"#);
}
