//! `require:` as it is written: what must hold besides who is calling.

use hilum_filters::api::Placed;
use schemars::JsonSchema;
use serde::Deserialize;

use super::route::BodyStatus;

/// One entry: a request is refused unless it holds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// A Jinja expression over `claims`, `params`, `query` and `now`. Null is equal to nothing.
    pub unless: Placed<String>,
    /// Why it is refused: any reason with a status from 400 to 499.
    pub reason: Placed<String>,
    /// Default: the reason's own.
    #[serde(default)]
    pub status: Option<Placed<BodyStatus>>,
    /// Default: what `messages` says of the reason.
    #[serde(default)]
    pub message: Option<Placed<String>>,
}
