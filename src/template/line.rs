//! Templates of one line, for paths, query values, headers and redirects.

use std::borrow::Cow;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Filling, decoded};
use crate::identity::claims::{ClaimPath, as_text};
use crate::router::{Pattern, path, query_values};

/// What is left alone everywhere: RFC 3986's unreserved characters, and what is harmless in a path segment and in a query.
const HARMLESS: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b':').remove(b',');
/// What is left alone in a path segment: with RFC 3986's sub-delims.
const SEGMENT: &AsciiSet = &HARMLESS
    .remove(b'!')
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'=')
    .remove(b'+')
    .remove(b'&')
    .remove(b'\'');
/// What is left alone in a query value.
const QUERY: &AsciiSet = &HARMLESS.remove(b'/');

/// Where a template is used: it decides how values are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Path,
    Query,
    Header,
    /// A name in a record: `patient/{patient_id}`.
    Record,
}

/// A template, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pieces: Box<[Piece]>,
    used_in: Use,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Hole { of: Of, default: Option<Box<str>>, used_in: Use },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    /// A parameter by its place; of a rest each segment is encoded and the slashes stay.
    Param {
        at: usize,
        rest: bool,
    },
    Claim(ClaimPath),
    Query(Box<str>),
}

/// A hole without a value: whose fault it is decides the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The request lacks it: `value_missing`.
    Value,
    /// The caller's token lacks it: `claim_missing`.
    Claim,
    /// It would make a path that the front door refuses, since the service could take it for another: `path_rejected`.
    Ambiguous,
}

impl Line {
    /// Compiles a template for a route with this path.
    ///
    /// # Errors
    /// An unclosed hole, a name that nothing will have, or a path that the front door of any Hilum refuses.
    pub fn compile(text: &str, route: &Pattern, used_in: Use) -> Result<Line, String> {
        let mut pieces = Vec::new();
        let mut left = text;
        while let Some(open) = left.find(['{', '}']) {
            if left.as_bytes()[open] == b'}' {
                return Err(format!("a `}}` without its `{{` in `{text}`"));
            }
            push_literal(&mut pieces, &left[..open], used_in)?;
            let close = left[open..].find('}').ok_or_else(|| format!("a `{{` without its `}}` in `{text}`"))? + open;
            // Behind a `?` of its own a path goes on as a query, and values must not begin another one there.
            let after_mark = pieces.iter().any(|p| matches!(p, Piece::Literal(text) if text.contains('?')));
            let used_in = if used_in == Use::Path && after_mark { Use::Query } else { used_in };
            pieces.push(hole(&left[open + 1..close], route, used_in)?);
            left = &left[close + 1..];
        }
        push_literal(&mut pieces, left, used_in)?;
        let line = Line { pieces: pieces.into(), used_in };
        line.check_path(text)?;
        Ok(line)
    }

    /// What is written must be a path that can be asked for, whatever harmless values come into it.
    fn check_path(&self, text: &str) -> Result<(), String> {
        if self.used_in != Use::Path {
            return Ok(());
        }
        if !text.starts_with('/') {
            return Err(format!("a path begins with `/`, found `{text}`"));
        }
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => text,
            Piece::Hole { .. } => "x",
        });
        let filled = pieces.collect::<String>();
        let path = filled.split('?').next().unwrap_or_default();
        path::canonical(path).map(drop).map_err(|why| format!("nobody can be asked for `{text}`: {}", why.0))
    }

    /// Whether a claim is needed, so that the route must have a token.
    pub fn needs_claims(&self) -> bool {
        self.pieces.iter().any(|p| matches!(p, Piece::Hole { of: Of::Claim(_), default: None, .. }))
    }

    /// Whether a value of the query is shown in it.
    pub fn shows_query(&self) -> bool {
        self.pieces.iter().any(|p| matches!(p, Piece::Hole { of: Of::Query(_), .. }))
    }

    /// Writes the filled text.
    ///
    /// # Errors
    /// A hole whose value is absent or empty and has no default.
    pub fn fill(&self, with: &Filling<'_>, out: &mut String) -> Result<(), Missing> {
        let from = out.len();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Hole { of, default, used_in } => fill_hole(of, default.as_deref(), *used_in, with, out)?,
            }
        }
        match self.used_in {
            // What a service is asked for is held to what a client may ask for: no dot segments, no hidden separators, whatever
            // claims and queries hold.
            Use::Path => {
                let path = out[from..].split('?').next().unwrap_or_default();
                path::canonical(path).map(drop).map_err(|_| Missing::Ambiguous)
            }
            _ => Ok(()),
        }
    }
}

