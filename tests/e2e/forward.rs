//! A streamed `forward`: what a service gets to see of a request, and a client of an answer.

use crate::harness::*;
use crate::world::*;

#[tokio::test]
async fn path_and_query_pass_unchanged() {
    let routes = r#"
routes:
  - { name: all, match: "/**", auth: public, forward: { service: a } }
  - { name: purge, match: "PURGE /named", auth: public, forward: { service: a } }
"#;
    let (gateway, service) = before_a_puppet(routes).await;
    sees(
        &gateway,
        &service,
        &[
            ("GET /", "GET /"),
            ("GET /a/b/", "GET /a/b/"),
            ("GET /a?x=1&x=2&&y=%zz;=?/", "GET /a?x=1&x=2&&y=%zz;=?/"),
            ("GET /caf%c3%a9/%41%2d?q=%41", "GET /caf%C3%A9/A-?q=%41"),
            ("GET http://hilum.test/a?b", "GET /a?b"),
            ("POST /a", "POST /a"),
            ("DELETE /a", "DELETE /a"),
            ("PURGE /named", "PURGE /named"),
            ("OPTIONS /a", "OPTIONS /a"),
        ],
    )
    .await;
    check(
        &gateway,
        &[
            // A method that no route names reaches no service by accident.
            ("PURGE /a", "405 method_not_allowed\nallow: *PUT*"),
            ("GET /a/../b", "400 path_rejected"),
            ("GET /a/%2e%2e/b", "400 path_rejected"),
            ("GET //a", "400 path_rejected"),
            ("GET /a%2fb", "400 path_rejected"),
            ("GET /a;b", "400 path_rejected"),
            ("GET /a%", "400 path_rejected"),
            ("GET *", "400 path_rejected"),
            // Pingora refuses these two by itself, without a reason.
            ("GET http://other.test/a", "400"),
            ("GET /a\nHost: a\nHost: b", "400"),
            ("GET /a\nHost: a b", "400 host_rejected"),
            ("GET /a\nConnection: close, Host", "400 malformed"),
        ],
    )
    .await;
}

