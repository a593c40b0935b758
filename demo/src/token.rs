//! The access tokens of PredictHealth: JSON Web Tokens (RFC 7519) signed with HS256, written and
//! read exactly as auth-jwt does it with PyJWT. Their `exp` is a float with microseconds, and
//! there is no `iat`, `nbf`, `jti`, `iss`, `aud`, `sub` or `type`.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use serde::{Deserialize, Serialize};

/// How long an access token lives.
pub const LIFETIME_SECONDS: u32 = 900;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What a token says about its bearer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Claims {
    /// The account; for seeded and new people also the id of the person.
    pub user_id: String,
    /// `patient`, `doctor`, `institution` or `admin`.
    pub user_type: String,
    /// The account's e-mail.
    #[serde(default)]
    pub email: String,
    /// Always just the user type.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Whom the account stands for.
    #[serde(default)]
    pub metadata: Metadata,
    /// Seconds since 1970, with microseconds.
    pub exp: f64,
    /// Never written by auth-jwt; read because the services look here first.
    #[serde(default, skip_serializing)]
    pub reference_id: Option<String>,
}

/// The part of the claims that links an account to a person or an institution.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Metadata {
    /// The id of the person or institution.
    pub reference_id: Option<String>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// It was good once.
    Expired,
    /// It was never good here, or cannot be read.
    Invalid,
}

/// The secret that auth-jwt signs with and everybody else verifies with.
pub struct Key(hmac::Key);

impl Claims {
    /// The claims that a login gives: valid from now on for [`LIFETIME_SECONDS`].
    pub fn new(user_id: &str, user_type: &str, email: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            user_type: user_type.to_owned(),
            email: email.to_owned(),
            roles: vec![user_type.to_owned()],
            metadata: Metadata { reference_id: Some(user_id.to_owned()) },
            exp: now() + f64::from(LIFETIME_SECONDS),
            reference_id: None,
        }
    }
}

impl Key {
    /// The key made of this secret.
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The token that carries these claims.
    pub fn sign(&self, claims: &Claims) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are texts and one finite number");
        let mut token = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(claims));
        let signature = BASE64.encode(hmac::sign(&self.0, token.as_bytes()));
        token.push('.');
        token.push_str(&signature);
        token
    }

    /// The claims of a token that this key signed and that is not over.
    pub fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        let claims = self.read(token).ok_or(Refusal::Invalid)?;
        // PyJWT truncates `exp` to whole seconds and allows no leeway.
        if claims.exp.trunc() <= now() { Err(Refusal::Expired) } else { Ok(claims) }
    }

    fn read(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        hmac::verify(&self.0, signed.as_bytes(), &BASE64.decode(signature).ok()?).ok()?;

        let (header, claims) = signed.split_once('.')?;
        let header: serde_json::Value = serde_json::from_slice(&BASE64.decode(header).ok()?).ok()?;
        if header["alg"] != "HS256" {
            return None;
        }
        serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
    }
}

fn now() -> f64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    // Python's clock gives microseconds, so a token has no more digits than that.
    (since_1970.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, change: impl FnOnce(&mut Claims), expect: Result<(), Refusal>) {
        let key = Key::new("a secret of the tests");
        let mut claims = Claims::new("7", "patient", "a@example.com");
        change(&mut claims);
        assert_eq!(key.verify(&key.sign(&claims)).map(drop), expect, "{name}");
    }

    #[test]
    fn a_token_is_over_in_the_second_of_its_exp() {
        check("fresh", |_| {}, Ok(()));
        check("in the past", |c| c.exp = now() - 5.0, Err(Refusal::Expired));
        check("within this second", |c| c.exp = now().trunc() + 0.999_999, Err(Refusal::Expired));
    }

    #[test]
    fn only_hs256_by_this_key_is_read() {
        let key = Key::new("one");
        let token = Key::new("two").sign(&Claims::new("7", "patient", "a@example.com"));
        let unsigned = format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), token.split('.').nth(1).unwrap());
        for bad in [token.as_str(), unsigned.as_str(), "", "a.b", "a.b.c", "ñ.ñ.ñ"] {
            assert_eq!(key.verify(bad), Err(Refusal::Invalid), "{bad}");
        }
    }
}
