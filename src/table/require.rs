//! `require`: what must hold besides who is calling, in the order it is written.

use std::sync::Arc;

use hilum_filters::api::{At, Placed, Problem, Try, did_you_mean};
use http::StatusCode;
use minijinja::Value;

use super::ask::{Ask, Said, Unsaid, Yes};
use super::decide::{Facts, Match, Stop};
use crate::actions::Build;
use crate::config::require;
use crate::identity::Caller;
use crate::refusal::{Reason, Refusal};
use crate::router::Head;
use crate::template::{Filling, Names, Scope, Unless, decoded};

/// One entry: what is asked, what must hold, and how it is refused.
#[derive(Debug)]
pub struct Requirement {
    asked: Option<Asked>,
    unless: Option<Unless>,
    reason: Reason,
    status: Option<StatusCode>,
    message: Option<Arc<str>>,
}

#[derive(Debug)]
struct Asked {
    ask: Arc<Ask>,
    /// What its answer is called.
    name: Option<Arc<str>>,
    /// No later entry reads the answer, so it is asked for only where this `unless` needs it.
    is_own: bool,
    /// The text of `not_found`; without it a 404 is refused like any other.
    missing: Option<Arc<str>>,
}

/// Compiles the list; every problem is pushed.
pub(super) fn compile(
    written: &Placed<Vec<Try<require::Requirement>>>,
    build: &mut Build<'_>,
) -> Option<Box<[Requirement]>> {
    if written.value.is_empty() {
        let problem = Problem::new(written.at, "`require` requires nothing");
        build.problems.push(problem.help("add an entry, or leave it out"));
    }
    let mut names: Vec<(At, Arc<str>)> = Vec::new();
    let entries: Vec<_> = written.value.iter().map(|entry| requirement(entry.0.as_ref()?, &mut names, build)).collect();
    let mut entries: Option<Box<[Requirement]>> = entries.into_iter().collect();
    mark_own(entries.iter_mut().flatten());
    for (at, name) in names.iter().filter(|_| entries.is_some()) {
        let mut unless = entries.iter().flatten().filter_map(|entry| entry.unless.as_ref());
        if !unless.any(|unless| unless.reads(name)) {
            let problem = Problem::new(*at, format!("`as: {name}` has no effect: no `unless` reads `{name}`"));
            build.problems.push(problem.help("say with `unless` what the answer must be, or leave `as` out"));
        }
    }
    entries
}

/// Marks the answers that only their own entry reads.
fn mark_own<'r>(entries: impl DoubleEndedIterator<Item = &'r mut Requirement>) {
    let mut later: Vec<&Unless> = Vec::new();
    for Requirement { asked, unless, .. } in entries.rev() {
        if let Some(asked) = asked {
            asked.is_own = asked.name.as_ref().is_some_and(|name| !later.iter().any(|unless| unless.reads(name)));
        }
        later.extend(unless.as_ref());
    }
}

fn requirement(
    written: &require::Requirement,
    names: &mut Vec<(At, Arc<str>)>,
    build: &mut Build<'_>,
) -> Option<Requirement> {
    let asked = match &written.ask {
        None => {
            for (key, word) in [("as", &written.name), ("missing", &written.missing)] {
                if let Some(word) = word {
                    let text = format!("`{key}` has no effect without `ask`");
                    build.problems.push(Problem::new(word.at, text));
                }
            }
            Some(None)
        }
        Some(ask) => {
            let ask = ask.0.as_ref().and_then(|ask| Ask::compile(ask, Yes::Json, build));
            let name = written.name.as_ref().and_then(|name| answer_name(name, names, build));
            let missing = written.missing.as_ref().map(|text| text.value.as_str().into());
            ask.map(|ask| Some(Asked { ask, name, is_own: false, missing }))
        }
    };
    if written.ask.is_none() && written.unless.is_none() {
        let text = "this entry requires nothing: it has neither `unless` nor `ask`";
        build.problems.push(Problem::new(written.reason.at, text));
    }
    let unless = written.unless.as_ref().map(|unless| condition(unless, names, build));
    let status = written.status.as_ref().map(|status| (status.at, status.value.0));
    if let Some((at, status)) = status
        && !status.is_client_error()
    {
        let text = format!("a refusal is the client's: expected a status from 400 to 499, found {}", status.as_u16());
        build.problems.push(Problem::new(at, text));
    }
    let (reason, message) = (reason(&written.reason, build)?, written.message.as_ref());
    let message = message.map(|message| message.value.as_str().into());
    let (unless, status) = (unless.map_or(Some(None), |it| it.map(Some))?, status.map(|(_, status)| status));
    Some(Requirement { asked: asked?, unless, reason, status, message })
}

fn condition(written: &Placed<String>, names: &[(At, Arc<str>)], build: &mut Build<'_>) -> Option<Unless> {
    let known = Names::REQUEST.without_body("what must hold is decided before the body is read");
    let known = if build.has_claims { known } else { known.without_claims("the route is public") };
    let answers: Vec<Arc<str>> = names.iter().map(|(_, name)| name.clone()).collect();
    Unless::compile(&written.value, known, &answers)
        .map_err(|why| build.problems.push(Problem::new(written.at, why)))
        .ok()
}

