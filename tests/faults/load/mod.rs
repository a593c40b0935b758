//! An open load: each request is sent when it is due, whatever became of those before it.

mod exchange;
mod plan;
mod record;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

pub(crate) use plan::{Line, Plan};
pub(crate) use record::{Class, Record, Records};

use crate::harness::within;
use crate::wire::Wire;

/// Connections that a line keeps, used in turn, so that each is idle for a while between two requests.
const KEPT: usize = 16;
/// Ids are never used twice, by no load of this process.
static IDS: AtomicU64 = AtomicU64::new(1);

/// A load that runs until it is stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    lines: Vec<JoinHandle<()>>,
}

struct Shared {
    to: SocketAddr,
    begun: Instant,
    stop: AtomicBool,
    records: Mutex<Vec<Record>>,
}

/// The connections of one line.
#[derive(Default)]
struct Pool {
    idle: Mutex<VecDeque<Wire>>,
    open: AtomicUsize,
}

impl Load {
    pub(crate) fn start(to: SocketAddr, plan: Plan) -> Load {
        let (begun, stop, records) = (Instant::now(), AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared { to, begun, stop, records });
        let lines = plan.0.into_iter().map(|line| tokio::spawn(run(shared.clone(), line))).collect();
        Load { shared, lines }
    }

    /// The time since the begin, which `due` of its records is measured in.
    pub(crate) fn now(&self) -> Duration {
        self.shared.begun.elapsed()
    }

    /// Lets it run for a while.
    pub(crate) async fn goes_on(&self, time: Duration) -> Duration {
        tokio::time::sleep(time).await;
        self.now()
    }

    /// Takes what has its end so far out of it, so that a load of hours does not fill the memory.
    pub(crate) fn take(&self) -> Records {
        Records(std::mem::take(&mut *lock(&self.shared.records)))
    }

    /// Lets the requests that are on their way have their end, and tells of all.
    pub(crate) async fn stop(self) -> Records {
        self.shared.stop.store(true, SeqCst);
        for line in self.lines {
            within("the requests of a load to end", line).await.expect("a line does not panic");
        }
        Records(std::mem::take(&mut *lock(&self.shared.records)))
    }
}

/// Sends the requests of one line, each in a task of its own.
async fn run(shared: Arc<Shared>, line: Line) {
    let (line, pool, mut running) = (Arc::new(line), Arc::new(Pool::default()), JoinSet::new());
    for number in 0_u64.. {
        let due = Duration::from_secs_f64((number as f64 + 0.5) / line.rate);
        sleep_until(shared.begun + due).await;
        if shared.stop.load(SeqCst) {
            break;
        }
        running.spawn(one(shared.clone(), line.clone(), pool.clone(), due));
        while running.try_join_next().is_some() {}
    }
    running.join_all().await;
}

async fn one(shared: Arc<Shared>, line: Arc<Line>, pool: Arc<Pool>, due: Duration) {
    let id = format!("r{}", IDS.fetch_add(1, SeqCst));
    let kept = if line.is_kept { pool.get() } else { None };
    let (outcome, wire) = exchange::exchange(shared.to, &line, &id, kept).await;
    let took = shared.begun.elapsed().saturating_sub(due);
    if line.is_kept {
        pool.put(wire);
    }
    lock(&shared.records).push(Record { due, took, name: line.name.clone(), outcome });
}

impl Pool {
    /// `None`: a new one shall be opened, which is counted already. A connection that the gateway has closed while it was idle is left,
    /// as every client does; one that it closes after that is the gateway's fault.
    fn get(&self) -> Option<Wire> {
        let mut idle = lock(&self.idle);
        while self.open.load(SeqCst) >= KEPT {
            let Some(wire) = idle.pop_front() else { break };
            if !wire.is_over() {
                return Some(wire);
            }
            self.open.fetch_sub(1, SeqCst);
        }
        self.open.fetch_add(1, SeqCst);
        None
    }

    fn put(&self, wire: Option<Wire>) {
        match wire {
            Some(wire) => lock(&self.idle).push_back(wire),
            None => {
                self.open.fetch_sub(1, SeqCst);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}
