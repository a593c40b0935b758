//! What the five services share: the database and the key of the tokens. It is the state that
//! every handler gets, and the place where a service's routes get what all services have.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::accounts;
use crate::database::Database;
use crate::problem;
use crate::token::Key;

/// The state of all handlers; cheap to clone.
#[derive(Clone)]
pub(crate) struct Platform {
    pub(crate) database: Database,
    pub(crate) key: Arc<Key>,
    /// A hash that no password fits, for accounts that do not exist.
    pub(crate) decoy: Arc<str>,
}

impl Platform {
    pub(crate) fn new(database: Database, secret: &str) -> anyhow::Result<Self> {
        let decoy = accounts::hash_here("the password of nobody")?.into();
        Ok(Self { database, key: Arc::new(Key::new(secret)), decoy })
    }

    /// Completes the routes of a service with the answers to all other requests.
    pub(crate) fn complete(self, routes: Router<Self>) -> Router {
        routes.fallback(problem::unknown_path).method_not_allowed_fallback(problem::unknown_method).with_state(self)
    }
}

/// The routes that a service starts with.
pub(crate) fn with_health() -> Router<Platform> {
    Router::new().route("/health", get(async || Json(json!({ "status": "healthy" }))))
}
