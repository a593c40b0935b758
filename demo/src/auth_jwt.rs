//! auth-jwt (port 8003): signs people in, tells whether a token is good, makes accounts, and, what
//! the real one lacks, renews a token and changes a password.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use crate::accounts::{self, Account};
use crate::body::Body;
use crate::caller::Authorization;
use crate::database;
use crate::platform::{Platform, with_health};
use crate::problem::{Answer, Fault, Problem};
use crate::rules;
use crate::token::{Claims, LIFETIME_SECONDS, Refusal};

/// How long a session can be renewed without its owner coming back.
const REFRESH_LIFETIME_SECONDS: i64 = 12 * 60 * 60;

/// An admin's account is made by the admins service, which checks who asks; `/users/create` is
/// public, so it must not make one.
const PUBLIC_USER_TYPES: &[&str] = &["patient", "doctor", "institution"];

pub(crate) fn routes() -> Router<Platform> {
    with_health()
        .route("/auth/login", post(login))
        .route("/auth/verify-token", post(verify_token))
        .route("/auth/session/validate", get(validate_session))
        .route("/auth/logout", post(logout))
        .route("/auth/refresh", post(refresh))
        .route("/auth/change-password", post(change_password))
        .route("/users/create", post(create_user))
}

async fn login(State(platform): State<Platform>, body: Body) -> Answer {
    let account = sign_in(&platform, &body).await?;
    if !account.is_active {
        return Err(Problem::forbidden("Usuario desactivado. Contacte al administrador."));
    }
    let id = account.id.clone();
    platform.database.run(move |connection| accounts::note_login(connection, &id)).await?;
    Ok(Json(session(&platform, &account, None)))
}

/// Reads e-mail and password and answers whose they are; the doctors service signs in with it too.
pub(crate) async fn sign_in(platform: &Platform, body: &Body) -> Result<Account, Problem> {
    let sent = |name: &str| body.read(|fields| fields.required(name, rules::text));
    // The real service looks for empty texts before it looks at the form of the e-mail.
    if matches!((sent("email"), sent("password")), (Ok(e), Ok(p)) if e.is_empty() || p.is_empty()) {
        return Err(Problem::bad_request("Email y contraseña son requeridos"));
    }
    let (email, password) =
        body.read(|fields| (fields.required("email", rules::email), fields.required("password", rules::text)))?;
    accounts::authenticate(platform, email, password).await
}

/// What a login answers. The real one always sends null as the refresh token.
pub(crate) fn session(platform: &Platform, account: &Account, refresh_token: Option<&str>) -> Value {
    let claims = Claims::new(&account.id, &account.user_type, &account.email);
    json!({
        "access_token": platform.key.sign(&claims),
        "token_type": "bearer",
        "user_id": account.id,
        "user_type": account.user_type,
        "email": account.email,
        "expires_in": LIFETIME_SECONDS,
        "refresh_token": refresh_token,
    })
}

async fn verify_token(State(platform): State<Platform>, header: Authorization) -> Json<Value> {
    let Ok(claims) = header.claims(&platform) else {
        return Json(json!({ "valid": false, "payload": null }));
    };
    Json(json!({
        "valid": true,
        "payload": {
            "user_id": claims.user_id,
            "user_type": claims.user_type,
            "email": claims.email,
            "roles": claims.roles,
            "metadata": claims.metadata,
        },
    }))
}

async fn validate_session(State(platform): State<Platform>, header: Authorization) -> Json<Value> {
    let refused = |message: &str| Json(json!({ "valid": false, "message": message }));
    let Some(token) = header.token() else { return refused("Invalid authorization header") };
    match platform.key.verify(token) {
        Ok(claims) => Json(json!({
            "valid": true,
            "user": { "user_id": claims.user_id, "user_type": claims.user_type, "email": claims.email },
        })),
        Err(Refusal::Expired) => refused("Token expired"),
        Err(Refusal::Invalid) => refused("Invalid token"),
    }
}

/// Sessions live in the gateway's store; like the real service, this one has nothing to revoke.
async fn logout(_: Authorization) -> Json<Value> {
    Json(json!({ "success": true, "message": "Logout exitoso" }))
}

