//! Is this token good? The signature is checked by `jsonwebtoken`; what that crate leaves to its user (it accepts a
//! `crit` header, doubled claims, an `exp` a thousand years ahead) is checked here, before anything is believed.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode};
use serde_json::Value;

use super::claims::{ClaimPath, Claims, scalar_text};
use super::now::Now;
use super::provider;
use super::unique::UniqueObject;

/// What `verify:` says.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// At least one of HS256, HS384, HS512. Pinned: what the token says of itself chooses among these only.
    pub algorithms: Vec<Algorithm>,
    /// At least 32 bytes (RFC 8725, 3.5), unless `allow_weak_secret`. Never empty, never a PEM.
    pub secret: Vec<u8>,
    /// Takes a secret of 1 to 31 bytes. See [`Verifier::has_weak_secret`].
    pub allow_weak_secret: bool,
    /// By how much the clocks of issuer and gateway may differ; whole seconds.
    pub leeway: Duration,
    /// A token that ends later than this from now is refused; at least a second.
    pub max_lifetime: Duration,
    /// Each claim must be one of what is listed for it.
    pub claims: Vec<(ClaimPath, Vec<Expected>)>,
}

/// One thing a claim may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this text; a number is compared in decimal. Lists and objects are never equal to a text.
    Is(String),
    /// Not in the token. `null` is in the token.
    Absent,
}

/// Verifies the tokens of one issuer. Shows no secret in `Debug`.
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
    leeway: u64,
    max_lifetime: u64,
    claims: Vec<(ClaimPath, Vec<Expected>)>,
    weak: bool,
}

/// A token whose signature and claims are good at the moment that was asked about.
#[derive(Debug)]
pub struct Verified {
    pub claims: Claims,
    /// Its `exp`, rounded down: unix seconds. The token is over from then on, plus the leeway.
    pub expires: u64,
}

/// Why a caller is not taken for who the token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not a token this gateway accepts. The text says why without quoting it, for the log and for `explain`.
    Invalid(&'static str),
    /// Was good, and is over.
    Expired,
    /// Good, but its session is not in the store: never opened, ended by a logout, or over.
    SessionUnknown,
}

/// Longer ones are refused before any work is spent on them.
const MAX_TOKEN: usize = 8 * 1024;

impl Verifier {
    /// Checks the options; the error says what to write instead, and never quotes the secret.
    pub fn new(options: VerifyOptions) -> Result<Self, String> {
        let VerifyOptions { algorithms, secret, allow_weak_secret, leeway, max_lifetime, claims } = options;
        if algorithms.is_empty() {
            return Err("no algorithm is allowed, so no token would be: write `algorithms: [HS256]`".into());
        }
        if let Some(other) = algorithms.iter().find(|algorithm| algorithm.family() != AlgorithmFamily::Hmac) {
            return Err(format!("a secret can't verify {other:?}: it serves HS256, HS384 and HS512"));
        }
        check_secret(&secret, allow_weak_secret)?;
        if leeway.subsec_nanos() != 0 {
            return Err("`leeway` must be whole seconds: the ends of tokens are".into());
        }
        if max_lifetime.as_secs() == 0 {
            return Err("a `max_lifetime` of less than a second refuses every token".into());
        }
        if let Some((path, _)) = claims.iter().find(|(_, accepted)| accepted.is_empty()) {
            return Err(format!("nothing is accepted for the claim `{path}`, so no token would be"));
        }
        provider::install();
        Ok(Self {
            key: DecodingKey::from_secret(&secret),
            validation: signature_only(algorithms),
            leeway: leeway.as_secs(),
            max_lifetime: max_lifetime.as_secs(),
            claims,
            weak: secret.len() < STRONG,
        })
    }

    /// Checks one token as of `now`. It is over when `now >= floor(exp) + leeway`, as RFC 7519, 4.1.4 has it ("on or
    /// after") and as PredictHealth's services do it.
    pub fn verify(&self, token: &str, now: Now) -> Result<Verified, Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refused::Invalid("longer than 8 KiB"));
        }
        let decoded = decode::<UniqueObject>(token, &self.key, &self.validation)
            .map_err(|error| Refused::Invalid(reason(error.kind())))?;
        check_header(token)?;
        let UniqueObject(claims) = decoded.claims;

        let expires = seconds(&claims, "exp")?.ok_or(Refused::Invalid("no `exp`"))?;
        if now.unix >= self.over(expires) {
            return Err(Refused::Expired);
        }
        if expires > now.unix.saturating_add(self.max_lifetime).saturating_add(self.leeway) {
            return Err(Refused::Invalid("ends further ahead than `max_lifetime`"));
        }
        if seconds(&claims, "nbf")?.is_some_and(|begins| begins > now.unix.saturating_add(self.leeway)) {
            return Err(Refused::Invalid("its `nbf` lies ahead"));
        }
        if !self.claims.iter().all(|(path, accepted)| fits(path.get(&claims), accepted)) {
            return Err(Refused::Invalid("a claim is not what `verify.claims` accepts"));
        }
        Ok(Verified { claims, expires })
    }

    /// The unix second from which on a token with this `exp` is no longer accepted.
    pub fn over(&self, expires: u64) -> u64 {
        expires.saturating_add(self.leeway)
    }

    /// The secret is shorter than 32 bytes: guessed from one token by who has time. Say so at every start.
    pub fn has_weak_secret(&self) -> bool {
        self.weak
    }
}

