//! Paths by segment: literal before `{name}` before `/**`, and the most specific one owns the request (design §3).
//!
//! Not matchit: its rules are not ours (no `/**` beside `{name}`, no empty rest, no second look when a leaf refuses).

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use smallvec::SmallVec;

/// The values of the parameters of a path, in the order they stand in it, as they were written (escapes included).
pub type Values<'p> = SmallVec<[&'p str; 8]>;

/// A path as it is written in `routes.yaml`: `/a/{id}/**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
    /// `/**` is `Some("")`, `/{name...}` is `Some("name")`.
    rest: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Param(String),
}

impl Pattern {
    /// The names of the parameters in order; the one of a final `/**` is empty.
    pub fn params(&self) -> impl Iterator<Item = &str> {
        let names = self.segments.iter().filter_map(|s| match s {
            Segment::Param(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        });
        names.chain(self.rest.as_deref())
    }

    /// Whether it ends in `/**` or `/{name...}`.
    pub fn has_rest(&self) -> bool {
        self.rest.is_some()
    }

    /// This pattern below a prefix without a rest, as groups do it. A pattern of just `/` is the prefix itself.
    pub fn below(&self, prefix: &Pattern) -> Pattern {
        let text = match (prefix.text.as_str(), self.text.as_str()) {
            ("/", text) => text.to_owned(),
            (prefix, "/") => prefix.to_owned(),
            (prefix, text) => format!("{}{text}", prefix.trim_end_matches('/')),
        };
        text.parse().expect("two good patterns make a good one, names aside, which the caller checks")
    }

    /// The first parameter name that is used twice.
    pub fn repeated_param(&self) -> Option<&str> {
        let names: Vec<&str> = self.params().filter(|n| !n.is_empty()).collect();
        names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| *name)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(inner) = text.strip_prefix('/') else {
            return Err(format!("a path begins with `/`, found `{text}`"));
        };
        let mut pattern = Pattern { text: text.to_owned(), segments: Vec::new(), rest: None };
        if inner.is_empty() {
            pattern.segments.push(Segment::Literal(String::new()));
            return Ok(pattern);
        }
        if inner.contains("//") || inner.starts_with('/') {
            return Err("no request can have this path: the path has an empty segment".to_owned());
        }
        for segment in inner.split('/') {
            if pattern.rest.is_some() {
                return Err("`**` and `{name...}` stand only at the end of a path".to_owned());
            }
            match segment {
                "**" => pattern.rest = Some(String::new()),
                _ if segment.contains('*') => {
                    return Err(
                        "`*` has no meaning here; write `{name}` for one segment, `/**` for the rest".to_owned()
                    );
                }
                _ => match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                    Some(name) => match name.strip_suffix("...") {
                        Some(name) => pattern.rest = Some(param_name(name)?),
                        None => pattern.segments.push(Segment::Param(param_name(name)?)),
                    },
                    None if segment.contains(['{', '}']) => {
                        return Err(format!("a parameter is a whole segment, such as `/{{id}}/`, found `{segment}`"));
                    }
                    None => pattern.segments.push(Segment::Literal(literal(segment)?)),
                },
            }
        }
        Ok(pattern)
    }
}

fn param_name(name: &str) -> Result<String, String> {
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !good {
        return Err(format!("a parameter's name is letters, digits and `_`, found `{name}`"));
    }
    if ["claims", "query"].contains(&name) {
        return Err(format!("`{name}` has a meaning of its own in templates; name the parameter otherwise"));
    }
    Ok(name.to_owned())
}

/// A literal segment in its canonical spelling, as requests come in.
fn literal(segment: &str) -> Result<String, String> {
    let path = format!("/{segment}");
    let canonical = super::path::canonical(&path).map_err(|e| format!("no request can have this path: {}", e.0))?;
    if canonical != path {
        return Err(format!("write the path as requests come in: `{}`", &canonical[1..]));
    }
    Ok(segment.to_owned())
}

/// What a trie node holds, by the shape of a path.
#[derive(Debug)]
pub struct Trie<T> {
    literal: HashMap<Box<str>, Trie<T>>,
    param: Option<Box<Trie<T>>>,
    here: Option<T>,
    rest: Option<T>,
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Trie { literal: HashMap::new(), param: None, here: None, rest: None }
    }
}

