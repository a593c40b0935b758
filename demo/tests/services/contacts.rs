//! E-mails, phones and addresses of a patient: added, changed, deleted, and which is the primary one.

use serde_json::{Value, json};

use crate::world::Caller::{Doctor, Nobody, Patient};
use crate::world::{EMAIL_TAKEN, NOTHING, World, case, detail, faults, get, with};

const EMAILS: &str = "POST patients /api/v1/patients/{patient}/emails";
const PHONES: &str = "POST patients /api/v1/patients/{patient}/phones";
const ADDRESSES: &str = "POST patients /api/v1/patients/{patient}/addresses";
const PROFILE: &str = "GET patients /api/v1/patients/{patient}/profile";
const ADD: &str = "POST patients /api/v1/patients/{patient}/KIND";
const PUT: &str = "PUT patients /api/v1/patients/{patient}/KIND/{new}";
const DELETE: &str = "DELETE patients /api/v1/patients/{patient}/KIND/{new}";

/// A line for one kind of contact.
fn of(kind: &str, line: &str) -> &'static str {
    line.replace("KIND", kind).leak()
}

#[tokio::test]
async fn a_contact_is_added_changed_and_deleted_in_the_shape_of_the_profile() {
    let world = World::new().await;
    for (kind, sent, changed, not_found) in [
        (
            "emails",
            json!({ "email_address": "Lucia.Trabajo@EXAMPLE.com", "email_type": "work", "is_primary": false }),
            json!({ "email_type": "other" }),
            "Correo electrónico no encontrado.",
        ),
        (
            "phones",
            json!({ "phone_number": "+52 81 5550 7001", "phone_type": "emergency", "is_primary": false }),
            json!({ "phone_number": "+52 81 5550 7002" }),
            "Teléfono no encontrado.",
        ),
        (
            "addresses",
            json!({
                "street_address": "Calle Ocampo 7", "neighborhood": "Centro", "postal_code": "64000", "city": "Monterrey",
                "region_id": 1, "country_id": 1, "address_type": "work", "is_primary": false,
            }),
            json!({ "street_address": "Calle Ocampo 9", "neighborhood": "" }),
            "Dirección no encontrada.",
        ),
    ] {
        let reply = world.send(of(kind, ADD), &Patient, &sent).await;
        assert_eq!(reply.status, 201, "{kind}: {}", reply.body);
        let made = reply.body;
        let mut expected = sent.clone();
        if kind == "emails" {
            expected["email_address"] = json!("Lucia.Trabajo@example.com");
        }
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&made[field], value, "{kind}: {field}");
        }
        assert_eq!(made["is_verified"], false, "{kind}");
        let profile = world.send(PROFILE, &Patient, &Value::Null).await.body;
        assert_eq!(profile[kind][1], made, "{kind}: added after the primary one");

        let id = made["id"].as_str().unwrap();
        let unknown = "00000000-0000-4000-8000-000000000000";
        let mut after = expected.clone();
        after.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        let (put, delete) = (of(kind, PUT), of(kind, DELETE));
        world
            .check_new(
                id,
                vec![
                    case("change", put, Patient, changed.clone(), 200, after),
                    case("nothing", put, Patient, json!({ "unknown": 1 }), 400, detail(NOTHING)),
                    case(
                        "no flag",
                        put,
                        Patient,
                        json!({ "is_primary": "x" }),
                        422,
                        faults(&[json!(["body", "is_primary"])]),
                    ),
                    case("no token", put, Nobody, changed.clone(), 401, json!({})),
                    case(
                        "of a patient who is unknown",
                        of(kind, "PUT patients /api/v1/patients/{doctor}/KIND/{new}"),
                        Doctor,
                        changed.clone(),
                        404,
                        detail("Paciente no encontrado."),
                    ),
                    case(
                        "of somebody else",
                        of(kind, "PUT patients /api/v1/patients/{doctor}/KIND/{new}"),
                        Patient,
                        changed.clone(),
                        403,
                        detail("No tienes permiso para acceder a este recurso"),
                    ),
                    get(
                        "delete of somebody else",
                        of(kind, "DELETE patients /api/v1/patients/{doctor}/KIND/{new}"),
                        Patient,
                        403,
                        json!({}),
                    ),
                    get("delete", delete, Patient, 204, Value::Null),
                    get("again", delete, Patient, 404, detail(not_found)),
                    case("change what is gone", put, Patient, changed.clone(), 404, detail(not_found)),
                ],
            )
            .await;
        world.check_new(unknown, vec![case("unknown", put, Patient, changed, 404, detail(not_found))]).await;
        let profile = world.send(PROFILE, &Patient, &Value::Null).await.body;
        assert_eq!(profile[kind].as_array().unwrap().len(), 1, "{kind}: gone");
    }
}

