//! What docker-compose.yml starts, as processes with the same files and settings: an edge, three gateways, one Redis, the services.

use std::time::Duration;

use hilum_demo::seed::ACCOUNTS;
use hilum_demo::token::{Claims, Key};
use hilum_demo::{Demo, Options, Ports};
use nix::sys::signal::Signal;

use crate::harness::{AUDIT_KEY, Builder, Gateway, Redis, Response, Service, eventually, expect, message, puppet};
use crate::load::Load;

const SECRET: &str = "a secret of the tests that is long enough";
const TOKEN: &str = "a-token-of-operators-that-is-long-enough";
const DASHBOARD: &str = include_str!("../../conf/grafana/dashboards/hilum.json");

struct Fleet {
    edge: Gateway,
    gateways: Vec<Gateway>,
    redis: Redis,
    demo: Demo,
}

/// Both files as they are shipped, and what docker-compose.yml sets for all of them.
fn shipped(routes: &str, conf: &str) -> Builder {
    let conf = conf.replace("access: stdout", "access: { file: ../access.log }");
    Gateway::with(routes).file("conf/hilum.yaml", conf).env("HILUM_ADMIN_TOKEN", TOKEN)
}

async fn gateway(port: u16, redis: &Redis, demo: &Demo) -> Gateway {
    let files = (include_str!("../../routes.yaml"), include_str!("../../conf/hilum.yaml"));
    let builder = shipped(files.0, files.1)
        .folder_of_project("static")
        .env("HILUM_LISTEN", format!("127.0.0.1:{port}"))
        .env("HILUM_ADMIN", "0.0.0.0:0")
        .env("TRUSTED_PROXIES", "127.0.0.0/8")
        .env("REDIS_URL", redis.url())
        .env("JWT_SECRET_KEY", SECRET)
        .env("HILUM_AUDIT_KEY", AUDIT_KEY);
    demo.services().iter().fold(builder, |builder, service| builder.env(service.variable, &service.url)).start().await
}

/// The edge before these gateways.
async fn edge(gateways: &[&Gateway]) -> Gateway {
    let peers: Vec<String> = gateways.iter().map(|gateway| format!("http://{}", gateway.address())).collect();
    shipped(include_str!("../../conf/edge/routes.yaml"), include_str!("../../conf/edge/hilum.yaml"))
        .env("EDGE_LISTEN", "127.0.0.1:0")
        .env("EDGE_ADMIN", "0.0.0.0:0")
        // As if something before it ended TLS.
        .env("EDGE_TRUSTED_PROXIES", "127.0.0.0/8")
        .env("GATEWAYS", peers.join(","))
        .start()
        .await
}

impl Fleet {
    async fn start() -> Fleet {
        let redis = Redis::start().await;
        let options = Options { secret: SECRET.to_owned(), ports: Ports::ANY };
        let demo = hilum_demo::start(options).await.expect("the services start");
        let mut gateways = Vec::new();
        for _ in 0..3 {
            gateways.push(gateway(0, &redis, &demo).await);
        }
        let edge = edge(&gateways.iter().collect::<Vec<_>>()).await;
        let fleet = Fleet { edge, gateways, redis, demo };
        fleet.has_peers(3.0).await;
        for gateway in &fleet.gateways {
            gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
            gateway.peers_up(&[], 5.0).await;
        }
        fleet
    }

    /// How many gateways the edge sends requests to.
    async fn has_peers(&self, wanted: f64) {
        self.edge.peers_up(&[("service", "gateway")], wanted).await;
    }

