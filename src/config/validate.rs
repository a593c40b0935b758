//! `validate:` as it is written: what a client's body must be.

use hilum_filters::api::{Node, Placed};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::identity::claims::ClaimPath;

/// One entry, with exactly one of the keys before `message`. The first that does not hold refuses the request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `object`: the body is a JSON object.
    #[serde(default)]
    pub body: Option<Placed<Form>>,
    /// Fields of that object that are there, dotted where they are inside of others. Null and the empty text are not there.
    #[serde(default)]
    pub require: Option<Placed<Vec<Placed<ClaimPath>>>>,
    /// A Jinja expression over `request.body`, `params`, `query`, `claims` and `now`. Null is absent, and what is absent can be compared with nothing.
    #[serde(default)]
    pub unless: Option<Placed<String>>,
    /// A JSON Schema: a file relative to this one, or written here.
    #[serde(default)]
    pub schema: Option<Node>,
    /// What the client is told. In `require`, `{{ field }}` is the field that is not there.
    #[serde(default)]
    pub message: Option<Placed<String>>,
}

/// What a body can be asked to be.
#[derive(Debug, Clone, Copy)]
pub struct Form;

impl std::str::FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        (text == "object").then_some(Form).ok_or_else(|| format!("expected `object`, found `{text}`"))
    }
}

super::conf::written_as_text!(Form);
