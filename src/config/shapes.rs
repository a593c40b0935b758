//! How answers look: `errors:`, `reply:`, and the statuses that may be written.

use hilum_filters::api::{Node, Placed};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorShape {
    #[serde(default)]
    pub status: Option<Placed<BodyStatus>>,
    #[serde(default)]
    pub json: Option<Node>,
    #[serde(default)]
    pub text: Option<Placed<String>>,
    /// A template below `pages: { root }`, for people.
    #[serde(default)]
    pub page: Option<Placed<String>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplyShape {
    #[serde(default)]
    pub status: Option<Placed<BodyStatus>>,
    pub json: Node,
}

/// A final HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub http::StatusCode);

impl std::str::FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let status = text
            .parse::<u16>()
            .ok()
            .filter(|n| (200..600).contains(n))
            .and_then(|n| http::StatusCode::from_u16(n).ok());
        status.map(Status).ok_or_else(|| format!("expected a status from 200 to 599, found `{text}`"))
    }
}

impl Status {
    /// Whether an answer with this status has no body (RFC 9110, 15.3.5, 15.3.6 and 15.4.5).
    pub fn is_bodiless(self) -> bool {
        [204, 205, 304].contains(&self.0.as_u16())
    }
}

/// The status of an answer with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyStatus(pub http::StatusCode);

impl std::str::FromStr for BodyStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let status: Status = text.parse()?;
        match status.is_bodiless() {
            true => Err(format!("an answer with status {text} has no body, and here there is one")),
            false => Ok(BodyStatus(status.0)),
        }
    }
}

super::conf::written_as_text!(Status, BodyStatus);
