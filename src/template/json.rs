//! JSON templates: compiled to a flat list of operations that write bytes; no tree is built per request.

use std::collections::HashSet;
use std::sync::Arc;

use hilum_filters::api::{Kind, Node, Problem};
use minijinja::Value;
use minijinja::value::ValueKind;

use super::expression::{Compiled, Failed};
use super::{Names, Scope};

/// A JSON text with expressions in it.
///
/// A text that is exactly one `{{ expression }}` becomes that value with its type. `{{ body }}` and `{{ request.body }}` alone
/// are passed on byte for byte, unread: so a number too large for any type of ours arrives as it was sent.
pub struct Json {
    ops: Box<[Op]>,
    reads_body: bool,
    reads_request: bool,
}

enum Op {
    /// Everything fixed, quoted and merged.
    Bytes(Box<[u8]>),
    /// A value with its type.
    Value(Compiled),
    /// A value inside of a longer text.
    Text(Compiled),
    SpliceBody,
    SpliceRequestBody,
    SplicePart(Arc<str>),
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Json({} operations)", self.ops.len())
    }
}

impl Json {
    /// Compiles a subtree of the file. Every problem in it is pushed with its place.
    pub fn compile(node: &Node, names: Names, problems: &mut Vec<Problem>) -> Option<Json> {
        Json::compile_with(node, names, &[], problems)
    }

    /// The same, with the parts of a `combine` as names. `{{ part }}` alone is passed on unread like a body.
    pub fn compile_with(node: &Node, names: Names, parts: &[Arc<str>], problems: &mut Vec<Problem>) -> Option<Json> {
        let mut writer = Writer { ops: Vec::new(), names, parts, problems, good: true };
        writer.node(node);
        let good = writer.good;
        let ops: Box<[Op]> = writer.ops.into();
        let reads_body = ops.iter().any(|op| match op {
            Op::SpliceBody => true,
            Op::Value(e) | Op::Text(e) => e.reads("body"),
            _ => false,
        });
        let reads_request = ops.iter().any(|op| match op {
            Op::SpliceRequestBody => true,
            Op::Value(e) | Op::Text(e) => e.reads("request"),
            _ => false,
        });
        good.then_some(Json { ops, reads_body, reads_request })
    }

    /// Whether the service's body is used, so that it must be JSON.
    pub fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// Whether that part is passed on unread somewhere.
    pub fn passes_on(&self, part: &str) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::SplicePart(name) if **name == *part))
    }

    /// What its expressions read, as far as it is spelled out: `claims.user_id`, `now`.
    pub fn reads(&self) -> HashSet<String> {
        let expressions = self.ops.iter().filter_map(|op| match op {
            Op::Value(expression) | Op::Text(expression) => Some(expression.paths()),
            _ => None,
        });
        expressions.flatten().collect()
    }

    /// Whether the client's body is used.
    pub fn reads_request(&self) -> bool {
        self.reads_request
    }

    /// The filled JSON text.
    ///
    /// # Errors
    /// An expression that can't be evaluated. Never half an answer: the bytes are dropped.
    pub fn render(&self, scope: &Arc<Scope>) -> Result<Vec<u8>, Failed> {
        let names = Value::from_dyn_object(scope.clone());
        let mut out = Vec::with_capacity(256);
        for op in &self.ops {
            match op {
                Op::Bytes(bytes) => out.extend_from_slice(bytes),
                Op::Value(expression) => write_value(&expression.value(&names)?, &mut out)?,
                Op::Text(expression) => write_inside_text(&expression.value(&names)?, &mut out)?,
                Op::SpliceBody => splice(scope.body.as_deref(), &mut out),
                Op::SpliceRequestBody => splice(scope.request_body.as_deref(), &mut out),
                Op::SplicePart(name) => splice(scope.part(name).map(|body| &**body), &mut out),
            }
        }
        Ok(out)
    }
}

