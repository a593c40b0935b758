//! Everything under one name in `tokens:`, from the headers of a request to who is calling.

mod cache;
mod options;
mod refresh;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use cache::TokenCaches;
pub use options::{SessionOptions, TokenOptions};
pub use refresh::{Refreshing, Told};

use cache::TokenCache;

use super::caller::{Caller, Identity};
use super::claims::ClaimPath;
use super::cookie::CookieOptions;
use super::key::SessionKey;
use super::keys::{KeySet, Renewed};
use super::metrics::SessionMetrics;
use super::now::Now;
use super::refresh::{Origin, Refresh};
use super::source::{By, Presented, Source, find, find_all};
use super::store::{NewSession, PutError, SessionStore, StoreDown};
use super::verify::{NotVerified, Refused, Verifier};

/// Finds, verifies and remembers the tokens of one kind. Shows no token and no secret in `Debug`.
pub struct Token {
    name: Arc<str>,
    sources: Vec<Source>,
    verifier: Verifier,
    session: Option<SessionOptions>,
    refresh: Option<Refresh>,
    headers: Vec<(HeaderName, ClaimPath)>,
    cookie: Option<CookieOptions>,
    cache: Arc<TokenCache>,
    store: Arc<dyn SessionStore>,
    metrics: SessionMetrics,
    /// The last refresh went wrong, which was told.
    refresh_fails: AtomicBool,
}

/// How often a connection that stays open is held against its caller's token and session.
const WATCH: Duration = Duration::from_millis(500);

/// How far a request gets without waiting.
enum Looked<'h> {
    Done(Caller),
    /// The store, whether there is a session.
    Ask {
        identity: Arc<Identity>,
        by: By,
    },
    /// The issuer, for the key that the token names.
    Renew {
        token: &'h str,
        by: By,
    },
}

impl Token {
    /// Checks the options; the error says what to write instead.
    pub fn new(
        options: TokenOptions,
        refresh: Option<Refresh>,
        store: Arc<dyn SessionStore>,
        metrics: SessionMetrics,
    ) -> Result<Self, String> {
        Self::remembered(options, refresh, store, metrics, &TokenCaches::default())
    }

    /// The same, with what is known of such tokens already.
    pub fn remembered(
        options: TokenOptions,
        refresh: Option<Refresh>,
        store: Arc<dyn SessionStore>,
        metrics: SessionMetrics,
        caches: &TokenCaches,
    ) -> Result<Self, String> {
        options.check()?;
        if let Some(refresh) = &refresh {
            options.check_refresh(refresh)?;
        }
        if let Some(session) = &options.session {
            store.check(&session.key)?;
        }
        let cache = caches.of(&options, refresh.as_ref().map(|refresh| refresh.max));
        let TokenOptions { name, sources, verify, session, identity, cookie, cached: _ } = options;
        let verifier = Verifier::new(verify)?;
        Ok(Self {
            name,
            sources,
            verifier,
            session,
            refresh,
            headers: identity,
            cookie,
            cache,
            store,
            metrics,
            refresh_fails: AtomicBool::new(false),
        })
    }

    /// Tells the store which keys will be used. A file that is refused must not get so far: a store that hears of new ones may have to
    /// ask for all sessions again.
    pub fn expect_sessions(&self) {
        if let Some(session) = &self.session {
            self.store.expect(&session.key, self.refresh.is_some());
        }
    }

    /// Its name in `tokens:`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The headers that only Hilum may write to a service: those it writes, and those the token itself comes in.
    pub fn own_headers(&self) -> impl Iterator<Item = &HeaderName> {
        let sources = self.sources.iter().filter_map(|source| match source {
            Source::Header { name, .. } => Some(name),
            Source::Cookie { .. } => None,
        });
        self.headers.iter().map(|(name, _)| name).chain(sources)
    }

