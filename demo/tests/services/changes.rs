//! Doctors and patients: made, changed and deleted, and what is seen of them afterwards.

use serde_json::{Value, json};

use crate::world::Caller::{self, Doctor, Institution, Nobody, Patient};
use crate::world::{EMAIL_TAKEN, NOTHING, World, case, detail, faults, get, with};

#[tokio::test]
async fn a_doctor_is_made_changed_and_deleted() {
    let world = World::new().await;
    let create = "POST doctors /api/v1/doctors";
    let new = json!({
        "institution_id": "{institution}", "first_name": "Nora", "last_name": "Peralta", "medical_license": "CED-1",
        "years_experience": 3, "contact_email": { "email_address": "nora@example.org" }, "password": "Doctora.2026",
    });
    let places = ["institution_id", "first_name", "last_name", "medical_license", "password"];
    let missing: Vec<_> =
        [vec![json!(["body", "contact_email"])], places.map(|name| json!(["body", name])).to_vec()].concat();
    let email = json!({ "email_address": "nora@example.org" });
    let bad_email = faults(&[json!(["body", "contact_email", "email_address"])]);
    let unknown = json!("00000000-0000-4000-8000-000000000000");
    let id = world.make(create, Institution, &new).await;
    world
        .check(&[
            case(
                "e-mail taken",
                create,
                Institution,
                with(new.clone(), "medical_license", json!("CED-2")),
                409,
                detail(EMAIL_TAKEN),
            ),
            case(
                "licence taken",
                create,
                Institution,
                with(new.clone(), "contact_email", json!({ "email_address": "n2@example.org" })),
                409,
                detail("La licencia médica ya está registrada."),
            ),
            case("all missing", create, Institution, json!({}), 422, faults(&missing)),
            case(
                "bad e-mail",
                create,
                Institution,
                with(new.clone(), "contact_email", json!({ "email_address": "x" })),
                422,
                bad_email,
            ),
            case(
                "no such institution",
                create,
                Institution,
                with(
                    with(with(new.clone(), "institution_id", unknown), "medical_license", json!("CED-3")),
                    "contact_email",
                    json!({ "email_address": "n3@example.org" }),
                ),
                422,
                json!({}),
            ),
            case("without a token", create, Nobody, with(new, "contact_email", email), 401, json!({})),
        ])
        .await;
    assert_eq!(world.sign_in("nora@example.org", "Doctora.2026").await.0, id);
    let gone = || detail("Doctor no encontrado.");
    let line = "PUT doctors /api/v1/doctors/{new}";
    world
        .check_new(
            &id,
            vec![
                get(
                    "read",
                    "GET doctors /api/v1/doctors/{new}",
                    Patient,
                    200,
                    json!({ "contact_email": "nora@example.org", "is_active": true, "consultation_fee": null }),
                ),
                case(
                    "change",
                    line,
                    Patient,
                    json!({ "consultation_fee": 300 }),
                    200,
                    json!({ "consultation_fee": 300.0, "years_experience": 3 }),
                ),
                case("nothing", line, Patient, json!({ "consultation_fee": null }), 400, detail(NOTHING)),
                case(
                    "no number",
                    line,
                    Patient,
                    json!({ "years_experience": "x" }),
                    422,
                    faults(&[json!(["body", "years_experience"])]),
                ),
                get("delete", "DELETE doctors /api/v1/doctors/{new}", Patient, 204, Value::Null),
                get("again", "DELETE doctors /api/v1/doctors/{new}", Patient, 404, gone()),
                get("gone", "GET doctors /api/v1/doctors/{new}", Patient, 404, gone()),
                case("change", line, Patient, json!({ "years_experience": 4 }), 404, gone()),
                case(
                    "no login",
                    "POST auth-jwt /auth/login",
                    Nobody,
                    json!({ "email": "nora@example.org", "password": "Doctora.2026" }),
                    403,
                    json!({}),
                ),
            ],
        )
        .await;
}

#[tokio::test]
async fn a_doctor_may_be_made_with_the_name_of_a_specialty() {
    let world = World::new().await;
    let list = world.send("GET doctors /api/v1/doctors", &Patient, &Value::Null).await.body;
    let known = list.as_array().unwrap().iter().find(|doctor| doctor["specialty_name"] == "Cardiología").unwrap();
    let check = async |license: &str, name: &str, expect: Value| {
        let new = json!({
            "institution_id": "{institution}", "first_name": "Nora", "last_name": "Peralta", "medical_license": license,
            "contact_email": { "email_address": format!("{license}@example.org") }, "password": "Doctora.2026",
            "specialty_name": name,
        });
        world.check(&[case("made", "POST doctors /api/v1/doctors", Institution, new, 201, expect)]).await;
    };
    check("CED-1", "cardiología", json!({ "specialty_name": "Cardiología", "specialty_id": known["specialty_id"] }))
        .await;
    check("CED-2", "Genética", json!({ "specialty_name": "Genética", "specialty_id": "*" })).await;
    check("CED-3", " ", json!({ "specialty_name": null, "specialty_id": null })).await;
}