/// A body that is not JSON is `none`; where that would be a lie the caller has checked before.
fn splice(body: Option<&super::Body>, out: &mut Vec<u8>) {
    match body {
        Some(body) if body.is_json() => out.extend_from_slice(body.bytes().trim_ascii()),
        _ => out.extend_from_slice(b"null"),
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) -> Result<(), Failed> {
    if value.is_undefined() {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    serde_json::to_writer(out, value).map_err(|_| Failed("a value has no JSON form".to_owned()))
}

fn write_inside_text(value: &Value, out: &mut Vec<u8>) -> Result<(), Failed> {
    // None and undefined are empty here: Jinja would print the word "none" to a patient.
    let text = match value.kind() {
        ValueKind::Undefined | ValueKind::None => return Ok(()),
        _ => value.to_string(),
    };
    let quoted = serde_json::to_vec(&text).map_err(|_| Failed("a value has no text form".to_owned()))?;
    out.extend_from_slice(&quoted[1..quoted.len() - 1]);
    Ok(())
}

struct Writer<'p> {
    ops: Vec<Op>,
    names: Names,
    parts: &'p [Arc<str>],
    problems: &'p mut Vec<Problem>,
    good: bool,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        match self.ops.last_mut() {
            Some(Op::Bytes(last)) => *last = [last, bytes].concat().into(),
            _ => self.ops.push(Op::Bytes(bytes.into())),
        }
    }

    fn node(&mut self, node: &Node) {
        match &node.kind {
            Kind::Null => self.bytes(b"null"),
            Kind::Scalar { text, plain } => self.scalar(node, text, *plain),
            Kind::List(items) => {
                self.bytes(b"[");
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.bytes(b",");
                    }
                    self.node(item);
                }
                self.bytes(b"]");
            }
            Kind::Map(entries) => {
                self.bytes(b"{");
                for (at, entry) in entries.iter().enumerate() {
                    if at > 0 {
                        self.bytes(b",");
                    }
                    self.bytes(&quoted(&entry.key));
                    self.bytes(b":");
                    self.node(&entry.value);
                }
                self.bytes(b"}");
            }
        }
    }

    fn scalar(&mut self, node: &Node, text: &str, plain: bool) {
        if plain && node.written.is_none() && is_json_literal(text) {
            return self.bytes(text.as_bytes());
        }
        match pieces(text) {
            Err(why) => self.problem(node, why),
            Ok(pieces) => match pieces.as_slice() {
                [Found::Expression("body")] if self.names.check("body", &[]).is_ok() => self.ops.push(Op::SpliceBody),
                [Found::Expression("request.body")] if self.names.check("request", &[]).is_ok() => {
                    self.ops.push(Op::SpliceRequestBody)
                }
                [Found::Expression(source)] => match self.parts.iter().find(|part| ***part == **source) {
                    Some(part) => self.ops.push(Op::SplicePart(part.clone())),
                    None => self.expression(node, source, Op::Value),
                },
                pieces => {
                    self.bytes(b"\"");
                    for piece in pieces {
                        match piece {
                            Found::Text(text) => {
                                let quoted = quoted(text);
                                self.bytes(&quoted[1..quoted.len() - 1]);
                            }
                            Found::Expression(source) => self.expression(node, source, Op::Text),
                        }
                    }
                    self.bytes(b"\"");
                }
            },
        }
    }

    fn expression(&mut self, node: &Node, source: &str, op: fn(Compiled) -> Op) {
        match Compiled::new(source, self.names, self.parts) {
            Ok(compiled) => self.ops.push(op(compiled)),
            Err(why) => self.problem(node, why),
        }
    }

    fn problem(&mut self, node: &Node, why: String) {
        self.good = false;
        self.problems.push(Problem::new(node.at, node.redact(why)));
    }
}

fn quoted(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).expect("a text always has a JSON form")
}

fn is_json_literal(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|v| v.is_null() || v.is_boolean() || v.is_number())
}

