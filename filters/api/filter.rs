//! The promise a filter makes.

use std::path::PathBuf;

use http::HeaderName;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::phases::Phases;

/// A behaviour that a route can switch on by name.
///
/// One value is made per use in the file, when the file is loaded, and shared by all requests.
pub trait Filter: Sized + Send + Sync + 'static {
    /// The name users write, in `snake_case`.
    const NAME: &'static str;

    /// A working entry, `name: options` in YAML; shown by `hilum filters`, built by the tests.
    const EXAMPLE: &'static str;

    /// Every `reason` that a reply of this filter may carry: labels of a metric, and what `messages:` may name.
    const REASONS: &'static [&'static str] = &[];

    /// The options under the name. Derive `Deserialize` and `JsonSchema`, with `#[serde(deny_unknown_fields)]` and
    /// `#[schemars(rename = "<name>")]`. Checks belong into the types of the fields (see [`units`](crate::units)):
    /// then a problem has the place of the value.
    type Config: DeserializeOwned + JsonSchema;

    /// Memory of one exchange. `()` costs nothing.
    type State: Default + Send + Sync + 'static;

    /// Prepares all that can be prepared. An error points at the options as a whole, so it is for rules that join
    /// several of them.
    fn new(config: Self::Config, env: &Env) -> anyhow::Result<Self>;

    /// Says which phases this filter takes part in, given its options.
    fn phases(&self, on: &mut Phases<Self>);
}

/// What a filter may know about its surroundings while it is made.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// The folder that paths in the file are relative to.
    pub base_dir: PathBuf,
    /// Headers that only Hilum writes to a service: they tell who is calling, or a token comes in them.
    pub own_headers: Vec<HeaderName>,
}
