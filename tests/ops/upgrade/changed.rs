//! What takes over is another program, or has other settings.

use std::path::Path;

use nix::sys::signal::Signal;

use super::{Heir, UPGRADE, gateway, ready};
use crate::harness::{Client, Service, puppet};

#[tokio::test]
async fn a_program_that_was_replaced_is_the_one_that_takes_over() {
    let service = Service::start(puppet).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (program, real) = (folder.path().join("hilum"), env!("CARGO_BIN_EXE_hilum"));
    std::os::unix::fs::symlink(real, &program).expect("a link");
    let mut old = gateway(&service, UPGRADE).program(program.clone()).start().await;
    replace(&program, &format!("#!/bin/sh\necho \"replaced: $*\" >&2\nexec {real} \"$@\"\n"));
    old.signal(Signal::SIGQUIT);
    let heir = Heir::of(&old, 0).await;
    ready(&old, 2).await;
    assert!(
        old.stderr().contains("replaced: run --conf conf/hilum.yaml --routes routes.yaml --upgrade\n"),
        "{}",
        old.stderr()
    );
    assert_eq!(old.ended().await.code(), Some(0));
    assert_eq!(old.send("GET /hello").await.status, 200);
    heir.signal(Signal::SIGTERM);
    heir.ended().await;
}

/// Puts a script in the place of a program, in one step.
pub(super) fn replace(program: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let new = program.with_extension("new");
    std::fs::write(&new, script).expect("a file of our own");
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o700)).expect("a file of our own");
    std::fs::rename(new, program).expect("a file of our own");
}

#[tokio::test]
async fn listeners_come_and_go_with_an_upgrade() {
    let service = Service::start(puppet).await;
    let any = "{ address: \"127.0.0.1:0\" }";
    let mut old = gateway(&service, UPGRADE).listeners(&format!("[{any}, {any}]")).start().await;
    let conf = std::fs::read_to_string(old.folder().join("conf/hilum.yaml")).expect("a file of our own");
    let other = "{ address: \"127.0.0.2:0\" }";
    old.put("conf/hilum.yaml", conf.replace(&format!("[{any}, {any}]"), &format!("[{other}, {any}]")));
    // Somebody waits on the one that nobody names any more.
    let mut waiting = Client::connect(old.listener(1)).await;
    let mut new = old.successor().await;
    assert!(new.stderr().contains("not taken over, since the settings do not name it: clients 127.0.0.1:0"));
    assert_eq!(
        (new.listener(1), new.admin()),
        (old.listener(0), old.admin()),
        "the first of its name is the first again"
    );
    assert_eq!(waiting.send("GET /hello").await.status, 200);
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    for number in 0..2 {
        assert_eq!(Client::connect(new.listener(number)).await.send("GET /hello").await.status, 200, "{number}");
    }
    assert!(Client::try_connect(old.listener(1)).await.is_err(), "nobody listens there any more");
    assert_eq!(new.stop().await.code(), Some(0));
}
