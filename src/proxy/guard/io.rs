//! A client's connection that knows whether it is idle, in a head, or busy, and for how long it may be.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::time::Sleep;

use super::{Connection, Deadlines, Phase, is_past, lock};

/// A head and a small body leave in one packet; more costs no fewer system calls (measured), and each connection holds it.
const WRITE_BUFFER: usize = 8 * 1024;

/// The stream with its deadlines. Reading keeps time, writing is gathered; the rest goes through unchanged.
#[derive(Debug)]
pub(super) struct GuardIo {
    io: BufWriter<Stream>,
    connection: Arc<Connection>,
    deadlines: Deadlines,
    timer: Option<Pin<Box<Sleep>>>,
    /// Something was written that may still be in a buffer.
    is_unflushed: bool,
    /// When the current phase ends, and which one that was computed for.
    want: Option<(Phase, Instant)>,
    /// Bytes that came behind a fault.
    discarded: usize,
}

/// Most bytes that are taken behind a fault.
const DISCARDED: usize = 1024 * 1024;

impl GuardIo {
    pub(super) fn new(io: Stream, connection: Arc<Connection>, deadlines: Deadlines) -> Self {
        GuardIo {
            io: BufWriter::with_capacity(WRITE_BUFFER, io),
            connection,
            deadlines,
            timer: None,
            is_unflushed: false,
            want: None,
            discarded: 0,
        }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    fn count(&mut self, bytes: &[u8], written: &Poll<std::io::Result<usize>>) {
        self.is_unflushed |= written.is_ready();
        self.connection.is_blocked.store(written.is_pending(), Relaxed);
        if let Poll::Ready(Ok(written)) = written
            && self.connection.sent.fetch_add(*written as u64, Relaxed) == 0
        {
            self.connection.status.store(status_of(bytes), Relaxed);
        }
    }

    /// What follows a fault is for nobody. It is taken all the same, up to a bound, since a connection that is closed with unread
    /// bytes is reset, and the client might lose the answer with it.
    fn poll_discard(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        while self.discarded < DISCARDED {
            std::task::ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
            let came = buffer.filled().len() - before;
            if came == 0 {
                break;
            }
            self.discarded += came;
            buffer.set_filled(before);
        }
        Poll::Ready(Err(std::io::ErrorKind::InvalidData.into()))
    }

    fn until(&mut self, phase: Phase, span: Duration) -> Instant {
        match self.want {
            Some((p, at)) if p == phase => at,
            _ => {
                let at = Instant::now() + span;
                self.want = Some((phase, at));
                at
            }
        }
    }
}

/// The status in `HTTP/1.1 405 …`; 0 for anything else.
fn status_of(bytes: &[u8]) -> u16 {
    let digits = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.filter(|_| bytes.starts_with(b"HTTP/")).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

impl AsyncRead for GuardIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        if this.connection.overdue.load(Relaxed) != 0 {
            return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
        }
        if this.connection.lends.swap(false, Relaxed) {
            // Whoever reads finds the end here, and the stream is somebody else's from now on, the waiting included.
            this.connection.is_blocked.store(false, Relaxed);
            let nothing: Stream = Box::new(tokio::io::duplex(1).0);
            *lock(&this.connection.lent) = Some(std::mem::replace(&mut this.io, BufWriter::with_capacity(0, nothing)));
            return Poll::Ready(Ok(()));
        }
        if this.connection.is_ill_framed.load(Relaxed) {
            return this.poll_discard(context, buffer);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        match &read {
            Poll::Ready(_) => {
                let came = buffer.filled().len() - before;
                this.connection.received.fetch_add(came as u64, Relaxed);
                if let Some(streams) = &this.connection.streams {
                    if streams.came(&buffer.filled()[before..], this.connection.sent.load(Relaxed)).is_err() {
                        buffer.set_filled(before);
                        return Poll::Ready(Err(std::io::ErrorKind::InvalidData.into()));
                    }
                } else if lock(&this.connection.wire).came(&buffer.filled()[before..]).is_err() {
                    this.connection.is_ill_framed.store(true, Relaxed);
                    buffer.set_filled(before);
                    return Poll::Ready(Err(std::io::ErrorKind::InvalidData.into()));
                }
                if came > 0 && this.connection.is(Phase::Idle) {
                    this.connection.enter(Phase::Header);
                    this.want = Some((Phase::Header, Instant::now() + this.deadlines.header));
                }
            }
            Poll::Pending if this.connection.is(Phase::Busy) => {
                this.want = None;
                this.connection.is_read.store(true, Relaxed);
                if this.is_unflushed && Pin::new(&mut *this).poll_flush(context).is_ready() {
                    // The proxy waits for the service. What there is of the answer goes out now: Pingora holds a body of known
                    // length back until the buffer is full, and a slow one would look like none for minutes.
                    this.is_unflushed = false;
                }
            }
            Poll::Pending => {
                let want = match this.connection.is(Phase::Idle) {
                    true => this.until(Phase::Idle, this.deadlines.idle),
                    false => this.until(Phase::Header, this.deadlines.header),
                };
                if is_past(&mut this.timer, want, context) {
                    // The request's layer sees the flag in this same wake-up and drops everything. An error from here would make
                    // Pingora log a line for every client of that kind.
                    this.connection.timed_out.store(true, Relaxed);
                }
            }
        }
        read
    }
}

impl AsyncWrite for GuardIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.count(bytes, &written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(context);
        this.is_unflushed &= flushed.is_pending();
        this.connection.is_blocked.store(flushed.is_pending(), Relaxed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(context, slices);
        this.count(slices.first().map_or(&[], |slice| slice), &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for GuardIo {
    async fn shutdown(&mut self) {
        // What is gathered goes out first. A client that is gone already needs nothing more.
        let _ = AsyncWriteExt::shutdown(&mut self.io).await;
    }
}

impl UniqueID for GuardIo {
    fn id(&self) -> UniqueIDType {
        self.io.get_ref().id()
    }
}

// Each of these has a silent default in its trait, so each is handed on by hand.
impl Ssl for GuardIo {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.io.get_ref().get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ref().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.get_ref().selected_alpn_proto()
    }
}

impl GetTimingDigest for GuardIo {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.get_ref().get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.io.get_ref().get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.io.get_ref().get_write_pending_time()
    }
}

impl GetProxyDigest for GuardIo {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.io.get_ref().get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.io.get_mut().set_proxy_digest(digest);
    }
}

impl GetSocketDigest for GuardIo {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.get_ref().get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.io.get_mut().set_socket_digest(digest);
    }
}

#[async_trait]
impl Peek for GuardIo {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> std::io::Result<bool> {
        self.io.get_mut().try_peek(buffer).await
    }
}
