//! Services seen from the test: processes that are started, killed, frozen and told what to do. See `service/` for what runs in them.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// A running service. Dropped, it is killed.
pub(crate) struct Service {
    address: SocketAddr,
    /// Holds the port, without listening, so that nobody else gets it while the service is dead.
    _held: TcpSocket,
    dir: TempDir,
    spec: String,
    running: Option<Running>,
}

struct Running {
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Service {
    /// One that is able to do what this text says; see `services/*.txt`.
    pub(crate) fn start(spec: &str) -> Service {
        let held = TcpSocket::new_v4().expect("a socket");
        held.set_reuseaddr(true).expect("a fresh socket takes options");
        held.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = held.local_addr().expect("a bound socket has an address");
        let dir = tempfile::tempdir().expect("a folder for the log");
        let mut service = Service { address, _held: held, dir, spec: spec.to_owned(), running: None };
        service.restart();
        service
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Ends at once. Connecting is refused from now on.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may be frozen: only this signal ends it then.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// The same address again. Returns when it listens.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["service", &self.address.port().to_string()])
            .arg(self.log())
            .arg(&self.spec)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let words = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut running = Running { child, words, answers };
        running.hears();
        self.running = Some(running);
    }

    /// Stops doing anything. The system goes on accepting connections for it.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it runs");
        kill(Pid::from_raw(i32::try_from(running.child.id()).expect("a process id")), signal)
            .expect("a process of our own");
    }

    /// Says a word of `service/mod.rs`, and returns when it is done.
    pub(crate) fn tell(&mut self, word: &str) {
        let running = self.running.as_mut().expect("it runs");
        writeln!(running.words, "{word}").expect("it hears");
        running.hears();
    }

    /// The ids of the requests with this method that were seen since the start, those before a restart too, in order.
    pub(crate) fn seen(&self, method: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().filter_map(|line| Some(line.strip_prefix(method)?.strip_prefix(' ')?.to_owned())).collect()
    }
}

impl Running {
    fn hears(&mut self) {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        assert_eq!(line, "ok\n", "the service ended");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How many of these ids there are more than once.
pub(crate) fn twice<'a>(ids: impl Iterator<Item = &'a String>) -> usize {
    let mut seen = std::collections::HashSet::new();
    ids.filter(|id| !seen.insert(*id)).count()
}
