//! `combine`: several services are asked side by side, and one answer is made of what they say. Pure: the engine asks.
//!
//! A part that fails is never shown as zero or as nothing: without an `otherwise` it fails the whole answer, and with one its name is in
//! `missing`.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hilum_filters::api::{Node, Placed, Problem};
use http::{Method, StatusCode};
use minijinja::Value;

use super::forward::Target;
use super::{Answer, Build};
use crate::config::combine::{self, PartMethod};
use crate::refusal::Reason;
use crate::services::Pool;
use crate::template::{Body, Filling, Json, Missing, Names, Scope, Unless};

/// What is asked, and what the answer is made of.
#[derive(Debug)]
pub struct Combine {
    pub parts: Box<[Part]>,
    /// For all the calls together.
    pub time: Duration,
    status: StatusCode,
    json: Json,
}

/// One call.
#[derive(Debug)]
pub struct Part {
    pub name: Arc<str>,
    pub pool: Arc<Pool>,
    pub method: Method,
    target: Target,
    /// `json` looks into it. What is only passed on must be JSON, and is not parsed for that.
    is_parsed: bool,
    /// What stands in its place when it fails. `None`: the whole answer fails.
    otherwise: Option<Arc<Body>>,
}

/// What became of one call.
#[derive(Debug)]
pub struct Heard {
    /// What the service answered with, if it answered.
    pub status: Option<StatusCode>,
    /// What was read from it, or why nothing can be.
    pub body: Result<Arc<Body>, Reason>,
    /// Who was asked, and how often.
    pub called: Option<(SocketAddr, u32)>,
}

impl Heard {
    /// Nobody was asked.
    pub fn failed(reason: Reason) -> Heard {
        Heard { status: None, body: Err(reason), called: None }
    }
}

const TIME: Duration = Duration::from_secs(5);

impl Combine {
    pub(super) fn compile(written: &combine::Combine, build: &mut Build<'_>) -> Option<Combine> {
        let written_parts = &written.parts.value.0;
        if written_parts.is_empty() {
            let problem = Problem::new(written.parts.at, "`combine` asks nobody");
            build.problems.push(problem.help("give it `parts: { name: { service, path } }`"));
        }
        let names: Vec<Arc<str>> = written_parts.iter().filter_map(|(name, _)| part_name(name, build)).collect();
        let known = Names::COMBINE.without_body("`combine` does not read it");
        let known = if build.has_claims { known } else { known.without_claims("the route is public") };
        // A name that is none was told; its readers would only say it again.
        let json = (names.len() == written_parts.len())
            .then(|| Json::compile_with(&written.json, known, &names, build.problems))
            .flatten();
        if let Some(json) = &json {
            effects(json, written, build.problems);
        }
        let parts: Vec<Option<Part>> = written_parts
            .iter()
            .map(|(name, part)| part.0.as_ref().and_then(|part| Part::compile(name, part, json.as_ref(), build)))
            .collect();
        Some(Combine {
            parts: parts.into_iter().collect::<Option<_>>()?,
            time: written.time.and_then(|time| time.0).map_or(TIME, |time| time.value.get()),
            status: written.status.as_ref().map_or(StatusCode::OK, |status| status.value.0),
            json: json?,
        })
    }

    /// Path and query of each part.
    ///
    /// # Errors
    /// A value that a part needs and the request or the caller's token lacks, `otherwise` or not: that is the client's doing.
    pub fn aim(&self, with: &Filling<'_>) -> Result<Box<[String]>, Missing> {
        self.parts.iter().map(|part| part.target.fill(with)).collect()
    }

    /// Whether a call is there for what it changes.
    pub fn changes(&self) -> bool {
        self.parts.iter().any(|part| !part.method.is_safe())
    }

    /// The answer, of what was heard of each part in order.
    ///
    /// # Errors
    /// The reason of a part that failed and has no `otherwise`, or a template that can't be filled: never half an answer.
    pub fn answer(&self, heard: &[Heard], scope: Scope) -> Result<Answer, Reason> {
        let mut scope = scope;
        let mut missing = Vec::new();
        for (part, heard) in self.parts.iter().zip(heard) {
            let body = match (&heard.body, &part.otherwise) {
                (Ok(body), _) => body.clone(),
                (Err(_), Some(otherwise)) => {
                    missing.push(Value::from(part.name.clone()));
                    otherwise.clone()
                }
                (Err(reason), None) => return Err(*reason),
            };
            scope.parts.push((part.name.clone(), body));
        }
        let status: BTreeMap<&str, Value> = self
            .parts
            .iter()
            .zip(heard)
            .map(|(part, heard)| (&*part.name, heard.status.map_or(Value::from(()), |status| status.as_u16().into())))
            .collect();
        scope.answers.push(("status".into(), Value::from(status)));
        scope.answers.push(("missing".into(), Value::from(missing)));
        let json = self.json.render(&Arc::new(scope)).map_err(|failed| {
            log::warn!("combine: {}", failed.0);
            Reason::PartFailed
        })?;
        Ok(Answer::json(self.status, json))
    }
}

