//! `verify:` → how the tokens of one issuer are verified.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hilum_filters::api::{Kind, Node, Placed, Problem};
use hilum_filters::units::Span;
use jsonwebtoken::Algorithm;

use super::{Parts, keys};
use crate::config::env;
use crate::config::token::Verify;
use crate::identity::ClaimPath;
use crate::identity::verify::{Expected, KeyOptions, PublicKey, VerifyOptions};
use crate::services::Pool;

/// `pools`: gets those that keys are fetched through.
pub(super) fn options(
    written: &Verify,
    base_dir: &Path,
    parts: &Parts<'_>,
    pools: &mut Vec<Arc<Pool>>,
    problems: &mut Vec<Problem>,
) -> Option<VerifyOptions> {
    let algorithms = written.algorithms.value.iter().map(|name| {
        // What `algorithms:` may hold is exactly what the crate can read: `none` and ES512 are not.
        let known = name.value.parse::<Algorithm>();
        let expected = "expected HS256, RS256, PS256 (or 384, 512), ES256, ES384 or EdDSA";
        known.map_err(|_| problems.push(Problem::new(name.at, format!("{expected}, found `{}`", name.value)))).ok()
    });
    let algorithms: Vec<_> = algorithms.collect();
    let key = key(written, base_dir, parts, pools, problems);
    let claims = written.claims.0.iter().map(|(key, node)| {
        let path = key.value.parse::<ClaimPath>().map_err(|why| problems.push(Problem::new(key.at, why))).ok();
        Some((path?, expected(node, problems)?))
    });
    let claims: Vec<_> = claims.collect();
    Some(VerifyOptions {
        algorithms: algorithms.into_iter().collect::<Option<_>>()?,
        key: key?,
        leeway: written.leeway.and_then(|it| it.0).map_or(Duration::ZERO, Span::get),
        max_lifetime: written.max_lifetime.and_then(|it| it.0).map_or(Duration::from_secs(24 * 3600), |it| it.get()),
        claims: claims.into_iter().collect::<Option<_>>()?,
    })
}

/// Exactly one key, so that it never has to be guessed which one is meant.
fn key(
    written: &Verify,
    base_dir: &Path,
    parts: &Parts<'_>,
    pools: &mut Vec<Arc<Pool>>,
    problems: &mut Vec<Problem>,
) -> Option<KeyOptions> {
    if let (None, Some(allow)) = (&written.secret, &written.allow_weak_secret) {
        problems.push(Problem::new(allow.at, "`allow_weak_secret` has no effect: there is no `secret` here"));
    }
    match (&written.secret, &written.key, &written.key_file, &written.jwks) {
        (Some(node), None, None, None) => {
            let allow_weak = written.allow_weak_secret.as_ref().is_some_and(|allow| allow.value);
            Some(KeyOptions::Secret { secret: secret(node, problems)?, allow_weak })
        }
        (None, Some(pem), None, None) => public_key(pem, unfolded(&pem.value).as_bytes(), problems),
        (None, None, Some(file), None) => {
            let path = base_dir.join(&file.value);
            let read = std::fs::read(&path)
                .map_err(|e| problems.push(Problem::new(file.at, format!("{} can't be read: {e}", path.display()))));
            public_key(file, &read.ok()?, problems)
        }
        (None, None, None, Some(jwks)) => {
            let (set, pool) = keys::set(jwks.0.as_ref()?, parts, problems)?;
            pools.push(pool);
            Some(KeyOptions::Set(set))
        }
        _ => {
            let text =
                "expected one of `secret`, `key`, `key_file` and `jwks`: the key that signatures are checked with";
            problems.push(Problem::new(written.algorithms.at, text));
            None
        }
    }
}

fn public_key(at: &Placed<String>, pem: &[u8], problems: &mut Vec<Problem>) -> Option<KeyOptions> {
    let key = PublicKey::from_pem(pem);
    key.map(KeyOptions::Public).map_err(|why| problems.push(Problem::new(at.at, why))).ok()
}

/// A variable often holds a PEM in one line, its line ends written as `\n`.
fn unfolded(pem: &str) -> String {
    if pem.contains('\n') { pem.to_owned() } else { pem.replace("\\n", "\n") }
}

/// A secret comes from the environment. One that stands in the file is in every backup and every diff of it.
fn secret(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    match &node.kind {
        Kind::Scalar { text, .. } if env::comes_from_variables(node) => Some(text.clone().into_bytes()),
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
