//! What a listener says about TLS: certificates, HTTP/2, whose clients may come, and how those without TLS are sent to it.

use std::str::FromStr;

use hilum_filters::api::{At, Kind, Node, Placed, Problem};
use hilum_filters::units::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::conf::{FileName, Listener};

/// A certificate as a server shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// PEM: the certificate, and after it those between it and a root that clients know. Relative to this file.
    pub cert: Placed<FileName>,
    /// PEM: its private key. Relative to this file.
    pub key: Placed<FileName>,
}

/// One certificate, or a list of them: a client is shown the one with the name that it asks for, else the first.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Certificates(Node);

/// Where requests without TLS are sent: `true` is port 443.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToHttps(pub Option<u16>);

impl Certificates {
    pub fn read(&self, problems: &mut Vec<Problem>) -> Vec<Certificate> {
        match &self.0.kind {
            Kind::List(nodes) if nodes.is_empty() => {
                let text = "there is no certificate, so no client could connect";
                problems.push(Problem::new(self.0.at, text).help("write `tls: { cert: FILE, key: FILE }`"));
                Vec::new()
            }
            Kind::List(nodes) => nodes.iter().filter_map(|node| node.read(problems)).collect(),
            _ => self.0.read(problems).into_iter().collect(),
        }
    }
}

impl JsonSchema for Certificates {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "certificates".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Certificate>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

impl FromStr for ToHttps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("true", _) => Ok(ToHttps(Some(443))),
            ("false", _) => Ok(ToHttps(None)),
            (_, Ok(port @ 1..)) => Ok(ToHttps(Some(port))),
            _ => Err(format!("expected `true` or the port of the listener with TLS, found `{text}`")),
        }
    }
}

impl<'de> Deserialize<'de> for ToHttps {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ToHttps {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "to_https".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, { "type": "integer", "minimum": 1, "maximum": 65535 }] })
    }
}

/// Tells what has no effect on this listener, and certificates that can't be read.
pub(super) fn check(listener: &Listener, problems: &mut Vec<Problem>) {
    if let Some(tls) = &listener.tls {
        tls.read(problems);
        if let Some(to) = listener.redirect_to_https() {
            let text = "a listener with `tls` has nothing to send to https";
            problems.push(Problem::new(to.at, text).help("say it of the listener without `tls`"));
        }
        return;
    }
    let at = |of: &Option<hilum_filters::api::Try<Placed<bool>>>| of.as_ref()?.0.as_ref().map(|it| it.at);
    let without_effect: [(&str, Option<At>); 3] = [
        ("http2", at(&listener.http2)),
        ("client_ca", listener.client_ca().map(|file| file.at)),
        ("hsts", listener.hsts.as_ref().and_then(|hsts| hsts.0.as_ref()).map(|hsts| hsts.at)),
    ];
    for (key, at) in without_effect.into_iter().filter_map(|(key, at)| at.map(|at| (key, at))) {
        let text = format!("without `tls` on the same listener, `{key}` has no effect");
        problems.push(Problem::new(at, text).help("add `tls: { cert: FILE, key: FILE }`, or remove it"));
    }
}

impl Listener {
    /// HTTP/2 is offered wherever there is TLS, unless the file says no.
    pub fn http2(&self) -> bool {
        self.http2.as_ref().and_then(|it| it.0.as_ref()).is_none_or(|it| it.value)
    }

    pub fn client_ca(&self) -> Option<&Placed<FileName>> {
        self.client_ca.as_ref()?.0.as_ref()
    }

    pub fn hsts(&self) -> Option<Span> {
        self.hsts.as_ref()?.0.as_ref().map(|hsts| hsts.value)
    }

    pub fn redirect_to_https(&self) -> Option<Placed<u16>> {
        let to = self.redirect_to_https.as_ref()?.0.as_ref()?;
        to.value.0.map(|value| Placed { at: to.at, value })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{conf, yaml};

    /// Columns count from the listener's own text.
    #[track_caller]
    fn check(listener: &str, expected: &[&str]) {
        let text = format!("version: 1\nlisteners: [{{ address: \"127.0.0.1:0\", {listener} }}]\n");
        let mut problems = Vec::new();
        conf::read(&yaml::parse(&text).expect("YAML"), &mut problems);
        let told: Vec<_> = problems.iter().map(|p| format!("{} {}", p.at.col - 38, p.message)).collect();
        let fit = told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
        assert!(fit && told.len() == expected.len(), "{listener}: {told:?}");
    }

    #[test]
    fn what_a_listener_says_of_tls_has_an_effect_or_is_a_problem() {
        check("tls: { cert: a.pem, key: a.key }, http2: false, client_ca: ca.pem, hsts: 24h", &[]);
        check("tls: [{ cert: a.pem, key: a.key }, { cert: b.pem, key: b.key }]", &[]);
        check("redirect_to_https: true", &[]);
        check("redirect_to_https: 8443", &[]);
        check("redirect_to_https: false, tls: { cert: a, key: b }", &[]);
        check("redirect_to_https: true, tls: { cert: a, key: b }", &["20 a listener with `tls` has nothing"]);
        check("redirect_to_https: 0", &["20 expected `true` or the port"]);
        check("redirect_to_https: https", &["20 expected `true` or the port"]);
        check("http2: true", &["8 without `tls` on the same listener, `http2` has no effect"]);
        check("client_ca: a, hsts: 1h", &["12 without `tls`", "21 without `tls`"]);
        check("tls: []", &["6 there is no certificate"]);
        check("tls: { cert: a }", &["6 missing"]);
        check("tls: { cert: a, key: \"\" }", &["22 expected the path of a file"]);
        check("tls: [{ cert: a, key: b, chain: c }]", &["26 unknown key"]);
        check("tls: \"\"", &["6 expected"]);
        check("tls: { cert: a, key: b }, hsts: often", &["33 expected a duration"]);
    }
}