impl Part {
    fn compile(
        name: &Placed<String>,
        written: &combine::Part,
        json: Option<&Json>,
        build: &mut Build<'_>,
    ) -> Option<Part> {
        let pool = build.pools.find(&written.service, "service", build.problems);
        let target = Target::compile(&written.path, &written.query, build);
        let otherwise = written.otherwise.as_ref().map(|node| constant(node, build.problems));
        Some(Part {
            name: name.value.as_str().into(),
            pool: pool?,
            method: match written.method {
                Some(PartMethod::Post) => Method::POST,
                Some(PartMethod::Get) | None => Method::GET,
            },
            target: target?,
            is_parsed: json?.reads().iter().any(|path| first(path) == name.value),
            otherwise: otherwise.map_or(Some(None), |body| body.map(Some))?,
        })
    }

    pub fn is_required(&self) -> bool {
        self.otherwise.is_none()
    }

    /// What an answer of the service says.
    ///
    /// # Errors
    /// It is no success, or no JSON.
    pub fn read(&self, status: StatusCode, body: Arc<Body>) -> Result<Arc<Body>, Reason> {
        let is_json = if self.is_parsed { body.value().is_some() } else { body.is_json() };
        if status.is_success() && is_json { Ok(body) } else { Err(Reason::PartFailed) }
    }
}

/// A name that `json` can have for a part.
fn part_name(written: &Placed<String>, build: &mut Build<'_>) -> Option<Arc<str>> {
    let name = written.value.as_str();
    let why = if Names::COMBINE.knows(name) || Names::REPLY.knows(name) {
        "is the name of something else"
    } else if !Unless::is_name(name) {
        "is no name: write a word of letters, digits and `_`"
    } else {
        return Some(name.into());
    };
    let problem = Problem::new(written.at, format!("`{name}` {why}"));
    build.problems.push(problem.help("call a part after what is asked for, as `doctors: { service, path }`"));
    None
}

/// JSON that is the same for every request.
fn constant(node: &Node, problems: &mut Vec<Problem>) -> Option<Arc<Body>> {
    let json = Json::compile(node, Names::CONSTANT, problems)?;
    let rendered = json.render(&Arc::default());
    let rendered = rendered.map_err(|failed| problems.push(Problem::new(node.at, node.redact(failed.0)))).ok()?;
    Some(Body::new(rendered.into()))
}

/// A part that nobody reads, and a status that is of no part.
fn effects(json: &Json, written: &combine::Combine, problems: &mut Vec<Problem>) {
    let reads = json.reads();
    let parts = || written.parts.value.0.iter().map(|(name, _)| name);
    let mut statuses: Vec<&str> = reads.iter().filter_map(|path| path.strip_prefix("status.")).map(first).collect();
    statuses.sort_unstable();
    for status in statuses.iter().filter(|status| !parts().any(|part| part.value == **status)) {
        problems.push(Problem::new(written.json.at, format!("`status.{status}`: no part is called `{status}`")));
    }
    for part in parts().filter(|part| !json.passes_on(&part.value) && !is_read(&part.value, &reads)) {
        let problem =
            Problem::new(part.at, format!("the part `{}` has no effect: `json` does not read it", part.value));
        problems.push(problem.help("read it, or leave it out; what must only hold stands in `require`"));
    }
}

fn is_read(part: &str, reads: &HashSet<String>) -> bool {
    reads.iter().any(|path| {
        first(path) == part || path == "status" || path.strip_prefix("status.").is_some_and(|path| first(path) == part)
    })
}

