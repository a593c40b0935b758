//! What a reload leaves as it was: everything that the edit does not speak of, and everything at all when the file is refused.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hilum_demo::token::{Claims, Key};

use crate::harness::*;

const SECRET: &str = "a secret of the tests that is long enough";

/// Services, tokens and routes with all the state that a gateway has: connections, health, sessions, keys, counts, streams.
const ROUTES: &str = r#"
version: 1
services:
  s: { peers: ["${S}"] }
  checked: { peers: ["${CHECKED}"], health: { path: /health, every: 1s } }
  auth: { peers: ["${AUTH}"] }
tokens:
  web:
    from: [{ cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}" }
    cookie: { name: jwt }
  issued:
    from: [{ header: X-Issued }]
    verify: { algorithms: [ES256], jwks: { url: "${ISSUER}/keys" } }
routes:
  - { name: login, match: POST /login, auth: public, session: { login: { token: web, service: auth, path: /login } } }
  - { name: me, match: GET /me, auth: { token: web }, session: { show: { token: web } } }
  - { name: issued, match: GET /issued, auth: { token: issued }, respond: { text: known } }
  - { name: limited, match: GET /limited, auth: public, rate: [{ allow: 2/1h, key: client }], respond: { text: allowed } }
  - { name: checked, match: GET /checked, auth: public, forward: { service: checked, path: /echo } }
  - { name: recorded, match: GET /recorded, auth: public, audit: { resource: "a/b" }, respond: { text: x } }
  - { name: s, match: "/s/{rest...}", auth: public, forward: { service: s, path: "/{rest}" }, limits: { time: none } }
"#;

const UPGRADE: &str = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// A gateway of which everything is in use, and whoever is beside it.
struct World {
    gateway: Gateway,
    service: Service,
    auth: Service,
    issuer: Service,
    _checked: Service,
    /// When the service `checked` was checked.
    checks: Arc<Mutex<Vec<Instant>>>,
    session: String,
    issued: String,
    /// A connection that stays, a WebSocket, and a stream of events.
    kept: Client,
    socket: Client,
    events: Client,
}

async fn open(gateway: &Gateway, target: &str) -> Client {
    let mut client = gateway.connect().await;
    client.write(&message(&format!("GET {target}\n{UPGRADE}"))).await;
    assert_eq!(client.head().await.status, 101, "{target}");
    client
}

/// The other end sends back what it gets.
async fn echoes(client: &mut Client, text: &str) {
    client.write(text.as_bytes()).await;
    client.until(text).await;
}

impl World {
    async fn new() -> World {
        let checks = Arc::new(Mutex::new(Vec::new()));
        let noted = checks.clone();
        let checked = Service::start(move |seen| {
            if seen.target == "/health" {
                noted.lock().expect("nobody panics here").push(Instant::now());
            }
            puppet(seen)
        })
        .await;
        let (pair, service) = (Pair::new("a"), Service::start(puppet).await);
        let issuer = Service::always(published(&[&pair])).await;
        let token = Key::new(SECRET).sign(&Claims::new("7", "patient", "u7@example.org"));
        let answer = format!(r#"{{"access_token":"{token}","expires_in":900}}"#);
        let auth = Service::always(Reply::json(200, answer)).await;
        let gateway = Gateway::with(ROUTES).audited().env("SECRET", SECRET);
        let gateway = gateway.env("S", service.url()).env("CHECKED", checked.url()).env("AUTH", auth.url());
        let gateway = gateway.env("ISSUER", issuer.url()).start().await;
        gateway.counts("hilum_jwks_fetches_total", &[("result", "ok")], |n| n == 1.0).await;
        gateway.peers_up(&[("service", "checked")], 1.0).await;
        let login = gateway.send("POST /login\nContent-Type: application/json\n\n{}").await;
        let session = format!("GET /me\nCookie: jwt={}", login.cookie("jwt").expect("a session"));
        let issued = format!("GET /issued\nX-Issued: Bearer {}", pair.token("7"));
        for expected in ["200", "200", "429 rate_limited"] {
            expect("limited", &gateway.send("GET /limited").await, expected);
        }
        let mut events = gateway.connect().await;
        events.write(&message("GET /s/sse/4000/5")).await;
        assert_eq!(events.head().await.status, 200);
        let mut world = World {
            kept: gateway.connect().await,
            socket: open(&gateway, "/s/socket").await,
            events,
            gateway,
            service,
            auth,
            issuer,
            _checked: checked,
            checks,
            session,
            issued,
        };
        world.is_as_it_was("before any edit").await;
        world
    }

    /// All that was known is known, and all that was open is open.
    async fn is_as_it_was(&mut self, when: &str) {
        expect(when, &self.gateway.send(&self.session).await, "200");
        expect(when, &self.gateway.send(&self.issued).await, "200\n= known");
        expect(when, &self.gateway.send("GET /limited").await, "429 rate_limited");
        expect(when, &self.gateway.send("GET /checked").await, "200");
        // On one connection of the client, and one to the service.
        expect(when, &self.kept.send("GET /s/echo").await, "200");
        echoes(&mut self.socket, when).await;
        assert!(!self.events.piece().await.is_empty(), "{when}");
    }

    /// Connections to the service, questions to the issuer and to whoever signs people in.
    fn asked(&self) -> [usize; 3] {
        [self.service.connections(), self.issuer.seen().len(), self.auth.seen().len()]
    }

    async fn reload(&self, routes: &str, status: u16) -> Response {
        self.gateway.edit(routes);
        let answer = self.gateway.reload().await;
        assert_eq!(answer.status, status, "{}", answer.text());
        answer
    }
}

/// The names and labels of all series but one: when the process collects its own, a file may be open or not.
fn series(metrics: &Samples) -> BTreeSet<String> {
    let lines = metrics.0.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_comes_or_goes_changes_nothing_else() {
    let mut world = World::new().await;
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 2.0).await;
    let (asked, before) = (world.asked(), world.gateway.metrics().await);
    for edition in 1..=10 {
        // Above all others, so that every other one stands in another line than before.
        let more: String = (0..edition % 3)
            .map(|n| {
                format!(
                    "  - {{ name: more-{n}, match: GET /more/{n}, auth: public, respond: {{ text: {edition} }} }}\n"
                )
            })
            .collect();
        world.reload(&ROUTES.replace("routes:\n", &format!("routes:\n{more}")), 200).await;
        let expected = if edition % 3 > 0 { format!("200\n= {edition}") } else { "404 no_route".to_owned() };
        expect("the edit is live", &world.gateway.send("GET /more/0").await, &expected);
        world.is_as_it_was(&format!("after edit {edition}")).await;
    }
    assert_eq!(world.asked(), asked, "connections to the service, fetches of keys, sign-ins");
    // What went on counting did so where it was. An exchange is counted a moment after its answer.
    for route in ["me", "issued", "limited", "s", "checked"] {
        for name in ["hilum_requests_total", "hilum_request_seconds_count"] {
            let labels = [("route", route)];
            world.gateway.counts(name, &labels, |n| n == before.sum(name, &labels) + 10.0).await;
        }
    }
    let after = world.gateway.metrics().await;
    assert_eq!(after.sum("hilum_jwks_fetches_total", &[]), 1.0);
    assert_eq!(after.sum("hilum_table_info", &[]), 1.0, "one file runs");
    assert_eq!(after.sum("hilum_connections", &[]), before.sum("hilum_connections", &[]), "three of them stay");
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 2.0).await;
    // Each check begins a second after the one before has ended. One that is begun anew comes at once.
    let count = world.checks.lock().expect("nobody panics here").len();
    let all = eventually("two more checks", async || {
        Some(world.checks.lock().expect("nobody panics here").clone()).filter(|all| all.len() >= count + 2)
    })
    .await;
    let gaps: Vec<Duration> = all.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_secs(1)), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_refused_changes_nothing_at_all() {
    let mut world = World::new().await;
    let other = Service::start(puppet).await;
    // All that a table is built with, new or changed: none of it may come into being.
    let new = ROUTES
        .replace("services:\n", &format!("services:\n  other: {{ peers: [\"{0}\"], health: {{ path: /health, every: 50ms }} }}\n", other.url()))
        .replace("every: 1s", "every: 100ms")
        .replace(
            "tokens:\n",
            &format!(
                "tokens:\n  other: {{ from: [{{ header: X-Other }}], verify: {{ algorithms: [ES256], jwks: {{ url: \"{}/keys\", refresh: 1s }} }}, session: {{ key: \"other:{{token}}\" }} }}\n",
                other.url()
            ),
        )
        .replace("allow: 2/1h", "allow: 100/1h")
        .replace("resource: \"a/b\"", "resource: \"a/c\"")
        .replace("name: me,", "name: myself,")
        + "  - { name: other, match: GET /other, auth: { token: other }, rate: [{ allow: 1/1m, key: client }], forward: { service: other } }\n"
        + "  - { name: lines, match: POST /lines, auth: public, respond: { record: { file: lines, json: \"{{ request.body }}\" } } }\n";
    let defects = [
        ("not valid YAML", "no: [\n"),
        ("unknown key `math`", "  - { math: GET /x, auth: public, respond: {} }\n"),
        ("no service is called `nobody`", "  - { match: GET /x, auth: public, forward: { service: nobody } }\n"),
        ("nothing is called `nothing`", "  - { match: GET /x, auth: public, respond: { json: \"{{ nothing }}\" } }\n"),
        ("`NOBODY` is not set", "  - { match: GET /x, auth: public, respond: { text: \"${NOBODY}\" } }\n"),
        ("takes the same requests as", "  - { match: GET /me, auth: public, respond: {} }\n"),
        ("this limit has no effect", "  - { match: GET /x, auth: public, respond: {}, limits: { reply: 1MiB } }\n"),
    ];
    world.reload(&format!("{new}{}", defects[2].1), 422).await;
    world.gateway.counts("hilum_requests_in_flight", &[], |n| n == 2.0).await;
    let (asked, before) = (world.asked(), world.gateway.metrics().await);
    let mut refused = 0.0;
    for (what, defect) in defects {
        let answer = world.reload(&format!("{new}{defect}"), 422).await;
        assert!(answer.text().contains(what), "{what}: {}", answer.text());
        world.is_as_it_was(what).await;
        let after = world.gateway.metrics().await;
        assert_eq!(series(&after), series(&before), "{what}: series");
        let reloads = |result| after.sum("hilum_reloads_total", &[("result", result)]);
        assert_eq!(reloads("loaded"), 0.0, "{what}");
        refused = reloads("refused");
    }
    assert_eq!(world.asked(), asked);
    // Had it been watched or fetched from, that would have begun with the first file.
    assert_eq!((other.connections(), other.seen().len()), (0, 0));
    assert!(!world.gateway.folder().join("lines").exists());
    // One record for each time that a file was judged, by who asked or by who looks at it.
    let configs = || {
        let records = std::fs::read_dir(world.gateway.folder().join("audit")).expect("a folder");
        let texts = records.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a text"));
        let lines = texts.collect::<String>();
        lines.lines().filter(|line| line.contains(r#""event":"config""#)).map(str::to_owned).collect::<Vec<_>>()
    };
    let told = eventually("all records", async || Some(configs()).filter(|told| told.len() as f64 >= refused)).await;
    assert_eq!(told.len() as f64, refused, "{told:#?}");
    assert!(refused > defects.len() as f64 && told.iter().all(|line| line.contains("refused")), "{told:#?}");
    // Without the defect it is a good file, and does all of that.
    world.reload(&new, 200).await;
    eventually("the new service is checked", async || (other.connections() >= 2).then_some(())).await;
    eventually("the new keys are fetched", async || (!other.seen().is_empty()).then_some(())).await;
    expect("a wider limit", &world.gateway.send("GET /limited").await, "200");
    expect("a record", &world.gateway.send("POST /lines\nContent-Type: application/json\n\n{}").await, "200");
    assert!(world.gateway.folder().join("lines").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_the_middle_when_a_route_goes_ends_in_its_own_time_and_leaves_nothing_behind() {
    let (service, gone) = (Service::start(puppet).await, Service::start(puppet).await);
    let with = |services: &str, routes: &str| {
        format!(
            "version: 1\nservices:\n  s: {{ peers: [\"${{S}}\"] }}\n{services}routes:\n  - {{ name: stays, match: /s/**, auth: public, forward: {{ service: s }} }}\n{routes}"
        )
    };
    let both = with(
        "  gone: { peers: [\"${GONE}\"] }\n",
        "  - { name: goes, match: \"/gone/{rest...}\", auth: public, forward: { service: gone, path: \"/{rest}\" }, limits: { time: none } }\n",
    );
    let one = with("", "");
    let gateway = Gateway::with(&both).env("S", service.url()).env("GONE", gone.url()).start().await;
    let has = async |labels: &[(&str, &str)]| {
        let metrics = gateway.metrics().await;
        ["hilum_requests_total", "hilum_request_seconds_count", "hilum_peer_in_flight", "hilum_service_seconds_count"]
            .map(|name| metrics.has(name, labels))
    };
    for round in 1..=3 {
        // As many tables as sockets are held, each by one.
        let mut socket = open(&gateway, "/gone/socket").await;
        assert_eq!(gateway.send("GET /gone/echo").await.status, 200);
        assert_eq!(gateway.send("GET /s/echo").await.status, 200);
        eventually("both are counted", async || {
            let counted = has(&[("route", "goes")]).await == [true, true, false, false];
            (counted && has(&[("route", "stays")]).await[1]).then_some(())
        })
        .await;
        gateway.edit(&one);
        assert_eq!(gateway.reload().await.status, 200);
        assert_eq!(gateway.send("GET /gone/echo").await.status, 404);
        echoes(&mut socket, "it goes on").await;
        assert_eq!(has(&[("route", "goes")]).await, [false; 4], "no file has the route");
        assert_eq!(has(&[("service", "gone")]).await, [false, false, true, true], "but there is a peer with a socket");
        assert_eq!(gateway.metrics().await.sum("hilum_peer_in_flight", &[("service", "gone")]), 1.0);
        let before = gateway.metrics().await.sum("hilum_requests_total", &[("route", ""), ("status", "101")]);
        drop(socket);
        gateway.counts("hilum_requests_in_flight", &[], |n| n == 0.0).await;
        // Nobody is lost, and the series of the service go with the last table that knows it.
        gateway.counts("hilum_requests_total", &[("route", ""), ("status", "101")], |n| n == before + 1.0).await;
        eventually("the table is gone", async || (has(&[("service", "gone")]).await == [false; 4]).then_some(())).await;
        assert_eq!(has(&[("route", "goes")]).await, [false; 4]);
        gateway.counts("hilum_requests_total", &[("route", "stays")], |n| n == f64::from(round)).await;
        gateway.edit(&both);
        assert_eq!(gateway.reload().await.status, 200);
    }
    assert_eq!(gateway.send("GET /gone/echo").await.status, 200);
    // A route that comes back begins anew.
    gateway.counts("hilum_requests_total", &[("route", "goes")], |n| n == 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_asks_redis_for_nobody_and_a_refused_file_disturbs_nobody() {
    const ROUTES: &str = r#"
version: 1
tokens:
  web:
    from: [{ cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}", max_staleness: 60s }
routes:
  - { name: me, match: GET /me, auth: { token: web }, session: { show: { token: web } } }
"#;
    let redis = Redis::start().await;
    let conf = "sessions: \"${REDIS_URL}\"";
    let gateway = Gateway::with(ROUTES).conf(conf).env("REDIS_URL", redis.url()).env("SECRET", SECRET).start().await;
    gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
    let key = Key::new(SECRET);
    let tokens: Vec<String> =
        (0..50).map(|n| key.sign(&Claims::new(&n.to_string(), "patient", "u@example.org"))).collect();
    let everybody = async || {
        let mut client = gateway.connect().await;
        for token in &tokens {
            expect("known", &client.send(&format!("GET /me\nCookie: jwt={token}")).await, "200");
        }
    };
    for token in &tokens {
        redis.run::<()>(&["SETEX", &format!("access_token:{token}"), "900", token]).await;
    }
    everybody().await;
    let asked = async || redis.calls(&["strlen", "pttl", "client|tracking"]).await;
    let before = asked().await;
    let more = "  - { name: more, match: GET /more, auth: public, respond: { text: x } }\n";
    let reload = async |routes: String, status| {
        gateway.edit(&routes);
        assert_eq!(gateway.reload().await.status, status);
        everybody().await;
    };
    reload(format!("{ROUTES}{more}"), 200).await;
    // Other keys than before, which the store would have to hear of.
    let other = ROUTES.replace("access_token:", "other:").replace("/me,", "/you,").replace("web", "other");
    let other = format!("{ROUTES}{}", other[other.find("  - ").expect("a route")..].replace("name: me", "name: you"))
        .replace("routes:\n", "  other:\n    from: [{ cookie: other }]\n    verify: { algorithms: [HS256], secret: \"${SECRET}\" }\n    session: { key: \"other:{token}\" }\nroutes:\n");
    reload(format!("{other}  - {{ match: GET /x }}\n"), 422).await;
    reload(ROUTES.to_owned(), 200).await;
    assert_eq!(asked().await - before, 0, "questions to Redis");
    // A file that is taken does have them: a session that ends elsewhere ends here.
    reload(other, 200).await;
    gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
    let (name, you) = (format!("other:{}", tokens[0]), format!("GET /you\nCookie: other={}", tokens[0]));
    redis.run::<()>(&["SETEX", &name, "900", &tokens[0]]).await;
    expect("another key", &gateway.send(&you).await, "200");
    redis.run::<()>(&["DEL", &name]).await;
    eventually("it is over", async || (gateway.send(&you).await.status == 401).then_some(())).await;
}
