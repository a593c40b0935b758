//! What systemd is told (sd_notify(3)), which is played by the test.

use std::path::Path;

use nix::sys::signal::Signal;
use tokio::net::UnixDatagram;

use super::spoken::Played;
use super::{Heir, ROUTES, UPGRADE, gateway, ready};
use crate::harness::{Gateway, Service, puppet, within};

async fn heard(systemd: &UnixDatagram) -> String {
    let mut text = [0; 256];
    let length = within("a word", systemd.recv(&mut text)).await.expect("a socket of our own");
    String::from_utf8_lossy(&text[..length]).into_owned()
}

fn listen(folder: &Path) -> (UnixDatagram, String) {
    let path = folder.join("notify");
    (UnixDatagram::bind(&path).expect("a folder of our own"), path.display().to_string())
}

#[tokio::test]
async fn systemd_follows_an_upgrade() {
    let service = Service::start(puppet).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (systemd, address) = listen(folder.path());
    let started = gateway(&service, UPGRADE).env("NOTIFY_SOCKET", address);
    let mut old = started.start().await;
    assert_eq!(heard(&systemd).await, "READY=1");
    old.signal(Signal::SIGQUIT);
    let heir = Heir::of(&old, 0).await;
    // Told before the old one ends, or systemd would take that for the end of all.
    assert_eq!(heard(&systemd).await, format!("MAINPID={}\nREADY=1", heir.0));
    ready(&old, 2).await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    heir.signal(Signal::SIGTERM);
    // The first process has said nothing when it drained: the service goes on.
    assert_eq!(heard(&systemd).await, "STOPPING=1");
    heir.ended().await;
    assert!(systemd.try_recv(&mut [0; 16]).is_err(), "that was all");
}

#[tokio::test]
async fn a_successor_that_never_served_tells_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (systemd, address) = listen(folder.path());
    let played = Played::of(Gateway::with(ROUTES).conf(UPGRADE).env("NOTIFY_SOCKET", address)).await;
    // The process whose place the test takes.
    assert_eq!([heard(&systemd).await, heard(&systemd).await], ["READY=1", "STOPPING=1"]);
    let (mut refused, other) = played.ready().await;
    drop(other);
    assert_eq!(refused.ended().await.code(), Some(1));
    let (mut stopped, mut other) = played.ready().await;
    stopped.signal(Signal::SIGTERM);
    stopped.said("draining").await;
    other.say("yours\n").await;
    assert_eq!(other.hears_out().await, "", "it does not say that it serves");
    assert_eq!(stopped.ended().await.code(), Some(0));
    assert!(systemd.try_recv(&mut [0; 16]).is_err(), "the service goes on without them");
}
