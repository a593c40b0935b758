//! Places for connections: so many in all, and so many for each client. A client is an IPv4 address or the /64 of an IPv6 address:
//! who has one address of it has all of them (RFC 6177).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::proxy::guard::Share;

/// All places. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<All>);

/// One place. It is given back when this is dropped, however the connection ended.
#[derive(Debug)]
pub(super) struct Place {
    all: Arc<All>,
    client: Option<Client>,
}

#[derive(Debug)]
struct All {
    total: u32,
    per_client: u32,
    taken: AtomicU32,
    /// In several maps, so that threads seldom wait for each other. A client without a connection has no entry, so all of them
    /// together never hold more than there are places.
    clients: [Mutex<HashMap<Client, Has>>; SHARDS],
    hasher: RandomState,
}

/// What a client has.
#[derive(Debug)]
struct Has {
    places: u32,
    share: Share,
}

/// The network part of an address.
type Client = [u8; 8];

const SHARDS: usize = 16;
/// Requests in flight over HTTP/2, for each connection that a client may have: pages ask for a few things at the same time.
const REQUESTS: u32 = 4;

impl Places {
    pub(super) fn new(total: u32, per_client: u32) -> Places {
        let (taken, clients, hasher) = Default::default();
        Places(Arc::new(All { total, per_client, taken, clients, hasher }))
    }

    /// A place, if one is left.
    pub(super) fn take(&self) -> Option<Place> {
        let one_more = |taken| (taken < self.0.total).then_some(taken + 1);
        self.0.taken.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Place { all: self.0.clone(), client: None })
    }
}

impl Place {
    /// Counts the place as one of this client's, and gives what all of its connections share. `None` when the client has all
    /// that it may have.
    pub(super) fn give_to(&mut self, address: IpAddr) -> Option<Share> {
        let client = client(address);
        let all = self.all.clone();
        let mut clients = all.clients_beside(&client).lock();
        let fresh = || Has { places: 0, share: Share::new(all.per_client.saturating_mul(REQUESTS)) };
        let has = clients.entry(client).or_insert_with(fresh);
        if has.places >= all.per_client {
            return None;
        }
        has.places += 1;
        self.client = Some(client);
        Some(has.share.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.taken.fetch_sub(1, Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.all.clients_beside(&client).lock();
        match clients.get_mut(&client) {
            Some(has) if has.places > 1 => has.places -= 1,
            _ => drop(clients.remove(&client)),
        }
    }
}

impl All {
    fn clients_beside(&self, client: &Client) -> &Mutex<HashMap<Client, Has>> {
        &self.clients[self.hasher.hash_one(client) as usize % SHARDS]
    }
}

/// Four zeros and an IPv4 address: no network of IPv6 that is in use begins like that.
fn client(address: IpAddr) -> Client {
    let mut client = Client::default();
    match address.to_canonical() {
        IpAddr::V4(address) => client[4..].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => client.copy_from_slice(&address.octets()[..8]),
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(places: &Places) -> usize {
        places.0.clients.iter().map(|clients| clients.lock().len()).sum()
    }

    /// Clients come one after the other, and the letters say who got a place.
    fn check(total: u32, per_client: u32, come: &[&str], expected: &str) {
        let places = Places::new(total, per_client);
        let mut kept = Vec::new();
        let mut got = String::new();
        for address in come {
            let Some(mut place) = places.take() else {
                got.push('t');
                continue;
            };
            match place.give_to(address.parse().unwrap()) {
                Some(_) => kept.push(place),
                None => {
                    got.push('c');
                    continue;
                }
            }
            got.push('.');
        }
        assert_eq!(got, expected, "{total} {per_client} {come:?}");
        drop(kept);
        assert_eq!((places.0.taken.load(Relaxed), entries(&places)), (0, 0), "all is given back: {come:?}");
    }

    #[test]
    fn a_client_has_its_places_and_all_have_theirs() {
        check(3, 9, &["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], "...t");
        check(9, 2, &["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"], "..c.c");
        check(3, 1, &["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], ".cc..t");
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        check(9, 1, &["2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"], ".c.");
        check(9, 1, &["::ffff:10.0.0.1", "10.0.0.1", "::ffff:10.0.0.2"], ".c.");
        check(9, 1, &["::1", "0.0.0.0", "127.0.0.1", "127.0.0.2"], ".c..");
    }

    #[test]
    fn a_place_that_was_given_back_is_taken_again() {
        let places = Places::new(2, 1);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..1000 {
            let mut place = places.take().expect("a place is left");
            assert!(place.give_to(address).is_some());
            let mut other = places.take().expect("one more");
            assert!(other.give_to(address).is_none());
            assert!(places.take().is_none());
        }
        assert_eq!(entries(&places), 0);
    }

    #[test]
    fn many_threads_take_no_more_than_there_are() {
        let places = Places::new(50, 10);
        std::thread::scope(|scope| {
            for number in 0..8_u8 {
                let places = &places;
                scope.spawn(move || {
                    for turn in 0..2000_u32 {
                        let taken: Vec<_> = (0..12).filter_map(|_| places.take()).collect();
                        let address = IpAddr::from([10, 0, number % 4, 1]);
                        let given: Vec<_> =
                            taken.into_iter().filter_map(|mut p| p.give_to(address).map(|_| p)).collect();
                        assert!(given.len() <= 10, "{number} {turn}: {}", given.len());
                        assert!(places.0.taken.load(Relaxed) <= 50);
                    }
                });
            }
        });
        assert_eq!((places.0.taken.load(Relaxed), entries(&places)), (0, 0));
    }
}
