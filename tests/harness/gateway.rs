//! The gateway as a process of its own, with files of its own.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::client::send;
use super::{Client, Response, Samples, eventually, within};

/// How a gateway is started: its routes, more lines for its `conf/hilum.yaml`, variables and files.
pub(crate) struct Builder {
    routes: String,
    /// The conf has one listener, on loopback, unless a test wants others.
    listeners: Option<String>,
    conf: String,
    variables: Vec<(String, String)>,
    files: Vec<(PathBuf, Vec<u8>)>,
    /// The conf has this for `log:` unless a test wants another.
    log: String,
    /// The same for `admin:`.
    admin: String,
    program: PathBuf,
    /// Where it listens, for clients and for operators, when it does not say so.
    known: Option<(SocketAddr, SocketAddr)>,
    /// What its listener has besides its address.
    listener: String,
}

/// The key of audit logs.
pub(crate) const AUDIT_KEY: &str = "a key of the audit log that is long enough";

/// A running gateway. Dropped, it is killed; when a test fails, its log is shown.
pub(crate) struct Gateway {
    child: Child,
    command: Arc<Called>,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    /// `HILUM_ADMIN_TOKEN`, which is shown to the admin listener.
    token: Option<String>,
    stderr: Heard,
    stdout: Heard,
}

/// What a gateway is started with, and what a successor of it is started with too.
struct Called {
    program: PathBuf,
    variables: Vec<(String, String)>,
    dir: TempDir,
}

/// What a process wrote to one of its outputs; the sender tells of more, and whether that was the end.
#[derive(Clone)]
struct Heard(Arc<(Mutex<Vec<u8>>, watch::Sender<bool>)>);

impl Builder {
    /// More lines for `conf/hilum.yaml`, such as `connections: { header: 1s }`.
    pub(crate) fn conf(mut self, lines: &str) -> Builder {
        self.conf.push_str(lines);
        self.conf.push('\n');
        self
    }

    /// With an audit log, `audit/log` beside `routes.yaml`.
    pub(crate) fn audited(self) -> Builder {
        self.conf("audit: { file: ../audit/log, key: \"${HILUM_AUDIT_KEY}\" }").env("HILUM_AUDIT_KEY", AUDIT_KEY)
    }

    /// What `listeners:` says. The default is a port of loopback.
    pub(crate) fn listeners(mut self, listeners: &str) -> Builder {
        self.listeners = Some(listeners.to_owned());
        self
    }

    /// What `log:` says. The default writes the access log to a file.
    pub(crate) fn log(mut self, log: &str) -> Builder {
        log.clone_into(&mut self.log);
        self
    }

    /// What the listener has besides its address, such as `proxy_protocol: true`.
    pub(crate) fn listener(mut self, more: &str) -> Builder {
        self.listener = format!(", {more}");
        self
    }

    /// What `admin:` says. The default is a port of loopback.
    pub(crate) fn admin(mut self, admin: &str) -> Builder {
        admin.clone_into(&mut self.admin);
        self
    }

    /// A variable for `${NAME}` in the files. The process sees no others.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Builder {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// A file beside `routes.yaml`.
    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Builder {
        self.files.push((path.into(), content.as_ref().to_vec()));
        self
    }

    /// The files below a folder of the project, under the same path.
    pub(crate) fn folder_of_project(mut self, folder: &str) -> Builder {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of the project") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(root).expect("it lies below").to_path_buf();
                    self.files.push((name, std::fs::read(&path).expect("a file of the project")));
                }
            }
        }
        self
    }

    /// For a log level at which nobody is told when it is ready, and where.
    pub(crate) fn silent(mut self) -> Builder {
        let free =
            || std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let (clients, admin) = (free(), free());
        self.admin = self.admin.replace("127.0.0.1:0", &admin.to_string());
        self.known = Some((clients, admin));
        self
    }

    /// Another program with the same commands, such as one with more filters.
    pub(crate) fn program(mut self, path: PathBuf) -> Builder {
        self.program = path;
        self
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(self) -> Gateway {
        match self.try_start().await {
            Ok(gateway) => gateway,
            Err((status, log)) => panic!("the gateway ended with {status}:\n{log}"),
        }
    }

    /// Starts it; the error is how it ended instead, and what it said.
    pub(crate) async fn try_start(self) -> Result<Gateway, (ExitStatus, String)> {
        let dir = tempfile::tempdir().expect("a folder for the gateway");
        let put = |path: &Path, content: &[u8]| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
            std::fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        };
        let conf = format!(
            "version: 1\nlisteners: {}\nadmin: {}\nlog: {}\n{}",
            self.listeners.clone().unwrap_or_else(|| {
                let address = self.known.map_or_else(|| "127.0.0.1:0".to_owned(), |(clients, _)| clients.to_string());
                format!("[{{ address: \"{address}\"{} }}]", self.listener)
            }),
            self.admin,
            self.log,
            self.conf
        );
        put(Path::new("conf/hilum.yaml"), conf.as_bytes());
        put(Path::new("routes.yaml"), self.routes.as_bytes());
        self.files.iter().for_each(|(path, content)| put(path, content));
        let token = self.variables.iter().find(|(name, _)| name == "HILUM_ADMIN_TOKEN").map(|(_, token)| token.clone());
        let command = Arc::new(Called { program: self.program, variables: self.variables, dir });
        let (mut child, stdout, stderr) = command.start(&[]);
        let ready = tokio::select! {
            ready = stderr.find(read_ready), if self.known.is_none() => ready,
            ready = answering(self.known), if self.known.is_some() => ready,
            status = child.wait() => return Err((status.expect("it was waited for"), stderr.whole().await)),
        };
        let (listeners, admin) = ready;
        Ok(Gateway { child, command, listeners, admin, token, stderr, stdout })
    }
}