#[tokio::test]
async fn templates_are_filled_from_path_query_and_claims() {
    let routes = [
        TOKENS,
        r#"
routes:
  - name: parameters
    match: "/t/{id}/{rest...}"
    auth: public
    forward:
      service: a
      path: "/v1/{id}/x/{rest}"
      query: { page: "{query.page:-1}", who: "{id}" }
      headers: { X-Team: "team {id}", X-Fixed: fixed }
  - { name: needs, match: GET /needs, auth: public, forward: { service: a, path: "/n/{query.id}" } }
  - { name: dropped, match: GET /dropped, auth: public, forward: { service: a, path: /plain } }
  - { name: put, match: POST /put, auth: public, forward: { service: a, method: PUT } }
  - { name: mine, match: GET /mine, auth: { token: web }, forward: { service: a, path: "/u/{claims.user_id}/{claims.metadata.reference_id:-none}" } }
"#,
    ]
    .concat();
    let (gateway, service) = before_a_puppet(&routes).await;
    let bearer = |json: &str| {
        format!("GET /mine\nAuthorization: Bearer {}", sign_json(&json.replace("EXP", &format!("{}", now() + 60.0))))
    };
    let (full, bare) = (
        bearer(r#"{"user_id":"u 1","metadata":{"reference_id":9},"exp":EXP}"#),
        bearer(r#"{"user_id":"ñ","exp":EXP}"#),
    );
    let (dots, slash) = (bearer(r#"{"user_id":"..","exp":EXP}"#), bearer(r#"{"user_id":"7/../8","exp":EXP}"#));
    sees(
        &gateway,
        &service,
        &[
            ("GET /t/7/a/b?page=3&x=1", "GET /v1/7/x/a/b?page=3&who=7\nX-Team: team 7\nX-Fixed: fixed"),
            ("GET /t/a%20b?page=", "GET /v1/a%20b/x/?page=1&who=a%20b\nX-Team: team a b"),
            ("GET /t/7/a\nX-Fixed: client", "GET /v1/7/x/a?page=1&who=7\nX-Fixed: fixed"),
            ("GET /dropped?x=1", "GET /plain"),
            ("POST /put\n\nbody", "PUT /put\nContent-Length: 4"),
            (&full, "GET /u/u%201/9"),
            (&bare, "GET /u/%C3%B1/none"),
        ],
    )
    .await;
    let missing = bearer(r#"{"exp":EXP}"#);
    check(
        &gateway,
        &[
            ("GET /needs", "400 value_missing"),
            ("GET /needs?id=", "400 value_missing"),
            ("GET /needs?id=..", "400 path_rejected"),
            (&missing, "403 claim_missing"),
            // What a template is filled with is held to the same rules as what a client sends.
            (&dots, "400 path_rejected"),
            (&slash, "400 path_rejected"),
            ("GET /needs?id=a%2Fb", "400 path_rejected"),
            ("GET /needs?id=%00", "400 path_rejected"),
        ],
    )
    .await;
}

const SPOKEN_FOR: &str = r#"
routes:
  - { name: known, match: "/known/**", auth: { token: web }, forward: { service: a } }
  - { name: cookies, match: /cookies, auth: public, forward: { service: a, cookies: pass } }
  - { name: whole, match: "/whole/**", auth: public, forward: { service: a, authorization: pass } }
  - { name: shaped, match: /shaped, auth: public, forward: { service: a, authorization: pass }, reply: { 418: { json: 1 } } }
  - { name: all, match: "/**", auth: public, forward: { service: a } }
"#;

#[tokio::test]
async fn headers_that_speak_for_the_client_are_ours_alone() {
    let (gateway, service) = before_a_puppet(&[TOKENS, SPOKEN_FOR].concat()).await;
    let authority = service.address().to_string();
    let ours =
        format!("Host: {authority}\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: hilum.test");
    let forged = "X-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\nX-Forwarded-Port: 1\nX-Forwarded-Prefix: /x\n\
        Forwarded: for=1.2.3.4\nX-Real-IP: 1.2.3.4\nX-Client-IP: 1\nTrue-Client-IP: 1\nCF-Connecting-IP: 1\nX-Original-URL: /admin\n\
        X-Rewrite-URL: /admin\nX-HTTP-Method-Override: DELETE\nX-HTTP-Method: DELETE\nX-Middleware-Subrequest: 1\nProxy: http://evil";
    let gone = "!X-Forwarded-Port\n!X-Forwarded-Prefix\n!Forwarded\n!X-Real-IP\n!X-Client-IP\n!True-Client-IP\n!CF-Connecting-IP\n\
        !X-Original-URL\n!X-Rewrite-URL\n!X-HTTP-Method-Override\n!X-HTTP-Method\n!X-Middleware-Subrequest\n!Proxy";
    let spelled = "X-User-ID: 1\nx-user-id: 1\nX_User_ID: 1\nX_USER_ID: 1\nx.user.id: 1\nX-User_ID: 1\nX-USER-TYPE: admin\nX-User-Roles: admin\nX-Reference: 1";
    let none = "!X-User-ID\n!X_User_ID\n!x.user.id\n!X-User_ID\n!X-User-Type\n!X-User-Roles\n!X-Reference";
    let mine = "X-User-ID: 7\nX-User-Type: patient\nX-User-Email: u7@example.org\nX-User-Roles: patient\nX-Reference: 7\n!X_User_ID\n!x.user.id";
    let token = token("patient");
    let bearer = format!("Authorization: Bearer {token}");
    let cookie = format!("Cookie: a=b; jwt={token}");
    sees(
        &gateway,
        &service,
        &[
            (&format!("GET /a\n{forged}"), &format!("GET /a\n{ours}\n{gone}")),
            (&format!("GET /a\n{spelled}"), &format!("GET /a\n{none}")),
            (
                "GET /a\nAuthorization: Bearer x\nProxy-Authorization: Basic x",
                "GET /a\n!Authorization\n!Proxy-Authorization",
            ),
            ("GET /a\nCookie: a=b\nCookie: c=d", "GET /a\n!Cookie"),
            ("GET /cookies\nCookie: a=b; c=d", "GET /cookies\nCookie: a=b; c=d"),
            // Another gateway stands behind: it hears what the client says of itself, and of who it is no more than that.
            (
                &format!("GET /whole/a\n{spelled}\n{bearer}\n{cookie}"),
                &format!("GET /whole/a\n{none}\n{bearer}\n!Cookie"),
            ),
            (
                &format!("GET /shaped\n{spelled}\nAuthorization: Basic x"),
                &format!("GET /shaped\n{none}\nAuthorization: Basic x"),
            ),
            ("GET /whole/a\nProxy-Authorization: Basic x", "GET /whole/a\n!Authorization\n!Proxy-Authorization"),
            (&format!("GET /known/a\n{spelled}\n{bearer}"), &format!("GET /known/a\n{mine}\n{bearer}\n!Cookie")),
            (&format!("GET /known/a\n{spelled}\n{cookie}"), &format!("GET /known/a\n{mine}\n{bearer}\n!Cookie")),
            (
                &format!("GET /known/a\nConnection: X-User-ID, Authorization, X-Request-ID, Traceparent\n{bearer}"),
                &format!("GET /known/a\n{mine}\n{bearer}\nX-Request-ID: *\nTraceparent: *"),
            ),
            (&format!("GET /a\n{bearer}"), &format!("GET /a\n{none}\n!Authorization")),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_may_say_who_its_client_is() {
    let service = Service::start(puppet).await;
    let routes = r#"
version: 1
services: { a: { peers: ["${A}"] } }
routes: [{ name: all, match: "/**", auth: public, forward: { service: a } }]
"#;
    let gateway =
        Gateway::with(routes).env("A", service.url()).conf("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]").start().await;
    let behind = "X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: portal.test\nX-Request-ID: behind";
    sees(
        &gateway,
        &service,
        &[
            (
                &format!("GET /a\n{behind}\nX-Real-IP: 9.9.9.9"),
                "GET /a\nX-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.1.1.1, 127.0.0.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: portal.test\n!X-Real-IP",
            ),
            ("GET /a", "GET /a\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: hilum.test"),
        ],
    )
    .await;
    // The last address that no trusted proxy added; what stands before it is the client's own word.
    assert_eq!(gateway.logged_id("behind").await["client"], "1.2.3.4");
}

#[tokio::test]
async fn headers_of_one_connection_do_not_pass_in_either_direction() {
    let answer = Reply::new().answer(
        200,
        &[
            "Connection: X-Private",
            "X-Private: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Authenticate: Basic",
            "Proxy-Connection: close",
            "Trailer: X-T",
            "Upgrade: h2c",
            "X-Hilum-Reason: forged",
            "X-Kept: yes",
        ],
        "body",
    );
    let service = Service::always(answer).await;
    let routes = r#"
routes:
  - { name: streamed, match: /s, auth: public, forward: { service: a } }
  - { name: buffered, match: /b, auth: public, forward: { service: a }, reply: { 418: { json: {} } } }
"#;
    let gateway = before(&service, routes).await;
    let sent = "Connection: keep-alive, X-Secret\nX-Secret: 1\nKeep-Alive: 5\nProxy-Connection: keep-alive\nTE: trailers\nTrailer: X\nUpgrade: h2c\nX-Kept: yes";
    for path in ["/s", "/b"] {
        let request = format!("GET {path}\n{sent}");
        let expectation = "200\nX-Kept: yes\n= body\n!X-Private\n!Keep-Alive\n!Proxy-Authenticate\n!Proxy-Connection\n!Trailer\n!Upgrade\n!X-Hilum-Reason";
        check(&gateway, &[(&request, expectation)]).await;
        let gone = "!X-Secret\n!Keep-Alive\n!Proxy-Connection\n!TE\n!Trailer\n!Upgrade\nX-Kept: yes";
        sees(&gateway, &service, &[(&request, &format!("GET {path}\n{gone}"))]).await;
    }
}

#[tokio::test]
async fn a_service_sets_its_own_cookies_and_never_ours() {
    let answer = Reply::new().answer(
        200,
        &[
            "Set-Cookie: theme=dark; Path=/",
            "Set-Cookie: jwt=evil; Path=/",
            "set-cookie: jwt =evil",
            "Set-Cookie: jwt2=fine",
        ],
        "{}",
    );
    let service = Service::always(answer).await;
    let routes = [
        TOKENS,
        r#"
routes:
  - { name: streamed, match: /s, auth: public, forward: { service: a } }
  - { name: buffered, match: /b, auth: public, forward: { service: a }, reply: { 200: { json: "{{ body }}" } } }
  - { name: known, match: /k, auth: { token: web }, forward: { service: a } }
"#,
    ]
    .concat();
    let gateway = before(&service, &routes).await;
    for request in ["GET /s", "GET /b", &format!("GET /k\nAuthorization: Bearer {}", token("patient"))] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.all("set-cookie"), ["theme=dark; Path=/", "jwt2=fine"], "{request}: {answer:?}");
    }
}

#[tokio::test]
async fn every_exchange_has_an_id_and_a_trace_that_all_sides_see() {
    let (gateway, service) = before_a_puppet(
        r#"
routes:
  - { name: here, match: /here, auth: public, respond: { text: here } }
  - { name: buffered, match: /b, auth: public, forward: { service: a }, reply: { 418: { json: {} } } }
  - { name: all, match: "/**", auth: public, forward: { service: a } }
"#,
    )
    .await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for path in ["/a", "/b", "/here"] {
        let passes = gateway.send(&format!("GET {path}\nX-Request-ID: id{path}\nTraceparent: {trace}")).await;
        assert_eq!(passes.all("x-request-id"), [format!("id{path}")], "{path}");
        assert_eq!(passes.all("traceparent"), [trace], "{path}");
        gateway.logged_id(&format!("id{path}")).await;
        for odd in ["X-Request-ID: has space\nTraceparent: 00-0", &format!("X-Request-ID: {}", "x".repeat(65)), ""] {
            let made = gateway.send(&format!("GET {path}\n{odd}")).await;
            let (id, trace) =
                (made.header("x-request-id").unwrap_or_default(), made.header("traceparent").unwrap_or_default());
            assert!(id.len() == 32 && trace.len() == 55, "{path} {odd}: {made:?}");
            if path != "/here" {
                let seen = service.last();
                assert_eq!(
                    (seen.header("x-request-id"), seen.header("traceparent")),
                    (Some(id), Some(trace)),
                    "{path}"
                );
            }
        }
    }
    // Refusals have one as well, also those of requests that found no route.
    check(
        &gateway,
        &[(
            "GET /../a\nX-Request-ID: refused",
            "400 path_rejected\nx-request-id: refused\n~ \"request_id\":\"refused\"",
        )],
    )
    .await;
}

#[tokio::test]
async fn the_reason_of_a_gateway_behind_passes_where_the_file_says_so() {
    let service = Service::always(Reply::new().answer(403, &["X-Hilum-Reason: not_owner"], "{}")).await;
    let routes = r#"
routes:
  - { name: passed, match: /passed, auth: public, forward: { service: a, reason: pass } }
  - { name: kept, match: /kept, auth: public, forward: { service: a } }
"#;
    let gateway = before(&service, routes).await;
    check(&gateway, &[("GET /passed", "403 not_owner"), ("GET /kept", "403\n!X-Hilum-Reason")]).await;
    // It is told, and not counted as a reason of this one.
    assert_eq!(gateway.metrics().await.sum("hilum_rejections_total", &[("reason", "not_owner")]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_redirects_to_itself_does_not_tell_where_it_is() {
    let service = Service::start(|seen| {
        let own = format!("http://{}", seen.header("host").expect("a host"));
        let to = match seen.target.rsplit('/').next() {
            Some("path") => format!("{own}/v1/here/?page=2"),
            Some("bare") => own,
            Some("foreign") => "https://elsewhere.example/x".to_owned(),
            Some("relative") => "/v1/there".to_owned(),
            _ => format!("{own}//elsewhere.example"),
        };
        Reply::new().answer(307, &[&format!("Location: {to}")], "")
    })
    .await;
    let routes = "routes:\n  - { match: GET /s/**, auth: public, forward: { service: a } }\n  - { match: GET /b/**, auth: public, forward: { service: a }, reply: { 200: { json: x } } }\n";
    let gateway = before(&service, routes).await;
    for buffered in ["s", "b"] {
        for (path, location) in [
            ("path", "/v1/here/?page=2"),
            ("bare", "/"),
            ("foreign", "https://elsewhere.example/x"),
            ("relative", "/v1/there"),
            ("odd", "/"),
        ] {
            check(&gateway, &[(&format!("GET /{buffered}/{path}"), &format!("307\nlocation: {location}"))]).await;
        }
    }
}
