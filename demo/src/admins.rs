//! admins (port 8006): the administrators, what they make, and the log of it. The real service is
//! only in the history of the platform; this one keeps its contract, for callers of type admin.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::accounts;
use crate::body::Body;
use crate::caller::Caller;
use crate::database;
use crate::institutions::{self, NewInstitution};
use crate::paging::Pages;
use crate::platform::Platform;
use crate::problem::{Answer, Problem};
use crate::rules;

const NOT_FOUND: &str = "Administrador no encontrado.";

const INSTITUTION_TYPES: &[&str] = &["preventive_clinic", "insurer", "public_health", "hospital", "health_center"];

pub(crate) fn routes() -> Router<Platform> {
    let collection = get(list).post(create);
    Router::new()
        .route("/health", get(health))
        .route("/api/v1/admins/health", get(health))
        .route("/api/v1/admins/statistics", get(statistics))
        .route("/api/v1/admins/institutions", post(create_institution))
        .route("/api/v1/admins/audit/logs", get(audit_logs))
        .route("/api/v1/admins", collection.clone())
        .route("/api/v1/admins/", collection)
        .route("/api/v1/admins/{id}", get(read).put(update).delete(delete))
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "healthy", "service": "service-admins", "version": "1.0.0" }))
}

async fn statistics(State(platform): State<Platform>, caller: Caller) -> Answer {
    caller.admin()?;
    let sql = "SELECT (SELECT count(*) FROM admins) AS total_admins,
                      (SELECT count(*) FROM admins WHERE is_active) AS active_admins,
                      (SELECT count(*) FROM institutions WHERE is_active) AS total_institutions";
    let found = platform.database.run(move |connection| database::row(connection, sql, []));
    Ok(Json(found.await?.into()))
}

async fn list(State(platform): State<Platform>, caller: Caller, pages: Pages) -> Answer {
    caller.admin()?;
    let page = pages.page(10)?;
    let found = platform.database.run(move |connection| {
        let sql = "SELECT * FROM admin_answers ORDER BY last_name, first_name, id LIMIT ?1 OFFSET ?2";
        let admins = database::rows(connection, sql, [page.limit, page.skip()])?;
        let total = database::count(connection, "SELECT count(*) FROM admins", [])?;
        Ok(json!({ "admins": admins, "total": total, "page": page.page, "limit": page.limit }))
    });
    found.await.map(Json)
}

async fn read(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>) -> Answer {
    caller.admin()?;
    platform.database.run(move |connection| by_id(connection, &id)).await.map(Json)
}

async fn create(
    State(platform): State<Platform>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let admin = caller.admin()?;
    let (email, password, person, is_active) = body.read(|fields| {
        let person = (
            fields.required("first_name", rules::text_of(2..=100)),
            fields.required("last_name", rules::text_of(2..=100)),
            fields.optional("department", rules::text),
            fields.optional("employee_id", rules::text),
            fields.optional("phone", rules::text),
        );
        (
            fields.required("email", rules::email),
            fields.required("password", rules::password),
            person,
            fields.optional("is_active", rules::flag).unwrap_or(true),
        )
    })?;
    let hash = accounts::hash(password).await?;
    let made = platform.database.run(move |connection| {
        accounts::require_free(connection, &email, StatusCode::CONFLICT)?;
        let id = accounts::new_id();
        let (first, last, department, employee, phone) = person;
        connection.execute(
            "INSERT INTO admins (id, first_name, last_name, department, employee_id, phone, is_active)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![id, first, last, department, employee, phone, is_active],
        )?;
        accounts::insert(connection, &id, &email, &hash, "admin")?;
        if !is_active {
            accounts::deactivate(connection, &id)?;
        }
        log(connection, &admin, "create", "admin", &id)?;
        by_id(connection, &id)
    });
    Ok((StatusCode::CREATED, Json(made.await?)))
}

