//! Is this token good? The signature is checked by `jsonwebtoken`; what that crate leaves to its user (it accepts a
//! `crit` header, doubled claims, an `exp` a thousand years ahead) is checked here, before anything is believed.

mod header;
mod key;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode};
use serde_json::Value;

pub use key::{Curve, KeyOptions, PublicKey};

use super::claims::{ClaimPath, Claims, scalar_text};
use super::keys::{KeySet, Renewed};
use super::now::Now;
use super::provider;
use super::unique::UniqueObject;
use header::Header;
use key::{STRONG, check_secret};

/// What `verify:` says.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// At least one, and all of the family that the key is of. Pinned: what the token says of itself chooses among
    /// these only.
    pub algorithms: Vec<Algorithm>,
    pub key: KeyOptions,
    /// By how much the clocks of issuer and gateway may differ; whole seconds.
    pub leeway: Duration,
    /// A token that ends later than this from now, or from its `iat`, is refused; at least a second.
    pub max_lifetime: Duration,
    /// Each claim must be one of what is listed for it. `aud` may also be a list that holds it (RFC 7519, 4.1.3);
    /// while `aud` is not listed, a token that names an audience is meant for somebody else.
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
    keys: Keys,
    validation: Validation,
    leeway: u64,
    max_lifetime: u64,
    claims: Vec<ClaimRule>,
    weak: bool,
}

/// A token whose signature and claims are good at the moment that was asked about.
#[derive(Debug)]
pub struct Verified {
    pub claims: Claims,
    /// Its `exp`, rounded down: unix seconds. The token is over from then on, plus the leeway.
    pub expires: u64,
    /// The [`Verifier::generation`] of the keys that said yes.
    pub generation: u64,
}

/// Why a token is not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotVerified {
    Refused(Refused),
    /// It names a key that is not known, which may be our ignorance. See [`Verifier::renew`].
    KeyUnknown,
}

impl From<Refused> for NotVerified {
    fn from(why: Refused) -> Self {
        NotVerified::Refused(why)
    }
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

/// What signatures are checked with.
enum Keys {
    One(DecodingKey),
    Set(Arc<KeySet>),
}

/// One row of `claims`.
struct ClaimRule {
    path: ClaimPath,
    accepted: Vec<Expected>,
    is_audience: bool,
}

/// Longer ones are refused before any work is spent on them.
const MAX_TOKEN: usize = 8 * 1024;

/// In seconds. An `iat` is when a token was made and not when it begins (RFC 7519, 4.1.6); an issuer whose clock is a
/// little ahead signs in the future, and one that is further off signs nonsense.
const CLOCKS_DIFFER: u64 = 60;

impl Verifier {
    /// Checks the options; the error says what to write instead, and never quotes the secret.
    pub fn new(options: VerifyOptions) -> Result<Self, String> {
        let VerifyOptions { algorithms, key, leeway, max_lifetime, claims } = options;
        if algorithms.is_empty() {
            return Err("no algorithm is allowed, so no token would be: write `algorithms: [HS256]`".into());
        }
        let weak = matches!(&key, KeyOptions::Secret { secret, .. } if secret.len() < STRONG);
        let keys = Keys::new(key, &algorithms)?;
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
        let claims: Vec<_> = claims.into_iter().map(ClaimRule::from).collect();
        Ok(Self {
            keys,
            validation: signature_only(algorithms, claims.iter().any(|rule| rule.is_audience)),
            leeway: leeway.as_secs(),
            max_lifetime: max_lifetime.as_secs(),
            claims,
            weak,
        })
    }

    /// Checks one token as of `now`. It is over when `now >= floor(exp) + leeway`, as RFC 7519, 4.1.4 has it ("on or
    /// after") and as PredictHealth's services do it.
    pub fn verify(&self, token: &str, now: Now) -> Result<Verified, NotVerified> {
        if token.len() > MAX_TOKEN {
            return Err(Refused::Invalid("longer than 8 KiB").into());
        }
        let header = Header::read(token)?;
        let (UniqueObject(claims), generation) = self.keys.decode(token, &header, &self.validation)?;
        let expires = self.check_claims(&claims, now)?;
        Ok(Verified { claims, expires, generation })
    }

    /// Everything that the claims of a well signed token must be; its `exp`.
    fn check_claims(&self, claims: &Claims, now: Now) -> Result<u64, Refused> {
        let expires = seconds(claims, "exp")?.ok_or(Refused::Invalid("no `exp`"))?;
        if now.unix >= self.over(expires) {
            return Err(Refused::Expired);
        }
        if expires > now.unix.saturating_add(self.max_lifetime).saturating_add(self.leeway) {
            return Err(Refused::Invalid("ends further ahead than `max_lifetime`"));
        }
        let issued = seconds(claims, "iat")?;
        if issued.is_some_and(|issued| expires.saturating_sub(issued) > self.max_lifetime.saturating_add(self.leeway)) {
            return Err(Refused::Invalid("lasts longer than `max_lifetime`"));
        }
        if issued.is_some_and(|issued| issued > now.unix.saturating_add(self.leeway).saturating_add(CLOCKS_DIFFER)) {
            return Err(Refused::Invalid("its `iat` lies ahead"));
        }
        if seconds(claims, "nbf")?.is_some_and(|begins| begins > now.unix.saturating_add(self.leeway)) {
            return Err(Refused::Invalid("its `nbf` lies ahead"));
        }
        if !self.claims.iter().all(|rule| rule.fits(claims)) {
            return Err(Refused::Invalid("a claim is not what `verify.claims` accepts"));
        }
        Ok(expires)
    }