impl<T> Trie<T> {
    /// The place for what belongs to this shape of a path; parameter names make no difference.
    pub fn entry(&mut self, pattern: &Pattern) -> &mut Option<T> {
        let mut node = self;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(text) => node.literal.entry(text.as_str().into()).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
            };
        }
        if pattern.rest.is_some() { &mut node.rest } else { &mut node.here }
    }

    /// The most specific entry for a canonical path that `accept` takes, and the parameter values.
    ///
    /// Every node is visited at most once per request, so no path can make it slow.
    pub fn find<'t, 'p>(
        &'t self,
        path: &'p str,
        values: &mut Values<'p>,
        accept: &impl Fn(&T) -> bool,
    ) -> Option<&'t T> {
        let Some(inner) = path.strip_prefix('/') else {
            if let Some(entry) = self.here.as_ref().filter(|e| accept(e)) {
                return Some(entry);
            }
            return self.take_rest("", values, accept);
        };
        let (segment, after) = match inner.find('/') {
            Some(at) => inner.split_at(at),
            None => (inner, ""),
        };
        if let Some(entry) = self.literal.get(segment).and_then(|n| n.find(after, values, accept)) {
            return Some(entry);
        }
        if !segment.is_empty()
            && let Some(node) = &self.param
        {
            values.push(segment);
            if let Some(entry) = node.find(after, values, accept) {
                return Some(entry);
            }
            values.pop();
        }
        self.take_rest(inner, values, accept)
    }

    fn take_rest<'t, 'p>(
        &'t self,
        rest: &'p str,
        values: &mut Values<'p>,
        accept: &impl Fn(&T) -> bool,
    ) -> Option<&'t T> {
        let entry = self.rest.as_ref().filter(|e| accept(e))?;
        values.push(rest);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `paths` in the table, one request path, and which pattern with which values.
    fn check(paths: &[&str], cases: &[(&str, Option<(&str, &[&str])>)]) {
        let mut trie = Trie::default();
        for path in paths {
            let pattern: Pattern = path.parse().unwrap();
            *trie.entry(&pattern) = Some(*path);
        }
        for (path, expected) in cases {
            let mut values = Values::new();
            let got = trie.find(path, &mut values, &|_| true).map(|p| (*p, values.as_slice()));
            assert_eq!(got, *expected, "{path}");
        }
    }

    #[test]
    fn a_literal_comes_before_a_parameter_and_a_parameter_before_the_rest() {
        check(
            &["/api/**", "/api/{a}", "/api/me", "/api/{a}/x", "/"],
            &[
                ("/api/me", Some(("/api/me", &[]))),
                ("/api/you", Some(("/api/{a}", &["you"]))),
                ("/api/you/x", Some(("/api/{a}/x", &["you"]))),
                ("/api/you/y", Some(("/api/**", &["you/y"]))),
                ("/api/me/y", Some(("/api/**", &["me/y"]))),
                ("/api", Some(("/api/**", &[""]))),
                ("/", Some(("/", &[]))),
                ("/apix", None),
                ("/apix/me", None),
            ],
        );
    }

    #[test]
    fn the_rest_also_matches_nothing_and_a_final_slash() {
        check(
            &["/p/{id}", "/p/{id}/**", "/api/{rest...}", "/health"],
            &[
                ("/p/7", Some(("/p/{id}", &["7"]))),
                ("/p/7/", Some(("/p/{id}/**", &["7", ""]))),
                ("/p/7/a/b", Some(("/p/{id}/**", &["7", "a/b"]))),
                ("/p", None),
                ("/p/", None),
                ("/api/", Some(("/api/{rest...}", &[""]))),
                ("/health", Some(("/health", &[]))),
                ("/health/", None),
            ],
        );
    }

    #[test]
    fn a_refusing_leaf_gives_way_to_a_wider_one() {
        let mut trie = Trie::default();
        *trie.entry(&"/a/b".parse().unwrap()) = Some(1);
        *trie.entry(&"/{x}/b".parse().unwrap()) = Some(2);
        *trie.entry(&"/**".parse().unwrap()) = Some(3);
        for (refused, expected, values) in [(0, 1, vec![]), (1, 2, vec!["a"])] {
            let mut found = Values::new();
            assert_eq!(trie.find("/a/b", &mut found, &|n| *n != refused), Some(&expected));
            assert_eq!(found.as_slice(), values);
        }
        let mut found = Values::new();
        assert_eq!(trie.find("/a/b", &mut found, &|n| *n == 3), Some(&3));
        assert_eq!(found.as_slice(), ["a/b"]);
    }

    #[test]
    fn a_pattern_that_no_request_can_have_is_refused() {
        let cases = [
            ("a", "begins with `/`"),
            ("/a/*/b", "write `{name}`"),
            ("/**/b", "only at the end"),
            ("/a{b}", "whole segment"),
            ("/{b}c", "whole segment"),
            ("/{}", "letters, digits"),
            ("/{9a}", "letters, digits"),
            ("/{claims}", "meaning of its own"),
            ("/a//b", "no request can have"),
            ("/a/../b", "no request can have"),
            ("/a%2db", "as requests come in: `a-b`"),
            ("/a b", "no request can have"),
        ];
        for (text, why) in cases {
            let error = text.parse::<Pattern>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn groups_put_their_prefix_before() {
        for (prefix, path, expected) in
            [("/api", "/x", "/api/x"), ("/", "/x", "/x"), ("/api", "/", "/api"), ("/a/{b}", "/**", "/a/{b}/**")]
        {
            let joined = path.parse::<Pattern>().unwrap().below(&prefix.parse().unwrap());
            assert_eq!(joined.to_string(), expected);
        }
        let twice = "/{id}".parse::<Pattern>().unwrap().below(&"/a/{id}".parse().unwrap());
        assert_eq!(twice.repeated_param(), Some("id"));
    }
}
