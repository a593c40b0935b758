//! Makes tokens for tests out of the exact header and payload text, good or bad.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use prometheus::Registry;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair, RsaPublicKeyComponents};
use x509_parser::pem::parse_x509_pem;

use super::claims::ClaimPath;
use super::key::KeyTemplate;
use super::metrics::SessionMetrics;
use super::now::Now;
use super::provider;
use super::refresh::{Claim, Origin};
use super::store::{NewSession, Old, SessionStore};
use super::verify::{Expected, KeyOptions, PublicKey, VerifyOptions};

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
        key: secret(SECRET),
        leeway: Duration::ZERO,
        max_lifetime: Duration::from_hours(24),
        claims: vec![(claim("type"), vec![Expected::Is("access".into()), Expected::Absent])],
    }
}

/// A secret that both sides know.
pub(crate) fn secret(secret: &[u8]) -> KeyOptions {
    KeyOptions::Secret { secret: secret.to_vec(), allow_weak: false }
}

/// Made by openssl for these tests, and used for nothing else.
pub(crate) mod pem {
    pub(crate) const RSA_2048: &str = include_str!("keys/rsa_2048.pub.pem");
    pub(crate) const RSA_1024: &str = include_str!("keys/rsa_1024.pub.pem");
    /// With the modulus of `RSA_2048` and 1 as its exponent.
    pub(crate) const RSA_E1: &str = include_str!("keys/rsa_e1.pub.pem");
    pub(crate) const P256: &str = include_str!("keys/p256.pub.pem");
    pub(crate) const P384: &str = include_str!("keys/p384.pub.pem");
    pub(crate) const P521: &str = include_str!("keys/p521.pub.pem");
    pub(crate) const SECP256K1: &str = include_str!("keys/secp256k1.pub.pem");
    pub(crate) const ED25519: &str = include_str!("keys/ed25519.pub.pem");
    pub(crate) const CERTIFICATE: &str = include_str!("keys/certificate.pem");
    /// The other half of `RSA_2048`; those of `P256`, `P384` and `ED25519` lie beside it.
    pub(crate) const PRIVATE: &str = include_str!("keys/rsa.pem");
}

/// The public half of the key that [`sign_by`] signs with.
pub(crate) fn public(algorithm: Algorithm) -> PublicKey {
    let pem = match algorithm {
        Algorithm::ES256 => pem::P256,
        Algorithm::ES384 => pem::P384,
        Algorithm::EdDSA => pem::ED25519,
        _ => pem::RSA_2048,
    };
    PublicKey::from_pem(pem.as_bytes()).unwrap()
}

/// A token of exactly this header and this payload, well signed by the algorithm, whatever the header says.
pub(crate) fn sign_by(algorithm: Algorithm, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature(algorithm, message.as_bytes())))
}

fn signature(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    let der = |pem: &str| parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
    let random = SystemRandom::new();
    let rsa = |padding: &'static dyn signature::RsaEncoding| {
        let pair = RsaKeyPair::from_pkcs8(&der(pem::PRIVATE)).unwrap();
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(padding, &random, message, &mut signature).unwrap();
        signature
    };
    let ec = |rules, key: &str| {
        let pair = EcdsaKeyPair::from_pkcs8(rules, &der(key), &random).unwrap();
        pair.sign(&random, message).unwrap().as_ref().to_vec()
    };
    match algorithm {
        Algorithm::RS256 => rsa(&signature::RSA_PKCS1_SHA256),
        Algorithm::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
        Algorithm::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
        Algorithm::PS256 => rsa(&signature::RSA_PSS_SHA256),
        Algorithm::PS384 => rsa(&signature::RSA_PSS_SHA384),
        Algorithm::PS512 => rsa(&signature::RSA_PSS_SHA512),
        Algorithm::ES256 => ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, include_str!("keys/p256.pem")),
        Algorithm::ES384 => ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, include_str!("keys/p384.pem")),
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(include_str!("keys/ed25519.pem"))).unwrap();
            pair.sign(message).as_ref().to_vec()
        }
        other => panic!("{other:?} is signed by `sign_with`"),
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