impl Called {
    fn start(&self, more: &[&str]) -> (Child, Heard, Heard) {
        let mut child = Command::new(&self.program)
            .args(["run", "--conf", "conf/hilum.yaml", "--routes", "routes.yaml"])
            .args(more)
            .current_dir(self.dir.path())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let stdout = Heard::to(child.stdout.take().expect("a pipe").into_owned_fd().expect("a descriptor"));
        let stderr = Heard::to(child.stderr.take().expect("a pipe").into_owned_fd().expect("a descriptor"));
        (child, stdout, stderr)
    }
}

impl Gateway {
    /// A gateway with these routes, all else as a test needs it.
    pub(crate) fn with(routes: &str) -> Builder {
        Builder {
            routes: routes.to_owned(),
            listeners: None,
            conf: String::new(),
            variables: Vec::new(),
            files: Vec::new(),
            log: "{ access: { file: ../access.log } }".to_owned(),
            admin: "{ address: \"127.0.0.1:0\" }".to_owned(),
            program: env!("CARGO_BIN_EXE_hilum").into(),
            known: None,
            listener: String::new(),
        }
    }

    /// Starts a gateway with these routes and nothing else.
    pub(crate) async fn start(routes: &str) -> Gateway {
        Gateway::with(routes).start().await
    }