/// Notes the name of an answer.
fn answer_name(written: &Placed<String>, names: &mut Vec<(At, Arc<str>)>, build: &mut Build<'_>) -> Option<Arc<str>> {
    let name: Arc<str> = written.value.as_str().into();
    let why = if Names::REQUEST.knows(&name) {
        format!("`{name}` is the name of something else")
    } else if names.iter().any(|(_, other)| *other == name) {
        format!("`{name}` is the name of an answer already")
    } else if !Unless::is_name(&name) {
        format!("`{name}` is no name: write a word of letters, digits and `_`")
    } else {
        names.push((written.at, name.clone()));
        return Some(name);
    };
    build.problems.push(Problem::new(written.at, why).help("call it after what is asked for, as `as: doctor`"));
    None
}

fn reason(written: &Placed<String>, build: &mut Build<'_>) -> Option<Reason> {
    let known = || Reason::all().filter(|reason| reason.status().is_client_error());
    let found = known().find(|reason| reason.name() == written.value);
    if found.is_none() {
        let text = format!("expected a reason with a status from 400 to 499, found `{}`", written.value);
        let help = match did_you_mean(&written.value, known().map(Reason::name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", known().map(Reason::name).collect::<Vec<_>>().join(", ")),
        };
        build.problems.push(Problem::new(written.at, text).help(help));
    }
    found
}

/// Whether all that the route requires holds, in order; nothing is asked that a refusal before it makes needless.
pub(super) fn check(
    found: &Match<'_, '_>,
    head: &Head<'_>,
    facts: &Facts<'_>,
    filling: &Filling<'_>,
) -> Result<(), Stop> {
    let route = found.route;
    if route.require.is_empty() {
        return Ok(());
    }
    let mut answers = Vec::new();
    for entry in &route.require {
        let holds = |answers| {
            let scope = Arc::new(scope(found, head, facts, answers));
            entry.unless.as_ref().map_or(Ok(true), |unless| unless.holds(&scope))
        };
        if let Some(asked) = &entry.asked {
            if asked.is_own && holds(answers.iter().cloned().chain(asked.unread()).collect()) == Ok(true) {
                continue;
            }
            match (asked.ask.said(facts.answers, filling), &asked.name, &asked.missing) {
                (Ok(Said::Yes(value)), Some(name), _) => answers.push((name.clone(), value.clone())),
                (Ok(Said::Yes(_)), None, _) => {}
                (Ok(Said::No), _, Some(text)) => return Err(not_found(text)),
                (Ok(Said::No), _, None) => return Err(entry.refusal()),
                (Ok(Said::Failed), ..) => return Err(Reason::AskFailed.into()),
                (Err(Unsaid::Ask(question)), ..) => return Err(Stop::Ask(question)),
                (Err(Unsaid::Missing(what)), ..) => return Err(Reason::from(what).into()),
            }
        }
        let holds = holds(answers.clone()).inspect_err(|e| log::info!("route={} unless={}", route.name, e.0));
        if holds != Ok(true) {
            return Err(entry.refusal());
        }
    }
    Ok(())
}

fn scope(found: &Match<'_, '_>, head: &Head<'_>, facts: &Facts<'_>, answers: Vec<(Arc<str>, Value)>) -> Scope {
    let named = found.route.params.iter().zip(&found.values).filter(|(name, _)| !name.is_empty());
    Scope {
        params: named.map(|(name, value)| (name.to_string(), decoded(value).into_owned())).collect(),
        query: head.query.map(Into::into),
        claims: match facts.caller {
            Caller::Known { identity, .. } => Some(identity.values.clone()),
            _ => None,
        },
        now: facts.now,
        answers,
        ..Scope::default()
    }
}

fn not_found(text: &Arc<str>) -> Stop {
    let mut refusal = Refusal::from(Reason::NotFound);
    refusal.message = Some(text.clone());
    Stop::Refuse(Reason::NotFound, Box::new(refusal))
}

impl Asked {
    /// The answer before it is known: an expression that reads it can't be evaluated, so one that holds holds whatever it is.
    fn unread(&self) -> Option<(Arc<str>, Value)> {
        let unread = minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, "not asked yet");
        Some((self.name.clone()?, Value::from(unread)))
    }
}

impl Requirement {
    /// Who is asked.
    pub(super) fn ask(&self) -> Option<&Ask> {
        self.asked.as_ref().map(|asked| &*asked.ask)
    }

    /// What a refusal is called, and its status.
    pub(super) fn refuses_with(&self) -> (Reason, StatusCode) {
        (self.reason, self.status.unwrap_or(self.reason.status()))
    }

    fn refusal(&self) -> Stop {
        let mut refusal = Refusal::from(self.reason);
        refusal.status = self.status.unwrap_or(refusal.status);
        refusal.message.clone_from(&self.message);
        Stop::Refuse(self.reason, Box::new(refusal))
    }
}
