//! `validate`: what a client's body must be, in the order it is written, before a service is asked or anything is answered.

use std::sync::Arc;

use bytes::Bytes;
use hilum_filters::api::{At, Placed, Problem, Try};
use http::HeaderMap;
use serde_json::Value;

use super::schema;
use crate::actions::session::Session;
use crate::actions::{Action, Build, sent::Sent};
use crate::config::route::Route;
use crate::config::validate;
use crate::identity::ClaimPath;
use crate::refusal::{Reason, Refusal};
use crate::template::{Names, Scope, Unless};

/// What a route asks of bodies; nothing, when it asks nothing.
#[derive(Debug, Default)]
pub struct Validate(Box<[Check]>);

/// One entry, and what the client is told when it does not hold.
#[derive(Debug)]
struct Check {
    what: What,
    message: Option<Arc<str>>,
}

#[derive(Debug)]
enum What {
    Object,
    /// Each field with what is told when it is not there.
    Fields(Box<[(ClaimPath, Arc<str>)]>),
    Unless(Unless),
    Schema(Box<jsonschema::Validator>),
}

/// Why an entry does not hold.
enum Why {
    /// Its own message, and in the place of one, what else can be said.
    Invalid(Option<Arc<str>>),
    Reason(Reason),
}

/// A body that is read when the first entry needs it.
struct Body<'b> {
    headers: &'b HeaderMap,
    bytes: &'b [u8],
    sent: Option<Sent>,
}

impl Validate {
    /// Compiles the list; every problem is pushed.
    pub(super) fn compile(written: &Route, action: Option<&Action>, build: &mut Build<'_>) -> Option<Validate> {
        let Some(list) = &written.shared.validate else { return Some(Validate::default()) };
        if list.value.is_empty() {
            let problem = Problem::new(list.at, "`validate` checks nothing");
            problem.help("add an entry, or write `validate: null` against an inherited one").record(build.problems);
        }
        let is_login = match action {
            Some(Action::Session(Session::Login(_))) => true,
            Some(Action::Forward(_) | Action::Respond(_)) | None => false,
            Some(other) => {
                let text = format!("`validate` has no effect on `{}`, which reads no body", written.name.value);
                let help = format!(
                    "it is for `forward`, `respond` and a sign-in; on `{}` leave it out, or write `validate: null` against an inherited one",
                    other.name()
                );
                build.problems.push(Problem::new(list.at, text).help(help));
                return None;
            }
        };
        let names = match (build.has_claims, is_login) {
            (_, true) => Names::REQUEST.without_claims("whoever signs in is nobody yet"),
            (true, false) => Names::REQUEST,
            (false, false) => Names::REQUEST.without_claims("the route is public"),
        };
        let names = if written.only_reads() { names.without_body(NO_BODY) } else { names };
        let checks: Vec<_> = list.value.iter().map(|check| compile(check, names, written, build)).collect();
        checks.into_iter().collect::<Option<_>>().map(Validate)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the request may go on.
    ///
    /// # Errors
    /// `body_invalid` with the message of the first entry that does not hold; `content_type` or `json_invalid` where an entry can't
    /// be held against what came.
    pub fn check(&self, headers: &HeaderMap, body: &Bytes, scope: &Arc<Scope>) -> Result<(), Refusal> {
        let mut body = Body { headers, bytes: body, sent: None };
        for check in &self.0 {
            check.what.holds(&mut body, scope).map_err(|why| match why {
                Why::Reason(reason) => reason.into(),
                Why::Invalid(default) => {
                    let mut refusal = Refusal::from(Reason::BodyInvalid);
                    // The message of `require` was made for each of its fields.
                    let is_made = matches!(check.what, What::Fields(_)) && check.message.is_some();
                    refusal.message = if is_made { default.clone() } else { check.message.clone() };
                    refusal.default_message = default;
                    refusal
                }
            })?;
        }
        Ok(())
    }
}

const NO_BODY: &str = "a GET has no body";

fn compile(
    entry: &Placed<Try<validate::Check>>,
    names: Names,
    written: &Route,
    build: &mut Build<'_>,
) -> Option<Check> {
    let check = entry.value.0.as_ref()?;
    let keys: Vec<(&str, At)> = [
        ("body", check.body.as_ref().map(|it| it.at)),
        ("require", check.require.as_ref().map(|it| it.at)),
        ("unless", check.unless.as_ref().map(|it| it.at)),
        ("schema", check.schema.as_ref().map(|it| it.at)),
    ]
    .into_iter()
    .filter_map(|(key, at)| Some((key, at?)))
    .collect();
    let [(key, at)] = keys[..] else {
        let text = "an entry checks one thing: `body`, `require`, `unless` or `schema`";
        Problem::new(keys.get(1).map_or(entry.at, |(_, at)| *at), text).record(build.problems);
        return None;
    };
    if key != "unless" && written.only_reads() {
        let text = format!("`{key}` can't hold on `{}`: {NO_BODY}", written.name.value);
        let problem = Problem::new(at, text);
        build.problems.push(problem.help("leave it out there, or write `validate: null` against an inherited one"));
        return None;
    }
    let message = match &check.message {
        Some(message) => Some(Text::compile(message, key == "require", build.problems)?),
        None => None,
    };
    let what = match check {
        validate::Check { require: Some(fields), .. } => fields_of(fields, message.as_ref(), build.problems)?,
        validate::Check { unless: Some(unless), .. } => {
            let compiled = Unless::compile(&unless.value, names, &[]);
            What::Unless(compiled.map_err(|why| Problem::new(unless.at, why).record(build.problems)).ok()?)
        }
        validate::Check { schema: Some(schema), .. } => {
            What::Schema(Box::new(schema::compile(schema, build.base_dir, build.problems)?))
        }
        _ => What::Object,
    };
    Some(Check { what, message: message.map(|message| message.with("").into()) })
}

fn fields_of(
    fields: &Placed<Vec<Placed<ClaimPath>>>,
    message: Option<&Text>,
    problems: &mut Vec<Problem>,
) -> Option<What> {
    if fields.value.is_empty() {
        Problem::new(fields.at, "`require` requires no field").record(problems);
        return None;
    }
    let told = |field: &ClaimPath| match message {
        Some(message) => message.with(&field.to_string()),
        None => format!("The field {field} is missing."),
    };
    Some(What::Fields(fields.value.iter().map(|field| (field.value.clone(), told(&field.value).into())).collect()))
}

/// A message, cut where `{{ field }}` stands in it.
struct Text(Vec<String>);

impl Text {
    fn compile(written: &Placed<String>, has_field: bool, problems: &mut Vec<Problem>) -> Option<Text> {
        let mut pieces = Vec::new();
        let mut left = written.value.as_str();
        while let Some((before, rest)) = left.split_once("{{") {
            pieces.push(before.to_owned());
            match rest.split_once("}}") {
                Some((name, rest)) if has_field && name.trim() == "field" => left = rest,
                _ => {
                    let text = match has_field {
                        true => "the only name here is `{{ field }}`",
                        false => "this message is a text without `{{ … }}`: only `require` has `{{ field }}`",
                    };
                    Problem::new(written.at, text).record(problems);
                    return None;
                }
            }
        }
        pieces.push(left.to_owned());
        Some(Text(pieces))
    }

