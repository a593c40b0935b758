//! A browser's token that is about to run out gets a successor while the request goes its way. It is had once, whichever
//! gateway and however many requests ask for it; the old token stays good until its own end and every answer to it carries
//! the new cookie, so a `Set-Cookie` that was lost is sent again. Nothing here ever fails a request.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{NewSession, PutError, Token};
use crate::identity::caller::{Caller, Identity};
use crate::identity::claims::ClaimPath;
use crate::identity::now::Now;
use crate::identity::refresh::{AGAIN, Claim, LEASE, LOOK, Origin, State, Successor, WAIT};
use crate::identity::source::By;
use crate::identity::store::Old;

/// A successor that is there or on its way, for the answer to one request.
pub struct Refreshing {
    token: Arc<Token>,
    old: Arc<Identity>,
    since: Instant,
}

/// Is told once, by whoever had the successor made: the old one, and the new one.
pub type Told = Box<dyn FnOnce(&Identity, &Identity) + Send>;

impl Token {
    /// What the answer to this caller waits for. `None`: nothing is due. Bearers are never refreshed: whoever keeps a token
    /// himself would not learn of the new one. `told` is asked for when this is the request that begins it.
    pub fn refresh(
        self: &Arc<Self>,
        caller: &Caller,
        now: Now,
        told: impl FnOnce() -> Option<Told>,
    ) -> Option<Refreshing> {
        let refresh = self.refresh.as_ref()?;
        let Caller::Known { identity, by: By::Cookie } = caller else { return None };
        if now.unix.saturating_add(refresh.before.as_secs()) < identity.expires {
            return None;
        }
        let mut state = identity.progress.0.lock();
        match &*state {
            State::None => {}
            State::Later(tick) if now.tick() >= *tick => {}
            State::UnderWay(_) | State::Done(_) => return Some(self.refreshing(identity)),
            State::Later(_) | State::Never => return None,
        }
        let (over, under_way) = watch::channel(false);
        *state = State::UnderWay(under_way);
        let (token, old, told) = (self.clone(), identity.clone(), told());
        tokio::spawn(async move {
            let outcome = token.succeed(&old, told).await;
            *old.progress.0.lock() = outcome;
            // Everybody who waited may have gone.
            let _ = over.send(true);
        });
        Some(self.refreshing(identity))
    }

    fn refreshing(self: &Arc<Self>, identity: &Arc<Identity>) -> Refreshing {
        Refreshing { token: self.clone(), old: identity.clone(), since: Instant::now() }
    }

    /// Has the successor, from another gateway or by asking its issuer.
    async fn succeed(&self, old: &Identity, told: Option<Told>) -> State {
        let Some(session) = &self.session else { return State::Never };
        let key = session.key.key(&old.token);
        let begun = Instant::now();
        loop {
            match self.store.claim_refresh(Old { key: &key, token: &old.token }, LEASE, Now::read()).await {
                Err(_) => return later(AGAIN),
                Ok(Claim::Never) => return State::Never,
                Ok(Claim::Refreshed(text)) => return self.found(&text).await,
                Ok(Claim::Elsewhere) if begun.elapsed() < WAIT => tokio::time::sleep(LOOK).await,
                Ok(Claim::Elsewhere) => return later(AGAIN),
                Ok(Claim::Ours(origin)) => {
                    return match self.ask_issuer(old, &key, origin).await {
                        Ok(Some(successor)) => {
                            self.metrics.refreshed.inc();
                            self.refresh_fails.store(false, Relaxed);
                            if let Some(told) = told {
                                told(old, &successor.identity);
                            }
                            State::Done(successor)
                        }
                        Ok(None) => State::Never,
                        Err(why) => {
                            self.metrics.refresh_failed.inc();
                            // Once for all sessions: the count says how often.
                            if !self.refresh_fails.swap(true, Relaxed) {
                                log::warn!("a session of the token {} was not refreshed: {why}", self.name);
                            }
                            later(LEASE)
                        }
                    };
                }
            }
        }
    }

    /// What another gateway stored is held to the same as any other token.
    async fn found(&self, text: &str) -> State {
        let now = Now::read();
        match self.verify(text, now).await {
            Ok(identity) => {
                let ends = self.verifier.over(identity.expires);
                State::Done(Successor { identity, ends })
            }
            Err(_) => later(LEASE),
        }
    }

    /// `None`: the session may not go on, or has ended meanwhile.
    async fn ask_issuer(
        &self,
        old: &Identity,
        key: &super::SessionKey,
        origin: Origin,
    ) -> Result<Option<Successor>, String> {
        let (Some(refresh), Some(session)) = (&self.refresh, &self.session) else { return Ok(None) };
        let most = origin.began.saturating_add(refresh.max.as_secs());
        if Now::read().unix >= most {
            return Ok(None);
        }
        let issued = refresh.issuer.next(old, origin.refresh_token.as_deref()).await?;
        let now = Now::read();
        let new = self.verify(&issued.token, now).await.map_err(|_| "the new token is not good".to_owned())?;
        let is_same = |path: &ClaimPath| match (path.get(&old.claims), path.get(&new.claims)) {
            (Some(old), Some(new)) => old == new && !old.is_null(),
            _ => false,
        };
        if !refresh.same.iter().all(is_same) {
            return Err("the new token is not known to be the same person's".to_owned());
        }
        let ends = self.verifier.over(new.expires).min(most);
        let left = Duration::from_secs(ends.saturating_sub(now.unix));
        let ttl = issued.lifetime.map_or(left, |lifetime| lifetime.min(left));
        if now.unix.saturating_add(ttl.as_secs()) <= old.expires && ends < most {
            return Err("the new token does not last longer".to_owned());
        }
        let origin = Origin { began: origin.began, refresh_token: issued.refresh_token.or(origin.refresh_token) };
        let opened = NewSession { value: session.key.value(&new.token), token: &new.token, ttl, origin: Some(&origin) };
        let old = Old { key, token: &old.token };
        let stored = self.store.succeed(old, &session.key.key(&new.token), &opened, now).await;
        match stored {
            Ok(true) => Ok(Some(Successor { identity: new, ends: now.unix.saturating_add(ttl.as_secs()) })),
            Ok(false) => Ok(None),
            Err(PutError::Taken) => Err("the new token is that of another session".to_owned()),
            Err(_) => Err("the session store took no new session".to_owned()),
        }
    }
}

fn later(pause: Duration) -> State {
    let pause = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
    State::Later(Now::read().tick().saturating_add(pause))
}

impl Refreshing {
    /// The `Set-Cookie` for the answer in hand, as soon as it is known; `None` when it takes too long or does not work.
    /// `most`: the answer can't be kept back for longer.
    pub async fn cookie(self, secure_connection: bool, most: Duration) -> Option<HeaderValue> {
        let under_way = match &*self.old.progress.0.lock() {
            State::UnderWay(under_way) => Some(under_way.clone()),
            _ => None,
        };
        if let Some(mut under_way) = under_way {
            let over = under_way.wait_for(|over| *over);
            let _ = tokio::time::timeout_at((self.since + WAIT).min(Instant::now() + most), over).await;
        }
        let successor = match &*self.old.progress.0.lock() {
            State::Done(successor) => successor.clone(),
            _ => return None,
        };
        let now = Now::read();
        let left = Duration::from_secs(successor.ends.saturating_sub(now.unix));
        self.token.set_cookie(&successor.identity, left, now, secure_connection)
    }
}
