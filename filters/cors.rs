//! Cross-origin requests (the Fetch standard, 3.3): answers preflights, and says which origins may read an answer.
//!
//! The route's key `cors:` switches it on, and the engine puts it into its own place before the caller is known,
//! because a preflight carries no token. What a service itself says about origins is taken out: one place decides.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::api::{Env, Exchange, Filter, Flow, Phases, Reply};
use crate::units::{Name, Origin, Span, written_as_text};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "cors")]
pub(crate) struct Config {
    /// The origins that may read answers, or `"*"`: everybody, without credentials.
    #[schemars(with = "OriginsSchema")]
    origins: Origins,
    /// The methods that a foreign page may use. Default: all but CONNECT and TRACE.
    methods: Option<Vec<Verb>>,
    /// The headers that a foreign page may send. Default: those it asks for.
    headers: Option<Vec<Name>>,
    /// Whether the browser may send cookies along. Default: false.
    #[serde(default)]
    credentials: bool,
    /// How long a browser may remember the answer to a preflight. Default: not said.
    max_age: Option<Span>,
}

pub(crate) struct Cors {
    origins: Allowed,
    credentials: bool,
    methods: HeaderValue,
    /// `None`: those that are asked for.
    headers: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

/// The origins, as the header values that a request is compared with and answered by.
enum Allowed {
    Everybody,
    These(Vec<HeaderValue>),
}

const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";
const ANYBODY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What only the gateway may say.
const OURS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    PRIVATE_NETWORK,
];

/// More names than this are not echoed: no page needs them.
const MOST_ECHOED: usize = 64;

impl Filter for Cors {
    const NAME: &'static str = "cors";
    const EXAMPLE: &'static str =
        r#"cors: { origins: ["https://portal.example.org"], credentials: true, max_age: 10m }"#;
    type Config = Config;
    type State = ();

    fn new(config: Config, _: &Env) -> anyhow::Result<Self> {
        let origins = match config.origins {
            Origins::Any if config.credentials => anyhow::bail!(
                "`credentials` with origins \"*\" would let every page act in its visitor's name: list the origins"
            ),
            Origins::Any => Allowed::Everybody,
            Origins::These(origins) => Allowed::These(origins.iter().map(Origin::header_value).collect()),
        };
        let methods = match &config.methods {
            None => HeaderValue::from_static(METHODS),
            Some(verbs) if verbs.is_empty() => {
                anyhow::bail!("`methods` is empty: leave it out to allow the usual ones")
            }
            Some(verbs) => list(verbs.iter().map(|verb| verb.0.as_str()))?,
        };
        let headers = config.headers.map(|names| list(names.iter().map(|name| name.get().as_str()))).transpose()?;
        let max_age = config.max_age.map(|span| HeaderValue::from(span.as_secs()));
        Ok(Cors { origins, credentials: config.credentials, methods, headers, max_age })
    }

    fn phases(&self, on: &mut Phases<Self>) {
        on.request(Self::answer_preflight);
        on.response(Self::say_who_may_read);
    }
}

