//! patients (port 8004): the patients themselves, their dashboard, medical record, care team and
//! profile. As in the real service anybody may sign up and read the list: to guard the list is the
//! gateway's work.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use rusqlite::{Connection, named_params, params};
use serde_json::{Value, json};

use crate::accounts;
use crate::body::{Body, Fields};
use crate::caller::Caller;
use crate::contacts;
use crate::database;
use crate::doctors::contact;
use crate::medical;
use crate::paging::Paging;
use crate::platform::{Platform, with_health};
use crate::problem::{Answer, Problem};
use crate::rules;

const NOT_FOUND: &str = "Paciente no encontrado.";

pub(crate) fn routes() -> Router<Platform> {
    with_health()
        .route("/api/v1/patients", get(list).post(create))
        .route("/api/v1/patients/{id}", get(read).put(update).delete(delete))
        .route("/api/v1/patients/{id}/dashboard", get(dashboard))
        .route("/api/v1/patients/{id}/medical-record", get(medical_record))
        .route("/api/v1/patients/{id}/care-team", get(care_team))
        .route("/api/v1/patients/{id}/profile", get(profile))
        .merge(contacts::routes())
}

async fn list(State(platform): State<Platform>, paging: Paging) -> Answer {
    let found = platform.database.run(move |connection| {
        let sql = "SELECT * FROM patient_answers ORDER BY last_name, first_name, id LIMIT ?1 OFFSET ?2";
        let mut patients = database::rows(connection, sql, params![paging.limit, paging.skip])?;
        for patient in &mut patients {
            add_health_profile(connection, patient)?;
        }
        Ok(patients)
    });
    Ok(Json(found.await?.into()))
}

async fn read(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.may_use_patient(&id)?;
    platform.database.run(move |connection| by_id(connection, &id)).await.map(Json)
}

struct NewPatient {
    doctor_id: String,
    institution_id: String,
    first_name: String,
    last_name: String,
    date_of_birth: String,
    sex_id: Option<i64>,
    gender_id: Option<i64>,
    emergency_contact_name: Option<String>,
    email: String,
    is_primary: bool,
    health: HealthProfile,
    password: String,
}

#[derive(Default)]
struct HealthProfile {
    height_cm: Option<f64>,
    weight_kg: Option<f64>,
    blood_type_id: Option<i64>,
    is_smoker: Option<bool>,
    smoking_years: Option<i64>,
    consumes_alcohol: Option<bool>,
    alcohol_frequency: Option<String>,
    activity_minutes: Option<i64>,
    notes: Option<String>,
}

async fn create(State(platform): State<Platform>, body: Body) -> Result<(StatusCode, Json<Value>), Problem> {
    let new = body.read(|fields| {
        let (email, is_primary) = fields.nested("contact_email", contact);
        NewPatient {
            doctor_id: fields.required("doctor_id", rules::id),
            institution_id: fields.required("institution_id", rules::id),
            first_name: fields.required("first_name", rules::name),
            last_name: fields.required("last_name", rules::name),
            date_of_birth: fields.required("date_of_birth", rules::date),
            sex_id: fields.optional("sex_id", rules::integer(1..=3)),
            gender_id: fields.optional("gender_id", rules::integer(1..=4)),
            emergency_contact_name: fields.optional("emergency_contact_name", rules::text),
            email,
            is_primary,
            health: fields.nested("health_profile", health_profile),
            password: fields.required("password", rules::password),
        }
    })?;
    let hash = accounts::hash(new.password.clone()).await?;
    let patient = platform.database.run(move |connection| insert(connection, &new, &hash)).await?;
    Ok((StatusCode::CREATED, Json(patient)))
}

