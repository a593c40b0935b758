//! `ask:` as it is written: a service says whether the caller may.

use hilum_filters::api::{Placed, Try};
use hilum_filters::units::{Positive, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use super::shapes::Status;

/// A GET of our own, in the caller's name, before the request goes on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub service: Placed<String>,
    pub path: Placed<String>,
    /// In `own`: the status that is the yes. Default: any from 200 to 299.
    #[serde(default)]
    pub is: Option<Placed<Status>>,
    /// For how long a yes or a no is kept for the same caller and path. Default: not at all.
    #[serde(default)]
    pub keep: Option<Try<Positive<Span>>>,
}
