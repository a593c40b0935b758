//! Nothing that a client, a service or a variable says in confidence is told again: not in a log at any level, not in a metric, not in
//! an answer of ours, not on `/status`, not when something panics. Everything secret holds the word `canary`, which is looked for.
//!
//! Run with `run` as its first word it is the gateway, with one filter more than the binary has: [`faulty`].

#![allow(clippy::large_futures, reason = "a test runs once")]

mod faulty;
#[path = "../harness/mod.rs"]
mod harness;
mod said;

use std::process::ExitCode;

use hilum_demo::token::{Claims, Key};

use harness::*;
use said::{BROKEN, PHASES, ROUTES, TO_ADMIN, answers, refused_edits, requests};

const SECRET: &str = "canary-secret-of-tokens-that-is-long-enough";
const ADMIN: &str = "canary-token-of-operators-that-is-long-enough";
const REDIS: &str = "canary-redis-password";
const AUDIT: &str = "canary-key-of-the-audit-log-that-is-long-enough";

fn main() -> ExitCode {
    let first = std::env::args().nth(1).unwrap_or_default();
    if first == "run" {
        return hilum::main(&[hilum_filters::FILTERS, faulty::FAULTY]);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let filter = Some(first).filter(|word| !word.starts_with('-'));
    for level in ["error", "info", "debug", "trace"] {
        let name = format!("nothing_secret_is_told_at_level_{level}");
        if filter.as_ref().is_none_or(|part| name.contains(part.as_str())) {
            runtime.block_on(nothing_secret_is_told(level));
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}

/// Tokens by the names that requests give them.
fn tokens() -> Vec<(&'static str, String)> {
    let claims = || Claims::new("7", "patient", "canary@mail.test");
    let expired = Claims { exp: 1.0, ..claims() };
    vec![
        ("{good}", Key::new(SECRET).sign(&claims())),
        ("{other}", Key::new(SECRET).sign(&Claims::new("8", "doctor", "canary@mail.test"))),
        ("{expired}", Key::new(SECRET).sign(&expired)),
        ("{forged}", Key::new("canary-another-secret-that-is-long-enough").sign(&claims())),
        ("{admin}", ADMIN.to_owned()),
    ]
}

fn filled(text: &str, tokens: &[(&str, String)]) -> String {
    tokens.iter().fold(text.to_owned(), |text, (name, token)| text.replace(name, token))
}

async fn start(level: &str, redis: &Redis, service: &Service) -> Gateway {
    let builder = Gateway::with(ROUTES)
        .program(std::env::current_exe().expect("this program has a path"))
        .env("A", service.url())
        .env("SECRET", SECRET)
        .env("SHORT", "canary-short")
        .env("JUNK", "canary junk, which no key takes")
        .env("WITH_LOGIN", "https://user:canary-in-url@hilum.test/x?canary")
        .env("HILUM_ADMIN_TOKEN", ADMIN)
        .env("REDIS_URL", format!("redis://hilum:{REDIS}@127.0.0.1:{}/0", redis.port()))
        .env("HILUM_AUDIT_KEY", AUDIT)
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .admin("{ address: \"127.0.0.1:0\", token: \"${HILUM_ADMIN_TOKEN}\" }")
        .conf("sessions: \"${REDIS_URL}\"\naudit: { file: ../audit/log, key: \"${HILUM_AUDIT_KEY}\" }")
        .log(&format!("{{ level: {level}, access: {{ file: ../access.log }} }}"))
        .file("files/real.txt", "0123456789")
        .file("records/kept", "")
        .file("static/pages/page.html", "{{ n }} {{ deep }} {{ 1 // n }}");
    if level == "error" { builder.silent() } else { builder }.start().await
}

async fn nothing_secret_is_told(level: &str) {
    let tokens = tokens();
    let good = tokens[0].1.clone();
    let service = Service::start(move |seen| {
        let path = seen.target.split('?').next().unwrap_or_default();
        match path.strip_prefix("/answer/") {
            Some(how) => {
                let (status, body) = answers(how).unwrap_or((404, r#"{"detail":"canary-not-found"}"#));
                let headers = [
                    "Content-Type: application/json",
                    "Server: canary-server",
                    "X-Canary: canary-header",
                    "Via: canary-host.internal",
                ];
                Reply::new().answer(status, &headers, body)
            }
            None if path == "/login" => Reply::json(200, format!(r#"{{"access_token":"{good}","expires_in":900}}"#)),
            None => puppet(seen),
        }
    })
    .await;
    let password = format!(">{REDIS}");
    let words = ["--user", "hilum", "on", &password, "~*", "&*", "+@all"].map(str::to_owned);
    let mut redis = Redis::start_with(|_| words.to_vec()).await;
    let gateway = start(level, &redis, &service).await;
    // What is to be recorded is lost from now on, and that is told.
    std::fs::remove_dir_all(gateway.folder().join("records")).expect("a folder of our own");
    let mut told = Told { texts: Vec::new(), secrets: secrets(&tokens) };

    let mut reasons = std::collections::BTreeSet::new();
    let requests = requests();
    for request in &requests {
        let mut client = gateway.connect().await;
        client.write(&message(&filled(request, &tokens))).await;
        // A panic ends the connection without an answer.
        let Some(answer) = client.try_read(request.starts_with("HEAD ")).await else { continue };
        reasons.insert(answer.reason());
        told.answer(request, &answer);
    }
    for bytes in BROKEN {
        let mut client = gateway.connect().await;
        client.write(bytes).await;
        client.finish().await;
        if let Some(answer) = client.try_read(false).await {
            told.texts.push((
                format!("the answer to {}", String::from_utf8_lossy(bytes)),
                format!("{:?}\n{}", answer.headers, answer.text()),
            ));
        }
    }
    for request in TO_ADMIN {
        let request = filled(&request.replace("OURS", &gateway.admin().to_string()), &tokens);
        let answer = Client::connect(gateway.admin()).await.send(&request).await;
        told.texts.push((format!("the answer to {request}"), format!("{:?}\n{}", answer.headers, answer.text())));
    }
    std::fs::create_dir(gateway.folder().join("records")).expect("a folder of our own");
    for (number, edit) in refused_edits().iter().enumerate() {
        gateway.edit(edit);
        let answer = gateway.reload().await;
        assert_eq!(answer.status, 422, "edit {number} is refused: {}", answer.text());
        told.texts.push((format!("the answer to edit {number}"), format!("{:?}\n{}", answer.headers, answer.text())));
    }
    gateway.edit(ROUTES);
    // A Redis that is gone has an address and a password in its errors.
    redis.kill().await;
    for request in [
        "GET /me\nAuthorization: Bearer {good}",
        "POST /logout\nCookie: jwt={good}\nSec-Fetch-Site: same-origin\nContent-Length: 0",
    ] {
        let answer = gateway.send(&filled(request, &tokens)).await;
        reasons.insert(answer.reason());
        told.answer(request, &answer);
    }
    told.texts.push(("/metrics".to_owned(), gateway.metrics().await.0));
    told.texts.push(("/status".to_owned(), gateway.ask_admin("GET /status").await.text()));
    let panics = gateway.metrics().await.sum("hilum_panics_total", &[]);
    let said = requests.len() + BROKEN.len();
    eventually("a line for each", async || (gateway.access_log().len() > said * 9 / 10).then_some(())).await;
    let (access_log, mut gateway) = (gateway.folder().join("access.log"), gateway);
    assert!(gateway.stop().await.success());
    told.texts.push(("the access log".to_owned(), std::fs::read_to_string(access_log).expect("it is there")));
    let audited = audit_log(&gateway);
    told.texts.push(("the audit log".to_owned(), audited.clone()));
    told.texts.push(("standard error".to_owned(), gateway.stderr()));
    told.texts.push(("standard output".to_owned(), gateway.stdout()));
    told.holds_nothing_secret();
    // What was said has been heard: otherwise nothing could have leaked.
    assert!(panics >= PHASES.len() as f64 - 1.0, "{panics} panics");
    assert!(reasons.len() >= 25, "{reasons:?}");
    assert!(level == "error" || gateway.stderr().contains("ready listeners"), "there is a log to look at");
    for of in
        ["start", "access", "sign_in", "sign_out", "denied", "config", "stop"].map(|of| format!("\"event\":\"{of}\""))
    {
        assert!(audited.contains(&of), "{of} is in the audit log\n{audited}");
    }
    for of in ["intended", "success", "refused", "failed"].map(|of| format!("\"outcome\":\"{of}\"")) {
        assert!(audited.contains(&of), "{of} is in the audit log\n{audited}");
    }
    assert!(gateway.stderr().contains("a defect: panic at"), "{}", gateway.stderr());
}

/// Every file of the audit log.
fn audit_log(gateway: &Gateway) -> String {
    let files = std::fs::read_dir(gateway.folder().join("audit")).expect("there is an audit log");
    let texts = files.map(|file| std::fs::read_to_string(file.expect("an entry").path()).expect("text"));
    texts.collect()
}

/// Words that may not be told, in small letters.
fn secrets(tokens: &[(&str, String)]) -> Vec<String> {
    let mut words = vec!["canary".to_owned(), "jwt=".to_owned(), "u7@example".to_owned()];
    // The payload of a token hides the word from the eye and from nobody else.
    words.extend(tokens.iter().flat_map(|(_, token)| token.split('.').skip(1)).map(str::to_ascii_lowercase));
    words
}

/// What was told, and by what.
struct Told {
    texts: Vec<(String, String)>,
    secrets: Vec<String>,
}

impl Told {
    /// An answer that Hilum made itself. What a service says to a client is theirs.
    fn answer(&mut self, request: &str, answer: &Response) {
        let shaped = ["/shaped", "/combined", "/login/"].iter().any(|path| request.contains(path));
        let by_service = answer.reason().is_empty() && answer.status != 400 && !shaped;
        // Of a shaped answer the head is the service's still.
        let head = if shaped && answer.reason().is_empty() { String::new() } else { format!("{:?}", answer.headers) };
        if !by_service {
            self.texts.push((format!("the answer to {request}"), format!("{head}\n{}", answer.text())));
        }
    }

    fn holds_nothing_secret(&self) {
        let mut wrong = Vec::new();
        for (what, text) in &self.texts {
            for line in text.lines() {
                let low = line.to_ascii_lowercase();
                if let Some(secret) = self.secrets.iter().find(|secret| low.contains(secret.as_str())) {
                    wrong.push(format!("{what}\n    tells {secret}: {line}"));
                }
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}