#[tokio::test]
async fn a_doctor_changes_its_own_profile() {
    let world = World::new().await;
    let line = "PUT doctors /api/v1/doctors/me/profile";
    let changed = json!({ "years_experience": 19, "consultation_fee": 950.0, "specialty_name": "Cardiología" });
    world
        .check(&[
            case(
                "as the page sends it",
                line,
                Doctor,
                json!({ "years_experience": 19, "consultation_fee": null }),
                200,
                changed,
            ),
            case("nothing", line, Doctor, json!({}), 400, detail(NOTHING)),
            case(
                "unknown specialty",
                line,
                Doctor,
                json!({ "specialty_id": "00000000-0000-4000-8000-000000000000" }),
                422,
                json!({}),
            ),
            case("as patient", line, Patient, json!({ "years_experience": 1 }), 403, json!({})),
        ])
        .await;
}

#[tokio::test]
async fn a_patient_signs_up_changes_and_is_deleted() {
    let world = World::new().await;
    let create = "POST patients /api/v1/patients";
    let new = json!({
        "doctor_id": "{doctor}", "institution_id": "{institution}", "first_name": "Alma", "last_name": "Duarte",
        "date_of_birth": "2000-02-29", "contact_email": { "email_address": "alma@example.com", "is_primary": true },
        "health_profile": { "height_cm": 160, "weight_kg": 55.5, "is_smoker": false }, "password": "Paciente.2026",
    });
    let id = world.make(create, Nobody, &new).await;
    let negative = json!({ "height_cm": -1, "smoking_years": -1 });
    let places = [json!(["body", "health_profile", "height_cm"]), json!(["body", "health_profile", "smoking_years"])];
    world
        .check(&[
            case("e-mail taken", create, Nobody, new.clone(), 409, detail(EMAIL_TAKEN)),
            case(
                "no such day",
                create,
                Nobody,
                with(new.clone(), "date_of_birth", json!("2001-02-29")),
                422,
                faults(&[json!(["body", "date_of_birth"])]),
            ),
            case("bad figures", create, Nobody, with(new.clone(), "health_profile", negative), 422, faults(&places)),
            case(
                "no profile",
                create,
                Nobody,
                with(new, "health_profile", json!(7)),
                422,
                faults(&[json!(["body", "health_profile"])]),
            ),
        ])
        .await;
    let (own, token) = world.sign_in("alma@example.com", "Paciente.2026").await;
    assert_eq!(own, id);
    let me = || Caller::Header(format!("Bearer {token}"));
    let line = "PUT patients /api/v1/patients/{new}";
    let changed = json!({ "first_name": "Alma Rosa", "last_name": "Duarte", "date_of_birth": "2000-03-01" });
    world
        .check_new(
            &id,
            vec![
                get(
                    "read",
                    "GET patients /api/v1/patients/{new}",
                    me(),
                    200,
                    json!({ "is_verified": false, "health_profile": { "weight_kg": 55.5, "notes": null } }),
                ),
                get(
                    "dashboard",
                    "GET patients /api/v1/patients/{new}/dashboard",
                    me(),
                    200,
                    json!({ "bmi": 21.68, "bmi_classification": "Normal" }),
                ),
                case(
                    "change",
                    line,
                    me(),
                    json!({ "first_name": "Alma Rosa", "date_of_birth": "2000-03-01" }),
                    200,
                    changed,
                ),
                case("nothing", line, me(), json!({ "unknown": 1 }), 400, detail(NOTHING)),
                case(
                    "empty name",
                    line,
                    me(),
                    json!({ "first_name": "" }),
                    422,
                    faults(&[json!(["body", "first_name"])]),
                ),
                case("of somebody else", line, Patient, json!({ "first_name": "X" }), 403, json!({})),
                get("delete", "DELETE patients /api/v1/patients/{new}", me(), 204, Value::Null),
                get("gone", "GET patients /api/v1/patients/{new}", Doctor, 404, json!({})),
                get(
                    "its record too",
                    "GET patients /api/v1/patients/{new}/medical-record",
                    Doctor,
                    200,
                    json!({ "health_profile": null }),
                ),
                get("no renewal", "POST auth-jwt /auth/refresh", me(), 401, json!({})),
            ],
        )
        .await;
}
