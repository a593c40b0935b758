//! Every variable that the gateway of today is set up with: set, and seen to act in the project's own files, or said to be without
//! meaning here.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hilum_demo::token::{Claims, Key};

use crate::harness::*;
use crate::row;
use crate::world::{ROUTES, SECRET};

/// The variables of today, those of its file of settings and those that only its code reads, in the order of the contract.
const SEED: &[&str] = &[
    "JWT_SECRET_KEY",
    "JWT_ALGORITHM",
    "JWT_SERVICE_URL",
    "DOCTOR_SERVICE_URL",
    "PATIENT_SERVICE_URL",
    "INSTITUTION_SERVICE_URL",
    "ADMIN_SERVICE_URL",
    "AUTH_SERVICE_URL",
    "DOCTORS_SERVICE_URL",
    "PATIENTS_SERVICE_URL",
    "INSTITUTIONS_SERVICE_URL",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "FLASK_ENV",
    "FLASK_DEBUG",
    "LOG_LEVEL",
    "CORS_ORIGINS",
];

/// Where each service is: by either name, the first wins; a request, and what the service is asked then.
const SERVICES: &[(&str, &str, &str, &str)] = &[
    ("AUTH_SERVICE_URL", "JWT_SERVICE_URL", "POST /api/web/auth/login", "/auth/login"),
    ("DOCTORS_SERVICE_URL", "DOCTOR_SERVICE_URL", "GET /api/v1/doctors", "/api/v1/doctors"),
    ("PATIENTS_SERVICE_URL", "PATIENT_SERVICE_URL", "GET /api/v1/patients", "/api/v1/patients"),
    ("INSTITUTIONS_SERVICE_URL", "INSTITUTION_SERVICE_URL", "GET /api/v1/institutions", "/api/v1/institutions"),
    ("ADMINS_SERVICE_URL", "ADMIN_SERVICE_URL", "GET /api/web/admin/admins", "/api/v1/admins/?page=1&limit=10"),
];

/// Read by another test below.
const OTHERS: &[&str] = &["JWT_SECRET_KEY", "JWT_ALGORITHM", "REDIS_URL", "LOG_LEVEL", "CORS_ORIGINS"];

#[test]
fn each_variable_of_today_acts_or_is_said_to_be_without_meaning() {
    let (readme, example) = (include_str!("../../README.md"), include_str!("../../.env.example"));
    let without = readme.lines().find(|line| line.contains("Without meaning here")).expect("the README has the list");
    for name in SEED {
        let acts = OTHERS.contains(name) || SERVICES.iter().any(|(one, other, ..)| one == name || other == name);
        assert_ne!(acts, without.contains(&format!("`{name}`")), "{name}");
        assert!(readme.contains(&format!("`{name}`")) && example.contains(name), "{name} is not explained");
    }
}

/// The project's own two files. Sessions are in a Redis, where a test can put one.
fn project(redis: &Redis) -> Builder {
    Gateway::with(ROUTES)
        .folder_of_project("static")
        .file("conf/hilum.yaml", include_str!("../../conf/hilum.yaml"))
        .env("HILUM_LISTEN", "127.0.0.1:0")
        .env("HILUM_ADMIN", "127.0.0.1:0")
        .env("REDIS_URL", redis.url())
        .env("HILUM_AUDIT_KEY", AUDIT_KEY)
}

async fn signed_in(redis: &Redis, token: &str) -> String {
    redis.run::<()>(&["SETEX", &format!("access_token:{token}"), "900", token]).await;
    format!("Authorization: Bearer {token}")
}

