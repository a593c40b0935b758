//! Memory comes in small pages. The allocator asks for huge ones, and the kernel clears all two megabytes of one at its first touch,
//! which takes milliseconds in the middle of a request: while 5,000 slow clients came, one request of others in a hundred took 6 to
//! 9 ms, and with small pages 2.6 to 2.8, where it had been 2.1 to 2.4 before they came. What was taken is given back page by page as
//! well, and at the start 18 MB are held instead of 45 (`tests/ops/slow.rs`).

use nix::sys::prctl::set_thp_disable;

/// For all memory that is taken from here on. Asked for before anything is loaded.
pub fn small() {
    if let Err(e) = set_thp_disable(true) {
        // As before the kernel had them: somewhat slower at times, and more memory.
        log::debug!("huge pages can't be switched off: {e}");
    }
}
