//! The names an expression may use, and what they stand for in one request.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hilum_filters::api::did_you_mean;
use minijinja::Value;
use minijinja::value::Object;
use serde::de::IgnoredAny;

/// The names that exist in one place of the file: `status`, `body`, `claims`…
#[derive(Clone, Copy, Debug)]
pub struct Names {
    known: &'static [&'static str],
    /// Why `request.body` would always be none.
    no_body: Option<&'static str>,
    /// Why `claims` would always be none.
    no_claims: Option<&'static str>,
}

impl Names {
    /// In `reply:`.
    pub const REPLY: Names = Names::of(&["status", "body", "request", "params", "query", "claims", "now"]);
    /// In the `reply:` of `hand_out`.
    pub const HAND_OUT: Names = Names::of(&["status", "body", "request", "params", "query", "claims", "now", "token"]);
    /// In `errors:`.
    pub const ERRORS: Names = Names::of(&["reason", "status", "message", "claims", "request_id"]);
    /// In `combine:`, beside the names of its parts.
    pub const COMBINE: Names = Names::of(&["missing", "status", "request", "params", "query", "claims", "now"]);
    /// In a value that is the same for every request.
    pub const CONSTANT: Names = Names::of(&[]);
    /// In `respond:` and `login.send`.
    pub const REQUEST: Names = Names::of(&["request", "params", "query", "claims", "now"]);

    const fn of(known: &'static [&'static str]) -> Names {
        Names { known, no_body: None, no_claims: None }
    }

    /// The same where the client's body is not read.
    pub fn without_body(self, why: &'static str) -> Names {
        Names { no_body: Some(why), ..self }
    }

    /// The same where nobody is known.
    pub fn without_claims(self, why: &'static str) -> Names {
        Names { no_claims: Some(why), ..self }
    }

    /// Whether it is one of them, or a function that Jinja brings.
    pub fn knows(self, name: &str) -> bool {
        self.known.contains(&name) || FUNCTIONS.contains(&name)
    }

    /// `more` are names besides those that are always known.
    pub(super) fn check(self, name: &str, more: &[Arc<str>]) -> Result<(), String> {
        match (name, self.no_body, self.no_claims) {
            ("request", Some(why), _) => return Err(format!("there is no `request.body` here: {why}")),
            ("claims", _, Some(why)) => return Err(format!("there are no `claims` here: {why}")),
            _ => {}
        }
        let known: Vec<&str> = more.iter().map(|name| &**name).chain(self.known.iter().copied()).collect();
        if self.knows(name) || known.contains(&name) {
            return Ok(());
        }
        if known.is_empty() {
            return Err(format!("nothing is called `{name}` here: this is the same for every request"));
        }
        let hint = did_you_mean(name, known.iter().copied()).map(|n| format!("; did you mean `{n}`?"));
        Err(format!("nothing is called `{name}` here; known are {}{}", known.join(", "), hint.unwrap_or_default()))
    }
}

/// Functions that Jinja brings: no names of ours, and nobody else's either.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

/// Bytes that are JSON, probably: parsed when the first expression asks, checked when they are passed on unread.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Bytes,
    parsed: OnceLock<Option<Value>>,
}

impl Body {
    pub fn new(bytes: Bytes) -> Arc<Self> {
        Arc::new(Body { bytes, parsed: OnceLock::new() })
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The parsed value; `None` when it is not JSON.
    pub fn value(&self) -> Option<&Value> {
        self.parsed.get_or_init(|| serde_json::from_slice(&self.bytes).ok()).as_ref()
    }

    /// Whether it is JSON. Cheaper than [`Body::value`], which is asked when it was called already.
    pub fn is_json(&self) -> bool {
        match self.parsed.get() {
            Some(parsed) => parsed.is_some(),
            None => serde_json::from_slice::<IgnoredAny>(&self.bytes).is_ok(),
        }
    }
}

/// A token that is handed out, and shown nowhere else.
#[derive(Clone)]
pub struct Handed(pub Arc<str>);

impl std::fmt::Debug for Handed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handed(…)")
    }
}

/// What the names stand for in one request. What is not there is `none`.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub status: Option<u16>,
    pub body: Option<Arc<Body>>,
    pub request_body: Option<Arc<Body>>,
    /// Names and decoded values of the path's parameters.
    pub params: Vec<(String, String)>,
    pub query: Option<Box<str>>,
    pub claims: Option<Value>,
    pub reason: Option<&'static str>,
    pub message: Option<Arc<str>>,
    pub request_id: Option<hilum_filters::api::RequestId>,
    /// Seconds since 1970.
    pub now: u64,
    /// The caller's own, in the one answer that hands it out.
    pub token: Option<Handed>,
    /// What services answered to `ask`, and what else is known of a `combine`, by name.
    pub answers: Vec<(Arc<str>, Value)>,
    /// What services answered to the parts of a `combine`, by name.
    pub parts: Vec<(Arc<str>, Arc<Body>)>,
}

impl Scope {
    pub(super) fn part(&self, name: &str) -> Option<&Arc<Body>> {
        self.parts.iter().find(|(part, _)| **part == *name).map(|(_, body)| body)
    }
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let or_none = |value: Option<Value>| Some(value.unwrap_or_else(|| Value::from(())));
        let key = key.as_str()?;
        if let Some((_, answer)) = self.answers.iter().find(|(name, _)| **name == *key) {
            return Some(answer.clone());
        }
        if let Some(body) = self.part(key) {
            return or_none(body.value().cloned());
        }
        match key {
            "status" => or_none(self.status.map(Value::from)),
            "body" => or_none(self.body.as_ref().and_then(|b| b.value().cloned())),
            "request" => {
                let body =
                    self.request_body.as_ref().and_then(|b| b.value().cloned()).unwrap_or_else(|| Value::from(()));
                Some(Value::from(BTreeMap::from([("body", body)])))
            }
            "params" => {
                let params: BTreeMap<&str, Value> =
                    self.params.iter().map(|(name, value)| (name.as_str(), Value::from(value.as_str()))).collect();
                Some(Value::from(params))
            }
            "query" => Some(Value::from_object(Query(self.query.clone().unwrap_or_default()))),
            "claims" => or_none(self.claims.clone()),
            "reason" => or_none(self.reason.map(Value::from)),
            "message" => or_none(self.message.clone().map(Value::from)),
            "request_id" => or_none(self.request_id.as_ref().map(|id| Value::from(id.as_str()))),
            "now" => Some(Value::from(self.now)),
            "token" => or_none(self.token.as_ref().map(|token| Value::from(&*token.0))),
            _ => None,
        }
    }
}

/// `query.name` is the first value of that name.
#[derive(Debug)]
struct Query(Box<str>);

impl Object for Query {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        crate::router::query_values(&self.0, key.as_str()?).next().map(|v| Value::from(&*v))
    }
}
