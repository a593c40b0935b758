//! What the two processes say to each other, with one of them played by the test: each way to fall silent, to leave or to lie.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;

use nix::sys::signal::Signal;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::{GOES_ON, Loads, ROUTES, SOCKET, UPGRADE, before};
use crate::harness::{Builder, Client, Gateway, eventually, within};

/// One end of a conversation.
pub(super) struct Other(UnixStream);

impl Other {
    /// Connects as a successor does.
    async fn successor(gateway: &Gateway) -> Other {
        Other(UnixStream::connect(gateway.folder().join(SOCKET)).await.expect("it listens"))
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("the other end reads");
    }

    /// Says which socket this is, and gives it.
    fn give(&self, line: &str, socket: &TcpListener) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        let sockets = [socket.as_fd()];
        assert!(with.push(SendAncillaryMessage::ScmRights(&sockets)));
        sendmsg(&self.0, &[IoSlice::new(line.as_bytes())], &mut with, SendFlags::empty()).expect("it is sent");
    }

    /// Reads up to the end of `text`.
    async fn hears(&mut self, text: &str) -> String {
        let mut heard = Vec::new();
        within(text, async {
            while !heard.ends_with(text.as_bytes()) {
                heard.push(
                    self.0
                        .read_u8()
                        .await
                        .unwrap_or_else(|e| panic!("{e} after {:?}", String::from_utf8_lossy(&heard))),
                );
            }
        })
        .await;
        String::from_utf8(heard).expect("a text")
    }

    /// Reads to the end.
    pub(super) async fn hears_out(&mut self) -> String {
        let mut heard = String::new();
        // The other end may leave unread what was said to it, which is a reset.
        let _ = within("the end", self.0.read_to_string(&mut heard)).await;
        heard
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_come_to_serve_changes_nothing() {
    let (mut old, _service) = before("upgrade: { socket: ../run/upgrade, within: 2s }").await;
    let loads = Loads::start(&old);
    let cases = [
        ("", "", true, "it left before it said `ready`"),
        ("rea", "", true, "it left before it said `ready`"),
        ("GET / HTTP/1.1\r\n\r\n", "", false, "it said \"GET / \" where `ready` was expected"),
        ("\0\0\0\0\0\0\0\0", "", false, "it said \"\\0\\0\\0\\0\\0\\0\" where `ready` was expected"),
        ("", "", false, "it is not ready after 2s"),
        ("ready\n", "", true, "it left before it said `serving`"),
        ("ready\n", "ready\n", false, "it said \"ready\\n\" where `serving` was expected"),
    ];
    for (number, (says, then, leaves, told)) in cases.into_iter().enumerate() {
        let mut successor = Other::successor(&old).await;
        assert_eq!(successor.hears("end\n").await, "hilum upgrade 1\nclients 127.0.0.1:0\nadmin 127.0.0.1:0\nend\n");
        successor.say(says).await;
        if says == "ready\n" {
            successor.hears("yours\n").await;
            successor.say(then).await;
        }
        if leaves {
            drop(successor);
        } else {
            assert_eq!(successor.hears_out().await, "", "{says:?}");
        }
        let why = eventually("it to be told", async || {
            let log = old.stderr();
            let (why, _) = log.split(GOES_ON).nth(number + 1)?.split_once('\n')?;
            Some(why.to_owned())
        })
        .await;
        assert_eq!(why, told, "{says:?}");
        loads.go_on(20).await;
    }
    let mut new = old.successor().await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    loads.go_on(20).await;
    loads.expect_all_good("seven who did not serve").await;
    assert_eq!(new.stop().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_successor_is_sent_away() {
    let (mut old, _service) = before(UPGRADE).await;
    let mut first = Other::successor(&old).await;
    first.hears("end\n").await;
    assert_eq!(Other::successor(&old).await.hears_out().await, "busy\n");
    let (status, log) = old.try_successor().await.err().expect("there is another one");
    let told = "another successor is taking over from it at this moment";
    assert!(status.code() == Some(1) && log.contains(told), "{status}: {log}");
    // A signal starts none then.
    old.signal(Signal::SIGQUIT);
    old.said("a successor is on its way already").await;
    drop(first);
    old.said("it left before it said `ready`").await;
    let mut new = old.successor().await;
    assert_eq!(old.ended().await.code(), Some(0), "{}", old.stderr());
    assert_eq!(new.stop().await.code(), Some(0));
}

/// A process that runs, played by the test: its sockets, and where its successor comes.
pub(super) struct Played {
    clients: TcpListener,
    admin: TcpListener,
    listener: UnixListener,
    /// The files that its successor is started with.
    gateway: Gateway,
}

impl Played {
    async fn start(conf: &str) -> Played {
        Played::of(Gateway::with(ROUTES).conf(conf)).await
    }

    pub(super) async fn of(files: Builder) -> Played {
        // Nobody asks the service.
        let mut gateway = files.env("S", "http://127.0.0.1:1").start().await;
        gateway.stop().await;
        let path = gateway.folder().join(SOCKET);
        std::fs::remove_file(&path).expect("what it has left");
        let [clients, admin] = [0; 2].map(|port| {
            let socket = TcpListener::bind(("127.0.0.1", port)).expect("a port");
            socket.set_nonblocking(true).expect("a socket of our own");
            socket
        });
        Played { clients, admin, listener: UnixListener::bind(path).expect("a folder of our own"), gateway }
    }

    /// A successor that has come and heard nothing yet.
    async fn successor(&self) -> (Gateway, Other) {
        let successor = self.gateway.begin_successor();
        let (stream, _) = within("a successor", self.listener.accept()).await.expect("it comes");
        (successor, Other(stream))
    }

    /// One that was given both sockets, and is ready.
    pub(super) async fn ready(&self) -> (Gateway, Other) {
        let (successor, mut other) = self.successor().await;
        other.say("hilum upgrade 1\n").await;
        other.give("clients 127.0.0.1:0\n", &self.clients);
        other.give("admin 127.0.0.1:0\n", &self.admin);
        other.say("end\n").await;
        other.hears("ready\n").await;
        (successor, other)
    }
}

#[tokio::test]
async fn a_successor_that_is_not_agreed_to_never_accepts() {
    let played = Played::start(UPGRADE).await;
    let address = played.clients.local_addr().expect("an address");
    // Both wait in the kernel, for whoever accepts.
    let _clients =
        (Client::connect(address).await, Client::connect(played.admin.local_addr().expect("an address")).await);
    for (says, told) in [
        ("", "it left before it said `yours`"),
        ("your", "it left before it said `yours`"),
        ("busy\n", "it said \"busy\\n\" where `yours` was expected"),
    ] {
        let (mut successor, mut other) = played.ready().await;
        other.say(says).await;
        drop(other);
        successor.said(&format!("hilum: the running process was not taken over from: {told}")).await;
        assert_eq!(successor.ended().await.code(), Some(1), "{says:?}");
        assert!(!successor.stderr().contains("ready listeners"), "{}", successor.stderr());
    }
    // One that is told to stop while it waits does not serve either, though it is agreed to.
    let (mut successor, mut other) = played.ready().await;
    successor.signal(Signal::SIGTERM);
    successor.said("draining").await;
    other.say("yours\n").await;
    assert_eq!(other.hears_out().await, "", "it does not say that it serves");
    assert_eq!(successor.ended().await.code(), Some(0));
    for listener in [&played.clients, &played.admin] {
        assert!(listener.accept().is_ok(), "who waited still waits");
    }
}

#[tokio::test]
async fn a_successor_that_is_agreed_to_serves_on_the_sockets_that_it_was_given() {
    let played = Played::start(UPGRADE).await;
    let address = played.clients.local_addr().expect("an address");
    let mut waiting = Client::connect(address).await;
    let (mut successor, mut other) = played.ready().await;
    // However late.
    other.say("yours\n").await;
    assert_eq!(other.hears_out().await, "serving\n");
    successor
        .said(&format!("ready listeners=[{address}] admin={}", played.admin.local_addr().expect("an address")))
        .await;
    assert_eq!(waiting.send("GET /hello").await.status, 200);
    assert_eq!(successor.stop().await.code(), Some(0));
    // One whose predecessor is gone in that moment is the only one that serves.
    let played = Played::start(UPGRADE).await;
    let (mut successor, mut other) = played.ready().await;
    other.say("yours\n").await;
    drop(other);
    let address = played.clients.local_addr().expect("an address");
    assert_eq!(Client::connect(address).await.send("GET /hello").await.status, 200);
    assert_eq!(successor.stop().await.code(), Some(0));
}

#[tokio::test]
async fn a_predecessor_that_makes_no_sense_is_not_taken_over_from() {
    let played = Played::start("upgrade: { socket: ../run/upgrade, within: 1s }").await;
    for (says, told) in [
        ("hilum upgrade 2\nend\n", "it says \"hilum upgrade 2\" where this version expects \"hilum upgrade 1\""),
        ("hilum upgrade 1\nclients 127.0.0.1:0\nend\n", "it names 1 sockets and sends 0"),
        ("hilum upgrade 1\n", "it sends no list of its sockets"),
        ("", "it sends no list of its sockets"),
    ] {
        let (mut successor, mut other) = played.successor().await;
        other.say(says).await;
        successor.said(told).await;
        assert_eq!(successor.ended().await.code(), Some(1), "{says:?}");
    }
    let (mut successor, other) = played.successor().await;
    other.give("hilum upgrade 1\nclients 127.0.0.9:0\nend\n", &played.clients);
    successor.said("what it calls `clients 127.0.0.9:0` listens on 127.0.0.1:").await;
    assert_eq!(successor.ended().await.code(), Some(1));
}
