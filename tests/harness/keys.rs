//! A pair of keys as an issuer has it: it signs with one half and publishes the other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use super::Reply;

/// One pair of keys under a name.
pub(crate) struct Pair {
    pub(crate) kid: String,
    pub(crate) pair: EcdsaKeyPair,
}

impl Pair {
    pub(crate) fn new(kid: &str) -> Pair {
        let (rules, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(rules, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(rules, pkcs8.as_ref(), &random).expect("a key");
        Pair { kid: kid.to_owned(), pair }
    }

    /// Ten minutes of this user.
    pub(crate) fn token(&self, user: &str) -> String {
        let exp =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 600;
        let header = format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#, self.kid);
        let claims = format!(r#"{{"user_id":"{user}","exp":{exp}}}"#);
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).expect("signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The public half, as it is published.
    pub(crate) fn jwk(&self) -> String {
        let point = self.pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|number| URL_SAFE_NO_PAD.encode(number));
        format!(r#"{{"kty":"EC","crv":"P-256","use":"sig","kid":"{}","x":"{x}","y":"{y}"}}"#, self.kid)
    }
}

/// The set that publishes these.
pub(crate) fn published(pairs: &[&Pair]) -> Reply {
    let keys: Vec<String> = pairs.iter().map(|pair| pair.jwk()).collect();
    Reply::json(200, format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}
