//! How a patient is reached: its e-mails, phones and addresses, added, changed and deleted one by
//! one. Exactly one of each kind is the primary one: the first is it, a new primary one takes the
//! place of the old, and when a primary phone or address is deleted, the oldest of the rest follows
//! it. A primary e-mail stays until another one is primary, because the platform writes to it.
//!
//! The e-mail that an account signs in with is the account's own and does not change here.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{post, put};
use axum::{Json, Router};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde_json::Value;

use crate::accounts::{self, EMAIL_TAKEN};
use crate::body::{Body, Fields};
use crate::caller::Caller;
use crate::database;
use crate::patients;
use crate::platform::Platform;
use crate::problem::{Answer, Fault, Problem};
use crate::rules;

/// One kind of contact.
struct Kind {
    /// The word in the path and in a profile, and the table.
    name: &'static str,
    /// What an answer holds, in this order.
    answer: &'static str,
    /// The field without which there is no contact.
    main: Column,
    /// The fields that may be absent.
    others: &'static [Column],
    /// What is answered when there is none with the id in the path.
    not_found: &'static str,
}

/// A field of the body, which is a column too, and what it may hold.
type Column = (&'static str, fn(&Value) -> Result<Sql, Fault>);

static KINDS: [Kind; 3] = [
    Kind {
        name: "emails",
        answer: "id, email_address, is_primary, is_verified, email_type",
        main: ("email_address", |value| rules::email(value).map(Sql::Text)),
        others: &[("email_type", word)],
        not_found: "Correo electrónico no encontrado.",
    },
    Kind {
        name: "phones",
        answer: "id, phone_number, is_primary, is_verified, phone_type",
        main: ("phone_number", |value| rules::phone(value).map(Sql::Text)),
        others: &[("phone_type", word)],
        not_found: "Teléfono no encontrado.",
    },
    Kind {
        name: "addresses",
        answer: "id, street_address, city, postal_code, neighborhood, address_type, is_primary, is_verified, \
                 region_id, country_id",
        main: ("street_address", |value| rules::name(value).map(Sql::Text)),
        others: &[
            ("neighborhood", text),
            ("postal_code", text),
            ("city", text),
            ("region_id", number),
            ("country_id", number),
            ("address_type", word),
        ],
        not_found: "Dirección no encontrada.",
    },
];

/// The routes below a patient's own.
pub(crate) fn routes() -> Router<Platform> {
    KINDS.iter().fold(Router::new(), |routes, kind| {
        let all = format!("/api/v1/patients/{{id}}/{}", kind.name);
        let add = post(move |platform, caller, path, body| create(kind, platform, caller, path, body));
        let one = put(move |platform, caller, path, body| update(kind, platform, caller, path, body))
            .delete(move |platform, caller, path| delete(kind, platform, caller, path));
        routes.route(&all, add).route(&format!("{all}/{{contact_id}}"), one)
    })
}

/// Adds the contacts of every kind to a patient's profile, the primary one first.
pub(crate) fn add_to(profile: &mut Value, connection: &Connection, patient: &str) -> Result<(), Problem> {
    for Kind { name, answer, .. } in &KINDS {
        let sql = format!("SELECT {answer} FROM {name} WHERE owner_id = ?1 ORDER BY is_primary DESC, rowid");
        profile[*name] = database::rows(connection, &sql, [patient])?.into();
    }
    Ok(())
}

/// What a body says; a field that is absent or null says nothing.
struct Sent {
    columns: Vec<(&'static str, Sql)>,
    is_primary: Option<bool>,
}

fn read(kind: &Kind, fields: &mut Fields<'_>) -> Sent {
    let columns = kind.others.iter().filter_map(|(name, rule)| Some((*name, fields.optional(name, rule)?)));
    Sent { columns: columns.collect(), is_primary: fields.optional("is_primary", rules::flag) }
}

async fn create(
    kind: &'static Kind,
    State(platform): State<Platform>,
    caller: Caller,
    Path(patient): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    caller.may_use_patient(&patient)?;
    let sent = body.read(|fields| {
        let (name, rule) = kind.main;
        let main = fields.required(name, |value| rule(value).map(Some));
        let mut sent = read(kind, fields);
        sent.columns.extend(main.map(|main| (name, main)));
        sent
    })?;
    let made = platform.database.run(move |connection| {
        patients::require(connection, &patient)?;
        let id = accounts::new_id();
        require_free(connection, &sent, &patient, &id)?;
        let any = format!("SELECT count(*) FROM {} WHERE owner_id = ?1 AND is_primary", kind.name);
        let is_first = database::count(connection, &any, [&patient])? == 0;
        let is_primary = is_first || sent.is_primary == Some(true);
        if is_primary {
            leave_none_primary(kind, connection, &patient)?;
        }
        let names: String = sent.columns.iter().map(|(name, _)| format!(", {name}")).collect();
        let sql = format!(
            "INSERT INTO {} (id, owner_id, is_primary{names}) VALUES (?, ?, ?{})",
            kind.name,
            ", ?".repeat(sent.columns.len())
        );
        let own = [Sql::Text(id.clone()), Sql::Text(patient.clone()), Sql::from(is_primary)];
        connection.execute(&sql, params_from_iter(own.into_iter().chain(sent.columns.into_iter().map(|(_, v)| v))))?;
        by_id(kind, connection, &patient, &id)
    });
    Ok((StatusCode::CREATED, Json(made.await?)))
}

async fn update(
    kind: &'static Kind,
    State(platform): State<Platform>,
    caller: Caller,
    Path((patient, id)): Path<(String, String)>,
    body: Body,
) -> Answer {
    caller.may_use_patient(&patient)?;
    let sent = body.read(|fields| {
        let (name, rule) = kind.main;
        let main = fields.optional(name, rule);
        let mut sent = read(kind, fields);
        sent.columns.extend(main.map(|main| (name, main)));
        sent
    })?;
    if sent.columns.is_empty() && sent.is_primary.is_none() {
        return Err(Problem::bad_request("No hay datos para actualizar."));
    }
    let changed = platform.database.run(move |connection| {
        patients::require(connection, &patient)?;
        let was_primary = is_primary(kind, connection, &patient, &id)?;
        require_free(connection, &sent, &patient, &id)?;
        match (was_primary, sent.is_primary) {
            (true, Some(false)) => {
                return Err(Problem::conflict("Para cambiar el principal, marque otro como principal."));
            }
            (false, Some(true)) => {
                leave_none_primary(kind, connection, &patient)?;
                let sql = format!("UPDATE {} SET is_primary = TRUE WHERE id = ?1", kind.name);
                connection.execute(&sql, [&id])?;
            }
            _ => {}
        }
        for (name, value) in sent.columns {
            // What was verified is what it was before, whichever type it is said to be of.
            let still = if name.ends_with("_type") { String::new() } else { format!(" AND {name} IS ?2") };
            let sql = format!("UPDATE {} SET {name} = ?2, is_verified = is_verified{still} WHERE id = ?1", kind.name);
            connection.execute(&sql, params![id, value])?;
        }
        by_id(kind, connection, &patient, &id)
    });
    changed.await.map(Json)
}

async fn delete(
    kind: &'static Kind,
    State(platform): State<Platform>,
    caller: Caller,
    Path((patient, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.may_use_patient(&patient)?;
    let deleted = platform.database.run(move |connection| {
        patients::require(connection, &patient)?;
        let table = kind.name;
        let was_primary = is_primary(kind, connection, &patient, &id)?;
        if was_primary && table == "emails" {
            return Err(Problem::conflict("El correo principal no se puede eliminar."));
        }
        connection.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [&id])?;
        if was_primary {
            let oldest = format!("SELECT min(rowid) FROM {table} WHERE owner_id = ?1");
            connection
                .execute(&format!("UPDATE {table} SET is_primary = TRUE WHERE rowid = ({oldest})"), [&patient])?;
        }
        Ok(())
    });
    deleted.await.map(|()| StatusCode::NO_CONTENT)
}

/// Refuses an e-mail that another account signs in with, or that is written down already, for whoever.
fn require_free(connection: &Connection, sent: &Sent, patient: &str, id: &str) -> Result<(), Problem> {
    let Some((_, address)) = sent.columns.iter().find(|(name, _)| *name == "email_address") else { return Ok(()) };
    let sql = "SELECT (SELECT count(*) FROM users WHERE email = ?1 AND id <> ?2)
                    + (SELECT count(*) FROM emails WHERE email_address = ?1 COLLATE NOCASE AND id <> ?3)";
    match database::count(connection, sql, params![address, patient, id])? {
        0 => Ok(()),
        _ => Err(Problem::conflict(EMAIL_TAKEN)),
    }
}

fn leave_none_primary(kind: &Kind, connection: &Connection, patient: &str) -> Result<(), Problem> {
    let sql = format!("UPDATE {} SET is_primary = FALSE WHERE owner_id = ?1 AND is_primary", kind.name);
    connection.execute(&sql, [patient])?;
    Ok(())
}

/// Whether this contact of this patient is the primary one; no other patient's is found.
fn is_primary(kind: &Kind, connection: &Connection, patient: &str, id: &str) -> Result<bool, Problem> {
    let sql = format!("SELECT is_primary FROM {} WHERE id = ?1 AND owner_id = ?2", kind.name);
    let found = connection.query_row(&sql, [id, patient], |row| row.get(0)).optional()?;
    found.ok_or_else(|| Problem::not_found(kind.not_found))
}

fn by_id(kind: &Kind, connection: &Connection, patient: &str, id: &str) -> Result<Value, Problem> {
    let sql = format!("SELECT {} FROM {} WHERE id = ?1 AND owner_id = ?2", kind.answer, kind.name);
    database::row(connection, &sql, [id, patient])?.ok_or_else(|| Problem::not_found(kind.not_found))
}

/// A text that may be empty, which is how a form says that there is none any more.
fn text(value: &Value) -> Result<Sql, Fault> {
    rules::text_of(0..=200)(value).map(Sql::Text)
}

/// What sort of contact it is: `personal`, `work`, `mobile` …
fn word(value: &Value) -> Result<Sql, Fault> {
    rules::text_of(1..=50)(value).map(Sql::Text)
}

fn number(value: &Value) -> Result<Sql, Fault> {
    rules::integer(1..=i64::from(i32::MAX))(value).map(Sql::Integer)
}
