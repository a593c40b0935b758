//! `ask`: a service says whether the caller may. What it is asked, how its answer is read, and how long that holds. Pure: the engine
//! puts the question, and judges again with the answer.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hilum_filters::api::Problem;
use http::StatusCode;
use minijinja::Value;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::actions::Build;
use crate::actions::forward::line;
use crate::config::ask;
use crate::services::Pool;
use crate::template::{Body, Filling, Line, Missing, Use};

/// One `ask` of a route.
#[derive(Debug)]
pub struct Ask {
    pub pool: Arc<Pool>,
    path: Line,
    yes: Yes,
    kept: Option<Kept>,
}

/// What is a yes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Yes {
    /// A success with JSON, which `unless` reads. Only 404 is a no.
    Json,
    /// Any success. 403 and 404 are a no.
    Success,
    /// This status. 403 and 404 are a no.
    Status(StatusCode),
}

/// What a service said.
#[derive(Clone, Debug)]
pub enum Said {
    Yes(Value),
    No,
    /// Nothing that can be relied on: neither a yes nor a no, and never kept.
    Failed,
}

/// What the engine must ask before it can be decided.
#[derive(Debug)]
pub struct Question {
    pub ask: Arc<Ask>,
    /// The path, filled in.
    pub target: String,
}

/// What was said in this request so far.
#[derive(Debug, Default)]
pub struct Answers(Vec<(Arc<Ask>, Said)>);

impl Answers {
    pub fn note(&mut self, ask: Arc<Ask>, said: Said) {
        self.0.push((ask, said));
    }
}

/// Why there is no answer yet.
pub(super) enum Unsaid {
    Ask(Question),
    /// The question can't be put.
    Missing(Missing),
}

/// The caller's token, if there is one, and the path: nobody else gets this answer, and nobody whose token is over comes this far.
pub type Key = (Option<Arc<str>>, String);

impl Ask {
    /// Compiles `ask: { service, path, keep }`; every problem is pushed.
    pub(super) fn compile(written: &ask::Ask, yes: Yes, build: &mut Build<'_>) -> Option<Arc<Ask>> {
        let pool = build.pools.find(&written.service, "service", build.problems);
        if written.path.value.contains('?') {
            build.problems.push(Problem::new(written.path.at, "an `ask` has no query: what it asks for is its path"));
        }
        let path = line(&written.path, Use::Path, build);
        let yes = match (yes, &written.is) {
            (yes, None) => Some(yes),
            (Yes::Json, Some(is)) => {
                let problem = Problem::new(is.at, "`is` has no effect in `require`: a yes is a success with JSON");
                build.problems.push(problem.help("say with `unless` what the JSON must be"));
                None
            }
            (_, Some(is)) if !is.value.0.is_success() => {
                let text = format!("a yes is a status from 200 to 299, found {}", is.value.0.as_u16());
                build.problems.push(Problem::new(is.at, text));
                None
            }
            (_, Some(is)) => Some(Yes::Status(is.value.0)),
        };
        let kept = written.keep.and_then(|keep| keep.0).map(|keep| Kept::new(keep.get()));
        Some(Arc::new(Ask { pool: pool?, path: path?, yes: yes?, kept }))
    }

    /// What was said, or what must be asked first.
    pub(super) fn said<'a>(self: &Arc<Self>, answers: &'a Answers, with: &Filling<'_>) -> Result<&'a Said, Unsaid> {
        if let Some((_, said)) = answers.0.iter().find(|(ask, _)| Arc::ptr_eq(ask, self)) {
            return Ok(said);
        }
        let mut target = String::with_capacity(96);
        self.path.fill(with, &mut target).map_err(Unsaid::Missing)?;
        Err(Unsaid::Ask(Question { ask: self.clone(), target }))
    }

    /// What an answer of the service means.
    pub fn read(&self, status: StatusCode, body: &Arc<Body>) -> Said {
        let yes = match self.yes {
            Yes::Json if status.is_success() => body.value().cloned(),
            Yes::Json => None,
            Yes::Success => status.is_success().then(|| Value::from(true)),
            Yes::Status(wanted) => (status == wanted).then(|| Value::from(true)),
        };
        let is_no =
            status == StatusCode::NOT_FOUND || (status == StatusCode::FORBIDDEN && !matches!(self.yes, Yes::Json));
        match yes {
            Some(value) => Said::Yes(value),
            None if is_no => Said::No,
            None => Said::Failed,
        }
    }

    /// What was said to the same question before and still holds.
    pub fn recall(&self, key: &Key, now: Instant) -> Option<Said> {
        let answers = &self.kept.as_ref()?.answers;
        let answer = answers.get(key)?;
        if now < answer.until {
            return Some(answer.said);
        }
        answers.remove(key);
        None
    }

