//! The cryptography under `jsonwebtoken`: ring, which TLS has already compiled. The crate's own backends would add a
//! minute of build time or be slow; what it asks of us is small. Hilum verifies, and signs only in tests.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::{hmac, signature};

/// Makes this the process's provider. Without one the first `decode` panics, so whoever builds a verifier calls it;
/// any call after the first changes nothing.
pub fn install() {
    // An error means that a provider is there already, which is all we want.
    let _ = PROVIDER.install_default();
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hmac::for_signing(*algorithm, key)?)),
    verifier_factory: |algorithm, key| {
        Ok(match algorithm.family() {
            AlgorithmFamily::Hmac => Box::new(Hmac::for_verifying(*algorithm, key)?) as Box<dyn JwtVerifier>,
            _ => Box::new(Public::new(*algorithm, key)?),
        })
    },
    // Only thumbprints and the making of JWKs ask for these; nothing here does either.
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hmac {
    algorithm: Algorithm,
    key: hmac::Key,
}

impl Hmac {
    fn for_signing(algorithm: Algorithm, key: &EncodingKey) -> Result<Self> {
        Self::new(algorithm, key.family(), key.as_bytes())
    }

    fn for_verifying(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        Self::new(algorithm, key.family(), key.try_get_as_bytes()?)
    }

    fn new(algorithm: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<Self> {
        // A public key is no secret: taken as one, anybody who has it could sign (RFC 8725, 2.1).
        if family != AlgorithmFamily::Hmac {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        let digest = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        };
        Ok(Self { algorithm, key: hmac::Key::new(digest, secret) })
    }
}

impl Signer<Vec<u8>> for Hmac {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.key, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hmac {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Hmac {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        // ring compares in constant time, so a wrong signature tells nothing by how long it took.
        hmac::verify(&self.key, message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for Hmac {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// A public key: everybody may have it, and only the issuer can sign for it.
struct Public {
    algorithm: Algorithm,
    rule: Rule,
    key: DecodingKeyKind,
}

/// What ring checks a signature by. RSA has rules of its own, since its keys also come as two numbers.
enum Rule {
    Rsa(&'static signature::RsaParameters),
    Curve(&'static dyn signature::VerificationAlgorithm),
}

impl Public {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        // A secret taken for a public key could only ever refuse; say what is wrong instead.
        if key.family() != algorithm.family() {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        // ring refuses RSA keys of less than 2048 bits (RFC 7518, 3.3), and of ECDSA every form but the two numbers of
        // fixed length that a token has (RFC 7518, 3.4); zero is none of them (CVE-2022-21449).
        let rule = match algorithm {
            Algorithm::RS256 => Rule::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Rule::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Rule::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Rule::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Rule::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Rule::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => Rule::Curve(&signature::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => Rule::Curve(&signature::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => Rule::Curve(&signature::ED25519),
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        };
        Ok(Self { algorithm, rule, key: key.kind().clone() })
    }
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let verified = match (&self.rule, &self.key) {
            (Rule::Rsa(rule), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                signature::RsaPublicKeyComponents { n, e }.verify(rule, message, signature)
            }
            (Rule::Rsa(rule), DecodingKeyKind::SecretOrDer(der)) => {
                signature::UnparsedPublicKey::new(*rule, der).verify(message, signature)
            }
            (Rule::Curve(rule), DecodingKeyKind::SecretOrDer(point)) => {
                signature::UnparsedPublicKey::new(*rule, point).verify(message, signature)
            }
            (Rule::Curve(_), DecodingKeyKind::RsaModulusExponent { .. }) => return Err(Error::new()),
        };
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::crypto;

    use super::*;

    /// RFC 4231, 4.3: key "Jefe", and what it signs.
    const MESSAGE: &[u8] = b"what do ya want for nothing?";

    fn check(algorithm: Algorithm, digest_hex: &str) {
        install();
        let signature = crypto::sign(MESSAGE, &EncodingKey::from_secret(b"Jefe"), algorithm).expect("signs");
        let bytes = URL_SAFE_NO_PAD.decode(&signature).expect("is base64url");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, digest_hex, "{algorithm:?}");
        let verify = |message: &[u8], secret: &[u8]| {
            crypto::verify(&signature, message, &DecodingKey::from_secret(secret), algorithm).expect("answers")
        };
        assert!(verify(MESSAGE, b"Jefe"));
        assert!(!verify(b"what do ya want for something?", b"Jefe"));
        assert!(!verify(MESSAGE, b"jefe"));
    }

    #[test]
    fn signatures_are_those_of_the_rfc() {
        check(Algorithm::HS256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        check(
            Algorithm::HS384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        );
        check(
            Algorithm::HS512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        );
    }

    #[test]
    fn a_public_key_is_not_taken_for_a_secret() {
        install();
        let key = DecodingKey::from_rsa_der(b"anything");
        let error = crypto::verify("c2ln", MESSAGE, &key, Algorithm::HS256).expect_err("is refused");
        assert_eq!(error.kind(), &ErrorKind::InvalidKeyFormat);
        let secret = DecodingKey::from_secret(b"Jefe");
        for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA] {
            let error = crypto::verify("c2ln", MESSAGE, &secret, algorithm).expect_err("is refused");
            assert_eq!(error.kind(), &ErrorKind::InvalidKeyFormat, "{algorithm:?}");
        }
        let error =
            crypto::sign(MESSAGE, &EncodingKey::from_secret(b"Jefe"), Algorithm::ES256).expect_err("is refused");
        assert_eq!(error.kind(), &ErrorKind::UnsupportedAlgorithm);
    }
}
