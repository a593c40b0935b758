//! What one record tells. Nothing of a body, a query, a token or an e-mail address is among it; what `resource` shows is what the
//! operator wrote.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;

use super::chain::Session;
use crate::telemetry::Time;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A route that declares `audit:` was used.
    Access,
    SignIn,
    SignOut,
    /// A session got its next token.
    Refresh,
    /// Somebody may not, or not so often.
    Denied,
    /// `routes.yaml` was loaded or refused.
    Config,
    /// A sign of life.
    Checkpoint,
    /// Records are missing: they could not be written, or there were too many.
    Gap,
    /// `FILE.head` was found changed or gone while this process ran.
    HeadLost,
    Stop,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to be done; what became of it is in a further record with the same `exchange`.
    Intended,
    Success,
    Refused,
    Failed,
    /// The client has gone, or the exchange was cut: the service may have done it.
    Unknown,
}

impl Outcome {
    pub fn of(status: u16) -> Outcome {
        match status {
            0 => Outcome::Unknown,
            1..400 => Outcome::Success,
            400..500 => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }
}

/// One record of an exchange.
#[derive(Clone, Debug, Serialize)]
pub struct Record<'a> {
    /// RFC 3339, UTC, milliseconds.
    pub time: Time,
    pub event: Event,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    pub method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'a str>,
    /// What it was about, as `audit: { resource }` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<&'a str>,
    /// Who, by claims of a verified token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_type: Option<&'a str>,
    /// Stands for the token; see [`super::Key::session`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// Of a refresh: stands for the token that the session goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_session: Option<Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The client's own word, if it gave one.
    pub request_id: &'a str,
    /// The same in all records of one exchange, and in no other of this process.
    pub exchange: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<&'a str>,
    /// The hash of the `routes.yaml` by which it was decided.
    pub config: &'a str,
}

/// One record about the gateway itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Own<'a> {
    pub(super) time: Time,
    pub(super) event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<&'a str>,
    /// How many records could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<u64>,
    /// How many found no room in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dropped: Option<u64>,
}

impl Own<'_> {
    pub(super) fn new(event: Event) -> Self {
        Own { time: Time(SystemTime::now()), event, outcome: None, config: None, failed: None, dropped: None }
    }
}

/// Several denials in one record.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Denials<'a> {
    pub(super) time: Time,
    pub(super) event: Event,
    pub(super) outcome: Outcome,
    pub(super) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<String>,
    /// How many there were besides those that have a record of their own.
    pub(super) count: u64,
    pub(super) since: Time,
}

/// Replaces `out` by what stands between the braces of a record.
pub(super) fn body(record: &impl Serialize, out: &mut Vec<u8>) -> bool {
    out.clear();
    if serde_json::to_writer(&mut *out, record).is_err() || out.len() < 2 {
        return false;
    }
    out.pop();
    out.remove(0);
    true
}

/// A moment as it is written everywhere.
pub(super) fn stamp(at: SystemTime) -> String {
    serde_json::to_value(Time(at)).ok().and_then(|time| time.as_str().map(str::to_owned)).unwrap_or_default()
}
