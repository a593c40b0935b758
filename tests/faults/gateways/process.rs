//! Processes that are not children of the test: they leave their parent, or their parent leaves them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::eventually;

/// Tells a process that this test has started, by its number.
pub(super) fn tell(id: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(id).expect("a process id")), signal);
}

/// Whether it is there and is no zombie.
pub(super) fn is_there(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

/// A process that this one has started and that is there.
pub(super) fn child_of(parent: u32) -> Option<u32> {
    let all = std::fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|id| is_there(*id)).find(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name may hold anything; what follows its end is the state and the parent.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(parent.to_string().as_str())
    })
}

pub(super) async fn is_gone(id: u32) {
    eventually(&format!("process {id} to end"), async || (!is_there(id)).then_some(())).await;
}

/// A port that is free now.
pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}
