//! `auth:` as it is written: who may call a route.

use hilum_filters::api::{Entries, Node, Placed, Try};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::Ask;
use crate::identity::claims::ClaimPath;

#[derive(Debug, Clone, Copy)]
pub struct Public;

impl std::str::FromStr for Public {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        (text == "public")
            .then_some(Public)
            .ok_or_else(|| format!("expected `public` or `{{ token: NAME }}`, found `{text}`"))
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// A name under `tokens:`.
    pub token: Placed<String>,
    /// `true`: a caller without a token may as well, as nobody; one with a bad token is refused all the same.
    #[serde(default)]
    pub optional: Placed<bool>,
    /// What claims of the token must be: a value, or a list of which one must fit.
    #[serde(default)]
    pub claims: Entries<Node>,
    /// One of these must be in the claim that the token calls `roles`.
    #[serde(default)]
    pub roles: Option<Placed<Vec<Placed<String>>>>,
    /// Whose the resource is: the caller must fit one of these.
    #[serde(default)]
    pub own: Option<Placed<Vec<Try<Owner>>>>,
    /// For pages: where a refused caller is sent, by reason or `else`.
    #[serde(default)]
    pub when_denied: Entries<Try<Denied>>,
}

/// One way of being allowed: callers with these claims, whose `claim` is what the path has in `param`, or for whom a service says yes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Which callers this is about. Default: all.
    #[serde(default)]
    pub claims: Entries<Node>,
    /// A parameter of the path.
    #[serde(default)]
    pub param: Option<Placed<String>>,
    /// The claim that must be equal to it, byte for byte.
    #[serde(default)]
    pub claim: Option<Placed<ClaimPath>>,
    /// The service that says whether it is the caller's.
    #[serde(default)]
    pub ask: Option<Placed<Try<Ask>>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// An own path; may hold `{claims.…}` where the caller is known.
    pub redirect: Placed<String>,
    /// Clears the token's cookie when one was sent and refused.
    #[serde(default)]
    pub clear_cookie: Placed<bool>,
}