async fn update(State(platform): State<Platform>, caller: Caller, Path(id): Path<String>, body: Body) -> Answer {
    let admin = caller.admin()?;
    let (first, last, department, employee, phone) = body.read(|fields| {
        (
            fields.optional("first_name", rules::text_of(2..=100)),
            fields.optional("last_name", rules::text_of(2..=100)),
            fields.optional("department", rules::text),
            fields.optional("employee_id", rules::text),
            fields.optional("phone", rules::text),
        )
    })?;
    if [&first, &last, &department, &employee, &phone].iter().all(|value| value.is_none()) {
        return Err(Problem::bad_request("No hay datos para actualizar."));
    }
    let changed = platform.database.run(move |connection| {
        let count = connection.execute(
            "UPDATE admins SET first_name = coalesce(?2, first_name),
                               last_name = coalesce(?3, last_name),
                               department = coalesce(?4, department),
                               employee_id = coalesce(?5, employee_id),
                               phone = coalesce(?6, phone),
                               updated_at = strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now')
             WHERE id = ?1",
            params![id, first, last, department, employee, phone],
        )?;
        if count > 0 {
            log(connection, &admin, "update", "admin", &id)?;
        }
        by_id(connection, &id)
    });
    changed.await.map(Json)
}

async fn delete(
    State(platform): State<Platform>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let admin = caller.admin()?;
    let deleted = platform.database.run(move |connection| {
        let sql = "UPDATE admins SET is_active = FALSE WHERE id = ?1 AND is_active";
        if connection.execute(sql, [&id])? == 0 {
            return Err(Problem::not_found(NOT_FOUND));
        }
        accounts::deactivate(connection, &id)?;
        log(connection, &admin, "delete", "admin", &id)
    });
    deleted.await.map(|()| StatusCode::NO_CONTENT)
}

async fn create_institution(
    State(platform): State<Platform>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let admin = caller.admin()?;
    let (mut new, kind) = body.read(|fields| {
        let new = NewInstitution {
            name: fields.required("name", rules::text_of(2..=200)),
            institution_type_id: 0,
            website: fields.optional("website", rules::text),
            // None has to be sent, but the column wants every one to be different.
            license_number: fields
                .optional("license_number", rules::name)
                .unwrap_or_else(|| format!("LIC-{}", accounts::new_id())),
            email: fields.required("contact_email", rules::email),
            is_primary: true,
            password: fields.required("password", rules::password),
            place: institutions::place(fields),
        };
        let kind = fields.required("institution_type", rules::one_of(INSTITUTION_TYPES));
        (new, kind)
    })?;
    let hash = accounts::hash(new.password.clone()).await?;
    let made = platform.database.run(move |connection| {
        let sql = "SELECT id FROM institution_types WHERE code = ?1";
        new.institution_type_id = connection.query_row(sql, [&kind], |row| row.get(0))?;
        let id = institutions::insert(connection, &new, &hash)?;
        log(connection, &admin, "create", "institution", &id)?;
        institutions::by_id(connection, &id)
    });
    Ok((StatusCode::CREATED, Json(made.await?)))
}

async fn audit_logs(State(platform): State<Platform>, caller: Caller, pages: Pages) -> Answer {
    caller.admin()?;
    let page = pages.page(50)?;
    let of = pages.get("admin_id");
    let found = platform.database.run(move |connection| {
        let sql = "SELECT * FROM audit_logs WHERE ?1 IS NULL OR admin_id = ?1
                   ORDER BY id DESC LIMIT ?2 OFFSET ?3";
        let logs = database::rows(connection, sql, params![of, page.limit, page.skip()])?;
        let sql = "SELECT count(*) FROM audit_logs WHERE ?1 IS NULL OR admin_id = ?1";
        let total = database::count(connection, sql, [&of])?;
        Ok(json!({ "logs": logs, "total": total, "page": page.page, "limit": page.limit }))
    });
    found.await.map(Json)
}

fn by_id(connection: &Connection, id: &str) -> Result<Value, Problem> {
    let admin = database::row(connection, "SELECT * FROM admin_answers WHERE id = ?1", [id])?;
    admin.ok_or_else(|| Problem::not_found(NOT_FOUND))
}

/// Notes what an admin did, in the same transaction as the deed.
fn log(connection: &Connection, admin: &str, action: &str, kind: &str, id: &str) -> Result<(), Problem> {
    let sql = "INSERT INTO audit_logs (admin_id, action, resource_type, resource_id) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, [admin, action, kind, id])?;
    Ok(())
}
