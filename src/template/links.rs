//! `url_for` in templates: the paths of routes by their `endpoint`, with values filled in.

use std::collections::HashMap;

use hilum_filters::api::did_you_mean;
use minijinja::Value;
use minijinja::value::{Kwargs, ValueKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::router::Pattern;

/// The paths of the routes that have an `endpoint`.
#[derive(Debug, Default)]
pub struct Endpoints(HashMap<String, Endpoint>);

#[derive(Debug)]
struct Endpoint {
    pattern: Pattern,
    pieces: Box<[Piece]>,
}

#[derive(Debug)]
enum Piece {
    Fixed(Box<str>),
    Hole(Box<str>, &'static AsciiSet),
}

/// What a final `/**` is called, which has no name of its own: as in Flask, where it is for files.
const REST: &str = "filename";

/// Unreserved characters and those that Werkzeug leaves in a path, but no slash.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');
/// The same of a query's names and values.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'?')
    .remove(b'@')
    .remove(b' ');
const FRAGMENT: &AsciiSet = &PATH.remove(b'%').remove(b'#').remove(b'?');

impl Endpoints {
    pub fn new(endpoints: impl IntoIterator<Item = (String, Pattern)>) -> Self {
        let compiled = endpoints.into_iter().map(|(name, pattern)| {
            let pieces = pattern.to_string().split('/').skip(1).map(piece).collect();
            (name, Endpoint { pattern, pieces })
        });
        Endpoints(compiled.collect())
    }

    /// The route of that name: `frontend.index` is `endpoint: frontend.index`, else `endpoint: index`.
    fn find(&self, name: &str) -> Option<&Endpoint> {
        let last = || name.rsplit_once('.').and_then(|(_, last)| self.0.get(last));
        self.0.get(name).or_else(last)
    }

    /// Whether this link can be written when a value of each of these names is given; `all`: of others perhaps, too.
    pub(super) fn check(&self, name: &str, given: &[&str], all: bool) -> Result<(), String> {
        let Some(Endpoint { pattern, pieces }) = self.find(name) else {
            let short = name.rsplit('.').next().unwrap_or(name);
            let near = did_you_mean(short, self.0.keys().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("no route has `endpoint: {name}`{near}"));
        };
        let holes = pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(name, _) => Some(&**name),
            Piece::Fixed(_) => None,
        });
        match holes.filter(|_| !all).find(|name| !given.contains(name)) {
            Some(missing) => Err(format!("`url_for('{name}')` needs a `{missing}`, as `{pattern}` has one")),
            None => Ok(()),
        }
    }

    /// What Flask's `url_for` gives: the path, and what it has no place for as the query.
    pub(super) fn url(&self, name: &str, values: &Kwargs) -> Result<String, String> {
        let Endpoint { pattern, pieces } = self.find(name).ok_or_else(|| format!("no route has `endpoint: {name}`"))?;
        let mut url = String::with_capacity(64);
        for piece in pieces {
            url.push('/');
            match piece {
                Piece::Fixed(text) => url.push_str(text),
                Piece::Hole(param, set) => {
                    let value: Option<Value> = values.peek(param).ok();
                    let value = value.filter(|value| !value.is_undefined() && !value.is_none());
                    let value = value.ok_or_else(|| format!("there is no `{param}` for `{pattern}`"))?;
                    url.extend(utf8_percent_encode(&value.to_string(), set));
                }
            }
        }
        if url.starts_with("//") {
            // A browser would take what follows for a host.
            return Err(format!("a value for `{pattern}` begins with a slash"));
        }
        url.push_str(&query(values, pieces)?);
        Ok(url)
    }
}

/// What stands behind the path.
fn query(values: &Kwargs, pieces: &[Piece]) -> Result<String, String> {
    let mut query = String::new();
    let mut anchor = String::new();
    let is_used = |name: &str| pieces.iter().any(|piece| matches!(piece, Piece::Hole(hole, _) if **hole == *name));
    for name in values.args().filter(|name| !is_used(name)) {
        let value: Value = values.peek(name).map_err(|_| format!("`{name}` can't be read"))?;
        if name == "_anchor" {
            anchor = format!("#{}", utf8_percent_encode(&value.to_string(), FRAGMENT));
        } else if name.starts_with('_') {
            return Err(format!("`{name}` has no meaning here: links lead to paths of this site"));
        } else if value.kind() == ValueKind::Seq {
            value.try_iter().into_iter().flatten().for_each(|value| pair(&mut query, name, &value));
        } else {
            pair(&mut query, name, &value);
        }
    }
    Ok(query + &anchor)
}

fn pair(query: &mut String, name: &str, value: &Value) {
    if value.is_none() || value.is_undefined() {
        return;
    }
    let quoted = |text: &str| utf8_percent_encode(text, QUERY).to_string().replace(' ', "+");
    query.push(if query.is_empty() { '?' } else { '&' });
    query.push_str(&quoted(name));
    query.push('=');
    query.push_str(&quoted(&value.to_string()));
}

fn piece(segment: &str) -> Piece {
    let hole = segment.strip_prefix('{').and_then(|hole| hole.strip_suffix('}'));
    match hole.map(|hole| (hole, hole.strip_suffix("..."))) {
        Some((_, Some(rest))) => Piece::Hole(rest.into(), PATH),
        Some((name, None)) => Piece::Hole(name.into(), SEGMENT),
        None if segment == "**" => Piece::Hole(REST.into(), PATH),
        None => Piece::Fixed(segment.into()),
    }
}
