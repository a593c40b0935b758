//! Another client, beside what a test does: on a thread of its own, so that it is the gateway that is measured and not the test.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;

pub(crate) struct Canary<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Canary<T> {
    /// `work` asks until it is told to stop. What is not answered well fails the test.
    pub(crate) fn start<F: Future<Output = T>>(work: impl FnOnce(Arc<AtomicBool>) -> F + Send + 'static) -> Canary<T> {
        let stop = Arc::new(AtomicBool::new(false));
        let stops = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(work(stops))
        });
        Canary { stop, thread }
    }

    /// What it has seen.
    pub(crate) fn stop(self) -> T {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("every request of the canary is answered")
    }
}
