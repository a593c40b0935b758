//! `tokens:` → [`Token`]s.

use std::sync::Arc;
use std::time::Duration;

use hilum_filters::api::{Kind, Node, Placed, Problem};
use hilum_filters::units::Span;
use jsonwebtoken::Algorithm;

use super::Parts;
use crate::actions::Named;
use crate::config::routes::Routes;
use crate::config::token::{self, Cookie, TokenFrom, Verify};
use crate::identity::cookie::{CookieOptions, SameSite, Secure};
use crate::identity::source::Source;
use crate::identity::token::{SessionOptions, TokenOptions};
use crate::identity::verify::{Expected, VerifyOptions};
use crate::identity::{ClaimPath, Token};

pub(super) fn tokens(routes: &Routes, parts: &Parts<'_>, problems: &mut Vec<Problem>) -> Named<Token> {
    Named::new(routes.tokens.0.iter().map(|(name, written)| {
        let options = written.0.as_ref().and_then(|token| options(name, token, problems));
        let token = options.and_then(|options| {
            let token = Token::new(options, parts.store.clone(), parts.session_metrics.clone());
            token.map_err(|why| problems.push(Problem::new(name.at, format!("the token `{}`: {why}", name.value)))).ok()
        });
        (name.value.clone(), token.map(Arc::new))
    }))
}

/// The claim that a token says its roles are in.
pub(super) fn roles<'r>(routes: &'r Routes, token: &str) -> Option<&'r Placed<ClaimPath>> {
    routes.tokens.0.iter().find(|(name, _)| name.value == token)?.1.0.as_ref()?.roles.as_ref()
}

fn options(name: &Placed<String>, written: &token::Token, problems: &mut Vec<Problem>) -> Option<TokenOptions> {
    let sources: Vec<_> =
        written.from.value.iter().map(|from| source(from.0.as_ref()?, written.from.at, problems)).collect();
    if sources.is_empty() {
        problems.push(Problem::new(written.from.at, "a token is looked for in one place at least"));
    }
    let sources = sources.into_iter().collect::<Option<Vec<_>>>().filter(|sources| !sources.is_empty());
    let verify = written.verify.0.as_ref().and_then(|verify| verify_options(verify, problems));
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

fn verify_options(written: &Verify, problems: &mut Vec<Problem>) -> Option<VerifyOptions> {
    let algorithms = written.algorithms.value.iter().map(|name| match name.value.as_str() {
        "HS256" => Some(Algorithm::HS256),
        "HS384" => Some(Algorithm::HS384),
        "HS512" => Some(Algorithm::HS512),
        other => {
            problems.push(Problem::new(name.at, format!("expected HS256, HS384 or HS512, found `{other}`")));
            None
        }
    });
    let algorithms: Vec<_> = algorithms.collect();
    let secret = secret(&written.secret, problems);
    let claims = written.claims.0.iter().map(|(key, node)| {
        let path = key.value.parse::<ClaimPath>().map_err(|why| problems.push(Problem::new(key.at, why))).ok();
        Some((path?, expected(node, problems)?))
    });
    let claims: Vec<_> = claims.collect();
    Some(VerifyOptions {
        algorithms: algorithms.into_iter().collect::<Option<_>>()?,
        secret: secret?,
        allow_weak_secret: written.allow_weak_secret,
        leeway: written.leeway.and_then(|it| it.0).map_or(Duration::ZERO, Span::get),
        max_lifetime: written.max_lifetime.and_then(|it| it.0).map_or(Duration::from_secs(24 * 3600), |it| it.get()),
        claims: claims.into_iter().collect::<Option<_>>()?,
    })
}

/// A secret comes from the environment. One that stands in the file is in every backup and every diff of it.
fn secret(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    match &node.kind {
        Kind::Scalar { text, .. } if node.written.is_some() => Some(text.clone().into_bytes()),
        Kind::Scalar { .. } => {
            let problem = Problem::new(node.at, "a secret is written in the file")
                .help("let it come from a variable: \"${JWT_SECRET_KEY}\"");
            problems.push(problem);
            None
        }
        _ => {
            problems.push(Problem::new(node.at, "expected a secret, from a variable: \"${JWT_SECRET_KEY}\""));
            None
        }
    }
}

/// A value, or a list of values and `{ absent: true }`.
fn expected(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<Expected>> {
    let one = |node: &Node| match &node.kind {
        Kind::Scalar { text, .. } => Some(Expected::Is(text.clone())),
        Kind::Map(_) => match node.get("absent").map(|n| &n.kind) {
            Some(Kind::Scalar { text, .. }) if text == "true" => Some(Expected::Absent),
            _ => None,
        },
        _ => None,
    };
    let expected: Option<Vec<Expected>> = match &node.kind {
        Kind::List(items) if !items.is_empty() => items.iter().map(one).collect(),
        _ => one(node).map(|it| vec![it]),
    };
    if expected.is_none() {
        problems.push(Problem::new(node.at, "expected a value, or a list of values and `{ absent: true }`"));
    }
    expected
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
