//! Successors that don't take over: the running process says why, goes on, and the next one may try.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::changed::replace;
use super::{GOES_ON, Heir, Loads, ROUTES, UPGRADE, before, gateway, has_ended, ready, said};
use crate::harness::{Service, eventually, puppet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_with_a_problem_change_nothing() {
    let (mut old, _service) = before(UPGRADE).await;
    let loads = Loads::start(&old);
    loads.go_on(50).await;
    let conf = std::fs::read_to_string(old.folder().join("conf/hilum.yaml")).expect("a file of our own");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    // The last one is found out when it has come already.
    let cases = [
        ("routes.yaml", ROUTES.to_owned(), "version: 1\nroutes: [{ name: a }]\n".to_owned(), "routes.yaml:2:", 0),
        ("conf/hilum.yaml", conf.clone(), conf.replace("log:", "logs:"), "conf/hilum.yaml:4:", 0),
        ("conf/hilum.yaml", conf.clone(), conf.replacen("127.0.0.1:0", &taken, 1), "can't be listened on", 1),
    ];
    for (number, (file, good, bad, expected, came)) in cases.into_iter().enumerate() {
        old.put(file, bad);
        let (status, log) = old.try_successor().await.err().expect("it has a problem");
        assert!(status.code() == Some(1) && log.contains(expected), "{status}: {log}");
        said(&old, GOES_ON, came).await;
        old.signal(Signal::SIGQUIT);
        let told = "the successor that was started has ended, this process goes on: exit status: 1";
        said(&old, told, number + 1).await;
        said(&old, GOES_ON, 2 * came).await;
        old.put(file, good);
        loads.go_on(20).await;
    }
    let mut new = old.successor().await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    loads.go_on(20).await;
    loads.expect_all_good("bad files, then good ones").await;
    assert_eq!(new.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_is_killed_before_it_is_ready_changes_nothing() {
    let (mut old, _service) = before(UPGRADE).await;
    // It has connected, waits for the list of sockets, and is killed while it does.
    old.signal(Signal::SIGSTOP);
    let mut killed = old.begin_successor();
    let socket = format!("run/upgrade.{}", old.id());
    eventually("it to connect", async || {
        let sockets = std::fs::read_to_string("/proc/net/unix").expect("the kernel tells it");
        // The one that listens, and the one that waits to be accepted.
        (sockets.lines().filter(|line| line.ends_with(&socket)).count() == 2).then_some(())
    })
    .await;
    killed.signal(Signal::SIGKILL);
    killed.ended().await;
    old.signal(Signal::SIGCONT);
    old.said(&format!("{GOES_ON}the sockets could not be sent")).await;
    // One that was started here, while it starts.
    let loads = Loads::start(&old);
    old.signal(Signal::SIGQUIT);
    let heir = Heir::of(&old, 0).await;
    heir.signal(Signal::SIGKILL);
    old.said("the successor that was started has ended, this process goes on: signal: 9").await;
    loads.go_on(20).await;
    let mut new = old.successor().await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    loads.go_on(20).await;
    loads.expect_all_good("killed successors").await;
    assert_eq!(new.stop().await.code(), Some(0));
}

#[tokio::test]
async fn a_successor_that_is_late_is_ended() {
    let service = Service::start(puppet).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (program, real) = (folder.path().join("hilum"), env!("CARGO_BIN_EXE_hilum"));
    std::os::unix::fs::symlink(real, &program).expect("a link");
    let conf = "upgrade: { socket: ../run/upgrade, within: 1s }";
    let mut old = gateway(&service, conf).program(program.clone()).start().await;
    replace(&program, "#!/bin/sh\nexec sleep 60\n");
    let told = Instant::now();
    old.signal(Signal::SIGQUIT);
    let heir = Heir::of(&old, 0).await;
    old.said("the successor that was started is not ready after 1s and is ended").await;
    old.said("the successor that was started has ended, this process goes on: signal: 9").await;
    assert!(told.elapsed() >= Duration::from_secs(1));
    assert!(has_ended(heir.0));
    // One that can't even be started.
    std::fs::remove_file(&program).expect("a file of our own");
    old.signal(Signal::SIGQUIT);
    old.said("a successor can't be started, this process goes on").await;
    assert_eq!(old.send("GET /hello").await.status, 200);
    std::os::unix::fs::symlink(real, &program).expect("a link");
    old.signal(Signal::SIGQUIT);
    let heir = Heir::of(&old, 1).await;
    ready(&old, 2).await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    heir.signal(Signal::SIGTERM);
    heir.ended().await;
}

#[tokio::test]
async fn without_upgrades_a_signal_changes_nothing() {
    for conf in ["", "upgrade: { socket: \"${SOCKET:-}\" }"] {
        let (mut old, _service) = before(conf).await;
        old.signal(Signal::SIGQUIT);
        old.said("SIGQUIT starts a successor, and there is no `upgrade:` in the settings: nothing is done").await;
        assert_eq!(old.send("GET /hello").await.status, 200);
        let (status, log) = old.try_successor().await.err().expect("there is no upgrade");
        assert!(status.code() == Some(1) && log.contains("has no `upgrade: { socket: PATH }`"), "{status}: {log}");
        assert_eq!(old.stop().await.code(), Some(0));
    }
}

#[tokio::test]
async fn with_nobody_there_is_nothing_to_take_over() {
    let (mut old, _service) = before(UPGRADE).await;
    old.stop().await;
    let (status, log) = old.try_successor().await.err().expect("nobody is there");
    assert!(
        status.code() == Some(1) && log.contains("so there is nothing to take over: start without `--upgrade`"),
        "{log}"
    );
}

#[tokio::test]
async fn a_second_gateway_at_the_same_socket_does_not_start() {
    let (old, service) = before("").await;
    drop(old);
    let folder = tempfile::tempdir().expect("a folder");
    let conf = format!("upgrade: {{ socket: {}/run/upgrade }}", folder.path().display());
    let first = gateway(&service, &conf).start().await;
    let (status, log) = gateway(&service, &conf).try_start().await.err().expect("there is one");
    assert!(status.code() == Some(1) && log.contains("`hilum run --upgrade` takes over from it"), "{status}: {log}");
    assert_eq!(first.send("GET /hello").await.status, 200);
    // One that was killed leaves its socket, and that keeps nobody from starting.
    drop(first);
    let mut again = gateway(&service, &conf).start().await;
    assert_eq!(again.send("GET /hello").await.status, 200);
    assert_eq!(again.stop().await.code(), Some(0));
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_refused() {
    let service = Service::start(puppet).await;
    for (mode, expected) in [(0o777, "has mode 0777 and must have 0700"), (0o750, "has mode 0750 and must have 0700")] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).expect("a folder of our own");
        let conf = format!("upgrade: {{ socket: {}/upgrade }}", folder.path().display());
        let (status, log) = gateway(&service, &conf).try_start().await.err().expect("others get in");
        assert!(status.code() == Some(1) && log.contains(expected), "{status}: {log}");
    }
    // Nor is it trusted once it was opened.
    let (mut old, _service) = before(UPGRADE).await;
    let run = old.folder().join("run");
    let mode = std::fs::metadata(&run).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "it is made for one user alone");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o711)).expect("a folder of our own");
    let (status, log) = old.try_successor().await.err().expect("others get in");
    assert!(status.code() == Some(1) && log.contains("has mode 0711"), "{status}: {log}");
    assert_eq!(old.send("GET /hello").await.status, 200);
    assert_eq!(old.stop().await.code(), Some(0));
}
