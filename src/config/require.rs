//! `require:` as it is written: what must hold besides who is calling.

use hilum_filters::api::{Placed, Try};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask::Ask;
use super::shapes::BodyStatus;

/// One entry: a request is refused unless it holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// A service whose answer must be a success with JSON.
    #[serde(default)]
    pub ask: Option<Try<Ask>>,
    /// What that JSON is called in this `unless` and in later ones.
    #[serde(default, rename = "as")]
    pub name: Option<Placed<String>>,
    /// A Jinja expression over `claims`, `params`, `query`, `now` and what was asked. Null is absent, and what is absent can be compared with nothing.
    #[serde(default)]
    pub unless: Option<Placed<String>>,
    /// Why it is refused: any reason with a status from 400 to 499.
    pub reason: Placed<String>,
    /// Default: the reason's own.
    #[serde(default)]
    pub status: Option<Placed<BodyStatus>>,
    /// Default: what `messages` says of the reason.
    #[serde(default)]
    pub message: Option<Placed<String>>,
    /// The text of a 404, where the service says that there is no such thing. Default: `reason` then, too.
    #[serde(default)]
    pub missing: Option<Placed<String>>,
}
