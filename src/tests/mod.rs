//! Rules about the sources themselves, each as a test: what `//!` in `src/lib.rs` promises stays true.

mod guards;
mod layers;
mod source;
