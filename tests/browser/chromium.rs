//! A Chromium without a screen, told what to do through two pipes: DevTools' protocol, each message a JSON text and a NUL.
//! Pipes need no port, no WebSocket and no crate, and a browser whose pipe closes ends by itself.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

use crate::harness::within;

/// The shell gives the browser our pipes as descriptors 3 and 4, where `--remote-debugging-pipe` looks for them.
const SHELL: &str = r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#;
/// How long a browser may take that nobody has started on this machine before.
const START: Duration = Duration::from_secs(60);
const RUNS: &str = "chromium is installed (`make test` does it) and runs";
const SWITCHES: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--lang=es-MX",
    // Whatever it would ask of the world by itself finds no name.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "about:blank",
];

/// A running browser with one tab. Dropped, its whole group of processes is killed.
pub(crate) struct Chromium {
    child: Child,
    group: Pid,
    _profile: TempDir,
    orders: tokio::sync::Mutex<ChildStdin>,
    next: AtomicU64,
    session: String,
    heard: Arc<Heard>,
}

/// What the browser answered and told.
#[derive(Default)]
struct Heard {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    /// Method and address of each request, by the browser's id.
    requests: Mutex<HashMap<String, String>>,
    problems: Mutex<Vec<String>>,
}

impl Chromium {
    /// Starts it. A request to anything but `origin` is a problem.
    pub(crate) async fn start(origin: &str) -> Chromium {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut child = Command::new("sh")
            .args(["-c", SHELL, "chromium"])
            .args(SWITCHES)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("TZ", "America/Monterrey")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a shell");
        let group = Pid::from_raw(i32::try_from(child.id().expect("it runs")).expect("a process id"));
        let heard = Arc::new(Heard::default());
        let told = child.stdout.take().expect("a pipe");
        tokio::spawn(listen(told, Arc::clone(&heard), origin.to_owned()));
        let orders = tokio::sync::Mutex::new(child.stdin.take().expect("a pipe"));
        let session = String::new();
        let mut chromium =
            Chromium { child, group, _profile: profile, orders, next: AtomicU64::new(1), session, heard };
        let target = chromium.send("Target.createTarget", json!({ "url": "about:blank" })).await;
        let target = tokio::time::timeout(START, target).await.expect("chromium starts").expect(RUNS);
        let target = &target["result"];
        let to = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = chromium.order("Target.attachToTarget", to).await;
        attached["sessionId"].as_str().expect("a session").clone_into(&mut chromium.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            chromium.order(&format!("{domain}.enable"), json!({})).await;
        }
        chromium
    }

    /// Sends one order and waits for its answer. The error is the browser's own text.
    pub(crate) async fn try_order(&self, method: &str, params: Value) -> Result<Value, String> {
        let answered = self.send(method, params).await;
        let mut answer = within(method, answered).await.expect(RUNS);
        match answer["error"]["message"].as_str() {
            Some(text) => Err(format!("{method}: {text}")),
            None => Ok(answer["result"].take()),
        }
    }

    async fn send(&self, method: &str, params: Value) -> oneshot::Receiver<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut order = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            order["sessionId"] = json!(self.session);
        }
        let (answer, answered) = oneshot::channel();
        lock(&self.heard.waiting).insert(id, answer);
        let mut text = order.to_string().into_bytes();
        text.push(0);
        self.orders.lock().await.write_all(&text).await.expect(RUNS);
        answered
    }

    pub(crate) async fn order(&self, method: &str, params: Value) -> Value {
        self.try_order(method, params).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What went wrong since the last time this was asked.
    pub(crate) fn problems(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.heard.problems))
    }

    /// Lets it end in peace.
    pub(crate) async fn close(mut self) {
        self.session.clear();
        self.order("Browser.close", json!({})).await;
        within("chromium to end", self.child.wait()).await.expect("it can be waited for");
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // All are gone already where it was closed.
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}

impl Heard {
    fn take(&self, mut message: Value, origin: &str) {
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = lock(&self.waiting).remove(&id) {
                // Who gave up waiting needs no answer.
                let _ = waiting.send(message);
            }
            return;
        }
        let params = message["params"].take();
        let text = |pointer: &str| params.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let asked = || lock(&self.requests).get(text("/requestId")).cloned().unwrap_or_default();
        let problem = match message["method"].as_str().unwrap_or_default() {
            "Runtime.consoleAPICalled" if matches!(text("/type"), "error" | "warning" | "assert") => {
                Some(format!("console.{}: {}", text("/type"), params["args"]))
            }
            "Runtime.exceptionThrown" => Some(format!("exception: {}", params["exceptionDetails"])),
            // A failed request is told below, with its status.
            "Log.entryAdded"
                if matches!(text("/entry/level"), "error" | "warning") && text("/entry/source") != "network" =>
            {
                Some(format!("{}: {}", text("/entry/source"), text("/entry/text")))
            }
            "Network.requestWillBeSent" => {
                let url = text("/request/url");
                let path = url.strip_prefix(origin).filter(|path| path.starts_with('/'));
                let request = format!("{} {}", text("/request/method"), path.unwrap_or(url));
                lock(&self.requests).insert(text("/requestId").to_owned(), request);
                // `data:` asks nobody; the browser draws the sign of its own date field so.
                (path.is_none() && !url.starts_with("data:")).then(|| format!("another host: {url}"))
            }
            "Network.responseReceived" => {
                let status = params["response"]["status"].as_u64().unwrap_or_default();
                (status >= 400).then(|| format!("{status} {}", asked()))
            }
            // A request whose page was left is not a failed one.
            "Network.loadingFailed" if params["canceled"] != true && text("/errorText") != "net::ERR_ABORTED" => {
                Some(format!("{} {}", text("/errorText"), asked()))
            }
            _ => None,
        };
        lock(&self.problems).extend(problem);
    }
}

async fn listen(told: ChildStdout, heard: Arc<Heard>, origin: String) {
    let mut told = BufReader::new(told);
    let mut text = Vec::new();
    while let Ok(1..) = told.read_until(0, &mut text).await {
        let length = text.len() - usize::from(text.ends_with(&[0]));
        if let Ok(message) = serde_json::from_slice(&text[..length]) {
            heard.take(message, &origin);
        }
        text.clear();
    }
    // Nobody waits for the answers of a browser that is gone.
    lock(&heard.waiting).clear();
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
