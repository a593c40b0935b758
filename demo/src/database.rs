//! The one SQLite database, in memory, that the five services share, as the real ones share
//! PostgreSQL. One connection behind a lock is enough: every piece of work is short, and work
//! under one lock cannot meet half of another's changes.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};
use serde_json::{Map, Value};

use crate::problem::Problem;

const SCHEMA: &str = include_str!("schema.sql");

/// The shared database.
#[derive(Clone)]
pub(crate) struct Database(Arc<Mutex<Connection>>);

impl Database {
    /// A new database with all tables, views and look-up rows, and nobody in it.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let connection = Connection::open_in_memory().context("opening the database in memory")?;
        connection.execute_batch("PRAGMA foreign_keys = ON")?;
        connection.execute_batch(SCHEMA).context("creating the tables")?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Does `work` in one transaction, which only a good result makes permanent, on a thread
    /// that may block.
    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, Problem> + Send + 'static,
    {
        let database = self.clone();
        let done = tokio::task::spawn_blocking(move || database.run_here(work)).await;
        done.unwrap_or_else(|error| Err(Problem::internal(&error)))
    }

    /// The same on this thread, for the start.
    pub(crate) fn run_here<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Problem>) -> Result<T, Problem> {
        // A panic in earlier work has rolled its transaction back, so the data is whole.
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction()?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

/// All rows of a query as JSON objects: a column is a field.
pub(crate) fn rows(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Value>, Problem> {
    let mut statement = connection.prepare_cached(sql)?;
    let is_boolean: Vec<bool> =
        statement.columns().iter().map(|column| column.decl_type() == Some("BOOLEAN")).collect();
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let rows = statement.query_map(params, |row| object(row, &names, &is_boolean))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The first row of a query as a JSON object.
pub(crate) fn row(connection: &Connection, sql: &str, params: impl Params) -> Result<Option<Value>, Problem> {
    Ok(rows(connection, sql, params)?.into_iter().next())
}

/// The one number of a query that counts.
pub(crate) fn count(connection: &Connection, sql: &str, params: impl Params) -> Result<i64, Problem> {
    let counted = connection.query_row(sql, params, |row| row.get(0)).optional()?;
    Ok(counted.unwrap_or(0))
}

fn object(row: &Row<'_>, names: &[String], is_boolean: &[bool]) -> rusqlite::Result<Value> {
    let mut object = Map::new();
    for (at, name) in names.iter().enumerate() {
        let value = match row.get_ref(at)? {
            ValueRef::Null | ValueRef::Blob(_) => Value::Null,
            ValueRef::Integer(number) if is_boolean[at] => Value::Bool(number != 0),
            ValueRef::Integer(number) => Value::from(number),
            ValueRef::Real(number) => Value::from(number),
            ValueRef::Text(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        };
        object.insert(name.clone(), value);
    }
    Ok(Value::Object(object))
}
