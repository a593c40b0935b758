//! The answer of a service that gives out tokens, at sign-in and later.

use std::time::Duration;

use crate::identity::ClaimPath;

/// Where the answer of a service that gives out tokens has what.
#[derive(Debug)]
pub(super) struct GivenNames {
    access: ClaimPath,
    expires: ClaimPath,
    refresh: ClaimPath,
}

/// What a service gave out.
pub(super) struct Given {
    pub(super) token: String,
    pub(super) lifetime: Option<Duration>,
    /// Good for the next token, and for nobody but the gateway.
    pub(super) refresh_token: Option<String>,
}

/// Longer texts are no tokens of any kind.
const MOST: usize = 8 * 1024;

impl GivenNames {
    pub(super) fn new(
        access: &Option<ClaimPath>,
        expires: &Option<ClaimPath>,
        refresh: &Option<ClaimPath>,
    ) -> GivenNames {
        let named = |path: &Option<ClaimPath>, default: &str| {
            path.clone().unwrap_or_else(|| default.parse().expect("a good path"))
        };
        GivenNames {
            access: named(access, "access_token"),
            expires: named(expires, "expires_in"),
            refresh: named(refresh, "refresh_token"),
        }
    }

    /// `None`: there is no token, or a lifetime that is none.
    pub(super) fn read(&self, body: &[u8]) -> Option<Given> {
        let body: hilum_filters::api::Claims = serde_json::from_slice(body).ok()?;
        let is_one = |text: &&str| !text.is_empty() && text.len() <= MOST;
        let text = |path: &ClaimPath| path.get(&body)?.as_str().filter(is_one).map(str::to_owned);
        let lifetime = match self.expires.get(&body) {
            None | Some(serde_json::Value::Null) => None,
            Some(value) => Some(Duration::from_secs(value.as_u64()?)),
        };
        Some(Given { token: text(&self.access)?, lifetime, refresh_token: text(&self.refresh) })
    }

    /// The same body, with null where the refresh token was: a page that could read it would outlive every sign-out.
    pub(super) fn without_refresh(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut body: hilum_filters::api::Claims = serde_json::from_slice(body).ok()?;
        *self.refresh.get_mut(&mut body)? = serde_json::Value::Null;
        serde_json::to_vec(&body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer → `TOKEN SECONDS REFRESH`, `-` for what is not there, or nothing at all.
    #[track_caller]
    fn check(body: &str, expect: Option<&str>) {
        let names = GivenNames::new(&None, &Some("data.expires".parse().unwrap()), &None);
        let got = names.read(body.as_bytes()).map(|Given { token, lifetime, refresh_token }| {
            let lifetime = lifetime.map_or("-".into(), |lifetime| lifetime.as_secs().to_string());
            format!("{token} {lifetime} {}", refresh_token.as_deref().unwrap_or("-"))
        });
        assert_eq!(got.as_deref(), expect, "{body}");
    }

    #[test]
    fn a_token_is_a_text_and_a_lifetime_a_number() {
        check(r#"{"access_token":"a"}"#, Some("a - -"));
        check(r#"{"access_token":"a","data":{"expires":900},"refresh_token":"r"}"#, Some("a 900 r"));
        check(r#"{"access_token":"a","data":{"expires":null},"refresh_token":null}"#, Some("a - -"));
        check(r#"{"access_token":"a","refresh_token":""}"#, Some("a - -"));
        for body in [
            "",
            "[]",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            r#"{"access_token":"a","data":{"expires":"900"}}"#,
            r#"{"access_token":"a","data":{"expires":-1}}"#,
        ] {
            check(body, None);
        }
    }

    #[test]
    fn what_is_for_the_gateway_alone_is_shown_to_nobody() {
        let names = GivenNames::new(&None, &None, &Some("data.refresh".parse().unwrap()));
        let shown = names.without_refresh(br#"{"access_token":"a","data":{"refresh":"r","x":1}}"#).unwrap();
        assert_eq!(str::from_utf8(&shown).unwrap(), r#"{"access_token":"a","data":{"refresh":null,"x":1}}"#);
    }
}