#[tokio::test]
async fn a_contact_that_does_not_fit_is_refused_with_every_fault() {
    let world = World::new().await;
    let at = |place: &str| json!(["body", place]);
    let email = json!({ "email_address": "nueva@example.com", "email_type": "work", "is_primary": false });
    let jorge = json!("Jorge.Salinas@example.com");
    let own = json!("lucia.mendoza@example.com");
    let taken = || detail(EMAIL_TAKEN);
    world
        .check(&[
            case("no e-mail", EMAILS, Patient, json!({}), 422, faults(&[at("email_address")])),
            case(
                "all faults",
                EMAILS,
                Patient,
                json!({ "email_address": "x", "email_type": "", "is_primary": 1 }),
                422,
                faults(&[at("email_address"), at("email_type"), at("is_primary")]),
            ),
            case("no body", EMAILS, Patient, Value::Null, 422, faults(&[json!(["body"])])),
            case("of another account", EMAILS, Patient, with(email.clone(), "email_address", jorge), 409, taken()),
            case("her own once more", EMAILS, Patient, with(email.clone(), "email_address", own), 409, taken()),
            case(
                "of an admin",
                EMAILS,
                Patient,
                with(email.clone(), "email_address", json!("teresa.galindo@example.net")),
                409,
                taken(),
            ),
            case("no token", EMAILS, Nobody, email.clone(), 401, detail("Token de autorización 'Bearer' requerido")),
            case(
                "of somebody else",
                "POST patients /api/v1/patients/{doctor}/emails",
                Patient,
                email.clone(),
                403,
                detail("No tienes permiso para acceder a este recurso"),
            ),
            case(
                "unknown patient",
                "POST patients /api/v1/patients/{doctor}/emails",
                Doctor,
                email.clone(),
                404,
                detail("Paciente no encontrado."),
            ),
            case("as a doctor", EMAILS, Doctor, email, 201, json!({ "is_primary": false })),
            case("no number", PHONES, Patient, json!({ "phone_number": "llame" }), 422, faults(&[at("phone_number")])),
            case(
                "a number that is none",
                PHONES,
                Patient,
                json!({ "phone_number": 5_550_100 }),
                422,
                faults(&[at("phone_number")]),
            ),
            case(
                "no street",
                ADDRESSES,
                Patient,
                json!({ "street_address": "", "region_id": "x" }),
                422,
                faults(&[at("street_address"), at("region_id")]),
            ),
            case(
                "no such region",
                ADDRESSES,
                Patient,
                json!({ "street_address": "Calle 1", "region_id": 99 }),
                422,
                faults(&[json!(["body"])]),
            ),
            get(
                "no list of its own",
                "GET patients /api/v1/patients/{patient}/emails",
                Patient,
                405,
                detail("Method Not Allowed"),
            ),
        ])
        .await;
}