fn health_profile(fields: &mut Fields<'_>) -> HealthProfile {
    let from_zero = rules::integer(0..=i64::from(i32::MAX));
    HealthProfile {
        height_cm: fields.optional("height_cm", rules::positive),
        weight_kg: fields.optional("weight_kg", rules::positive),
        blood_type_id: fields.optional("blood_type_id", rules::integer(1..=8)),
        is_smoker: fields.optional("is_smoker", rules::flag),
        smoking_years: fields.optional("smoking_years", &from_zero),
        consumes_alcohol: fields.optional("consumes_alcohol", rules::flag),
        alcohol_frequency: fields.optional("alcohol_frequency", rules::text),
        activity_minutes: fields.optional("physical_activity_minutes_weekly", &from_zero),
        notes: fields.optional("notes", rules::text),
    }
}

fn insert(connection: &Connection, new: &NewPatient, hash: &str) -> Result<Value, Problem> {
    accounts::require_free(connection, &new.email, StatusCode::CONFLICT)?;
    let id = accounts::new_id();
    connection.execute(
        "INSERT INTO patients (id, doctor_id, institution_id, first_name, last_name, date_of_birth,
                               sex_id, gender_id, emergency_contact_name)
         VALUES (:id, :doctor, :institution, :first, :last, :born, :sex, :gender, :emergency)",
        named_params! {
            ":id": id, ":doctor": new.doctor_id, ":institution": new.institution_id,
            ":first": new.first_name, ":last": new.last_name, ":born": new.date_of_birth,
            ":sex": new.sex_id, ":gender": new.gender_id, ":emergency": new.emergency_contact_name,
        },
    )?;
    let health = &new.health;
    connection.execute(
        "INSERT INTO health_profiles
         VALUES (:id, :height, :weight, :blood, :smoker, :years, :alcohol, :frequency, :minutes, :notes)",
        named_params! {
            ":id": id, ":height": health.height_cm, ":weight": health.weight_kg,
            ":blood": health.blood_type_id, ":smoker": health.is_smoker,
            ":years": health.smoking_years, ":alcohol": health.consumes_alcohol,
            ":frequency": health.alcohol_frequency, ":minutes": health.activity_minutes,
            ":notes": health.notes,
        },
    )?;
    accounts::insert(connection, &id, &new.email, hash, "patient")?;
    accounts::insert_contact(connection, &id, &new.email, new.is_primary, "personal")?;
    by_id(connection, &id)
}

async fn update(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>, body: Body) -> Answer {
    caller.may_use_patient(&id)?;
    let (first, last, born, sex, gender, emergency) = body.read(|fields| {
        (
            fields.optional("first_name", rules::name),
            fields.optional("last_name", rules::name),
            fields.optional("date_of_birth", rules::date),
            fields.optional("sex_id", rules::integer(1..=3)),
            fields.optional("gender_id", rules::integer(1..=4)),
            fields.optional("emergency_contact_name", rules::text),
        )
    })?;
    let names = [&first, &last, &born, &emergency];
    if names.iter().all(|value| value.is_none()) && sex.is_none() && gender.is_none() {
        return Err(Problem::bad_request("No hay datos para actualizar."));
    }
    let changed = platform.database.run(move |connection| {
        connection.execute(
            "UPDATE patients SET first_name = coalesce(?2, first_name),
                                 last_name = coalesce(?3, last_name),
                                 date_of_birth = coalesce(?4, date_of_birth),
                                 sex_id = coalesce(?5, sex_id),
                                 gender_id = coalesce(?6, gender_id),
                                 emergency_contact_name = coalesce(?7, emergency_contact_name)
             WHERE id = ?1 AND is_active",
            params![id, first, last, born, sex, gender, emergency],
        )?;
        by_id(connection, &id)
    });
    changed.await.map(Json)
}

async fn delete(
    State(platform): State<Platform>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.may_use_patient(&id)?;
    let deleted = platform.database.run(move |connection| {
        let sql = "UPDATE patients SET is_active = FALSE WHERE id = ?1 AND is_active";
        if connection.execute(sql, [&id])? == 0 {
            return Err(Problem::not_found(NOT_FOUND));
        }
        accounts::deactivate(connection, &id)
    });
    deleted.await.map(|()| StatusCode::NO_CONTENT)
}

