//! The key of one issuer: a secret that issuer and gateway share, or the public half of a pair. Which algorithms a key
//! serves follows from the key, never from the token.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::identity::keys::KeySet;

/// What one of `secret:`, `key:`, `key_file:` and `jwks:` says.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyOptions {
    /// For HS*. At least 32 bytes (RFC 8725, 3.5), unless `allow_weak`: then 1 to 31 as well. Never empty, never a PEM.
    Secret { secret: Vec<u8>, allow_weak: bool },
    /// For all others.
    Public(PublicKey),
    /// Likewise; which key it is, the token says among those that its issuer publishes.
    Set(Arc<KeySet>),
}

/// A public key that can be used, and what for.
#[derive(Clone)]
pub struct PublicKey {
    key: DecodingKey,
    serves: &'static [Algorithm],
}

use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
const RSA: &[Algorithm] = &[RS256, RS384, RS512, PS256, PS384, PS512];

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`. The error says what to write instead, and quotes nothing of the text.
    pub fn from_pem(text: &[u8]) -> Result<PublicKey, String> {
        let (rest, pem) = parse_x509_pem(text).map_err(|_| "this is no key in PEM form".to_owned())?;
        if rest.windows(11).any(|window| window == b"-----BEGIN ") {
            return Err("this holds more than one PEM block, and which one is meant is not said".into());
        }
        match &*pem.label {
            "PUBLIC KEY" => {}
            label if label.ends_with("PRIVATE KEY") => {
                return Err("this is a private key: whoever has it can sign. Hilum needs its public half, as \
                            `openssl pkey -in FILE -pubout` writes it"
                    .into());
            }
            // Its dates and its chain would be taken for checked.
            "CERTIFICATE" => {
                return Err("this is a certificate; its key is wanted, as `openssl x509 -in FILE -pubkey -noout` \
                            writes it"
                    .into());
            }
            _ => return Err("expected a PEM block that begins with `-----BEGIN PUBLIC KEY-----`".into()),
        }
        match SubjectPublicKeyInfo::from_der(&pem.contents) {
            Ok(([], info)) => Self::from_info(&info),
            _ => Err("what stands in the PEM block is no public key".into()),
        }
    }

    fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Result<PublicKey, String> {
        let (kind, key) = (&info.algorithm.algorithm, &*info.subject_public_key.data);
        if *kind == OID_PKCS1_RSAENCRYPTION {
            let Ok(Parsed::RSA(rsa)) = info.parsed() else { return Err("the RSA key can't be read".into()) };
            check_rsa(rsa.modulus, rsa.exponent)?;
            return Ok(PublicKey { key: DecodingKey::from_rsa_der(key), serves: RSA });
        }
        if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = info.algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
            let curve = match curve {
                Some(it) if it == OID_EC_P256 => Curve::P256,
                Some(it) if it == OID_NIST_EC_P384 => Curve::P384,
                _ => return Err("the key is on a curve that no algorithm here uses: expected P-256 or P-384".into()),
            };
            return Self::from_point(curve, key);
        }
        if *kind == OID_SIG_ED25519 {
            return Self::from_ed25519(key);
        }
        Err("expected an RSA, EC (P-256, P-384) or Ed25519 key".into())
    }

    /// A key in two numbers, without leading zeros or with them.
    pub fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, String> {
        check_rsa(modulus, exponent)?;
        let (n, e) = (significant(modulus), significant(exponent));
        Ok(PublicKey { key: DecodingKey::from_rsa_raw_components(n, e), serves: RSA })
    }

    /// An uncompressed point (SEC 1, 2.3.3): 4, then both numbers.
    pub fn from_point(curve: Curve, point: &[u8]) -> Result<PublicKey, String> {
        let (bytes, serves): (_, &[Algorithm]) = match curve {
            Curve::P256 => (32, &[ES256]),
            Curve::P384 => (48, &[ES384]),
        };
        if point.len() != 1 + 2 * bytes || point[0] != 4 {
            return Err("the point of the EC key has not the form that its curve asks for".into());
        }
        Ok(PublicKey { key: DecodingKey::from_ec_der(point), serves })
    }

    /// 32 bytes.
    pub fn from_ed25519(key: &[u8]) -> Result<PublicKey, String> {
        if key.len() != 32 {
            return Err("an Ed25519 key has 32 bytes".into());
        }
        Ok(PublicKey { key: DecodingKey::from_ed_der(key), serves: &[EdDSA] })
    }

    /// Whether signatures of this algorithm can be checked with it.
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        self.serves.contains(&algorithm)
    }

    /// What it is for, as a person would say it.
    pub(super) fn says(&self) -> &'static str {
        match self.serves {
            [ES256] => "it is an EC key on P-256, for ES256",
            [ES384] => "it is an EC key on P-384, for ES384",
            [EdDSA] => "it is an Ed25519 key, for EdDSA",
            _ => "it is an RSA key, for RS256, RS384, RS512, PS256, PS384 and PS512",
        }
    }

    pub(in crate::identity) fn decoding(&self) -> &DecodingKey {
        &self.key
    }
}

/// A curve of RFC 7518, 3.4 that ring knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
}

/// 2048 bits at least (RFC 7518, 3.3). An exponent of 1 lets everybody sign, an even one nobody.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), String> {
    let (modulus, exponent) = (significant(modulus), significant(exponent));
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(format!("the RSA key has {bits} bits: use one of 2048 to 8192"));
    }
    let odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !odd || exponent == [1] || exponent.len() > 4 {
        return Err("the RSA key has an exponent that nobody uses: expected 65537".into());
    }
    Ok(())
}

fn significant(number: &[u8]) -> &[u8] {
    &number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len())..]
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
        let same = match (self.key.kind(), other.key.kind()) {
            (SecretOrDer(a), SecretOrDer(b)) => a == b,
            (RsaModulusExponent { n, e }, RsaModulusExponent { n: m, e: f }) => n == m && e == f,
            _ => false,
        };
        same && self.serves == other.serves
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("serves", &self.serves).finish_non_exhaustive()
    }
}

/// From this many bytes on a secret can't be guessed (RFC 7518, 3.2 asks for the length of the digest).
pub(super) const STRONG: usize = 32;

pub(super) fn check_secret(secret: &[u8], allow_weak: bool) -> Result<(), String> {
    if secret.is_empty() {
        return Err("the secret is empty, so anybody could sign".into());
    }
    // The public key of another algorithm is known to everybody: as an HMAC secret it lets everybody sign.
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err("the secret is a PEM key, and HMAC takes a secret that only the issuer and Hilum know: \
                    a public key is written as `key:`"
            .into());
    }
    if secret.len() < STRONG && !allow_weak {
        return Err(format!(
            "the secret has {} bytes and can be guessed: use at least {STRONG}, or say `allow_weak_secret: true`",
            secret.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testkit::pem;

    /// A PEM text → which algorithms it serves, or what is wrong with it.
    #[track_caller]
    fn check(text: &str, expect: Result<&[Algorithm], &str>) {
        match (PublicKey::from_pem(text.as_bytes()), expect) {
            (Ok(key), Ok(serves)) => assert_eq!(key.serves, serves),
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (got, expect) => panic!("{text}: {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn a_key_says_by_itself_what_it_serves() {
        check(pem::RSA_2048, Ok(RSA));
        check(pem::P256, Ok(&[ES256]));
        check(pem::P384, Ok(&[ES384]));
        check(pem::ED25519, Ok(&[EdDSA]));
        check(&format!("# the key of our issuer\n{}", pem::P256), Ok(&[ES256]));
        check(&format!("{}# the key of our issuer\n", pem::P256), Ok(&[ES256]));
    }

    #[test]
    fn keys_that_are_weak_or_of_another_kind_are_refused_when_the_file_is_read() {
        check(pem::RSA_1024, Err("1024 bits"));
        check(pem::RSA_E1, Err("exponent"));
        check(pem::P521, Err("expected P-256 or P-384"));
        check(pem::SECP256K1, Err("expected P-256 or P-384"));
        check(pem::PRIVATE, Err("a private key"));
        check(pem::CERTIFICATE, Err("a certificate"));
        check(&format!("{}{}", pem::P256, pem::P384), Err("more than one"));
        check("", Err("no key in PEM form"));
        check("0123456789abcdef0123456789abcdef", Err("no key in PEM form"));
        check("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", Err("no public key"));
        check("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", Err("-----BEGIN PUBLIC KEY-----"));
    }

    #[test]
    fn an_rsa_key_in_numbers_is_held_to_the_same() {
        let modulus = [&[0, 0x80][..], &[0x55; 255]].concat();
        assert!(PublicKey::from_rsa(&modulus, &[0, 1, 0, 1]).expect("is good").serves(PS512));
        for (modulus, exponent, part) in [
            (&modulus[..256], &[1, 0, 1][..], "2040 bits"),
            (&modulus, &[1], "exponent"),
            (&modulus, &[], "exponent"),
            (&modulus, &[1, 0, 0], "exponent"),
            (&[0x80; 1025], &[1, 0, 1], "8200 bits"),
            (&[], &[1, 0, 1], "0 bits"),
            (&[0x7f; 256], &[1, 0, 1], "2047 bits"),
            (&modulus, &[1, 0, 0, 0, 1], "exponent"),
        ] {
            assert!(PublicKey::from_rsa(modulus, exponent).expect_err(part).contains(part));
        }
        for (modulus, exponent) in [(&[0x80; 1024][..], &[3][..]), (&[0x80; 256], &[1, 0, 0, 1])] {
            assert!(PublicKey::from_rsa(modulus, exponent).is_ok());
        }
    }

    #[test]
    fn a_key_in_bytes_has_the_length_of_its_curve() {
        for (curve, length, first, is_good) in [
            (Curve::P256, 65, 4, true),
            (Curve::P384, 97, 4, true),
            (Curve::P256, 64, 4, false),
            (Curve::P256, 66, 4, false),
            (Curve::P256, 97, 4, false),
            (Curve::P384, 65, 4, false),
            (Curve::P256, 65, 2, false),
            (Curve::P256, 65, 5, false),
            (Curve::P256, 0, 4, false),
        ] {
            let mut point = vec![7; length];
            point.iter_mut().take(1).for_each(|byte| *byte = first);
            assert_eq!(PublicKey::from_point(curve, &point).is_ok(), is_good, "{curve:?} {length} {first}");
        }
        for (length, is_good) in [(31, false), (32, true), (33, false)] {
            assert_eq!(PublicKey::from_ed25519(&vec![7; length]).is_ok(), is_good, "{length}");
        }
    }

    #[test]
    fn keys_are_equal_when_they_say_yes_to_the_same_signatures() {
        let ed25519 = |byte| PublicKey::from_ed25519(&[byte; 32]).unwrap();
        let point = |byte| PublicKey::from_point(Curve::P256, &[&[4][..], &[byte; 64]].concat()).unwrap();
        let rsa = |byte, exponent| PublicKey::from_rsa(&[byte; 256], &[exponent]).unwrap();
        let pem = |text: &str| PublicKey::from_pem(text.as_bytes()).unwrap();
        let keys = [
            ed25519(1),
            ed25519(2),
            point(1),
            point(2),
            rsa(0x81, 3),
            rsa(0x81, 5),
            rsa(0x83, 3),
            pem(pem::RSA_2048),
            pem(pem::P384),
        ];
        for (n, one) in keys.iter().enumerate() {
            for (m, other) in keys.iter().enumerate() {
                assert_eq!(one == other, n == m, "{n} {m}");
            }
        }
        assert_eq!(pem(pem::P384), pem(pem::P384));
        assert_eq!(format!("{:?}", keys[2]), "PublicKey { serves: [ES256], .. }");
    }
}
