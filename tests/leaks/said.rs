//! What is said to the gateway. Everything that may not be told again holds the word `canary`; what is meant to be repeated does not.

/// The routes that it is said to.
pub(crate) const ROUTES: &str = r#"
version: 1
services:
  a: { peers: ["${A}"], timeouts: { response: 300ms }, health: { path: /health, every: 100ms } }
  gone: { peers: ["http://127.0.0.1:1"] }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}" }
    identity: { X-User-ID: user_id, X-User-Email: email }
    cookie: { name: jwt }
  bare:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: bare }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
defaults:
  errors: { body_invalid: { json: { message: "{{ message }}", code: "{{ status }}" } } }
routes:
  - { name: login, match: POST /login, auth: public, audit: { resource: session }, session: { login: { token: web, service: a, path: "/login", access: access_token } }, rate: [{ allow: 20/1m, key: { body: email }, count: failures }] }
  - { name: login-bad, match: "POST /login/{how}", auth: public, audit: { resource: session, required: true }, session: { login: { token: web, service: a, path: "/answer/{how}", access: access_token } } }
  - { name: logout, match: POST /logout, auth: public, audit: { resource: session }, session: { logout: { token: web } } }
  - { name: me, match: GET /me, auth: { token: web }, audit: { resource: "user/{claims.user_id}" }, session: { show: { token: web } } }
  - { name: mine, match: "/mine/**", auth: { token: web }, audit: { resource: "user/{claims.user_id}", required: true }, forward: { service: a } }
  - { name: bare, match: "/bare/{id}/**", auth: { token: bare, claims: { user_type: patient }, own: [{ param: id, claim: user_id }] }, audit: { resource: "user/{claims.user_id}", action: read }, forward: { service: a } }
  - { name: asked, match: "/asked/{id}", auth: { token: bare, own: [{ ask: { service: a, path: "/answer/{id}", is: 200 } }] }, audit: { resource: "asked by {claims.user_id}" }, forward: { service: a } }
  - { name: required, match: "/required/{id}", auth: { token: bare }, require: [{ ask: { service: a, path: "/answer/{id}" }, as: thing, unless: "thing.x == 1", reason: not_owner, message: No }], respond: { text: ok } }
  - { name: one, match: "GET /people/{id}", auth: public, forward: { service: a, path: "/answer/{id}", query: { q: "{query.q}" } } }
  - { name: shaped, match: "/shaped/{id}", auth: public, audit: { resource: shaped }, forward: { service: a, path: "/{id}" }, reply: { 200: { json: { x: "{{ body.nothing.here }}" } }, else: { json: { message: failed, code: "{{ status }}" } } } }
  - { name: shaped-answer, match: "/shaped-answer/{id}", auth: public, forward: { service: a, path: "/answer/{id}" }, reply: { 200: { json: { x: "{{ body.n + 1 }}" } }, else: { json: { message: failed, code: "{{ status }}" } } } }
  - { name: combined, match: "GET /combined/{id}", auth: public, combine: { parts: { one: { service: a, path: "/answer/{id}" }, two: { service: gone, path: "/{id}", otherwise: null } }, json: { y: "{{ one.nothing.here }}", z: "{{ two }}" } } }
  - { name: gone, match: "/gone/{rest...}", auth: public, audit: { resource: gone, required: true }, forward: { service: gone, path: "/{rest}" } }
  - { name: all, match: "/a/{rest...}", auth: public, forward: { service: a, path: "/{rest}" }, limits: { body: 1KiB } }
  - { name: validated, match: "POST /validated/{id}", auth: public, forward: { service: a, path: /echo }, validate: [{ require: [name], message: "Needed: {{ field }}" }, { unless: "request.body.n > 1 or request.body.name == '${JUNK}'", message: Low }, { schema: { properties: { name: { type: string, maxLength: 5, pattern: "^[a-z]*$" } } }, message: Bad }] }
  - { name: record, match: POST /record, auth: public, audit: { resource: record }, respond: { json: { ok: true }, record: { file: records/lines.jsonl, json: { all: "{{ request.body }}" } } } }
  - { name: rated, match: GET /rated, auth: public, respond: { text: ok }, rate: [{ allow: 1/1h, key: { header: X-Key } }] }
  - { name: crossed, match: "/crossed", auth: public, respond: { text: ok }, cors: { origins: ["https://a.example"] } }
  - { name: files, match: "/files/**", auth: public, files: { root: files } }
  - { name: page, match: "GET /page/{id}", auth: public, page: { template: page.html, with: { n: "{{ params.id | int }}", deep: "{{ query.a.b.c }}" } } }
  - { name: here, match: GET /here, auth: public, respond: { text: here } }
  - { name: socket, match: GET /socket, auth: { token: bare }, forward: { service: a } }
  - { name: f-request, match: "/faulty/request", auth: { token: bare, optional: true }, audit: { resource: "faulty/{claims.user_id:-nobody}", required: true }, forward: { service: a, path: /echo }, filters: [{ faulty: { phase: request } }] }
  - { name: f-request_body, match: "/faulty/request_body", auth: public, forward: { service: a, path: /echo }, filters: [{ faulty: { phase: request_body } }] }
  - { name: f-upstream_request, match: "/faulty/upstream_request", auth: public, forward: { service: a, path: /echo }, filters: [{ faulty: { phase: upstream_request } }] }
  - { name: f-response, match: "/faulty/response", auth: public, forward: { service: a, path: /echo }, filters: [{ faulty: { phase: response } }] }
  - { name: f-response_body, match: "/faulty/response_body", auth: public, forward: { service: a, path: /echo }, filters: [{ faulty: { phase: response_body } }] }
  - { name: f-log, match: "/faulty/log", auth: public, forward: { service: a, path: /echo }, filters: [{ faulty: { phase: log } }] }
  - { name: f-error, match: "/faulty/error", auth: public, forward: { service: a, path: /echo }, filters: [{ faulty: { phase: error } }] }
