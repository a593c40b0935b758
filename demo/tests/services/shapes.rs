//! The fields of the answers, as clients read them, and what the seeded people have in them.

use serde_json::{Value, json};

use crate::world::Caller::{Admin, Doctor, Institution, Patient};
use crate::world::{World, get};

#[tokio::test]
async fn answers_have_the_fields_that_clients_read() {
    let world = World::new().await;
    let health = "height_cm weight_kg blood_type is_smoker smoking_years consumes_alcohol alcohol_frequency \
                  physical_activity_minutes_weekly notes";
    let doctor = "id institution_id first_name last_name medical_license specialty_id years_experience \
                  consultation_fee is_active professional_status contact_email specialty_name";
    let cases = [
        (
            "GET patients /api/v1/patients/{patient}",
            Patient,
            "",
            "id doctor_id institution_id first_name last_name date_of_birth is_active is_verified emergency_contact_name contact_email sex_id gender_id health_profile",
        ),
        ("GET patients /api/v1/patients/{patient}", Patient, "/health_profile", health),
        (
            "GET patients /api/v1/patients/{patient}/dashboard",
            Patient,
            "",
            "health_score age bmi bmi_classification patient medications conditions appointments recent_activity",
        ),
        (
            "GET patients /api/v1/patients/{patient}/dashboard",
            Patient,
            "/patient",
            "first_name last_name date_of_birth is_smoker consumes_alcohol physical_activity_minutes_weekly height_cm weight_kg",
        ),
        ("GET patients /api/v1/patients/{patient}/dashboard", Patient, "/medications/0", "name dosage frequency"),
        (
            "GET patients /api/v1/patients/{patient}/medical-record",
            Patient,
            "",
            "health_profile conditions medications allergies family_history",
        ),
        (
            "GET patients /api/v1/patients/{patient}/medical-record",
            Patient,
            "/conditions/0",
            "id name diagnosis_date notes",
        ),
        (
            "GET patients /api/v1/patients/{patient}/medical-record",
            Patient,
            "/medications/0",
            "id name dosage frequency start_date",
        ),
        (
            "GET patients /api/v1/patients/{patient}/medical-record",
            Patient,
            "/allergies/0",
            "id name severity reaction_description",
        ),
        (
            "GET patients /api/v1/patients/{patient}/medical-record",
            Patient,
            "/family_history/0",
            "id condition_name relative_type notes",
        ),
        (
            "GET patients /api/v1/patients/{patient}/care-team",
            Patient,
            "/doctor",
            "first_name last_name years_experience specialty email phone",
        ),
        (
            "GET patients /api/v1/patients/{patient}/care-team",
            Patient,
            "/institution",
            "name type website email phone address",
        ),
        (
            "GET patients /api/v1/patients/{patient}/care-team",
            Patient,
            "/institution/address",
            "street city region country postal_code street_address neighborhood region_id country_id",
        ),
        (
            "GET patients /api/v1/patients/{patient}/profile",
            Patient,
            "/personal_info",
            "first_name last_name date_of_birth primary_email",
        ),
        (
            "GET patients /api/v1/patients/{patient}/profile",
            Patient,
            "/emails/0",
            "id email_address is_primary is_verified email_type",
        ),
        (
            "GET patients /api/v1/patients/{patient}/profile",
            Patient,
            "/phones/0",
            "id phone_number is_primary is_verified phone_type",
        ),
        (
            "GET patients /api/v1/patients/{patient}/profile",
            Patient,
            "/addresses/0",
            "id street_address city postal_code neighborhood address_type is_primary is_verified region_id country_id",
        ),
        ("GET doctors /api/v1/doctors", Patient, "/0", doctor),
        ("GET doctors /api/v1/doctors/{doctor}", Patient, "", doctor),
        ("GET doctors /api/v1/doctors/me/dashboard", Doctor, "", "total_patients today_appointments pending_reviews"),
        (
            "GET doctors /api/v1/doctors/me/profile",
            Doctor,
            "",
            "id first_name last_name email specialty_name specialty_id institution_name years_experience consultation_fee",
        ),
        (
            "GET doctors /api/v1/doctors/me/institution",
            Doctor,
            "",
            "id name type license_number email phone website address",
        ),
        (
            "GET doctors /api/v1/doctors/me/institution",
            Doctor,
            "/address",
            "street_address city region_name country_name postal_code",
        ),
        ("GET doctors /api/v1/doctors/me/patients", Doctor, "", "patient_count patients"),
        (
            "GET doctors /api/v1/doctors/me/patients",
            Doctor,
            "/patients/0",
            "id first_name last_name date_of_birth contact_email contact_phone last_login",
        ),
        (
            "GET doctors /api/v1/doctors/me/patients/{patient}/medical-record",
            Doctor,
            "",
            "patient_info health_profile conditions medications allergies family_history",
        ),
        (
            "GET institutions /api/v1/institutions/{institution}",
            Institution,
            "",
            "name institution_type_id website license_number id is_active is_verified contact_email",
        ),
        (
            "GET institutions /api/v1/institutions/doctors",
            Institution,
            "/doctors/0",
            "id first_name last_name medical_license years_experience consultation_fee is_active professional_status specialty_name contact_email contact_phone active_patients specialty",
        ),
        (
            "GET institutions /api/v1/institutions/patients",
            Institution,
            "/patients/0",
            "id first_name last_name date_of_birth last_login is_verified created_at contact_email contact_phone doctor_first_name doctor_last_name validation_status doctor_name risk_level last_activity",
        ),
        (
            "GET admins /api/v1/admins/{admin}",
            Admin,
            "",
            "id user_id email first_name last_name department employee_id phone is_active last_login created_at updated_at",
        ),
        ("GET admins /api/v1/admins/statistics", Admin, "", "total_admins active_admins total_institutions"),
    ];
    for (line, caller, place, expected) in cases {
        let reply = world.send(line, &caller, &Value::Null).await;
        assert_eq!(reply.status, 200, "{line}: {}", reply.body);
        let part = reply.body.pointer(place).unwrap_or_else(|| panic!("{line} has no {place}: {}", reply.body));
        let names: Vec<_> = part.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>(), "{line} {place}");
    }
}

