//! People in front of the pages: a real Chromium without a screen before the project's own gateway and the demo services.
//!
//! ```text
//! chromium.rs   the browser: a process, two pipes, what went wrong in it
//! tab.rs        what a person does: goes, clicks, types, looks; pictures under target/browser
//! looks.rs      what every page must keep: width, contrast, labels, keyboard (looks.js)
//! world.rs      gateway and services, and what the services themselves say
//! journeys.rs   each kind of user, from the sign-in to the sign-out
//! forms.rs      what people change, and that it is changed
//! landing.rs    who is not signed in      docs.rs   the documentation
//! watch.rs      that whatever is wrong with a page is seen
//! ```

#![allow(clippy::large_futures, reason = "a test runs once")]

#[path = "../harness/mod.rs"]
mod harness;

mod chromium;
mod docs;
mod forms;
mod journeys;
mod landing;
mod looks;
mod tab;
mod watch;
mod world;
