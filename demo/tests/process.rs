//! The program `hilum-demo` itself, beside a stand-in for the gateway: a shell script that says what
//! it was given, and when it is told to end. One test, because a file that was just written can
//! only be executed when no other thread is starting a process.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const READY: &str = "echo '[INFO] ready listeners=[0.0.0.0:5000] admin=127.0.0.1:9901' >&2\n";
const UNTIL_TOLD: &str = "trap 'echo drained; exit 0' TERM\nwhile :; do sleep 0.02; done\n";

/// A folder with `hilum-demo` and, unless the script is empty, a `hilum`; it is the root as well.
fn folder(name: &str, script: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    // A link, so that the program finds itself here and not where it was built.
    fs::hard_link(env!("CARGO_BIN_EXE_hilum-demo"), folder.join("hilum-demo")).unwrap();
    if !script.is_empty() {
        let hilum = folder.join("hilum");
        fs::write(&hilum, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&hilum, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(folder.join("hilum-demo"));
    command.arg("--any-port").args(arguments).current_dir(folder).process_group(0).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the note and reads it.
async fn note(folder: &Path) -> Value {
    let path = folder.join("target/demo.json");
    for _ in 0..500 {
        if let Ok(text) = fs::read_to_string(&path) {
            return serde_json::from_str(&text).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} was never written", path.display());
}

async fn end(child: Child) -> Output {
    tokio::time::timeout(Duration::from_secs(10), child.wait_with_output()).await.expect("it ends in time").unwrap()
}

/// The exit code and everything that was printed; the note is gone.
async fn check_end(name: &str, folder: &Path, child: Child, code: i32, printed: &[&str]) {
    let output = end(child).await;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(output.status.code(), Some(code), "{name}\n{text}");
    for expected in printed {
        assert!(text.contains(expected), "{name}: {expected:?} is not in\n{text}");
    }
    assert!(!folder.join("target/demo.json").exists(), "{name}: the note stays behind");
}

#[tokio::test]
async fn the_demo_starts_the_gateway_says_where_it_is_and_ends_with_it() {
    let tell = "echo \"given: $* secret=${#JWT_SECRET_KEY} audit=${#HILUM_AUDIT_KEY} $AUDIT_FILE $AUTH_SERVICE_URL\"\n";
    let running = format!("{tell}{READY}{UNTIL_TOLD}");
    let root = folder("running", &running);
    for (name, to_group, signal) in [
        ("Ctrl-C in a terminal", true, Signal::SIGINT),
        ("SIGTERM", false, Signal::SIGTERM),
        ("a closed terminal", false, Signal::SIGHUP),
    ] {
        let child = start(&root, &[]);
        let note = note(&root).await;
        assert_eq!((&note["url"], &note["admin"]), (&"http://127.0.0.1:5000".into(), &"http://127.0.0.1:9901".into()));
        let auth = note["services"]["auth-jwt"].as_str().unwrap();
        let id = Pid::from_raw(child.id().unwrap().cast_signed());
        if to_group { killpg(id, signal) } else { kill(id, signal) }.unwrap();
        let conf = root.join("conf/hilum.yaml");
        let given = format!(
            "--conf {} --routes {} secret=64 audit=64 {} {auth}",
            conf.display(),
            root.join("routes.yaml").display(),
            root.join("target/demo-audit/log").display()
        );
        let printed = ["ready listeners", "PredictHealth   http://127.0.0.1:5000", &given, "drained", "Paciente.2025"];
        check_end(name, &root, child, 0, &printed).await;
    }

    let root = folder("refusing", "echo 'port 5000 is already in use' >&2\nexit 3\n");
    let printed = ["port 5000 is already in use", "the gateway did not start: exit status: 3"];
    check_end("it does not start", &root, start(&root, &[]), 3, &printed).await;

    let root = folder("dying", &format!("{READY}sleep 0.2\n"));
    check_end("it ends", &root, start(&root, &[]), 1, &["the gateway ended by itself: exit status: 0"]).await;

    let root = folder("stuck", &format!("{READY}trap '' TERM\nwhile :; do sleep 0.02; done\n"));
    let mut child = start(&root, &[]);
    note(&root).await;
    let id = Pid::from_raw(child.id().unwrap().cast_signed());
    kill(id, Signal::SIGINT).unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    while !told.next_line().await.unwrap().expect("it says that it stops").contains("stopping") {}
    kill(id, Signal::SIGINT).unwrap();
    check_end("a second signal does not wait", &root, child, 0, &[]).await;

    let root = folder("alone", "");
    check_end("no gateway", &root, start(&root, &[]), 1, &["hilum is not there: build it first"]).await;
    let child = start(&root, &["--services-only"]);
    assert_eq!(note(&root).await["url"], Value::Null);
    kill(Pid::from_raw(child.id().unwrap().cast_signed()), Signal::SIGINT).unwrap();
    check_end("services only", &root, child, 0, &["export JWT_SECRET_KEY=", "export ADMINS_SERVICE_URL=http"]).await;
}
