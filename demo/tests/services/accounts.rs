//! Signing in, tokens, renewing, passwords, new accounts.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hilum_demo::seed::{ACCOUNTS, INACTIVE};
use hilum_demo::token::Claims;
use serde_json::{Value, json};

use crate::world::{Caller, SECRET, World, bearer, case, detail, faults, get};

const LOGIN: &str = "POST auth-jwt /auth/login";
const REFRESH: &str = "POST auth-jwt /auth/refresh";
const CHANGE: &str = "POST auth-jwt /auth/change-password";
const CREATE: &str = "POST auth-jwt /users/create";
const WRONG: &str = "Email o contraseña incorrectos";
const NOT_RENEWED: &str = "Token de renovación inválido o expirado";

fn sent(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

#[tokio::test]
async fn a_login_tells_no_more_than_it_must() {
    let world = World::new().await;
    let patient = &ACCOUNTS[0];
    let good = json!({
        "access_token": "*", "token_type": "bearer", "user_id": "{patient}", "user_type": "patient",
        "email": patient.email, "expires_in": 900, "refresh_token": null,
    });
    let nobody = || Caller::Nobody;
    world
        .check(&[
            case("good", LOGIN, nobody(), sent(patient.email, patient.password), 200, good.clone()),
            case(
                "any case of letters",
                LOGIN,
                nobody(),
                sent("Lucia.Mendoza@EXAMPLE.com", patient.password),
                200,
                good,
            ),
            case("wrong password", LOGIN, nobody(), sent(patient.email, "Paciente.2024"), 401, detail(WRONG)),
            case("odd password", LOGIN, nobody(), sent(patient.email, "\0ñ"), 401, detail(WRONG)),
            case("unknown account", LOGIN, nobody(), sent("nadie@example.com", patient.password), 401, detail(WRONG)),
            case(
                "inactive account",
                LOGIN,
                nobody(),
                sent(INACTIVE.email, INACTIVE.password),
                403,
                detail("Usuario desactivado. Contacte al administrador."),
            ),
            case("inactive, wrong password", LOGIN, nobody(), sent(INACTIVE.email, "x"), 401, detail(WRONG)),
            case("empty", LOGIN, nobody(), sent("", "x"), 400, detail("Email y contraseña son requeridos")),
            case(
                "all faults at once",
                LOGIN,
                nobody(),
                json!({ "email": "nadie", "password": 7 }),
                422,
                faults(&[json!(["body", "email"]), json!(["body", "password"])]),
            ),
            case("no body", LOGIN, nobody(), Value::Null, 422, faults(&[json!(["body"])])),
            case("no object", LOGIN, nobody(), json!([]), 422, faults(&[json!(["body"])])),
        ])
        .await;

    let reply = world.send_text(LOGIN, &Caller::Nobody, "application/json", "{\"email\":").await;
    assert_eq!((reply.status, &reply.body["detail"][0]["type"]), (422, &json!("json_invalid")));
    let text = sent(patient.email, patient.password).to_string();
    let reply = world.send_text(LOGIN, &Caller::Nobody, "text/plain", &text).await;
    assert_eq!(reply.status, 422, "a body that does not say that it is JSON");
    let reply = world.send_text(LOGIN, &Caller::Nobody, "application/vnd.api+json; charset=utf-8", &text).await;
    assert_eq!(reply.status, 200, "a kind of JSON");
}

#[tokio::test]
async fn doctors_may_sign_in_at_their_own_service() {
    let world = World::new().await;
    let login = "POST doctors /auth/login";
    let check = async |email: &str, password: &str, status, answer| {
        world.check(&[case("login", login, Caller::Nobody, sent(email, password), status, answer)]).await;
    };
    let [patient, doctor, ..] = &ACCOUNTS;
    check(doctor.email, doctor.password, 200, json!({ "user_id": "{doctor}", "expires_in": 900 })).await;
    check(doctor.email, "x", 401, detail(WRONG)).await;
    check(patient.email, patient.password, 403, detail("Este endpoint es solo para doctores")).await;
    let inactive = detail("Doctor desactivado. Contacte al administrador.");
    check(INACTIVE.email, INACTIVE.password, 403, inactive).await;
}

#[tokio::test]
async fn a_token_has_the_claims_of_the_real_one_and_no_others() {
    let world = World::new().await;
    let (id, token) = world.sign_in(ACCOUNTS[0].email, ACCOUNTS[0].password).await;
    let parts: Vec<_> = token
        .split('.')
        .map(|part| String::from_utf8_lossy(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).into_owned())
        .collect();
    assert_eq!(parts[0], r#"{"alg":"HS256","typ":"JWT"}"#);

    let claims: Value = serde_json::from_str(&parts[1]).unwrap();
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["user_id", "user_type", "email", "roles", "metadata", "exp"]);
    assert_eq!(claims["metadata"], json!({ "reference_id": id }));
    assert_eq!(claims["roles"], json!(["patient"]));
    assert!(claims["exp"].is_f64());
    let (_, digits) = parts[1].split_once(r#""exp":"#).unwrap().1.trim_end_matches('}').split_once('.').unwrap();
    assert!((1..=6).contains(&digits.len()), "microseconds: {digits}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((claims["exp"].as_f64().unwrap() - now - 900.0).abs() < 5.0);
}

#[tokio::test]
async fn a_bad_token_is_told_apart_where_the_real_services_do() {
    let world = World::new().await;
    let claims = Claims::new(world.id("patient"), "patient", "lucia.mendoza@example.com");
    let old = Claims { exp: 1_700_000_000.5, ..claims.clone() };
    let good = || bearer(SECRET, &claims);
    let expired = || bearer(SECRET, &old);
    let foreign = || bearer("another secret", &claims);
    let (list, verify, validate) =
        ("GET doctors /api/v1/doctors", "POST auth-jwt /auth/verify-token", "GET auth-jwt /auth/session/validate");
    let needed = "Token de autorización 'Bearer' requerido";
    let header = || faults(&[json!(["header", "authorization"])]);
    let refused = |message: &str| json!({ "valid": false, "message": message });
    let user = json!({ "valid": true, "user": { "user_id": "{patient}", "user_type": "patient" } });
    let basic = || Caller::Header("bearer x".to_owned());
    world
        .check(&[
            get("good", list, good(), 200, json!("*")),
            get("expired", list, expired(), 401, detail("Token expirado")),
            get("foreign", list, foreign(), 401, detail("Token inválido")),
            get("absent", list, Caller::Nobody, 401, detail(needed)),
            get("another scheme", list, basic(), 401, detail(needed)),
            get("good", verify, good(), 200, json!({ "valid": true, "payload": { "roles": ["patient"] } })),
            get("expired", verify, expired(), 200, json!({ "valid": false, "payload": null })),
            get("absent", verify, Caller::Nobody, 422, header()),
            get("good", validate, good(), 200, user),
            get("expired", validate, expired(), 200, refused("Token expired")),
            get("foreign", validate, foreign(), 200, refused("Invalid token")),
            get("another scheme", validate, basic(), 200, refused("Invalid authorization header")),
            get("absent", validate, Caller::Nobody, 422, header()),
            get("logout", "POST auth-jwt /auth/logout", good(), 200, json!({ "success": true, "message": "*" })),
            get("logout without a header", "POST auth-jwt /auth/logout", Caller::Nobody, 422, header()),
        ])
        .await;
}

#[tokio::test]
async fn a_session_is_renewed_by_an_access_token_or_once_by_a_refresh_token() {
    let world = World::new().await;
    let renewed = json!({ "access_token": "*", "user_id": "{patient}", "expires_in": 900, "refresh_token": "*" });
    let reply = world.send(REFRESH, &Caller::Patient, &Value::Null).await;
    let first = json!({ "refresh_token": reply.body["refresh_token"] });
    let gone = Claims::new("00000000-0000-4000-8000-000000000000", "patient", "x@example.com");
    world
        .check(&[
            case("by bearer", REFRESH, Caller::Patient, Value::Null, 200, renewed.clone()),
            case("by refresh token", REFRESH, Caller::Nobody, first.clone(), 200, renewed),
            case("used up", REFRESH, Caller::Nobody, first.clone(), 401, detail(NOT_RENEWED)),
            case("used up, with a good bearer", REFRESH, Caller::Patient, first, 401, detail(NOT_RENEWED)),
            case("invented", REFRESH, Caller::Nobody, json!({ "refresh_token": "x" }), 401, detail(NOT_RENEWED)),
            case(
                "bad bearer",
                REFRESH,
                Caller::Header("Bearer x".to_owned()),
                Value::Null,
                401,
                detail("Token inválido"),
            ),
            case("no account", REFRESH, bearer(SECRET, &gone), Value::Null, 401, detail(NOT_RENEWED)),
            case("nothing", REFRESH, Caller::Nobody, json!({}), 422, faults(&[json!(["header", "authorization"])])),
        ])
        .await;
}

#[tokio::test]
async fn a_changed_password_is_the_only_one_from_then_on() {
    let world = World::new().await;
    let patient = &ACCOUNTS[0];
    let reply = world.send(REFRESH, &Caller::Patient, &Value::Null).await;
    let refresh = json!({ "refresh_token": reply.body["refresh_token"] });
    let change = |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    let wrong = detail("La contraseña actual es incorrecta.");
    let short = faults(&[json!(["body", "new_password"])]);
    let bad = Caller::Header("Bearer x".to_owned());
    let done = json!({ "success": true, "message": "*" });
    world
        .check(&[
            case("wrong one", CHANGE, Caller::Patient, change("x", "Nueva.2026"), 400, wrong),
            case("short", CHANGE, Caller::Patient, change(patient.password, "corta"), 422, short),
            case("bad token", CHANGE, bad, change(patient.password, "Nueva.2026"), 401, detail("Token inválido")),
            case("good", CHANGE, Caller::Patient, change(patient.password, "Nueva.2026"), 200, done),
            case("the old one", LOGIN, Caller::Nobody, sent(patient.email, patient.password), 401, detail(WRONG)),
            case("the new one", LOGIN, Caller::Nobody, sent(patient.email, "Nueva.2026"), 200, json!({})),
            case("a session from before", REFRESH, Caller::Nobody, refresh, 401, detail(NOT_RENEWED)),
        ])
        .await;
}

#[tokio::test]
async fn an_account_is_made_only_for_somebody_who_has_none() {
    let world = World::new().await;
    let list = world.send("GET patients /api/v1/patients", &Caller::Nobody, &Value::Null).await;
    let nicolas = list.body.as_array().unwrap().iter().find(|patient| patient["first_name"] == "Nicolás").unwrap();
    let new = |email: &str, user_type: &str, id: &Value| json!({ "email": email, "password": "Paciente.2025", "user_type": user_type, "reference_id": id });
    let (email, id) = ("nicolas@example.com", &nicolas["id"]);
    let made = json!({ "id": id, "email": email, "user_type": "patient", "is_active": true, "is_verified": false });
    let taken = || detail("El email ya está en uso.");
    let nobody = || Caller::Nobody;
    let at = |place: &str| faults(&[json!(["body", place])]);
    let unknown = json!("00000000-0000-4000-8000-000000000000");
    world
        .check(&[
            case("e-mail taken", CREATE, nobody(), new(ACCOUNTS[0].email, "patient", id), 400, taken()),
            case("nobody", CREATE, nobody(), new(email, "patient", &unknown), 422, at("reference_id")),
            case("another type", CREATE, nobody(), new(email, "doctor", id), 422, at("reference_id")),
            case("an admin", CREATE, nobody(), new(email, "admin", id), 422, at("user_type")),
            case("good", CREATE, nobody(), new(email, "patient", id), 201, made),
            case(
                "a second one",
                CREATE,
                nobody(),
                new("n@example.com", "patient", id),
                422,
                faults(&[json!(["body"])]),
            ),
        ])
        .await;
    assert_eq!(&world.sign_in(email, "Paciente.2025").await.0, id.as_str().unwrap());
}