impl Cors {
    /// A preflight asks before the real request: `OPTIONS` with `Origin` and `Access-Control-Request-Method`. It gets
    /// 200 in any case; a foreign origin learns that it may nothing from what is not said.
    fn answer_preflight(&self, exchange: Exchange<'_>) -> Result<Flow> {
        let asked = &exchange.request.headers;
        let preflight = exchange.request.method == Method::OPTIONS
            && asked.contains_key(ORIGIN)
            && asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !preflight {
            return Ok(Flow::Continue);
        }
        // This filter's own reply does not pass its `response` hook, so all is said here.
        let mut reply = Reply::answer(StatusCode::OK, Bytes::new());
        let mut say = |name, value| reply.headers.push((name, value));
        if let Some(origin) = self.reader(exchange.request) {
            say(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if self.credentials {
                say(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
            }
            say(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            if let Some(headers) = self.headers.clone().or_else(|| echoed(asked)) {
                say(ACCESS_CONTROL_ALLOW_HEADERS, headers);
            }
            if let Some(max_age) = &self.max_age {
                say(ACCESS_CONTROL_MAX_AGE, max_age.clone());
            }
        }
        if self.depends_on_the_origin() {
            say(VARY, BY_ORIGIN);
        }
        Ok(reply.into())
    }

    fn say_who_may_read(&self, exchange: Exchange<'_>, answer: &mut ResponseHeader) -> Result<()> {
        // One look at the names is cheaper than six removals, and services behind a gateway seldom speak of origins.
        let spoken = answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"));
        let reader = self.reader(exchange.request);
        if spoken {
            OURS.iter().for_each(|name| drop(answer.remove_header(name)));
            if reader.is_none() {
                answer.remove_header(&ACCESS_CONTROL_EXPOSE_HEADERS);
            }
        }
        if let Some(origin) = reader {
            // Pingora takes a spelled name without a copy; a `HeaderName` that it has no spelling for, it copies.
            answer.insert_header("Access-Control-Allow-Origin", origin)?;
            if self.credentials {
                answer.insert_header("Access-Control-Allow-Credentials", TRUE)?;
            }
        }
        // Said also to those who may not read: a cache must not hand them what an allowed origin got, nor the reverse.
        if self.depends_on_the_origin() && !varies_by_origin(&answer.headers) {
            answer.append_header("Vary", BY_ORIGIN)?;
        }
        Ok(())
    }

    /// The value of `Access-Control-Allow-Origin` for this request, when its origin may read. Compared byte by byte:
    /// `null` never matches, nor do two `Origin` lines.
    fn reader(&self, request: &RequestHeader) -> Option<HeaderValue> {
        match &self.origins {
            Allowed::Everybody => Some(ANYBODY),
            Allowed::These(origins) => {
                let mut asked = request.headers.get_all(ORIGIN).iter();
                let origin = asked.next().filter(|_| asked.next().is_none())?;
                origins.iter().find(|allowed| *allowed == origin).cloned()
            }
        }
    }

    fn depends_on_the_origin(&self) -> bool {
        matches!(self.origins, Allowed::These(_))
    }
}

/// The header names that a preflight asks for: valid ones only, each once, sorted.
fn echoed(asked: &HeaderMap) -> Option<HeaderValue> {
    let lines = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS);
    let texts = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let mut names: Vec<&str> = texts.map(str::trim).filter(|name| name.parse::<HeaderName>().is_ok()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() || names.len() > MOST_ECHOED {
        return None;
    }
    list(names.into_iter()).ok()
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> anyhow::Result<HeaderValue> {
    Ok(HeaderValue::from_str(&words.collect::<Vec<_>>().join(", "))?)
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VARY);
    let mut names = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    names.any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("origin"))
}

/// `"*"`, or a list of exact origins.
enum Origins {
    Any,
    These(Vec<Origin>),
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum OriginsSchema {
    Any(#[schemars(extend("const" = "*"))] String),
    These(Vec<Origin>),
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(OriginsVisitor)
    }
}

struct OriginsVisitor;

impl<'de> Visitor<'de> for OriginsVisitor {
    type Value = Origins;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a list of origins, or "*""#)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Origins, E> {
        match text {
            "*" => Ok(Origins::Any),
            _ => Err(E::custom(format_args!(r#"expected a list of origins, or "*", got {text:?}"#))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Origins, A::Error> {
        let mut origins = Vec::new();
        let mut any = false;
        while let Some(OriginOrAny(origin)) = list.next_element()? {
            any |= origin.is_none();
            origins.extend(origin);
        }
        match (any, origins.is_empty()) {
            (true, true) => Ok(Origins::Any),
            (true, false) => Err(A::Error::custom("`*` is every origin: it stands alone, or not at all")),
            (false, _) => Ok(Origins::These(origins)),
        }
    }
}

/// `None`: every origin.
struct OriginOrAny(Option<Origin>);

written_as_text!(OriginOrAny, "origin_or_any", r#"an origin, or "*""#, {});

impl FromStr for OriginOrAny {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" { Ok(OriginOrAny(None)) } else { text.parse().map(|origin| OriginOrAny(Some(origin))) }
    }
}

/// A method, in capitals.
struct Verb(Method);

written_as_text!(Verb, "method", r#"a method in capitals, such as "GET""#, { "pattern": "^[A-Z]+$" });

impl FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Method names are case-sensitive (RFC 9110, 9.1): `get` would be a method that nobody has.
        let capitals = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase());
        let method = text.parse().ok().filter(|_| capitals);
        method.map(Verb).ok_or_else(|| format!(r#"expected a method in capitals, such as "GET", got {text:?}"#))
    }
}

#[cfg(test)]
mod tests;