/// The name that a path begins with.
fn first(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::Named;
    use crate::config::yaml;
    use crate::services::testkit::deserted;

    /// On a route that has a token, with the one service `s`.
    fn compile(text: &str) -> Result<Combine, String> {
        let pool = deserted("s");
        let mut problems = Vec::new();
        let written: Option<combine::Combine> = yaml::parse(text).unwrap().read(&mut problems);
        let combine = written.and_then(|written| {
            let mut build = Build {
                problems: &mut problems,
                pools: &Named::new([("s".to_owned(), Some(pool))]),
                tokens: &Named::new([]),
                path: &"/p/{id}".parse().unwrap(),
                own_headers: &[],
                has_claims: true,
                admits_nobody: false,
                has_body: false,
                reads_body: false,
                records: &crate::records::Records::default(),
                pages: None,
                base_dir: std::path::Path::new("."),
            };
            Combine::compile(&written, &mut build)
        });
        let told: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
        combine.filter(|_| told.is_empty()).ok_or_else(|| told.join("; "))
    }

    /// What was heard of each part, `STATUS BODY` or the name of a reason, and the answer.
    #[track_caller]
    fn check(combine: &Combine, heard: &[&str], expect: Result<&str, Reason>) {
        let heard: Vec<Heard> = combine
            .parts
            .iter()
            .zip(heard)
            .map(|(part, heard)| match heard.split_once(' ') {
                None => Heard::failed(Reason::all().find(|reason| reason.name() == *heard).expect("a reason")),
                Some((status, body)) => {
                    let status: StatusCode = status.parse().unwrap();
                    let body = part.read(status, Body::new(body.to_owned().into()));
                    Heard { status: Some(status), body, called: None }
                }
            })
            .collect();
        let answer = combine.answer(&heard, Scope::default());
        let answer = answer.map(|answer| String::from_utf8(answer.body().to_vec()).unwrap());
        assert_eq!(answer, expect.map(str::to_owned), "{heard:?}");
    }

    #[test]
    fn what_failed_is_named_in_the_order_of_the_file_and_never_taken_for_an_answer() {
        let combine = compile(
            r#"
            parts:
              b: { service: s, path: /b, otherwise: { n: 0 } }
              a: { service: s, path: /a }
              c: { service: s, path: /c, otherwise: null }
            json: { b: "{{ b.n }}", a: "{{ a.n }}", c: "{{ c }}", missing: "{{ missing }}", status: "{{ status.b }} {{ status.c }}" }
            "#,
        )
        .unwrap();
        assert_eq!((combine.time, combine.changes()), (TIME, false));
        for (heard, expect) in [
            (
                [r#"200 {"n":1}"#, r#"201 {"n":2}"#, "299 [1.10]"],
                Ok(r#"{"b":1,"a":2,"c":[1.10],"missing":[],"status":"200 299"}"#),
            ),
            (
                [r#"404 {"n":1}"#, r#"200 {"n":2}"#, "peer_timeout"],
                Ok(r#"{"b":0,"a":2,"c":null,"missing":["b","c"],"status":"404 "}"#),
            ),
            (["200 null", "200 {}", "200 x"], Ok(r#"{"b":null,"a":null,"c":null,"missing":["c"],"status":"200 200"}"#)),
            // `c` is only passed on, and `b` is read: what is no number to us is none.
            (
                ["200 1E400", "200 {}", "200 1E400"],
                Ok(r#"{"b":0,"a":null,"c":1E400,"missing":["b"],"status":"200 200"}"#),
            ),
            ([r#"200 {"n":1}"#, "peer_reset", "200 1"], Err(Reason::PeerReset)),
            ([r#"200 {"n":1}"#, r#"500 {"n":2}"#, "200 1"], Err(Reason::PartFailed)),
            ([r#"200 {"n":1}"#, "204 ", "200 1"], Err(Reason::PartFailed)),
        ] {
            check(&combine, &heard, expect);
        }
    }

    #[test]
    fn a_template_that_can_not_be_filled_fails_the_answer() {
        let combine = compile(r#"{ parts: { a: { service: s, path: / } }, json: "{{ a.b.c }}" }"#).unwrap();
        check(&combine, &["200 {}"], Err(Reason::PartFailed));
        check(&combine, &[r#"200 {"b":{}}"#], Ok("null"));
    }

    #[test]
    fn what_can_have_no_effect_or_no_meaning_is_a_problem() {
        let part =
            |name: &str| format!("{{ parts: {{ {name}: {{ service: s, path: / }} }}, json: \"{{{{ {name} }}}}\" }}");
        for name in ["missing", "status", "claims", "body", "request", "now", "range"] {
            assert_eq!(compile(&part(name)).unwrap_err(), format!("`{name}` is the name of something else"));
        }
        for name in ["not", "loop", "a-b", "_a", "1a", "ñ"] {
            let why = compile(&part(name)).unwrap_err();
            assert_eq!(why, format!("`{name}` is no name: write a word of letters, digits and `_`"));
        }
        let with = |json: &str| compile(&format!("{{ parts: {{ a: {{ service: s, path: / }} }}, json: {json} }}"));
        for (json, expect) in [
            (r#""{{ a }}""#, ""),
            (r#"[["x {{ a }} y"]]"#, ""),
            (r#""{{ a[0] if params.id == claims.id else now }}""#, ""),
            (r#""{{ status.a }}""#, ""),
            (r#""{{ status['a'] }}""#, ""),
            (r#""{{ missing }}""#, "the part `a` has no effect: `json` does not read it"),
            (r#""{{ a.status.b }}""#, ""),
            (r#""{{ a }}{{ status.b }}""#, "`status.b`: no part is called `b`"),
            (
                r#""{{ a }}{{ b }}""#,
                "nothing is called `b` here; known are a, missing, status, request, params, query, claims, now",
            ),
            (r#""{{ a }}{{ request.body }}""#, "there is no `request.body` here: `combine` does not read it"),
        ] {
            assert_eq!(with(json).err().unwrap_or_default(), expect, "{json}");
        }
        let otherwise = |value: &str| {
            compile(&format!(
                "{{ parts: {{ a: {{ service: s, path: /, otherwise: {value} }} }}, json: \"{{{{ a }}}}\" }}"
            ))
        };
        for (value, expect) in [
            (r#"{ a: [1, null, "x"] }"#, ""),
            (r#""{{ [1] * 2 }}""#, ""),
            (r#""{{ now }}""#, "nothing is called `now` here: this is the same for every request"),
            (r#""{{ 1 / 0 }}""#, "`1 / 0`: invalid operation"),
        ] {
            assert_eq!(otherwise(value).err().unwrap_or_default(), expect, "{value}");
        }
        assert_eq!(compile("{ parts: {}, json: 1 }").unwrap_err(), "`combine` asks nobody");
    }
}
