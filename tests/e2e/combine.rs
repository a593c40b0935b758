//! `combine`: several calls side by side, one answer, and what is missing in it is said.

use std::time::{Duration, Instant};

use crate::harness::*;
use crate::world::*;

/// A service that answers as the last segment of the path says; a number is a status, with JSON.
fn oracle(seen: &Seen) -> Reply {
    let path = seen.target.split('?').next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        "slow" => Reply::new().pause(100).answer(200, &["Content-Type: application/json"], r#"{"n":7}"#),
        "odd" => Reply::json(200, r#"{"n":1.10,"big":123456789012345678901234567890}"#),
        "huge-number" => Reply::json(200, r#"{"n":1E400}"#),
        "deep" => Reply::json(200, format!(r#"{{"n":{}{}}}"#, "[".repeat(200), "]".repeat(200))),
        "text" => Reply::new().answer(200, &["Content-Type: application/json"], "<html>"),
        "empty" => Reply::json(200, ""),
        "half" => Reply::json(200, r#"{"n":7"#),
        "cut" => Reply::new().send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"n\":7}").close(),
        "huge" => Reply::json(200, format!(r#"{{"n":7,"x":"{}"}}"#, "x".repeat(2000))),
        "garbage" => Reply::new().send("no HTTP at all\r\n\r\n").close(),
        "reset" => Reply::new().reset(),
        "silent" => Reply::new().then(Step::Hang),
        "echo" => Reply::new().then(Step::Echo),
        "204" => Reply::new().send("HTTP/1.1 204 No Content\r\n\r\n"),
        number => Reply::json(number.parse().expect("a status"), r#"{"n":7,"detail":"secret of the service"}"#),
    }
}

struct World {
    gateway: Gateway,
    must: Service,
    may: Service,
    _gone: Refusing,
}

/// The services `must` and `may`, two oracles; `hasty`, which is `may` with little patience; and `gone` and `sick`, where nobody
/// listens.
async fn world(routes: &str) -> World {
    let (must, may) = (Service::start(oracle).await, Service::start(oracle).await);
    let gone = Refusing::new();
    let routes = format!(
        r#"version: 1
services:
  must: {{ peers: ["${{MUST}}"], retry: {{ attempts: 1 }} }}
  may: {{ peers: ["${{MAY}}"], retry: {{ attempts: 1 }} }}
  hasty: {{ peers: ["${{MAY}}"], timeouts: {{ response: 1s }}, retry: {{ attempts: 1 }} }}
  gone: {{ peers: ["${{GONE}}"] }}
  sick: {{ peers: ["${{GONE}}"], health: {{ every: 50ms, timeout: 500ms, down_after: 1 }} }}
{TOKENS}
routes:
  - {{ match: GET /health, auth: public, health: {{ services: [must, may, hasty, gone, sick] }} }}
{routes}"#
    );
    let gateway = Gateway::with(&routes).env("MUST", must.url()).env("MAY", may.url()).env("GONE", gone.url());
    World { gateway: gateway.env("SECRET", SECRET).start().await, must, may, _gone: gone }
}

const DASHBOARD: &str = r#"
  - name: dashboard
    match: "GET /d/{must}/{may}"
    auth: { token: web }
    limits: { reply: 1KiB }
    filters: [{ headers: { request: { set: { X-Team: gateway } } } }]
    combine:
      time: 2s
      parts:
        must: { service: must, path: "/must/{must}" }
        may: { service: hasty, path: "/may/{may}", query: { page: "{query.page:-1}" }, otherwise: { n: null } }
        last: { service: may, path: /last/200, otherwise: null }
      json: { n: "{{ must.n }}", may: "{{ may.n }}", last: "{{ last }}", missing: "{{ missing }}", status: ["{{ status.must }}", "{{ status.may }}"], of: "{{ claims.user_id }} {{ params.may }} {{ query.page }}" }
  - name: hasty
    match: "GET /hasty/{may}"
    auth: public
    combine: { parts: { it: { service: hasty, path: "/{may}" } }, json: "{{ it }}" }
  - name: both
    match: GET /both
    auth: public
    combine:
      parts: { it: { service: must, path: /500 }, other: { service: may, path: /silent, otherwise: null } }
      json: ["{{ it }}", "{{ other }}"]
  - { name: gone, match: GET /gone, auth: public, combine: { parts: { it: { service: gone, path: / } }, json: "{{ it }}" } }
  - { name: sick, match: GET /sick, auth: public, combine: { parts: { it: { service: sick, path: / } }, json: "{{ it }}" } }
  - name: without
    match: GET /without
    auth: public
    combine:
      parts:
        gone: { service: gone, path: /, otherwise: { list: [] } }
        it: { service: must, path: /200 }
        sick: { service: sick, path: /, otherwise: null }
      json: { n: "{{ it.n }}", gone: "{{ none if 'gone' in missing else gone.list | length }}", sick: "{{ sick }}", missing: "{{ missing }}", status: "{{ status }}" }
"#;

fn get(target: &str) -> String {
    format!("GET {target}\nAuthorization: Bearer {}", token("patient"))
}

#[tokio::test]
async fn every_part_is_asked_once_in_the_callers_name_and_the_answer_is_made_of_all() {
    let World { gateway, must, may, _gone } = world(DASHBOARD).await;
    let noise = "X-User-ID: 1\nX-Team: client\nCookie: a=b\nAccept: text/html\nContent-Type: text/x\nIf-None-Match: x\nX-Own: 1";
    let whole = r#"{"n":7,"may":7,"last":{"n":7,"detail":"secret of the service"},"missing":[],"status":[200,203],"of":"7 203 2"}"#;
    let answer = gateway.send(&format!("{}\n{noise}", get("/d/200/203?page=2&x=y"))).await;
    let expectation =
        format!("200\ncontent-type: application/json\ncache-control: private, no-store\nx-request-id: *\n{whole}");
    expect("all", &answer, &expectation);
    let (first, others) = (must.seen(), may.seen());
    assert_eq!((first.len(), others.len()), (1, 2), "each is asked once");
    let mut targets: Vec<_> =
        first.iter().chain(&others).map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    targets.sort();
    assert_eq!(targets, ["GET /last/200", "GET /may/203?page=2", "GET /must/200"]);
    for seen in first.iter().chain(&others) {
        for (name, value) in [
            ("x-user-id", Some("7")),
            ("x-user-type", Some("patient")),
            ("x-team", Some("gateway")),
            ("x-own", Some("1")),
            ("accept", Some("application/json")),
            ("accept-encoding", Some("identity")),
            ("cookie", None),
            ("content-type", None),
            ("content-length", None),
            ("if-none-match", None),
        ] {
            assert_eq!(seen.header(name).as_deref(), value, "{name} of {}", seen.target);
        }
        assert!(seen.header("authorization").is_some() && seen.header("x-request-id").is_some());
    }
    let head = gateway.send(&get("/d/200/203?page=2").replacen("GET", "HEAD", 1)).await;
    expect("HEAD", &head, &format!("200\n=\ncontent-length: {}", whole.len()));
    assert_eq!(must.last().method, "GET");
    check(
        &gateway,
        &[
            ("GET /d/200/200", "401 token_missing"),
            (&format!("{}\nContent-Length: 0", get("/d/200/200").replacen("GET", "POST", 1)), "405 method_not_allowed"),
        ],
    )
    .await;
    assert_eq!((must.seen().len(), may.seen().len()), (2, 4), "no refused caller reached a service");
    gateway.counts("hilum_service_requests_total", &[("service", "must"), ("outcome", "2xx")], |n| n == 2.0).await;
}

#[tokio::test]
async fn a_part_that_may_fail_is_named_in_missing_and_is_no_zero() {
    let World { gateway, must, may, _gone } = world(DASHBOARD).await;
    let own = |status: &str| format!("200\n~ \"n\":7,\"may\":null\n~ \"missing\":[\"may\"],\"status\":[200,{status}]");
    let cases = [
        ("500", "500"),
        ("503", "503"),
        ("404", "404"),
        ("401", "401"),
        ("403", "403"),
        ("302", "302"),
        ("204", "204"),
        ("text", "200"),
        ("empty", "200"),
        ("half", "200"),
        // What can't be read as JSON is not there, whatever a look at it says.
        ("huge-number", "200"),
        ("deep", "200"),
        ("huge", "null"),
        ("cut", "null"),
        ("garbage", "null"),
        ("reset", "null"),
        ("silent", "null"),
    ];
    for (at, (way, status)) in cases.iter().enumerate() {
        expect(way, &gateway.send(&get(&format!("/d/200/{way}"))).await, &own(status));
        let asked = may.seen().iter().filter(|seen| seen.target.starts_with(&format!("/may/{way}?"))).count();
        assert_eq!((must.seen().len(), asked), (at + 1, 1), "{way}: nothing is asked twice");
    }
    let line = gateway.logged("a part that is missing", |line| line["service"] == "hasty").await;
    assert_eq!((line["status"].as_u64(), line["reason"].as_str()), (Some(200), None), "{line}");
    gateway.peers_up(&[("service", "sick")], 0.0).await;
    let status = r#"{"gone":null,"it":200,"sick":null}"#;
    let without = format!(r#"{{"n":7,"gone":null,"sick":null,"missing":["gone","sick"],"status":{status}}}"#);
    check(&gateway, &[("GET /without", &format!("200\n{without}"))]).await;
}

#[tokio::test]
async fn a_part_that_must_not_fail_refuses_the_whole_and_ends_the_others() {
    let World { gateway, must, may: _may, _gone } = world(DASHBOARD).await;
    gateway.peers_up(&[("service", "sick")], 0.0).await;
    for (way, expectation) in [
        ("500", "502 part_failed"),
        ("404", "502 part_failed"),
        ("401", "502 part_failed"),
        ("403", "502 part_failed"),
        ("302", "502 part_failed"),
        ("204", "502 part_failed"),
        ("text", "502 part_failed"),
        ("empty", "502 part_failed"),
        ("half", "502 part_failed"),
        ("huge-number", "502 part_failed"),
        ("huge", "502 peer_garbage"),
        ("garbage", "502 peer_garbage"),
        ("reset", "502 peer_reset"),
        ("silent", "504 deadline"),
    ] {
        let since = Instant::now();
        let id = format!("must-{way}");
        let answer = gateway.send(&format!("{}\nX-Request-ID: {id}", get(&format!("/d/{way}/200")))).await;
        expect(
            way,
            &answer,
            &format!("{expectation}\ncontent-type: application/problem+json\n!~ secret\n!~ 127.0.0.1"),
        );
        assert!(since.elapsed() < Duration::from_secs(5), "{way} took {:?}", since.elapsed());
        let line = gateway.logged_id(&id).await;
        assert_eq!((line["service"].as_str(), line["route"].as_str()), (Some("must"), Some("dashboard")), "{line}");
        let asked = must.seen().iter().filter(|seen| seen.target == format!("/must/{way}")).count();
        assert_eq!(asked, 1, "{way}: nothing is asked twice");
    }
    check(
        &gateway,
        &[
            ("GET /hasty/silent", "504 peer_timeout"),
            ("GET /gone", "502 peer_refused"),
            ("GET /sick", "503 no_healthy_peer\nretry-after: *"),
        ],
    )
    .await;
    // The others are given up at once, and that is counted.
    let abandoned = [("service", "may"), ("outcome", "abandoned")];
    let before = gateway.metrics().await.sum("hilum_service_requests_total", &abandoned);
    let since = Instant::now();
    check(&gateway, &[("GET /both", "502 part_failed")]).await;
    assert!(since.elapsed() < Duration::from_secs(4), "it waited for the other: {:?}", since.elapsed());
    gateway.counts("hilum_service_requests_total", &abandoned, |n| n == before + 1.0).await;
    gateway.counts("hilum_peer_in_flight", &[], |n| n == 0.0).await;
}

#[tokio::test]
async fn what_is_passed_on_unread_is_not_rebuilt_and_the_answer_can_be_shaped_and_changed() {
    let World { gateway, must, may, _gone } = world(
        r#"
  - name: odd
    match: "GET /odd/{way}"
    auth: public
    combine:
      parts:
        it: { service: must, path: "/{way}" }
        other: { service: gone, path: /, otherwise: { a: 1.10, b: [null, "x"] } }
      json: { it: "{{ it }}", other: "{{ other }}", down: "{{ missing | length }}" }
      status: 203
    reply: { 203: { status: 201, json: { data: "{{ body }}", status: "{{ status }}" } } }
  - name: bump
    match: POST /bump
    auth: { token: web }
    combine: { parts: { it: { service: must, path: /bump/echo, method: POST } }, json: { method: "{{ it.method }}" } }
  - name: mine
    match: GET /mine
    auth: { token: web }
    combine: { parts: { it: { service: may, path: "/mine/{claims.metadata.ward}", otherwise: 0 } }, json: "{{ it }}" }
  - name: fails
    match: GET /fails
    auth: public
    errors: { upstream: { status: 503, json: { message: "{{ message }}" } } }
    messages: { part_failed: no figures }
    combine: { parts: { it: { service: may, path: /200 } }, json: "{{ it.x.y }}" }
  - { name: rest, match: GET /rest, auth: public, combine: { parts: { a: { service: hasty, path: / }, b: { service: sick, path: / } }, json: ["{{ a }}", "{{ b }}"] } }
"#,
    )
    .await;
    let kept = |it: &str| {
        format!(r#"201{}= {{"data":{{"it":{it},"other":{{"a":1.10,"b":[null,"x"]}},"down":1}},"status":203}}"#, "\n")
    };
    let by = format!("Cookie: jwt={}", token("patient"));
    check(
        &gateway,
        &[
            ("GET /odd/odd", &kept(r#"{"n":1.10,"big":123456789012345678901234567890}"#)),
            ("GET /odd/huge-number", &kept(r#"{"n":1E400}"#)),
            ("GET /odd/text", "502 part_failed"),
            ("GET /fails", "503 part_failed\n{\"message\":\"no figures\"}"),
        ],
    )
    .await;
    let before = (must.seen().len(), may.seen().len());
    check(
        &gateway,
        &[
            (&format!("POST /bump\n{by}\nOrigin: https://evil.example\nContent-Length: 0"), "403 csrf_rejected"),
            (&format!("GET /bump\n{by}"), "405 method_not_allowed"),
            // The client's doing is no failure of a service.
            (&format!("GET /mine\n{by}"), "403 claim_missing"),
        ],
    )
    .await;
    assert_eq!((must.seen().len(), may.seen().len()), before, "nobody was asked");
    let post = format!("POST /bump\n{by}\nSec-Fetch-Site: same-origin\nContent-Type: text/plain\n\nsome body");
    check(&gateway, &[(&post, "200\n{\"method\":\"POST\"}")]).await;
    let seen = must.last();
    assert_eq!((seen.header("content-length").as_deref(), seen.body.len()), (Some("0"), 0));
}

/// Three parts of 100 ms take as long as one, up to 30 ms: medians of 20, in turn with one part alone, so that a busy machine
/// slows both.
#[tokio::test]
async fn parts_take_as_long_as_the_slowest_of_them() {
    let three = |name: &str, third: &str| {
        format!(
            r#"
  - name: {name}
    match: GET /{name}
    auth: public
    combine:
      parts:
        one: {{ service: must, path: /1/slow }}
        two: {{ service: may, path: /2/slow }}
        three: {{ service: {third}, path: /3/slow, otherwise: {{ n: null }} }}
      json: {{ n: ["{{{{ one.n }}}}", "{{{{ two.n }}}}", "{{{{ three.n }}}}"], missing: "{{{{ missing }}}}" }}"#
        )
    };
    let alone = "\n  - { match: GET /alone, auth: public, forward: { service: must, path: /0/slow }, reply: { 200: { json: \"{{ body.n }}\" } } }\n  - { match: GET /others, auth: { token: web }, combine: { parts: { a: { service: hasty, path: / }, b: { service: sick, path: / } }, json: [\"{{ a }}\", \"{{ b }}\"] } }";
    let World { gateway, must: _must, may: _may, _gone } =
        world(&format!("{}{}{alone}", three("all", "may"), three("down", "gone"))).await;
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..20 {
        for (times, (path, expectation)) in times.iter_mut().zip([
            ("alone", "200\n= 7"),
            ("all", r#"200 {"n":[7,7,7],"missing":[]}"#),
            ("down", r#"200 {"n":[7,7,null],"missing":["three"]}"#),
        ]) {
            let since = Instant::now();
            let answer = gateway.send(&format!("GET /{path}")).await;
            times.push(since.elapsed());
            expect(path, &answer, &expectation.replacen(" {", "\n{", 1));
        }
    }
    let [alone, all, down] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("median of 20: one part alone {alone:?}, three {all:?}, three with one down {down:?}");
    let most = alone + Duration::from_millis(30);
    assert!(all <= most && down <= most, "one part alone {alone:?}, three {all:?}, with one down {down:?}");
    assert!(all >= Duration::from_millis(100), "the clock is wrong: {all:?}");
}
