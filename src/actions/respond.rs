//! `respond`: a fixed answer, and if need be a record of what it answers to.

use std::sync::Arc;

use hilum_filters::api::{At, Problem};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::record::Record;
use super::{Answer, Build, Content};
use crate::config::action;
use crate::config::shapes::Status;
use crate::refusal::Reason;
use crate::template::{Json, Names, Scope};

/// A fixed answer, its JSON filled from the request.
#[derive(Debug)]
pub struct Respond {
    status: StatusCode,
    headers: HeaderMap,
    body: Option<Body>,
    pub record: Option<Record>,
}

#[derive(Debug)]
enum Body {
    Json(Json),
    Text(bytes::Bytes),
}

impl Respond {
    pub(super) fn compile(written: &action::Respond, at: At, build: &mut Build<'_>) -> Option<Respond> {
        // What is recorded is read, so that the answer may say it as well.
        let build = &mut Build { reads_body: build.reads_body || written.record.is_some(), ..build.again() };
        let record = match &written.record {
            Some(record) => Some(Record::compile(record, names(build), build)?),
            None => None,
        };
        let status = written.status.as_ref().map_or(StatusCode::OK, |s| s.value.0);
        let body = match (&written.json, &written.text) {
            (Some(_), Some(text)) => {
                build.problems.push(Problem::new(text.at, "`text` beside `json`: an answer has one body"));
                return None;
            }
            (Some(json), None) => Some(Body::Json(Json::compile(json, names(build), build.problems)?)),
            (None, Some(text)) => Some(Body::Text(text.value.clone().into())),
            (None, None) => None,
        };
        if body.is_some() && Status(status).is_bodiless() {
            let at = written.status.as_ref().map_or(at, |status| status.at);
            build.problems.push(Problem::new(at, format!("an answer with status {} has no body", status.as_u16())));
        }
        let mut headers = HeaderMap::new();
        match &body {
            Some(Body::Json(_)) => {
                drop(headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
            }
            Some(Body::Text(_)) => {
                drop(headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
            }
            None => {}
        }
        for (name, value) in &written.headers.0 {
            match (name.value.parse::<HeaderName>(), HeaderValue::from_str(&value.value)) {
                (Ok(ours), _) if is_ours(&ours) => {
                    build.problems.push(Problem::new(name.at, format!("`{}` is written by Hilum alone", name.value)));
                }
                (Ok(header), _) if header == header::CACHE_CONTROL && build.has_claims => {
                    let problem = Problem::new(name.at, "where a token is needed, this is not what the answer says");
                    build.problems.push(problem.help("write it as the route's `cache_control`"));
                }
                (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
                (Err(_), _) => {
                    build.problems.push(Problem::new(name.at, format!("`{}` is no header name", name.value)))
                }
                (_, Err(_)) => build.problems.push(Problem::new(value.at, "a header's value is visible ASCII")),
            }
        }
        Some(Respond { status, headers, body, record })
    }

    /// # Errors
    /// An expression that can't be evaluated for this request.
    pub fn answer(&self, scope: &Arc<Scope>) -> Result<Answer, Reason> {
        let content = match &self.body {
            None => Content::None,
            Some(Body::Text(text)) => Content::Bytes(text.clone()),
            Some(Body::Json(json)) => match json.render(scope) {
                Ok(body) => Content::Bytes(body.into()),
                Err(failed) => {
                    log::warn!("respond: {}", failed.0);
                    return Err(Reason::ValueMissing);
                }
            },
        };
        Ok(Answer { status: self.status, headers: self.headers.clone(), content })
    }
}

/// What an expression may read here.
fn names(build: &Build<'_>) -> Names {
    let names = match (build.has_body, build.reads_body) {
        (true, true) => Names::REQUEST,
        (false, _) => Names::REQUEST.without_body("a GET has no body"),
        (true, false) => Names::REQUEST
            .without_body("`respond` reads it only where `validate` says what it must be, or for a `record`"),
    };
    if build.has_claims { names } else { names.without_claims("the route is public") }
}

fn is_ours(name: &HeaderName) -> bool {
    super::is_framing(name) || ["x-hilum-reason", "x-request-id"].contains(&name.as_str())
}
