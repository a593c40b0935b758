//! What the audit log of a running gateway holds, and what becomes of requests when it can't be written.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"] }, auth: { peers: ["${AUTH}"] }, gone: { peers: ["http://127.0.0.1:1"] } }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}" }
    cookie: { name: jwt }
routes:
  - group: records
    auth: { token: web, claims: { user_type: doctor } }
    audit: { resource: "patient/{claims.user_id}" }
    routes:
      - { name: read, match: "GET /patients/{id}", forward: { service: a }, audit: { resource: "patient/{id}" } }
      - { name: write, match: "PUT /patients/{id}", forward: { service: a }, audit: { resource: "patient/{id}", required: true } }
      - { name: shaped, match: "POST /patients/{id}", forward: { service: a }, reply: { else: { json: ok } }, audit: { resource: "patient/{id}", action: execute, required: true } }
      - { name: own, match: GET /own, respond: { text: own } }
      - { name: other, match: PUT /other, forward: { service: a }, audit: { resource: "doctor/{claims.reference}", required: true } }
      - { name: cut, match: GET /cut, forward: { service: a } }
      - { name: hidden, match: GET /hidden, forward: { service: gone }, errors: { upstream: { status: 200, json: {} } } }
      - { name: unseen, match: GET /unseen, respond: { text: unseen }, audit: off }
  - { name: login, match: POST /login, auth: public, session: { login: { token: web, service: auth, path: /auth/login, claims: { user_type: doctor } } } }
  - { name: logout, match: POST /logout, auth: public, session: { logout: { token: web } } }
  - { name: open, match: GET /open, auth: public, respond: { text: open } }
"#;

/// A folder for an audit log that outlives the gateways.
pub(crate) struct Log(tempfile::TempDir);

impl Log {
    pub(crate) fn new() -> Log {
        Log(tempfile::tempdir().expect("a folder"))
    }

    fn base(&self) -> PathBuf {
        self.0.path().join("audit/log")
    }

    pub(crate) fn conf(&self, more: &str) -> String {
        format!("audit: {{ file: \"{}\", key: \"${{HILUM_AUDIT_KEY}}\"{more} }}", self.base().display())
    }

