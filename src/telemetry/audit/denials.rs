//! Denials by the thousand, as a scan makes them, must neither fill the disk nor hide each other: the first few of a kind have a
//! record each, the others of the same some seconds are counted in one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::record::{self, Event, Outcome};
use crate::telemetry::Time;

/// How long denials of one kind belong together.
const WINDOW: Duration = Duration::from_secs(10);
/// How many of them have a record of their own.
const SINGLE: u64 = 10;
/// How many kinds are told apart; further ones are counted by their reason alone.
const KINDS: usize = 4096;

/// Who was denied what, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    client: Option<IpAddr>,
    route: Option<Arc<str>>,
    reason: &'static str,
}

#[derive(Debug)]
struct Count {
    begun: Instant,
    since: SystemTime,
    all: u64,
}

/// The kinds of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Denials {
    kinds: Mutex<HashMap<Kind, Count>>,
}

impl Denials {
    /// Counts one; whether it shall have a record of its own.
    pub(super) fn count(&self, client: IpAddr, route: Option<&Arc<str>>, reason: &'static str) -> bool {
        let kind = Kind { client: Some(client), route: route.cloned(), reason };
        let mut kinds = self.kinds.lock();
        let (kind, single) = match kinds.len() < KINDS || kinds.contains_key(&kind) {
            true => (kind, SINGLE),
            false => (Kind { client: None, route: None, reason }, 0),
        };
        let fresh = || Count { begun: Instant::now(), since: SystemTime::now(), all: 0 };
        let count = kinds.entry(kind).or_insert_with(fresh);
        count.all += 1;
        // Of the further kinds none has a record of its own, so that all of them are in the count.
        count.all <= single
    }

    /// Gives a record for each kind whose time is over and that has more than its single ones.
    pub(super) fn drain(&self, all: bool, mut each: impl FnMut(&[u8])) {
        let over: Vec<(Kind, Count)> = {
            let mut kinds = self.kinds.lock();
            kinds.extract_if(|_, count| all || count.begun.elapsed() >= WINDOW).collect()
        };
        let mut text = Vec::new();
        for (kind, count) in over {
            let single = if kind.client.is_some() { SINGLE } else { 0 };
            let Some(count_more) = count.all.checked_sub(single).filter(|more| *more > 0) else { continue };
            let record = record::Denials {
                time: Time(SystemTime::now()),
                event: Event::Denied,
                outcome: Outcome::Refused,
                reason: kind.reason,
                route: kind.route.as_deref(),
                client: kind.client,
                count: count_more,
                since: Time(count.since),
            };
            if record::body(&record, &mut text) {
                each(&text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_nothing_of_it_is_lost() {
        let denials = Denials::default();
        let route: Arc<str> = "r".into();
        let mut single = 0;
        for n in 0..KINDS as u32 + 100 {
            let client = IpAddr::from(n.to_be_bytes());
            for _ in 0..if n == 7 { 500 } else { 1 } {
                single += u64::from(denials.count(client, Some(&route), "token_missing"));
            }
        }
        let mut counted = 0;
        denials.drain(false, |_| panic!("their time is not over"));
        let mut records = 0;
        denials.drain(true, |text| {
            let text: serde_json::Value = serde_json::from_slice(&[b"{", text, b"}"].concat()).unwrap();
            counted += text["count"].as_u64().unwrap();
            records += 1;
        });
        assert_eq!((single + counted, records), (KINDS as u64 + 100 + 499, 2));
        assert!(denials.kinds.lock().is_empty());
    }
}
