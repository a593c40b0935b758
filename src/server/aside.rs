//! Work that takes long and that no request waits for: to read and compile thousands of routes, and to free them. It has a thread of its
//! own, which gives way to those that answer requests.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use crate::config::yaml::STACK;

/// How much it gives way, from 0 to 19: a core that is busy with requests gives it a quarter of its time, so that an edit is live soon in
/// the middle of a flood as well.
const NICE: i32 = 5;
/// The allocator keeps what was freed for a tenth of a second, then whoever frees a segment next gives all of it back to the system.
const KEPT: Duration = Duration::from_millis(110);
/// A segment of its own.
const SEGMENT: usize = 32 << 20;

/// The thread. It ends when this is dropped.
pub(super) struct Aside(Sender<Job>);

type Job = Box<dyn FnOnce() + Send>;

impl Aside {
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn start() -> std::io::Result<Aside> {
        let (sender, jobs) = channel();
        Builder::new().name("aside".to_owned()).stack_size(STACK).spawn(move || work_off(&jobs))?;
        Ok(Aside(sender))
    }

    /// What the work gives, once it is done; `None`: it panicked.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = oneshot::channel();
        // Whoever asked may have gone.
        self.after(move || drop(done.send(work())));
        result.await.ok()
    }

    /// Work that nobody waits for.
    pub(super) fn after(&self, work: impl FnOnce() + Send + 'static) {
        self.0.send(Box::new(work)).expect("the thread lives as long as this");
    }
}

fn work_off(jobs: &Receiver<Job>) {
    // Of this thread alone: Linux has a priority for each (setpriority(2)), which the threads that it begins take over.
    if let Err(e) = setpriority_process(None, NICE) {
        log::debug!("reloads can't give way to requests: {e}");
    }
    while let Ok(job) = jobs.recv() {
        let mut next = Some(job);
        while let Some(job) = next {
            // It was told by the hook; whoever waits for the work hears that there is no result.
            let _ = catch_unwind(AssertUnwindSafe(job));
            next = jobs.recv_timeout(KEPT).ok();
        }
        give_back();
    }
}

/// A table of ten thousand routes and what it was made of are hundreds of megabytes. Left to whoever frees a segment next, it was a
/// thread that answers requests, and those waited up to 14 ms for it (`tests/ops/many.rs`).
fn give_back() {
    let mut segment = Vec::<u8>::new();
    // Without memory for it nothing is given back, and nothing is lost.
    let _ = segment.try_reserve_exact(SEGMENT);
    drop(black_box(segment));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_gives_nothing_and_the_next_work_is_done() {
        let aside = Aside::start().expect("a thread");
        assert_eq!(aside.run(|| -> u32 { panic!("on purpose") }).await, None);
        assert_eq!(aside.run(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn the_thread_gives_way_and_no_other_does() {
        // The 19th word of a thread's `stat` is its niceness (proc_pid_stat(5)); the name before may hold anything.
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("the kernel tells it");
            let after = stat.rsplit_once(')').expect("a name").1.to_owned();
            after.split_whitespace().nth(16).expect("a number").parse::<i32>().expect("a number")
        };
        let ours = nice();
        let aside = Aside::start().expect("a thread");
        assert_eq!(aside.run(nice).await, Some(NICE));
        let began = move || std::thread::spawn(nice).join().expect("no panic");
        assert_eq!(aside.run(began).await, Some(NICE), "nor does what it begins");
        assert_eq!(nice(), ours);
    }
}
