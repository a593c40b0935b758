//! Tells browsers to be strict: headers that a page from a careful site carries.
//!
//! One rule for headers that the answer already has: what is written in the options wins, a default only fills a gap,
//! and `none` means that this filter has no opinion (it neither sets the header nor takes it out).

use http::{HeaderName, HeaderValue};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::{Env, Exchange, Filter, Phases};
use crate::units::{Span, Value};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "security_headers")]
pub(crate) struct Config {
    /// Browsers must not guess another media type. Default: nosniff.
    content_type_options: Option<ContentTypeOptions>,
    /// Who may show the page in a frame. Default: DENY.
    frame_options: Option<FrameOptions>,
    /// How much of the address is told to the next site. Default: strict-origin-when-cross-origin.
    referrer_policy: Option<ReferrerPolicy>,
    /// Whether windows of other sites may hold on to this one. Default: same-origin.
    cross_origin_opener_policy: Option<OpenerPolicy>,
    /// Which devices a page may use. Default: no camera, microphone or geolocation.
    permissions_policy: Option<Value>,
    /// What a page may load, and from where. Default: not said, because only the pages know.
    content_security_policy: Option<Value>,
    /// Browsers shall come back over TLS only. Sent over TLS only (RFC 6797, 7.2). Default: not said.
    hsts: Option<Hsts>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "hsts")]
struct Hsts {
    /// How long a browser shall remember it.
    max_age: Span,
    /// Whether it holds for all names below this one. Default: false.
    #[serde(default)]
    include_subdomains: bool,
}

