//! Why Hilum refuses, and how a refusal looks. The one place that turns a failure into a reason and a status.

mod errors;
mod reason;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

pub use errors::Errors;
pub use reason::Reason;

use crate::identity::{Caller, Identity, Refused};
use crate::services::{CallError, Fault};
use crate::template::Missing;

/// An answer that Hilum makes because it can't or won't do what was asked.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub reason: &'static str,
    /// What `errors:` may call it by besides its name and status.
    class: Option<&'static str>,
    reason_message: &'static str,
    /// What it tells in the place of `messages`.
    pub message: Option<std::sync::Arc<str>>,
    /// What it tells where neither it nor `messages` says anything, if there is more to say than what the reason says.
    pub default_message: Option<std::sync::Arc<str>>,
    /// Headers that belong to it: `Allow`, `Retry-After`, `Location`, `Set-Cookie`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The token's cookie was refused and is to be cleared with this answer.
    pub clears_cookie: bool,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Refusal {
            status: reason.status(),
            reason: reason.name(),
            class: reason.class(),
            reason_message: reason.message(),
            message: None,
            default_message: None,
            headers: Vec::new(),
            clears_cookie: false,
        }
    }
}

impl Refusal {
    /// A refusal by a filter, which brings its own name.
    pub fn by_filter(status: StatusCode, reason: &'static str) -> Self {
        let reason_message = status.canonical_reason().unwrap_or("Refused");
        Refusal {
            status,
            reason,
            class: None,
            reason_message,
            message: None,
            default_message: None,
            headers: Vec::new(),
            clears_cookie: false,
        }
    }

    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Whether it says something of that name.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(n, _)| n == name)
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A body ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub status: StatusCode,
    pub content_type: &'static str,
    pub body: Bytes,
}

impl From<Missing> for Reason {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Value => Reason::ValueMissing,
            Missing::Claim => Reason::ClaimMissing,
            Missing::Ambiguous => Reason::PathRejected,
        }
    }
}

impl From<Missing> for Refusal {
    fn from(missing: Missing) -> Self {
        Reason::from(missing).into()
    }
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused => Reason::PeerRefused,
            Fault::Reset => Reason::PeerReset,
            Fault::Garbage | Fault::ReplyTooLarge => Reason::PeerGarbage,
            Fault::Timeout => Reason::PeerTimeout,
            Fault::Deadline => Reason::Deadline,
        }
    }
}

impl From<CallError> for Reason {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoHealthyPeer => Reason::NoHealthyPeer,
            CallError::Overloaded => Reason::Overloaded,
            CallError::Failed { fault, .. } => fault.into(),
        }
    }
}

/// The caller, if they proved who they are.
///
/// # Errors
/// Why they did not.
pub fn known(caller: &Caller) -> Result<&std::sync::Arc<Identity>, Reason> {
    match caller {
        Caller::Known { identity, .. } => Ok(identity),
        Caller::Missing => Err(Reason::TokenMissing),
        Caller::StoreDown { .. } => Err(Reason::StoreUnavailable),
        Caller::KeysDown { .. } => Err(Reason::KeysUnavailable),
        Caller::Refused { why, .. } => Err((*why).into()),
    }
}

impl From<Refused> for Reason {
    fn from(why: Refused) -> Self {
        match why {
            Refused::Invalid(_) => Reason::TokenInvalid,
            Refused::Expired => Reason::TokenExpired,
            Refused::SessionUnknown => Reason::SessionUnknown,
        }
    }
}
