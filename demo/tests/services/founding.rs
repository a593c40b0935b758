//! Institutions and admins: made, changed and deleted, and the trace that admins leave.

use serde_json::{Value, json};

use crate::world::Caller::{self, Admin, Doctor, Institution, Nobody, Patient};
use crate::world::{EMAIL_TAKEN, NOTHING, World, case, detail, faults, get, with};

#[tokio::test]
async fn an_institution_is_founded_changed_and_closed() {
    let world = World::new().await;
    let create = "POST institutions /api/v1/institutions";
    let new = json!({
        "name": "Clínica del Sol", "institution_type_id": 1, "license_number": "L-1",
        "contact_email": { "email_address": "sol@example.org" }, "password": "Hospital.2026",
    });
    let id = world.make(create, Nobody, &new).await;
    let other_email = json!({ "email_address": "sol2@example.org" });
    world
        .check(&[
            case("e-mail taken", create, Nobody, new.clone(), 409, detail(EMAIL_TAKEN)),
            case(
                "licence taken",
                create,
                Nobody,
                with(new.clone(), "contact_email", other_email),
                409,
                detail("El número de licencia ya está registrado."),
            ),
            case(
                "unknown type",
                create,
                Nobody,
                with(new, "institution_type_id", json!(9)),
                422,
                faults(&[json!(["body", "institution_type_id"])]),
            ),
        ])
        .await;
    let (_, token) = world.sign_in("sol@example.org", "Hospital.2026").await;
    let by_admin = json!({
        "name": "Hospital de la Luz", "institution_type_id": 4, "license_number": "L-2",
        "contact_email": { "email_address": "luz@example.org", "is_primary": true }, "password": "Hospital.2026",
        "phone": "+52 55 5550 0500", "address": "Calle Luz 2", "region_state": "Puebla",
    });
    let luz = world.make(create, Admin, &by_admin).await;
    let doctor = json!({
        "institution_id": luz, "first_name": "Ana", "last_name": "Paz", "medical_license": "CED-9",
        "contact_email": { "email_address": "ana.paz@example.org" }, "password": "Doctora.2026",
    });
    world.make("POST doctors /api/v1/doctors", Admin, &doctor).await;
    let (_, ana) = world.sign_in("ana.paz@example.org", "Doctora.2026").await;
    let ana = Caller::Header(format!("Bearer {ana}"));
    let address = json!({ "street_address": "Calle Luz 2", "region_name": "Puebla" });
    let seen =
        json!({ "name": "Hospital de la Luz", "type": "Hospital", "phone": "+52 55 5550 0500", "address": address });
    world.check(&[get("its place", "GET doctors /api/v1/doctors/me/institution", ana, 200, seen)]).await;
    let me = || Caller::Header(format!("Bearer {token}"));
    let line = "PUT institutions /api/v1/institutions/{new}";
    world
        .check_new(
            &id,
            vec![
                get(
                    "no doctors yet",
                    "GET institutions /api/v1/institutions/doctors",
                    me(),
                    200,
                    json!({ "doctors": [] }),
                ),
                case(
                    "change",
                    line,
                    me(),
                    json!({ "website": "https://sol.example.org" }),
                    200,
                    json!({ "website": "https://sol.example.org", "name": "Clínica del Sol" }),
                ),
                case("nothing", line, me(), json!({}), 400, detail(NOTHING)),
                case("another one", line, Institution, json!({ "name": "X" }), 403, json!({})),
                case("licence taken", line, me(), json!({ "license_number": "HOSP-NL-0147" }), 422, json!({})),
                get("close", "DELETE institutions /api/v1/institutions/{new}", me(), 204, Value::Null),
                get("gone", "GET institutions /api/v1/institutions/{new}", Patient, 404, json!({})),
            ],
        )
        .await;
}

#[tokio::test]
async fn admins_make_admins_and_institutions_and_leave_a_trace() {
    let world = World::new().await;
    let create = "POST admins /api/v1/admins/";
    let new =
        json!({ "email": "iris@example.net", "first_name": "Iris", "last_name": "Luna", "password": "Admin.2026" });
    let id = world.make(create, Admin, &new).await;
    let institution = json!({
        "name": "Aseguradora Faro", "institution_type": "insurer", "contact_email": "faro@example.org",
        "password": "Hospital.2026", "phone": "+52 55 5550 0400", "address": "Calle 1", "region_state": "Puebla",
    });
    let line = "PUT admins /api/v1/admins/{new}";
    let logs = json!({ "total": 4, "page": 1, "limit": 2, "logs": [
        { "action": "delete", "resource_type": "admin", "admin_id": "{admin}" },
        { "action": "update", "resource_type": "admin", "created_at": "*" },
    ] });
    let wrong_type = with(institution.clone(), "institution_type", json!("spa"));
    let founded = json!({ "institution_type_id": 2, "license_number": "*", "contact_email": "faro@example.org" });
    let figures = json!({ "total_admins": 6, "active_admins": 4, "total_institutions": 6 });
    world
        .check_new(
            &id,
            vec![
                case("not by others", create, Doctor, new.clone(), 403, json!({})),
                case("e-mail taken", create, Admin, new.clone(), 409, detail(EMAIL_TAKEN)),
                case(
                    "short name",
                    create,
                    Admin,
                    with(new, "first_name", json!("I")),
                    422,
                    faults(&[json!(["body", "first_name"])]),
                ),
                get(
                    "read",
                    "GET admins /api/v1/admins/{new}",
                    Admin,
                    200,
                    json!({ "email": "iris@example.net", "is_active": true, "last_login": null }),
                ),
                case("institution", "POST admins /api/v1/admins/institutions", Admin, institution, 201, founded),
                case(
                    "unknown type",
                    "POST admins /api/v1/admins/institutions",
                    Admin,
                    wrong_type,
                    422,
                    faults(&[json!(["body", "institution_type"])]),
                ),
                case(
                    "change",
                    line,
                    Admin,
                    json!({ "department": "Datos" }),
                    200,
                    json!({ "department": "Datos", "first_name": "Iris" }),
                ),
                case("nothing", line, Admin, json!({}), 400, detail(NOTHING)),
                get("delete", "DELETE admins /api/v1/admins/{new}", Admin, 204, Value::Null),
                get("again", "DELETE admins /api/v1/admins/{new}", Admin, 404, json!({})),
                get("trace", "GET admins /api/v1/admins/audit/logs?limit=2", Admin, 200, logs),
                get(
                    "of somebody else",
                    "GET admins /api/v1/admins/audit/logs?admin_id={new}",
                    Admin,
                    200,
                    json!({ "logs": [], "total": 0, "limit": 50 }),
                ),
                get("figures", "GET admins /api/v1/admins/statistics", Admin, 200, figures),
            ],
        )
        .await;
}
