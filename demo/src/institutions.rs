//! institutions (port 8002): the institutions themselves, and the doctors and patients of the one
//! that calls.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::accounts;
use crate::body::{Body, Fields};
use crate::caller::Caller;
use crate::database;
use crate::doctors::contact;
use crate::medical;
use crate::paging::Paging;
use crate::platform::{Platform, with_health};
use crate::problem::{Answer, Problem};
use crate::rules;

const NOT_FOUND: &str = "Institución no encontrada.";

pub(crate) fn routes() -> Router<Platform> {
    with_health()
        .route("/api/v1/institutions", get(list).post(create))
        .route("/api/v1/institutions/doctors", get(doctors))
        .route("/api/v1/institutions/patients", get(patients))
        .route("/api/v1/institutions/{id}", get(read).put(update).delete(delete))
}

/// What it takes to found an institution; the admins service makes them too.
pub(crate) struct NewInstitution {
    pub(crate) name: String,
    pub(crate) institution_type_id: i64,
    pub(crate) website: Option<String>,
    pub(crate) license_number: String,
    pub(crate) email: String,
    pub(crate) is_primary: bool,
    pub(crate) password: String,
    pub(crate) place: Place,
}

/// How an institution is reached, besides its e-mail; all of it may be absent.
pub(crate) struct Place {
    phone: Option<String>,
    street: Option<String>,
    region: Option<String>,
}

async fn list(State(platform): State<Platform>, paging: Paging) -> Answer {
    let sql = "SELECT * FROM institution_answers ORDER BY name, id LIMIT ?1 OFFSET ?2";
    let found =
        platform.database.run(move |connection| database::rows(connection, sql, params![paging.limit, paging.skip]));
    Ok(Json(found.await?.into()))
}

async fn create(State(platform): State<Platform>, body: Body) -> Result<(StatusCode, Json<Value>), Problem> {
    let new = body.read(|fields| {
        let (email, is_primary) = fields.nested("contact_email", contact);
        NewInstitution {
            name: fields.required("name", rules::name),
            institution_type_id: fields.required("institution_type_id", rules::integer(1..=5)),
            website: fields.optional("website", rules::text),
            license_number: fields.required("license_number", rules::name),
            email,
            is_primary,
            password: fields.required("password", rules::password),
            place: place(fields),
        }
    })?;
    let hash = accounts::hash(new.password.clone()).await?;
    let institution = platform.database.run(move |connection| {
        let id = insert(connection, &new, &hash)?;
        by_id(connection, &id)
    });
    Ok((StatusCode::CREATED, Json(institution.await?)))
}

/// The fields of a body that say how an institution is reached. The real service has them only
/// where an admin makes one.
pub(crate) fn place(fields: &mut Fields<'_>) -> Place {
    Place {
        phone: fields.optional("phone", rules::text),
        street: fields.optional("address", rules::text),
        region: fields.optional("region_state", rules::text),
    }
}

/// Founds the institution and makes its account; answers its id.
pub(crate) fn insert(connection: &Connection, new: &NewInstitution, hash: &str) -> Result<String, Problem> {
    accounts::require_free(connection, &new.email, StatusCode::CONFLICT)?;
    let same = "SELECT count(*) FROM institutions WHERE license_number = ?1";
    if database::count(connection, same, [&new.license_number])? > 0 {
        return Err(Problem::conflict("El número de licencia ya está registrado."));
    }
    let id = accounts::new_id();
    connection.execute(
        "INSERT INTO institutions (id, name, institution_type_id, website, license_number)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![id, new.name, new.institution_type_id, new.website, new.license_number],
    )?;
    accounts::insert(connection, &id, &new.email, hash, "institution")?;
    accounts::insert_contact(connection, &id, &new.email, new.is_primary, "work")?;
    let Place { phone, street, region } = &new.place;
    if let Some(phone) = phone {
        let sql = "INSERT INTO phones (id, owner_id, phone_number, phone_type) VALUES (?1, ?2, ?3, 'work')";
        connection.execute(sql, params![accounts::new_id(), id, phone])?;
    }
    if let Some(street) = street {
        let sql = "INSERT INTO addresses (id, owner_id, street_address, region_id, address_type)
                   VALUES (?1, ?2, ?3, (SELECT id FROM regions WHERE name = ?4), 'work')";
        connection.execute(sql, params![accounts::new_id(), id, street, region])?;
    }
    Ok(id)
}

