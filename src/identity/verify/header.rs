//! The header of a token, read before anything is computed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::Refused;
use crate::identity::unique::UniqueObject;

/// What of a header decides how its token is verified.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    /// The name of the key in its issuer's set; nothing but a word to compare (RFC 7515, 4.1.4).
    pub(super) kid: Option<String>,
}

/// Longer names of keys are nobody's.
const MAX_KID: usize = 256;

/// Header members that change how the rest is to be read, and that the crate ignores: `crit` lists what must be
/// understood (RFC 7515, 4.1.11), `b64` changes what was signed (RFC 7797), `zip` and `enc` belong to encrypted tokens
/// (RFC 7516), `cty` announces a token inside the token (RFC 7519, 5.2). `jku`, `jwk`, `x5u` and `x5c` are never used,
/// so they do no harm.
const NOT_UNDERSTOOD: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];

impl Header {
    pub(super) fn read(token: &str) -> Result<Header, Refused> {
        let encoded = token.split('.').next().unwrap_or_default();
        let text = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Refused::Invalid("the header is not base64url"))?;
        let UniqueObject(header) = serde_json::from_slice(&text)
            .map_err(|_| Refused::Invalid("the header is not an object with every key once"))?;
        if NOT_UNDERSTOOD.iter().any(|name| header.contains_key(*name)) {
            return Err(Refused::Invalid("the header holds `crit`, `b64`, `zip`, `enc` or `cty`"));
        }
        match header.get("typ") {
            None => {}
            // RFC 7515, 4.1.9: compared without regard to case; RFC 9068, 2.1 names access tokens.
            Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt") => {}
            Some(_) => return Err(Refused::Invalid("the header's `typ` is not JWT or at+jwt")),
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID => Some(kid.clone()),
            Some(_) => return Err(Refused::Invalid("the header's `kid` is not a text of at most 256 bytes")),
        };
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(|name| name.parse().ok());
        Ok(Header { algorithm: algorithm.ok_or(Refused::Invalid("signed by an algorithm that is not allowed"))?, kid })
    }
}
