//! The side of the process that runs: it starts a successor when it is told to, gives its listening sockets to one at a time, and goes
//! on as before until one serves.

use std::future::{Future, pending};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as BlockingListener;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Child;
use tokio::signal::unix::Signal;
use tokio::time::timeout;

use super::inventory::{END, Entry, GREETING};
use super::{BUSY, Listening, READY, SERVING, Unpublished, Upgrade, YOURS, wire};
use crate::server::opening::Gate;
use crate::telemetry::Seldom;

/// Without a free descriptor `accept` fails at once, again and again.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A listening socket that a successor is given.
pub(in crate::server) struct Held {
    pub(in crate::server) entry: Entry,
    pub(in crate::server) socket: TcpListener,
}

/// A process that others may take over from.
pub(in crate::server) struct Predecessor {
    listener: BlockingListener,
    held: Vec<Held>,
    upgrade: Upgrade,
    gate: Gate,
}

/// What a conversation with a successor has come to.
enum Step {
    /// It is ready.
    Ready(UnixStream),
    /// It serves.
    Serving,
}

/// `Err`: why it does not take over.
type Conversation<'p> = Pin<Box<dyn Future<Output = Result<Step, String>> + Send + 'p>>;

/// A successor that was started here.
struct Started {
    child: Child,
    /// When it is given up.
    until: Option<Instant>,
}

/// Waits until a successor serves. SIGQUIT starts one.
pub(in crate::server) async fn until_succeeded(predecessor: Option<Predecessor>, mut quit: Signal) {
    if let Some(predecessor) = predecessor {
        return predecessor.until_succeeded(quit).await;
    }
    while quit.recv().await.is_some() {
        log::warn!("SIGQUIT starts a successor, and there is no `upgrade:` in the settings: nothing is done");
    }
    pending().await
}

impl Predecessor {
    /// `held`: copies of the listening sockets. Those who connect wait until it is published.
    pub(in crate::server) fn new(
        listening: Listening,
        held: Vec<Held>,
        upgrade: Upgrade,
        gate: Gate,
    ) -> (Predecessor, Unpublished) {
        let Listening { listener, name } = listening;
        (Predecessor { listener, held, upgrade, gate }, name)
    }

    async fn until_succeeded(mut self, mut quit: Signal) {
        let listener = match self.listener.try_clone().and_then(UnixListener::from_std) {
            Ok(listener) => listener,
            Err(e) => {
                log::error!("successors can't be heard: {e}");
                return pending().await;
            }
        };
        let held = std::mem::take(&mut self.held);
        let (mut conversation, mut started, mut has_agreed) = (None::<Conversation<'_>>, None::<Started>, false);
        let failures = Seldom::default();
        loop {
            // Whoever was told that all is theirs may serve already, however late.
            let until = started.as_ref().filter(|_| !has_agreed).and_then(|started| started.until);
            tokio::select! {
                // First what a successor says, so that nobody is given up who has said it in time.
                biased;
                step = said(conversation.as_mut()) => match step {
                    Ok(Step::Ready(stream)) => {
                        has_agreed = true;
                        conversation = Some(Box::pin(agree(stream)));
                    }
                    Ok(Step::Serving) => break,
                    Err(why) => {
                        log::error!("a successor does not take over, this process goes on: {why}");
                        (conversation, has_agreed) = (None, false);
                    }
                },
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => match wire::peer(&stream) {
                        Ok(_) if conversation.is_some() => {
                            log::warn!("a second successor has come and is sent away");
                            tokio::spawn(async move {
                                let mut stream = stream;
                                // It will notice the end as well.
                                let _ = stream.write_all(BUSY).await;
                            });
                        }
                        Ok(process) => {
                            log::info!("a successor has come, process {process}");
                            conversation = Some(Box::pin(prepare(stream, &held, self.upgrade.within)));
                        }
                        Err(why) => log::warn!("who came to the upgrade socket is sent away: {why}"),
                    },
                    Err(e) => {
                        if let Some(times) = failures.is_due(Instant::now()) {
                            log::warn!("a successor could not be accepted: {e}; {times} since this was told last");
                        }
                        tokio::time::sleep(EXHAUSTED).await;
                    }
                },
                ended = ended(started.as_mut()) => {
                    started = None;
                    log::error!("the successor that was started has ended, this process goes on: {ended}");
                }
                () = at(until) => {
                    if let Some(started) = &mut started {
                        log::error!("the successor that was started is not ready after {:?} and is ended", self.upgrade.within);
                        started.until = None;
                        // It has ended by itself, which is heard above.
                        let _ = started.child.start_kill();
                    }
                }
                _ = quit.recv() => {
                    if started.is_some() || conversation.is_some() {
                        log::info!("a successor is on its way already");
                    } else if !self.gate.is_open() {
                        log::warn!("this process does not serve yet, and starts no successor");
                    } else {
                        started = self.start();
                    }
                }
            }
        }
        log::info!("a successor serves");
        if let Some(mut started) = started {
            // Whenever it ends: nobody else may ask the system for it.
            tokio::spawn(async move { started.child.wait().await });
        }
    }

    fn start(&self) -> Option<Started> {
        match self.upgrade.program.start() {
            Ok(child) => {
                log::info!("a successor was started, process {}", child.id().unwrap_or_default());
                Some(Started { child, until: Some(Instant::now() + self.upgrade.within) })
            }
            Err(e) => {
                log::error!("a successor can't be started, this process goes on: {e}");
                None
            }
        }
    }
}

/// Gives it the sockets, and waits until it is ready.
async fn prepare(stream: UnixStream, held: &[Held], within: Duration) -> Result<Step, String> {
    let prepared = timeout(within, async {
        let mut stream = stream;
        let failed = |e: std::io::Error| format!("the sockets could not be sent: {e}");
        wire::send(&stream, GREETING, None).await.map_err(failed)?;
        for Held { entry, socket } in held {
            wire::send(&stream, &format!("{entry}\n"), Some(socket.as_fd())).await.map_err(failed)?;
        }
        wire::send(&stream, END, None).await.map_err(failed)?;
        wire::expect(&mut stream, READY).await.map(|()| Step::Ready(stream))
    });
    prepared.await.unwrap_or_else(|_| Err(format!("it is not ready after {within:?}")))
}

/// Lets it serve, and waits until it does: it may take its time, since this process serves as well.
async fn agree(mut stream: UnixStream) -> Result<Step, String> {
    stream.write_all(YOURS).await.map_err(|e| format!("it left when it was ready: {e}"))?;
    wire::expect(&mut stream, SERVING).await.map(|()| Step::Serving)
}

async fn said(conversation: Option<&mut Conversation<'_>>) -> Result<Step, String> {
    match conversation {
        Some(conversation) => conversation.await,
        None => pending().await,
    }
}

async fn ended(started: Option<&mut Started>) -> String {
    match started {
        Some(started) => started.child.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string()),
        None => pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => pending().await,
    }
}