#[tokio::test]
async fn answers_hold_what_was_seeded_with_its_types() {
    let world = World::new().await;
    let dashboard = json!({
        "patient": { "first_name": "Lucía", "is_smoker": false, "height_cm": 164.0 },
        "bmi": 25.47, "bmi_classification": "Sobrepeso", "health_score": 68, "age": "*",
        "conditions": [{ "name": "Hipertensión arterial" }, { "name": "Prediabetes" }],
    });
    let institution =
        json!({ "type": "Hospital", "address": { "street": "Av. Constitución 1200", "country": "México" } });
    let doctors = json!({ "doctors": [
        { "last_name": "Cantú Lozano", "active_patients": 4, "is_active": true },
        { "last_name": "Fuentes Garza", "specialty": "Cardiología", "consultation_fee": 950.0, "active_patients": 8 },
        { "last_name": "Montes Bravo", "active_patients": 3 },
        { "last_name": "Saldívar Cuéllar", "active_patients": 3 },
        { "last_name": "Villarreal Treviño", "active_patients": 6 },
    ] });
    let seen = world.send("GET institutions /api/v1/institutions/patients", &Institution, &Value::Null).await.body;
    let seen = seen["patients"].as_array().unwrap();
    for (last_name, expected) in [
        (
            "Arriaga Núñez",
            json!({ "risk_level": "low", "last_login": null, "last_activity": "2025-03-03T13:20:00+00:00" }),
        ),
        ("Castro Medina", json!({ "risk_level": "medium", "validation_status": "unverified", "is_verified": false })),
        ("Mendoza Ortega", json!({ "doctor_name": "Elena Fuentes Garza", "created_at": "2025-01-14T09:30:00+00:00" })),
        ("Salinas Vega", json!({ "risk_level": "high", "validation_status": "verified", "is_verified": true })),
    ] {
        let patient = seen.iter().find(|patient| patient["last_name"] == last_name).unwrap();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&patient[field], value, "{last_name}: {field}");
        }
    }
    world
        .check(&[
            get("dashboard", "GET patients /api/v1/patients/{patient}/dashboard", Patient, 200, dashboard),
            get(
                "team",
                "GET patients /api/v1/patients/{patient}/care-team",
                Patient,
                200,
                json!({ "doctor": { "specialty": "Cardiología" }, "institution": institution }),
            ),
            get(
                "record",
                "GET patients /api/v1/patients/{patient}/medical-record",
                Patient,
                200,
                json!({ "health_profile": { "blood_type": "O+" } }),
            ),
            get("doctors", "GET institutions /api/v1/institutions/doctors", Institution, 200, doctors),
            get(
                "figures",
                "GET doctors /api/v1/doctors/me/dashboard",
                Doctor,
                200,
                json!({ "total_patients": 8, "today_appointments": 0 }),
            ),
        ])
        .await;
}