    /// The cookies that no service may set or see: those the token comes in. The one a login sets is among them.
    pub fn own_cookies(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|source| match source {
            Source::Cookie { name } => Some(&**name),
            Source::Header { .. } => None,
        })
    }

    /// Whether a browser sends it by itself.
    pub fn comes_by_cookie(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Cookie { .. }))
    }

    /// What the headers hold where the token is looked for.
    pub fn find<'h>(&self, headers: &'h HeaderMap) -> Presented<'h> {
        find(&self.sources, headers)
    }

    /// Every token that came with these headers, in whatever place, also where there should be one.
    pub fn find_all<'h>(&self, headers: &'h HeaderMap) -> Vec<&'h str> {
        find_all(&self.sources, headers)
    }

    /// See [`Verifier::has_weak_secret`].
    pub fn has_weak_secret(&self) -> bool {
        self.verifier.has_weak_secret()
    }

    /// Who sent these headers? A token in the cache costs no cryptography and no allocation.
    pub async fn identify(&self, headers: &HeaderMap, now: Now) -> Caller {
        let (identity, by) = match self.look(headers, now) {
            Looked::Done(caller) => return caller,
            Looked::Ask { identity, by } => (identity, by),
            Looked::Renew { token, by } => match self.learn_late(token, now).await {
                Ok(identity) => (identity, by),
                Err(NotVerified::Refused(why)) => return Caller::Refused { why, by },
                Err(NotVerified::KeyUnknown) => return Caller::KeysDown { by },
            },
        };
        self.ask(identity, by, now).await
    }

    /// The answer of [`Token::identify`] when nobody has to be waited for. `None`: the store or the issuer has to be.
    pub fn identify_now(&self, headers: &HeaderMap, now: Now) -> Option<Caller> {
        match self.look(headers, now) {
            Looked::Done(caller) => Some(caller),
            Looked::Ask { .. } | Looked::Renew { .. } => None,
        }
    }

    /// Comes when somebody who is known now is so no longer: the token is over, or its session has ended. For connections that stay
    /// open. A store that does not answer ends nothing: that a session was ended is not known then.
    pub async fn until_over(&self, identity: &Arc<Identity>) -> Refused {
        loop {
            let now = Now::read();
            if now.unix >= self.verifier.over(identity.expires) {
                return Refused::Expired;
            }
            if identity.generation != self.verifier.generation() {
                match self.verify(&identity.token, now).await {
                    Err(NotVerified::Refused(why)) => return why,
                    Ok(_) | Err(NotVerified::KeyUnknown) => {}
                }
            }
            let caller = self.ask(identity.clone(), By::Cookie, now).await;
            if let Caller::Refused { why, .. } = caller {
                return why;
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// Who a token names, whether or not it has a session: for one that a service has just issued. `now` is read after
    /// the service answered. [`NotVerified::KeyUnknown`]: the keys of its issuer can't be had.
    pub async fn verify(&self, token: &str, now: Now) -> Result<Arc<Identity>, NotVerified> {
        let known = match self.recall(token, now) {
            Some(known) => known.map_err(NotVerified::from),
            None => self.learn(token, now),
        };
        match known {
            Err(NotVerified::KeyUnknown) => self.learn_late(token, now).await,
            known => known,
        }
    }

    /// The published keys that it is verified with, for whoever looks after them.
    pub fn key_set(&self) -> Option<&Arc<KeySet>> {
        self.verifier.key_set()
    }

    /// Opens the session of a verified token and says for how long: `ttl`, cut to what the token has left. Does nothing
    /// when these tokens need no session. `refresh_token`: what the issuer takes for the next one.
    pub async fn open_session(
        &self,
        identity: &Identity,
        ttl: Duration,
        refresh_token: Option<&str>,
        now: Now,
    ) -> Result<Duration, PutError> {
        let left = Duration::from_secs(self.verifier.over(identity.expires).saturating_sub(now.unix));
        let ttl = ttl.min(left);
        let Some(session) = &self.session else { return Ok(ttl) };
        let key = session.key.key(&identity.token);
        let origin = Origin { began: now.unix, refresh_token: refresh_token.map(Into::into) };
        let opened = NewSession {
            value: session.key.value(&identity.token),
            token: &identity.token,
            ttl,
            origin: self.refresh.is_some().then_some(&origin),
        };
        let put = self.store.put(&key, &opened, now).await;
        match put {
            Ok(()) => self.metrics.opened.inc(),
            Err(PutError::Full) => self.metrics.refused_full.inc(),
            Err(PutError::Down | PutError::Taken) => self.metrics.store_down.inc(),
        }
        put.map(|()| ttl)
    }

    /// Whether it needs what an issuer takes for the next token.
    pub fn is_refreshed(&self) -> bool {
        self.refresh.is_some()
    }

    /// Ends the session of a token, good or bad, and with it those that follow it or that it follows; `false` when there was none. Every request that starts after this has
    /// returned is refused. On [`StoreDown`] nothing has happened.
    pub async fn end_session(&self, token: &str, now: Now) -> Result<bool, StoreDown> {
        let Some(session) = &self.session else { return Ok(false) };
        let ended =
            self.store.remove(&session.key.key(token), now).await.inspect_err(|_| self.metrics.store_down.inc())?;
        // After the store, not before: what enters the cache from here on asks a store that no longer has the session.
        self.cache.identities.remove(token);
        if ended {
            self.metrics.ended.inc();
        }
        Ok(ended)
    }

    /// The `Set-Cookie` that gives the browser this token; `None` when these tokens have no cookie.
    /// `secure_connection`: the client's connection is TLS, as far as is known.
    pub fn set_cookie(
        &self,
        identity: &Identity,
        max_age: Duration,
        now: Now,
        secure_connection: bool,
    ) -> Option<HeaderValue> {
        Some(self.cookie.as_ref()?.set(&identity.token, max_age, now, secure_connection))
    }

    /// The `Set-Cookie` that makes the browser forget its token; `None` when these tokens have no cookie.
    pub fn clear_cookie(&self, secure_connection: bool) -> Option<HeaderValue> {
        Some(self.cookie.as_ref()?.clear(secure_connection))
    }

    fn look<'h>(&self, headers: &'h HeaderMap, now: Now) -> Looked<'h> {
        let (token, by) = match find(&self.sources, headers) {
            Presented::Missing => return Looked::Done(Caller::Missing),
            Presented::Unusable { why, by } => return Looked::Done(Caller::Refused { why: Refused::Invalid(why), by }),
            Presented::Found { token, by } => (token, by),
        };
        let known = match self.recall(token, now) {
            Some(known) => {
                self.metrics.hit.inc();
                known.map_err(NotVerified::from)
            }
            None => {
                self.metrics.miss.inc();
                self.learn(token, now)
            }
        };
        match known {
            Ok(identity) => match self.has_session(identity, by, now) {
                Ok(caller) => Looked::Done(caller),
                Err(identity) => Looked::Ask { identity, by },
            },
            Err(NotVerified::Refused(why)) => Looked::Done(Caller::Refused { why, by }),
            Err(NotVerified::KeyUnknown) => Looked::Renew { token, by },
        }
    }

    /// What the cache knows of a token. An entry that is over is dropped, and refused without being verified again; one that
    /// other keys have verified is dropped as well.
    fn recall(&self, token: &str, now: Now) -> Option<Result<Arc<Identity>, Refused>> {
        let identity = self.cache.identities.get(token)?;
        if identity.generation != self.verifier.generation() {
            self.cache.identities.remove(token);
            return None;
        }
        if now.unix < self.verifier.over(identity.expires) {
            return Some(Ok(identity));
        }
        self.cache.identities.remove(token);
        Some(Err(Refused::Expired))
    }

    /// Verifies a token and remembers it: only well signed ones, so strangers can't fill the cache. It is in the cache
    /// before the store is asked about it, so a logout that comes between takes it out again.
    fn learn(&self, token: &str, now: Now) -> Result<Arc<Identity>, NotVerified> {
        let verified = self.verifier.verify(token, now)?;
        let session = self.session.as_ref().map(|session| self.store.standing(&session.key.key(token)));
        let identity = Arc::new(Identity::new(token, verified, &self.headers, session)?);
        self.cache.identities.insert(identity.token.clone(), identity.clone());
        Ok(identity)
    }

    /// Once more, after its issuer was asked for its keys.
    async fn learn_late(&self, token: &str, now: Now) -> Result<Arc<Identity>, NotVerified> {
        let renewed = self.verifier.renew().await;
        match (self.learn(token, now), renewed) {
            (Err(NotVerified::KeyUnknown), Renewed::Good) => {
                Err(Refused::Invalid("signed by a key that its issuer does not publish").into())
            }
            (learned, _) => learned,
        }
    }

    /// The caller, as far as is known without asking. `Err`: the store has to be asked.
    fn has_session(&self, identity: Arc<Identity>, by: By, now: Now) -> Result<Caller, Arc<Identity>> {
        let (Some(standing), Some(options)) = (&identity.session, &self.session) else {
            return Ok(Caller::Known { identity, by });
        };
        match self.store.contains_now(standing, options.max_staleness, now) {
            Some(false) => Ok(Caller::Refused { why: Refused::SessionUnknown, by }),
            Some(true) => Ok(Caller::Known { identity, by }),
            None => Err(identity),
        }
    }

    /// What is known of the session, or what the store says when that is not enough.
    async fn ask(&self, identity: Arc<Identity>, by: By, now: Now) -> Caller {
        let identity = match self.has_session(identity, by, now) {
            Ok(caller) => return caller,
            Err(identity) => identity,
        };
        let (Some(standing), Some(options)) = (&identity.session, &self.session) else {
            return Caller::Known { identity, by };
        };
        match self.store.contains(&options.key.key(&identity.token), standing, now).await {
            Ok(true) => Caller::Known { identity, by },
            Ok(false) => Caller::Refused { why: Refused::SessionUnknown, by },
            Err(StoreDown) => {
                self.metrics.store_down.inc();
                Caller::StoreDown { by }
            }
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