fn admin() -> Claims {
    Claims::new("7", "admin", "u7@example.org")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_where_either_spelling_says() {
    let redis = Redis::start().await;
    let by = signed_in(&redis, &Key::new(SECRET).sign(&admin())).await;
    for (one, other, request, target) in SERVICES {
        for (variables, expected) in [(&[*one][..], 0), (&[*other], 0), (&[*one, *other], 0), (&[*other, *one], 1)] {
            let services = [Service::start(puppet).await, Service::start(puppet).await];
            let mut gateway = project(&redis).env("JWT_SECRET_KEY", SECRET);
            for (name, service) in variables.iter().zip(&services) {
                gateway = gateway.env(name, service.url());
            }
            let gateway = gateway.start().await;
            let body =
                if request.starts_with("POST") { "json {\"email\":\"a@example.com\",\"password\":\"x\"}" } else { "" };
            gateway.send(&row::request(&format!("{request}\n{body}"), &by)).await;
            let seen = services[expected].seen();
            assert!(seen.iter().any(|seen| seen.target == *target), "{variables:?}: {seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_the_algorithm_the_store_the_origins_and_the_log_are_what_the_variables_say() {
    let redis = Redis::start().await;
    let service = Service::always(Reply::json(200, "[]")).await;
    let start = || project(&redis).env("DOCTORS_SERVICE_URL", service.url()).env("LOG_LEVEL", "debug");

    let gateway =
        start().env("JWT_SECRET_KEY", SECRET).env("CORS_ORIGINS", "https://a.example,https://b.example").start().await;
    let known = signed_in(&redis, &Key::new(SECRET).sign(&admin())).await;
    let other_secret = signed_in(&redis, &Key::new("another secret that is long enough").sign(&admin())).await;
    let not_stored =
        format!("Authorization: Bearer {}", Key::new(SECRET).sign(&Claims::new("8", "admin", "u8@example.org")));
    check(
        &gateway,
        &[
            (&format!("GET /api/v1/doctors\n{known}"), "200"),
            (&format!("GET /api/v1/doctors\n{other_secret}"), "401 token_invalid"),
            (&format!("GET /api/v1/doctors\n{not_stored}"), "401 session_unknown"),
            (
                &format!("GET /api/v1/doctors\n{known}\nOrigin: https://b.example"),
                "200\naccess-control-allow-origin: https://b.example",
            ),
            (
                &format!("GET /api/v1/doctors\n{known}\nOrigin: http://localhost:3000"),
                "200\n!access-control-allow-origin",
            ),
        ],
    )
    .await;
    // The parts of a dashboard that are not to be had are told to who wants to know.
    expect("dashboard", &gateway.send(&format!("GET /api/web/admin/dashboard\n{known}")).await, "200");
    gateway.said(" DEBUG ").await;

    let gateway = start().env("JWT_SECRET_KEY", SECRET).env("JWT_ALGORITHM", "HS384").start().await;
    let payload = serde_json::to_vec(&admin()).expect("claims are JSON");
    let signed = format!("{}.{}", BASE64.encode(r#"{"alg":"HS384","typ":"JWT"}"#), BASE64.encode(payload));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA384, SECRET.as_bytes());
    let token = format!("{signed}.{}", BASE64.encode(ring::hmac::sign(&key, signed.as_bytes())));
    let by_384 = signed_in(&redis, &token).await;
    check(
        &gateway,
        &[
            (&format!("GET /api/v1/doctors\n{by_384}"), "200"),
            (&format!("GET /api/v1/doctors\n{known}"), "401 token_invalid"),
            // Without a list of its own, the origins of today.
            (
                &format!("GET /api/v1/doctors\n{by_384}\nOrigin: http://localhost:3000"),
                "200\naccess-control-allow-origin: http://localhost:3000",
            ),
        ],
    )
    .await;
}

/// There is no default secret, and a short one is refused: the one of today was public.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_or_with_a_short_one_nothing_starts() {
    let redis = Redis::start().await;
    let Err((status, log)) = project(&redis).try_start().await else { panic!("it started without a secret") };
    assert!(status.code() == Some(1) && log.contains("the variable `JWT_SECRET_KEY` is not set"), "{log}");
    let Err((status, log)) = project(&redis).env("JWT_SECRET_KEY", "UDEM").try_start().await else {
        panic!("it started with a short secret")
    };
    assert!(status.code() == Some(1) && log.contains("use at least 32") && !log.contains("UDEM"), "{log}");
}
