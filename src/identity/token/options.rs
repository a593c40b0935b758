//! What the file says of one kind of token, and whether it makes sense.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;

use crate::identity::claims::ClaimPath;
use crate::identity::cookie::CookieOptions;
use crate::identity::key::KeyTemplate;
use crate::identity::refresh::Refresh;
use crate::identity::source::Source;
use crate::identity::verify::VerifyOptions;

/// What `tokens:` says under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOptions {
    pub name: Arc<str>,
    /// Where it is looked for, in order; at least one place.
    pub sources: Vec<Source>,
    pub verify: VerifyOptions,
    /// Without it a good token is enough, and a logout is impossible.
    pub session: Option<SessionOptions>,
    /// The headers by which a service is told who is calling, each at most once.
    pub identity: Vec<(HeaderName, ClaimPath)>,
    /// What a login sets; one of `sources` reads it.
    pub cookie: Option<CookieOptions>,
    /// How many verified tokens are remembered; at least one. Each takes about 1 KB.
    pub cached: usize,
}

impl TokenOptions {
    /// The default of `cached`.
    pub const CACHED: usize = 100_000;

    /// The error says what to write instead.
    pub(super) fn check(&self) -> Result<(), String> {
        let TokenOptions { sources, identity, cookie, cached, .. } = self;
        if sources.is_empty() {
            return Err("it is looked for nowhere: write `from: [{ header: Authorization, scheme: Bearer }]`".into());
        }
        for (index, source) in sources.iter().enumerate() {
            source.check()?;
            if sources[..index].contains(source) {
                return Err("a place in `from` is written twice".into());
            }
        }
        for (index, (name, path)) in identity.iter().enumerate() {
            if identity[..index].iter().any(|(other, _)| other == name) {
                return Err(format!("`{name}` would be written twice: from `{path}`, and from another claim"));
            }
            if *name == AUTHORIZATION {
                return Err(
                    "`Authorization` carries the token itself to services, so no claim can be written there".into()
                );
            }
        }
        if let Some(cookie) = cookie {
            cookie.check()?;
            if !sources.iter().any(|source| matches!(source, Source::Cookie { name } if *name == cookie.name)) {
                let name = &cookie.name;
                return Err(format!(
                    "the cookie `{name}` would be set and never read: add `{{ cookie: {name} }}` to `from`"
                ));
            }
        }
        if *cached == 0 {
            return Err("at least one verified token must be remembered".into());
        }
        Ok(())
    }

    /// The same of a `refresh` beside it.
    pub(super) fn check_refresh(&self, refresh: &Refresh) -> Result<(), String> {
        if self.session.is_none() || self.cookie.is_none() {
            return Err("a `refresh` gives a browser its next cookie, so it needs `session` and `cookie`".into());
        }
        if refresh.before >= self.verify.max_lifetime {
            return Err(
                "`refresh.before` is as long as a token may last, so every request would be for a new one".into()
            );
        }
        if refresh.max <= refresh.before {
            return Err("`refresh.max` is over before the first refresh is due".into());
        }
        Ok(())
    }
}

/// What `session:` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    pub key: KeyTemplate,
    /// For how long a "yes" of a store that has to be waited for is believed. A store that answers at once is asked on
    /// every request, and then nothing is ever stale.
    pub max_staleness: Duration,
}
