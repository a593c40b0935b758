//! Lines and sockets over a Unix socket, to and from a process of our own user.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;

use anyhow::{Context, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg, sockopt,
};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;

use super::BUSY;
use super::inventory::END;

/// No list of sockets is longer.
const MOST: usize = 64 * 1024;

/// Sends a line, and the socket that it names.
pub(super) async fn send(stream: &UnixStream, line: &str, socket: Option<BorrowedFd<'_>>) -> std::io::Result<()> {
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        let sockets = socket.as_slice();
        if !sockets.is_empty() && !with.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(std::io::Error::other("there is no room for a socket"));
        }
        // Without the flag, who has gone would end us with a signal.
        Ok(sendmsg(stream, &[IoSlice::new(line.as_bytes())], &mut with, SendFlags::NOSIGNAL)?)
    });
    match sent.await? == line.len() {
        true => Ok(()),
        // A line is short and the buffer of a socket is not: the other end has read nothing of what came before.
        false => Err(std::io::Error::other("the other end does not read")),
    }
}

/// Receives all lines up to the end of the list, and the sockets that came along, in their order.
pub(super) fn receive(stream: &BlockingStream) -> anyhow::Result<(String, Vec<OwnedFd>)> {
    let (mut text, mut sockets) = (Vec::new(), Vec::new());
    loop {
        let (mut piece, mut space) = ([0; 4096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))]);
        let mut with = RecvAncillaryBuffer::new(&mut space);
        // A program that we start must not have them by accident.
        let received = recvmsg(stream, &mut [IoSliceMut::new(&mut piece)], &mut with, RecvFlags::CMSG_CLOEXEC)
            .context("it sends no list of its sockets")?;
        for message in with.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                sockets.extend(more);
            }
        }
        text.extend_from_slice(&piece[..received.bytes]);
        if text == BUSY {
            bail!("another successor is taking over from it at this moment");
        }
        if text.ends_with(END.as_bytes()) {
            return Ok((String::from_utf8(text).context("the list of its sockets is no text")?, sockets));
        }
        if received.bytes == 0 || text.len() > MOST {
            bail!("the list of its sockets has no end");
        }
    }
}

/// Reads exactly this line.
pub(super) async fn expect(stream: &mut UnixStream, line: &[u8]) -> Result<(), String> {
    let (mut came, wanted) = ([0; 16], String::from_utf8_lossy(line).trim_end().to_owned());
    let mut length = 0;
    while length < line.len() {
        match stream.read(&mut came[length..line.len()]).await {
            Ok(0) => return Err(format!("it left before it said `{wanted}`")),
            Err(e) => return Err(format!("it left before it said `{wanted}`: {e}")),
            Ok(more) => length += more,
        }
        if !line.starts_with(&came[..length]) {
            let said = String::from_utf8_lossy(&came[..length]);
            return Err(format!("it said {said:?} where `{wanted}` was expected"));
        }
    }
    Ok(())
}

/// Who is at the other end, if it is a process of our own user.
pub(super) fn peer(stream: impl AsFd) -> Result<u32, String> {
    let peer = sockopt::socket_peercred(stream).map_err(|e| format!("who it is can't be asked: {e}"))?;
    let (pid, uid) = (peer.pid.as_raw_nonzero().get().unsigned_abs(), peer.uid.as_raw());
    is_ours(uid, rustix::process::geteuid().as_raw()).map(|()| pid)
}

fn is_ours(uid: u32, own: u32) -> Result<(), String> {
    match uid == own {
        true => Ok(()),
        false => Err(format!("it belongs to user {uid}, and this process to user {own}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use tokio::io::AsyncWriteExt;

    use super::super::READY;
    use super::super::inventory::GREETING;
    use super::*;

    fn pair() -> (UnixStream, BlockingStream) {
        let (ours, theirs) = BlockingStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (UnixStream::from_std(ours).unwrap(), theirs)
    }

    #[tokio::test]
    async fn a_socket_that_was_sent_is_the_same_one_at_the_other_end() {
        let (ours, theirs) = pair();
        let listeners: Vec<TcpListener> = (0..40).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        send(&ours, GREETING, None).await.unwrap();
        for listener in &listeners {
            send(&ours, "clients 127.0.0.1:0\n", Some(listener.as_fd())).await.unwrap();
        }
        send(&ours, END, None).await.unwrap();
        let (text, sockets) = receive(&theirs).unwrap();
        assert_eq!((text.lines().count(), sockets.len()), (42, 40));
        for (sent, received) in listeners.into_iter().zip(sockets) {
            let (address, received) = (sent.local_addr().unwrap(), TcpListener::from(received));
            assert_eq!(received.local_addr().unwrap(), address);
            let flags = rustix::io::fcntl_getfd(&received).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "a program that is started would have it");
            // Who connects is served, though the one that was sent is closed.
            let client = TcpStream::connect(address).unwrap();
            drop(sent);
            assert_eq!(received.accept().unwrap().1, client.local_addr().unwrap());
        }
    }

    #[test]
    fn what_is_no_list_ends() {
        for (sent, expected) in [
            (&b"busy\n"[..], "another successor is taking over from it at this moment"),
            (b"", "the list of its sockets has no end"),
            (b"hilum upgrade 1\nadm", "the list of its sockets has no end"),
            (b"\xff\nend\n", "the list of its sockets is no text"),
            (&[b'a'; MOST + 1], "the list of its sockets has no end"),
        ] {
            let (mut ours, theirs) = BlockingStream::pair().unwrap();
            let sent = sent.to_vec();
            let sending = std::thread::spawn(move || ours.write_all(&sent));
            let got = receive(&theirs).expect_err("it is no list").to_string();
            assert_eq!(got, expected);
            drop(theirs);
            let _ = sending.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_word_is_read_to_the_letter() {
        for (sent, expected) in [
            ("ready\n", Ok(())),
            ("", Err("it left before it said `ready`")),
            ("read", Err("it left before it said `ready`")),
            ("reads\n", Err("it said \"reads\\n\" where `ready` was expected")),
            ("GET / HTTP/1.1\r\n", Err("it said \"GET / \" where `ready` was expected")),
        ] {
            let (mut ours, theirs) = pair();
            theirs.set_nonblocking(true).unwrap();
            let mut theirs = UnixStream::from_std(theirs).unwrap();
            theirs.write_all(sent.as_bytes()).await.unwrap();
            drop(theirs);
            assert_eq!(expect(&mut ours, READY).await, expected.map_err(str::to_owned), "{sent:?}");
        }
    }

    #[test]
    fn only_processes_of_our_own_user_are_spoken_to() {
        let (ours, _theirs) = BlockingStream::pair().unwrap();
        assert_eq!(peer(&ours), Ok(std::process::id()));
        assert_eq!(is_ours(1000, 1000), Ok(()));
        for (uid, own) in [(1000, 0), (0, 1000), (1001, 1000)] {
            let expected = format!("it belongs to user {uid}, and this process to user {own}");
            assert_eq!(is_ours(uid, own), Err(expected));
        }
    }
}
