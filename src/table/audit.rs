//! `audit`: what the audit log records of a route.

use hilum_filters::api::{At, LineOrMap, Problem};
use http::Method;

use crate::actions::forward::line;
use crate::actions::session::Session;
use crate::actions::{Action, Build};
use crate::config::audit::AuditAction;
use crate::config::route::Shared;
use crate::template::{Line, Use};

/// What is recorded.
#[derive(Debug)]
pub struct Audit {
    pub resource: Line,
    /// As it is written, for people.
    pub written: Box<str>,
    action: Option<AuditAction>,
    /// What can't be recorded is not done.
    pub required: bool,
}

impl Audit {
    /// Compiles `audit:`. `log` is whether there is an audit log at all. `None` with a problem, or where nothing is asked.
    pub(super) fn compile(shared: &Shared, log: bool, build: &mut Build<'_>) -> Option<Audit> {
        let placed = shared.audit.as_ref()?;
        let LineOrMap::Map(written) = placed.value.0.as_ref()? else { return None };
        if !log {
            no_log(placed.at, build.problems);
        }
        let resource = line(&written.resource, Use::Record, build)?;
        if resource.shows_query() {
            let problem =
                Problem::new(written.resource.at, "a query has no place in the audit log: it may hold anything");
            problem.help("name it by the path or by claims").record(build.problems);
        }
        Some(Audit {
            resource,
            written: written.resource.value.as_str().into(),
            action: written.action.as_ref().map(|action| action.value),
            required: written.required.value,
        })
    }

    /// What is done: as it is written, or by the method.
    pub fn action(&self, method: &Method, action: &Action) -> &'static str {
        let by_method = match (action, method.as_str()) {
            (Action::Session(Session::Login(_)), _) => AuditAction::SignIn,
            (Action::Session(Session::Logout(_)), _) => AuditAction::SignOut,
            (_, "GET" | "HEAD" | "OPTIONS") => AuditAction::Read,
            (_, "POST") => AuditAction::Create,
            (_, "PUT" | "PATCH") => AuditAction::Update,
            (_, "DELETE") => AuditAction::Delete,
            _ => AuditAction::Execute,
        };
        self.action.unwrap_or(by_method).name()
    }
}

fn no_log(at: At, problems: &mut Vec<Problem>) {
    let problem = Problem::new(at, "there is no audit log to record it in");
    let help = "write `audit: { file: PATH, key: \"${HILUM_AUDIT_KEY}\" }` in conf/hilum.yaml, or leave it out here";
    // Once for a group, however many routes it hands it down to.
    problem.help(help).record(problems);
}