#[tokio::test]
async fn one_of_each_kind_is_the_primary_one() {
    let world = World::new().await;
    // Which are primary, in the order of the profile: the primary one first.
    let primary = async |kind: &str| {
        let profile = world.send(PROFILE, &Patient, &Value::Null).await.body;
        let all = profile[kind].as_array().unwrap().clone();
        assert!(all.iter().skip(1).all(|one| one["is_primary"] == false), "{kind}: {all:?}");
        assert!(all.first().is_none_or(|one| one["is_primary"] == true), "{kind}: {all:?}");
        all.first().map_or_else(String::new, |one| one["id"].as_str().unwrap().to_owned())
    };
    let refused = || detail("Para cambiar el principal, marque otro como principal.");
    for (kind, field, values) in [
        ("emails", "email_address", ["uno@example.com", "dos@example.com"]),
        ("phones", "phone_number", ["+52 81 5550 7001", "+52 81 5550 7002"]),
        ("addresses", "street_address", ["Calle Uno 1", "Calle Dos 2"]),
    ] {
        let first = primary(kind).await;
        let add = async |value: &str, is_primary: bool| {
            let body = json!({ field: value, "is_primary": is_primary });
            world.make(of(kind, ADD), Patient, &body).await
        };
        let one = add(values[0], true).await;
        assert_eq!(primary(kind).await, one, "{kind}: a new primary one");
        let two = add(values[1], false).await;
        assert_eq!(primary(kind).await, one, "{kind}: a new one that is not");
        let (put, delete) = (of(kind, PUT), of(kind, DELETE));
        let mark = |is_primary: bool| json!({ "is_primary": is_primary });
        world.check_new(&two, vec![case("mark", put, Patient, mark(true), 200, mark(true))]).await;
        assert_eq!(primary(kind).await, two, "{kind}: another one");
        world.check_new(&two, vec![case("none", put, Patient, mark(false), 409, refused())]).await;
        if kind == "emails" {
            let kept = detail("El correo principal no se puede eliminar.");
            world.check_new(&two, vec![get("primary e-mail", delete, Patient, 409, kept)]).await;
            world.check_new(&first, vec![case("the old one", put, Patient, mark(true), 200, mark(true))]).await;
        }
        world.check_new(&two, vec![get("delete", delete, Patient, 204, Value::Null)]).await;
        assert_eq!(primary(kind).await, first, "{kind}: the oldest follows");
        if kind != "emails" {
            for id in [&one, &first] {
                world.check_new(id, vec![get("delete", delete, Patient, 204, Value::Null)]).await;
            }
            let alone = add(values[0], false).await;
            assert_eq!(primary(kind).await, alone, "{kind}: the only one is the primary one");
        }
    }
}

#[tokio::test]
async fn a_changed_contact_is_no_longer_verified_and_the_login_stays() {
    let world = World::new().await;
    let profile = world.send(PROFILE, &Patient, &Value::Null).await.body;
    let put = of("emails", PUT);
    let id = profile["emails"][0]["id"].as_str().unwrap();
    let changed = json!({ "email_address": "nueva@example.com", "is_verified": false, "is_primary": true });
    let verified = json!({ "email_type": "home", "is_verified": true });
    world
        .check_new(
            id,
            vec![
                case("another type", put, Patient, json!({ "email_type": "home" }), 200, verified),
                case(
                    "the same",
                    put,
                    Patient,
                    json!({ "email_address": "lucia.mendoza@example.com" }),
                    200,
                    json!({ "is_verified": true }),
                ),
                case("another address", put, Patient, json!({ "email_address": "nueva@example.com" }), 200, changed),
                get(
                    "profile",
                    PROFILE,
                    Patient,
                    200,
                    json!({ "personal_info": { "primary_email": "nueva@example.com" } }),
                ),
            ],
        )
        .await;
    world.sign_in("lucia.mendoza@example.com", "Paciente.2025").await;

    let (jorge, _) = world.sign_in("jorge.salinas@example.com", "Paciente.2025").await;
    let theirs = format!("GET patients /api/v1/patients/{jorge}/profile");
    let theirs = world.send(&theirs, &Doctor, &Value::Null).await.body["emails"][0]["id"].as_str().unwrap().to_owned();
    let not_found = || detail("Correo electrónico no encontrado.");
    let (type_only, delete) = (json!({ "email_type": "work" }), of("emails", DELETE));
    world
        .check_new(
            &theirs,
            vec![
                case("somebody else's under her own id", put, Patient, type_only, 404, not_found()),
                get("the same, deleted", delete, Patient, 404, not_found()),
            ],
        )
        .await;
}
