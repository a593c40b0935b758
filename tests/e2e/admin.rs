//! The admin listener: health, metrics, status, reload, and who may not.

use std::time::Duration;

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
routes: [{ name: here, match: GET /here, auth: public, respond: { text: one } }]
"#;

/// Each request as it stands, sent to the admin listener.
async fn ask(gateway: &Gateway, cases: &[(&str, &str)]) {
    for (request, expectation) in cases {
        let request = request.replace("OURS", &gateway.admin().to_string());
        let answer = Client::connect(gateway.admin()).await.send(&request).await;
        expect(&request, &answer, expectation);
    }
}

#[tokio::test]
async fn operators_and_prometheus_are_answered() {
    let gateway = Gateway::start(ROUTES).await;
    let ours = "\nHost: OURS";
    ask(
        &gateway,
        &[
            (&format!("GET /health/live{ours}"), "200\n~ live\ncache-control: no-store"),
            (&format!("GET /health/ready{ours}"), "200\n~ ready"),
            (&format!("HEAD /health/ready{ours}"), "200\ncontent-length: 6\n="),
            (
                &format!("GET /metrics{ours}"),
                "200\ncontent-type: text/plain; version=0.0.4; charset=utf-8\n~ hilum_connections",
            ),
            (&format!("HEAD /metrics{ours}"), "200\n="),
            (
                &format!("GET /status{ours}"),
                "200\ncontent-type: application/json\ncache-control: no-store\n~ \"version\"",
            ),
            (&format!("HEAD /status{ours}"), "200\n="),
            (&format!("POST /status{ours}\nContent-Length: 0"), "405"),
            (&format!("GET /status/{ours}"), "404"),
            ("GET /health/live\nHost: localhost", "200"),
            ("GET /health/live\nHost: localhost:9901", "200"),
            (&format!("GET /nowhere{ours}"), "404"),
            (&format!("GET /{ours}"), "404"),
            (&format!("GET /reload{ours}"), "405"),
            (&format!("POST /metrics{ours}\nContent-Length: 0"), "405"),
            (&format!("DELETE /health/live{ours}"), "405"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_web_page_gets_nothing_from_the_admin_listener() {
    let gateway = Gateway::start(ROUTES).await;
    for request in [
        "POST /reload\nHost: OURS\nOrigin: https://evil.test\nContent-Length: 0",
        "POST /reload\nHost: OURS\nOrigin: null\nContent-Length: 0",
        "POST /reload\nHost: OURS\nOrigin: http://OURS\nContent-Length: 0",
        "GET /status\nHost: OURS\nOrigin: https://evil.test",
        "GET /status\nHost: evil.test",
        "GET /metrics\nHost: evil.test",
        "GET /metrics\nHost: evil.test:9901",
        "GET /metrics\nHost: 127.0.0.1.evil.test",
        "GET /metrics\nHost: localhost.evil.test",
        "GET /health/live\nHost: hilum.test",
    ] {
        ask(&gateway, &[(request, "403\n!~ hilum_")]).await;
    }
    assert_eq!(gateway.metrics().await.sum("hilum_reloads_total", &[]), 0.0, "nothing was reloaded");
    // Nor is it reached through the listener of clients.
    check(
        &gateway,
        &[
            ("GET /metrics", "404 no_route"),
            ("GET /status", "404 no_route"),
            ("POST /reload", "404 no_route"),
            ("GET /health/live", "404 no_route"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_reload_takes_a_good_file_and_tells_what_is_wrong_with_another() {
    let gateway = Gateway::start(ROUTES).await;
    check(&gateway, &[("GET /here", "200\n= one")]).await;
    gateway.edit(&ROUTES.replace("one", "two"));
    let loaded = gateway.reload().await;
    expect("good", &loaded, "200\ncontent-type: application/json\n~ \"result\":\"loaded\"");
    assert_eq!((loaded.json()["routes"].as_u64(), loaded.json()["hash"].is_string()), (Some(1), true), "{loaded:?}");
    check(&gateway, &[("GET /here", "200\n= two")]).await;
    gateway.edit(&ROUTES.replace("respond", "respondd"));
    let refused = gateway.reload().await;
    expect("bad", &refused, "422\n~ \"result\":\"refused\"\n~ respondd\n~ routes.yaml:3");
    check(&gateway, &[("GET /here", "200\n= two")]).await;
    gateway.counts("hilum_reloads_total", &[("result", "refused")], |n| n >= 1.0).await;
}

#[tokio::test]
async fn with_a_token_all_but_health_wants_it() {
    const TOKEN: &str = "a-token-of-operators-that-is-long-enough";
    let gateway = Gateway::with(ROUTES)
        .admin("{ address: \"0.0.0.0:0\", token: \"${HILUM_ADMIN_TOKEN}\" }")
        .env("HILUM_ADMIN_TOKEN", TOKEN)
        .start()
        .await;
    let (good, bad) = (format!("Authorization: Bearer {TOKEN}"), format!("Authorization: Bearer {TOKEN}x"));
    let refused = "401\nwww-authenticate: Bearer realm=\"hilum\"\ncontent-type: text/plain; charset=utf-8\n!~ hilum_";
    // Other machines call it by names that it does not know.
    let named = "Host: gateway:9901";
    ask(
        &gateway,
        &[
            (&format!("GET /health/live\n{named}"), "200\n~ live"),
            (&format!("GET /health/ready\n{named}"), "200\n~ ready"),
            (&format!("GET /metrics\n{named}\n{good}"), "200\n~ hilum_connections"),
            (&format!("GET /nowhere\n{named}\n{good}"), "404"),
            (&format!("POST /reload\n{named}\n{good}\nContent-Length: 0"), "200\n~ loaded"),
            (&format!("GET /status\n{named}\n{good}"), "200\n~ \"version\""),
            (&format!("GET /status\n{named}"), refused),
            (&format!("GET /status\n{named}\n{bad}"), refused),
            (&format!("GET /metrics\n{named}"), refused),
            (&format!("GET /metrics\n{named}\n{bad}"), refused),
            (&format!("GET /metrics\n{named}\n{good}\n{good}"), refused),
            (&format!("GET /metrics?token={TOKEN}\n{named}"), refused),
            (&format!("GET /nowhere\n{named}"), refused),
            (&format!("GET /health/live/\n{named}"), refused),
            (&format!("POST /reload\n{named}\n{bad}\nContent-Length: 0"), refused),
            (&format!("POST /reload\n{named}\n{good}\nOrigin: https://evil.test\nContent-Length: 0"), "403"),
        ],
    )
    .await;
    assert!(!gateway.stderr().contains(TOKEN), "{}", gateway.stderr());
    gateway.counts("hilum_admin_refused_total", &[], |n| n == 10.0).await;
    gateway.said("the admin listener refused 127.0.0.1:").await;
}

#[tokio::test]
async fn who_holds_connections_to_the_admin_listener_keeps_nobody_else_out_and_is_closed() {
    let gateway = Gateway::start(ROUTES).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut client = Client::from([127, 0, 0, 2], gateway.admin(), None).await.expect("a connection");
        client.write(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ").await;
        held.push(client);
    }
    let mut one_more = Client::from([127, 0, 0, 2], gateway.admin(), None).await.expect("a connection");
    assert!(one_more.closed().await < Duration::from_secs(5), "one client has sixteen places");
    assert_eq!(gateway.ask_admin("GET /health/ready").await.status, 200);
    for client in &mut held {
        // A byte now and then is no progress.
        client.try_write(b"x").await;
    }
    for mut client in held {
        client.closed().await;
    }
    let mut again = Client::from([127, 0, 0, 2], gateway.admin(), None).await.expect("a connection");
    assert_eq!(again.send(&format!("GET /health/live\nHost: {}", gateway.admin())).await.status, 200);
    assert!(again.closed().await < Duration::from_secs(5), "a connection is for one question");
}

#[tokio::test]
async fn with_a_token_on_loopback_the_host_counts_as_well() {
    const TOKEN: &str = "a-token-of-operators-that-is-long-enough";
    let gateway = Gateway::with(ROUTES)
        .admin("{ address: \"127.0.0.1:0\", token: \"${HILUM_ADMIN_TOKEN}\" }")
        .env("HILUM_ADMIN_TOKEN", TOKEN)
        .start()
        .await;
    let good = format!("Authorization: Bearer {TOKEN}");
    ask(
        &gateway,
        &[
            (&format!("GET /metrics\nHost: OURS\n{good}"), "200\n~ hilum_connections"),
            ("GET /metrics\nHost: OURS", "401\n!~ hilum_"),
            (&format!("GET /metrics\nHost: evil.test\n{good}"), "403\n!~ hilum_"),
        ],
    )
    .await;
}

const WITH_A_SERVICE: &str = r#"
version: 1
services: { a: { peers: ["${A}", "http://127.0.0.1:1"], health: { path: /health, every: 50ms, down_after: 1 } } }
routes: [{ name: all, match: "/**", auth: public, forward: { service: a } }]
"#;

#[tokio::test]
async fn the_status_says_what_runs() {
    let service = Service::start(puppet).await;
    let gateway = Gateway::with(WITH_A_SERVICE).env("A", service.url()).start().await;
    let status = async || gateway.ask_admin("GET /status").await.json();
    let peers = |status: &serde_json::Value| status["services"][0]["peers"].clone();
    let down = eventually("the second peer to be down", async || {
        Some(status().await).filter(|status| peers(status)[1]["up"] == false)
    })
    .await;
    assert_eq!(
        peers(&down)[0],
        serde_json::json!({ "address": service.address().to_string(), "up": true, "state": "up", "in_flight": 0 })
    );
    assert_eq!(down["services"][0]["name"], "a");
    assert_eq!(down["listeners"], serde_json::json!([gateway.address().to_string()]));
    assert_eq!(down["admin"], gateway.admin().to_string());
    assert_eq!((&down["sessions"], &down["draining"]), (&"memory".into(), &false.into()));
    assert_eq!((&down["last_reload"], &down["table"]["routes"]), (&serde_json::Value::Null, &1.into()));
    assert!(down["filters"].as_array().is_some_and(|names| names.contains(&"security_headers".into())), "{down}");
    assert!(gateway.metrics().await.has("hilum_table_info", &[("hash", down["table"]["hash"].as_str().unwrap_or(""))]));
    // A client that is in, and what it asked for.
    let mut client = gateway.connect().await;
    client.write(&message("GET /slow-head/500")).await;
    eventually("the request to be seen", async || {
        let status = status().await;
        let seen = (&status["connections"], &status["requests_in_flight"], &peers(&status)[0]["in_flight"]);
        (seen == (&1.into(), &1.into(), &1.into())).then_some(())
    })
    .await;
    assert_eq!(client.read(false).await.status, 200);
    // A file that is taken, and one that is not: then the first is what runs.
    gateway.edit(&WITH_A_SERVICE.replace("name: all", "name: other"));
    assert_eq!(gateway.reload().await.status, 200);
    let loaded = status().await;
    assert_eq!(loaded["last_reload"]["result"], "loaded");
    assert_ne!(loaded["table"]["hash"], down["table"]["hash"]);
    assert_eq!(loaded["table"]["loaded"], loaded["last_reload"]["at"]);
    gateway.edit("version: 2");
    assert_eq!(gateway.reload().await.status, 422);
    let refused = status().await;
    assert_eq!(refused["last_reload"]["result"], "refused");
    assert_eq!(refused["table"], loaded["table"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_answered_while_clients_flood() {
    let gateway = Gateway::with(ROUTES).conf("threads: 1").start().await;
    let (address, stop) = (gateway.address(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    // Each asks again as soon as it has its answer: the one thread of the clients has never nothing to do.
    let flood: Vec<_> = (0..64)
        .map(|_| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut answers = 0_u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(client.send("GET /here").await.status, 200);
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    gateway.counts("hilum_requests_total", &[], |n| n > 1000.0).await;
    for path in ["/status", "/health/live", "/health/ready", "/metrics"].iter().cycle().take(40) {
        let since = std::time::Instant::now();
        assert_eq!(gateway.ask_admin(&format!("GET {path}")).await.status, 200, "{path}");
        assert!(since.elapsed() < PATIENCE / 2, "{path} took {:?}", since.elapsed());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in flood {
        assert!(client.await.expect("a client does not panic") > 0, "everybody was served");
    }
}
