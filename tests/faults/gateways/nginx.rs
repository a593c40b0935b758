//! nginx, as its documentation says: HUP reloads, USR2 and QUIT upgrade, QUIT drains.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Files, process};
use crate::harness::eventually;
use crate::services::Service;

pub(crate) struct Nginx {
    dir: TempDir,
    port: u16,
    /// Its file, with `{edition}` in it.
    conf: String,
}

impl Nginx {
    pub(super) fn start(program: &Path, files: &Files, services: &[Service]) -> Nginx {
        let (dir, port) = (tempfile::tempdir().expect("a folder"), process::free_port());
        let conf = files.fill(files.nginx, usize::MAX, services).replace(&usize::MAX.to_string(), "{edition}");
        let nginx = Nginx { dir, port, conf: conf.replace("{port}", &port.to_string()) };
        nginx.put(0);
        // It leaves its parent, since it upgrades itself only then.
        let status = Command::new(program)
            .arg("-p")
            .arg(nginx.dir.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("nginx starts");
        assert!(status.success(), "nginx does not start: {}", nginx.said());
        nginx
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, edition: usize) {
        let conf = self.conf.replace("{edition}", &edition.to_string());
        std::fs::write(self.path("nginx.conf"), conf).expect("a file in our own folder");
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.path("error.log")).unwrap_or_default()
    }

    /// The number in a pid file of it.
    fn id(&self, name: &str) -> Option<u32> {
        std::fs::read_to_string(self.path(name)).ok()?.trim().parse().ok()
    }

    fn tell(&self, signal: Signal) {
        process::tell(self.id("nginx.pid").expect("it runs"), signal);
    }

    pub(super) fn reload(&self, edition: usize) {
        self.put(edition);
        self.tell(Signal::SIGHUP);
    }

    pub(super) async fn refuses_a_broken_file(&self) {
        let before = self.said().matches("[emerg]").count();
        std::fs::write(self.path("nginx.conf"), "broken").expect("a file in our own folder");
        self.tell(Signal::SIGHUP);
        eventually("nginx to refuse", async || (self.said().matches("[emerg]").count() > before).then_some(())).await;
    }

    pub(super) fn drain(&self) {
        self.tell(Signal::SIGQUIT);
    }

    pub(super) async fn ended(&self) {
        if let Some(id) = self.id("nginx.pid") {
            process::is_gone(id).await;
        }
    }

    pub(super) async fn upgrade(&self) {
        let old = self.id("nginx.pid").expect("it runs");
        process::tell(old, Signal::SIGUSR2);
        eventually("a new nginx", async || {
            let (new, oldbin) = (self.id("nginx.pid")?, self.id("nginx.pid.oldbin")?);
            (new != old && oldbin == old && process::is_there(new)).then_some(())
        })
        .await;
        process::tell(old, Signal::SIGQUIT);
        process::is_gone(old).await;
    }
}

impl Drop for Nginx {
    /// TERM lets the master end its workers, which a kill would leave behind.
    fn drop(&mut self) {
        for name in ["nginx.pid.oldbin", "nginx.pid"] {
            if let Some(id) = self.id(name) {
                process::tell(id, Signal::SIGTERM);
            }
        }
    }
}
