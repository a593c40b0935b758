//! The gateway with its built-in filters.

use std::process::ExitCode;

/// A request makes many small allocations inside of Pingora; this allocator is the quickest at them that was measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hilum::main(&[hilum_filters::FILTERS])
}
