//! Ten thousand routes are reloaded, and nobody who sends requests meanwhile notices. A binary of its own: it takes the whole machine.

#![allow(clippy::large_futures, reason = "a test runs once")]

#[path = "../harness/mod.rs"]
mod harness;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use hilum_demo::token::{Claims, Key};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use harness::*;

const SECRET: &str = "a secret of the tests that is long enough";
const MANY: usize = 10_000;
const IN_A_GROUP: usize = 20;
const RELOADS: usize = if cfg!(debug_assertions) { 2 } else { 5 };
/// Without optimisation, on a machine that is busy with others, such a reload takes more than ten seconds: it gives way to everybody.
const LONG: Duration = Duration::from_secs(120);
/// So many clients with 50 requests a second each.
const CLIENTS: u64 = 10;
/// Below this it is the other users of the machine that are measured.
const FLOOR: Duration = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 5 });

const HEAD: &str = r#"
version: 1
services:
  s: { peers: ["${S}"] }
  others: { peers: ["${S}"] }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    identity: { X-User-ID: user_id, X-User-Type: user_type }
    roles: roles
defaults:
  errors:
    token_missing: { json: { error: Sesión requerida, message: "{{ message }}" } }
    upstream: { status: 503, json: { status: error, message: "{{ message }}", code: "{{ status }}" } }
    else: { json: { status: error, message: "{{ message }}", code: "{{ status }}" } }
  messages: { token_missing: Debe iniciar sesión }
