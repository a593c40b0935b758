//! A service as a process of its own, so that it can be killed and frozen like a real one. `faults service PORT LOG SPEC` is how it
//! is started; what it shall do from now on comes by standard input, a word a line, and each word is answered with `ok`.
//!
//! ```text
//! well       answers                                  slam       reads the head of a request and resets
//! cut        half an answer, then a reset             garbage    answers with what is no HTTP
//! blackhole  takes no connection and answers on none  see        ends that
//! truthful   /health tells of faults                  lying      /health says that all is well
//! ```
//!
//! What it does with a request, the path says; see [`answer`]. Each request's id goes to the log before anything else is done with it, and
//! the log outlives the process.

mod answer;
mod spec;

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc};

pub(crate) use answer::{PIECE, PIECES, answer_of, pattern};
pub(crate) use spec::{Spec, time};

use crate::wire::Wire;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    None,
    Slam,
    Cut,
    Garbage,
}

struct Shared {
    fault: AtomicU8,
    lies: AtomicBool,
    /// Connections that are there say nothing any more, and none is accepted.
    is_deaf: AtomicBool,
    sees: Notify,
    workers: Semaphore,
    spec: Spec,
    log: File,
}

impl Shared {
    fn fault(&self) -> Fault {
        match self.fault.load(SeqCst) {
            1 => Fault::Slam,
            2 => Fault::Cut,
            3 => Fault::Garbage,
            _ => Fault::None,
        }
    }

    /// Waits as long as this service is a black hole.
    async fn hears(&self) {
        loop {
            let sees = self.sees.notified();
            if !self.is_deaf.load(SeqCst) {
                return;
            }
            sees.await;
        }
    }

    /// One write, so that it is there even if the process is killed at the next instruction.
    fn note(&self, method: &str, id: &str) {
        (&self.log).write_all(format!("{method} {id}\n").as_bytes()).expect("the log of a service takes lines");
    }
}

/// The whole life of the process; `words` are those after `service`.
pub(crate) fn main(words: &[String]) {
    let [port, log, spec] = words else { panic!("service PORT LOG SPEC, not {words:?}") };
    let log = File::options().create(true).append(true).open(log).expect("a log");
    let spec = Spec::parse(spec);
    let shared = Arc::new(Shared {
        fault: AtomicU8::new(0),
        lies: AtomicBool::new(false),
        is_deaf: AtomicBool::new(false),
        sees: Notify::new(),
        workers: Semaphore::new(spec.workers),
        spec,
        log,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = listen(port.parse().expect("a port"));
        tell("ok");
        tokio::select! {
            () = accept(&listener, &shared) => {}
            () = obey(&listener, &shared) => {}
        }
    });
}

fn tell(word: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{word}").and_then(|()| out.flush()).expect("who started this service listens");
}

/// The one that started this process holds the port, without listening, so that nobody else gets it.
fn listen(port: u16) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_reuse_address(true).expect("a fresh socket takes options");
    socket.set_nonblocking(true).expect("a fresh socket takes options");
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("the port is held for us");
    socket.listen(1024).expect("a bound socket can listen");
    TcpListener::from_std(socket.into()).expect("a listener")
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        shared.hears().await;
        // A word may have made it deaf while it waited for a connection.
        let Ok((stream, _)) = listener.accept().await else { continue };
        if !shared.is_deaf.load(SeqCst) {
            tokio::spawn(answer::serve(Wire::new(stream), shared.clone()));
        } else {
            tokio::spawn(answer::stay_silent(stream, shared.clone()));
        }
    }
}

/// Until who started this process is gone.
async fn obey(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut words = words();
    let mut filling = Vec::new();
    while let Some(word) = words.recv().await {
        let fault = |fault: Fault| shared.fault.store(fault as u8, SeqCst);
        match word.as_str() {
            "well" => fault(Fault::None),
            "slam" => fault(Fault::Slam),
            "cut" => fault(Fault::Cut),
            "garbage" => fault(Fault::Garbage),
            "truthful" => shared.lies.store(false, SeqCst),
            "lying" => shared.lies.store(true, SeqCst),
            "blackhole" => {
                shared.is_deaf.store(true, SeqCst);
                filling = fill_queue(listener).await;
            }
            "see" => {
                filling.clear();
                SockRef::from(listener).listen(1024).expect("a listener listens");
                shared.is_deaf.store(false, SeqCst);
                shared.sees.notify_waiters();
            }
            other => panic!("no such word: {other}"),
        }
        tell("ok");
    }
}

/// The lines of standard input, read on a thread.
fn words() -> mpsc::UnboundedReceiver<String> {
    let (sender, words) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for word in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(word).is_err() {
                return;
            }
        }
    });
    words
}

/// With a queue of one, which is full, the system drops each SYN: who connects hears nothing.
async fn fill_queue(listener: &TcpListener) -> Vec<TcpStream> {
    SockRef::from(listener).listen(0).expect("a listener listens");
    let address = listener.local_addr().expect("an address");
    let mut filling = Vec::new();
    let patience = std::time::Duration::from_millis(100);
    while let Ok(Ok(stream)) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        filling.push(stream);
    }
    filling
}