    /// Signs the seeded account of this type in through the edge, with these headers.
    async fn sign_in(&self, user_type: &str, headers: &str) -> (String, Response) {
        let account = ACCOUNTS.iter().find(|account| account.user_type == user_type).expect("there is one of each");
        let body = serde_json::json!({ "email": account.email, "password": account.password });
        let request = format!("POST /api/web/auth/login\nContent-Type: application/json\n{headers}\n\n{body}");
        let answer = self.edge.send(&request).await;
        expect(user_type, &answer, "200\n~ Login exitoso");
        (answer.cookie("predicthealth_jwt").expect("a cookie").to_owned(), answer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_one_on_all_gateways_and_each_sees_the_real_client() {
    let fleet = Fleet::start().await;
    let (plain, answer) = fleet.sign_in("patient", "").await;
    assert!(!answer.all("set-cookie")[0].contains("Secure"), "{answer:?}");
    let behind =
        "X-Forwarded-For: 203.0.113.7\nX-Forwarded-Proto: https\nX-Forwarded-Host: portal.test\nX-Request-ID: behind";
    let (token, answer) = fleet.sign_in("patient", behind).await;
    expect("behind TLS", &answer, "200\nset-cookie: *; Secure*");
    let line = eventually("its line in the log of a gateway", async || {
        fleet.gateways.iter().flat_map(Gateway::access_log).find(|line| line["request_id"] == "behind")
    });
    assert_eq!(line.await["client"], "203.0.113.7");

    let (cookie, bearer) =
        (format!("Cookie: a=b; predicthealth_jwt={token}"), format!("Authorization: Bearer {token}"));
    const DATA: &str = "GET /api/web/patient/dashboard";
    for gateway in &fleet.gateways {
        expect("a gateway", &gateway.send(&format!("{DATA}\n{cookie}")).await, "200\n~ \"status\":\"success\"");
    }
    for _ in 0..30 {
        for by in [&cookie, &bearer] {
            expect("the edge", &fleet.edge.send(&format!("{DATA}\n{by}")).await, "200\n~ \"status\":\"success\"");
        }
    }
    let labels = [("route", "patient-dashboard"), ("status", "200")];
    for gateway in &fleet.gateways {
        let sum = gateway.metrics().await.sum("hilum_requests_total", &labels);
        assert!(sum > 1.0, "a gateway answered {sum} of 60");
    }

    // What the gateways decide about is what the client said to the edge.
    let post = |more: &str| format!("POST /api/web/auth/logout\n{cookie}\n{more}\nContent-Length: 0");
    for (more, expectation) in [
        ("Origin: https://evil.test", "403 csrf_rejected"),
        ("Sec-Fetch-Site: cross-site\nOrigin: http://hilum.test", "403 csrf_rejected"),
        ("Origin: http://gateways:5000", "403 csrf_rejected"),
        ("X-Forwarded-Host: portal.test\nOrigin: http://hilum.test", "403 csrf_rejected"),
    ] {
        expect(more, &fleet.edge.send(&post(more)).await, expectation);
    }
    let forged = "X-User-ID: 1\nX-User-Type: admin";
    for (request, expectation) in [
        (format!("{DATA}\n{forged}"), "401 token_missing"),
        (format!("GET /api/web/doctor/dashboard\n{forged}\n{bearer}"), "403 claim_mismatch"),
        (format!("{DATA}\nAuthorization: Bearer x\n{cookie}"), "401 token_invalid"),
        ("GET /nowhere".to_owned(), "404 no_route\ncontent-type: text/html; charset=utf-8"),
    ] {
        expect(&request, &fleet.edge.send(&request).await, expectation);
    }

    let out = fleet
        .edge
        .send(&post("X-Forwarded-Host: portal.test\nX-Forwarded-Proto: https\nOrigin: https://portal.test"))
        .await;
    expect("sign out", &out, "200\nset-cookie: *predicthealth_jwt=;*");
    for gateway in &fleet.gateways {
        eventually("the sign-out is known", async || {
            let answer = gateway.send(&format!("{DATA}\n{cookie}")).await;
            (answer.reason() == "session_unknown").then_some(())
        })
        .await;
        let other = gateway.send(&format!("{DATA}\nCookie: predicthealth_jwt={plain}")).await;
        expect("another session of the same patient", &other, "200");
    }
    every_metric_of_the_dashboard_exists(&fleet).await;
    fleet.demo.stop().await;
}

/// A panel over a metric that nobody counts is empty for ever.
async fn every_metric_of_the_dashboard_exists(fleet: &Fleet) {
    let (gateway, edge) = (fleet.gateways[0].metrics().await, fleet.edge.metrics().await);
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let mut names = Vec::new();
    for target in targets {
        let expression = target["expr"].as_str().expect("an expression");
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.extend(words.filter(|word| word.starts_with("hilum_") || word.starts_with("process_")));
    }
    assert!(names.len() >= panels.len(), "{names:?}");
    for name in names {
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(gateway.declares(family) || edge.declares(family), "{name} is counted by nobody");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_dies_costs_no_get_once_it_is_seen_and_comes_back() {
    let mut fleet = Fleet::start().await;
    let (token, _) = fleet.sign_in("doctor", "").await;
    let data = format!("GET /api/web/doctor/dashboard\nCookie: predicthealth_jwt={token}");
    let load = Load::start(fleet.edge.address(), 4, Duration::from_millis(10), &["GET /health", &data]);
    load.has_answered(100).await;

    load.chapter().await; // 1: it dies
    let port = fleet.gateways[2].address().port();
    fleet.gateways[2].signal(Signal::SIGKILL);
    fleet.gateways[2].ended().await;
    fleet.has_peers(2.0).await;

    load.chapter().await; // 2: it is known to be dead
    load.has_answered(100).await;

    load.chapter().await; // 3: it comes back
    fleet.gateways[2] = gateway(port, &fleet.redis, &fleet.demo).await;
    fleet.has_peers(3.0).await;
    fleet.gateways[2]
        .counts("hilum_requests_total", &[("route", "doctor-dashboard"), ("status", "200")], |n| n > 5.0)
        .await;

    let chapters = load.stop().await;
    let [well, dying, dead, back] = chapters.as_slice() else { panic!("{chapters:?}") };
    println!(
        "well: {} sent; dying: {} sent, {:?}; dead: {} sent; back: {} sent",
        well.sent, dying.sent, dying.answers, dead.sent, back.sent
    );
    well.expect_all_good("all three are up");
    assert!(dying.lost.is_empty(), "every GET has an answer: {:?}", dying.lost);
    dead.expect_all_good("one is known to be dead");
    back.expect_all_good("it comes back");
}

#[tokio::test]
async fn sockets_and_bodies_go_through_both() {
    const ROUTES: &str = r#"
version: 1
services: { s: { peers: ["${S}"] } }
tokens:
  web:
    from: [{ cookie: predicthealth_jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    identity: { X-User-ID: user_id }
routes:
  - { name: health, match: GET /health, auth: public, respond: { text: well } }
  - { name: all, match: "/**", auth: { token: web }, forward: { service: s }, limits: { time: none } }
"#;
    let service = Service::start(puppet).await;
    let gateway =
        Gateway::with(ROUTES).conf("trusted_proxies: [127.0.0.0/8]").env("S", service.url()).env("SECRET", SECRET);
    let gateway = gateway.start().await;
    let edge = edge(&[&gateway]).await;
    edge.peers_up(&[], 1.0).await;
    let token = Key::new(SECRET).sign(&Claims::new("7", "patient", "u7@example.org"));
    let upgrade = format!(
        "GET /socket\nCookie: predicthealth_jwt={token}\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nX-User-ID: 1"
    );
    let foreign = edge.send(&format!("{upgrade}\nOrigin: https://evil.test")).await;
    expect("a foreign page", &foreign, "403 csrf_rejected");
    let mut client = edge.connect().await;
    client.write(&message(&format!("{upgrade}\nOrigin: http://hilum.test"))).await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(service.last().header("x-user-id").as_deref(), Some("7"));
    for text in ["hello", &"x".repeat(100_000)] {
        client.write(text.as_bytes()).await;
        client.until(text).await;
    }
    drop(client);
    service.is_left_alone().await;

    let body = "x".repeat(900_000);
    let upload =
        |more: &str| format!("POST /echo\nCookie: predicthealth_jwt={token}\nOrigin: http://hilum.test\n{more}");
    let answer = edge.send(&format!("{}\n\n{body}", upload("Content-Type: text/plain"))).await;
    expect("an upload", &answer, "200");
    assert_eq!(service.last().body.len(), body.len());
    let answer = edge.send(&upload("Content-Length: 2000000")).await;
    expect("more than any route takes", &answer, "413 body_too_large");
}
