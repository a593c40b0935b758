//! Sessions that go on: before the token of a browser runs out a new one is had for it. The types of that; how it is done
//! stands in [`super::token`], what is kept of it in the [`SessionStore`](super::SessionStore).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::caller::Identity;
use super::claims::ClaimPath;

/// What `refresh:` says of a token, and who gives out new ones.
pub struct Refresh {
    /// How long before its end a token is refreshed; less than a token lasts.
    pub before: Duration,
    /// How long a session may go on in all, counted from its sign-in.
    pub max: Duration,
    /// The claims by which the next token is known to be the same person's: all must be there, and equal.
    pub same: Vec<ClaimPath>,
    pub issuer: Box<dyn Issuer>,
}

/// Whoever gives out new tokens for old ones.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// Asks for the next token of a session, by the refresh token it came with or by the token itself. Bounded in time. The
    /// error says what went wrong, for the log, and quotes no token.
    async fn next(&self, old: &Identity, refresh_token: Option<&str>) -> Result<Issued, String>;
}

/// What an issuer gave out. Not verified yet.
pub struct Issued {
    pub token: String,
    pub lifetime: Option<Duration>,
    /// Good for the next time; absent: the one before stays good.
    pub refresh_token: Option<Box<str>>,
}

/// Where a session comes from: kept with it, so that whichever gateway refreshes it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// When its user signed in: unix seconds.
    pub began: u64,
    pub refresh_token: Option<Box<str>>,
}

/// What a store says to a gateway that wants to refresh a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was refreshed already: this token is its next one.
    Refreshed(Box<str>),
    /// Nobody else will do it meanwhile.
    Ours(Origin),
    /// Somebody else is doing it.
    Elsewhere,
    /// It can't be: it has ended, or was opened by somebody who did not say where it comes from.
    Never,
}

/// How far the refreshing of one token has come in this process, shared by everyone who brings the token.
#[derive(Default)]
pub(super) struct Progress(pub(super) Mutex<State>);

#[derive(Default)]
pub(super) enum State {
    /// Not begun.
    #[default]
    None,
    /// Holds `false` until it is over.
    UnderWay(watch::Receiver<bool>),
    /// It did not work; worth another try from this [`Now::tick`](super::Now::tick) on.
    Later(u64),
    Done(Successor),
    Never,
}

/// The next token of a session.
#[derive(Clone)]
pub(super) struct Successor {
    pub(super) identity: Arc<Identity>,
    /// When its session ends: unix seconds.
    pub(super) ends: u64,
}

/// No other gateway tries for so long once one has begun.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// After a failure that may be over soon.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether another gateway has done it, as long as somebody waits.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// How long an answer is kept back for the cookie it may carry. The refresh goes on after that, and the next answer has it.
pub(super) const WAIT: Duration = Duration::from_secs(1);
