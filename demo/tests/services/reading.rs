//! What is read: lists and their parts, and who may read what.

use hilum_demo::token::Claims;
use serde_json::{Value, json};

use crate::world::Caller::{Admin, Doctor, Institution, Nobody, Patient};
use crate::world::{SECRET, World, bearer, detail, faults, get};

#[tokio::test]
async fn a_list_is_answered_in_parts() {
    let world = World::new().await;
    for (line, caller, total) in [
        ("GET doctors /api/v1/doctors", Doctor, 14),
        ("GET patients /api/v1/patients", Nobody, 50),
        ("GET institutions /api/v1/institutions", Nobody, 5),
    ] {
        let ids = async |query: &str| {
            let reply = world.send(&format!("{line}{query}"), &caller, &Value::Null).await;
            assert_eq!(reply.status, 200, "{line}{query}");
            reply.body.as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
        };
        let all = ids("").await;
        assert_eq!(all.len(), total, "{line}");
        assert_eq!(ids("?skip=0&limit=100").await, all);
        assert_eq!(ids("?limit=2").await, all[..2]);
        assert_eq!(ids("?skip=1&limit=2").await, all[1..3]);
        assert_eq!(ids("?skip=100").await, all[..0]);
        for (query, name) in [("?skip=-1", "skip"), ("?limit=x", "limit"), ("?limit=", "limit")] {
            let reply = world.send(&format!("{line}{query}"), &caller, &Value::Null).await;
            assert_eq!(
                (reply.status, &reply.body["detail"][0]["loc"]),
                (422, &json!(["query", name])),
                "{line}{query}"
            );
        }
    }
}

#[tokio::test]
async fn a_list_of_admins_has_numbered_pages() {
    let world = World::new().await;
    let first = json!({ "admins": [{ "last_name": "Arce Villaseñor" }], "total": 5, "page": 1, "limit": 1 });
    let at = |place: &str| faults(&[json!(["query", place])]);
    world
        .check(&[
            get("first page", "GET admins /api/v1/admins/?page=1&limit=1", Admin, 200, first),
            get("as is", "GET admins /api/v1/admins/", Admin, 200, json!({ "total": 5, "page": 1, "limit": 10 })),
            get("far page", "GET admins /api/v1/admins/?page=9", Admin, 200, json!({ "admins": [], "total": 5 })),
            get("too long", "GET admins /api/v1/admins/?limit=101", Admin, 422, at("limit")),
            get("page 0", "GET admins /api/v1/admins/?page=0", Admin, 422, at("page")),
        ])
        .await;
}

#[tokio::test]
async fn who_may_read_what_is_as_in_the_real_services() {
    let world = World::new().await;
    let not_yours = || detail("No tienes permiso para acceder a este recurso");
    let not_a_doctor = || detail("Acceso denegado: Se requiere rol de Doctor.");
    let not_an_institution = || detail("Este endpoint es solo para instituciones");
    let no_patient = || detail("Paciente no encontrado.");
    let not_assigned = || detail("Paciente no encontrado o no asignado a este doctor.");
    let nameless =
        Claims { metadata: hilum_demo::token::Metadata::default(), ..Claims::new("7", "institution", "a@b.co") };
    let empty =
        json!({ "health_profile": null, "conditions": [], "medications": [], "allergies": [], "family_history": [] });
    world
        .check(&[
            get("another patient", "GET patients /api/v1/patients/{doctor}", Patient, 403, not_yours()),
            get("no UUID, patient", "GET patients /api/v1/patients/7/dashboard", Patient, 403, not_yours()),
            get("any patient, doctor", "GET patients /api/v1/patients/{patient}", Doctor, 200, json!({})),
            get(
                "any patient, institution",
                "GET patients /api/v1/patients/{patient}/profile",
                Institution,
                200,
                json!({}),
            ),
            get("without a token", "GET patients /api/v1/patients/{patient}", Nobody, 401, json!({})),
            get("unknown", "GET patients /api/v1/patients/{doctor}", Doctor, 404, no_patient()),
            get("no UUID", "GET patients /api/v1/patients/7", Doctor, 404, no_patient()),
            get("unknown, dashboard", "GET patients /api/v1/patients/{doctor}/dashboard", Doctor, 404, no_patient()),
            get("unknown, profile", "GET patients /api/v1/patients/{doctor}/profile", Doctor, 404, no_patient()),
            get("unknown, record", "GET patients /api/v1/patients/{doctor}/medical-record", Doctor, 200, empty),
            get(
                "unknown, team",
                "GET patients /api/v1/patients/{doctor}/care-team",
                Doctor,
                404,
                detail("Equipo médico no encontrado para este paciente."),
            ),
            get("a patient as doctor", "GET doctors /api/v1/doctors/me/dashboard", Patient, 403, not_a_doctor()),
            get(
                "nobody's patient",
                "GET doctors /api/v1/doctors/me/patients/{doctor}/medical-record",
                Doctor,
                404,
                not_assigned(),
            ),
            get("no UUID", "GET doctors /api/v1/doctors/me/patients/7/medical-record", Doctor, 404, not_assigned()),
            get("no doctor", "GET doctors /api/v1/doctors/statistics", Patient, 404, detail("Doctor no encontrado.")),
            get(
                "a doctor as institution",
                "GET institutions /api/v1/institutions/doctors",
                Doctor,
                403,
                not_an_institution(),
            ),
            get(
                "a nameless institution",
                "GET institutions /api/v1/institutions/patients",
                bearer(SECRET, &nameless),
                400,
                detail("No se pudo identificar la institución"),
            ),
            get("another institution", "GET institutions /api/v1/institutions/7", Institution, 403, not_yours()),
            get(
                "any institution, patient",
                "GET institutions /api/v1/institutions/{institution}",
                Patient,
                200,
                json!({}),
            ),
            get(
                "unknown",
                "GET institutions /api/v1/institutions/7",
                Patient,
                404,
                detail("Institución no encontrada."),
            ),
            get(
                "no admin",
                "GET admins /api/v1/admins/statistics",
                Doctor,
                403,
                detail("Se requiere el tipo de usuario: admin. Usuario actual: doctor"),
            ),
            get("unknown admin", "GET admins /api/v1/admins/7", Admin, 404, json!({})),
        ])
        .await;
}
