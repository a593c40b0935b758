//! TEXT → VALUES. Pure: reads what it is given, and does nothing else.
//!
//! Text → [`yaml`] → a tree with a place on every value → [`mod@env`] (`${VAR}`) → [`inherit`] → strict readers. Every problem of a
//! file is collected, those of the table too, and shown at once by [`problem`].

pub mod action;
pub mod admin;
pub mod ask;
pub mod audit;
pub mod auth;
pub mod combine;
pub mod conf;
mod connections;
pub mod env;
mod inherit;
pub mod problem;
pub mod rate;
pub mod require;
pub mod route;
pub mod routes;
pub mod schema;
pub mod service;
mod sessions;
pub mod shapes;
pub mod tls;
pub mod token;
pub mod upgrade;
pub mod validate;
pub mod yaml;

pub use env::Environment;
pub use problem::{Report, Source, as_written};
