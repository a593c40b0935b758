//! `tokens:` as they are written.

use hilum_filters::api::{Entries, Node, Placed, Try};
use hilum_filters::units::{Positive, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use super::service::HeaderText;
use crate::identity::claims::ClaimPath;

/// How a caller proves who they are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Where the token is looked for; the first present wins, even when it is bad.
    pub from: Placed<Vec<Try<TokenFrom>>>,
    pub verify: Try<Verify>,
    /// The token must exist in the session store as well.
    #[serde(default)]
    pub session: Option<Try<Session>>,
    /// The claim that holds the roles, a list or one text: `realm_access.roles`. Default `roles`.
    #[serde(default)]
    pub roles: Option<Placed<ClaimPath>>,
    /// Headers that tell a service who is calling, and the claims they are made of.
    #[serde(default)]
    pub identity: Entries<Try<ClaimPath>>,
    /// The cookie that a login sets.
    #[serde(default)]
    pub cookie: Option<Try<Cookie>>,
}

/// `{ header, scheme }` or `{ cookie }`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenFrom {
    #[serde(default)]
    pub header: Option<Placed<HeaderText>>,
    #[serde(default)]
    pub scheme: Option<Placed<String>>,
    #[serde(default)]
    pub cookie: Option<Placed<String>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// `HS256`, `HS384`, `HS512`.
    pub algorithms: Placed<Vec<Placed<String>>>,
    /// At least 32 bytes, from a variable: `"${JWT_SECRET_KEY}"`.
    pub secret: Node,
    /// Accepts a secret that is too short to be safe; said at every start.
    #[serde(default)]
    pub allow_weak_secret: bool,
    /// How far clocks may differ. Default 0s.
    #[serde(default)]
    pub leeway: Option<Try<Span>>,
    /// The farthest that `exp` may be ahead. Default 24h.
    #[serde(default)]
    pub max_lifetime: Option<Try<Positive<Span>>>,
    /// What claims must be: a value, or a list of which one must fit; `{ absent: true }` is one of them.
    #[serde(default)]
    pub claims: Entries<Node>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The key in the store: text with `{token}`, or `{token.sha256}` where no other program reads the key.
    pub key: Placed<String>,
    /// How long a session that was ended elsewhere may still be taken for alive. Default 2s. In memory there is no elsewhere.
    #[serde(default)]
    pub max_staleness: Option<Try<Span>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cookie {
    pub name: Placed<String>,
    #[serde(default)]
    pub same_site: SameSite,
    /// `auto`: when the client's connection is TLS. Default auto.
    #[serde(default)]
    pub secure: Secure,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    #[default]
    Lax,
    Strict,
    None,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Secure {
    #[default]
    Auto,
    Always,
    Never,
}

super::conf::written_as_text!(ClaimPath);
