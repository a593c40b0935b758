//! What a route does, as it is written.

use std::path::PathBuf;

use hilum_filters::api::{Entries, Node, Placed, Try};
use hilum_filters::units::Span;
use schemars::JsonSchema;
use serde::Deserialize;

use super::combine::Combine;
use super::shapes::Status;
use crate::identity::claims::ClaimPath;

/// What a route does.
#[derive(Debug)]
pub enum Action {
    Forward(Forward),
    Respond(Respond),
    Redirect(Redirect),
    Files(Files),
    Page(Page),
    Session(Session),
    Health(Health),
    Combine(Combine),
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    pub service: Placed<String>,
    /// Absent: the client's path and query go on. With it the query is dropped unless `query` says what to send.
    #[serde(default)]
    pub path: Option<Placed<String>>,
    #[serde(default)]
    pub query: Entries<Placed<String>>,
    /// Instead of the client's method.
    #[serde(default)]
    pub method: Option<Placed<String>>,
    /// More headers for the service.
    #[serde(default)]
    pub headers: Entries<Placed<String>>,
    /// Sent instead of the client's body.
    #[serde(default)]
    pub body: Option<Placed<Send>>,
    /// `pass` sends the client's cookies on; otherwise no service sees them.
    #[serde(default)]
    pub cookies: Option<Pass>,
    /// `pass` sends the client's `Authorization` on, to a service that asks who is calling itself: another gateway. For public
    /// routes; everywhere else Hilum writes its own.
    #[serde(default)]
    pub authorization: Option<Placed<Pass>>,
    /// `pass` lets the client see the `X-Hilum-Reason` of a service that is another Hilum.
    #[serde(default)]
    pub reason: Option<Pass>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    Pass,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// Default 200.
    #[serde(default)]
    pub status: Option<Placed<Status>>,
    #[serde(default)]
    pub json: Option<Node>,
    #[serde(default)]
    pub text: Option<Placed<String>>,
    #[serde(default)]
    pub headers: Entries<Placed<String>>,
    /// A line that is on the disk before the answer goes out.
    #[serde(default)]
    pub record: Option<Record>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Relative to this file; begun when there is none. Routes may share one.
    pub file: Placed<PathBuf>,
    /// One line of it.
    pub json: Node,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// An own path, with a query if need be.
    pub to: Placed<String>,
    /// 301, 302, 303, 307 or 308. Default 302.
    #[serde(default)]
    pub status: Option<Placed<Status>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The folder, relative to this file.
    pub root: Placed<PathBuf>,
    /// What a folder's address shows. Absent: 404.
    #[serde(default)]
    pub index: Option<Placed<String>>,
    /// How long a client may keep a file without asking. Absent: it asks each time (`no-cache`), and keeps nothing where a token is needed.
    #[serde(default)]
    pub cache: Option<Try<Span>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// A file below `pages: { root }`.
    pub template: Placed<String>,
    /// More names for the template, each with any JSON whose texts may be expressions: `{ id: "{{ params.id }}" }`.
    #[serde(default)]
    pub with: Option<Node>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Session {
    Login(Box<Login>),
    Logout(TokenName),
    Show(TokenName),
    HandOut(TokenName),
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenName {
    /// A name under `tokens:`.
    pub token: Placed<String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub token: Placed<String>,
    /// The service that knows passwords.
    pub service: Placed<String>,
    pub path: Placed<String>,
    /// What is sent to it. Absent: the client's JSON unchanged.
    #[serde(default)]
    pub send: Option<Send>,
    /// Where the answer has the token. Default `access_token`.
    #[serde(default)]
    pub access: Option<ClaimPath>,
    /// Where the answer has its lifetime in seconds. Default `expires_in`; absent there: as long as the token.
    #[serde(default)]
    pub expires: Option<ClaimPath>,
    /// Where the answer has what the next token is had by, when the token is refreshed. Default `refresh_token`.
    #[serde(default)]
    pub refresh: Option<Placed<ClaimPath>>,
    /// What claims of the new token must be.
    #[serde(default)]
    pub claims: Entries<Node>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Send {
    pub json: Node,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Each must have a healthy peer, else the answer is 503. None: only that the gateway runs.
    #[serde(default)]
    pub services: Vec<Placed<String>>,
}
