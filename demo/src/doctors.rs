//! doctors (port 8000): the doctors themselves, and what a doctor sees of its patients. As in the
//! real service any good token may read, change and delete any doctor: to guard that is the
//! gateway's work.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::{Connection, OptionalExtension, named_params, params};
use serde_json::{Value, json};

use crate::accounts;
use crate::auth_jwt;
use crate::body::{Body, Fields};
use crate::caller::Caller;
use crate::database;
use crate::medical;
use crate::paging::Paging;
use crate::platform::{Platform, with_health};
use crate::problem::{Answer, Problem};
use crate::rules;

const NOT_FOUND: &str = "Doctor no encontrado.";
const NO_PROFILE: &str = "Perfil de doctor no encontrado.";

pub(crate) fn routes() -> Router<Platform> {
    let doctor = get(read).put(update).delete(delete);
    with_health()
        .route("/auth/login", post(login))
        .route("/api/v1/doctors", get(list).post(create))
        .route("/api/v1/doctors/{id}", doctor)
        .route("/api/v1/doctors/me/dashboard", get(dashboard))
        .route("/api/v1/doctors/me/profile", get(profile).put(update_profile))
        .route("/api/v1/doctors/me/institution", get(institution))
        .route("/api/v1/doctors/me/patients", get(patients))
        .route("/api/v1/doctors/me/patients/{patient_id}/medical-record", get(medical_record))
}

async fn login(State(platform): State<Platform>, body: Body) -> Answer {
    let account = auth_jwt::sign_in(&platform, &body).await?;
    if account.user_type != "doctor" {
        return Err(Problem::forbidden("Este endpoint es solo para doctores"));
    }
    if !account.is_active {
        return Err(Problem::forbidden("Doctor desactivado. Contacte al administrador."));
    }
    let id = account.id.clone();
    platform
        .database
        .run(move |connection| {
            let known = "SELECT count(*) FROM doctors WHERE id = ?1 AND is_active";
            if database::count(connection, known, [&id])? == 0 {
                let detail = "Cuenta de doctor no disponible. Contacte al administrador.";
                return Err(Problem::forbidden(detail));
            }
            accounts::note_login(connection, &id)
        })
        .await?;
    Ok(Json(auth_jwt::session(&platform, &account, None)))
}

async fn list(State(platform): State<Platform>, _: Caller, paging: Paging) -> Answer {
    let sql = "SELECT * FROM doctor_answers ORDER BY last_name, first_name, id LIMIT ?1 OFFSET ?2";
    let page = move |connection: &rusqlite::Transaction<'_>| {
        database::rows(connection, sql, params![paging.limit, paging.skip])
    };
    Ok(Json(platform.database.run(page).await?.into()))
}

async fn read(State(platform): State<Platform>, _: Caller, Path(id): Path<String>) -> Answer {
    platform.database.run(move |connection| by_id(connection, &id)).await.map(Json)
}

struct NewDoctor {
    institution_id: String,
    first_name: String,
    last_name: String,
    medical_license: String,
    practice: Practice,
    /// In place of the specialty's id, which a form does not know.
    specialty_name: Option<String>,
    email: String,
    is_primary: bool,
    password: String,
}

/// What a doctor's record says about the work; an absent field stays as it is.
struct Practice {
    specialty_id: Option<String>,
    years_experience: Option<i64>,
    consultation_fee: Option<f64>,
}

async fn create(State(platform): State<Platform>, _: Caller, body: Body) -> Result<(StatusCode, Json<Value>), Problem> {
    let new = body.read(|fields| {
        let (email, is_primary) = fields.nested("contact_email", contact);
        NewDoctor {
            institution_id: fields.required("institution_id", rules::id),
            first_name: fields.required("first_name", rules::name),
            last_name: fields.required("last_name", rules::name),
            medical_license: fields.required("medical_license", rules::name),
            practice: practice(fields),
            specialty_name: fields.optional("specialty_name", rules::text_of(0..=100)),
            email,
            is_primary,
            password: fields.required("password", rules::password),
        }
    })?;
    let hash = accounts::hash(new.password.clone()).await?;
    let doctor = platform.database.run(move |connection| insert(connection, &new, &hash)).await?;
    Ok((StatusCode::CREATED, Json(doctor)))
}

/// `contact_email`, the same in every service: the address and whether it is the main one.
pub(crate) fn contact(fields: &mut Fields<'_>) -> (String, bool) {
    let is_primary = fields.optional("is_primary", rules::flag).unwrap_or(true);
    (fields.required("email_address", rules::email), is_primary)
}