/// Renews a session by the refresh token in the body or, as a login gives none, by the access
/// token while it is still good.
async fn refresh(
    State(platform): State<Platform>,
    header: Result<Authorization, Problem>,
    body: Result<Body, Problem>,
) -> Answer {
    let token = match &body {
        Ok(body) => body.read(|fields| fields.optional("refresh_token", rules::text))?,
        Err(_) => None,
    };
    let bearer = if token.is_some() { None } else { Some(header?.claims(&platform)?.user_id) };
    let (account, refresh_token) = platform
        .database
        .run(move |connection| {
            let user_id = match (&token, bearer) {
                (Some(token), _) => redeem(connection, token)?,
                (None, bearer) => bearer,
            };
            let found = user_id.map(|id| accounts::by_id(connection, &id)).transpose()?.flatten();
            let (account, _) = found
                .filter(|(account, _)| account.is_active)
                .ok_or_else(|| Problem::unauthorized("Token de renovación inválido o expirado"))?;
            let refresh_token = issue(connection, &account.id)?;
            Ok((account, refresh_token))
        })
        .await?;
    Ok(Json(session(&platform, &account, Some(&refresh_token))))
}

async fn change_password(State(platform): State<Platform>, header: Authorization, body: Body) -> Answer {
    let id = header.claims(&platform)?.user_id;
    let (current, new) = body.read(|fields| {
        (fields.required("current_password", rules::text), fields.required("new_password", rules::password))
    })?;
    let found = {
        let id = id.clone();
        platform.database.run(move |connection| accounts::by_id(connection, &id)).await?
    };
    let (_, kept) =
        found.filter(|(account, _)| account.is_active).ok_or_else(|| Problem::unauthorized("Token inválido"))?;
    // Not 401: clients take that for the end of their session.
    if !accounts::fits(current, kept).await? {
        return Err(Problem::bad_request("La contraseña actual es incorrecta."));
    }
    let hash = accounts::hash(new).await?;
    platform
        .database
        .run(move |connection| {
            connection.execute("UPDATE users SET password_hash = ?2 WHERE id = ?1", [&id, &hash])?;
            // Whoever had the old password must not go on with a session made by it.
            connection.execute("DELETE FROM refresh_tokens WHERE user_id = ?1", [&id])?;
            Ok(())
        })
        .await?;
    Ok(Json(json!({ "success": true, "message": "Contraseña actualizada exitosamente." })))
}

async fn create_user(State(platform): State<Platform>, body: Body) -> Result<(StatusCode, Json<Value>), Problem> {
    let (email, password, user_type, id) = body.read(|fields| {
        (
            fields.required("email", rules::email),
            fields.required("password", rules::password),
            fields.required("user_type", rules::one_of(PUBLIC_USER_TYPES)),
            fields.required("reference_id", rules::id),
        )
    })?;
    let hash = accounts::hash(password).await?;
    let user = platform
        .database
        .run(move |connection| {
            accounts::require_free(connection, &email, StatusCode::BAD_REQUEST)?;
            require_person(connection, &user_type, &id)?;
            accounts::insert(connection, &id, &email, &hash, &user_type)?;
            let sql = "SELECT id, email, user_type, is_active, is_verified FROM users WHERE id = ?1";
            database::row(connection, sql, [&id])
        })
        .await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// An account stands for a person or institution that exists; the real stack has a trigger for it.
fn require_person(connection: &Connection, user_type: &str, id: &str) -> Result<(), Problem> {
    let table = match user_type {
        "doctor" => "doctors",
        "institution" => "institutions",
        _ => "patients",
    };
    let sql = format!("SELECT count(*) FROM {table} WHERE id = ?1 AND is_active");
    if database::count(connection, &sql, [id])? == 0 {
        let fault = Fault::new("value_error", "Value error, no existe nadie con este identificador");
        return Err(Problem::unfit(vec![fault.at(&[json!("body"), json!("reference_id")])]));
    }
    Ok(())
}

/// A new refresh token for the account.
fn issue(connection: &Connection, user_id: &str) -> Result<String, Problem> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    let token = crate::hex(&bytes);
    let digest = digest(&SHA256, token.as_bytes());
    connection.execute(
        "INSERT INTO refresh_tokens (digest, user_id, expires_at) VALUES (?1, ?2, ?3)",
        params![digest.as_ref(), user_id, seconds_since_1970() + REFRESH_LIFETIME_SECONDS],
    )?;
    Ok(token)
}

/// Uses a refresh token up and answers whose it was.
fn redeem(connection: &Connection, token: &str) -> Result<Option<String>, Problem> {
    let digest = digest(&SHA256, token.as_bytes());
    let sql = "DELETE FROM refresh_tokens WHERE digest = ?1 RETURNING user_id, expires_at";
    let used = connection
        .query_row(sql, [digest.as_ref()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    Ok(used.filter(|(_, expires_at)| *expires_at > seconds_since_1970()).map(|(user_id, _)| user_id))
}

fn seconds_since_1970() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since_1970.as_secs()).expect("seconds fit for billions of years")
}
