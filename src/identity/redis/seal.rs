//! Texts that only the holder of a token can read: what is kept of a session beside its key is of no use to who reads the Redis.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::super::key::digest_of;

/// `None`: there is no chance to be had, so nothing is sealed and nothing is kept.
pub(super) fn seal(text: &str, token: &str) -> Option<String> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).ok()?;
    let mut sealed = text.as_bytes().to_vec();
    key(token)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).ok()?;
    Some(STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
}

/// `None`: sealed by another token, or not by us.
pub(super) fn open(sealed: &str, token: &str) -> Option<String> {
    let mut bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
    let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let text = key(token)?.open_in_place(nonce, Aad::empty(), text).ok()?;
    String::from_utf8(text.to_vec()).ok()
}

/// A token is signed, so it is as hard to guess as its signature; and the digest under which sessions are known is another one.
fn key(token: &str) -> Option<LessSafeKey> {
    let key = digest_of(["hilum seal ", token].concat().as_bytes());
    UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_token_opens_what_it_sealed() {
        let sealed = seal("the next one", "a.b.c").expect("sealed");
        assert_eq!(open(&sealed, "a.b.c").as_deref(), Some("the next one"));
        assert_ne!(seal("the next one", "a.b.c").expect("sealed"), sealed, "each time another one");
        for (text, token) in
            [(&*sealed, "a.b.d"), (&sealed[1..], "a.b.c"), ("", "a.b.c"), ("AAAA", "a.b.c"), ("!", "a.b.c")]
        {
            assert_eq!(open(text, token), None, "{text}");
        }
    }
}