impl fmt::Debug for VerifyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("algorithms", &self.validation.algorithms).finish_non_exhaustive()
    }
}

/// From this many bytes on a secret can't be guessed (RFC 7518, 3.2 asks for the length of the digest).
const STRONG: usize = 32;

fn check_secret(secret: &[u8], allow_weak: bool) -> Result<(), String> {
    if secret.is_empty() {
        return Err("the secret is empty, so anybody could sign".into());
    }
    // The public key of another algorithm is known to everybody: as an HMAC secret it lets everybody sign.
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err("the secret is a PEM key, and HMAC takes a secret that only the issuer and Hilum know".into());
    }
    if secret.len() < STRONG && !allow_weak {
        return Err(format!(
            "the secret has {} bytes and can be guessed: use at least {STRONG}, or say `allow_weak_secret: true`",
            secret.len()
        ));
    }
    Ok(())
}

/// The crate checks the algorithm, the signature, and that `exp` is a number; its own clock rounds `exp` to the nearest
/// second and lets a token live up to 1.5 s too long. `validate_aud` stays on: a token that names an audience is meant
/// for somebody else (RFC 7519, 4.1.3).
fn signature_only(algorithms: Vec<Algorithm>) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.algorithms = algorithms;
    validation.validate_exp = false;
    validation.set_required_spec_claims(&["exp"]);
    validation
}

/// The crate's own texts quote the token.
fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidToken => "not three parts",
        ErrorKind::Base64(_) => "a part is not base64url",
        ErrorKind::Json(_) => "header or payload is not an object as a token has it, with every key once",
        ErrorKind::InvalidAlgorithm => "signed by an algorithm that is not allowed",
        ErrorKind::InvalidSignature => "not signed with our secret",
        ErrorKind::MissingRequiredClaim(_) => "no usable `exp`",
        ErrorKind::InvalidAudience => "meant for another audience",
        _ => "not a token we accept",
    }
}

/// Header members that change how the rest is to be read, and that the crate ignores: `crit` lists what must be
/// understood (RFC 7515, 4.1.11), `b64` changes what was signed (RFC 7797), `zip` and `enc` belong to encrypted tokens
/// (RFC 7516), `cty` announces a token inside the token (RFC 7519, 5.2). `jku`, `jwk`, `x5u`, `x5c` and `kid` are never
/// used, so they do no harm.
const NOT_UNDERSTOOD: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];

fn check_header(token: &str) -> Result<(), Refused> {
    let encoded = token.split('.').next().unwrap_or_default();
    let text = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Refused::Invalid("the header is not base64url"))?;
    let UniqueObject(header) = serde_json::from_slice(&text)
        .map_err(|_| Refused::Invalid("the header is not an object with every key once"))?;
    if NOT_UNDERSTOOD.iter().any(|name| header.contains_key(*name)) {
        return Err(Refused::Invalid("the header holds `crit`, `b64`, `zip`, `enc` or `cty`"));
    }
    match header.get("typ") {
        None => Ok(()),
        // RFC 7515, 4.1.9: compared without regard to case; RFC 9068, 2.1 names access tokens.
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt") => Ok(()),
        Some(_) => Err(Refused::Invalid("the header's `typ` is not JWT or at+jwt")),
    }
}

/// A time in a claim (RFC 7519, 2, NumericDate: may have a fraction), rounded down.
fn seconds(claims: &Claims, name: &str) -> Result<Option<u64>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_u64();
    // A float too large for u64 becomes its largest, which `max_lifetime` refuses.
    let rounded = || value.as_f64().filter(|time| *time >= 0.0).map(|time| time.floor() as u64);
    whole.or_else(rounded).map(Some).ok_or(Refused::Invalid("a time is not a number of seconds since 1970"))
}

fn fits(value: Option<&Value>, accepted: &[Expected]) -> bool {
    let text = value.and_then(scalar_text);
    accepted.iter().any(|expected| match expected {
        Expected::Absent => value.is_none(),
        Expected::Is(wanted) => text.as_deref() == Some(wanted),
    })
}

#[cfg(test)]
mod tests;
