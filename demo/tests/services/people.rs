//! Who is there from the start: enough people of every kind that lists, figures and pages show something.

use std::collections::HashSet;

use hilum_demo::seed;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::Caller::{self, Admin, Doctor, Institution, Nobody};
use crate::world::World;

/// The slug of each institution, and how many active doctors and patients it has.
const INSTITUTIONS: [(&str, usize, usize); 5] = [
    ("hospital-san-rafael", 5, 24),
    ("clinica-los-encinos", 3, 8),
    ("centro-valle-alto", 2, 7),
    ("unidad-ribera-norte", 2, 6),
    ("aseguradora-horizonte", 2, 5),
];

async fn ask(world: &World, line: &str, caller: &Caller) -> Vec<Value> {
    let reply = world.send(line, caller, &Value::Null).await;
    assert_eq!(reply.status, 200, "{line}: {}", reply.body);
    let list = if reply.body.is_array() { reply.body } else { reply.body[line.rsplit('/').next().unwrap()].clone() };
    list.as_array().unwrap_or_else(|| panic!("{line} answers no list")).clone()
}

#[tokio::test]
async fn every_institution_has_doctors_and_patients_of_every_sort() {
    let world = World::new().await;
    let everybody = ask(&world, "GET patients /api/v1/patients", &Nobody).await;
    for (slug, doctors, patients) in INSTITUTIONS {
        let (id, token) = world.sign_in(&format!("contacto@{slug}.example.org"), "Hospital.2025").await;
        assert_eq!(id, seed::id("institution", slug));
        let me = Caller::Header(format!("Bearer {token}"));
        let own_doctors = ask(&world, "GET institutions /api/v1/institutions/doctors", &me).await;
        let own_patients = ask(&world, "GET institutions /api/v1/institutions/patients", &me).await;
        assert_eq!((own_doctors.len(), own_patients.len()), (doctors, patients), "{slug}");
        for doctor in &own_doctors {
            let counted = everybody.iter().filter(|one| one["doctor_id"] == doctor["id"]).count();
            assert!(counted >= 2, "{slug}: {}", doctor["last_name"]);
            assert_eq!(doctor["active_patients"], counted, "{slug}: {}", doctor["last_name"]);
            assert!(doctor["specialty_name"].is_string() && doctor["contact_phone"].is_string(), "{doctor}");
        }
        let some = |name: &str, is: &dyn Fn(&Value) -> bool| {
            let found = own_patients.iter().filter(|one| is(one)).count();
            assert!(0 < found && found < patients, "{slug}: {found} of {patients} are {name}");
        };
        for level in ["low", "medium", "high"] {
            some(level, &|one| one["risk_level"] == level);
        }
        some("verified", &|one| one["is_verified"] == true);
        some("never here", &|one| one["last_login"].is_null());
        let month_ago = Timestamp::now() - SignedDuration::from_hours(30 * 24);
        let moment = |value: &Value| -> Timestamp {
            let text = value.as_str().unwrap();
            assert!(text.ends_with("+00:00"), "{text}");
            text.parse().unwrap()
        };
        some("new", &|one| moment(&one["created_at"]) > month_ago);
        for one in &own_patients {
            let last = moment(&one["last_activity"]);
            assert!(moment(&one["created_at"]) <= last && last <= Timestamp::now(), "{slug}: {one}");
        }
    }
}

#[tokio::test]
async fn what_is_counted_follows_what_is_changed() {
    let world = World::new().await;
    let line = "GET institutions /api/v1/institutions/doctors";
    let elena = async || {
        let doctors = ask(&world, line, &Institution).await;
        doctors.iter().find(|one| one["id"] == seed::id("doctor", "elena.fuentes")).unwrap()["active_patients"].clone()
    };
    let before = elena().await.as_i64().unwrap();
    let jorge = seed::id("patient", "jorge.salinas");
    let gone = world.send(&format!("DELETE patients /api/v1/patients/{jorge}"), &Doctor, &Value::Null).await;
    assert_eq!((gone.status, elena().await), (204, json!(before - 1)));
}

#[tokio::test]
async fn everybody_is_invented_has_a_record_and_can_sign_in() {
    let world = World::new().await;
    let patients = ask(&world, "GET patients /api/v1/patients", &Nobody).await;
    let doctors = ask(&world, "GET doctors /api/v1/doctors", &Doctor).await;
    let admins = ask(&world, "GET admins /api/v1/admins", &Admin).await;
    let mut parts = HashSet::new();
    for patient in &patients {
        let id = patient["id"].as_str().unwrap();
        let record = format!("GET patients /api/v1/patients/{id}/medical-record");
        let record = world.send(&record, &Doctor, &Value::Null).await.body;
        let filled =
            record.as_object().unwrap().iter().filter(|(_, part)| part.as_array().is_some_and(|p| !p.is_empty()));
        parts.extend(filled.map(|(name, _)| (patient["institution_id"].to_string(), name.clone())));
    }
    assert_eq!(parts.len(), INSTITUTIONS.len() * 4, "each institution has all four lists: {parts:?}");
    assert!(
        admins.iter().any(|one| one["is_active"] == false) && admins.iter().any(|one| one["last_login"].is_string())
    );

    for (people, domain, field) in [
        (&patients, "@example.com", "contact_email"),
        (&doctors, "@example.org", "contact_email"),
        (&admins, "@example.net", "email"),
    ] {
        let emails: HashSet<_> = people.iter().map(|one| one[field].as_str().unwrap()).collect();
        assert_eq!(emails.len(), people.len(), "{domain}: nobody shares an e-mail");
        assert!(emails.iter().all(|email| email.ends_with(domain)), "{emails:?}");
    }
    for (email, password, id) in [
        ("consuelo.hurtado@example.com", "Paciente.2025", seed::id("patient", "consuelo.hurtado")),
        ("gloria.mejia@example.org", "Doctora.2025", seed::id("doctor", "gloria.mejia")),
        ("lourdes.arce@example.net", "Admin.2025", seed::id("admin", "lourdes.arce")),
    ] {
        assert_eq!(world.sign_in(email, password).await.0, id);
    }
}
