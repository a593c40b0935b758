//! The gateway as a child process: started with the services' addresses, watched until it says
//! that it is ready, told to end, waited for. Everything it prints is passed through.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use hilum_demo::Service;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long what the gateway printed may take to arrive after its end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The running gateway. Dropped without [`Gateway::ended`], it is killed.
pub(crate) struct Gateway {
    child: Child,
    output: JoinSet<()>,
    ready: mpsc::Receiver<Ready>,
}

/// What the gateway needs to know, made for one demo.
pub(crate) struct Secrets {
    /// What tokens are signed with.
    pub(crate) tokens: String,
    /// What the records of the audit log are sealed with, and where they are.
    pub(crate) audit: String,
    pub(crate) audit_file: PathBuf,
}

/// Where the gateway listens, as it says itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ready {
    pub(crate) listener: String,
    pub(crate) admin: String,
}

impl Gateway {
    /// Starts the executable `hilum` that lies beside this one.
    pub(crate) fn start(conf: &Path, routes: &Path, secrets: &Secrets, services: &[Service]) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("finding out where this program lies")?;
        let executable = own.with_file_name("hilum");
        if !executable.exists() {
            bail!("{} is not there: build it first, `cargo build`", executable.display());
        }
        let mut child = Command::new(&executable)
            .arg("run")
            .arg("--conf")
            .arg(conf)
            .arg("--routes")
            .arg(routes)
            .env("JWT_SECRET_KEY", &secrets.tokens)
            .env("HILUM_AUDIT_KEY", &secrets.audit)
            .env("AUDIT_FILE", &secrets.audit_file)
            .envs(services.iter().map(|service| (service.variable, &service.url)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group: the terminal's Ctrl-C reaches only us, and we pass it on once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", executable.display()))?;

        let (found, ready) = mpsc::channel(1);
        let stdout = child.stdout.take().context("the gateway's output is a pipe")?;
        let stderr = child.stderr.take().context("the gateway's log is a pipe")?;
        let mut output = JoinSet::new();
        output.spawn(pass_on(stdout, std::io::stdout(), found.clone()));
        output.spawn(pass_on(stderr, std::io::stderr(), found));
        Ok(Self { child, output, ready })
    }

    /// Waits until the gateway has bound everything, or for the status with which it gave up.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Result<Ready, ExitStatus>> {
        tokio::select! {
            Some(ready) = self.ready.recv() => Ok(Ok(ready)),
            status = ended(&mut self.child, &mut self.output) => Ok(Err(status?)),
        }
    }

    /// Waits until the gateway is gone.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        ended(&mut self.child, &mut self.output).await
    }

    /// Asks the gateway, and nobody else, to finish what it does and end.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        // No id means that it has ended and was waited for; then the number may be somebody else's.
        let Some(id) = self.child.id() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM).context("telling the gateway to end")
    }

    /// Ends the gateway at once.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("killing the gateway")
    }
}

async fn ended(child: &mut Child, output: &mut JoinSet<()>) -> anyhow::Result<ExitStatus> {
    let status = child.wait().await.context("waiting for the gateway")?;
    // Its last words come first. A process that it left behind may hold the pipes, hence the limit.
    let last_words = async { while output.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
    Ok(status)
}

/// Copies lines until the end, and reports the one that says that the gateway is ready.
async fn pass_on(from: impl AsyncRead + Unpin, mut to: impl Write, found: mpsc::Sender<Ready>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
        if let Some(ready) = read_ready(&String::from_utf8_lossy(&line)) {
            // Only the first such line has a reader.
            let _ = found.try_send(ready);
        }
        // Nobody may be reading any more; the pipe is emptied all the same, or the gateway stalls.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        line.clear();
    }
}

/// The addresses in `… ready listeners=[127.0.0.1:5000] admin=127.0.0.1:9901`.
fn read_ready(line: &str) -> Option<Ready> {
    let (_, listeners) = line.split_once("ready listeners=[")?;
    // Not at the first bracket: an IPv6 address has one too.
    let (listeners, admin) = listeners.split_once("] admin=")?;
    let listener = listeners.split(',').next()?.trim();
    let admin = admin.split_whitespace().next()?;
    Some(Ready { listener: listener.to_owned(), admin: admin.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: Option<(&str, &str)>) {
        let expect = expect.map(|(listener, admin)| Ready { listener: listener.to_owned(), admin: admin.to_owned() });
        assert_eq!(read_ready(line), expect, "{line}");
    }

    #[test]
    fn the_ready_line_is_found_behind_any_prefix() {
        let both = Some(("127.0.0.1:5000", "127.0.0.1:9901"));
        check("ready listeners=[127.0.0.1:5000] admin=127.0.0.1:9901\n", both);
        check("[2025-01-01T00:00:00Z INFO  hilum] ready listeners=[127.0.0.1:5000] admin=127.0.0.1:9901\r\n", both);
        check("ready listeners=[127.0.0.1:5000, [::1]:5443] admin=127.0.0.1:9901 threads=2", both);
        check("not ready", None);
        check("ready listeners=[127.0.0.1:5000]", None);
    }
}