    fn with(&self, field: &str) -> String {
        self.0.join(field)
    }
}

impl What {
    fn holds(&self, body: &mut Body<'_>, scope: &Arc<Scope>) -> Result<(), Why> {
        match self {
            What::Object => match body.read()? {
                Sent::Json(Value::Object(_)) => Ok(()),
                _ => Err(Why::Invalid(None)),
            },
            What::Fields(fields) => {
                let missing = match body.object()? {
                    Some(object) => fields.iter().find(|(path, _)| !is_there(path.get(object))),
                    None => fields.first(),
                };
                missing.map_or(Ok(()), |(_, told)| Err(Why::Invalid(Some(told.clone()))))
            }
            What::Unless(unless) => {
                if unless.reads("request") {
                    body.object()?;
                }
                match unless.holds(scope) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Why::Invalid(None)),
                    Err(failed) => {
                        log::info!("validate unless={}", failed.0);
                        Err(Why::Invalid(None))
                    }
                }
            }
            What::Schema(schema) => match body.read()? {
                Sent::Json(value) if schema.is_valid(value) => Ok(()),
                Sent::Json(_) | Sent::Nothing => Err(Why::Invalid(None)),
                Sent::Unreadable => Err(Why::Reason(Reason::JsonInvalid)),
            },
        }
    }
}

fn is_there(value: Option<&Value>) -> bool {
    !matches!(value, None | Some(Value::Null)) && value.and_then(Value::as_str) != Some("")
}

impl Body<'_> {
    fn read(&mut self) -> Result<&Sent, Why> {
        if self.sent.is_none() {
            self.sent = Some(Sent::read(self.headers, self.bytes).map_err(Why::Reason)?);
        }
        Ok(self.sent.as_ref().expect("it was read just now"))
    }

    /// The object whose fields are looked at; none, when nothing was sent. Of anything else an expression could say what it likes.
    fn object(&mut self) -> Result<Option<&serde_json::Map<String, Value>>, Why> {
        match self.read()? {
            Sent::Nothing => Ok(None),
            Sent::Json(Value::Object(object)) => Ok(Some(object)),
            Sent::Json(_) | Sent::Unreadable => Err(Why::Reason(Reason::JsonInvalid)),
        }
    }
}

#[cfg(test)]
mod tests;
