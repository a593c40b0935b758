//! What outlives a table: things that are the same one when what they are made of is the same. A new table finds those of the running
//! one here, with all that they know; a file that is refused leaves nothing behind.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// Things by what they are made of, each for as long as somebody holds it.
#[derive(Debug)]
pub struct Kept<K, V> {
    things: HashMap<K, Weak<V>>,
    /// How many there were when it was last looked which of them are still held.
    swept: usize,
}

/// So many that nobody holds any more are no matter.
const FEW: usize = 64;

impl<K: Eq + Hash, V> Kept<K, V> {
    /// The one that is there already, or a new one.
    pub fn of(&mut self, key: K, make: impl FnOnce(&K) -> V) -> Arc<V> {
        if let Some(thing) = self.things.get(&key).and_then(Weak::upgrade) {
            return thing;
        }
        // Nobody tells when the last holder has gone. To look each time would take a table the square of its routes; after they have
        // doubled it costs little for each.
        if self.things.len() > 2 * self.swept + FEW {
            self.things.retain(|_, thing| thing.strong_count() > 0);
            self.swept = self.things.len();
        }
        let thing = Arc::new(make(&key));
        self.things.insert(key, Arc::downgrade(&thing));
        thing
    }
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Kept { things: HashMap::new(), swept: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_the_same_one_for_as_long_as_somebody_holds_it() {
        let mut kept = Kept::default();
        let first = kept.of("a", |_| 1);
        assert_eq!((*kept.of("a", |_| 2), *kept.of("b", |_| 3)), (1, 3));
        drop(first);
        assert_eq!(*kept.of("a", |_| 4), 4, "it was held by nobody");
    }

    #[test]
    fn what_nobody_holds_takes_no_room_for_long() {
        let mut kept = Kept::default();
        let held: Vec<_> = (0..1000).map(|n| kept.of(n, |n| *n)).collect();
        for n in 1000..100_000 {
            kept.of(n, |n| *n);
            assert!(kept.things.len() <= 2 * held.len() + FEW + 1, "{}", kept.things.len());
        }
        assert!(held.iter().all(|thing| Arc::ptr_eq(thing, &kept.of(**thing, |_| 0))), "all that are held are there");
    }
}