fn practice(fields: &mut Fields<'_>) -> Practice {
    Practice {
        specialty_id: fields.optional("specialty_id", rules::id),
        years_experience: fields.optional("years_experience", rules::integer(0..=80)),
        consultation_fee: fields.optional("consultation_fee", rules::number),
    }
}

fn insert(connection: &Connection, new: &NewDoctor, hash: &str) -> Result<Value, Problem> {
    accounts::require_free(connection, &new.email, StatusCode::CONFLICT)?;
    let same = "SELECT count(*) FROM doctors WHERE medical_license = ?1";
    if database::count(connection, same, [&new.medical_license])? > 0 {
        return Err(Problem::conflict("La licencia médica ya está registrada."));
    }
    let specialty = match (&new.practice.specialty_id, &new.specialty_name) {
        (None, Some(name)) if !name.trim().is_empty() => Some(specialty(connection, name.trim())?),
        (id, _) => id.clone(),
    };
    let id = accounts::new_id();
    connection.execute(
        "INSERT INTO doctors (id, institution_id, first_name, last_name, medical_license,
                              specialty_id, years_experience, consultation_fee)
         VALUES (:id, :institution, :first, :last, :license, :specialty, :years, :fee)",
        named_params! {
            ":id": id, ":institution": new.institution_id, ":first": new.first_name,
            ":last": new.last_name, ":license": new.medical_license,
            ":specialty": specialty, ":years": new.practice.years_experience,
            ":fee": new.practice.consultation_fee,
        },
    )?;
    accounts::insert(connection, &id, &new.email, hash, "doctor")?;
    accounts::insert_contact(connection, &id, &new.email, new.is_primary, "work")?;
    by_id(connection, &id)
}

/// The id of the specialty with this name, which is a new one when nobody has it yet.
fn specialty(connection: &Connection, name: &str) -> Result<String, Problem> {
    let find = "SELECT id FROM specialties WHERE name = ?1 COLLATE NOCASE";
    let known = connection.query_row(find, [name], |row| row.get(0)).optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    let id = accounts::new_id();
    connection.execute("INSERT INTO specialties VALUES (?1, ?2)", [&id, name])?;
    Ok(id)
}

async fn update(State(platform): State<Platform>, _: Caller, Path(id): Path<String>, body: Body) -> Answer {
    let practice = body.read(practice)?;
    let changed = platform.database.run(move |connection| {
        change(connection, &id, &practice, NOT_FOUND)?;
        by_id(connection, &id)
    });
    changed.await.map(Json)
}

async fn delete(State(platform): State<Platform>, _: Caller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let deleted = platform.database.run(move |connection| {
        let sql = "UPDATE doctors SET is_active = FALSE, professional_status = 'inactive'
                   WHERE id = ?1 AND is_active";
        if connection.execute(sql, [&id])? == 0 {
            return Err(Problem::not_found(NOT_FOUND));
        }
        accounts::deactivate(connection, &id)
    });
    deleted.await.map(|()| StatusCode::NO_CONTENT)
}

async fn dashboard(State(platform): State<Platform>, caller: Caller) -> Answer {
    let doctor = caller.doctor()?;
    let sql = "SELECT count(*) FROM patients WHERE doctor_id = ?1 AND is_active";
    let total = platform.database.run(move |connection| database::count(connection, sql, [doctor]));
    Ok(Json(json!({
        "total_patients": total.await?,
        "today_appointments": 0,
        "pending_reviews": 0,
    })))
}

async fn profile(State(platform): State<Platform>, caller: Caller) -> Answer {
    let doctor = caller.doctor()?;
    platform.database.run(move |connection| own_profile(connection, &doctor)).await.map(Json)
}

async fn update_profile(State(platform): State<Platform>, caller: Caller, body: Body) -> Answer {
    let doctor = caller.doctor()?;
    let practice = body.read(practice)?;
    let changed = platform.database.run(move |connection| {
        change(connection, &doctor, &practice, NO_PROFILE)?;
        own_profile(connection, &doctor)
    });
    changed.await.map(Json)
}

