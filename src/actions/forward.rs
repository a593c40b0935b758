//! `forward`: the request goes on to a service.

use std::sync::Arc;

use bytes::Bytes;
use hilum_filters::api::{Entries, Placed, Problem};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use smallvec::SmallVec;

use super::{Build, sent};
use crate::config::action;
use crate::config::service::HashKey;
use crate::identity::claims::as_text;
use crate::refusal::Reason;
use crate::router::Head;
use crate::services::{Pool, hash_key};
use crate::template::{Filling, Json, Line, Missing, Names, Scope, Use};

/// Where a route's requests go, and what is changed on the way.
#[derive(Debug)]
pub struct Forward {
    pub pool: Arc<Pool>,
    /// What the pool's `hash` is made of.
    pub hash: Option<HashKey>,
    target: Option<Target>,
    pub method: Option<Method>,
    headers: Vec<(HeaderName, Line)>,
    /// What is sent in the place of the client's body.
    pub body: Option<Json>,
    pub passes: Passes,
}

/// What goes through that otherwise ends here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passes {
    /// The client's cookies but our own.
    pub cookies: bool,
    /// The client's `Authorization`.
    pub authorization: bool,
    /// The service's `X-Hilum-Reason`.
    pub reason: bool,
}

/// Path and query that a service is asked for.
#[derive(Debug)]
pub(super) struct Target {
    path: Line,
    query: Vec<(Box<str>, Line)>,
}

/// A forward with every template filled in.
#[derive(Debug, Default)]
pub struct Onward {
    /// Path and query to ask for; `None`: the client's own.
    pub target: Option<String>,
    pub headers: SmallVec<[(HeaderName, HeaderValue); 2]>,
    /// Requests with the same key go to the same peer.
    pub key: Option<u64>,
}

impl Target {
    pub(super) fn compile(
        path: &Placed<String>,
        query: &Entries<Placed<String>>,
        build: &mut Build<'_>,
    ) -> Option<Target> {
        if path.value.contains('?') {
            let problem = Problem::new(path.at, "a path has no query").help("write it under `query: { name: value }`");
            build.problems.push(problem);
        }
        let path = line(path, Use::Path, build);
        let query: Vec<_> = query.0.iter().map(|(name, text)| (name, line(text, Use::Query, build))).collect();
        let query = query.into_iter().map(|(name, line)| Some((encoded_name(&name.value), line?)));
        Some(Target { query: query.collect::<Option<_>>()?, path: path? })
    }

    pub(super) fn fill(&self, with: &Filling<'_>) -> Result<String, Missing> {
        let mut text = String::with_capacity(96);
        self.path.fill(with, &mut text)?;
        for (at, (name, line)) in self.query.iter().enumerate() {
            text.push(if at == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            line.fill(with, &mut text)?;
        }
        Ok(text)
    }
}

impl Forward {
    pub(super) fn compile(written: &action::Forward, build: &mut Build<'_>) -> Option<Forward> {
        let pool = build.pools.find(&written.service, "service", build.problems);
        let target = written.path.as_ref().map(|path| Target::compile(path, &written.query, build));
        if written.path.is_none()
            && let Some((name, _)) = written.query.0.first()
        {
            let problem = Problem::new(name.at, "`query` has no effect without `path`: the client's query goes on");
            build.problems.push(problem);
        }
        let mut headers = Vec::new();
        for (name, text) in &written.headers.0 {
            match name.value.parse::<HeaderName>() {
                Ok(header) if may_be_set(&header) && !build.own_headers.contains(&header) => {
                    headers.push((header, line(text, Use::Header, build)))
                }
                Ok(_) => {
                    build.problems.push(Problem::new(name.at, format!("`{}` is written by Hilum alone", name.value)))
                }
                Err(_) => build.problems.push(Problem::new(name.at, format!("`{}` is no header name", name.value))),
            }
        }
        let method = written.method.as_ref().and_then(|method| match method.value.parse::<crate::router::Methods>() {
            Ok(crate::router::Methods::These(these)) if these.len() == 1 => these.first().cloned(),
            _ => {
                build.problems.push(Problem::new(method.at, format!("expected one method, found `{}`", method.value)));
                None
            }
        });
        let target = target.map_or(Some(None), |target| target.map(Some))?;
        let headers = headers.into_iter().map(|(name, line)| Some((name, line?))).collect::<Option<_>>()?;
        let body = written.body.as_ref().map(|body| Json::compile(&body.value.json, names(build), build.problems));
        let body = body.map_or(Some(None), |body| body.map(Some))?;
        let passes = Passes {
            cookies: written.cookies.is_some(),
            authorization: written.authorization.is_some(),
            reason: written.reason.is_some(),
        };
        if let (Some(authorization), true) = (&written.authorization, build.has_claims) {
            let text =
                "`authorization: pass` has no effect here: the route has a token, and Hilum writes the caller's own";
            build.problems.push(Problem::new(authorization.at, text).help("write it on routes with `auth: public`"));
        }
        Some(Forward { pool: pool?, hash: None, target, method, headers, body, passes })
    }