fn fill_hole(
    of: &Of,
    default: Option<&str>,
    used_in: Use,
    with: &Filling<'_>,
    out: &mut String,
) -> Result<(), Missing> {
    let (value, missing): (Option<Cow<'_, str>>, _) = match of {
        // The rest may be empty by design: `/static/**` also takes `/static`.
        Of::Param { at, rest: true } => {
            let rest = with.params.get(*at).copied().unwrap_or_default();
            for (at, segment) in rest.split('/').enumerate() {
                if at > 0 {
                    out.push('/');
                }
                encode(&decoded(segment), used_in, out);
            }
            return Ok(());
        }
        Of::Param { at, .. } => (with.params.get(*at).map(|v| decoded(v)), Missing::Value),
        Of::Claim(path) => (with.claims.and_then(|c| path.get(c)).and_then(as_text), Missing::Claim),
        Of::Query(name) => (query_values(with.query.unwrap_or(""), name).next(), Missing::Value),
    };
    match value.filter(|v| !v.is_empty()) {
        Some(value) => encode(&value, used_in, out),
        None => encode(default.ok_or(missing)?, used_in, out),
    }
    Ok(())
}

fn encode(value: &str, used_in: Use, out: &mut String) {
    let set = match used_in {
        // A slash in a value would be taken for one of the name.
        Use::Path | Use::Record => SEGMENT,
        Use::Query => QUERY,
        Use::Header => {
            // A header value takes visible ASCII as it is; a `%` too, since nothing in it says that it is encoded.
            for c in value.chars() {
                match c {
                    ' '..='~' => out.push(c),
                    _ => drop(write!(out, "{}", utf8_percent_encode(c.encode_utf8(&mut [0; 4]), NON_ALPHANUMERIC))),
                }
            }
            return;
        }
    };
    out.extend(utf8_percent_encode(value, set));
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str, used_in: Use) -> Result<(), String> {
    let good = |b: u8| match used_in {
        Use::Path | Use::Query => b.is_ascii_graphic() && !b"\"<>\\^`|#".contains(&b),
        Use::Header | Use::Record => (b' '..=b'~').contains(&b),
    };
    if !text.bytes().all(good) {
        return Err(format!("`{text}` has a character that must be percent-encoded here"));
    }
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.into()));
    }
    Ok(())
}