#[derive(Debug, PartialEq, Eq)]
enum Found<'a> {
    Text(&'a str),
    Expression(&'a str),
}

/// Cuts a text at `{{ … }}`. Quotes and braces inside of an expression are respected: `{{ {'a': '}}'} }}` is one.
fn pieces(text: &str) -> Result<Vec<Found<'_>>, String> {
    let mut found = Vec::new();
    let mut left = text;
    while let Some(open) = left.find("{{") {
        if open > 0 {
            found.push(Found::Text(&left[..open]));
        }
        let inner = &left[open + 2..];
        let close = end_of(inner, "}}").ok_or_else(|| format!("a `{{{{` without its `}}}}` in `{text}`"))?;
        found.push(Found::Expression(inner[..close].trim()));
        left = &inner[close + 2..];
    }
    if text.contains("{%") {
        return Err("`{% … %}` has no meaning here: write an expression, `{{ … if … else … }}`".to_owned());
    }
    if !left.is_empty() || found.is_empty() {
        found.push(Found::Text(left));
    }
    Ok(found)
}

/// Where an expression or a block ends, `}}` or `%}`: not in a text, and not in a map that is open.
pub(super) fn end_of(text: &str, close: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_u32, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, _) if text[at..].starts_with(close) => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use crate::template::Body;

    const BODY: &str = r#"{ "detail": "no existe", "n": 9007199254740993, "huge": 123456789012345678901234567890,
        "items": [{ "on": true }, { "on": false }], "none": null }"#;

    fn render(template: &str, body: &'static str) -> Result<String, String> {
        let node = yaml::parse(template).map_err(|p| format!("{p:?}"))?;
        let mut problems = Vec::new();
        let json = Json::compile(&node, Names::REPLY, &mut problems);
        let json = json.ok_or_else(|| problems.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("; "))?;
        let scope = Arc::new(Scope {
            status: Some(404),
            body: Some(Body::new(bytes::Bytes::from_static(body.as_bytes()))),
            params: vec![("id".into(), "7".into())],
            query: Some("page=2".into()),
            request_body: Some(Body::new(bytes::Bytes::from_static(br#"{ "name": "Ana" }"#))),
            ..Scope::default()
        });
        json.render(&scope).map(|b| String::from_utf8(b).unwrap()).map_err(|e| e.0)
    }

    #[test]
    fn a_template_becomes_json_with_types() {
        let cases = [
            (
                r#"{ a: 1, b: [true, null, "1", 1.10], c: plain text }"#,
                r#"{"a":1,"b":[true,null,"1",1.10],"c":"plain text"}"#,
            ),
            (r#"{ status: "{{ status }}" }"#, r#"{"status":404}"#),
            (r#"{ t: "code {{ status }}: {{ body.detail }}" }"#, r#"{"t":"code 404: no existe"}"#),
            (r#"{ t: "{{ body.missing or 'sin \"datos\"' }}" }"#, r#"{"t":"sin \"datos\""}"#),
            (r#"{ t: "<{{ body.none }}{{ body.missing }}>" }"#, r#"{"t":"<>"}"#),
            (r#"{ t: "{{ body.missing }}" }"#, r#"{"t":null}"#),
            (r#"{ n: "{{ body.n }}" }"#, r#"{"n":9007199254740993}"#),
            (r#"{ n: "{{ body.items | length }}" }"#, r#"{"n":2}"#),
            (r#"{ n: "{{ body.items | selectattr('on') | list | length }}" }"#, r#"{"n":1}"#),
            (r#"{ t: "{{ '| uper is strange .x(' ~ \"a|b\" }}" }"#, r#"{"t":"| uper is strange .x(a|b"}"#),
            (r#"{ t: "{{ body.detail is not none and body.is is undefined }}" }"#, r#"{"t":true}"#),
            (r#"{ t: "{{ body.items | map(attribute='on') | list | tojson }}" }"#, r#"{"t":"[true, false]"}"#),
            (r#"{ n: "{{ {'a': '}}'}.a }}" }"#, r#"{"n":"}}"}"#),
            (
                r#"{ p: "{{ params.id }}", q: "{{ query.page }}", r: "{{ query.none }}" }"#,
                r#"{"p":"7","q":"2","r":null}"#,
            ),
            (r#""{{ body.detail }}""#, r#""no existe""#),
            (
                r#"{ n: "{{ request.body.name }}", all: "{{ request.body }}" }"#,
                r#"{"n":"Ana","all":{ "name": "Ana" }}"#,
            ),
        ];
        for (template, expected) in cases {
            assert_eq!(render(template, BODY), Ok(expected.to_owned()), "{template}");
        }
    }

    #[test]
    fn a_body_passed_on_unread_keeps_every_byte() {
        let expected = format!(r#"{{"data":{BODY}}}"#);
        assert_eq!(render(r#"{ data: "{{ body }}" }"#, BODY), Ok(expected));
        assert_eq!(render(r#"{ data: "{{ body }}" }"#, "<html>"), Ok(r#"{"data":null}"#.to_owned()));
    }

    #[test]
    fn what_can_never_work_is_a_problem_at_load() {
        let cases = [
            (r#"{ a: "{{ bdy }}" }"#, "nothing is called `bdy` here"),
            (r#"{ a: "{{ body. }}" }"#, "is not an expression"),
            (r#"{ a: "{{ body" }"#, "without its `}}`"),
            (r#"{ a: "{% if x %}" }"#, "no meaning here"),
            (r#"{ a: "{{ body | uper }}" }"#, "no filter is called `uper`; did you mean `upper`?"),
            (r#"{ a: "{{ body.x|nothing_like_it(1) }}" }"#, "no filter is called `nothing_like_it`"),
            (r#"{ a: "{{ 'x' if body else (body | lenght) }}" }"#, "did you mean `length`?"),
            (r#"{ a: "{{ body is strange }}" }"#, "no test is called `strange`"),
            (r#"{ a: "{{ body is not definde }}" }"#, "no test is called `definde`; did you mean `defined`?"),
            (r#"{ a: "{{ body.items | map('uper') | list }}" }"#, "no filter is called `uper`"),
            (r#"{ a: "{{ body.items | select('ood') | list }}" }"#, "no test is called `ood`; did you mean `odd`?"),
            (r#"{ a: "{{ body.items | selectattr('on', 'ture') }}" }"#, "no test is called `ture`"),
            (r#"{ a: "{{ body.items() }}" }"#, "values have no methods, so none is called `items`"),
            (r#"{ a: "{{ uper(body) }}" }"#, "nothing is called `uper` here"),
        ];
        for (template, why) in cases {
            let error = render(template, BODY).unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
    }

    #[test]
    fn a_name_that_would_always_be_none_is_a_problem_at_load() {
        let names = Names::REPLY.without_body("`health` does not read it").without_claims("the route is public");
        let cases = [
            (r#""{{ request.body }}""#, "there is no `request.body` here: `health` does not read it"),
            (r#""{{ request.body.x or 1 }}""#, "there is no `request.body` here: `health` does not read it"),
            (r#""{{ claims.user_id }}""#, "there are no `claims` here: the route is public"),
            (r#""{{ body.claims }}""#, ""),
        ];
        for (template, expected) in cases {
            let mut problems = Vec::new();
            Json::compile(&yaml::parse(template).unwrap(), names, &mut problems);
            let told: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
            assert_eq!(told.join("; "), expected, "{template}");
        }
    }

    #[test]
    fn an_expression_that_fails_is_an_error_and_never_half_an_answer() {
        for template in [
            r#"{ a: 1, b: "{{ body.missing.x }}" }"#,
            r#"{ b: "{{ 1 / 0 }}" }"#,
            r#"{ b: "{{ range(1000000000) | list }}" }"#,
        ] {
            let error = render(template, BODY).unwrap_err();
            assert!(!error.contains("no existe"), "{error}");
        }
    }
}
