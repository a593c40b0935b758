//! `rate:` as it is written: how often a client, an account or a caller may.

use hilum_filters::api::{LineOrMap, Placed, Try};
use hilum_filters::units::Rate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::service::HeaderText;
use crate::identity::claims::ClaimPath;

/// One limit.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// `5/1m`: five at once, then one each twelve seconds.
    pub allow: Placed<Rate>,
    /// What is counted by: `client` (the address), or a header, a claim of the token, or a field of the JSON body.
    pub key: Placed<Try<LineOrMap<Client, KeyOf>>>,
    /// `all` requests, or only `failures`: refused sign-ins, and callers whose claims don't fit. Default all.
    #[serde(default)]
    pub count: Option<Placed<Count>>,
}

/// The client's address.
#[derive(Debug, Clone, Copy)]
pub struct Client;

impl std::str::FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected `client`, or `{{ header | claim | body: NAME }}`, found `{text}`");
        (text == "client").then_some(Client).ok_or_else(expected)
    }
}

/// Where the value is that is counted by.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyOf {
    Header(Placed<HeaderText>),
    Claim(ClaimPath),
    Body(ClaimPath),
}

/// Which requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    All,
    Failures,
}

impl std::str::FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Count::All),
            "failures" => Ok(Count::Failures),
            _ => Err(format!("expected `all` or `failures`, found `{text}`")),
        }
    }
}

super::conf::written_as_text!(Client, Count);
