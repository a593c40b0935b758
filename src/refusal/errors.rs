//! How refusals look: `errors:` and `messages:` of a route, compiled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use hilum_filters::api::{At, Problem, RequestId, did_you_mean};
use http::StatusCode;
use minijinja::Value;

use super::{Page, Reason, Refusal};
use crate::config::route::Shared;
use crate::template::{Json, Names, PageNames, Pages, Scope};

/// What a template of `errors:` may name.
const PAGE_NAMES: &[&str] = &["user", "reason", "status", "message", "request_id"];

/// `errors:` and `messages:` of a route, compiled. A handle: the routes that inherit the same share them.
#[derive(Clone, Debug)]
pub struct Errors(Arc<Shapes>);

#[derive(Debug, Default)]
struct Shapes {
    shapes: Vec<(Key, Shape)>,
    messages: Vec<(Key, Arc<str>)>,
}

/// What has been compiled of one file. Ten thousand routes mostly have the shapes of the defaults: each is compiled once.
pub struct Catalog {
    /// The reasons that filters bring besides our own.
    filter_reasons: Vec<&'static str>,
    pages: Option<Arc<Pages>>,
    /// By where their entries stand in the file: an inherited one keeps its place.
    known: HashMap<Vec<At>, Errors>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    /// A reason or a class.
    Name(String),
    Status(u16),
    Else,
}

#[derive(Debug)]
struct Shape {
    status: Option<StatusCode>,
    body: ShapeBody,
}

#[derive(Debug)]
enum ShapeBody {
    Json(Json),
    Text(Bytes),
    Page(crate::template::Page),
    /// Only the status is changed.
    Default,
}

impl Catalog {
    pub fn new(filter_reasons: Vec<&'static str>, pages: Option<Arc<Pages>>) -> Self {
        Catalog { filter_reasons, pages, known: HashMap::new() }
    }

    /// Those of a route or a group. Every problem is pushed, once for all that inherit it.
    pub fn errors(&mut self, shared: &Shared, problems: &mut Vec<Problem>) -> Errors {
        let errors = shared.errors.0.iter().map(|(key, _)| key.at);
        let places = errors.chain(shared.messages.0.iter().map(|(key, _)| key.at)).collect();
        let compile = || Errors(Arc::new(Shapes::compile(shared, &self.filter_reasons, self.pages.as_ref(), problems)));
        self.known.entry(places).or_insert_with(compile).clone()
    }
}