    /// Fills the templates in.
    ///
    /// # Errors
    /// A value that a template needs and the request or the caller's token lacks.
    pub fn aim(&self, head: &Head<'_>, with: &Filling<'_>) -> Result<Onward, Missing> {
        let mut onward = Onward { key: self.key(head, with), ..Onward::default() };
        if let Some(target) = &self.target {
            onward.target = Some(target.fill(with)?);
        }
        for (name, line) in &self.headers {
            let mut text = String::new();
            line.fill(with, &mut text)?;
            onward.headers.push((name.clone(), HeaderValue::from_str(&text).map_err(|_| Missing::Value)?));
        }
        Ok(onward)
    }

    /// What is sent, given what the client sent.
    ///
    /// # Errors
    /// The template reads the client's body and that is no JSON object, or it can't be filled in.
    pub fn fill_body(&self, headers: &HeaderMap, sent: Bytes, scope: &Arc<Scope>) -> Result<Bytes, Reason> {
        let Some(body) = &self.body else { return Ok(sent) };
        if body.reads_request() {
            sent::object(headers, &sent)?;
        }
        body.render(scope).map(Bytes::from).map_err(|failed| {
            log::info!("forward.body: {}", failed.0);
            Reason::ValueMissing
        })
    }

    /// Without the value a request goes to any peer.
    fn key(&self, head: &Head<'_>, with: &Filling<'_>) -> Option<u64> {
        Some(match self.hash.as_ref()? {
            HashKey::Header(name) => hash_key(head.headers.get(&name.0)?.as_bytes()),
            HashKey::Cookie(name) => hash_key(cookie(head, name)?.as_bytes()),
            HashKey::Claim(path) => hash_key(as_text(path.get(with.claims?)?)?.as_bytes()),
        })
    }
}

fn cookie<'h>(head: &Head<'h>, name: &str) -> Option<&'h str> {
    let lines = head.headers.get_all(http::header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, v)| v)
}

/// Compiles one line of a route; what is wrong with it is a problem.
pub fn line(text: &Placed<String>, used_in: Use, build: &mut Build<'_>) -> Option<Line> {
    match Line::compile(&text.value, build.path, used_in) {
        Ok(line) => {
            if line.needs_claims() {
                let default = "the claim a default: `{claims.x:-none}`";
                let problem = match (build.has_claims, build.admits_nobody) {
                    (false, _) => {
                        Some(("a public route has no claims", format!("give the route a token, or {default}")))
                    }
                    (true, true) => Some(("who comes without a token has no claims", format!("give {default}"))),
                    (true, false) => None,
                };
                build.problems.extend(problem.map(|(why, help)| Problem::new(text.at, why).help(help)));
            }
            Some(line)
        }
        Err(why) => {
            build.problems.push(Problem::new(text.at, why));
            None
        }
    }
}

/// What an expression may read in `body`.
fn names(build: &Build<'_>) -> Names {
    let names = if build.has_body { Names::REQUEST } else { Names::REQUEST.without_body("a GET has no body") };
    if build.has_claims { names } else { names.without_claims("the route is public") }
}

/// Framing and routing are Hilum's, and so is what services trust.
fn may_be_set(name: &HeaderName) -> bool {
    !super::is_framing(name)
        && ![http::header::AUTHORIZATION, http::header::COOKIE].contains(name)
        && !name.as_str().starts_with("x-forwarded-")
}

fn encoded_name(name: &str) -> Box<str> {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%5F", "_")
        .replace("%2D", "-")
        .into()
}
