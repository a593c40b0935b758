//! The JSON body of a request, read field by field. Every fault is collected, so that one answer
//! names them all, in the form of FastAPI's 422 list; what comes out has its final type.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use serde_json::{Map, Value, json};

use crate::problem::{Fault, Problem};

/// The JSON object that a request carries.
pub(crate) struct Body(Map<String, Value>);

/// The fields of an object while they are read, with what was wrong so far.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    place: Vec<Value>,
    faults: Vec<Value>,
}

impl Body {
    /// Reads all fields with `read`. Its result counts only when no field has a fault.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&mut Fields<'_>) -> T) -> Result<T, Problem> {
        let mut fields = Fields { object: &self.0, place: vec![json!("body")], faults: Vec::new() };
        let value = read(&mut fields);
        if fields.faults.is_empty() { Ok(value) } else { Err(Problem::unfit(fields.faults)) }
    }
}

impl Fields<'_> {
    /// A field that has to be there; after a fault its value is never used.
    pub(crate) fn required<T: Default>(&mut self, name: &str, rule: impl Fn(&Value) -> Result<T, Fault>) -> T {
        let Some(value) = self.object.get(name) else {
            self.fault(name, Fault::missing());
            return T::default();
        };
        rule(value).unwrap_or_else(|fault| {
            self.fault(name, fault);
            T::default()
        })
    }

    /// A field that may be absent or null.
    pub(crate) fn optional<T>(&mut self, name: &str, rule: impl Fn(&Value) -> Result<T, Fault>) -> Option<T> {
        let value = self.object.get(name).filter(|value| !value.is_null())?;
        rule(value).map_err(|fault| self.fault(name, fault)).ok()
    }

    /// A field that is an object with fields of its own.
    pub(crate) fn nested<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> T {
        let empty = Map::new();
        let object = match self.object.get(name) {
            Some(Value::Object(object)) => Some(object),
            Some(_) => {
                self.fault(name, not_an_object());
                None
            }
            None => {
                self.fault(name, Fault::missing());
                None
            }
        };
        let mut place = self.place.clone();
        place.push(json!(name));
        let mut fields = Fields { object: object.unwrap_or(&empty), place, faults: Vec::new() };
        let value = read(&mut fields);
        // The fields of an absent object are not named one by one as well.
        if object.is_some() {
            self.faults.append(&mut fields.faults);
        }
        value
    }

    fn fault(&mut self, name: &str, fault: Fault) {
        self.place.push(json!(name));
        self.faults.push(fault.at(&self.place));
        self.place.pop();
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let unfit = |fault: Fault, place: Value| Problem::unfit(vec![fault.at(&[json!("body"), place])]);
        let is_json = is_json(&request);
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.into_response().status();
            Problem::new(status, status.canonical_reason().unwrap_or("Bad Request"))
        })?;
        if bytes.is_empty() {
            return Err(Problem::unfit(vec![Fault::missing().at(&[json!("body")])]));
        }
        if !is_json {
            return Err(Problem::unfit(vec![not_an_object().at(&[json!("body")])]));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(Problem::unfit(vec![not_an_object().at(&[json!("body")])])),
            Err(error) => Err(unfit(Fault::new("json_invalid", "JSON decode error"), json!(error.column()))),
        }
    }
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

fn not_an_object() -> Fault {
    Fault::new("model_attributes_type", "Input should be a valid dictionary or object to extract fields from")
}
