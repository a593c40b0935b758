//! `reply`: how answers look, by their status. Pure: an answer in, an answer out.

use std::sync::Arc;

use hilum_filters::api::{Entries, Placed, Problem, Try};
use http::{HeaderValue, StatusCode, header};

use super::{Answer, Content};
use crate::config::shapes::{ReplyShape, Status};
use crate::refusal::Reason;
use crate::template::{Body, Json, Names, Scope};

/// The shapes of a route, by status.
#[derive(Debug, Default)]
pub struct Reply {
    by_status: Vec<(u16, Shape)>,
    otherwise: Option<Shape>,
}

#[derive(Debug)]
struct Shape {
    status: Option<StatusCode>,
    json: Json,
}

impl Reply {
    /// Compiles, given the names that mean something on this route.
    pub fn compile(written: &Placed<Entries<Try<ReplyShape>>>, names: Names, problems: &mut Vec<Problem>) -> Reply {
        let mut reply = Reply::default();
        if written.value.0.is_empty() {
            let problem = Problem::new(written.at, "`reply` shapes nothing");
            problems.push(problem.help("write what an answer looks like, or `reply: null` against an inherited one"));
        }
        for (key, shape) in &written.value.0 {
            let Some(shape) = &shape.0 else { continue };
            let json = Json::compile(&shape.json, names, problems);
            let status = shape.status.as_ref().map(|s| s.value.0);
            let shape = json.map(|json| Shape { status, json });
            match (key.value.as_str(), key.value.parse::<u16>()) {
                ("else", _) => reply.otherwise = shape,
                (_, Ok(number)) if (200..600).contains(&number) => {
                    let has_no_body = StatusCode::from_u16(number).is_ok_and(|status| Status(status).is_bodiless());
                    if has_no_body && status.is_none() {
                        let text = format!("an answer with status {number} has no body, and here there is one");
                        problems.push(Problem::new(key.at, text).help("give it another `status` as well"));
                    }
                    reply.by_status.extend(shape.map(|shape| (number, shape)));
                }
                _ => {
                    let text = format!("expected a status from 200 to 599 or `else`, found `{}`", key.value);
                    problems.push(Problem::new(key.at, text));
                }
            }
        }
        reply
    }

    /// Shapes an answer. A status that is not listed passes unchanged, if there is no `else`.
    ///
    /// # Errors
    /// A success that is not one of those listed, or whose body should be JSON and is not, or a template that can't be filled: never
    /// half an answer, and never the text of a failure under the status of a success.
    pub fn shape(&self, mut answer: Answer, scope: Scope) -> Result<Answer, Reason> {
        let status = answer.status.as_u16();
        let by_status = self.by_status.iter().find(|(s, _)| *s == status).map(|(_, shape)| shape);
        // What has no body gets none by a shape that was meant for something else.
        let otherwise = self.otherwise.as_ref().filter(|s| s.status.is_some() || !Status(answer.status).is_bodiless());
        let Some(shape) = by_status.or(otherwise) else { return Ok(answer) };
        if by_status.is_none() && answer.status.is_success() && self.by_status.iter().any(|(s, _)| is_success(*s)) {
            log::warn!("reply: status {status} is a success that is not listed");
            return Err(Reason::PeerGarbage);
        }
        let body = Body::new(answer.body());
        // A failure may come as a page of some proxy in between: its body is `none`. A success must be what it says.
        if answer.status.is_success() && shape.json.reads_body() && !body.is_json() {
            return Err(Reason::PeerGarbage);
        }
        let scope = Arc::new(Scope { status: Some(status), body: Some(body), ..scope });
        let json = shape.json.render(&scope).map_err(|failed| {
            log::warn!("reply: {}", failed.0);
            Reason::PartFailed
        })?;
        answer.status = shape.status.unwrap_or(answer.status);
        answer.headers.remove(header::CONTENT_ENCODING);
        answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.content = Content::Bytes(json.into());
        Ok(answer)
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn check(yaml: &str, status: u16, body: &'static str, expected: Result<(u16, &str), Reason>) {
        let mut problems = Vec::new();
        let written = yaml::parse(yaml).unwrap().read(&mut problems).unwrap();
        let reply = Reply::compile(&written, Names::REPLY, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let got = reply.shape(Answer::json(StatusCode::from_u16(status).unwrap(), body), Scope::default());
        let got = got.map(|a| (a.status.as_u16(), String::from_utf8(a.body().to_vec()).unwrap()));
        assert_eq!(got, expected.map(|(status, body)| (status, body.to_owned())), "{status} {body}");
    }

    const YAML: &str = r#"
        200: { json: { status: success, data: "{{ body }}" } }
        204: { status: 200, json: { status: success } }
        404: { json: { status: error, message: "{{ body.detail or 'no está' }}", code: "{{ status }}" } }
        500: { json: { n: "{{ body.a.b }}" } }
    "#;

    #[test]
    fn the_status_chooses_the_shape() {
        check(YAML, 200, r#"{"a":1}"#, Ok((200, r#"{"status":"success","data":{"a":1}}"#)));
        check(YAML, 204, "", Ok((200, r#"{"status":"success"}"#)));
        check(YAML, 404, r#"{"detail":"x"}"#, Ok((404, r#"{"status":"error","message":"x","code":404}"#)));
        check(YAML, 418, "teapot", Ok((418, "teapot")));
    }

    #[test]
    fn a_success_that_is_not_listed_is_not_what_else_was_written_for() {
        let yaml = "{ 201: { json: made }, else: { json: failed } }";
        check(yaml, 201, "{}", Ok((201, r#""made""#)));
        check(yaml, 200, "{}", Err(Reason::PeerGarbage));
        check(yaml, 500, "{}", Ok((500, r#""failed""#)));
        check(yaml, 204, "", Ok((204, "")));
        check("{ 404: { json: gone }, else: { json: all } }", 200, "{}", Ok((200, r#""all""#)));
    }

    #[test]
    fn a_failure_that_is_no_json_is_none_and_a_success_that_is_none_is_garbage() {
        check(YAML, 404, "<html>", Ok((404, r#"{"status":"error","message":"no está","code":404}"#)));
        check(YAML, 200, "<html>", Err(Reason::PeerGarbage));
        check(YAML, 200, r#"{"a":"#, Err(Reason::PeerGarbage));
        check(YAML, 500, "{}", Err(Reason::PartFailed));
    }
    #[test]
    fn what_has_no_body_is_given_none_by_else() {
        check("else: { json: 1 }", 204, "", Ok((204, "")));
        check("else: { json: 1 }", 304, "", Ok((304, "")));
        check("else: { json: 1 }", 201, "", Ok((201, "1")));
        check("else: { status: 200, json: 1 }", 204, "", Ok((200, "1")));
    }

    #[test]
    fn what_shapes_nothing_or_can_not_be_sent_is_a_problem() {
        let cases = [
            ("{}", "`reply` shapes nothing"),
            ("204: { json: 1 }", "an answer with status 204 has no body, and here there is one"),
            ("204: { status: 200, json: 1 }", ""),
            ("200: { status: 205, json: 1 }", "an answer with status 205 has no body, and here there is one"),
            ("100: { json: 1 }", "expected a status from 200 to 599 or `else`, found `100`"),
        ];
        for (yaml, expected) in cases {
            let mut problems = Vec::new();
            let written = yaml::parse(yaml).unwrap().read(&mut problems).unwrap();
            Reply::compile(&written, Names::REPLY, &mut problems);
            let told: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
            assert_eq!(told.join("; "), expected, "{yaml}");
        }
    }
}
