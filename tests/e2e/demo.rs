//! The walk of the README: the project's own `routes.yaml` before the real demo services.

use hilum_demo::seed::ACCOUNTS;
use hilum_demo::{Demo, Options, Ports};
use serde_json::Value;

use crate::harness::*;
use crate::world::SECRET;

const ROUTES: &str = include_str!("../../routes.yaml");

/// The project's gateway before the demo services.
pub(crate) async fn start() -> (Gateway, Demo) {
    let demo =
        hilum_demo::start(Options { secret: SECRET.to_owned(), ports: Ports::ANY }).await.expect("the services start");
    let mut gateway = Gateway::with(ROUTES).folder_of_project("static").audited().env("JWT_SECRET_KEY", SECRET);
    for service in demo.services() {
        gateway = gateway.env(service.variable, &service.url);
    }
    (gateway.start().await, demo)
}

/// Signs the seeded account of this type in; gives its token.
async fn sign_in(gateway: &Gateway, user_type: &str) -> String {
    let account = ACCOUNTS.iter().find(|account| account.user_type == user_type).expect("there is one of each");
    let body = serde_json::json!({ "email": account.email, "password": account.password });
    let answer = gateway.send(&format!("POST /api/web/auth/login\nContent-Type: application/json\n\n{body}")).await;
    expect(user_type, &answer, "200\n~ \"message\":\"Login exitoso\"\nset-cookie: *HttpOnly; Path=/; SameSite=Lax*");
    let data = &answer.json()["data"];
    assert_eq!((data["user_type"].as_str(), data["expires_in"].as_u64()), (Some(user_type), Some(900)));
    let token = data["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(answer.cookie("predicthealth_jwt"), Some(&*token));
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_see_what_is_theirs_and_sign_out() {
    let (gateway, demo) = start().await;
    check(
        &gateway,
        &[
            ("GET /health", "200\n{\"status\":\"healthy\",\"service\":\"backend-flask\",\"version\":\"1.0.0\"}"),
            ("GET /health/services", "200\n~ \"status\":\"healthy\""),
            (
                "GET /api/web/patient/dashboard",
                "401 token_missing\n{\"error\":\"Sesión requerida\",\"message\":\"Debe iniciar sesión\"}",
            ),
            ("GET /api/nowhere", "404 no_route\n{\"status\":\"error\",\"message\":\"No existe\",\"code\":404}"),
        ],
    )
    .await;
    for (user_type, other) in [("patient", "doctor"), ("doctor", "patient")] {
        let token = sign_in(&gateway, user_type).await;
        let (cookie, bearer) = (format!("Cookie: predicthealth_jwt={token}"), format!("Authorization: Bearer {token}"));
        let dashboard = format!("GET /api/web/{user_type}/dashboard");
        let mut shown: Vec<Value> = Vec::new();
        for by in [&cookie, &bearer] {
            let answer = gateway.send(&format!("{dashboard}\n{by}")).await;
            expect(
                &dashboard,
                &answer,
                "200\ncontent-type: application/json\n~ \"status\":\"success\"\nx-request-id: *",
            );
            assert!(answer.json()["data"].is_object(), "{}", answer.text());
            shown.push(answer.json()["data"].clone());
        }
        assert_eq!(shown[0], shown[1], "{user_type}");
        check(
            &gateway,
            &[
                (
                    &format!("GET /api/web/{other}/dashboard\n{cookie}"),
                    "403 claim_mismatch\n~ \"error\":\"Acceso denegado\"",
                ),
                (
                    &format!("GET /api/web/auth/session/validate\n{cookie}"),
                    &format!("200\n~ \"valid\":true\n~ \"user_type\":\"{user_type}\""),
                ),
                (
                    &format!("POST /api/web/auth/logout\n{cookie}"),
                    "200\n~ \"message\":\"Logout exitoso\"\nset-cookie: *predicthealth_jwt=;*",
                ),
                (&format!("{dashboard}\n{cookie}"), "401 session_unknown\n~ \"error\":\"Token inválido\""),
                (&format!("{dashboard}\n{bearer}"), "401 session_unknown"),
                (
                    &format!("GET /api/web/auth/session/validate\n{cookie}"),
                    "401 session_unknown\n~ Token expired or invalid",
                ),
            ],
        )
        .await;
    }
    let wrong = format!(
        "POST /api/web/auth/login\nContent-Type: application/json\n\n{{\"email\":\"{}\",\"password\":\"wrong\"}}",
        ACCOUNTS[0].email
    );
    check(&gateway, &[(&wrong, "401 login_refused\n{\"status\":\"error\",\"message\":\"Error de autenticación\",\"code\":401}\n!set-cookie")]).await;
    let metrics = gateway.metrics().await;
    for (name, labels, value) in [
        ("hilum_sessions_total", &[("event", "opened")][..], 2.0),
        ("hilum_sessions_total", &[("event", "ended")], 2.0),
        ("hilum_rejections_total", &[("reason", "claim_mismatch")], 2.0),
        ("hilum_rejections_total", &[("reason", "session_unknown")], 6.0),
        ("hilum_rejections_total", &[("reason", "login_refused")], 1.0),
        ("hilum_requests_total", &[("route", "patient-dashboard"), ("status", "200")], 2.0),
        ("hilum_requests_total", &[("route", "patient-dashboard"), ("status", "403")], 1.0),
    ] {
        assert_eq!(metrics.sum(name, labels), value, "{name} {labels:?}\n{}", metrics.0);
    }
    demo.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patient_reaches_only_its_own_record_and_no_foreign_page_reaches_any() {
    let (gateway, _demo) = start().await;
    let me = |by: &str| format!("GET /api/web/auth/session/validate\n{by}");
    let by = async |user_type: &str| format!("Cookie: predicthealth_jwt={}", sign_in(&gateway, user_type).await);
    let (patient, admin) = (by("patient").await, by("admin").await);
    let own = gateway.send(&me(&patient)).await.json()["data"]["user"]["user_id"].as_str().expect("an id").to_owned();
    let others = gateway.send(&format!("GET /api/v1/patients\n{admin}")).await.json();
    let ids: Vec<&str> = others.as_array().expect("a list").iter().filter_map(|one| one["id"].as_str()).collect();
    let other = ids.iter().find(|id| **id != own).expect("somebody else");
    let denied = "403 not_owner\n{\"error\":\"No tiene permiso para este recurso\"}";
    let foreign = "Origin: https://evil.example\nContent-Type: application/json\n\n{}";
    check(
        &gateway,
        &[
            (&format!("GET /api/v1/patients/{own}\n{patient}"), "200\ncache-control: private, no-store"),
            (&format!("GET /api/v1/patients/{own}/medical-record\n{patient}"), "200"),
            (&format!("GET /api/v1/patients/{other}\n{patient}"), denied),
            (&format!("GET /api/v1/patients/{other}/medical-record\n{patient}"), denied),
            (&format!("GET /api/v1/patients\n{patient}"), "403 claim_mismatch"),
            (&format!("GET /api/v1/patients/{other}\n{admin}"), "200"),
            (
                &format!("PUT /api/v1/patients/{own}\n{patient}\n{foreign}"),
                "403 csrf_rejected\n~ no viene de una página",
            ),
            (
                &format!("POST /api/web/auth/logout\n{patient}\nSec-Fetch-Site: cross-site\nContent-Length: 0"),
                "403 csrf_rejected",
            ),
            (&me(&patient), "200"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_and_an_institution_reach_their_own_patients_and_an_institution_changes_its_own_doctors() {
    let (gateway, demo) = start().await;
    let by = async |user_type: &str| format!("Cookie: predicthealth_jwt={}", sign_in(&gateway, user_type).await);
    let (patient, doctor, institution) = (by("patient").await, by("doctor").await, by("institution").await);
    let admin = by("admin").await;
    let get = async |path: &str, by: &str| gateway.send(&format!("GET {path}\n{by}")).await.json();
    let ids = |list: &Value| -> Vec<String> {
        list.as_array().expect("a list").iter().filter_map(|one| Some(one["id"].as_str()?.to_owned())).collect()
    };
    let mine = ids(&get("/api/v1/doctors/me/patients", &doctor).await["patients"]);
    let everybody = get("/api/v1/patients", &admin).await;
    let own = get("/api/web/auth/session/validate", &institution).await["data"]["user"]["user_id"].clone();
    for one in everybody.as_array().expect("a list") {
        let path = format!("GET /api/v1/patients/{}\n{institution}", one["id"].as_str().expect("an id"));
        let expectation = if one["institution_id"] == own { "200" } else { "403 not_owner" };
        expect(&path, &gateway.send(&path).await, expectation);
    }
    let everybody = ids(&everybody);
    let strangers: Vec<_> = everybody.iter().filter(|id| !mine.contains(id)).collect();
    assert!(!mine.is_empty() && !strangers.is_empty(), "{mine:?} {strangers:?}");
    let denied = "403 not_owner\n~ No tiene permiso para este recurso";
    for below in ["", "/dashboard", "/medical-record", "/care-team", "/profile"] {
        let path = |id: &str| format!("GET /api/v1/patients/{id}{below}\n{doctor}");
        check(&gateway, &[(&path(&mine[0]), "200"), (&path(strangers[0]), denied)]).await;
    }
    check(
        &gateway,
        &[
            (&format!("GET /api/v1/patients/7\n{doctor}"), denied),
            (&format!("GET /api/v1/patients\n{doctor}"), "403 claim_mismatch"),
            (&format!("GET /api/v1/patients\n{institution}"), "403 claim_mismatch"),
            (&format!("GET /api/v1/doctors/me/patients\n{patient}"), "403 claim_mismatch"),
        ],
    )
    .await;

    let doctors = get("/api/v1/doctors", &patient).await;
    let of = |is_own: bool| {
        let all = doctors.as_array().expect("a list");
        let found = all.iter().rfind(|one| (one["institution_id"] == own) == is_own).expect("there is one");
        found["id"].as_str().expect("an id").to_owned()
    };
    let (ours, theirs) = (of(true), of(false));
    let delete = |id: &str, by: &str| format!("DELETE /api/v1/doctors/{id}\n{by}\nSec-Fetch-Site: same-origin");
    check(
        &gateway,
        &[
            (&format!("GET /api/v1/doctors/{theirs}\n{patient}"), "200"),
            (&delete(&ours, &patient), "403 claim_mismatch"),
            (&delete(&ours, &doctor), "403 claim_mismatch"),
            (&delete(&theirs, &institution), "403 not_owner\n~ Este doctor no pertenece a su institución"),
            (&delete("7", &institution), "404 not_found\n~ Doctor no encontrado"),
            (&delete(&ours, &institution), "204"),
            (
                &format!("POST /api/v1/doctors\n{patient}\nSec-Fetch-Site: same-origin\n\n{{}}"),
                "405 method_not_allowed",
            ),
        ],
    )
    .await;
    // Where nobody can be asked, nobody is told that it is not theirs, and nobody is let in.
    demo.stop().await;
    let unknown = format!("GET /api/v1/patients/{}\n{doctor}", strangers[1]);
    expect(&unknown, &gateway.send(&unknown).await, "503 ask_failed\n~ No se puede comprobar el permiso");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboards_count_what_is_there_and_name_the_service_that_is_not() {
    let (gateway, demo) = start().await;
    let by = async |user_type: &str| format!("Cookie: predicthealth_jwt={}", sign_in(&gateway, user_type).await);
    let (institution, admin, patient) = (by("institution").await, by("admin").await, by("patient").await);
    let ask = async |path: &str, by: &str| gateway.send(&format!("GET /api/web/{path}\n{by}")).await;
    let list = async |path: &str| {
        let answer = gateway.send(&format!("GET /api/v1/{path}?limit=1000\n{admin}")).await;
        answer.json().as_array().unwrap_or_else(|| panic!("{path}: {}", answer.text())).clone()
    };
    let (doctors, patients) = (list("doctors").await, list("patients").await);
    let me = gateway.send(&format!("GET /api/web/auth/session/validate\n{institution}")).await.json();
    let own = me["data"]["user"]["user_id"].clone();
    let ours = |all: &[Value]| all.iter().filter(|one| one["institution_id"] == own).count();

    let seen = ask("institution/dashboard", &institution).await;
    expect(
        "institution",
        &seen,
        "200\n~ \"message\":\"Dashboard de la institución\"\ncache-control: private, no-store",
    );
    let data = &seen.json()["data"];
    assert_eq!(data["missing"], serde_json::json!([]));
    assert_eq!((&data["total_doctors"], &data["total_patients"]), (&ours(&doctors).into(), &ours(&patients).into()));
    assert_eq!(data["active_doctors"], data["total_doctors"]);
    let verified = patients.iter().filter(|one| one["institution_id"] == own && one["is_verified"] == true).count();
    assert_eq!(data["verified_patients"], verified);
    for (list, total) in [("recent_doctors", "total_doctors"), ("recent_patients", "total_patients")] {
        let total = data[total].as_u64().expect("a number");
        assert_eq!(data[list].as_array().map(|list| list.len() as u64), Some(total.min(5)), "{list}");
    }

    let seen = ask("admin/dashboard", &admin).await;
    expect("admin", &seen, "200\n~ \"message\":\"Dashboard del administrador\"");
    let data = &seen.json()["data"];
    assert_eq!((&data["missing"], &data["alerts"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert_eq!(
        data["admin"]["email"],
        ACCOUNTS.iter().find(|one| one.user_type == "admin").expect("there is one").email
    );
    let institutions = data["institutions"].as_array().expect("a list").len();
    let expected = serde_json::json!({
        "total_institutions": institutions, "total_doctors": doctors.len(), "total_patients": patients.len(), "at_least": [],
    });
    assert_eq!(data["statistics"], expected);
    assert_eq!((&data["doctors"], &data["patients"]), (&Value::from(doctors.clone()), &Value::from(patients.clone())));

    let seen = ask("admin/statistics", &admin).await;
    expect("statistics", &seen, "200\n~ \"message\":\"Estadísticas del sistema obtenidas exitosamente\"");
    let data = &seen.json()["data"];
    let rounded = |part: usize, of: usize| (part as f64 / of as f64 * 100.0).round() / 100.0;
    assert_eq!(data["overview"]["total_institutions"], institutions);
    assert!(data["overview"]["total_admins"].as_u64() > Some(0), "{data}");
    assert_eq!(
        (&data["overview"]["total_patients"], &data["patients"]["active"]),
        (&patients.len().into(), &patients.len().into())
    );
    for (average, expected) in [
        (&data["institutions"]["avg_doctors_per_institution"], rounded(doctors.len(), institutions)),
        (&data["institutions"]["avg_patients_per_institution"], rounded(patients.len(), institutions)),
        (&data["doctors"]["avg_patients_per_doctor"], rounded(patients.len(), doctors.len())),
    ] {
        assert_eq!(average.as_f64(), Some(expected), "{data}");
    }
    for path in ["institution/dashboard", "admin/dashboard", "admin/statistics"] {
        expect(path, &ask(path, &patient).await, "403 claim_mismatch\n~ \"error\":\"Acceso denegado\"");
        expect(path, &ask(path, "X-Own: 1").await, "401 token_missing");
    }

    // Nothing answers any more: what is not known is null and named, or the whole is a failure.
    demo.stop().await;
    let down = "503 MARK\n{\"status\":\"error\",\"message\":\"Error obteniendo dashboard\"}";
    let seen = ask("institution/dashboard", &institution).await;
    expect("institution", &seen, &down.replace("MARK", &seen.reason()));
    let data = ask("admin/dashboard", &admin).await.json()["data"].clone();
    assert_eq!(data["missing"], serde_json::json!(["admin", "institutions", "doctors", "patients"]));
    let unknown = serde_json::json!({ "total_institutions": null, "total_doctors": null, "total_patients": null, "at_least": [] });
    assert_eq!((&data["statistics"], &data["patients"]), (&unknown, &Value::Null));
    assert_eq!(data["summary"]["services_status"], "No disponibles: admin, institutions, doctors, patients");
    let data = ask("admin/statistics", &admin).await.json()["data"].clone();
    assert_eq!(data["missing"], serde_json::json!(["counts", "doctors", "patients"]));
    assert_eq!((&data["overview"]["total_patients"], &data["patients"]["active"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_institution_and_an_admin_see_their_lists_and_an_institution_removes_its_own_doctor() {
    let (gateway, demo) = start().await;
    let by = async |user_type: &str| format!("Cookie: predicthealth_jwt={}", sign_in(&gateway, user_type).await);
    let (institution, admin, doctor) = (by("institution").await, by("admin").await, by("doctor").await);
    let get = |path: &str, by: &str| format!("GET {path}\n{by}");
    let everybody = gateway.send(&get("/api/v1/doctors", &doctor)).await.json();
    let me = gateway.send(&get("/api/web/auth/session/validate", &institution)).await.json();
    let own = me["data"]["user"]["user_id"].as_str().expect("an id").to_owned();
    let of = |is_own: bool| {
        let all = everybody.as_array().expect("a list");
        let found = all.iter().rfind(|one| (one["institution_id"] == *own) == is_own).expect("there is one");
        found["id"].as_str().expect("an id").to_owned()
    };
    let (ours, theirs) = (of(true), of(false));
    let institutions = gateway.send(&get("/api/v1/institutions", &doctor)).await.json();
    let other = institutions.as_array().expect("a list").iter().find(|one| one["id"] != *own).expect("another one");
    let other = other["id"].as_str().expect("an id").to_owned();
    let delete =
        |id: &str, by: &str| format!("DELETE /api/web/institution/doctors/{id}\n{by}\nSec-Fetch-Site: same-origin");
    let change = |id: &str, by: &str| {
        format!(
            "PUT /api/v1/institutions/{id}\n{by}\nSec-Fetch-Site: same-origin\nContent-Type: application/json\n\n{{\"website\":\"https://example.org\"}}"
        )
    };
    check(
        &gateway,
        &[
            (
                &get("/api/web/institution/doctors", &institution),
                &format!("200\n~ \"message\":\"Doctores obtenidos exitosamente\"\n~ {ours}\n!~ {theirs}"),
            ),
            (
                &get("/api/web/institution/patients", &institution),
                "200\n~ \"message\":\"Pacientes obtenidos exitosamente\"\n~ \"data\":{\"patients\":[{",
            ),
            (&get("/api/web/institution/doctors", &doctor), "403 claim_mismatch\n~ Se requiere ser institution"),
            (
                &get("/api/web/admin/health", &admin),
                "200\n~ \"message\":\"Admin service health check successful\"\n~ service-admins",
            ),
            (
                &get("/api/web/admin/institutions?limit=1", &admin),
                "200\n~ \"message\":\"Instituciones obtenidas exitosamente\",\"institutions\":[{",
            ),
            (
                &get("/api/web/admin/institutions?limit=x", &admin),
                "422\n{\"status\":\"error\",\"message\":\"Error al obtener instituciones\",\"code\":422}",
            ),
            (
                &get("/api/web/admin/admins", &admin),
                "200\n~ \"message\":\"Administradores obtenidos exitosamente\"\n~ \"page\":1,\"limit\":10",
            ),
            (
                &get("/api/web/admin/admins?limit=500", &admin),
                "422\n{\"status\":\"error\",\"message\":\"Error al obtener administradores\",\"code\":422}",
            ),
            (&get("/api/web/admin/admins", &institution), "403 claim_mismatch\n~ Se requiere ser admin"),
            (&get("/api/v1/institutions/doctors", &institution), "200"),
            (&get("/api/v1/institutions/patients", &doctor), "403 claim_mismatch"),
            (&get(&format!("/api/v1/institutions/{own}"), &institution), "200"),
            (&get(&format!("/api/v1/institutions/{other}"), &institution), "403"),
            (&change(&own, &institution), "200"),
            (&change(&other, &institution), "403 not_owner"),
            (&change(&other, &doctor), "403 not_owner"),
            (&change(&other, &admin), "200"),
            (
                &delete(&theirs, &institution),
                "403 not_owner\n{\"status\":\"error\",\"message\":\"No tienes permisos para eliminar este doctor\",\"code\":403}",
            ),
            (
                &delete("7", &institution),
                "404 not_found\n{\"status\":\"error\",\"message\":\"Doctor no encontrado\",\"code\":404}",
            ),
            (&delete(&ours, &admin), "403 claim_mismatch"),
            (
                &delete(&ours, &institution),
                "200\n{\"status\":\"success\",\"message\":\"Doctor eliminado exitosamente\"}",
            ),
        ],
    )
    .await;
    let listed = gateway.send(&get("/api/web/institution/doctors", &institution)).await.json();
    let gone = listed["data"]["doctors"].as_array().expect("a list").iter().find(|one| one["id"] == *ours);
    assert!(gone.is_none_or(|one| one["is_active"] == false), "{gone:?}");
    demo.stop().await;
    for (path, by, message) in [
        ("institution/doctors", &institution, "Error en microservicio"),
        ("admin/admins", &admin, "Error al obtener administradores"),
        ("admin/health", &admin, "Admin service health check failed: Unknown error"),
    ] {
        let answer = gateway.send(&get(&format!("/api/web/{path}"), by)).await;
        let expectation = format!("503 {}\n~ \"message\":\"{message}\"", answer.reason());
        expect(path, &answer, &expectation);
    }
}

/// The doctors' service has a thousand and more: a page that is full says only that there are at least so many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_page_is_at_least_so_many() {
    let many = format!("[{}]", vec![r#"{"id":"d"}"#; 1000].join(","));
    let crowd = Service::start(move |seen| match seen.target.as_str() {
        "/api/v1/doctors?limit=1000" => Reply::json(200, &many),
        "/health" => Reply::json(200, "{}"),
        _ => Reply::json(404, "{}"),
    })
    .await;
    let demo =
        hilum_demo::start(Options { secret: SECRET.to_owned(), ports: Ports::ANY }).await.expect("the services start");
    let gateway = demo.services().iter().filter(|service| service.variable != "DOCTORS_SERVICE_URL").fold(
        Gateway::with(ROUTES)
            .folder_of_project("static")
            .audited()
            .env("JWT_SECRET_KEY", SECRET)
            .env("DOCTORS_SERVICE_URL", crowd.url()),
        |gateway, service| gateway.env(service.variable, &service.url),
    );
    let gateway = gateway.start().await;
    let admin = format!("Cookie: predicthealth_jwt={}", sign_in(&gateway, "admin").await);
    let data = gateway.send(&format!("GET /api/web/admin/statistics\n{admin}")).await.json()["data"].clone();
    assert_eq!(
        (&data["overview"]["total_doctors"], &data["at_least"]),
        (&1000.into(), &serde_json::json!(["doctors"]))
    );
    assert_eq!(data["institutions"]["avg_doctors_per_institution"], Value::Null);
    let data = gateway.send(&format!("GET /api/web/admin/dashboard\n{admin}")).await.json()["data"].clone();
    assert_eq!(data["statistics"]["at_least"], serde_json::json!(["doctors"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_a_password_is_stopped_and_learns_no_account() {
    let (gateway, _demo) = start().await;
    let guess = async |email: &str| {
        let body = serde_json::json!({ "email": email, "password": "Adivinado.2025" });
        gateway.send(&format!("POST /api/web/auth/login\nContent-Type: application/json\n\n{body}")).await
    };
    let account = ACCOUNTS.iter().find(|account| account.user_type == "patient").expect("there is one of each").email;
    let (known, unknown) = (guess(account).await, guess("nadie@example.com").await);
    expect("a wrong password", &known, "401 login_refused");
    assert_eq!((known.status, known.text()), (unknown.status, unknown.text()), "nobody learns who has an account");
    for email in [account, "nadie@example.com"] {
        let guesses = std::cell::Cell::new(1);
        let limited = eventually("the account to be shut", async || {
            guesses.set(guesses.get() + 1);
            Some(guess(email).await).filter(|answer| answer.status != 401)
        })
        .await;
        let expected = "429 rate_limited\n{\"status\":\"error\",\"message\":\"Demasiados intentos. Espere un momento\",\"code\":429}\nretry-after: *\n!set-cookie";
        expect(email, &limited, expected);
        let guesses = guesses.get();
        // One more where a slow machine took the six seconds in which one comes back.
        assert!((11..=13).contains(&guesses), "{email}: the guess number {guesses} was too many");
    }
    sign_in(&gateway, "doctor").await;
}
