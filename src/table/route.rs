//! One route, ready to run.

use std::sync::Arc;
use std::time::Duration;

use hilum_filters::api::Chain;
use http::HeaderValue;

use super::csrf::Csrf;
use super::rates::RouteRates;
use super::require::Requirement;
use super::validate::Validate;
use super::{Access, Audit};
use crate::actions::Action;
use crate::actions::reply::Reply;
use crate::identity::Token;
use crate::refusal::Errors;
use crate::router::Methods;
use crate::services::Priority;
use crate::telemetry::RouteMetrics;

/// A route, compiled: the type is the proof that everything in it fits together.
#[derive(Debug)]
pub struct Route {
    pub name: Arc<str>,
    /// As it is written, parameters in braces: what logs and metrics show instead of a raw path.
    pub path: String,
    /// What it matches, for people.
    pub rule: String,
    pub methods: Methods,
    /// The innermost group of the file that it is in.
    pub group: Option<Box<str>>,
    pub params: Vec<Box<str>>,
    pub access: Access,
    /// What must hold besides, in this order.
    pub require: Box<[Requirement]>,
    /// Whose token is looked at: that of `auth`, or of a session action.
    pub token: Option<Arc<Token>>,
    /// The fixed slots, then `filters:` in written order.
    pub chain: Chain,
    /// How many of the chain's links come before the caller is looked at.
    pub slots: usize,
    pub has_cors: bool,
    pub csrf: Csrf,
    pub rates: RouteRates,
    pub validate: Validate,
    /// What `Cache-Control` says of every answer; `None`: whoever made the answer decides.
    pub cache_control: Option<HeaderValue>,
    pub action: Action,
    pub reply: Option<Reply>,
    pub errors: Errors,
    pub limits: Limits,
    /// Where the services that it asks have more to do than they can.
    pub priority: Priority,
    pub metrics: RouteMetrics,
    /// What the audit log records of it.
    pub audit: Option<Audit>,
}

/// Bounds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request's body.
    pub body: u64,
    /// Bytes of a service's answer that is read whole.
    pub reply: u64,
    /// The whole request; `None` for streams that stay open.
    pub time: Option<Duration>,
}

impl Route {
    /// Whether request and answer are read whole (design §2).
    pub fn is_buffered(&self) -> bool {
        let writes_body = matches!(&self.action, Action::Forward(forward) if forward.body.is_some());
        self.reply.is_some() || writes_body || self.reads_body()
    }

    /// Whether something is asked of the client's body before the action has its turn.
    pub fn reads_body(&self) -> bool {
        let records = matches!(&self.action, Action::Respond(respond) if respond.record.is_some());
        records || !self.validate.is_empty() || !self.rates.by_body.is_empty()
    }
}