async fn institution(State(platform): State<Platform>, caller: Caller) -> Answer {
    let doctor = caller.doctor()?;
    let found = platform.database.run(move |connection| {
        let sql = "SELECT i.id, i.name, t.name AS type, i.license_number, e.email_address AS email,
                          p.phone_number AS phone, i.website
                   FROM doctors d
                   JOIN institutions i ON i.id = d.institution_id AND i.is_active
                   JOIN institution_types t ON t.id = i.institution_type_id
                   LEFT JOIN primary_emails e ON e.owner_id = i.id
                   LEFT JOIN primary_phones p ON p.owner_id = i.id
                   WHERE d.id = ?1 AND d.is_active";
        let Some(mut institution) = database::row(connection, sql, [&doctor])? else {
            return Err(Problem::not_found("Institución no encontrada para este doctor."));
        };
        let sql = "SELECT a.street_address, a.city, r.name AS region_name, c.name AS country_name,
                          a.postal_code
                   FROM addresses a
                   LEFT JOIN regions r ON r.id = a.region_id
                   LEFT JOIN countries c ON c.id = a.country_id
                   WHERE a.owner_id = ?1 AND a.is_primary";
        let id = institution["id"].as_str().unwrap_or_default().to_owned();
        institution["address"] = database::row(connection, sql, [id])?.into();
        Ok(institution)
    });
    found.await.map(Json)
}

async fn patients(State(platform): State<Platform>, caller: Caller) -> Answer {
    let doctor = caller.doctor()?;
    let sql = "SELECT p.id, p.first_name, p.last_name, p.date_of_birth,
                      e.email_address AS contact_email, n.phone_number AS contact_phone, u.last_login
               FROM patients p
               LEFT JOIN primary_emails e ON e.owner_id = p.id
               LEFT JOIN primary_phones n ON n.owner_id = p.id
               LEFT JOIN users u ON u.id = p.id
               WHERE p.doctor_id = ?1 AND p.is_active
               ORDER BY p.last_name, p.first_name, p.id";
    let patients = platform.database.run(move |connection| database::rows(connection, sql, [doctor]));
    let patients = patients.await?;
    Ok(Json(json!({ "patient_count": patients.len(), "patients": patients })))
}

async fn medical_record(State(platform): State<Platform>, caller: Caller, Path(patient): Path<String>) -> Answer {
    let doctor = caller.doctor()?;
    let found = platform.database.run(move |connection| {
        let sql = "SELECT p.id, p.first_name, p.last_name, p.date_of_birth,
                          e.email_address AS contact_email, n.phone_number AS contact_phone
                   FROM patients p
                   LEFT JOIN primary_emails e ON e.owner_id = p.id
                   LEFT JOIN primary_phones n ON n.owner_id = p.id
                   WHERE p.id = ?1 AND p.doctor_id = ?2 AND p.is_active";
        let Some(info) = database::row(connection, sql, [&patient, &doctor])? else {
            let detail = "Paciente no encontrado o no asignado a este doctor.";
            return Err(Problem::not_found(detail));
        };
        let mut record = json!({ "patient_info": info });
        medical::add_record(connection, &patient, &mut record)?;
        Ok(record)
    });
    found.await.map(Json)
}

fn by_id(connection: &Connection, id: &str) -> Result<Value, Problem> {
    let doctor = database::row(connection, "SELECT * FROM doctor_answers WHERE id = ?1", [id])?;
    doctor.ok_or_else(|| Problem::not_found(NOT_FOUND))
}

fn own_profile(connection: &Connection, id: &str) -> Result<Value, Problem> {
    let sql = "SELECT d.id, d.first_name, d.last_name, d.contact_email AS email,
                      d.specialty_name, d.specialty_id, i.name AS institution_name,
                      d.years_experience, d.consultation_fee
               FROM doctor_answers d
               LEFT JOIN institutions i ON i.id = d.institution_id
               WHERE d.id = ?1";
    database::row(connection, sql, [id])?.ok_or_else(|| Problem::not_found(NO_PROFILE))
}

fn change(connection: &Connection, id: &str, new: &Practice, missing: &str) -> Result<(), Problem> {
    let nothing = new.specialty_id.is_none() && new.years_experience.is_none() && new.consultation_fee.is_none();
    if nothing {
        return Err(Problem::bad_request("No hay datos para actualizar."));
    }
    let sql = "UPDATE doctors SET specialty_id = coalesce(?2, specialty_id),
                                  years_experience = coalesce(?3, years_experience),
                                  consultation_fee = coalesce(?4, consultation_fee)
               WHERE id = ?1 AND is_active";
    let values = params![id, new.specialty_id, new.years_experience, new.consultation_fee];
    match connection.execute(sql, values)? {
        0 => Err(Problem::not_found(missing)),
        _ => Ok(()),
    }
}
