//! Denials by the thousand, as a scan makes them, must neither fill the disk nor hide each other: the first few of a kind have a
//! record each, the others of the same some seconds are counted in one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::chain::Session;
use super::record::{self, Event, Outcome};
use crate::telemetry::Time;

/// How long denials of one kind belong together.
const WINDOW: Duration = Duration::from_secs(10);
/// How many of a kind have a record of their own.
const SINGLE: u64 = 10;
/// How many of all kinds have, in the same time.
const SINGLES: u64 = 1000;
/// How many kinds are told apart; further ones are counted by their reason alone.
const KINDS: usize = 1024;

/// Who was denied what, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    who: Option<Who>,
    route: Option<Arc<str>>,
    reason: &'static str,
}

/// Whoever tries. Behind one address there may be a whole hospital: a caller who is known is told apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Who {
    /// Of IPv6 the /64: who has one address of it has all of them (RFC 6177).
    client: IpAddr,
    session: Option<Session>,
}

#[derive(Debug)]
struct Count {
    begun: Instant,
    since: SystemTime,
    all: u64,
    /// Those of them that have a record of their own.
    single: u64,
}

/// The kinds of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    kinds: HashMap<Kind, Count>,
    /// Records of their own since then, of all kinds.
    singles: Option<(Instant, u64)>,
}

impl Denials {
    /// Counts one; whether it shall have a record of its own.
    pub(super) fn count(
        &self,
        client: IpAddr,
        session: Option<Session>,
        route: Option<&Arc<str>>,
        reason: &'static str,
    ) -> bool {
        // Strangers can use up no more than one half, so that they don't hide what an account does meanwhile.
        let share = if session.is_some() { 2 } else { 1 };
        let kind = Kind { who: Some(Who { client: network(client), session }), route: route.cloned(), reason };
        let Recent { kinds, singles } = &mut *self.0.lock();
        let is_told_apart = kinds.len() < KINDS * share || kinds.contains_key(&kind);
        let kind = if is_told_apart { kind } else { Kind { who: None, route: None, reason } };
        let fresh = || Count { begun: Instant::now(), since: SystemTime::now(), all: 0, single: 0 };
        let count = kinds.entry(kind).or_insert_with(fresh);
        count.all += 1;
        let (begun, given) = singles.get_or_insert_with(|| (Instant::now(), 0));
        if begun.elapsed() >= WINDOW {
            (*begun, *given) = (Instant::now(), 0);
        }
        // Of the further kinds none has a record of its own, so that all of them are in the count.
        let is_single = is_told_apart && count.single < SINGLE && *given < SINGLES * share as u64;
        count.single += u64::from(is_single);
        *given += u64::from(is_single);
        is_single
    }

    /// Gives a record for each kind whose time is over and that has more than its single ones.
    pub(super) fn drain(&self, all: bool, mut each: impl FnMut(&[u8])) {
        let over: Vec<(Kind, Count)> = {
            let kinds = &mut self.0.lock().kinds;
            kinds.extract_if(|_, count| all || count.begun.elapsed() >= WINDOW).collect()
        };
        for (kind, count) in over.into_iter().filter(|(_, count)| count.all > count.single) {
            let client = kind.who.map(|who| written(who.client));
            each(&record::body(&record::Denials {
                time: Time(SystemTime::now()),
                event: Event::Denied,
                outcome: Outcome::Refused,
                reason: kind.reason,
                route: kind.route.as_deref(),
                session: kind.who.and_then(|who| who.session),
                client: client.as_deref(),
                count: count.all - count.single,
                since: Time(count.since),
            }));
        }
    }
}

fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
        IpAddr::V4(_) => client,
    }
}

fn written(network: IpAddr) -> String {
    if network.is_ipv6() { format!("{network}/64") } else { network.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::telemetry::audit::tests::key;

    fn drained(denials: &Denials) -> Vec<Value> {
        let mut records = Vec::new();
        denials.drain(false, |_| panic!("their time is not over"));
        denials.drain(true, |text| records.push(serde_json::from_slice(&[b"{", text, b"}"].concat()).unwrap()));
        assert!(denials.0.lock().kinds.is_empty());
        records
    }

    fn counted(records: &[Value]) -> u64 {
        records.iter().map(|record| record["count"].as_u64().unwrap()).sum()
    }

    #[test]
    fn a_flood_is_counted_and_nothing_of_it_is_lost() {
        let denials = Denials::default();
        let route: Arc<str> = "r".into();
        let mut single = 0;
        for n in 0..KINDS as u32 + 100 {
            let client = IpAddr::from(n.to_be_bytes());
            for _ in 0..if n == 7 { 500 } else { 1 } {
                single += u64::from(denials.count(client, None, Some(&route), "token_missing"));
            }
        }
        let records = drained(&denials);
        assert_eq!(single, SINGLES, "a scan from many addresses");
        assert_eq!(single + counted(&records), KINDS as u64 + 100 + 499);
        // The one that asked more often, those that were too many for a record of their own, and the further kinds together.
        assert_eq!(records.len() as u64, 1 + (KINDS as u64 + 9 - SINGLES) + 1);
    }

    #[test]
    fn who_is_known_is_not_hidden_by_others_behind_the_same_address() {
        let denials = Denials::default();
        let client = IpAddr::from([10, 0, 0, 1]);
        let [one, other] = ["a.b.c", "a.b.d"].map(|token| Some(key().session(token)));
        for _ in 0..1000 {
            denials.count(client, one, None, "not_owner");
        }
        assert!(denials.count(client, other, None, "not_owner"), "it has a record of its own");
        // Strangers fill all that is theirs.
        for n in 0..KINDS as u32 * 2 {
            denials.count(IpAddr::from(n.to_be_bytes()), None, None, "token_missing");
        }
        assert!(denials.count(client, other, None, "claim_mismatch"), "it has a record of its own");
        let records = drained(&denials);
        let of_one = records.iter().find(|record| record["reason"] == "not_owner").unwrap();
        let session = String::from_utf8(one.unwrap().0.to_vec()).unwrap();
        assert_eq!((&of_one["count"], &of_one["session"]), (&990.into(), &session.into()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let denials = Denials::default();
        let single = (0..1000_u32).filter(|n| {
            let client: IpAddr = format!("2001:db8:0:1::{n:x}").parse().unwrap();
            denials.count(client, None, None, "token_missing")
        });
        assert_eq!(single.count() as u64, SINGLE);
        assert_eq!(drained(&denials)[0]["client"], "2001:db8:0:1::/64");
    }
}
