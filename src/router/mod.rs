//! Which route? Pure functions over a request head; knows no Pingora session, no filter, no service.
//!
//! Among the rules whose host fits, the most specific *path* owns the request; host, methods, headers and query then choose
//! within it. An owned path never falls through to a wider one: a wrong method is 405, not somebody else's `/**`.

pub mod host;
pub mod path;
mod rule;
mod trie;

use http::{HeaderMap, HeaderValue, Method};

pub(crate) use rule::query_values;
pub use rule::{Condition, Methods, Rule};
pub use trie::{Pattern, Values};

use trie::Trie;

/// What the router looks at.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub method: &'a Method,
    /// The authority that was asked, as sent.
    pub host: &'a str,
    /// The canonical path, see [`path::canonical`].
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
}

/// Which rule a request belongs to. `T` is what the table keeps with each rule.
#[derive(Debug)]
pub enum Found<'t, 'p, T> {
    Rule {
        target: &'t T,
        values: Values<'p>,
    },
    /// A rule owns the path, but none of it takes this method: 405 with what `Allow` says.
    MethodNotAllowed {
        allow: HeaderValue,
    },
    Nothing,
}

/// All rules, by path.
#[derive(Debug)]
pub struct Router<T> {
    trie: Trie<Owner<T>>,
}

/// The rules that share one shape of a path, the most specific first.
#[derive(Debug)]
struct Owner<T> {
    rules: Vec<(Rule, T)>,
    any_host: bool,
}

/// Two rules that could take the same request, and nothing says which goes first.
#[derive(Debug, PartialEq, Eq)]
pub struct Tie<T> {
    pub first: T,
    pub second: T,
}

impl<T: Clone> Router<T> {
    /// Puts the rules in order. Every tie is reported; of two tied rules the first is kept.
    pub fn new(mut rules: Vec<(Rule, T)>) -> (Self, Vec<Tie<T>>) {
        // Those of one host side by side, since only they can tie: ten thousand hosts may share a path. Else in the order they came in.
        rules.sort_by(|(a, _), (b, _)| b.rank().cmp(&a.rank()).then_with(|| a.host.cmp(&b.host)));
        let mut trie: Trie<Owner<T>> = Trie::default();
        let mut ties = Vec::new();
        for (rule, target) in rules {
            let owner = trie.entry(&rule.path).get_or_insert_with(|| Owner { rules: Vec::new(), any_host: false });
            let mut rivals = owner.rules.iter().rev().take_while(|(other, _)| other.host == rule.host);
            if let Some((_, first)) = rivals.find(|(other, _)| other.ties_with(&rule)) {
                ties.push(Tie { first: first.clone(), second: target });
                continue;
            }
            owner.any_host |= rule.host.is_none();
            owner.rules.push((rule, target));
        }
        (Router { trie }, ties)
    }

    /// The rule for this request.
    pub fn find<'t, 'p>(&'t self, head: &Head<'p>) -> Found<'t, 'p, T> {
        self.find_for(head.method, head)
    }