    /// After a [`NotVerified::KeyUnknown`]: asks the issuer for its keys, or waits for whoever does. When it says
    /// [`Renewed::Good`], a key that is still not known is nobody's.
    pub async fn renew(&self) -> Renewed {
        match &self.keys {
            Keys::One(_) => Renewed::Good,
            Keys::Set(set) => set.renew().await,
        }
    }

    /// Rises when the keys change. What was verified by others is to be verified again.
    pub fn generation(&self) -> u64 {
        match &self.keys {
            Keys::One(_) => 0,
            Keys::Set(set) => set.generation(),
        }
    }

    /// The keys that somebody has to look after.
    pub fn key_set(&self) -> Option<&Arc<KeySet>> {
        match &self.keys {
            Keys::One(_) => None,
            Keys::Set(set) => Some(set),
        }
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

/// The crate checks the algorithm, the signature, and that `exp` is a number; its own clock rounds `exp` to the nearest
/// second and lets a token live up to 1.5 s too long. `validate_aud` stays on unless `claims` says which audience is
/// ours: a token that names another one is meant for somebody else (RFC 7519, 4.1.3).
fn signature_only(algorithms: Vec<Algorithm>, knows_audience: bool) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.algorithms = algorithms;
    validation.validate_exp = false;
    validation.validate_aud = !knows_audience;
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
        ErrorKind::InvalidSignature => "not signed with a key we know",
        ErrorKind::MissingRequiredClaim(_) => "no usable `exp`",
        ErrorKind::InvalidAudience => "meant for another audience",
        _ => "not a token we accept",
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

impl Keys {
    /// Checks that the key and the algorithms are of one family, so that a token can't be read in two ways.
    fn new(key: KeyOptions, algorithms: &[Algorithm]) -> Result<Keys, String> {
        match key {
            KeyOptions::Secret { secret, allow_weak } => {
                if let Some(other) = algorithms.iter().find(|it| it.family() != AlgorithmFamily::Hmac) {
                    return Err(format!(
                        "a secret can't verify {other:?}: it serves HS256, HS384 and HS512, and {other:?} takes a `key`, \
                         a `key_file` or `jwks`"
                    ));
                }
                check_secret(&secret, allow_weak)?;
                Ok(Keys::One(DecodingKey::from_secret(&secret)))
            }
            KeyOptions::Public(key) => match algorithms.iter().find(|it| !key.serves(**it)) {
                Some(other) => Err(format!("its key can't verify {other:?}: {}", key.says())),
                None => Ok(Keys::One(key.decoding().clone())),
            },
            KeyOptions::Set(set) => {
                let family = algorithms[0].family();
                if family == AlgorithmFamily::Hmac {
                    return Err(format!("{:?} is signed with a secret, and what is published is none", algorithms[0]));
                }
                match algorithms.iter().find(|it| it.family() != family) {
                    Some(other) => Err(format!("{:?} and {other:?} take keys of different kinds", algorithms[0])),
                    None => Ok(Keys::Set(set)),
                }
            }
        }
    }

    fn decode(
        &self,
        token: &str,
        header: &Header,
        validation: &Validation,
    ) -> Result<(UniqueObject, u64), NotVerified> {
        let decode = |key: &DecodingKey| match decode::<UniqueObject>(token, key, validation) {
            Ok(decoded) => Ok(decoded.claims),
            Err(error) => Err(Refused::Invalid(reason(error.kind()))),
        };
        match self {
            Keys::One(key) => Ok((decode(key)?, 0)),
            // An algorithm that is not ours needs no look at the keys, and no questions to the issuer.
            Keys::Set(_) if !validation.algorithms.contains(&header.algorithm) => {
                Err(Refused::Invalid(reason(&ErrorKind::InvalidAlgorithm)).into())
            }
            Keys::Set(set) => {
                let tried = set.try_each((header.algorithm, header.kid.as_deref()), |key| decode(key.decoding()));
                tried.map_err(|refused| match refused {
                    // Named and there: the signature is wrong. Not named, it may be by a key that came since.
                    Some(why) if header.kid.is_some() => why.into(),
                    _ => NotVerified::KeyUnknown,
                })
            }
        }
    }
}

impl From<(ClaimPath, Vec<Expected>)> for ClaimRule {
    fn from((path, accepted): (ClaimPath, Vec<Expected>)) -> Self {
        let is_audience = path.to_string() == "aud";
        ClaimRule { path, accepted, is_audience }
    }
}

impl ClaimRule {
    fn fits(&self, claims: &Claims) -> bool {
        match self.path.get(claims) {
            // One member that is ours is enough, and all must be texts.
            Some(Value::Array(members)) if self.is_audience => {
                members.iter().all(Value::is_string) && members.iter().any(|member| self.accepts(Some(member)))
            }
            value => self.accepts(value),
        }
    }

    fn accepts(&self, value: Option<&Value>) -> bool {
        let text = value.and_then(scalar_text);
        self.accepted.iter().any(|expected| match expected {
            Expected::Absent => value.is_none(),
            Expected::Is(wanted) => text.as_deref() == Some(wanted),
        })
    }
}

#[cfg(test)]
mod tests;
