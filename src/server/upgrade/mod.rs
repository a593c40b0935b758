//! The listening sockets of a running process go to its successor, so that nobody is refused while one takes over from the other.
//!
//! ```text
//! predecessor                                  successor: `hilum run --upgrade`
//!                                 connect ◄──  both files are good
//! a line and a socket for each  ──►            binds what is new, looks names up; accepts nobody
//!                                   ready ◄──
//! yours                         ──►            accepts
//!                                 serving ◄──
//! drains, ends when idle                       others find it at the path of the socket
//! ```
//!
//! * Whoever dies, is late or speaks nonsense before `serving` changes nothing: the predecessor goes on, and another may try.
//! * From `yours` to the end of the predecessor both accept, from the same queue in the kernel: there is no gap.
//! * A predecessor that has given a successor up says so by closing; whoever does not hear `yours` never serves.
//! * Neither speaks to a process of another user.

mod inventory;
mod predecessor;
mod program;
mod socket;
mod successor;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use inventory::{Entry, Role};
pub(super) use predecessor::{Held, Predecessor, until_succeeded};
pub use program::Program;
pub(super) use socket::{Listening, Unpublished, is_taken, own_folder};
pub(super) use successor::{Inherited, Successor};

/// What `upgrade:` says, and what a successor is started with.
#[derive(Clone, Debug)]
pub struct Upgrade {
    pub socket: PathBuf,
    /// How long a successor may take until it is ready.
    pub within: Duration,
    pub program: Program,
    /// `--upgrade`: this process takes over from the one that runs.
    pub takes_over: bool,
}

/// What both say; each is one line.
const READY: &[u8] = b"ready\n";
const YOURS: &[u8] = b"yours\n";
const SERVING: &[u8] = b"serving\n";
/// In the place of everything else: another successor is being waited for.
const BUSY: &[u8] = b"busy\n";
