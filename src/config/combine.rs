//! `combine:` as it is written: several calls side by side, one answer.

use hilum_filters::api::{Entries, Node, Placed, Try};
use hilum_filters::units::{Positive, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::shapes::BodyStatus;

/// Several services are asked at the same time, and one answer is made of what they say.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Combine {
    /// How long all the calls together may take. Default 5s; never longer than `limits: { time }`.
    #[serde(default)]
    pub time: Option<Try<Placed<Positive<Span>>>>,
    /// What is asked, by the name that its answer has in `json`.
    pub parts: Placed<Entries<Try<Part>>>,
    /// The answer. Names: each part, `missing`, `status.PART`, `params`, `query`, `claims`, `now`.
    pub json: Node,
    /// Default 200.
    #[serde(default)]
    pub status: Option<Placed<BodyStatus>>,
}

/// One call, in the caller's name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub service: Placed<String>,
    pub path: Placed<String>,
    #[serde(default)]
    pub query: Entries<Placed<String>>,
    /// Default GET. A POST has no body.
    #[serde(default)]
    pub method: Option<PartMethod>,
    /// What stands in the place of the part when it fails; its name is then in `missing`. Absent: the whole answer fails.
    #[serde(default, deserialize_with = "written")]
    pub otherwise: Option<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum PartMethod {
    Get,
    Post,
}

/// `otherwise: null` is a value as well, and not the same as no `otherwise`.
fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Node>, D::Error> {
    Node::deserialize(deserializer).map(Some)
}
