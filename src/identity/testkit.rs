//! Makes tokens for tests out of the exact header and payload text, good or bad.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use prometheus::Registry;

use super::claims::ClaimPath;
use super::metrics::SessionMetrics;
use super::now::Now;
use super::provider;
use super::verify::{Expected, VerifyOptions};

pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// When tests take place, in seconds since 1970.
pub(crate) const TODAY: u64 = 1_800_000_000;
pub(crate) const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A moment at `TODAY`.
pub(crate) fn today() -> Now {
    Now { unix: TODAY, ..Now::read() }
}

/// As in the example of `routes.yaml`.
pub(crate) fn options() -> VerifyOptions {
    VerifyOptions {
        algorithms: vec![Algorithm::HS256],
        secret: SECRET.to_vec(),
        allow_weak_secret: false,
        leeway: Duration::ZERO,
        max_lifetime: Duration::from_hours(24),
        claims: vec![(claim("type"), vec![Expected::Is("access".into()), Expected::Absent])],
    }
}

pub(crate) fn claim(path: &str) -> ClaimPath {
    path.parse().unwrap()
}

/// A well signed token of exactly this header and this payload.
pub(crate) fn sign(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    sign_with(SECRET, Algorithm::HS256, header, payload)
}

pub(crate) fn sign_with(
    secret: &[u8],
    algorithm: Algorithm,
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
) -> String {
    provider::install();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A good token of one person that ends `seconds` after `TODAY`.
pub(crate) fn token_of(user: &str, seconds: u64) -> String {
    let payload = format!(
        r#"{{"user_id":"{user}","user_type":"patient","email":"a@b.c","roles":["patient"],"metadata":{{"reference_id":"r-{user}"}},"exp":{}.763385}}"#,
        TODAY + seconds
    );
    sign(HS256, payload)
}

pub(crate) fn metrics() -> SessionMetrics {
    SessionMetrics::register(&Registry::new()).unwrap()
}