fn hole(inner: &str, route: &Pattern, used_in: Use) -> Result<Piece, String> {
    let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default.into())));
    if let Some(path) = name.strip_prefix("claims.") {
        return Ok(Piece::Hole { of: Of::Claim(path.parse()?), default, used_in });
    }
    if let Some(name) = name.strip_prefix("query.") {
        return Ok(Piece::Hole { of: Of::Query(name.into()), default, used_in });
    }
    let params: Vec<&str> = route.params().collect();
    match params.iter().position(|p| *p == name && !name.is_empty()) {
        Some(at) => {
            Ok(Piece::Hole { of: Of::Param { at, rest: route.has_rest() && at + 1 == params.len() }, default, used_in })
        }
        None => {
            let mut known: Vec<String> = params.iter().filter(|p| !p.is_empty()).map(|p| (*p).to_owned()).collect();
            known.extend(["claims.NAME".to_owned(), "query.NAME".to_owned()]);
            Err(format!("nothing is called `{name}` here; known are {}", known.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, used_in: Use, params: &[&str], query: &str, claims: &str) -> Result<String, String> {
        let route = "/p/{id}/{rest...}".parse().unwrap();
        let line = Line::compile(text, &route, used_in)?;
        let claims = serde_json::from_str(claims).unwrap();
        let mut out = String::new();
        let filling = Filling { params, query: Some(query), claims: Some(&claims) };
        line.fill(&filling, &mut out).map(|()| out).map_err(|m| format!("{m:?}"))
    }

    #[test]
    fn holes_take_parameters_claims_queries_and_defaults() {
        let claims = r#"{ "user_id": "u 1", "n": 7, "m": { "ref": "r/9" }, "empty": "", "list": [1, "b"] }"#;
        let cases = [
            ("/x/{id}", Use::Path, Ok("/x/a%20b")),
            ("/x/{rest}", Use::Path, Ok("/x/c/d%C3%B1")),
            ("/u/{claims.user_id}/{claims.n}", Use::Path, Ok("/u/u%201/7")),
            ("/u/{claims.m.ref}", Use::Path, Err("Ambiguous")),
            ("/u?ref={claims.m.ref}&q={query.text}", Use::Path, Ok("/u?ref=r/9&q=a%26b%20c")),
            ("/u/{claims.nope}", Use::Path, Err("Claim")),
            ("/u/{claims.empty}", Use::Path, Err("Claim")),
            ("/u/{claims.m}", Use::Path, Err("Claim")),
            ("/u/{claims.nope:-none}", Use::Path, Ok("/u/none")),
            ("/q/{query.page}", Use::Path, Ok("/q/2")),
            ("/q/{query.nope}", Use::Path, Err("Value")),
            ("{query.nope:-1}", Use::Query, Ok("1")),
            ("{query.text}", Use::Query, Ok("a%26b%20c")),
            ("{claims.user_id}", Use::Header, Ok("u 1")),
            ("{query.es}", Use::Header, Ok("ni%C3%B1o")),
            ("patient/{id}/{claims.m.ref}", Use::Record, Ok("patient/a%20b/r%2F9")),
        ];
        for (text, used_in, expected) in cases {
            let query = "page=2&text=a%26b+c&es=ni%C3%B1o&dots=..";
            let got = fill(text, used_in, &["a%20b", "c/d%C3%B1"], query, claims);
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_value_cannot_make_a_path_that_no_client_may_ask_for() {
        let cases = [
            ("/x/{query.d}/y", "d=.."),
            ("/x/.{query.d}", "d=."),
            ("/x/{query.d}", "d=%2e%2e"),
            ("/x/{query.d}", "d=../.."),
            ("/x/{query.d}", "d=a/b"),
            ("/x/{query.d}", "d=a%5Cb"),
            ("/x/{query.d}", "d=a%00b"),
            ("/x/{query.d}", "d=a%0d%0ab"),
            ("/x/{query.d}", "d=%252e"),
            ("/x/{query.d}", "d=a;b"),
        ];
        for (text, query) in cases {
            assert_eq!(fill(text, Use::Path, &["1", ""], query, "{}"), Err("Ambiguous".to_owned()), "{text} {query}");
        }
    }

    #[test]
    fn paths_that_can_be_asked_for_are_left_alone() {
        for text in ["/", "/x/", "/x/.{id}", "/x/{id}?next=//y/..;", "/{rest}", "/caf%c3%a9/{id}"] {
            assert!(Line::compile(text, &"/p/{id}/{rest...}".parse().unwrap(), Use::Path).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_can_never_be_filled_or_asked_for_is_refused_at_load() {
        let cases = [
            ("/x/{nope}", "nothing is called `nope` here; known are id, rest, claims.NAME, query.NAME"),
            ("/x/{id", "without its `}`"),
            ("/x/id}", "without its `{`"),
            ("/x y", "percent-encoded"),
            ("/x/{claims.}", "claim"),
            ("x/{id}", "a path begins with `/`, found `x/{id}`"),
            ("{id}", "a path begins with `/`"),
            ("//x", "nobody can be asked for `//x`: the path has an empty segment"),
            ("/p/../q", "dot segment"),
            ("/p/../{id}", "dot segment"),
            ("/p/{id}//x", "empty segment"),
            ("/p;x={id}", "semicolon"),
            ("/a%2fb", "escaped slash"),
            ("/a%zz?x=1", "broken escape"),
        ];
        for (text, why) in cases {
            let error = fill(text, Use::Path, &["1", ""], "", "{}").unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