    /// Where clients come in.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listeners[0]
    }

    /// The listeners in the order of the file.
    pub(crate) fn listener(&self, number: usize) -> SocketAddr {
        self.listeners[number]
    }

    /// What this process holds in memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let id = self.child.id().expect("it was not waited for yet");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process of our own");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The folder with `routes.yaml`, `conf/` and `access.log`.
    pub(crate) fn folder(&self) -> &Path {
        self.command.dir.path()
    }

    /// Starts `hilum run --upgrade` over the same files, and does not wait for it.
    pub(crate) fn begin_successor(&self) -> Gateway {
        let (child, stdout, stderr) = self.command.start(&["--upgrade"]);
        let (command, listeners, token) = (self.command.clone(), self.listeners.clone(), self.token.clone());
        Gateway { child, command, listeners, admin: self.admin, token, stderr, stdout }
    }

    /// The same, and waits until it serves; the error is how it ended instead, and what it said.
    pub(crate) async fn try_successor(&self) -> Result<Gateway, (ExitStatus, String)> {
        let mut successor = self.begin_successor();
        let ready = tokio::select! {
            ready = within("a successor to serve", successor.stderr.find(read_ready)) => ready,
            status = successor.child.wait() => {
                return Err((status.expect("it was waited for"), successor.stderr.whole().await));
            }
        };
        (successor.listeners, successor.admin) = ready;
        Ok(successor)
    }

    pub(crate) async fn successor(&self) -> Gateway {
        match self.try_successor().await {
            Ok(successor) => successor,
            Err((status, log)) => panic!("the successor ended with {status}:\n{log}"),
        }
    }

    /// A client's connection.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, request: &str) -> Response {
        send(self.address(), request).await
    }

    /// Sends one request to the admin listener.
    pub(crate) async fn ask_admin(&self, request: &str) -> Response {
        let token = self.token.as_ref().map_or_else(String::new, |token| format!("\nAuthorization: Bearer {token}"));
        send(self.admin, &format!("{}\nHost: {}\nConnection: close{token}", request, self.admin)).await
    }

    /// Puts another `routes.yaml` in place, at once.
    pub(crate) fn edit(&self, routes: &str) {
        let new = self.folder().join("routes.yaml.new");
        std::fs::write(&new, routes).expect("a file in our own folder");
        std::fs::rename(&new, self.folder().join("routes.yaml")).expect("a file in our own folder");
    }

    /// Puts another file in place, at once.
    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let new = self.folder().join(format!("{path}.new"));
        std::fs::write(&new, content).expect("a file in our own folder");
        std::fs::rename(&new, self.folder().join(path)).expect("a file in our own folder");
    }

    /// `POST /reload`.
    pub(crate) async fn reload(&self) -> Response {
        self.ask_admin("POST /reload\nContent-Length: 0").await
    }

    pub(crate) async fn metrics(&self) -> Samples {
        let answer = self.ask_admin("GET /metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Samples(answer.text())
    }

    /// Waits until the sum of the series with these labels is as wanted, and gives it.
    pub(crate) async fn counts(&self, name: &str, labels: &[(&str, &str)], wanted: impl Fn(f64) -> bool) -> f64 {
        eventually(&format!("{name} {labels:?}"), async || {
            Some(self.metrics().await.sum(name, labels)).filter(|n| wanted(*n))
        })
        .await
    }

    /// Waits until as many peers with these labels are up. Before their watch has begun they have no series, which is not 0.
    pub(crate) async fn peers_up(&self, labels: &[(&str, &str)], wanted: f64) {
        eventually(&format!("{wanted} peers up of {labels:?}"), async || {
            let metrics = self.metrics().await;
            (metrics.has("hilum_peer_up", labels) && metrics.sum("hilum_peer_up", labels) == wanted).then_some(())
        })
        .await;
    }

    /// The lines of the access log so far. A line that is no JSON fails the test.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder().join("access.log")).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
    }

    /// Waits for a line of the access log.
    pub(crate) async fn logged(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || self.access_log().into_iter().find(&wanted)).await
    }

    /// Waits for the line of the request that was sent with this `X-Request-ID`.
    pub(crate) async fn logged_id(&self, id: &str) -> Value {
        self.logged(&format!("the access-log line of {id}"), |line| line["request_id"] == id).await
    }

    /// Everything it said on standard error.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Everything it wrote to standard output.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Waits until standard error holds this text.
    pub(crate) async fn said(&self, text: &str) {
        within(text, self.stderr.find(|log| log.contains(text).then_some(()))).await;
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it was not waited for yet")
    }

    /// Tells this process, and no other.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.id();
        kill(Pid::from_raw(i32::try_from(id).expect("a process id")), signal).expect("a process of our own");
    }

    /// Waits until it is gone.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the gateway to end", self.child.wait()).await.expect("it can be waited for")
    }

    /// SIGTERM, and waits.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the gateway's log\n{}--- the access log", self.stderr.text());
            eprintln!("{}---", std::fs::read_to_string(self.folder().join("access.log")).unwrap_or_default());
        }
    }
}

impl Heard {
    /// Listens on a thread, so that the process never waits for a test to read.
    fn to(output: std::os::fd::OwnedFd) -> Heard {
        let heard = Heard(Arc::new((Mutex::default(), watch::Sender::new(false))));
        let listener = heard.clone();
        std::thread::spawn(move || {
            let (mut file, mut piece) = (std::fs::File::from(output), vec![0; 64 * 1024]);
            while let Ok(length @ 1..) = file.read(&mut piece) {
                listener
                    .0
                    .0
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .extend_from_slice(&piece[..length]);
                listener.0.1.send_replace(false);
            }
            listener.0.1.send_replace(true);
        });
        heard
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)).into_owned()
    }

    /// All of it, after the process has ended.
    async fn whole(&self) -> String {
        let mut changes = self.0.1.subscribe();
        within("the end of the output", changes.wait_for(|is_the_end| *is_the_end))
            .await
            .expect("the sender lives in self");
        self.text()
    }

    async fn find<T>(&self, look: impl Fn(&str) -> Option<T>) -> T {
        let mut changes = self.0.1.subscribe();
        loop {
            if let Some(found) = look(&self.text()) {
                return found;
            }
            changes.changed().await.expect("the sender lives in self");
        }
    }
}

/// Waits until both addresses take connections.
async fn answering(known: Option<(SocketAddr, SocketAddr)>) -> (Vec<SocketAddr>, SocketAddr) {
    let (clients, admin) = known.expect("asked only then");
    for address in [clients, admin] {
        eventually("the gateway to listen", async || Client::try_connect(address).await.ok()).await;
    }
    (vec![clients], admin)
}

/// The addresses in `ready listeners=[…] admin=…`, once the whole line is there.
fn read_ready(log: &str) -> Option<(Vec<SocketAddr>, SocketAddr)> {
    let (_, rest) = log.split_once("ready listeners=[")?;
    let (line, _) = rest.split_once('\n')?;
    let (listeners, admin) = line.split_once("] admin=")?;
    let listeners = listeners.split(", ").map(|address| address.parse().expect("an address")).collect();
    Some((listeners, admin.trim().parse().expect("an address")))
}