    /// All whole records, in the order of the files.
    pub(crate) fn records(&self) -> Vec<Value> {
        let folder = std::fs::read_dir(self.base().parent().expect("a folder")).into_iter().flatten();
        let mut paths: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end.len() == 6));
        paths.sort();
        let texts = paths.iter().map(|path| std::fs::read_to_string(path).expect("a segment"));
        let text = texts.collect::<String>();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the record of a request that is not an intention.
    async fn of(&self, id: &str) -> Value {
        let fits = |record: &Value| record["request_id"] == id && record["outcome"] != "intended";
        eventually(id, async || self.records().into_iter().find(fits)).await
    }

    /// `hilum audit verify`: its code and what it said.
    async fn verify(&self, more: &[&str]) -> (i32, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_hilum"));
        command.args(["audit", "verify"]).arg(self.base()).args(more).env_clear().env("HILUM_AUDIT_KEY", AUDIT_KEY);
        let output = command.output().await.expect("it runs");
        (output.status.code().expect("it ended by itself"), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[track_caller]
    fn whole(&self, (code, said): &(i32, String)) {
        assert_eq!(*code, 0, "{said}\n{:#?}", self.records());
    }
}

struct World {
    log: Log,
    gateway: Gateway,
    service: Service,
    auth: Service,
    token: String,
}

impl World {
    async fn new() -> World {
        let (log, service, token) = (Log::new(), Service::start(puppet).await, token("doctor"));
        let body = format!(r#"{{"access_token":"{token}","expires_in":900}}"#);
        let auth = Service::start(move |seen: &Seen| match seen.header("x-request-id").as_deref() {
            Some("l2") => Reply::json(401, "{}"),
            _ => Reply::json(200, &body),
        });
        let auth = auth.await;
        let gateway = start(&log, &service, &auth, "").await;
        let world = World { log, gateway, service, auth, token };
        expect("login", &world.login("right", "first-login").await, "200");
        world
    }

    async fn login(&self, password: &str, id: &str) -> Response {
        let head = format!("POST /login\nContent-Type: application/json\nX-Request-ID: {id}");
        self.gateway.send(&format!("{head}\n\n{{\"user\":\"canary@example.org\",\"password\":\"{password}\"}}")).await
    }

    /// As the doctor.
    fn request(&self, request: &str, id: &str) -> String {
        let (line, rest) = request.split_once('\n').unwrap_or((request, ""));
        let rest = if rest.is_empty() { String::new() } else { format!("\n{rest}") };
        format!("{line}\nAuthorization: Bearer {}\nX-Request-ID: {id}{rest}", self.token)
    }

    async fn send(&self, line: &str, id: &str) -> Response {
        self.gateway.send(&self.request(line, id)).await
    }
}

fn with(log: &Log, service: &Service, auth: &Service, more: &str) -> Builder {
    let gateway = Gateway::with(ROUTES).conf(&log.conf(more));
    gateway.env("A", service.url()).env("AUTH", auth.url()).env("SECRET", SECRET).env("HILUM_AUDIT_KEY", AUDIT_KEY)
}

async fn start(log: &Log, service: &Service, auth: &Service, more: &str) -> Gateway {
    with(log, service, auth, more).start().await
}

#[track_caller]
fn says(record: &Value, expected: &str) {
    let wanted: Value = serde_json::from_str(expected).expect("JSON");
    for (name, value) in wanted.as_object().expect("an object") {
        assert_eq!(record.get(name).unwrap_or(&Value::Null), value, "{name} of {record:#}");
    }
}

#[tokio::test]
async fn who_did_what_is_recorded_and_nothing_that_is_nobody_s_business() {
    let mut world = World::new().await;
    expect("read", &world.send("GET /patients/9?note=canary-query", "r1").await, "200");
    expect("write", &world.send("PUT /patients/9\nContent-Length: 11\n\ncanary-body", "w1").await, "200");
    expect("own", &world.send("GET /own", "o1").await, "200");
    expect("unseen", &world.send("GET /unseen", "u1").await, "200");
    expect("nobody", &world.gateway.send("GET /patients/9\nX-Request-ID: n1").await, "401 token_missing");
    let stranger = format!("GET /patients/9\nX-Request-ID: s1\nAuthorization: Bearer {}", token("patient"));
    expect("without a session", &world.gateway.send(&stranger).await, "401 session_unknown");
    let forged = "POST /logout\nX-Request-ID: f1\nOrigin: https://evil.example\nContent-Length: 0";
    expect("forged", &world.gateway.send(forged).await, "403 csrf_rejected");
    let nobody = "POST /logout\nX-Request-ID: x0\nContent-Length: 0";
    expect("nobody leaves", &world.gateway.send(nobody).await, "200");
    expect("wrong", &world.login("wrong", "l2").await, "401 login_refused");
    expect("open", &world.gateway.send("GET /open\nX-Request-ID: p1").await, "200");
    let out = format!(
        "POST /logout\nX-Request-ID: x1\nContent-Length: 0\nSec-Fetch-Site: same-origin\nCookie: jwt={}",
        world.token
    );
    expect("logout", &world.gateway.send(&out).await, "200");

    says(
        &world.log.of("first-login").await,
        r#"{ "event": "sign_in", "outcome": "success", "status": 200, "user_id": "7", "user_type": "doctor", "route": "login", "service": "auth", "client": "127.0.0.1" }"#,
    );
    says(
        &world.log.of("r1").await,
        r#"{ "event": "access", "outcome": "success", "status": 200, "action": "read", "resource": "patient/9", "user_id": "7", "user_type": "doctor", "service": "a", "method": "GET", "route": "read", "reason": null }"#,
    );
    says(
        &world.log.of("w1").await,
        r#"{ "event": "access", "outcome": "success", "action": "update", "resource": "patient/9" }"#,
    );
    says(&world.log.of("o1").await, r#"{ "event": "access", "resource": "patient/7", "service": null }"#);
    says(
        &world.log.of("n1").await,
        r#"{ "event": "denied", "outcome": "refused", "reason": "token_missing", "status": 401, "user_id": null, "resource": "patient/9" }"#,
    );
    says(&world.log.of("s1").await, r#"{ "event": "denied", "reason": "session_unknown", "user_id": null }"#);
    says(&world.log.of("f1").await, r#"{ "event": "denied", "reason": "csrf_rejected" }"#);
    says(
        &world.log.of("l2").await,
        r#"{ "event": "sign_in", "outcome": "refused", "reason": "login_refused", "user_id": null }"#,
    );
    says(&world.log.of("x1").await, r#"{ "event": "sign_out", "outcome": "success", "user_id": "7" }"#);
    let intended = world.log.records().into_iter().filter(|record| record["outcome"] == "intended").collect::<Vec<_>>();
    assert_eq!(intended.len(), 1, "{intended:#?}");
    says(&intended[0], r#"{ "request_id": "w1", "event": "access", "status": null, "user_id": "7" }"#);
    assert_eq!(intended[0]["exchange"], world.log.of("w1").await["exchange"]);

    world.gateway.edit("version: 1\nroutes: []\n");
    let refused =
        |record: &Value| record["event"] == "config" && record["outcome"] == "refused" && record["config"].is_string();
    eventually("the refused file", async || world.log.records().into_iter().find(refused)).await;
    world.gateway.edit(&format!("{ROUTES}\n"));
    let taken =
        |record: &Value| record["event"] == "config" && record["outcome"] == "success" && record["config"].is_string();
    eventually("the new file", async || world.log.records().into_iter().find(taken)).await;
    // The start is the writer's own and not counted. A record is in the file a moment before it is counted.
    let counted = (world.log.records().len() - 1) as f64;
    world.gateway.counts("hilum_audit_records_total", &[("result", "written")], |written| written == counted).await;
    world.gateway.stop().await;
    world.log.whole(&world.log.verify(&[]).await);
    let records = world.log.records();
    assert_eq!(records.len() as f64, counted + 2.0, "all that was counted, the start and the stop");
    says(&records[0], r#"{ "event": "start", "seq": 1 }"#);
    says(&records[records.len() - 1], r#"{ "event": "stop" }"#);
    let all = format!("{records:?} {}", world.gateway.stderr());
    for secret in ["canary", &world.token, "example.org", AUDIT_KEY, SECRET] {
        assert!(!all.contains(secret), "{secret}");
    }
    for unseen in ["\"u1\"", "\"p1\"", "\"x0\""] {
        assert!(!all.contains(unseen), "{unseen}");
    }
    assert_eq!(world.auth.seen().len(), 2);
}

#[tokio::test]
async fn what_went_wrong_is_no_success_and_what_it_is_about_must_be_known() {
    let world = World::new().await;
    let mut client = world.gateway.connect().await;
    client.write(&message(&world.request("GET /cut", "cut"))).await;
    assert!(client.try_read(false).await.is_none_or(|answer| !answer.complete), "the service does not say all of it");
    says(&world.log.of("cut").await, r#"{ "outcome": "failed", "status": 200, "reason": "peer_reset" }"#);
    expect("hidden", &world.send("GET /hidden", "hidden").await, "200 peer_refused");
    says(&world.log.of("hidden").await, r#"{ "outcome": "failed", "status": 200, "reason": "peer_refused" }"#);
    // Without the claim by which it would be recorded.
    let asked = world.service.seen().len();
    expect("other", &world.send("PUT /other\nContent-Length: 0", "other").await, "403 claim_missing");
    assert_eq!(world.service.seen().len(), asked, "it was not done");
    says(&world.log.of("other").await, r#"{ "event": "denied", "reason": "claim_missing", "resource": null }"#);
    // Two exchanges under one id of the client's own choice.
    for _ in 0..2 {
        expect("twice", &world.send("PUT /patients/1\nContent-Length: 0", "twice").await, "200");
    }
    let twice = async || Some(world.log.records()).filter(|all| of_id(all, "twice").len() == 4);
    let records = eventually("both, before and after", twice).await;
    let numbers: Vec<_> = of_id(&records, "twice").iter().map(|record| record["exchange"].as_u64()).collect();
    let pair = |number| numbers.iter().filter(|of| **of == number).count();
    assert!(numbers.iter().all(|number| number.is_some() && pair(*number) == 2), "{numbers:?}");
}

fn of_id<'r>(records: &'r [Value], id: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["request_id"] == id).collect()
}

#[tokio::test]
async fn what_must_be_recorded_is_not_done_without_it_and_the_rest_goes_on() {
    let mut world = World::new().await;
    expect("before", &world.send("PUT /patients/1\nContent-Length: 0", "before").await, "200");
    let folder = world.log.base().parent().expect("a folder").to_owned();
    let away = folder.with_extension("away");
    std::fs::rename(&folder, &away).expect("our own folder");
    world.gateway.said("the audit log was tampered with").await;
    world.service.has_seen(1).await;
    for line in ["PUT /patients/1\nContent-Length: 0", "POST /patients/1\nContent-Length: 2\n\n{}"] {
        let answer = world.send(line, "refused").await;
        expect(line, &answer, "503 audit_unavailable\nretry-after: *");
    }
    assert_eq!(world.service.seen().len(), 1, "the service was not asked");
    expect("not required", &world.send("GET /patients/1", "r2").await, "200");
    expect("open", &world.gateway.send("GET /open").await, "200");
    world.gateway.counts("hilum_audit_records_total", &[("result", "failed")], |failed| failed >= 4.0).await;
    std::fs::rename(&away, &folder).expect("our own folder");
    let again =
        async || Some(world.send("PUT /patients/1\nContent-Length: 0", "again").await).filter(|a| a.status == 200);
    eventually("it is written again", again).await;
    says(&world.log.of("again").await, r#"{ "outcome": "success" }"#);
    let gap = world.log.records().into_iter().find(|record| record["event"] == "gap").expect("what is missing is told");
    assert!(gap["failed"].as_u64() >= Some(4), "{gap}");
    world.gateway.stop().await;
    world.log.whole(&world.log.verify(&[]).await);
}

#[tokio::test]
async fn killed_and_taken_over_at_any_time_the_log_is_whole_and_every_change_is_in_it() {
    let mut world = World::new().await;
    let other = start(&world.log, &world.service, &world.auth, ", rotate: 64KiB").await;
    let other = std::sync::Arc::new(other);
    let token = world.token.clone();
    let both: [std::net::SocketAddr; 2] = [world.gateway.address(), other.address()];
    // Each process has its own sessions.
    let at_other = other.clone();
    let head = "POST /login\nContent-Type: application/json\n\n{\"password\":\"right\"}";
    expect("login", &at_other.send(head).await, "200");
    let stream = |client: usize| {
        let (token, to) = (token.clone(), both[client % 2]);
        tokio::spawn(async move {
            let mut done = Vec::new();
            for n in 0..1000 {
                let id = format!("change-{client}-{n}");
                let Ok(mut connection) = Client::try_connect(to).await else { break };
                let request = format!(
                    "PUT /patients/{n}\nAuthorization: Bearer {token}\nX-Request-ID: {id}\nConnection: close\nContent-Length: 0"
                );
                if !connection.try_write(&message(&request)).await {
                    break;
                }
                match connection.try_read(true).await {
                    Some(answer) if answer.status == 200 => done.push(id),
                    _ => break,
                }
                if n == 150 && client % 2 == 1 {
                    break;
                }
            }
            done
        })
    };
    let clients: Vec<_> = (0..6).map(stream).collect();
    world.service.has_seen(120).await;
    world.gateway.signal(Signal::SIGKILL);
    world.gateway.ended().await;
    let mut done = Vec::new();
    for client in clients {
        done.extend(client.await.expect("a client"));
    }
    assert!(done.len() > 100, "{}", done.len());
    let known: std::collections::HashSet<String> =
        world.log.records().iter().filter_map(|record| record["request_id"].as_str().map(str::to_owned)).collect();
    let lost: Vec<_> = done.iter().filter(|id| !known.contains(*id)).collect();
    assert_eq!(lost, [""; 0], "who was answered is in the log");
    world.log.whole(&world.log.verify(&[]).await);
    let mut third = start(&world.log, &world.service, &world.auth, "").await;
    third.stop().await;
    let mut other =
        std::sync::Arc::into_inner(other).or(std::sync::Arc::into_inner(at_other)).expect("nobody else has it");
    other.stop().await;
    let verified = world.log.verify(&["--json"]).await;
    world.log.whole(&verified);
    let report: Value = serde_json::from_str(&verified.1).expect("JSON");
    assert!(report[0]["files"].as_u64() > Some(4) && report[0]["records"].as_u64() > Some(200), "{report:#}");
    // And what is done to it afterwards is named.
    let files = std::fs::read_dir(world.log.base().parent().expect("a folder")).expect("a folder");
    let path = files
        .map(|entry| entry.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "000001"))
        .min();
    let path = path.expect("a segment");
    let text = std::fs::read_to_string(&path).expect("a segment");
    std::fs::write(&path, text.replacen("\"user_id\":\"7\"", "\"user_id\":\"8\"", 1)).expect("our own file");
    let (code, said) = world.log.verify(&[]).await;
    let line = 1 + text.lines().position(|line| line.contains("\"user_id\":\"7\"")).expect("a user");
    assert!(code == 1 && said.contains(&format!("bad: {}:{line} seq {line} was changed", path.display())), "{said}");
    // All good ones are counted, not those before the fault alone.
    assert!(said.contains(", good records: ") && !said.contains("before the first"), "{said}");
}

#[tokio::test]
async fn a_flood_of_denials_is_counted() {
    let mut world = World::new().await;
    for _ in 0..30 {
        expect("nobody", &world.gateway.send("GET /patients/9").await, "401 token_missing");
    }
    world.gateway.stop().await;
    let denied: Vec<_> = world.log.records().into_iter().filter(|record| record["event"] == "denied").collect();
    assert_eq!(denied.len(), 11, "{denied:#?}");
    says(&denied[10], r#"{ "count": 20, "reason": "token_missing", "route": "read", "client": "127.0.0.1" }"#);
    world.log.whole(&world.log.verify(&[]).await);
}

#[tokio::test]
async fn who_is_known_is_counted_apart_from_others_behind_the_same_address() {
    let mut world = World::new().await;
    for _ in 0..15 {
        expect("nobody", &world.gateway.send("GET /patients/9").await, "401 token_missing");
        expect("own", &world.send("PUT /other\nContent-Length: 0", "known").await, "403 claim_missing");
    }
    world.gateway.stop().await;
    let counts: Vec<_> = world.log.records().into_iter().filter(|record| record["count"].is_number()).collect();
    assert_eq!(counts.len(), 2, "{counts:#?}");
    let sign_in = world.log.of("first-login").await;
    let known = counts.iter().find(|record| record["reason"] == "claim_missing").expect("the known one");
    assert_eq!((&known["count"], &known["session"]), (&5.into(), &sign_in["session"]));
    let other = counts.iter().find(|record| record["reason"] == "token_missing").expect("the others");
    says(other, r#"{ "count": 5, "session": null, "client": "127.0.0.1" }"#);
}

#[tokio::test]
async fn a_start_that_finds_its_port_taken_ends_its_chain() {
    let (log, service) = (Log::new(), Service::start(puppet).await);
    let taken = format!("[{{ address: \"{}\" }}]", service.address());
    let Err((status, said)) = with(&log, &service, &service, "").listeners(&taken).try_start().await else {
        panic!("it started")
    };
    assert!(status.code() == Some(1) && said.contains("can't be listened on"), "{said}");
    says(log.records().last().expect("records"), r#"{ "event": "stop" }"#);
    let verified = log.verify(&[]).await;
    log.whole(&verified);
    assert!(!verified.1.contains("no last record"), "{}", verified.1);
}

#[tokio::test]
async fn a_log_that_can_not_be_begun_starts_no_gateway() {
    let (log, service) = (Log::new(), Service::start(puppet).await);
    std::fs::write(log.base().parent().expect("a folder"), "a file in its place").expect("our own folder");
    let Err((status, said)) = with(&log, &service, &service, "").try_start().await else { panic!("it started") };
    assert!(status.code() == Some(1) && said.contains("the audit log can't be begun at"), "{said}");
    let Err((status, said)) = Gateway::with(ROUTES)
        .env("A", "http://127.0.0.1:1")
        .env("AUTH", "http://127.0.0.1:1")
        .env("SECRET", SECRET)
        .try_start()
        .await
    else {
        panic!("it started")
    };
    assert!(status.code() == Some(1) && said.contains("there is no audit log to record it in"), "{said}");
}
