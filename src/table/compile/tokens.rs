//! `tokens:` → [`Token`]s.

use std::sync::Arc;
use std::time::Duration;

use hilum_filters::api::{Placed, Problem};
use hilum_filters::units::Span;

use super::{Parts, verify};
use crate::actions::{Named, refresh};
use crate::config::routes::Routes;
use crate::config::token::{self, Cookie, TokenFrom};
use crate::identity::cookie::{CookieOptions, SameSite, Secure};
use crate::identity::source::Source;
use crate::identity::token::{SessionOptions, TokenOptions};
use crate::identity::verify::VerifyOptions;
use crate::identity::{ClaimPath, Token};
use crate::services::Pool;

/// The tokens, and the pools that their keys are fetched through.
pub(super) fn tokens(
    routes: &Routes,
    services: &Named<Pool>,
    parts: &Parts<'_>,
    problems: &mut Vec<Problem>,
) -> (Named<Token>, Vec<Arc<Pool>>) {
    let mut pools = Vec::new();
    let tokens = Named::new(routes.tokens.0.iter().map(|(name, written)| {
        let options = written.0.as_ref().and_then(|token| {
            let verify = token.verify.0.as_ref();
            let verify = verify.and_then(|it| verify::options(it, &routes.base_dir, parts, &mut pools, problems));
            options(name, token, verify, problems)
        });
        let refresh = written.0.as_ref().and_then(|token| token.refresh.as_ref()?.0.as_ref());
        let refresh = refresh.map(|written| refresh::compile(written, services, problems));
        let token = options.and_then(|options| {
            // One that could not be compiled has its problem already.
            let (store, metrics) = (parts.store.clone(), parts.session_metrics.clone());
            let token = Token::remembered(options, refresh.flatten(), store, metrics, parts.token_caches);
            token.map_err(|why| problems.push(Problem::new(name.at, format!("the token `{}`: {why}", name.value)))).ok()
        });
        (name.value.clone(), token.map(Arc::new))
    }));
    (tokens, pools)
}

/// The claim that a token says its roles are in.
pub(super) fn roles<'r>(routes: &'r Routes, token: &str) -> Option<&'r Placed<ClaimPath>> {
    routes.tokens.0.iter().find(|(name, _)| name.value == token)?.1.0.as_ref()?.roles.as_ref()
}

fn options(
    name: &Placed<String>,
    written: &token::Token,
    verify: Option<VerifyOptions>,
    problems: &mut Vec<Problem>,
) -> Option<TokenOptions> {
    let sources: Vec<_> =
        written.from.value.iter().map(|from| source(from.0.as_ref()?, written.from.at, problems)).collect();
    if sources.is_empty() {
        problems.push(Problem::new(written.from.at, "a token is looked for in one place at least"));
    }
    let sources = sources.into_iter().collect::<Option<Vec<_>>>().filter(|sources| !sources.is_empty());
    let session = match &written.session {
        None => None,
        Some(session) => {
            let session = session.0.as_ref()?;
            let key = session
                .key
                .value
                .parse()
                .map_err(|why: String| problems.push(Problem::new(session.key.at, why)))
                .ok()?;
            Some(SessionOptions {
                key,
                max_staleness: session.max_staleness.and_then(|it| it.0).map_or(Duration::from_secs(2), Span::get),
            })
        }
    };
    let mut identity = Vec::new();
    for (header, claim) in &written.identity.0 {
        match header.value.parse::<http::HeaderName>() {
            Ok(header) => identity.push((header, claim.0.clone()?)),
            Err(_) => problems.push(Problem::new(header.at, format!("`{}` is no header name", header.value))),
        }
    }
    let cookie = match &written.cookie {
        None => None,
        Some(cookie) => Some(cookie_options(cookie.0.as_ref()?, written, problems)?),
    };
    Some(TokenOptions {
        name: name.value.as_str().into(),
        sources: sources?,
        verify: verify?,
        session,
        identity,
        cookie,
        cached: TokenOptions::CACHED,
    })
}

fn source(from: &TokenFrom, list: hilum_filters::api::At, problems: &mut Vec<Problem>) -> Option<Source> {
    let (at, source) = match (&from.header, &from.scheme, &from.cookie) {
        (Some(header), scheme, None) => {
            let scheme = scheme.as_ref().map_or("Bearer", |s| s.value.as_str());
            (header.at, Source::Header { name: header.value.0.clone(), scheme: scheme.into() })
        }
        (None, None, Some(cookie)) => (cookie.at, Source::Cookie { name: cookie.value.as_str().into() }),
        _ => {
            problems.push(Problem::new(list, "each place is `{ header: NAME, scheme: WORD }` or `{ cookie: NAME }`"));
            return None;
        }
    };
    source.check().map_err(|why| problems.push(Problem::new(at, why))).ok()?;
    Some(source)
}

fn cookie_options(written: &Cookie, token: &token::Token, problems: &mut Vec<Problem>) -> Option<CookieOptions> {
    let options = CookieOptions {
        name: written.name.value.as_str().into(),
        same_site: match written.same_site {
            token::SameSite::Lax => SameSite::Lax,
            token::SameSite::Strict => SameSite::Strict,
            token::SameSite::None => SameSite::None,
        },
        secure: match written.secure {
            token::Secure::Auto => Secure::Auto,
            token::Secure::Always => Secure::Always,
            token::Secure::Never => Secure::Never,
        },
    };
    options.check().map_err(|why| problems.push(Problem::new(written.name.at, why))).ok()?;
    let read = token.from.value.iter().filter_map(|from| from.0.as_ref()?.cookie.as_ref());
    if !read.map(|cookie| &cookie.value).any(|name| *name == written.name.value) {
        let text = format!("a login would set the cookie `{}`, and `from` does not look for it", written.name.value);
        problems.push(Problem::new(written.name.at, text));
        return None;
    }
    Some(options)
}