/// A word of a fixed list, or `none`.
macro_rules! words {
    ($($type:ident { $($variant:ident = $word:literal),* })*) => { $(
        #[derive(Clone, Copy, Deserialize, JsonSchema)]
        #[schemars(inline)]
        enum $type {
            $(#[serde(rename = $word)] $variant,)*
            #[serde(rename = "none")]
            NotOurs,
        }

        impl From<$type> for Option<HeaderValue> {
            fn from(word: $type) -> Self {
                match word {
                    $($type::$variant => Some(HeaderValue::from_static($word)),)*
                    $type::NotOurs => None,
                }
            }
        }
    )* };
}

words! {
    ContentTypeOptions { NoSniff = "nosniff" }
    FrameOptions { Deny = "DENY", SameOrigin = "SAMEORIGIN" }
    ReferrerPolicy {
        NoReferrer = "no-referrer",
        NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
        Origin = "origin",
        OriginWhenCrossOrigin = "origin-when-cross-origin",
        SameOrigin = "same-origin",
        StrictOrigin = "strict-origin",
        StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
        UnsafeUrl = "unsafe-url"
    }
    OpenerPolicy {
        UnsafeNone = "unsafe-none",
        SameOrigin = "same-origin",
        SameOriginAllowPopups = "same-origin-allow-popups",
        NoopenerAllowPopups = "noopener-allow-popups"
    }
}

pub(crate) struct SecurityHeaders {
    /// What the options say: replaces what the answer has.
    written: Vec<(&'static str, HeaderValue)>,
    /// What they do not speak of: set where the answer has nothing.
    defaults: Vec<Gap>,
    hsts: Option<HeaderValue>,
}

struct Gap {
    name: HeaderName,
    /// The name as it is sent: Pingora takes it without a copy.
    spelled: &'static str,
    value: HeaderValue,
}

impl Filter for SecurityHeaders {
    const NAME: &'static str = "security_headers";
    const EXAMPLE: &'static str = r#"security_headers: { frame_options: SAMEORIGIN, hsts: { max_age: 8760h } }"#;
    type Config = Config;
    type State = ();

    fn new(config: Config, _: &Env) -> anyhow::Result<Self> {
        let mut filter = SecurityHeaders { written: Vec::new(), defaults: Vec::new(), hsts: None };
        filter.take("X-Content-Type-Options", config.content_type_options.map(Into::into), "nosniff");
        filter.take("X-Frame-Options", config.frame_options.map(Into::into), "DENY");
        filter.take("Referrer-Policy", config.referrer_policy.map(Into::into), "strict-origin-when-cross-origin");
        filter.take("Cross-Origin-Opener-Policy", config.cross_origin_opener_policy.map(Into::into), "same-origin");
        filter.take(
            "Permissions-Policy",
            config.permissions_policy.map(said),
            "camera=(), geolocation=(), microphone=()",
        );
        if let Some(policy) = config.content_security_policy {
            let Some(policy) = said(policy) else {
                anyhow::bail!("`content_security_policy: none` does nothing: leave it out");
            };
            filter.written.push(("Content-Security-Policy", policy));
        }
        filter.hsts = config.hsts.as_ref().map(Hsts::value).transpose()?;
        if filter.written.is_empty() && filter.defaults.is_empty() && filter.hsts.is_none() {
            anyhow::bail!("every header is switched off: leave the filter out");
        }
        Ok(filter)
    }

    fn phases(&self, on: &mut Phases<Self>) {
        on.response(Self::set);
    }
}

impl SecurityHeaders {
    /// `option`: what is written in the file, if anything; inside it, `None` is the word `none`.
    fn take(&mut self, spelled: &'static str, option: Option<Option<HeaderValue>>, default: &'static str) {
        match option {
            Some(value) => self.written.extend(value.map(|value| (spelled, value))),
            None => {
                let name = spelled.parse().expect("the names above are header names");
                self.defaults.push(Gap { name, spelled, value: HeaderValue::from_static(default) });
            }
        }
    }

    fn set(&self, exchange: Exchange<'_>, answer: &mut ResponseHeader) -> Result<()> {
        for (name, value) in &self.written {
            answer.insert_header(*name, value.clone())?;
        }
        for Gap { name, spelled, value } in &self.defaults {
            if !answer.headers.contains_key(name) {
                answer.insert_header(*spelled, value.clone())?;
            }
        }
        match &self.hsts {
            Some(value) if exchange.facts.secure => answer.insert_header("Strict-Transport-Security", value.clone()),
            _ => Ok(()),
        }
    }
}

impl Hsts {
    fn value(&self) -> anyhow::Result<HeaderValue> {
        let subdomains = if self.include_subdomains { "; includeSubDomains" } else { "" };
        Ok(HeaderValue::from_str(&format!("max-age={}{subdomains}", self.max_age.as_secs()))?)
    }
}

/// A free text, or the word `none`.
fn said(value: Value) -> Option<HeaderValue> {
    Some(value.get().clone()).filter(|value| value != "none")
}

#[cfg(test)]
mod tests {
    use super::SecurityHeaders;
    use crate::testkit;

    /// What the client gets of `answer`.
    fn check(options: &str, request: &str, answer: &str, expected: &str) {
        let found = testkit::run::<SecurityHeaders>(options, request, answer);
        let lines = |text: &str| -> Vec<String> {
            text.lines().map(str::trim).filter(|line| line.starts_with('<')).map(str::to_owned).collect()
        };
        assert_eq!(lines(&found), lines(expected), "{options} {answer}");
    }

    fn check_problems(options: &str, expected: &str) {
        assert_eq!(testkit::problems::<SecurityHeaders>(options), expected, "{options}");
    }

    #[test]
    fn without_options_the_defaults_are_sent() {
        check(
            "",
            "GET https://a.example/x",
            "200",
            "< 200
             < cross-origin-opener-policy: same-origin
             < permissions-policy: camera=(), geolocation=(), microphone=()
             < referrer-policy: strict-origin-when-cross-origin
             < x-content-type-options: nosniff
             < x-frame-options: DENY",
        );
    }

    const ONLY_FRAMES: &str =
        "content_type_options: none, referrer_policy: none, cross_origin_opener_policy: none, permissions_policy: none";

    #[test]
    fn a_default_fills_a_gap_and_an_option_wins_and_none_has_no_opinion() {
        let theirs = "200\nX-Frame-Options: SAMEORIGIN\nReferrer-Policy: origin";
        check(
            &format!("{{ {ONLY_FRAMES} }}"),
            "GET /x",
            theirs,
            "< 200\n< referrer-policy: origin\n< x-frame-options: SAMEORIGIN",
        );
        check(
            &format!("{{ {ONLY_FRAMES}, frame_options: DENY }}"),
            "GET /x",
            theirs,
            "< 200\n< referrer-policy: origin\n< x-frame-options: DENY",
        );
        check(&format!("{{ {ONLY_FRAMES}, frame_options: DENY }}"), "GET /x", "502", "< 502\n< x-frame-options: DENY");
    }

    #[test]
    fn a_content_security_policy_is_sent_as_it_is_written() {
        check(
            &format!(r#"{{ {ONLY_FRAMES}, frame_options: none, content_security_policy: "default-src 'self'" }}"#),
            "GET /x",
            "200\nContent-Security-Policy: default-src *",
            "< 200\n< content-security-policy: default-src 'self'",
        );
    }

    #[test]
    fn hsts_is_said_over_tls_only() {
        let options =
            format!("{{ {ONLY_FRAMES}, frame_options: none, hsts: {{ max_age: 24h, include_subdomains: true }} }}");
        let said = "< 200\n< strict-transport-security: max-age=86400; includeSubDomains";
        check(&options, "GET https://a.example/x", "200", said);
        check(&options, "GET http://a.example/x", "200", "< 200");
        let short = options.replace(", include_subdomains: true", "");
        check(&short, "GET https://a.example/x", "200", "< 200\n< strict-transport-security: max-age=86400");
    }

    #[test]
    fn words_that_no_browser_knows_are_refused() {
        check_problems(
            "{ frame_options: SAMEORIGN }",
            "1:18 expected `DENY` or `SAMEORIGIN` or `none`, found `SAMEORIGN` (did you mean `SAMEORIGIN`?)",
        );
        check_problems("{ hsts: { include_subdomains: true } }", "1:9 missing key `max_age`");
        check_problems(
            "{ content_security_policy: none }",
            "1:1 security_headers: `content_security_policy: none` does nothing: leave it out",
        );
        check_problems(
            &format!("{{ {ONLY_FRAMES}, frame_options: none }}"),
            "1:1 security_headers: every header is switched off: leave the filter out",
        );
    }
}
