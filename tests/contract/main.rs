//! The contract of the gateway that PredictHealth has today, row by row, held against the project's own `routes.yaml` before the
//! demo services. `index.txt` names its rows, `rows/*.txt` says what each answers to whom.

#[path = "../harness/mod.rs"]
mod harness;
mod row;
mod variables;
mod world;

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hilum_demo::token::{Claims, Key};

use harness::*;
use row::{Look, Row, request};
use world::{ROUTES, SECRET, USER_TYPES, World};

const INDEX: &str = include_str!("index.txt");
const ROWS: &[&str] = &[
    include_str!("rows/public.txt"),
    include_str!("rows/sign-in.txt"),
    include_str!("rows/patient.txt"),
    include_str!("rows/doctor.txt"),
    include_str!("rows/institution.txt"),
    include_str!("rows/admin.txt"),
    include_str!("rows/api.txt"),
    include_str!("rows/pages.txt"),
];

fn all() -> Vec<Row> {
    ROWS.iter().flat_map(|text| row::rows(text)).collect()
}

#[test]
fn every_row_of_the_contract_is_here() {
    let rows = all();
    let here: BTreeSet<&str> = rows.iter().flat_map(|row| row.of.iter().map(String::as_str)).collect();
    let missing: Vec<&str> = INDEX.lines().filter(|row| !here.contains(row)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// No token, bad ones, those of others, and the right one by cookie and by bearer; then whatever else the row asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_answers_each_caller_as_the_contract_says() {
    let world = World::new().await;
    let mut walk = Walk::of(&world.gateway);
    for row in &all() {
        let send = world.fill(&row.send, &row.by).await;
        if row.by == "public" {
            for caller in ["", "Authorization: Bearer nonsense"] {
                // Who reports on the token itself is asked about bad ones below.
                if caller.is_empty() || !row.good.contains("token_missing") {
                    walk.see(row, &request(&send, caller), &row.good).await;
                }
            }
        } else {
            strangers(&mut walk, &world, row, &send).await;
            let by: &[&str] = if row.by == "session" { &USER_TYPES } else { &[&row.by] };
            for by in by {
                for caller in [world.cookie(by), world.bearer(by)] {
                    let send = world.fill(&row.send, by).await;
                    walk.see(row, &request(&send, &caller), &world.fill(&row.good, by).await).await;
                }
            }
        }
        for case in &row.more {
            let send = world.fill(&case.send, &case.by).await;
            let gives = world.fill(&case.gives, &case.by).await;
            walk.see(row, &request(&send, &world.cookie(&case.by)), &gives).await;
        }
    }
    walk.end();
    let log = std::fs::read_to_string(world.gateway.folder().join("access.log")).expect("there is an access log");
    for told in [log, world.gateway.stderr(), world.gateway.stdout()] {
        for secret in
            ["eyJ", "Paciente.2025", "Hospital.2025", "Doctora.2025", "lucia.mendoza", "Quiero una cita", SECRET]
        {
            assert!(!told.contains(secret), "{secret} is in a log");
        }
    }
    // And the other way round: no route of the file that no row asks.
    let metrics = world.gateway.metrics().await;
    let unasked: Vec<&str> = ROUTES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- name: ").or_else(|| line.trim().strip_prefix("- { name: ")))
        .filter_map(|rest| rest.split([' ', ',']).next())
        .filter(|name| !metrics.has("hilum_requests_total", &[("route", name)]))
        .collect();
    assert!(unasked.is_empty(), "{unasked:?}");
    assert_eq!(metrics.sum("hilum_panics_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_says_what_is_right_when_services_are_gone_or_talk_nonsense() {
    let world = World::new().await;
    let gone = Refusing::new();
    let garbage = Service::always(Reply::new().answer(200, &["Content-Type: text/html"], "<html>Lo sentimos</html>"));
    let broken =
        Service::always(Reply::new().answer(500, &["Content-Type: text/plain"], "Traceback (most recent call last)"));
    let told = r#"{"detail":"can't adapt type 'UUID' at db-host:5432","error":"at db-host"}"#;
    let telling = Service::always(Reply::json(500, told)).await;
    let listing = Service::always(Reply::json(500, "[\"db-host\"]")).await;
    let (garbage, broken) = (garbage.await, broken.await);
    for (url, instead, with_api) in [
        (gone.url(), (|row| &row.down) as fn(&Row) -> &String, true),
        (garbage.url(), |row| &row.garbage, true),
        (broken.url(), |row| &row.broken, true),
        // What a failed service tells of itself stays here, but in its own API.
        (telling.url(), |row| &row.broken, false),
        (listing.url(), |row| &row.broken, false),
    ] {
        let gateway = world.gateway_before(&url).await;
        let mut walk = Walk::of(&gateway);
        for row in all().iter().filter(|row| with_api || row.look() != Look::Api) {
            let by = if row.by == "session" { "patient" } else { &row.by };
            let send = world.fill(&row.send, by).await;
            let expectation = world.fill(row.instead(instead(row)), by).await;
            for caller in [world.cookie(by), world.bearer(by)] {
                walk.see(row, &request(&send, &caller), &expectation).await;
            }
        }
        walk.end();
    }
}

/// JSON without what was asked for is no answer either: nobody is shown a list that is null.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_missing_is_a_failure() {
    let world = World::new().await;
    let empty = Service::always(Reply::json(200, "{}")).await;
    let gateway = world.gateway_before(&empty.url()).await;
    for path in ["doctors", "patients", "patients/stats", "dashboard"] {
        let send = request(&format!("GET /api/web/institution/{path}"), &world.bearer("institution"));
        expect(path, &gateway.send(&send).await, "503 part_failed\n~ {\"status\":\"error\",\"message\":\"Error");
    }
}

/// An outage is no sign-out: nobody gets in, nobody's cookie is cleared, and who needs no session notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_answers_503_to_a_good_token_while_sessions_are_not_to_be_had() {
    let world = World::new().await;
    let (gateway, _gone) = world.gateway_without_sessions().await;
    let mut walk = Walk::of(&gateway);
    for row in all().iter().filter(|row| row.by != "public") {
        let by = if row.by == "session" { "patient" } else { &row.by };
        let send = world.fill(&row.send, by).await;
        let expectation = match row.look() {
            Look::Web if row.of[0].contains("/institution/") && !row.of[0].contains("/doctors/") => {
                "503 store_unavailable\n!set-cookie\n~ {\"status\":\"error\",\"message\":\"El servicio de sesiones no está disponible\""
            }
            Look::Web => {
                "503 store_unavailable\n!set-cookie\n{\"status\":\"error\",\"message\":\"El servicio de sesiones no está disponible\",\"code\":503}"
            }
            Look::Api => {
                "503 store_unavailable\n!set-cookie\n{\"error\":\"El servicio de sesiones no está disponible\"}"
            }
            Look::Page => "503 store_unavailable\n!set-cookie\n!location",
        };
        for caller in [world.cookie(by), world.bearer(by)] {
            walk.see(row, &request(&send, &caller), expectation).await;
        }
    }
    let sign_in = "503 store_unavailable\n!set-cookie\n{\"status\":\"error\",\"message\":\"Session storage failed\",\"code\":503}";
    for row in all().iter().filter(|row| row.of[0].starts_with("POST") && row.of[0].ends_with("/login")) {
        walk.see(row, &request(&row.send, ""), sign_in).await;
    }
    let row = &row::rows(ROWS[0])[0];
    walk.see(row, &request("GET /health", ""), &row.good).await;
    walk.end();
}

/// Whoever is not who the row is for.
async fn strangers(walk: &mut Walk<'_>, world: &World, row: &Row, send: &str) {
    walk.see(row, &request(send, ""), &refused(row.look(), "token_missing", "")).await;
    for (reason, token) in bad_tokens() {
        let bearer = format!("Authorization: Bearer {token}");
        let cookie = format!("Cookie: predicthealth_jwt={token}\nSec-Fetch-Site: same-origin");
        walk.see(row, &request(send, &bearer), &refused(row.look(), reason, "bearer")).await;
        walk.see(row, &request(send, &cookie), &refused(row.look(), reason, "cookie")).await;
    }
    if row.by == "session" {
        return;
    }
    // A bad token in the header is not made good by the cookie beside it.
    let both = format!("Authorization: Bearer nonsense\n{}", world.cookie(&row.by));
    walk.see(row, &request(send, &both), &refused(row.look(), "token_invalid", "both")).await;
    for other in USER_TYPES.iter().filter(|other| **other != row.by) {
        let expectation = match (&row.other, row.look()) {
            (Some(listed), _) if listed == "listed" => continue,
            (Some(other), _) => other.clone(),
            (None, Look::Web) => format!(
                "403 claim_mismatch\n!set-cookie\n{{\"error\":\"Acceso denegado\",\"message\":\"Se requiere ser {}\"}}",
                row.by
            ),
            (None, Look::Api) => panic!("{}: what others are answered is missing", row.of[0]),
            (None, Look::Page) => format!("302 claim_mismatch\n!set-cookie\nlocation: /{other}/dashboard"),
        };
        for caller in [world.cookie(other), world.bearer(other)] {
            walk.see(row, &request(send, &caller), &expectation).await;
        }
    }
}

/// How a caller is refused who is nobody.
fn refused(look: Look, reason: &str, by: &str) -> String {
    let is_missing = reason == "token_missing";
    match look {
        Look::Web if is_missing => {
            format!("401 {reason}\n!set-cookie\n{{\"error\":\"Sesión requerida\",\"message\":\"Debe iniciar sesión\"}}")
        }
        Look::Web => format!(
            "401 {reason}\n!set-cookie\n{{\"error\":\"Token inválido\",\"message\":\"El token ha expirado o es inválido\"}}"
        ),
        Look::Api if is_missing => {
            format!("401 {reason}\n!set-cookie\n{{\"error\":\"Token de autenticación no proporcionado\"}}")
        }
        Look::Api => format!("401 {reason}\n!set-cookie\n{{\"error\":\"Token inválido o expirado\"}}"),
        // Cleared is the cookie that was sent and refused, in all its attributes.
        Look::Page if by == "cookie" => format!(
            "302 {reason}\nlocation: /index.html\nset-cookie: *predicthealth_jwt=; *\nset-cookie: *Expires=Thu, 01 Jan 1970 00:00:00 GMT*\nset-cookie: *HttpOnly*"
        ),
        Look::Page if by == "both" => format!("302 {reason}\nlocation: /index.html"),
        Look::Page => format!("302 {reason}\nlocation: /index.html\n!set-cookie"),
    }
}

/// Tokens that nobody gave, or not any more, and why they are refused.
fn bad_tokens() -> Vec<(&'static str, String)> {
    let claims = || Claims::new("7", "patient", "u7@example.org");
    let good = Key::new(SECRET).sign(&claims());
    let payload = good.split('.').nth(1).expect("a token has three parts");
    let unsigned = format!("{}.{payload}.", BASE64.encode(r#"{"alg":"none","typ":"JWT"}"#));
    let over = Claims { exp: 1_700_000_000.5, ..claims() };
    vec![
        ("token_invalid", "nonsense".to_owned()),
        ("token_invalid", Key::new("another secret that is long enough").sign(&claims())),
        ("token_invalid", unsigned),
        ("token_expired", Key::new(SECRET).sign(&over)),
        ("session_unknown", good),
    ]
}

/// A gateway that is asked one row after the other. What is wrong is told all at once, at the end.
struct Walk<'g> {
    gateway: &'g Gateway,
    wrong: Vec<String>,
}

impl Walk<'_> {
    fn of(gateway: &Gateway) -> Walk<'_> {
        Walk { gateway, wrong: Vec::new() }
    }

    /// Sends a request and compares its answer. `503 *` is any reason that says that a service was not to be had.
    async fn see(&mut self, row: &Row, send: &str, expectation: &str) {
        let since = std::time::Instant::now();
        let mut answer = self.gateway.send(send).await;
        // A cookie lasts as long as its token: on a busy machine that may be some seconds old when it comes.
        for late in 1..=since.elapsed().as_secs() {
            let (old, new) = (format!("; Max-Age={};", 900 - late), "; Max-Age=900;");
            answer.headers.iter_mut().for_each(|(_, value)| *value = value.replace(&old, new));
        }
        let reason = answer.reason();
        let is_down = ["peer_refused", "no_healthy_peer"].contains(&&*reason);
        let (first, rest) = expectation.split_once('\n').unwrap_or((expectation, ""));
        let expectation = match first.strip_suffix('*') {
            Some(status) if is_down => format!("{status}{reason}\n{rest}"),
            _ => expectation.to_owned(),
        };
        self.wrong.extend(compare(&format!("{}\n{send}", row.of[0]), &answer, &expectation).err());
    }

    fn end(self) {
        assert!(self.wrong.is_empty(), "{} answers are wrong:\n{}", self.wrong.len(), self.wrong.concat());
    }
}
