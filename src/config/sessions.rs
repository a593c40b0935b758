//! `sessions:` as it is written: `memory`, or the Redis that gateways share.

use std::str::FromStr;

use hilum_filters::api::{LineOrMap, Placed, Try};
use hilum_filters::units::{Positive, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::identity::redis::RedisOptions;

/// `memory`, or the URL of a Redis. Holds a password, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum SessionsLine {
    Memory,
    Redis(Box<str>),
}

impl std::fmt::Debug for SessionsLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Memory { "Memory" } else { "Redis" })
    }
}

impl FromStr for SessionsLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(SessionsLine::Memory),
            // The value may be a URL with a password: it is not repeated.
            _ if !text.contains("://") => {
                Err("sessions are kept in `memory`, or in a Redis: `redis://host:6379/0`".to_owned())
            }
            url => RedisOptions::check(url).map(|()| SessionsLine::Redis(url.into())),
        }
    }
}

/// A Redis, and how long it is waited for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedSessions {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS; with Sentinels
    /// `redis+sentinel://[user:password@]host:port,host:port/NAME[/database]`.
    pub redis: Placed<RedisUrl>,
    /// How long one look-up may take, a new connection included. Default 200ms.
    #[serde(default)]
    pub timeout: Option<Try<Positive<Span>>>,
}

/// The URL of a Redis.
#[derive(Clone)]
pub struct RedisUrl(Box<str>);

impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisUrl")
    }
}

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        RedisOptions::check(text).map(|()| RedisUrl(text.into()))
    }
}

super::conf::written_as_text!(RedisUrl);

/// The Redis that was written; `None`: in memory.
pub(super) fn redis(written: &LineOrMap<SessionsLine, SharedSessions>) -> Option<RedisOptions> {
    let (url, timeout) = match written {
        LineOrMap::Line(Placed { value: SessionsLine::Memory, .. }) => return None,
        LineOrMap::Line(Placed { value: SessionsLine::Redis(url), .. }) => (url, None),
        LineOrMap::Map(shared) => (&shared.redis.value.0, shared.timeout.and_then(|span| span.0)),
    };
    Some(RedisOptions { url: url.clone(), timeout: timeout.map_or(RedisOptions::TIMEOUT, |span| span.get()) })
}
