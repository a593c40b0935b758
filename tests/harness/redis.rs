//! A real Redis on a port of its own, which a test may kill, freeze and start again.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::aio::MultiplexedConnection;
use tokio::process::{Child, Command};

use super::{eventually, within};

/// A running `redis-server`. Dropped, it is killed.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    /// More of its command line.
    more: Vec<String>,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub(crate) async fn start() -> Redis {
        Redis::start_with(|_| Vec::new()).await
    }

    /// With more of its command line, which may depend on the port.
    pub(crate) async fn start_with(more: impl Fn(u16) -> Vec<String>) -> Redis {
        // The system names a free port. Another process may take it in between; then Redis ends, and another one is tried.
        for _ in 0..10 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
            let more = more(port);
            let mut redis = Redis { child: Redis::spawn(port, &more), port, more };
            if redis.is_up().await {
                return redis;
            }
        }
        panic!("redis-server does not start");
    }

    fn spawn(port: u16, more: &[String]) -> Child {
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--daemonize", "no", "--dir", "/tmp"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed: `make test` does it")
    }

    /// Waits until it answers; `false` when it ended instead.
    async fn is_up(&mut self) -> bool {
        let client = redis::Client::open(("127.0.0.1", self.port)).expect("an address");
        let answers = eventually("redis-server to answer", async || {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            redis::cmd("PING").exec_async(&mut connection).await.ok()
        });
        tokio::select! {
            () = answers => true,
            _ = self.child.wait() => false,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a URL");
        within("a connection to Redis", client.get_multiplexed_async_connection()).await.expect("it is up")
    }

    /// Runs one command, given as its words.
    pub(crate) async fn run<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        command(words).query_async(&mut self.connect().await).await.unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    /// The same of a Redis that may be about to change its place.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        command(words).query_async(&mut connection).await.ok()
    }

    /// How often each of these commands was asked for since the start.
    pub(crate) async fn calls(&self, commands: &[&str]) -> u64 {
        let stats: String = self.run(&["INFO", "commandstats"]).await;
        let count = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            commands.contains(&name).then(|| rest.split(',').next()?.parse::<u64>().ok()).flatten()
        };
        stats.lines().filter_map(count).sum()
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it was not waited for yet");
        kill(Pid::from_raw(i32::try_from(id).expect("a process id")), signal).expect("a process of our own");
    }

    /// Stops answering; connections stay open.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Ends at once and forgets everything.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        within("redis-server to end", self.child.wait()).await.expect("it can be waited for");
    }

    /// On the same port, empty.
    pub(crate) async fn restart(&mut self) {
        self.child = Redis::spawn(self.port, &self.more);
        assert!(self.is_up().await, "redis-server does not start again");
    }
}

/// A command, given as its words.
pub(crate) fn command(words: &[&str]) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}

/// A running Sentinel. Dropped, it is killed.
pub(crate) struct Sentinel {
    _child: Child,
    pub(crate) port: u16,
}

impl Sentinel {
    /// With this file, which it also writes to.
    pub(crate) async fn start(conf: &std::path::Path) -> Sentinel {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let child = Command::new("redis-server")
            .arg(conf)
            .args(["--sentinel", "--port", &port.to_string(), "--bind", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed: `make test` does it");
        let client = redis::Client::open(("127.0.0.1", port)).expect("an address");
        eventually("the Sentinel to answer", async || {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            redis::cmd("PING").exec_async(&mut connection).await.ok()
        })
        .await;
        Sentinel { _child: child, port }
    }
}
