//! Clients that send GETs on kept-alive connections and count what becomes of each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::harness::{Client, Response, message, within};

/// A load that runs until it is stopped.
pub(crate) struct Load {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    /// Sent one after the other.
    requests: Vec<Vec<u8>>,
    stop: AtomicBool,
    /// One for each chapter; requests that begin now belong to the last. See [`Load::chapter`].
    tallies: Mutex<Vec<Tally>>,
    changed: watch::Sender<()>,
}

/// What became of the requests that began in one chapter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: usize,
    /// Whole answers, by status and reason.
    pub(crate) answers: BTreeMap<String, usize>,
    /// Requests without a whole answer, on a connection that had not said that it closes.
    pub(crate) lost: Vec<String>,
    /// Connections that were refused: nothing was sent on them.
    pub(crate) refused: usize,
}

impl Tally {
    /// Whole answers.
    pub(crate) fn answered(&self) -> usize {
        self.answers.values().sum()
    }

    fn is_settled(&self) -> bool {
        self.answered() + self.lost.len() == self.sent
    }

    /// Every request was answered, and all with 200.
    #[track_caller]
    pub(crate) fn expect_all_good(&self, what: &str) {
        assert!(
            self.lost.is_empty(),
            "{what}: {} of {} requests were lost: {:?}",
            self.lost.len(),
            self.sent,
            self.lost
        );
        assert!(self.answers.keys().all(|status| status == "200"), "{what}: {:?}", self.answers);
        assert_eq!(self.answered(), self.sent, "{what}");
        assert!(self.sent > 0, "{what}: nothing was sent");
    }
}

impl Load {
    /// So many clients, each with one request after the other, and so long from the begin of one to the begin of the next.
    pub(crate) fn start(to: SocketAddr, clients: usize, pace: Duration, requests: &[&str]) -> Load {
        let requests = requests.iter().map(|text| message(text)).collect();
        let (stop, tallies) = (AtomicBool::new(false), Mutex::new(vec![Tally::default()]));
        let shared = Arc::new(Shared { to, requests, stop, tallies, changed: watch::Sender::new(()) });
        // Spread over the pace, so that there is always one about to connect, to send or to read.
        let begin = |number: usize| Instant::now() + pace.mul_f64(number as f64 / clients as f64);
        let running =
            (0..clients).map(|number| run(shared.clone(), number, interval_at(begin(number), pace))).collect();
        Load { clients: running, shared }
    }

    /// Ends a chapter: requests that begin from now on are counted in the next one.
    /// Returns when every request of the ended one has its end, so that what happens next cannot change that.
    pub(crate) async fn chapter(&self) {
        let ended = {
            let mut tallies = self.shared.tallies();
            tallies.push(Tally::default());
            tallies.len() - 2
        };
        self.until(&format!("the end of chapter {ended}"), |tallies| tallies[ended].is_settled()).await;
    }

    /// Waits until so many requests of this chapter were answered.
    pub(crate) async fn has_answered(&self, requests: usize) {
        self.until(&format!("{requests} answers"), |tallies| tallies.last().map_or(0, Tally::answered) >= requests)
            .await;
    }

    async fn until(&self, what: &str, is_so: impl Fn(&[Tally]) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        within(what, async {
            while !is_so(&self.shared.tallies()) {
                changes.changed().await.expect("the sender lives in self");
            }
        })
        .await;
    }

    /// Lets the requests that are on their way be answered, and tells what became of each, by chapter.
    pub(crate) async fn stop(mut self) -> Vec<Tally> {
        self.shared.stop.store(true, SeqCst);
        within("the clients to end", async {
            while let Some(ended) = self.clients.join_next().await {
                ended.expect("a client does not panic");
            }
        })
        .await;
        self.shared.tallies().clone()
    }
}

impl Shared {
    fn tallies(&self) -> std::sync::MutexGuard<'_, Vec<Tally>> {
        self.tallies.lock().expect("nobody panics while counting")
    }

    /// A request begins, or could not: it belongs to the chapter that this returns.
    fn begin(&self, count: impl FnOnce(&mut Tally)) -> usize {
        let chapter = {
            let mut tallies = self.tallies();
            count(tallies.last_mut().expect("there is always a chapter"));
            tallies.len() - 1
        };
        self.changed.send_replace(());
        chapter
    }

    fn end(&self, chapter: usize, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tallies()[chapter]);
        self.changed.send_replace(());
    }
}

async fn run(shared: Arc<Shared>, number: usize, mut tick: Interval) {
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut requests = shared.requests.iter().cycle().skip(number);
    let mut connection: Option<Client> = None;
    while !shared.stop.load(SeqCst) {
        tick.tick().await;
        let mut client = match connection.take() {
            Some(client) => client,
            None => match Client::try_connect(shared.to).await {
                Ok(client) => client,
                Err(_) => {
                    shared.begin(|tally| tally.refused += 1);
                    continue;
                }
            },
        };
        let chapter = shared.begin(|tally| tally.sent += 1);
        let request = requests.next().expect("it goes round");
        let answer = match client.try_write(request).await {
            true => client.try_read(false).await,
            false => None,
        };
        match answer {
            Some(answer) if answer.complete => {
                shared.end(chapter, |tally| *tally.answers.entry(kind(&answer)).or_default() += 1);
                if !says_close(&answer) {
                    connection = Some(client);
                }
            }
            half => shared.end(chapter, |tally| tally.lost.push(format!("client {number}: {half:?}"))),
        }
    }
}

fn kind(answer: &Response) -> String {
    format!("{} {}", answer.status, answer.reason()).trim_end().to_owned()
}

/// Whether the connection ends with this answer (RFC 9112, 9.6).
pub(crate) fn says_close(answer: &Response) -> bool {
    answer.header("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
}
