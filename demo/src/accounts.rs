//! Accounts: e-mail, password, type. Signing in, making one, changing its password. Password
//! hashes are computed outside the database's lock, because they are slow on purpose.

use axum::http::StatusCode;
use rusqlite::{Connection, OptionalExtension, named_params, params};

use crate::database;
use crate::platform::Platform;
use crate::problem::Problem;

/// bcrypt's cost. The real auth-jwt has 12, about 240 ms of CPU for each login; the least there
/// is lets the demo start at once and lets a load run measure the gateway instead of bcrypt.
pub(crate) const PASSWORD_COST: u32 = 4;

pub(crate) const EMAIL_TAKEN: &str = "El email ya está en uso.";

/// Who signed in.
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) user_type: String,
    pub(crate) is_active: bool,
}

/// The account whose e-mail and password these are. One that does not exist takes the same time
/// and gives the same answer as a wrong password.
pub(crate) async fn authenticate(platform: &Platform, email: String, password: String) -> Result<Account, Problem> {
    let found = platform.database.run(move |connection| by_email(connection, &email)).await?;
    let (account, hash) = match found {
        Some((account, hash)) => (Some(account), hash),
        None => (None, platform.decoy.to_string()),
    };
    let fits = fits(password, hash).await?;
    account.filter(|_| fits).ok_or_else(|| Problem::unauthorized("Email o contraseña incorrectos"))
}

/// Notes that the account has just signed in.
pub(crate) fn note_login(connection: &Connection, id: &str) -> Result<(), Problem> {
    let sql = "UPDATE users SET last_login = strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now') WHERE id = ?1";
    connection.execute(sql, [id])?;
    Ok(())
}

/// The account with this id.
pub(crate) fn by_id(connection: &Connection, id: &str) -> Result<Option<(Account, String)>, Problem> {
    find(connection, "id", id)
}

/// Makes the account of a person or institution that exists. The caller has asked before whether
/// the e-mail is free, in the same transaction.
pub(crate) fn insert(
    connection: &Connection,
    id: &str,
    email: &str,
    hash: &str,
    user_type: &str,
) -> Result<(), Problem> {
    let sql = "INSERT INTO users (id, email, password_hash, user_type) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, params![id, email, hash, user_type])?;
    Ok(())
}

/// Refuses an e-mail that an account has already, with the status that the service uses for it.
pub(crate) fn require_free(connection: &Connection, email: &str, status: StatusCode) -> Result<(), Problem> {
    match database::count(connection, "SELECT count(*) FROM users WHERE email = ?1", [email])? {
        0 => Ok(()),
        _ => Err(Problem::new(status, EMAIL_TAKEN)),
    }
}

/// A deleted person's account can no longer sign in, and its session is not renewed.
pub(crate) fn deactivate(connection: &Connection, id: &str) -> Result<(), Problem> {
    connection.execute("UPDATE users SET is_active = FALSE WHERE id = ?1", [id])?;
    connection.execute("DELETE FROM refresh_tokens WHERE user_id = ?1", [id])?;
    Ok(())
}

/// The e-mail that a person or institution is reached by.
pub(crate) fn insert_contact(
    connection: &Connection,
    owner: &str,
    email: &str,
    is_primary: bool,
    email_type: &str,
) -> Result<(), Problem> {
    connection.execute(
        "INSERT INTO emails (id, owner_id, email_address, is_primary, email_type)
         VALUES (:id, :owner, :email, :is_primary, :email_type)",
        named_params! {
            ":id": new_id(), ":owner": owner, ":email": email, ":is_primary": is_primary,
            ":email_type": email_type,
        },
    )?;
    Ok(())
}

/// An id for a new row.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Whether the password is the one that was hashed.
pub(crate) async fn fits(password: String, hash: String) -> Result<bool, Problem> {
    blocking(move || bcrypt::verify(password, &hash)).await
}

/// The hash to keep of a password.
pub(crate) async fn hash(password: String) -> Result<String, Problem> {
    blocking(move || bcrypt::hash(password, PASSWORD_COST)).await
}

/// The same on this thread, for the start.
pub(crate) fn hash_here(password: &str) -> Result<String, bcrypt::BcryptError> {
    bcrypt::hash(password, PASSWORD_COST)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Problem::internal(&error)),
        Err(error) => Err(Problem::internal(&error)),
    }
}

fn by_email(connection: &Connection, email: &str) -> Result<Option<(Account, String)>, Problem> {
    find(connection, "email", email)
}

fn find(connection: &Connection, column: &str, value: &str) -> Result<Option<(Account, String)>, Problem> {
    let sql = format!("SELECT id, email, user_type, is_active, password_hash FROM users WHERE {column} = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([value], |row| {
        let account = Account { id: row.get(0)?, email: row.get(1)?, user_type: row.get(2)?, is_active: row.get(3)? };
        Ok((account, row.get(4)?))
    });
    Ok(found.optional()?)
}
