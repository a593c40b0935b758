//! What one record tells. Nothing of a body, a query, a token or an e-mail address is among it; what `resource` shows is what the
//! operator wrote.

use std::net::IpAddr;
use std::time::SystemTime;

use super::chain::Session;
use crate::telemetry::Time;
use crate::telemetry::json::{Object, Plain, Value, members};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

impl Value for Event {
    fn write(&self, out: &mut Vec<u8>) {
        let name = match self {
            Event::Access => "access",
            Event::SignIn => "sign_in",
            Event::SignOut => "sign_out",
            Event::Refresh => "refresh",
            Event::Denied => "denied",
            Event::Config => "config",
            Event::Checkpoint => "checkpoint",
            Event::Gap => "gap",
            Event::HeadLost => "head_lost",
            Event::Stop => "stop",
        };
        Plain(name).write(out);
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Value for Outcome {
    fn write(&self, out: &mut Vec<u8>) {
        let name = match self {
            Outcome::Intended => "intended",
            Outcome::Success => "success",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
        };
        Plain(name).write(out);
    }
}

/// One record of an exchange.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// RFC 3339, UTC, milliseconds.
    pub time: Time,
    pub event: Event,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub reason: Option<&'a str>,
    pub route: Option<&'a str>,
    pub method: &'a str,
    pub action: Option<&'a str>,
    /// What it was about, as `audit: { resource }` says.
    pub resource: Option<&'a str>,
    /// Who, by claims of a verified token.
    pub user_id: Option<&'a str>,
    pub user_type: Option<&'a str>,
    /// Stands for the token; see [`super::Key::session`].
    pub session: Option<Session>,
    /// Of a refresh: stands for the token that the session goes on with.
    pub new_session: Option<Session>,
    pub client: Option<IpAddr>,
    /// The client's own word, if it gave one.
    pub request_id: &'a str,
    /// The same in all records of one exchange, and in no other of this process.
    pub exchange: u64,
    pub service: Option<&'a str>,
    /// The hash of the `routes.yaml` by which it was decided, in hex.
    pub config: &'a str,
}

impl Object for Record<'_> {
    fn members(&self, out: &mut Vec<u8>) {
        members!(out;
            "time": self.time,
            "event": self.event,
            "outcome": self.outcome,
            "status": self.status,
            "reason": self.reason,
            "route": self.route,
            "method": self.method,
            "action": self.action,
            "resource": self.resource,
            "user_id": self.user_id,
            "user_type": self.user_type,
            "session": self.session,
            "new_session": self.new_session,
            "client": self.client,
            "request_id": self.request_id,
            "exchange": self.exchange,
            "service": self.service,
            "config": Plain(self.config),
        );
    }
}

/// One record about the gateway itself.
#[derive(Clone, Debug)]
pub(super) struct Own<'a> {
    pub(super) time: Time,
    pub(super) event: Event,
    pub(super) outcome: Option<Outcome>,
    pub(super) config: Option<&'a str>,
    /// How many records could not be written.
    pub(super) failed: Option<u64>,
    /// How many found no room in the queue.
    pub(super) dropped: Option<u64>,
}

impl Object for Own<'_> {
    fn members(&self, out: &mut Vec<u8>) {
        members!(out;
            "time": self.time,
            "event": self.event,
            "outcome": self.outcome,
            "config": self.config,
            "failed": self.failed,
            "dropped": self.dropped,
        );
    }
}

impl Own<'_> {
    pub(super) fn new(event: Event) -> Self {
        Own { time: Time(SystemTime::now()), event, outcome: None, config: None, failed: None, dropped: None }
    }
}

/// Several denials in one record.
#[derive(Clone, Debug)]
pub(super) struct Denials<'a> {
    pub(super) time: Time,
    pub(super) event: Event,
    pub(super) outcome: Outcome,
    pub(super) reason: &'a str,
    pub(super) route: Option<&'a str>,
    pub(super) session: Option<Session>,
    pub(super) client: Option<&'a str>,
    /// How many there were besides those that have a record of their own.
    pub(super) count: u64,
    pub(super) since: Time,
}

impl Object for Denials<'_> {
    fn members(&self, out: &mut Vec<u8>) {
        members!(out;
            "time": self.time,
            "event": self.event,
            "outcome": self.outcome,
            "reason": self.reason,
            "route": self.route,
            "session": self.session,
            "client": self.client,
            "count": self.count,
            "since": self.since,
        );
    }
}

/// What stands between the braces of a record.
pub(super) fn body(record: &impl Object) -> Vec<u8> {
    let mut out = Vec::new();
    record.members(&mut out);
    out
}
