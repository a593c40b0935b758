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
    /// How a browser's session goes on when its token is about to run out.
    #[serde(default)]
    pub refresh: Option<Try<Refresh>>,
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
    /// `HS256`, `HS384`, `HS512` with a secret; `RS256` to `RS512`, `PS256` to `PS512`, `ES256`, `ES384` or `EdDSA` with a
    /// public key.
    pub algorithms: Placed<Vec<Placed<String>>>,
    /// At least 32 bytes, from a variable: `"${JWT_SECRET_KEY}"`. One of `secret`, `key`, `key_file` and
    /// `jwks`.
    #[serde(default)]
    pub secret: Option<Node>,
    /// A public key in PEM form, from a variable or written here.
    #[serde(default)]
    pub key: Option<Placed<String>>,
    /// A file with a public key in PEM form. It is read when this file is.
    #[serde(default)]
    pub key_file: Option<Placed<String>>,
    /// The keys that the issuer publishes.
    #[serde(default)]
    pub jwks: Option<Try<Jwks>>,
    /// Accepts a secret that is too short to be safe; said at every start.
    #[serde(default)]
    pub allow_weak_secret: Option<Placed<bool>>,
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
pub struct Jwks {
    /// Where: https, or http to a loopback address. Redirects are not followed.
    pub url: Placed<String>,
    /// How often they are fetched; at least 1s, default 10m. A token that names an unknown key has them fetched as well, at
    /// most every 10s.
    #[serde(default)]
    pub refresh: Option<Try<Positive<Span>>>,
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

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// How long before its end a token is refreshed. Default 2m.
    #[serde(default)]
    pub before: Option<Try<Positive<Span>>>,
    /// The service that gives out the next token. It is asked with POST: `{"refresh_token": …}` when the one before came with
    /// such, and the token itself as `Authorization: Bearer`.
    pub service: Placed<String>,
    pub path: Placed<String>,
    /// The claims by which the next token is known to be the same person's; all must be in both tokens. Default `[sub]`.
    #[serde(default)]
    pub same: Option<Placed<Vec<Try<ClaimPath>>>>,
    /// How long a session may go on in all. Default 12h.
    #[serde(default)]
    pub max: Option<Try<Positive<Span>>>,
    /// Where the answer has the token. Default `access_token`.
    #[serde(default)]
    pub access: Option<ClaimPath>,
    /// Where the answer has its lifetime in seconds. Default `expires_in`.
    #[serde(default)]
    pub expires: Option<ClaimPath>,
    /// Where the answer has the next refresh token. Default `refresh_token`.
    #[serde(default)]
    pub refresh: Option<ClaimPath>,
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
