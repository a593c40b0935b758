//! `require`: what must hold besides who is calling, in the order it is written.

use std::sync::Arc;

use hilum_filters::api::{Placed, Problem, Try, did_you_mean};
use http::StatusCode;

use crate::actions::Build;
use crate::config::require;
use crate::refusal::{Reason, Refusal};
use crate::template::{Names, Scope, Unless};

/// One entry.
#[derive(Debug)]
pub struct Requirement {
    unless: Unless,
    pub reason: Reason,
    status: Option<StatusCode>,
    message: Option<Arc<str>>,
}

/// Compiles the list; every problem is pushed.
pub(super) fn compile(
    written: &Placed<Vec<Try<require::Requirement>>>,
    build: &mut Build<'_>,
) -> Option<Box<[Requirement]>> {
    if written.value.is_empty() {
        build
            .problems
            .push(Problem::new(written.at, "`require` requires nothing").help("add an entry, or leave it out"));
    }
    written.value.iter().map(|entry| requirement(entry.0.as_ref()?, build)).collect()
}

fn requirement(written: &require::Requirement, build: &mut Build<'_>) -> Option<Requirement> {
    let names = Names::REQUEST.without_body("what must hold is decided before the body is read");
    let names = if build.has_claims { names } else { names.without_claims("the route is public") };
    let unless = Unless::compile(&written.unless.value, names, &[]);
    let unless = unless.map_err(|why| build.problems.push(Problem::new(written.unless.at, why))).ok();
    let status = written.status.as_ref().map(|status| (status.at, status.value.0));
    if let Some((at, status)) = status
        && !status.is_client_error()
    {
        let text = format!("a refusal is the client's: expected a status from 400 to 499, found {}", status.as_u16());
        build.problems.push(Problem::new(at, text));
    }
    let (reason, message) = (reason(&written.reason, build)?, written.message.as_ref());
    let message = message.map(|message| message.value.as_str().into());
    Some(Requirement { unless: unless?, reason, status: status.map(|(_, status)| status), message })
}

fn reason(written: &Placed<String>, build: &mut Build<'_>) -> Option<Reason> {
    let known = || Reason::all().filter(|reason| reason.status().is_client_error());
    let found = known().find(|reason| reason.name() == written.value);
    if found.is_none() {
        let text = format!("expected a reason with a status from 400 to 499, found `{}`", written.value);
        let help = match did_you_mean(&written.value, known().map(Reason::name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write `not_owner`, `claim_mismatch` or another one of the README's list".to_owned(),
        };
        build.problems.push(Problem::new(written.at, text).help(help));
    }
    found
}

impl Requirement {
    /// Whether the request may go on.
    ///
    /// # Errors
    /// How it is refused; also when that can't be said.
    pub fn check(&self, scope: &Arc<Scope>) -> Result<(), Refusal> {
        let holds = self.unless.holds(scope).inspect_err(|e| log::info!("an `unless` can't be evaluated: {}", e.0));
        if holds == Ok(true) { Ok(()) } else { Err(self.refusal()) }
    }

    fn refusal(&self) -> Refusal {
        let mut refusal = Refusal::from(self.reason);
        refusal.status = self.status.unwrap_or(refusal.status);
        refusal.message.clone_from(&self.message);
        refusal
    }
}
