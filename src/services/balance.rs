//! Who is next: pure arithmetic over weights, loads and keys. Nothing here knows what a peer is.

use super::options::Balance;

/// So many turns at most, however odd the weights: beyond, they are rounded (each peer keeps at least one turn).
const MAX_TURNS: u64 = 4096;

/// The order of the peers that are up, made when they change.
#[derive(Debug)]
pub(super) struct Rota {
    balance: Balance,
    weights: Box<[u32]>,
    /// What makes each peer's hashes its own, the same in every process.
    seeds: Box<[u64]>,
    /// Places in `weights`, each as often as its weight says, smoothly mixed.
    turns: Box<[u16]>,
}

impl Rota {
    /// `peers`: the weight and the name of each, in the order that [`Rota::choose`] answers with. All weights are
    /// above 0.
    pub(super) fn new(balance: Balance, peers: &[(u32, &str)]) -> Self {
        let weights: Box<[u32]> = peers.iter().map(|&(weight, _)| weight).collect();
        let seeds = peers.iter().map(|&(_, name)| hash_key(name.as_bytes())).collect();
        let turns = smooth_turns(&weights);
        Rota { balance, weights, seeds, turns }
    }

    /// The place of the peer that takes the request with this number; `None` when there is none. `load` is what the peer at a place
    /// has in flight, `is_out` whether it may not be this one.
    pub(super) fn choose(
        &self,
        number: u64,
        key: Option<u64>,
        load: impl Fn(usize) -> u64,
        is_out: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match self.weights.len() {
            0 => return None,
            1 => return (!is_out(0)).then_some(0),
            _ => {}
        }
        match (self.balance, key) {
            (Balance::RoundRobin, _) | (Balance::Hash, None) => self.turn(number, is_out),
            (Balance::LeastRequests, _) => self.lighter_of_two(number, load, is_out),
            (Balance::Hash, Some(key)) => self.highest_score(key, is_out),
        }
    }

    fn turn(&self, number: u64, is_out: impl Fn(usize) -> bool) -> Option<usize> {
        let begin = (number % self.turns.len() as u64) as usize;
        let (before, after) = self.turns.split_at(begin);
        after.iter().chain(before).map(|turn| usize::from(*turn)).find(|place| !is_out(*place))
    }

    /// The power of two choices. The first choice follows the weights, so that an idle service is shared out by them
    /// too; the second one is any other peer.
    fn lighter_of_two(
        &self,
        number: u64,
        load: impl Fn(usize) -> u64,
        is_out: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let random = mix(number);
        let first = self.turn(random >> 32, &is_out)?;
        let others = self.weights.len() - 1;
        let begin = ((random & 0xffff_ffff) % others as u64) as usize;
        let mut seconds = (0..others).map(|step| (first + 1 + (begin + step) % others) % self.weights.len());
        let Some(second) = seconds.find(|place| !is_out(*place)) else { return Some(first) };
        // in_flight / weight, compared without dividing.
        let busy = |own: usize, other: usize| u128::from(load(own)) * u128::from(self.weights[other]);
        Some(if busy(second, first) < busy(first, second) { second } else { first })
    }

