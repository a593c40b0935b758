//! How a filter type becomes an entry of a list, and an entry with options a link of a chain.

use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};

use super::filter::{Env, Filter};
use super::link::{Installed, Link};
use super::node::Node;
use super::problem::Problem;

/// A filter as the engine knows it: by name, in a static list.
pub struct Registration {
    /// [`Filter::NAME`].
    pub name: &'static str,
    /// [`Filter::EXAMPLE`].
    pub example: &'static str,
    /// [`Filter::REASONS`].
    pub reasons: &'static [&'static str],
    /// The JSON Schema of the options.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Makes a link from options.
    pub build: Build,
}

/// Makes a link from options. What is wrong with them is added to the problems; with an unknown key there may be both,
/// a link and a problem. One mistake is one problem: what a filter says of options that were not read in full is dropped.
pub type Build = fn(&Node, &Env, &mut Vec<Problem>) -> Option<Arc<dyn Link>>;

/// The entry of a filter, for a `static` list.
pub const fn register<F: Filter>() -> Registration {
    Registration {
        name: F::NAME,
        example: F::EXAMPLE,
        reasons: F::REASONS,
        schema: |generator| generator.subschema_for::<F::Config>(),
        build: build::<F>,
    }
}

/// Puts a filter that is already made into the form that chains are made of.
pub fn install<F: Filter>(filter: F) -> Arc<dyn Link> {
    Arc::new(Installed::new(filter))
}

fn build<F: Filter>(options: &Node, env: &Env, problems: &mut Vec<Problem>) -> Option<Arc<dyn Link>> {
    let mut found = Vec::new();
    let config = options.read::<F::Config>(&mut found);
    let in_full = found.is_empty();
    found.into_iter().for_each(|problem| problem.record(problems));
    match F::new(config?, env) {
        Ok(filter) => Some(install(filter)),
        Err(_) if !in_full => None,
        Err(error) => {
            let message = options.redact(format!("{}: {error:#}", F::NAME));
            Problem::new(options.at, message).record(problems);
            None
        }
    }
}
