//! VALUES → MACHINE. A [`Table`] is compiled once, never changed, and swapped whole; a request keeps the one it began with.
//!
//! Deciding is pure, in two steps: [`decide::find`] says which route, [`decide::judge`] whether it may and what is done, or which
//! service must be asked first.

mod access;
pub mod ask;
mod audit;
mod compile;
pub mod csrf;
pub mod decide;
mod describe;
mod owner;
mod pages;
mod rates;
mod require;
mod roles;
mod route;
mod schema;
mod validate;

use std::sync::Arc;

pub use access::Access;
pub use audit::Audit;
pub use compile::{Parts, hash};
pub use describe::{Description, Line};
pub use pages::Folder;
pub use route::{Limits, Route};

use crate::identity::Token;
use crate::identity::keys::KeySet;
use crate::refusal::Errors;
use crate::router::Router;
use crate::services::Pool;

/// Everything that `routes.yaml` says, ready to run.
#[derive(Debug)]
pub struct Table {
    router: Router<Arc<Route>>,
    /// In the order of the file.
    pub routes: Vec<Arc<Route>>,
    areas: Vec<Area>,
    pub pools: Vec<Arc<Pool>>,
    pub tokens: Vec<Arc<Token>>,
    /// The published keys that tokens are verified with.
    pub key_sets: Vec<Arc<KeySet>>,
    /// Headers that carry an identity, of all tokens: no client may send them, on no route.
    pub own_headers: Vec<http::HeaderName>,
    /// Cookies that are ours: no service may set them.
    pub own_cookies: Vec<Box<str>>,
    /// Where its templates are, and what they were.
    pub pages: Option<Folder>,
    /// Of the unexpanded text, so that it tells which file is running and nothing about secrets.
    pub hash: String,
}

/// A path prefix, and how refusals look where no route is.
#[derive(Debug)]
struct Area {
    prefix: Option<String>,
    errors: Errors,
}

impl Table {
    /// How a request that found no route is refused: by the group with the longest fitting path, else by the defaults.
    pub fn errors_at(&self, path: &str) -> &Errors {
        let fits = |area: &&Area| area.prefix.as_deref().is_none_or(|prefix| is_below(path, prefix));
        let longest = self.areas.iter().filter(fits).max_by_key(|area| area.prefix.as_ref().map_or(0, String::len));
        &longest.expect("the defaults fit every path").errors
    }
}

/// Whether a canonical path is a prefix's or below it; `{name}` in the prefix takes any segment.
fn is_below(path: &str, prefix: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    prefix.trim_end_matches('/').split('/').skip(1).all(|wanted| match segments.next() {
        Some(segment) => wanted == segment || (wanted.starts_with('{') && !segment.is_empty()),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn a_prefix_is_cut_at_segments() {
        let cases = [
            ("/api/x", "/api", true),
            ("/api", "/api", true),
            ("/apix", "/api", false),
            ("/", "/api", false),
            ("/anything", "/", true),
            ("/p/7/x", "/p/{id}", true),
            ("/p/", "/p/{id}", false),
        ];
        for (path, prefix, below) in cases {
            assert_eq!(is_below(path, prefix), below, "{path} {prefix}");
        }
    }
}