    /// The rule for this request, had it another method.
    pub fn find_for<'t, 'p>(&'t self, method: &Method, head: &Head<'p>) -> Found<'t, 'p, T> {
        let host = host::name_of(head.host);
        let mut values = Values::new();
        let owner = self.trie.find(head.path, &mut values, &|owner: &Owner<T>| {
            owner.any_host || owner.rules.iter().any(|(rule, _)| rule.host_fits(host))
        });
        let Some(owner) = owner else { return Found::Nothing };
        let mut other_method = false;
        for (rule, target) in &owner.rules {
            if !rule.host_fits(host) {
                continue;
            }
            if !rule.methods.take(method) {
                other_method = true;
            } else if rule.conditions_fit(head) {
                return Found::Rule { target, values };
            }
        }
        let fitting = || owner.rules.iter().map(|(rule, _)| rule).filter(|rule| rule.host_fits(host));
        match other_method && !fitting().any(|rule| rule.methods.take(method)) {
            // Built per request, but only for one that is refused: other hosts' methods are nobody's business.
            true => Found::MethodNotAllowed { allow: rule::allow(fitting().map(|rule| &rule.methods)) },
            false => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        // `METHODS PATH [host=H] [header:NAME=VALUE] [query:NAME=VALUE]`
        let mut words = text.split(' ');
        let methods = words.next().unwrap();
        let mut rule = Rule::new(words.next().unwrap().parse().unwrap());
        rule.methods = if methods == "*" { Methods::Any } else { methods.parse().unwrap() };
        for word in words {
            let (key, value) = word.split_once('=').unwrap();
            match key.split_once(':') {
                None => rule.host = Some(value.parse().unwrap()),
                Some(("header", name)) => rule.headers.push((name.parse().unwrap(), Condition::from(value))),
                Some((_, name)) => rule.query.push((name.to_owned(), Condition::from(value))),
            }
        }
        rule
    }

    fn check(rules: &[&str], cases: &[(&str, &str)]) {
        let (router, ties) = Router::new(rules.iter().map(|text| (rule(text), *text)).collect());
        assert!(ties.is_empty(), "{ties:?}");
        for (request, expected) in cases {
            let mut words = request.split(' ');
            let method: Method = words.next().unwrap().parse().unwrap();
            let target = words.next().unwrap();
            let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
            let (mut host, mut headers) = ("example.org", HeaderMap::new());
            for word in words {
                match word.split_once('=').unwrap() {
                    ("host", value) => host = value,
                    (name, value) => {
                        drop(headers.insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
                    }
                }
            }
            let found = router.find(&Head { method: &method, host, path, query, headers: &headers });
            let got = match found {
                Found::Rule { target, .. } => (*target).to_owned(),
                Found::MethodNotAllowed { allow } => format!("405 {}", allow.to_str().unwrap()),
                Found::Nothing => "404".to_owned(),
            };
            assert_eq!(got, *expected, "{request}");
        }
    }

    #[test]
    fn an_owned_path_never_falls_through_to_a_wider_one() {
        check(
            &["GET /api/me", "* /api/**", "POST,DELETE /x", "GET /x"],
            &[
                ("GET /api/me", "GET /api/me"),
                ("HEAD /api/me", "GET /api/me"),
                ("POST /api/me", "405 GET, HEAD"),
                ("TRACE /api/you", "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
                ("PUT /api/you", "* /api/**"),
                ("PUT /x", "405 DELETE, GET, HEAD, POST"),
                ("DELETE /x", "POST,DELETE /x"),
                ("GET /y", "404"),
            ],
        );
    }

    #[test]
    fn host_then_conditions_choose_within_a_path() {
        check(
            &[
                "GET /a",
                "GET /a host=one.example.org",
                "GET /a host=*.example.org",
                "GET /a header:x-version=2",
                "GET /a header:x-version=2 query:full=yes",
                "POST /b host=one.example.org",
                "GET /c query:q=1",
                "POST /d host=one.example.org",
                "PUT /d host=two.example.org",
                "GET /e host=*.org",
                "GET /e host=*.example.org",
                "GET /e host=one.example.org",
            ],
            &[
                ("GET /a", "GET /a"),
                ("GET /a host=one.example.org:80", "GET /a host=one.example.org"),
                ("GET /a host=two.example.org", "GET /a host=*.example.org"),
                ("GET /a x-version=2", "GET /a header:x-version=2"),
                ("GET /a x-version=3", "GET /a"),
                ("GET /a?full=yes x-version=2", "GET /a header:x-version=2 query:full=yes"),
                ("GET /b host=one.example.org", "405 POST"),
                ("GET /d host=two.example.org", "405 PUT"),
                ("GET /e host=one.example.org", "GET /e host=one.example.org"),
                ("GET /e host=two.example.org", "GET /e host=*.example.org"),
                ("GET /e host=hilum.org", "GET /e host=*.org"),
                ("GET /b", "404"),
                ("GET /c", "404"),
                ("GET /c?q=1&r=2", "GET /c query:q=1"),
                ("POST /c", "405 GET, HEAD"),
            ],
        );
    }

    #[test]
    fn a_path_of_another_host_does_not_hide_a_wider_one() {
        check(
            &["GET /a/b host=one.example.org", "GET /a/{x}"],
            &[("GET /a/b", "GET /a/{x}"), ("GET /a/b host=one.example.org", "GET /a/b host=one.example.org")],
        );
    }

    #[test]
    fn two_rules_for_the_same_requests_are_a_tie() {
        let cases = [
            ("GET /a/{x}", "GET /a/{y}", true),
            ("* /a", "* /a", true),
            ("GET,POST /a", "POST /a", true),
            ("GET /a", "POST /a", false),
            ("GET /a", "* /a", false),
            ("GET /a", "GET /a host=b", false),
            ("GET /a header:v=1", "GET /a header:v=2", false),
            ("GET /a header:v=1", "GET /a header:w=2", true),
            ("GET /a header:v=1", "GET /a", false),
            ("GET /a/**", "GET /a/{r...}", true),
            ("GET /a", "HEAD /a", true),
            ("HEAD /a", "GET /a", true),
        ];
        for (first, second, tie) in cases {
            let (_, ties) = Router::new(vec![(rule(first), first), (rule(second), second)]);
            assert_eq!(!ties.is_empty(), tie, "{first} | {second}");
        }
    }
}