impl Shapes {
    fn compile(
        shared: &Shared,
        filter_reasons: &[&'static str],
        pages: Option<&Arc<Pages>>,
        problems: &mut Vec<Problem>,
    ) -> Shapes {
        let mut errors = Shapes::default();
        for (key, shape) in &shared.errors.0 {
            let parsed = key_of(&key.value, true, filter_reasons);
            let Some(shape) = &shape.0 else { continue };
            let body = match (&shape.json, &shape.text, &shape.page) {
                (Some(json), None, None) => Json::compile(json, Names::ERRORS, problems).map(ShapeBody::Json),
                (None, Some(text), None) => Some(ShapeBody::Text(text.value.clone().into())),
                (None, None, Some(page)) => {
                    pages.and_then(|pages| pages.placed(page, PAGE_NAMES, problems)).map(ShapeBody::Page)
                }
                (None, None, None) if shape.status.is_some() => Some(ShapeBody::Default),
                (None, None, None) => {
                    problems.push(Problem::new(
                        key.at,
                        format!("`{}` says nothing: give it `json`, `text`, `page` or `status`", key.value),
                    ));
                    None
                }
                (json, text, page) => {
                    let second = page.as_ref().or(text.as_ref()).map_or(key.at, |second| second.at);
                    let words = [("page", page.is_some()), ("text", text.is_some()), ("json", json.is_some())];
                    let words: Vec<_> = words.iter().filter(|(_, is_there)| *is_there).map(|(word, _)| word).collect();
                    let text = format!("`{}` beside `{}`: an answer has one body", words[0], words[1]);
                    problems.push(Problem::new(second, text));
                    None
                }
            };
            let status = shape.status.as_ref().map(|s| s.value.0);
            match (parsed, body) {
                (Ok(key), Some(body)) => errors.shapes.push((key, Shape { status, body })),
                (Err(problem), _) => problems.push(problem(key.at)),
                _ => {}
            }
        }
        for (key, text) in &shared.messages.0 {
            match key_of(&key.value, false, filter_reasons) {
                Ok(parsed) => errors.messages.push((parsed, text.value.as_str().into())),
                Err(problem) => problems.push(problem(key.at)),
            }
        }
        errors
    }
}

impl Errors {
    /// How this refusal looks: by reason, then class, then status, then `else`, then RFC 9457.
    pub fn page(&self, refusal: &Refusal, claims: Option<&Value>, request_id: &RequestId) -> Page {
        let own = refusal.message.clone().or_else(|| find(&self.0.messages, refusal).cloned());
        let own = own.or_else(|| refusal.default_message.clone());
        let message: Arc<str> = own.unwrap_or_else(|| refusal.reason_message.into());
        let shape = find(&self.0.shapes, refusal);
        let status = shape.and_then(|s| s.status).unwrap_or(refusal.status);
        let body = match shape.map(|s| &s.body) {
            Some(ShapeBody::Text(text)) => {
                return Page { status, content_type: "text/plain; charset=utf-8", body: text.clone() };
            }
            Some(ShapeBody::Json(json)) => {
                let scope = Arc::new(Scope {
                    status: Some(status.as_u16()),
                    reason: Some(refusal.reason),
                    message: Some(message.clone()),
                    claims: claims.cloned(),
                    request_id: Some(*request_id),
                    ..Scope::default()
                });
                json.render(&scope).inspect_err(|e| log::warn!("an error shape can't be filled: {}", e.0)).ok()
            }
            Some(ShapeBody::Page(page)) => {
                let more = Value::from(BTreeMap::from([
                    ("reason", Value::from(refusal.reason)),
                    ("status", Value::from(status.as_u16())),
                    ("message", Value::from(message.clone())),
                    ("request_id", Value::from(request_id.as_str())),
                ]));
                let html = page.render(PageNames { user: claims.cloned(), more });
                html.inspect_err(|e| log::error!("an error page can't be made: {}", e.0)).ok()
            }
            _ => None,
        };
        let content_type = match shape.map(|s| &s.body) {
            Some(ShapeBody::Page(_)) => "text/html; charset=utf-8",
            _ => "application/json",
        };
        match body {
            Some(body) => Page { status, content_type, body: body.into() },
            None => problem_details(status, refusal.reason, &message, request_id),
        }
    }
}

/// The default body (RFC 9457).
fn problem_details(status: StatusCode, reason: &str, message: &str, request_id: &RequestId) -> Page {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": message,
        "reason": reason,
        "request_id": request_id.as_str(),
    });
    Page { status, content_type: "application/problem+json", body: body.to_string().into() }
}

fn find<'e, T>(entries: &'e [(Key, T)], refusal: &Refusal) -> Option<&'e T> {
    let by = |fits: &dyn Fn(&Key) -> bool| entries.iter().find(|(key, _)| fits(key)).map(|(_, value)| value);
    by(&|key| matches!(key, Key::Name(name) if name == refusal.reason))
        .or_else(|| by(&|key| matches!(key, Key::Name(name) if Some(name.as_str()) == refusal.class)))
        .or_else(|| by(&|key| matches!(key, Key::Status(status) if *status == refusal.status.as_u16())))
        .or_else(|| by(&|key| *key == Key::Else))
}