routes:
  - { name: own, match: GET /own, auth: public, respond: { text: own } }
  - { name: forwarded, match: /s/**, auth: public, forward: { service: s } }
  - { name: mine, match: "GET /mine/{id}", auth: { token: web, own: [{ param: id, claim: user_id }] }, forward: { service: s, path: "/of/{claims.user_id}" }, reply: { 200: { json: { data: "{{ body }}" } } } }
"#;

/// Five kinds of routes by turns, twenty to a group, as a platform of many services would have them.
fn routes(edition: usize) -> String {
    let mut text = HEAD.to_owned();
    for number in 0..MANY {
        if number.is_multiple_of(IN_A_GROUP) {
            let group = number / IN_A_GROUP;
            writeln!(text, "  - group: g{group}\n    path: /api/{group}\n    auth: {{ token: web, claims: {{ user_type: patient }} }}\n    rate: [{{ allow: 100/1m, key: client }}]\n    routes:").expect("memory");
        }
        let route = match number % 5 {
            0 => {
                r#"match: GET /a%, forward: { service: others, path: "/v1/{claims.user_id}/%" }, reply: { 200: { json: { status: success, data: "{{ body }}" } }, else: { json: { message: "{{ body.detail or 'Error' }}" } } }, audit: { resource: "patient/{claims.user_id}" }"#
            }
            1 => {
                r#"match: "GET,POST /b%/{id}", auth: { token: web, own: [{ param: id, claim: user_id }] }, rate: [{ allow: 5/1m, key: { claim: user_id } }], forward: { service: others }"#
            }
            2 => {
                r#"match: "/c%/{rest...}", auth: { token: web, roles: [doctor] }, forward: { service: others, path: "/x/{rest}" }, filters: [{ headers: { response: { remove: [server] } } }]"#
            }
            3 => {
                r#"match: "DELETE /d%/{id}", require: [{ ask: { service: others, path: "/x/{id}" }, as: it, unless: "it.of == claims.user_id", reason: not_owner, missing: No }], forward: { service: others, path: "/y/{id}" }"#
            }
            _ => {
                r#"match: POST /e%, validate: [{ body: object }, { require: [a, b], message: "{{ field }}" }], rate: [{ allow: 5/1m, key: { body: a } }], forward: { service: others, path: /z }"#
            }
        };
        writeln!(text, "      - {{ name: r{number}, {} }}", route.replace('%', &number.to_string())).expect("memory");
    }
    writeln!(text, "  - {{ name: edition, match: GET /edition, auth: public, respond: {{ text: \"{edition}\" }} }}")
        .expect("memory");
    text
}

/// When each request was due, and how long after that it was answered.
type Took = Vec<(Instant, Duration)>;

/// Clients that behave, and how many of their requests were answered by now.
struct Clients {
    canary: Canary<Took>,
    answered: Arc<AtomicUsize>,
}

impl Clients {
    fn start(to: SocketAddr, token: &str) -> Clients {
        let mine = format!("GET /mine/7\nAuthorization: Bearer {token}");
        let requests = ["GET /own".to_owned(), "GET /s/echo".to_owned(), mine];
        let answered = Arc::new(AtomicUsize::new(0));
        let counted = answered.clone();
        let canary = Canary::start(move |stops| async move {
            let one = |number| client(to, number, requests.clone(), (stops.clone(), counted.clone()));
            (0..CLIENTS).map(one).collect::<JoinSet<_>>().join_all().await.concat()
        });
        Clients { canary, answered }
    }

    fn answered(&self) -> usize {
        self.answered.load(SeqCst)
    }
}

async fn client(
    to: SocketAddr,
    number: u64,
    requests: [String; 3],
    (stop, answered): (Arc<AtomicBool>, Arc<AtomicUsize>),
) -> Took {
    let mut client = Client::connect(to).await;
    let begin = tokio::time::Instant::now() + Duration::from_millis(2 * number);
    let mut due = interval_at(begin, Duration::from_millis(20));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took = Took::new();
    for request in requests.iter().cycle().skip(number as usize) {
        if stop.load(SeqCst) {
            break;
        }
        let due: Instant = due.tick().await.into();
        expect(request, &client.send(request).await, "200");
        took.push((due, due.elapsed()));
        answered.fetch_add(1, SeqCst);
    }
    took
}

/// What half of the requests in these times took at most, 99 of 100, and all.
fn figures(took: &Took, when: impl Fn(Instant) -> bool) -> [Duration; 3] {
    let mut part: Vec<_> = took.iter().filter(|(due, _)| when(*due)).map(|(_, took)| *took).collect();
    assert!(part.len() >= 100, "{} requests", part.len());
    part.sort_unstable();
    [50, 99, 100].map(|percent| part[(part.len() * percent / 100).min(part.len() - 1)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_routes_are_reloaded_under_load_and_nobody_notices() {
    let service = Service::start(puppet).await;
    let start = |routes: String| Gateway::with(&routes).audited().env("S", service.url()).env("SECRET", SECRET).start();
    let gateway = start(routes(0)).await;
    // Nobody reloads this one: what its clients notice is the machine, which the reload shares.
    let bystander = start(routes(0)).await;
    let token = Key::new(SECRET).sign(&Claims::new("7", "patient", "u7@example.org"));
    let (ours, theirs) = (Clients::start(gateway.address(), &token), Clients::start(bystander.address(), &token));
    eventually("requests before", async || (ours.answered() >= 1500).then_some(())).await;
    let memory = gateway.memory();
    let (mut reloads, mut lasted) = (Vec::new(), Vec::new());
    for edition in 1..=RELOADS {
        gateway.edit(&routes(edition));
        let begun = Instant::now();
        let is_live = || gateway.stderr().matches("routes reloaded: ").count() == edition;
        eventually_in(LONG, "the edit to be live", async || is_live().then_some(())).await;
        lasted.push(begun.elapsed());
        expect("it is live", &gateway.send("GET /edition").await, &format!("200\n= {edition}"));
        // The old table is freed then. Not asked of the gateway: to answer that costs it more than a request.
        let answered = ours.answered();
        eventually("more requests", async || (ours.answered() >= answered + 300).then_some(())).await;
        reloads.push(begun..Instant::now());
    }
    let (ours, theirs) = (ours.canary.stop(), theirs.canary.stop());
    let first = reloads[0].start;
    let calm = figures(&ours, |due| due < first);
    let reloading = |due: Instant| reloads.iter().any(|reload| reload.contains(&due));
    let (busy, spared) = (figures(&ours, reloading), figures(&theirs, reloading));
    println!("a reload of {MANY} routes takes {lasted:?}");
    println!("half of {} requests, 99 of 100 and all took at most {calm:?} before, {busy:?} meanwhile,", ours.len());
    println!("and {spared:?} at a gateway beside it");
    println!("MiB: {} before, {} after", memory >> 20, gateway.memory() >> 20);
    // As before, or as at a gateway that is left alone: the machine is shared with the reload, and with others. The slowest of all is one
    // request of thousands, which may have met anybody; a pause would be longer than that.
    for (at, floor) in [FLOOR, FLOOR, 5 * FLOOR].into_iter().enumerate() {
        let most = (calm[at].max(spared[at]) * 2).max(floor);
        assert!(busy[at] <= most, "{busy:?}: more than {most:?}");
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("hilum_requests_total", &[("status", "200")]), ours.len() as f64 + RELOADS as f64);
    assert_eq!(metrics.sum("hilum_panics_total", &[]), 0.0);
}
