//! Text and JSON with holes, compiled at load and filled per request. Pure.
//!
//! [`Line`] is for paths, queries and headers: `{param}`, `{claims.a.b}`, `{query.x}`, `{x:-default}`.
//! [`Json`] is for answers: any JSON whose texts hold Jinja expressions, `"{{ body.detail or 'no detail' }}"`.
//! [`Unless`] is one such expression that must hold.
//! [`Pages`] are HTML for people: Jinja templates of a folder, written out as Flask does.

mod expression;
mod gateway;
mod json;
mod line;
mod links;
mod markup;
mod matching;
mod pages;
mod scope;
mod tags;
mod timestamp;
mod unless;

pub use expression::Failed;
#[cfg(test)]
pub use gateway::Fields;
pub use gateway::GatewayNames;
pub use json::Json;
pub use line::{Line, Missing, Use};
pub use links::Endpoints;
pub use pages::{Page, PageNames, Pages};
pub use scope::{Body, Handed, Names, Scope};
pub use unless::Unless;

use std::borrow::Cow;

/// What the holes of a [`Line`] are filled with.
#[derive(Clone, Copy, Default)]
pub struct Filling<'a> {
    /// Values of the path's parameters in order, as they stand in the canonical path.
    pub params: &'a [&'a str],
    pub query: Option<&'a str>,
    pub claims: Option<&'a hilum_filters::api::Claims>,
}

/// A piece of a canonical path, decoded. Canonical means that the escapes are good and the text is UTF-8.
pub fn decoded(piece: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(piece).decode_utf8_lossy()
}