"#;

pub(crate) const PHASES: [&str; 7] =
    ["request", "request_body", "upstream_request", "response", "response_body", "log", "error"];

/// What the service says to `/answer/HOW`: where it runs, what failed in it, and what it was asked.
pub(crate) fn answers(how: &str) -> Option<(u16, &'static str)> {
    Some(match how {
        "stack" => (500, r#"{"detail":"Traceback canary-stack.internal:5432 password=canary-database"}"#),
        "html" => (500, "<html>Traceback canary-stack at canary-host.internal</html>"),
        "teapot" => (418, r#"{"detail":"canary-teapot"}"#),
        "unavailable" => (503, r#"{"detail":"canary-unavailable"}"#),
        "text" => (200, "canary-text, which is no JSON"),
        "list" => (200, r#"["canary-list"]"#),
        "word" => (200, r#"{"n":"canary-word","nothing":"canary-nothing","access_token":"canary-no-token"}"#),
        "odd" => (200, r#"{"access_token":["canary-odd"],"n":null,"nothing":null}"#),
        _ => return None,
    })
}

const JSON: &str = "Content-Type: application/json";

/// Whole requests as text; `{good}`, `{expired}` and `{forged}` are tokens.
pub(crate) fn requests() -> Vec<String> {
    let mut all: Vec<String> = [
        "GET /people/canary-param?q=canary-query\nX-Canary-Name: canary-value\nCookie: x=canary-cookie",
        "GET /people/7\nX-Request-ID: canary id with spaces\ntraceparent: 00-canary\nUser-Agent: canary-agent\nReferer: https://canary.test/",
        "GET /me\nCookie: jwt={good}; other=canary-cookie",
        "GET /me\nAuthorization: Bearer {good}",
        "GET /me\nAuthorization: Bearer {expired}",
        "GET /me\nAuthorization: Bearer {forged}",
        "GET /me\nAuthorization: Bearer canary.canary.canary",
        "GET /me\nAuthorization: Basic canary-basic",
        "GET /me\nAuthorization: canary-scheme",
        "GET /me\nCookie: jwt=canary-token",
        "GET /me\nCookie: jwt={good}; jwt=canary-second",
        "GET /mine/canary-path?canary-query\nCookie: jwt={good}",
        "POST /mine/echo\nCookie: jwt={good}\nOrigin: https://canary.test\nSec-Fetch-Site: cross-site\n\ncanary-body",
        "GET /bare/canary-other/x\nAuthorization: Bearer {good}",
        "GET /bare/7/echo\nAuthorization: Bearer {good}",
        "GET /bare/7/echo\nAuthorization: Bearer {other}",
        "GET /asked/stack\nAuthorization: Bearer {good}",
        "GET /asked/canary-unknown\nAuthorization: Bearer {good}",
        "GET /required/text\nAuthorization: Bearer {good}",
        "GET /required/word\nAuthorization: Bearer {good}",
        "GET /required/list\nAuthorization: Bearer {good}",
        "GET /nowhere/canary-path?canary-query",
        "CANARY /here",
        "DELETE /here?canary-query",
        "TRACE /here\nX-A: canary-header",
        "CONNECT canary.test:443",
        "GET /canary-path/../x?canary-query",
        "GET /canary%2fpath",
        "GET /canary%00",
        "GET /here?canary=\u{e9}",
        "GET http://canary.test/here",
        "GET canary:here",
        "GET /here\nHost: canary host",
        "GET /here\nHost: canary.test\nHost: canary.test",
        "GET /here\nHost: user:canary-password@hilum.test",
        "GET /here\nConnection: host, canary-nominated",
        "GET /here\nExpect: canary-expectation",
        "GET /a/silent?canary-query\nX-A: canary-header",
        "GET /a/garbage?canary-query",
        "GET /a/reset?canary-query",
        "GET /a/close?canary-query",
        "GET /a/cut?canary-query",
        "GET /shaped/garbage?canary-query",
        "GET /shaped/silent?canary-query",
        "GET /shaped/canary-path?canary-query",
        "GET /gone/canary-path?canary-query",
        "POST /gone/canary-path\n\ncanary-body",
        "GET /rated\nX-Key: canary-key",
        "GET /rated\nX-Key: canary-key",
        "OPTIONS /crossed\nOrigin: https://canary.test\nAccess-Control-Request-Method: CANARY\nAccess-Control-Request-Headers: canary-header",
        "GET /crossed\nOrigin: https://canary.test",
        "GET /files/canary-file",
        "GET /files/.canary",
        "GET /files/real.txt\nRange: bytes=canary\nIf-Range: \"canary\"\nIf-None-Match: \"canary\"\nIf-Modified-Since: canary",
        "GET /files/real.txt\nRange: bytes=999999-",
        "GET /page/canary-id?a=canary-query",
        "GET /page/7",
        "GET /socket\nConnection: Upgrade\nUpgrade: websocket\nAuthorization: Bearer {good}\nOrigin: https://canary.test\nSec-WebSocket-Key: canary",
        "GET /socket\nConnection: Upgrade\nUpgrade: canary\nCookie: bare={good}",
        "POST /logout\nCookie: jwt=canary-session",
        "POST /logout\nCookie: jwt={good}\nOrigin: https://canary.test\nContent-Length: 0",
        "POST /logout\nCookie: jwt={good}\nSec-Fetch-Site: same-origin\nContent-Length: 0",
        "GET /me\nCookie: jwt={good}",
        "POST /a/echo\nTransfer-Encoding: chunked\n\ncanary-chunk\r\n",
        "POST /a/echo\nTransfer-Encoding: chunked\n\n5;canary=\"canary\"\r\nhello\r\n0\r\nX-Canary: canary-trailer\r\n\r\n",
        "POST /a/echo\nTransfer-Encoding: canary",
        "POST /a/echo\nContent-Length: 5\nContent-Length: 6\n\ncanary",
        "POST /here?canary-query\n\ncanary-body",
        "POST /validated/canary\nContent-Type: text/plain\n\ncanary-plain",
    ]
    .map(str::to_owned)
    .into();
    for body in [
        r#"{"email":"canary@mail.test","password":"canary-password"}"#,
        r#"{"email":"canary@mail.test","password":"canary-password""#,
        r#"{"email":{"canary":1},"password":"canary-password"}"#,
        r#"{"email":"a","email":"canary-twice"}"#,
        r#""canary-text""#,
        "[\"canary\"]",
        "{\"canary\":1e999}",
        "{\"canary\":\"\\ud800\"}",
        "\u{feff}{\"canary\":1}",
        r#"{"name":"canary-name","n":2}"#,
        r#"{"name":["canary"],"n":"canary"}"#,
        r#"{"name":"x","n":"canary"}"#,
    ] {
        for path in ["/login", "/login/stack", "/login/word", "/login/odd", "/validated/canary-param", "/record"] {
            all.push(format!("POST {path}\n{JSON}\n\n{body}"));
        }
    }
    for how in ["stack", "html", "teapot", "unavailable", "text", "list", "word", "odd"] {
        all.push(format!("GET /shaped-answer/{how}?q=canary-query"));
        all.push(format!("GET /combined/{how}?q=canary-query"));
        all.push(format!("GET /people/{how}?q=canary-query"));
        all.push(format!("POST /login/{how}\n{JSON}\n\n{{\"password\":\"canary-password\"}}"));
    }
    // Larger than their route takes, and than any may be.
    all.push(format!("POST /a/echo\n\n{}", "canary-large ".repeat(200)));
    all.push(format!("GET /here?{}", "canary-long".repeat(1000)));
    all.push(format!("GET /here\n{}", "X-Canary: canary-line\n".repeat(101).trim_end()));
    all.push(format!("GET /here\nX-Canary: {}", "canary-header".repeat(2000)));
    for phase in PHASES {
        all.push(format!("POST /faulty/{phase}?canary-query\nCookie: x=canary-cookie; bare={{good}}\nSec-Fetch-Site: same-origin\nX-Canary: canary-header\n\ncanary-body"));
    }
    all
}

/// Bytes that no reader of HTTP takes, each in its own way.
pub(crate) const BROKEN: &[&[u8]] = &[
    b"canary-nonsense\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /canary\r\n\r\n",
    b"GET /canary HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /canary canary HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /canary\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /canary\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G\x00T /canary HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G(T /canary HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /canary-raw HTTP/1.1\r\nHost: x\r\nCookie: canary-cookie\r\nX-\x00: canary\r\n\r\n",
    b"GET /canary HTTP/1.1\r\nHost: x\r\nX-A: canary\x00value\r\nAuthorization: Bearer canary\r\n\r\n",
    b"GET /canary HTTP/1.1\r\nHost: x\r\nX-A: canary\x7fvalue\r\n\r\n",
    b"GET /canary HTTP/1.1\r\nHost: x\r\nX A: canary\r\n\r\n",
    b"GET /canary HTTP/1.1\r\nHost: x\r\nX-A : canary\r\n\r\n",
    b"GET /canary HTTP/1.1\r\nHost: x\r\n: canary\r\n\r\n",
    b"GET /canary HTTP/1.1\r\nHost: x\r\ncanary-without-colon\r\n\r\n",
    b"GET /canary HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n canary-folded\r\n\r\n",
    b"GET /canary HTTP/1.1\r\nHost: x\r\nX-A: canary\rX-B: canary\r\n\r\n",
    b"GET /canary HTTP/1.1\nHost: x\nX-A: canary\n\n",
    b"\r\n\r\n\r\n\r\nGET /canary HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /a/canary HTTP/1.1\r\nHost: x\r\nContent-Length: canary\r\n\r\ncanary-body",
    b"POST /a/canary HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\ncanary-body",
    b"POST /a/canary HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\ncanary-body",
    b"POST /a/canary HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, canary\r\n\r\n",
    b"POST /a/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz-canary\r\n",
    b"POST /a/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncanary-is-longer\r\n0\r\n\r\n",
    b"POST /shaped/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz-canary\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 canary-tls",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ncanary-h2",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 canary 80\r\nGET /here HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n!canary-proxy-v2",
    // Left in the middle.
    b"GET /canary-cut HTTP/1.1\r\nHost: x\r\nCookie: canary",
    b"POST /a/canary-cut HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ncanary-half",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"password\":\"canary",
];

/// What strangers say to the admin listener; `OURS` is its address.
pub(crate) const TO_ADMIN: &[&str] = &[
    "GET /canary-path?canary-query\nHost: OURS\nCookie: canary-cookie\nAuthorization: Bearer {admin}",
    "GET /status?canary-query\nHost: OURS\nAuthorization: Bearer canary-wrong-token",
    "GET /status\nHost: OURS\nAuthorization: Bearer {admin}x",
    "GET /metrics\nHost: canary.test\nAuthorization: Bearer {admin}",
    "GET /metrics\nHost: OURS\nOrigin: https://canary.test",
    "CANARY /reload\nHost: OURS\nAuthorization: Bearer {admin}",
    "POST /reload\nHost: OURS\nAuthorization: Bearer {admin}x\n\ncanary-body",
];

/// Edits of the routes that are refused, each with a secret close to what is wrong.
pub(crate) fn refused_edits() -> Vec<String> {
    [
        ("secret: \"${SECRET}\"", "secret: canary-written-in-the-file-and-long-enough"),
        ("secret: \"${SECRET}\"", "secret: \"${SECRET}\", sekret: 1"),
        ("secret: \"${SECRET}\"", "secret: \"${SECRET}${NOT_SET}\""),
        ("secret: \"${SECRET}\"", "secret: \"${SHORT}\""),
        ("algorithms: [HS256]", "algorithms: [\"${JUNK}\"]"),
        ("body: 1KiB", "body: \"${JUNK}\""),
        (
            "session: { key: \"access_token:{token}\" }",
            "session: { key: \"access_token:{token}\", max_staleness: \"${JUNK}\" }",
        ),
        ("audit: { resource: session }", "audit: { resource: \"${JUNK}\", action: \"${JUNK}\" }"),
        ("peers: [\"http://127.0.0.1:1\"]", "peers: [\"${JUNK}\"]"),
        ("peers: [\"http://127.0.0.1:1\"]", "peers: [\"http://user:canary-in-url@127.0.0.1:1\"]"),
        ("peers: [\"http://127.0.0.1:1\"]", "peers: [\"${WITH_LOGIN}\"]"),
        ("allow: 1/1h", "allow: \"${JUNK}\""),
        ("name: here,", "name: \"${JUNK}\", nome: x,"),
        ("match: GET /here,", "match: \"${JUNK}\","),
        ("origins: [\"https://a.example\"]", "origins: [\"${JUNK}\"]"),
        ("respond: { text: here }", "respond: { text: here, status: \"${JUNK}\" }"),
        (
            "verify: { algorithms: [HS256], secret: \"${SECRET}\" }\n    session",
            "verify: { algorithms: [RS256], key: \"${JUNK}\" }\n    session",
        ),
        (
            "verify: { algorithms: [HS256], secret: \"${SECRET}\" }\n    session",
            "verify: { algorithms: [RS256], jwks: { url: \"${WITH_LOGIN}\" } }\n    session",
        ),
        ("schema: { properties", "schema: \"${JUNK}\", x: { properties"),
        ("template: page.html", "template: \"${JUNK}\""),
        ("file: records/lines.jsonl", "file: \"${JUNK}/x\""),
        ("phase: error", "phase: [\"${JUNK}\"]"),
        ("version: 1\n", "version: \"${JUNK}\"\n"),
        ("version: 1\n", "version: 1\nsecret: canary-top: [\n"),
    ]
    .into_iter()
    .map(|(old, new)| {
        assert!(ROUTES.contains(old) && old != new, "{old}");
        ROUTES.replacen(old, new, 1)
    })
    .collect()
}
