//! What one client may have in flight over all of its HTTP/2 connections. Over HTTP/1 a connection carries one request at a time, and
//! the number of connections is bound enough; over HTTP/2 each of them carries a hundred, and each request may hold buffers and a
//! connection to a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// One client's share. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Share {
    open: Arc<AtomicU32>,
    most: u32,
}

/// One request of it, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken(Share);

impl Share {
    /// `most`: requests at the same time.
    pub fn new(most: u32) -> Share {
        Share { open: Arc::default(), most }
    }

    /// `None`: the client has all that it may have.
    pub(super) fn take(&self) -> Option<Taken> {
        let one_more = |open| (open < self.most).then_some(open + 1);
        self.open.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Taken(self.clone()))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_for_all_of_its_clones() {
        let share = Share::new(2);
        let other = share.clone();
        let first = share.take().expect("the first");
        let second = other.take().expect("the second");
        assert!(share.take().is_none() && other.take().is_none());
        drop(first);
        let third = other.take().expect("what was given back");
        assert!(share.take().is_none());
        drop((second, third));
        assert_eq!(share.open.load(Relaxed), 0);
    }
}