    /// Weighted rendezvous: each peer draws a number for the key and the highest one wins. A peer that goes down
    /// moves only its own keys, a peer that comes takes only those that it wins.
    fn highest_score(&self, key: u64, is_out: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = (None, f64::MIN);
        for (place, (&seed, &weight)) in self.seeds.iter().zip(&self.weights).enumerate() {
            // 53 bits plus a half: strictly between 0 and 1, so the logarithm is finite and below 0.
            let uniform = ((mix(seed ^ key) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            let score = f64::from(weight) / -uniform.ln();
            if score > best.1 && !is_out(place) {
                best = (Some(place), score);
            }
        }
        best.0
    }
}

/// A number from 0 to 1 that looks random, and is the same for the same request.
pub(super) fn chance(number: u64) -> f64 {
    (mix(!number) >> 11) as f64 / (1u64 << 53) as f64
}

/// A number for these bytes that is the same in every process, so that several gateways send equal keys to the same
/// peer (FNV-1a, mixed). It is not made to withstand someone who looks for collisions.
pub fn hash_key(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    mix(fnv)
}

/// Spreads neighbouring numbers over all 64 bits (the finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Smooth weighted round robin, played once through: in each turn every peer gains its weight, and the one that has
/// gained most is taken and pays the sum. 5:1:1 becomes a a b a c a a, never five in a row.
fn smooth_turns(weights: &[u32]) -> Box<[u16]> {
    let shares = shares(weights);
    let total: u64 = shares.iter().sum();
    let mut gained = vec![0_i64; shares.len()];
    (0..total)
        .map(|_| {
            let mut best = 0;
            for place in 0..shares.len() {
                gained[place] += shares[place] as i64;
                if gained[place] > gained[best] {
                    best = place;
                }
            }
            gained[best] -= total as i64;
            best as u16
        })
        .collect()
}

/// The weights without their common divisor, rounded when there would be too many turns.
fn shares(weights: &[u32]) -> Vec<u64> {
    let gcd = weights.iter().fold(0, |a, &b| gcd(a, u64::from(b))).max(1);
    let shares: Vec<u64> = weights.iter().map(|&weight| u64::from(weight) / gcd).collect();
    let total: u64 = shares.iter().sum();
    if total <= MAX_TURNS {
        return shares;
    }
    shares.iter().map(|&share| ((share * MAX_TURNS + total / 2) / total).max(1)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"];

    fn rota(balance: Balance, weights: &[u32]) -> Rota {
        let peers: Vec<(u32, &str)> = weights.iter().copied().zip(NAMES).collect();
        Rota::new(balance, &peers)
    }

    /// `weights` → the turns as letters.
    fn check_turns(weights: &[u32], expected: &str) {
        let rota = rota(Balance::RoundRobin, weights);
        let turns: String = (0..expected.len() as u64)
            .filter_map(|n| rota.choose(n, None, |_| 0, |_| false))
            .map(|at| (b'a' + at as u8) as char)
            .collect();
        assert_eq!(turns, expected, "{weights:?}");
    }

    #[test]
    fn turns_follow_the_weights_without_bursts() {
        check_turns(&[1], "aaa");
        check_turns(&[1, 1], "abab");
        check_turns(&[1, 1, 1], "abcabc");
        check_turns(&[5, 1, 1], "aabacaaaabacaa");
        check_turns(&[2, 1], "abaaba");
        check_turns(&[300, 100], "aabaaaba");
    }

    #[test]
    fn odd_weights_keep_their_proportion_within_the_bound() {
        for (weights, tolerance) in [(&[65_535, 65_534, 1][..], 0.001), (&[1_000, 999, 998, 997, 7][..], 0.001)] {
            let rota = rota(Balance::RoundRobin, weights);
            assert!(rota.turns.len() as u64 <= MAX_TURNS + weights.len() as u64);
            let total: u32 = weights.iter().sum();
            for (place, &weight) in weights.iter().enumerate() {
                let share = rota.turns.iter().filter(|&&at| usize::from(at) == place).count();
                assert!(share > 0, "{weights:?}: nobody is left out");
                let off = share as f64 / rota.turns.len() as f64 - f64::from(weight) / f64::from(total);
                assert!(off.abs() < tolerance, "{weights:?} at {place}: off by {off}");
            }
        }
    }

    /// Requests that stay in flight: how many each peer has in the end.
    fn check_held(weights: &[u32], requests: u64, expected: &[u64], tolerance: u64) {
        let rota = rota(Balance::LeastRequests, weights);
        let mut held = vec![0_u64; weights.len()];
        for number in 0..requests {
            let at = rota.choose(number, None, |place| held[place], |_| false).expect("there are peers");
            held[at] += 1;
        }
        let near = held.iter().zip(expected).all(|(held, expected)| held.abs_diff(*expected) <= tolerance);
        assert!(near, "{weights:?}: {held:?}, expected {expected:?} ± {tolerance}");
    }

    #[test]
    fn least_requests_evens_out_what_is_in_flight() {
        check_held(&[1, 1], 1000, &[500, 500], 1);
        check_held(&[3, 1], 1000, &[750, 250], 1);
        check_held(&[1, 1, 1, 1, 1], 1000, &[200; 5], 5);
        check_held(&[4, 2, 1, 1], 1000, &[500, 250, 125, 125], 8);
    }

    #[test]
    fn least_requests_avoids_the_busy_peer_and_shares_an_idle_service_by_weight() {
        let busy = rota(Balance::LeastRequests, &[1, 1]);
        assert!((0..1000).all(|n| busy.choose(n, None, |at| [9, 0][at], |_| false) == Some(1)));
        let idle = rota(Balance::LeastRequests, &[3, 1]);
        let first = (0..4000).filter(|&n| idle.choose(n, None, |_| 0, |_| false) == Some(0)).count();
        assert!((2850..3150).contains(&first), "{first} of 4000 for weight 3 of 4");
    }

    #[test]
    fn keys_are_shared_out_by_weight() {
        let rota = rota(Balance::Hash, &[1, 2, 1]);
        let mut got = [0; 3];
        for key in 0..4000_u64 {
            got[rota.choose(0, Some(hash_key(&key.to_le_bytes())), |_| 0, |_| false).expect("there are peers")] += 1;
        }
        assert!((900..1100).contains(&got[0]) && (1850..2150).contains(&got[1]), "{got:?}");
    }

    #[test]
    fn a_peer_that_goes_down_moves_only_its_own_keys() {
        let all = rota(Balance::Hash, &[1, 1, 1, 1]);
        let without_b = Rota::new(Balance::Hash, &[(1, NAMES[0]), (1, NAMES[2]), (1, NAMES[3])]);
        let places = [0, 2, 3];
        let mut moved = 0;
        for key in (0..2000_u64).map(|n| hash_key(&n.to_le_bytes())) {
            let before = all.choose(0, Some(key), |_| 0, |_| false).expect("there are peers");
            let after = places[without_b.choose(0, Some(key), |_| 0, |_| false).expect("there are peers")];
            assert!(before == after || before == 1, "key {key} moved from {before} to {after}");
            moved += usize::from(before != after);
        }
        assert!((400..600).contains(&moved), "{moved} of 2000");
    }

    #[test]
    fn a_key_means_the_same_peer_in_every_process_and_version() {
        // Written down so that a change of the hash, which would move every client, is noticed.
        assert_eq!(
            format!("{:016x} {:016x}", hash_key(b"7"), hash_key(b"patient/7")),
            "b89cce279e7f3f80 b079114a84a55287"
        );
        let rota = rota(Balance::Hash, &[1, 1, 1]);
        let chosen: Vec<_> = ["a", "b", "c", "d", "e", "f"]
            .iter()
            .map(|k| rota.choose(0, Some(hash_key(k.as_bytes())), |_| 0, |_| false))
            .collect();
        assert_eq!(chosen, [1, 1, 0, 2, 2, 1].map(Some));
    }

    #[test]
    fn a_peer_that_was_met_already_is_passed_over() {
        for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash] {
            for key in [None, Some(7)] {
                let rota = rota(balance, &[3, 1, 1]);
                let chosen = |out: &[usize]| {
                    (0..100).map(|n| rota.choose(n, key, |_| 0, |at| out.contains(&at))).collect::<Vec<_>>()
                };
                assert!(chosen(&[0]).iter().all(|at| [Some(1), Some(2)].contains(at)), "{balance:?}");
                assert!(chosen(&[0, 2]).iter().all(|at| *at == Some(1)), "{balance:?}");
                assert!(chosen(&[0, 1, 2]).iter().all(Option::is_none), "{balance:?}");
            }
        }
        assert_eq!(rota(Balance::RoundRobin, &[1]).choose(0, None, |_| 0, |_| true), None);
    }

    #[test]
    fn without_a_key_hash_goes_by_turns_and_without_peers_nobody_is_chosen() {
        let rota_of_two = rota(Balance::Hash, &[1, 1]);
        assert_eq!(
            (0..4).filter_map(|n| rota_of_two.choose(n, None, |_| 0, |_| false)).collect::<Vec<_>>(),
            [0, 1, 0, 1]
        );
        for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash] {
            assert_eq!(rota(balance, &[]).choose(3, Some(3), |_| 0, |_| false), None);
            assert_eq!(rota(balance, &[1]).choose(3, Some(3), |_| 0, |_| false), Some(0));
        }
    }
}