/// What an entry's name means; the error is a problem that waits for its place.
fn key_of(
    text: &str,
    statuses: bool,
    filter_reasons: &[&'static str],
) -> Result<Key, impl FnOnce(At) -> Problem + use<>> {
    let names: Vec<&str> =
        Reason::all().map(Reason::name).chain(["upstream"]).chain(filter_reasons.iter().copied()).collect();
    match text.parse::<u16>() {
        _ if text == "else" => return Ok(Key::Else),
        _ if names.contains(&text) => return Ok(Key::Name(text.to_owned())),
        Ok(status) if statuses && (400..600).contains(&status) => return Ok(Key::Status(status)),
        _ => {}
    }
    let what = if statuses {
        "expected a reason, `upstream`, a status from 400 to 599, or `else`"
    } else {
        "expected a reason, `upstream` or `else`"
    };
    let message = format!("{what}, found `{text}`");
    let near = did_you_mean(text, names.iter().copied()).map(|n| format!("did you mean `{n}`?"));
    Err(move |at| match near {
        Some(near) => Problem::new(at, message).help(near),
        None => Problem::new(at, message),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn check(yaml: &str, cases: &[(Reason, u16, &str)]) {
        let mut problems = Vec::new();
        let shared: Shared = yaml::parse(yaml).unwrap().read(&mut problems).unwrap();
        let errors = Catalog::new(vec!["ip_denied"], None).errors(&shared, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let id = RequestId::new("r1").unwrap();
        for (reason, status, body) in cases {
            let page = errors.page(&Refusal::from(*reason), None, &id);
            assert_eq!(
                (page.status.as_u16(), std::str::from_utf8(&page.body).unwrap()),
                (*status, *body),
                "{reason:?}"
            );
        }
    }

    #[test]
    fn the_most_specific_entry_wins() {
        check(
            r#"
            messages: { token_missing: Debe iniciar sesión, upstream: El servicio no responde }
            errors:
              token_missing: { json: { error: Sesión requerida, message: "{{ message }}" } }
              upstream: { status: 503, json: { m: "{{ message }}", s: "{{ status }}", r: "{{ reason }}" } }
              404: { text: no hay }
              else: { json: { id: "{{ request_id }}", c: "{{ status }}" } }
            "#,
            &[
                (Reason::TokenMissing, 401, r#"{"error":"Sesión requerida","message":"Debe iniciar sesión"}"#),
                (Reason::PeerTimeout, 503, r#"{"m":"El servicio no responde","s":503,"r":"peer_timeout"}"#),
                (Reason::NoRoute, 404, "no hay"),
                (Reason::ClaimMismatch, 403, r#"{"id":"r1","c":403}"#),
            ],
        );
    }

    #[test]
    fn the_default_is_problem_json() {
        check(
            "{}",
            &[(
                Reason::NoRoute,
                404,
                r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"Nothing is here.","reason":"no_route","request_id":"r1"}"#,
            )],
        );
    }

    #[test]
    fn a_name_that_is_no_reason_is_a_problem() {
        let cases = [
            ("errors: { token_mising: { text: x } }", "did you mean `token_missing`"),
            ("errors: { 200: { text: x } }", "expected a reason"),
            ("errors: { else: {} }", "says nothing"),
            ("errors: { else: { text: a, json: b } }", "one body"),
            ("messages: { 404: x }", "expected a reason, `upstream` or `else`"),
            ("errors: { else: { json: \"{{ body }}\" } }", "nothing is called `body`"),
        ];
        for (yaml, why) in cases {
            let mut problems = Vec::new();
            let shared: Shared = yaml::parse(yaml).unwrap().read(&mut problems).unwrap();
            Catalog::new(Vec::new(), None).errors(&shared, &mut problems);
            let told = problems
                .iter()
                .map(|p| format!("{} {}", p.message, p.help.clone().unwrap_or_default()))
                .collect::<String>();
            assert!(told.contains(why), "{yaml}: {told}");
        }
    }
}
