//! One rule: the path, host, methods, headers and query that a request must have.

use std::str::FromStr;

use http::{HeaderName, HeaderValue, Method};
use smallvec::SmallVec;

use super::{Head, Pattern, host::Host};

/// What a request must have to belong to a route.
#[derive(Clone, Debug)]
pub struct Rule {
    pub path: Pattern,
    pub host: Option<Host>,
    pub methods: Methods,
    pub headers: Vec<(HeaderName, Condition)>,
    pub query: Vec<(String, Condition)>,
}

/// The methods a rule takes. `GET` implies `HEAD` (RFC 9110, 9.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// [`SERVED`]: what `Allow` says is all that is taken, so a method that nobody knows reaches no service by accident.
    Any,
    These(SmallVec<[Method; 4]>),
}

/// What a rule without methods takes, in alphabetical order. `TRACE` and `CONNECT` are never served.
const SERVED: [Method; 7] =
    [Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT];

/// What a header or query value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Present,
    Is(String),
}

impl From<&str> for Condition {
    fn from(value: &str) -> Self {
        if value == "*" { Condition::Present } else { Condition::Is(value.to_owned()) }
    }
}

impl Methods {
    /// As they are written; none where the rule names none.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let these = match self {
            Methods::Any => &[],
            Methods::These(these) => &these[..],
        };
        these.iter().map(Method::as_str)
    }

    pub fn take(&self, method: &Method) -> bool {
        match self {
            Methods::Any => SERVED.contains(method),
            Methods::These(these) => {
                these.contains(method) || (*method == Method::HEAD && these.contains(&Method::GET))
            }
        }
    }
}

impl FromStr for Methods {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut these = SmallVec::new();
        for name in text.split(',').map(str::trim) {
            if ["TRACE", "CONNECT"].contains(&name) {
                return Err(format!("`{name}` is never served"));
            }
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
                return Err(format!(
                    "expected methods such as `GET` or `GET,POST` ({}), found `{name}`",
                    SERVED.each_ref().map(Method::as_str).join(", ")
                ));
            }
            let method = name.parse().map_err(|_| format!("`{name}` is not a method"))?;
            if these.contains(&method) {
                return Err(format!("`{name}` stands twice"));
            }
            these.push(method);
        }
        Ok(Methods::These(these))
    }
}

impl Rule {
    pub fn new(path: Pattern) -> Self {
        Rule { path, host: None, methods: Methods::Any, headers: Vec::new(), query: Vec::new() }
    }

    pub(super) fn host_fits(&self, host: &str) -> bool {
        self.host.as_ref().is_none_or(|h| h.fits(host))
    }

    pub(super) fn conditions_fit(&self, head: &Head<'_>) -> bool {
        self.headers.iter().all(|(name, condition)| {
            let mut values = head.headers.get_all(name).iter();
            match condition {
                Condition::Present => values.next().is_some(),
                Condition::Is(text) => values.any(|v| v.as_bytes() == text.as_bytes()),
            }
        }) && self.query.iter().all(|(name, condition)| {
            let mut values = query_values(head.query.unwrap_or(""), name);
            match condition {
                Condition::Present => values.next().is_some(),
                Condition::Is(text) => values.any(|v| v == text.as_str()),
            }
        })
    }

    /// Higher is looked at first: the more specific host, then more conditions, then named methods.
    pub(super) fn rank(&self) -> (usize, usize, bool) {
        let host = self.host.as_ref().map_or(0, Host::rank);
        (host, self.headers.len() + self.query.len(), self.methods != Methods::Any)
    }

    /// Whether a request could belong to both and nothing says which one goes first.
    pub(super) fn ties_with(&self, other: &Rule) -> bool {
        let methods_meet = match (&self.methods, &other.methods) {
            (Methods::Any, _) | (_, Methods::Any) => true,
            (Methods::These(a), Methods::These(b)) => {
                a.iter().any(|m| other.methods.take(m)) || b.iter().any(|m| self.methods.take(m))
            }
        };
        self.rank() == other.rank() && self.host == other.host && methods_meet && !self.contradicts(other)
    }

    /// Whether one condition of each rules the other out.
    fn contradicts(&self, other: &Rule) -> bool {
        fn differ<N: PartialEq>(a: &[(N, Condition)], b: &[(N, Condition)]) -> bool {
            a.iter().any(|(name, x)| {
                b.iter()
                    .any(|(other, y)| name == other && x != y && *x != Condition::Present && *y != Condition::Present)
            })
        }
        differ(&self.headers, &other.headers) || differ(&self.query, &other.query)
    }
}

/// The decoded values of a query name, in order.
pub(crate) fn query_values<'q>(query: &'q str, name: &'q str) -> impl Iterator<Item = std::borrow::Cow<'q, str>> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

/// A piece of a query as a form writes it: `+` is a space, then percent-decoded; bytes that are not UTF-8 are replaced.
fn decode(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned().into()
}

/// The value of `Allow` for these (RFC 9110, 10.2.1).
pub(super) fn allow<'m>(methods: impl Iterator<Item = &'m Methods>) -> HeaderValue {
    let mut names: Vec<&str> = Vec::new();
    for methods in methods {
        match methods {
            Methods::Any => names.extend(SERVED.iter().map(Method::as_str)),
            Methods::These(these) => {
                names.extend(these.iter().map(Method::as_str));
                if these.contains(&Method::GET) {
                    names.push("HEAD");
                }
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    HeaderValue::from_str(&names.join(", ")).expect("method names are tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_takes_the_methods_that_allow_lists() {
        let cases = [
            ("*", "DELETE GET HEAD OPTIONS PATCH POST PUT", "TRACE CONNECT PURGE MOVE get"),
            ("GET", "GET HEAD", "POST OPTIONS get"),
            ("POST,PURGE", "POST PURGE", "GET HEAD"),
            ("HEAD", "HEAD", "GET"),
        ];
        for (text, taken, refused) in cases {
            let methods = if text == "*" { Methods::Any } else { text.parse().unwrap() };
            let take = |name: &str| methods.take(&Method::from_bytes(name.as_bytes()).unwrap());
            assert!(taken.split(' ').all(take) && !refused.split(' ').any(take), "{text}");
            assert_eq!(allow([&methods].into_iter()), taken.replace(' ', ", ").as_str(), "{text}");
        }
    }
}
