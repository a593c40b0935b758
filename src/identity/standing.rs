//! What is known of one session at the moment, shared by everyone who holds its token: read on each request without a lock,
//! taken back by whoever hears that the session has changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// When a session was last seen alive, and until when that may be believed. Times are [`Now::tick`](super::Now::tick)s.
///
/// An answer of the store is on its way for a while, and news may overtake it: the session may have ended between the look-up and
/// the arrival. So a question is noted before it is asked ([`Standing::ask`]), any news takes the note away ([`Standing::end`]), and
/// an answer counts only for the question that is still noted ([`Standing::confirm`]).
pub struct Standing {
    digest: [u8; 32],
    /// Odd: a question is under way. Else twice the tick of the question whose answer was yes, 0 when nothing is known.
    state: AtomicU64,
    questions: AtomicU64,
    /// Of the stream of news, when the answer was asked for.
    generation: AtomicU64,
    ends: AtomicU64,
    /// Held while an answer is written down, so that `generation` and `ends` belong to the answer of `state`.
    writing: Mutex<()>,
}

/// One question to the store. Its answer counts as long as no other was asked and no news came.
#[derive(Clone, Copy, Debug)]
pub struct Question(u64);

/// What a store knows of the time: which answers are too old, and since when news would have been heard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream {
    /// Grows when news may have been missed; answers of an older one count no more.
    pub generation: u64,
    /// All news of changes before this tick has come in. 0: there is no stream.
    pub proven: u64,
}

const UNKNOWN: u64 = 0;

impl Standing {
    /// Of the session with this digest of its key; nothing is known of it.
    pub fn new(digest: [u8; 32]) -> Self {
        Standing {
            digest,
            state: AtomicU64::new(UNKNOWN),
            questions: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            ends: AtomicU64::new(0),
            writing: Mutex::new(()),
        }
    }

    /// The digest of the session's key.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Notes that the store is about to be asked.
    pub fn ask(&self) -> Question {
        let question = (self.questions.fetch_add(1, Ordering::Relaxed) << 1) | 1;
        self.state.store(question, Ordering::Release);
        Question(question)
    }

    /// The store has said yes: the session was there at `asked`, when the question was sent, and ends at `ends`. Says nothing when
    /// the question no longer counts.
    pub fn confirm(&self, question: Question, asked: u64, ends: u64, generation: u64) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state.load(Ordering::Acquire) != question.0 {
            return;
        }
        self.generation.store(generation, Ordering::Relaxed);
        self.ends.store(ends, Ordering::Relaxed);
        // Lost to news or to another question: then the next request asks again.
        let _ = self.state.compare_exchange(question.0, asked << 1, Ordering::Release, Ordering::Relaxed);
    }

    /// The session has ended or changed, in whatever way: what was known is not, and an answer under way counts no more.
    pub fn end(&self) {
        self.state.store(UNKNOWN, Ordering::Release);
    }

    /// Whether the session may be taken for alive at `tick`: it was, at most `max_staleness` before.
    pub fn is_alive(&self, tick: u64, max_staleness: u64, stream: Stream) -> bool {
        let state = self.state.load(Ordering::Acquire);
        let checked = state >> 1;
        state & 1 == 0
            && checked != 0
            && self.generation.load(Ordering::Relaxed) == stream.generation
            && tick < self.ends.load(Ordering::Relaxed)
            && tick.saturating_sub(checked.max(stream.proven)) < max_staleness
    }
}

/// All that is known, by the digest of the session's key: one [`Standing`] per session, as long as anybody holds its token.
#[derive(Default)]
pub struct Standings {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    held: HashMap<[u8; 32], Weak<Standing>>,
    /// How many there were after the last sweep.
    swept: usize,
}

const SHARDS: usize = 32;

impl Standings {
    /// The one of this session, new when nobody held it.
    pub fn of(&self, digest: &[u8; 32]) -> Arc<Standing> {
        let mut shard = self.shard(digest);
        if let Some(standing) = shard.held.get(digest).and_then(Weak::upgrade) {
            return standing;
        }
        // Nobody tells when the last holder has gone; a shard that has doubled is looked through, which costs little per entry.
        if shard.held.len() > 2 * shard.swept + 64 {
            shard.held.retain(|_, standing| standing.strong_count() > 0);
            shard.swept = shard.held.len();
        }
        let standing = Arc::new(Standing::new(*digest));
        shard.held.insert(*digest, Arc::downgrade(&standing));
        standing
    }

