//! Every answer that is not a success, in the form of the real services: `{"detail": text}`, or
//! for a request that does not fit, FastAPI's list of faults. It is the only place that turns an
//! error of the database or of the password hash into a status.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rusqlite::ErrorCode;
use serde_json::{Value, json};

/// An answer that says what is wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Value,
}

/// One thing that does not fit in a request: FastAPI's `type`, `msg` and `ctx`.
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) context: Option<Value>,
}

/// What a handler answers.
pub(crate) type Answer = Result<Json<Value>, Problem>;

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self { status, detail: detail.into() }
    }

    pub(crate) fn bad_request(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub(crate) fn forbidden(detail: impl Into<Value>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(crate) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn conflict(detail: &str) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The request does not fit: status 422 and the list of what is wrong with it.
    pub(crate) fn unfit(faults: Vec<Value>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, faults)
    }

    /// What went wrong inside is for the log; the caller only learns that it did.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        log::error!("internal error: {error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Error interno del servidor")
    }
}

impl Fault {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), context: None }
    }

    pub(crate) fn with(mut self, context: Value) -> Self {
        self.context = Some(context);
        self
    }

    pub(crate) fn missing() -> Self {
        Self::new("missing", "Field required")
    }

    /// The fault as FastAPI writes it, except that `input` is left out: it would repeat what was
    /// sent, and that can be a password.
    pub(crate) fn at(self, place: &[Value]) -> Value {
        let mut fault = json!({ "type": self.kind, "loc": place, "msg": self.message });
        if let Some(context) = self.context {
            fault["ctx"] = context;
        }
        fault
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        // Names and e-mails that are taken are asked for before the insert, so a broken
        // constraint means that the request names a row that does not exist, or one twice.
        if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
            log::debug!("refused by the database: {error}");
            let fault = Fault::new("value_error", "Value error, un identificador citado no existe o ya está en uso");
            return Self::unfit(vec![fault.at(&[json!("body")])]);
        }
        Self::internal(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "detail": self.detail }))).into_response()
    }
}

/// The path is none of the service's.
pub(crate) async fn unknown_path() -> Problem {
    Problem::not_found("Not Found")
}

/// The path is the service's, the method is not; axum adds `Allow`.
pub(crate) async fn unknown_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}