    /// Keeps a yes or a no, if answers are kept; `asked` is when the question was put.
    pub fn keep(&self, key: Key, said: &Said, size: usize, asked: Instant) {
        let Some(kept) = &self.kept else { return };
        if !matches!(said, Said::Failed) {
            let weight = (key.0.as_ref().map_or(0, |token| token.len()) + key.1.len() + size + OVERHEAD) as u64;
            kept.answers.insert(key, Answer { said: said.clone(), until: asked + kept.time, weight });
        }
    }
}

/// Answers that are kept: a yes or a no, for a while. It lives and ends with its table.
struct Kept {
    time: Duration,
    answers: Cache<Key, Answer, ByWeight>,
}

#[derive(Clone)]
struct Answer {
    said: Said,
    until: Instant,
    weight: u64,
}

/// Bytes of the answers that one `ask` keeps; what a map of JSON takes in memory is a few times that.
const KEPT: u64 = 4 * 1024 * 1024;
/// About what an entry takes besides its texts.
const OVERHEAD: usize = 128;

#[derive(Clone)]
struct ByWeight;

impl Weighter<Key, Answer> for ByWeight {
    fn weight(&self, _: &Key, answer: &Answer) -> u64 {
        answer.weight
    }
}

impl Kept {
    fn new(time: Duration) -> Kept {
        Kept { time, answers: Cache::with_weighter(1024, KEPT, ByWeight) }
    }
}

/// Shows no token.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("time", &self.time).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod testkit {
    use super::*;
    use crate::services::testkit::deserted;

    /// An ask of a service that is never called.
    pub(in crate::table) fn ask(path: &str, yes: Yes, keep: Option<Duration>) -> Arc<Ask> {
        let path = Line::compile(path, &"/p/{id}".parse().unwrap(), Use::Path).unwrap();
        let pool = deserted("s");
        Arc::new(Ask { pool, path, yes, kept: keep.map(Kept::new) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yes: Yes, status: u16, body: &'static str, expect: &str) {
        let said = testkit::ask("/a", yes, None).read(StatusCode::from_u16(status).unwrap(), &Body::new(body.into()));
        let said = match said {
            Said::Yes(value) => format!("yes {}", serde_json::to_string(&value).unwrap()),
            Said::No => "no".to_owned(),
            Said::Failed => "failed".to_owned(),
        };
        assert_eq!(said, expect, "{yes:?} {status} {body}");
    }

    #[test]
    fn an_answer_is_a_yes_a_no_or_neither() {
        for (status, body, expect) in [
            (200, "[1]", "yes [1]"),
            (203, "true", "yes true"),
            (200, "", "failed"),
            (200, "<html>", "failed"),
            (200, "{\"a\":1", "failed"),
            (204, "", "failed"),
            (404, "{}", "no"),
            (403, "{}", "failed"),
            (401, "{}", "failed"),
            (302, "{}", "failed"),
            (429, "{}", "failed"),
            (500, "{}", "failed"),
        ] {
            check(Yes::Json, status, body, expect);
        }
        let exactly = Yes::Status(StatusCode::OK);
        for (status, any, exact) in [
            (200, "yes true", "yes true"),
            (204, "yes true", "failed"),
            (404, "no", "no"),
            (403, "no", "no"),
            (401, "failed", "failed"),
            (302, "failed", "failed"),
            (400, "failed", "failed"),
            (500, "failed", "failed"),
        ] {
            check(Yes::Success, status, "no JSON", any);
            check(exactly, status, "no JSON", exact);
        }
    }

    #[test]
    fn a_yes_and_a_no_are_kept_for_the_same_caller_and_path_and_a_failure_never() {
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        let key = |token: &str, path: &str| (Some(Arc::from(token)), path.to_owned());
        let ask = testkit::ask("/a", Yes::Json, Some(Duration::from_secs(1)));
        ask.keep(key("t", "/yes"), &Said::Yes(Value::from(1)), 1, now);
        ask.keep(key("t", "/no"), &Said::No, 0, now);
        ask.keep(key("t", "/failed"), &Said::Failed, 0, now);
        ask.keep(key("t", "/huge"), &Said::Yes(Value::from(1)), KEPT as usize, now);
        assert!(matches!(ask.recall(&key("t", "/yes"), later(999)), Some(Said::Yes(_))));
        assert!(matches!(ask.recall(&key("t", "/no"), later(999)), Some(Said::No)));
        for (key, at) in [
            (key("t", "/yes"), later(1000)),
            (key("u", "/yes"), now),
            ((None, "/yes".to_owned()), now),
            (key("t", "/other"), now),
            (key("t", "/failed"), now),
            (key("t", "/huge"), now),
        ] {
            assert!(ask.recall(&key, at).is_none(), "{key:?}");
        }
        assert!(!format!("{ask:?}").contains("/yes"));
        let without = testkit::ask("/a", Yes::Json, None);
        without.keep(key("t", "/yes"), &Said::No, 0, now);
        assert!(without.recall(&key("t", "/yes"), now).is_none());
    }
}
