//! Lets only clients from known networks in.

use http::StatusCode;
use ipnet::IpNet;
use pingora_error::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::{Env, Exchange, Filter, Flow, Phases, Reply};
use crate::units::Network;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ip_allow")]
pub(crate) struct Config {
    /// Addresses and networks that may call; everybody else is refused with 403.
    allow: Vec<Network>,
}

pub(crate) struct IpAllow {
    allow: Vec<IpNet>,
}

const DENIED: &str = "ip_denied";

impl Filter for IpAllow {
    const NAME: &'static str = "ip_allow";
    const EXAMPLE: &'static str = r#"ip_allow: { allow: [10.0.0.0/8, "2001:db8::/32", 192.0.2.7] }"#;
    const REASONS: &'static [&'static str] = &[DENIED];
    type Config = Config;
    type State = ();

    fn new(config: Config, _: &Env) -> anyhow::Result<Self> {
        if config.allow.is_empty() {
            anyhow::bail!("`allow` is empty: nobody could call");
        }
        Ok(IpAllow { allow: config.allow.into_iter().map(|network| network.0).collect() })
    }

    fn phases(&self, on: &mut Phases<Self>) {
        on.request(Self::check);
    }
}

impl IpAllow {
    fn check(&self, exchange: Exchange<'_>) -> Result<Flow> {
        // A socket that listens on IPv6 shows IPv4 clients as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
        let client = exchange.facts.client.to_canonical();
        if self.allow.iter().any(|network| network.contains(&client)) {
            return Ok(Flow::Continue);
        }
        Ok(Reply::refuse(StatusCode::FORBIDDEN, DENIED).into())
    }
}

#[cfg(test)]
mod tests {
    use super::IpAllow;
    use crate::testkit;

    fn check(allow: &str, client: &str, allowed: bool) {
        let expected = if allowed { "> GET /x\n< 200" } else { "< 403 ip_denied" };
        testkit::check::<IpAllow>(&format!("{{ allow: {allow} }}"), &format!("GET /x from {client}"), "200", expected);
    }

    #[test]
    fn only_clients_of_the_listed_networks_get_in() {
        check("[10.0.0.0/8, 192.0.2.7]", "10.1.2.3", true);
        check("[10.0.0.0/8, 192.0.2.7]", "192.0.2.7", true);
        check("[10.0.0.0/8, 192.0.2.7]", "192.0.2.8", false);
        check("[10.0.0.0/8]", "11.0.0.0", false);
        check("[10.0.0.0/8]", "2001:db8::1", false);
        check(r#"["2001:db8::/32"]"#, "2001:db8:7::1", true);
        check(r#"["2001:db8::/32"]"#, "2001:db9::1", false);
        check("[0.0.0.0/0]", "203.0.113.9", true);
        check(r#"["::/0"]"#, "2001:db8::1", true);
    }

    #[test]
    fn an_ipv4_mapped_address_is_an_ipv4_address() {
        check("[10.0.0.0/8]", "::ffff:10.1.2.3", true);
        check("[10.0.0.0/8]", "::ffff:11.1.2.3", false);
        check(r#"["::ffff:10.0.0.0/104"]"#, "10.1.2.3", true);
        check(r#"["::ffff:192.0.2.7"]"#, "192.0.2.7", true);
        check(r#"["::ffff:192.0.2.7"]"#, "192.0.2.8", false);
    }

    #[test]
    fn a_variable_may_hold_the_list() {
        let options = testkit::node(r#"{ allow: "${OFFICE}" }"#, &[("OFFICE", "10.0.0.0/8, 192.0.2.7")]);
        let mut problems = Vec::new();
        let link =
            (crate::FILTERS[1].build)(&options, &crate::api::Env::default(), &mut problems).expect("a good list");
        assert_eq!(testkit::run_link(link, "GET /x from 192.0.2.7", "200"), "> GET /x\n< 200");
    }

    #[test]
    fn a_list_that_can_not_be_meant_is_refused() {
        let check = |allow: &str, expected: &str| {
            assert_eq!(testkit::problems::<IpAllow>(&format!("{{ allow: {allow} }}")), expected, "{allow}");
        };
        check("[]", "1:1 ip_allow: `allow` is empty: nobody could call");
        check("[10.0.0]", r#"1:11 expected an address or a network such as "10.0.0.0/8", got "10.0.0""#);
        check("[10.0.0.1/8]", r#"1:11 "10.0.0.1/8" has bits beyond its prefix: write 10.0.0.0/8 or a longer prefix"#);
        check("10.0.0.1", "1:10 expected a list, found text `10.0.0.1`");
    }
}
