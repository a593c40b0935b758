//! What is remembered of verified tokens, and that it outlives the table: a file that says of a kind of tokens what the running one
//! says costs their holders nothing, neither a signature to verify nor a question to the session store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::TokenOptions;
use crate::identity::caller::Identity;

/// Those of all tables. Lives as long as the process.
#[derive(Default)]
pub struct TokenCaches(Mutex<Vec<Weak<TokenCache>>>);

/// The verified tokens of one kind.
pub(super) struct TokenCache {
    options: TokenOptions,
    /// For how long its sessions may go on by being refreshed: some of that is noted with a token.
    refresh_max: Option<Duration>,
    /// By the whole text: two tokens never share an entry.
    pub(super) identities: Cache<Arc<str>, Arc<Identity>>,
}

impl TokenCaches {
    /// The cache of tokens of which exactly the same is said, or a new one.
    pub(super) fn of(&self, options: &TokenOptions, refresh_max: Option<Duration>) -> Arc<TokenCache> {
        let mut all = self.0.lock();
        // Few, and those that no table has go at once.
        all.retain(|cache| cache.strong_count() > 0);
        let is_same = |cache: &Arc<TokenCache>| cache.options == *options && cache.refresh_max == refresh_max;
        if let Some(cache) = all.iter().filter_map(Weak::upgrade).find(is_same) {
            return cache;
        }
        let cache =
            Arc::new(TokenCache { options: options.clone(), refresh_max, identities: Cache::new(options.cached) });
        all.push(Arc::downgrade(&cache));
        cache
    }
}