/// An institution as the service answers it.
pub(crate) fn by_id(connection: &Connection, id: &str) -> Result<Value, Problem> {
    let institution = database::row(connection, "SELECT * FROM institution_answers WHERE id = ?1", [id])?;
    institution.ok_or_else(|| Problem::not_found(NOT_FOUND))
}

async fn doctors(State(platform): State<Platform>, caller: Caller) -> Answer {
    let institution = caller.institution()?;
    let sql = "SELECT d.id, d.first_name, d.last_name, d.medical_license, d.years_experience,
                      d.consultation_fee, d.is_active, d.professional_status, d.specialty_name,
                      d.contact_email, n.phone_number AS contact_phone,
                      (SELECT count(*) FROM patients p WHERE p.doctor_id = d.id AND p.is_active)
                          AS active_patients,
                      d.specialty_name AS specialty
               FROM doctor_answers d
               LEFT JOIN primary_phones n ON n.owner_id = d.id
               WHERE d.institution_id = ?1
               ORDER BY d.last_name, d.first_name, d.id";
    let found = platform.database.run(move |connection| database::rows(connection, sql, [institution]));
    Ok(Json(json!({ "doctors": found.await? })))
}

async fn patients(State(platform): State<Platform>, caller: Caller) -> Answer {
    let institution = caller.institution()?;
    let sql = "SELECT p.id, p.first_name, p.last_name, p.date_of_birth, u.last_login, p.is_verified,
                      p.created_at, e.email_address AS contact_email, n.phone_number AS contact_phone,
                      d.first_name AS doctor_first_name, d.last_name AS doctor_last_name,
                      iif(p.is_verified, 'verified', 'unverified') AS validation_status,
                      d.first_name || ' ' || d.last_name AS doctor_name, NULL AS risk_level,
                      coalesce(u.last_login, p.created_at) AS last_activity
               FROM patients p
               JOIN doctors d ON d.id = p.doctor_id
               LEFT JOIN users u ON u.id = p.id
               LEFT JOIN primary_emails e ON e.owner_id = p.id
               LEFT JOIN primary_phones n ON n.owner_id = p.id
               WHERE p.institution_id = ?1 AND p.is_active
               ORDER BY p.last_name, p.first_name, p.id";
    let found = platform.database.run(move |connection| {
        let mut patients = database::rows(connection, sql, [institution])?;
        for patient in &mut patients {
            let id = patient["id"].as_str().unwrap_or_default();
            patient["risk_level"] = medical::risk_level(connection, id)?.into();
        }
        Ok(patients)
    });
    Ok(Json(json!({ "patients": found.await? })))
}

async fn read(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.may_use_institution(&id)?;
    platform.database.run(move |connection| by_id(connection, &id)).await.map(Json)
}

async fn update(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>, body: Body) -> Answer {
    caller.may_use_institution(&id)?;
    let (name, kind, website, license) = body.read(|fields| {
        (
            fields.optional("name", rules::name),
            fields.optional("institution_type_id", rules::integer(1..=5)),
            fields.optional("website", rules::text),
            fields.optional("license_number", rules::name),
        )
    })?;
    if name.is_none() && kind.is_none() && website.is_none() && license.is_none() {
        return Err(Problem::bad_request("No hay datos para actualizar."));
    }
    let changed = platform.database.run(move |connection| {
        connection.execute(
            "UPDATE institutions SET name = coalesce(?2, name),
                                     institution_type_id = coalesce(?3, institution_type_id),
                                     website = coalesce(?4, website),
                                     license_number = coalesce(?5, license_number)
             WHERE id = ?1 AND is_active",
            params![id, name, kind, website, license],
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
    caller.may_use_institution(&id)?;
    let deleted = platform.database.run(move |connection| {
        let sql = "UPDATE institutions SET is_active = FALSE WHERE id = ?1 AND is_active";
        if connection.execute(sql, [&id])? == 0 {
            return Err(Problem::not_found(NOT_FOUND));
        }
        accounts::deactivate(connection, &id)
    });
    deleted.await.map(|()| StatusCode::NO_CONTENT)
}
