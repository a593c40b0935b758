//! Tables that no request begins with any more. Whoever lets go of a table last frees it, which takes milliseconds for ten thousand
//! routes: so they are held here as well, and the last one is never a request.

use std::sync::Arc;

use super::aside::Aside;
use crate::table::Table;

/// The tables before the running one, each for as long as an exchange goes on that began with it.
pub(super) struct Retired<T = Table>(Vec<Arc<T>>);

impl<T: Send + Sync + 'static> Retired<T> {
    pub(super) fn new() -> Self {
        Retired(Vec::new())
    }

    /// One that was swapped out.
    pub(super) fn add(&mut self, table: Arc<T>) {
        self.0.push(table);
    }

    /// Frees those that nobody else holds. Nobody tells when an exchange lets go of one: that would cost each request. To look costs a
    /// few nanoseconds for each table.
    pub(super) fn free(&mut self, aside: &Aside) {
        let free: Vec<_> = self.0.extract_if(.., |table| Arc::strong_count(table) == 1).collect();
        if !free.is_empty() {
            aside.after(move || drop(free));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells on which thread it was freed.
    struct Told(tokio::sync::mpsc::UnboundedSender<String>);

    impl Drop for Told {
        fn drop(&mut self) {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            self.0.send(thread).expect("the test listens");
        }
    }

    #[tokio::test]
    async fn a_table_is_freed_aside_once_no_exchange_holds_it_and_not_before() {
        let (aside, mut retired) = (Aside::start().expect("a thread"), Retired::new());
        let (sender, mut freed) = tokio::sync::mpsc::unbounded_channel();
        let table = || Arc::new(Told(sender.clone()));
        let (exchange, one) = (table(), table());
        for table in [exchange.clone(), one, table()] {
            retired.add(table);
        }
        retired.free(&aside);
        for _ in 0..2 {
            assert_eq!(freed.recv().await.as_deref(), Some("aside"));
        }
        retired.free(&aside);
        // By now it would have been freed, if it were going to be.
        aside.run(|| ()).await.expect("no panic");
        assert!(freed.try_recv().is_err(), "an exchange goes on");
        drop(exchange);
        retired.free(&aside);
        assert_eq!(freed.recv().await.as_deref(), Some("aside"));
        assert!(retired.0.is_empty());
    }
}