async fn dashboard(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.may_use_patient(&id)?;
    let found = platform.database.run(move |connection| medical::dashboard(connection, &id)).await?;
    found.map(Json).ok_or_else(|| Problem::not_found(NOT_FOUND))
}

async fn medical_record(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.may_use_patient(&id)?;
    let found = platform.database.run(move |connection| {
        let mut record = json!({});
        medical::add_record(connection, &id, &mut record)?;
        Ok(record)
    });
    found.await.map(Json)
}

async fn care_team(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.may_use_patient(&id)?;
    let found = platform.database.run(move |connection| {
        let sql = "SELECT d.first_name, d.last_name, d.years_experience, s.name AS specialty,
                          e.email_address AS email, n.phone_number AS phone
                   FROM patient_answers p
                   JOIN doctors d ON d.id = p.doctor_id AND d.is_active
                   LEFT JOIN specialties s ON s.id = d.specialty_id
                   LEFT JOIN primary_emails e ON e.owner_id = d.id
                   LEFT JOIN primary_phones n ON n.owner_id = d.id
                   WHERE p.id = ?1";
        let doctor = database::row(connection, sql, [&id])?;
        let sql = "SELECT i.name, t.name AS type, i.website, e.email_address AS email,
                          n.phone_number AS phone
                   FROM patient_answers p
                   JOIN institutions i ON i.id = p.institution_id AND i.is_active
                   JOIN institution_types t ON t.id = i.institution_type_id
                   LEFT JOIN primary_emails e ON e.owner_id = i.id
                   LEFT JOIN primary_phones n ON n.owner_id = i.id
                   WHERE p.id = ?1";
        let institution = database::row(connection, sql, [&id])?;
        let (Some(doctor), Some(mut institution)) = (doctor, institution) else {
            return Err(Problem::not_found("Equipo médico no encontrado para este paciente."));
        };
        // `street`, `region` and `country` are the real service's names; the page reads the others.
        let sql = "SELECT a.street_address AS street, a.city, r.name AS region, c.name AS country,
                          a.postal_code, a.street_address, a.neighborhood, a.region_id, a.country_id
                   FROM patient_answers p
                   JOIN addresses a ON a.owner_id = p.institution_id AND a.is_primary
                   LEFT JOIN regions r ON r.id = a.region_id
                   LEFT JOIN countries c ON c.id = a.country_id
                   WHERE p.id = ?1";
        institution["address"] = database::row(connection, sql, [&id])?.into();
        Ok(json!({ "doctor": doctor, "institution": institution }))
    });
    found.await.map(Json)
}

async fn profile(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.may_use_patient(&id)?;
    let found = platform.database.run(move |connection| {
        let sql = "SELECT first_name, last_name, date_of_birth, contact_email AS primary_email
                   FROM patient_answers WHERE id = ?1";
        let info = database::row(connection, sql, [&id])?;
        let mut profile = json!({ "personal_info": info.ok_or_else(|| Problem::not_found(NOT_FOUND))? });
        contacts::add_to(&mut profile, connection, &id)?;
        Ok(profile)
    });
    found.await.map(Json)
}

/// Refuses a patient who is unknown or was deleted.
pub(crate) fn require(connection: &Connection, id: &str) -> Result<(), Problem> {
    match database::count(connection, "SELECT count(*) FROM patient_answers WHERE id = ?1", [id])? {
        0 => Err(Problem::not_found(NOT_FOUND)),
        _ => Ok(()),
    }
}

fn by_id(connection: &Connection, id: &str) -> Result<Value, Problem> {
    let patient = database::row(connection, "SELECT * FROM patient_answers WHERE id = ?1", [id])?;
    let mut patient = patient.ok_or_else(|| Problem::not_found(NOT_FOUND))?;
    add_health_profile(connection, &mut patient)?;
    Ok(patient)
}

fn add_health_profile(connection: &Connection, patient: &mut Value) -> Result<(), Problem> {
    let id = patient["id"].as_str().unwrap_or_default().to_owned();
    patient["health_profile"] = medical::health_profile(connection, &id)?;
    Ok(())
}
