//! HAProxy in its master-worker mode: USR2 makes it begin anew, with its new file and, if there is one, its new program; USR1 drains.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Files, process};
use crate::harness::eventually;
use crate::services::Service;

pub(crate) struct HaProxy {
    child: Child,
    dir: TempDir,
    port: u16,
    /// Its file, with `{edition}` in it.
    conf: String,
    edition: usize,
}

impl HaProxy {
    pub(super) fn start(program: &Path, files: &Files, services: &[Service]) -> HaProxy {
        let (dir, port) = (tempfile::tempdir().expect("a folder"), process::free_port());
        let conf = files.fill(files.haproxy, usize::MAX, services).replace(&usize::MAX.to_string(), "{edition}");
        let conf = conf.replace("{port}", &port.to_string());
        put(&dir, &conf.replace("{edition}", "0"));
        let log = std::fs::File::create(dir.path().join("log")).expect("a log");
        let child = Command::new(program)
            .args(["-W", "-f", "haproxy.cfg"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("HAProxy starts");
        HaProxy { child, dir, port, conf, edition: 0 }
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn put(&self, edition: usize) {
        put(&self.dir, &self.conf.replace("{edition}", &edition.to_string()));
    }

    pub(super) fn reload(&mut self, edition: usize) {
        self.put(edition);
        self.edition = edition;
        process::tell(self.child.id(), Signal::SIGUSR2);
    }

    pub(super) async fn refuses_a_broken_file(&self) {
        let before = self.said().matches("[ALERT]").count();
        put(&self.dir, "broken\n");
        process::tell(self.child.id(), Signal::SIGUSR2);
        eventually("HAProxy to refuse", async || (self.said().matches("[ALERT]").count() > before).then_some(())).await;
    }

    pub(super) fn drain(&self) {
        process::tell(self.child.id(), Signal::SIGUSR1);
    }

    pub(super) async fn ended(&mut self) {
        process::is_gone(self.child.id()).await;
        let _ = self.child.wait();
    }

    /// The same as a reload: the master begins anew each time.
    pub(super) async fn upgrade(&mut self) {
        let before = workers(self.child.id());
        process::tell(self.child.id(), Signal::SIGUSR2);
        for worker in before {
            process::is_gone(worker).await;
        }
    }
}

fn put(dir: &TempDir, conf: &str) {
    std::fs::write(dir.path().join("haproxy.cfg"), conf).expect("a file in our own folder");
}

/// The children of this process.
fn workers(master: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

impl Drop for HaProxy {
    /// TERM lets the master end its workers, which a kill would leave behind.
    fn drop(&mut self) {
        process::tell(self.child.id(), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