    /// The one of this session, if anybody holds it.
    pub fn get(&self, digest: &[u8; 32]) -> Option<Arc<Standing>> {
        self.shard(digest).held.get(digest)?.upgrade()
    }

    fn shard(&self, digest: &[u8; 32]) -> std::sync::MutexGuard<'_, Shard> {
        self.shards[usize::from(digest[0]) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `steps` on one session: `ask A`, `yes A TICK ENDS`, `news`, `generation N`, `proven TICK`, `at TICK`; and compares what
    /// `at` saw with `max_staleness` 10.
    fn check(steps: &[&str], expect: &[bool]) {
        let standing = Standing::new([7; 32]);
        let mut questions = HashMap::new();
        let mut stream = Stream::default();
        let mut seen = Vec::new();
        let number = |text: &str| text.parse::<u64>().unwrap();
        for step in steps {
            match step.split(' ').collect::<Vec<_>>()[..] {
                ["ask", name] => drop(questions.insert(name, (standing.ask(), stream.generation))),
                ["yes", name, asked, ends] => {
                    let (question, generation) = questions[name];
                    standing.confirm(question, number(asked), number(ends), generation);
                }
                ["news"] => standing.end(),
                ["generation", n] => stream.generation = number(n),
                ["proven", tick] => stream.proven = number(tick),
                ["at", tick] => seen.push(standing.is_alive(number(tick), 10, stream)),
                _ => panic!("{step}"),
            }
        }
        assert_eq!(seen, expect, "{steps:?}");
    }

    #[test]
    fn an_answer_is_believed_for_max_staleness_and_not_beyond_the_end() {
        check(&["at 1"], &[false]);
        check(&["ask a", "at 1", "yes a 1 99", "at 1", "at 10", "at 11"], &[false, true, true, false]);
        check(&["ask a", "yes a 1 5", "at 4", "at 5"], &[true, false]);
        check(&["ask a", "yes a 50 99", "at 1"], &[true]);
    }

    #[test]
    fn a_stream_of_news_keeps_an_answer_fresh() {
        check(&["ask a", "yes a 1 99", "proven 20", "at 29", "at 30", "proven 40", "at 49"], &[true, false, true]);
        check(&["ask a", "yes a 1 99", "generation 1", "at 2", "ask b", "yes b 2 99", "at 2"], &[false, true]);
        check(&["ask a", "generation 1", "yes a 1 99", "at 1"], &[false]);
    }

    #[test]
    fn news_that_overtakes_an_answer_wins() {
        check(&["ask a", "news", "yes a 1 99", "at 1"], &[false]);
        check(&["ask a", "yes a 1 99", "news", "at 1"], &[false]);
        check(&["ask a", "news", "ask b", "yes a 1 99", "at 1", "yes b 2 99", "at 2"], &[false, true]);
        check(&["ask a", "ask b", "yes b 2 99", "yes a 1 5", "at 6"], &[true]);
    }

    #[test]
    fn who_holds_the_same_session_knows_the_same_of_it() {
        let standings = Standings::default();
        let one = standings.of(&[1; 32]);
        assert!(Arc::ptr_eq(&one, &standings.of(&[1; 32])));
        assert!(!Arc::ptr_eq(&one, &standings.of(&[2; 32])));
        assert!(standings.get(&[2; 32]).is_none(), "nobody holds it any more");
        for n in 0..100_000_u32 {
            let mut digest = [7; 32];
            digest[4..8].copy_from_slice(&n.to_be_bytes());
            standings.of(&digest);
        }
        let held: usize = standings.shards.iter().map(|shard| shard.lock().unwrap().held.len()).sum();
        assert!(held < 200, "{held} are kept for nobody");
        assert!(Arc::ptr_eq(&one, &standings.get(&[1; 32]).unwrap()));
    }
}