/// The key of [`sign_by`] as an issuer publishes it (RFC 7517), with `more` members.
pub(crate) fn jwk(algorithm: Algorithm, more: &str) -> String {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let decoding = public(algorithm).decoding().clone();
    let bytes = decoding.try_get_as_bytes().unwrap();
    let members = match algorithm {
        Algorithm::ES256 => {
            format!(r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#, text(&bytes[1..33]), text(&bytes[33..]))
        }
        Algorithm::ES384 => {
            format!(r#""kty":"EC","crv":"P-384","x":"{}","y":"{}""#, text(&bytes[1..49]), text(&bytes[49..]))
        }
        Algorithm::EdDSA => format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, text(bytes)),
        _ => {
            let pair = RsaKeyPair::from_pkcs8(&parse_x509_pem(pem::PRIVATE.as_bytes()).unwrap().1.contents).unwrap();
            let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
            format!(r#""kty":"RSA","n":"{}","e":"{}""#, text(&public.n), text(&public.e))
        }
    };
    format!("{{{members},{more}}}")
}

/// What every store answers about sessions that follow one another: `put NAME`, `claim NAME`, `succeed OLD NEW`, `has NAME` and
/// `remove NAME`. Leaves the store empty.
pub(crate) async fn check_line(store: &dyn SessionStore, template: &KeyTemplate) {
    let steps = [
        ("claim a", "Never"),
        ("put a", "()"),
        ("claim a", "Ours r0"),
        ("claim a", "Elsewhere"),
        ("succeed a b", "true"),
        ("claim a", "Refreshed b"),
        ("has a", "true"),
        ("has b", "true"),
        ("claim b", "Ours r-a"),
        ("succeed b c", "true"),
        ("remove b", "true"),
        ("has a", "false"),
        ("has b", "false"),
        ("has c", "false"),
        ("claim a", "Never"),
        ("claim c", "Never"),
        ("remove b", "false"),
        // Ended while its successor was on the way.
        ("put d", "()"),
        ("claim d", "Ours r0"),
        ("remove d", "true"),
        ("succeed d e", "false"),
        ("has d", "false"),
        ("has e", "false"),
        // Ended by its last one, and by its first.
        ("put f", "()"),
        ("succeed f g", "true"),
        ("succeed g h", "true"),
        ("remove h", "true"),
        ("has f", "false"),
        ("has g", "false"),
        ("put i", "()"),
        ("succeed i j", "true"),
        // The same token for two sessions: it can follow only one, so that a sign-out ends all that belongs to it.
        ("put k", "()"),
        ("succeed k j", "Taken"),
        ("remove k", "true"),
        ("has j", "true"),
        ("remove i", "true"),
        ("has j", "false"),
        ("remove j", "false"),
    ];
    let now = Now::read();
    for (step, expect) in steps {
        let words: Vec<_> = step.split(' ').collect();
        let kept = |token, refresh: String| (token, Origin { began: 7, refresh_token: Some(refresh.into()) });
        let (token, origin) = match words[..] {
            ["succeed", old, new] => kept(new, format!("r-{old}")),
            [_, name] => kept(name, "r0".into()),
            _ => panic!("{step}"),
        };
        let session = NewSession { value: token, token, ttl: Duration::from_secs(60), origin: Some(&origin) };
        let key = template.key(words[1]);
        let old = Old { key: &key, token: words[1] };
        let got = match words[..] {
            ["put", _] => format!("{:?}", store.put(&key, &session, now).await.unwrap()),
            ["claim", _] => match store.claim_refresh(old, Duration::from_secs(60), now).await.unwrap() {
                Claim::Ours(Origin { began: 7, refresh_token }) => format!("Ours {}", refresh_token.unwrap()),
                Claim::Refreshed(token) => format!("Refreshed {token}"),
                other => format!("{other:?}"),
            },
            ["succeed", _, new] => match store.succeed(old, &template.key(new), &session, now).await {
                Ok(kept) => kept.to_string(),
                Err(why) => format!("{why:?}"),
            },
            ["has", _] => store.contains(&key, &store.standing(&key), now).await.unwrap().to_string(),
            _ => store.remove(&key, now).await.unwrap().to_string(),
        };
        assert_eq!(got, expect, "{step}");
    }
}
