//! `admin:` as it is written: where operators and Prometheus come in, and what they show when they come from elsewhere.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use hilum_filters::api::{Kind, Node, Placed, Problem};
use schemars::JsonSchema;
use serde::Deserialize;

use super::conf::Address;
use super::env;

/// The admin listener.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// `127.0.0.1:9901` by default. One that other machines reach needs a `token`.
    pub address: Placed<Address>,
    /// At least 32 bytes, from a variable: `"${HILUM_ADMIN_TOKEN}"`. With it, everything but `/health/live` and `/health/ready`
    /// asks for `Authorization: Bearer` and it. An empty variable is no token.
    #[serde(default)]
    pub token: Option<Node>,
}

/// What operators and Prometheus show. Not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

/// From this many bytes on nobody guesses it.
const STRONG: usize = 32;

const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

impl AdminToken {
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

impl Admin {
    /// Where it listens, given what the file says.
    pub fn address(admin: Option<&Admin>) -> SocketAddr {
        admin.map_or(DEFAULT, |admin| admin.address.value.0)
    }

    /// The token, unless there is none.
    pub fn token(&self) -> Option<AdminToken> {
        token(self.token.as_ref()?).ok()?
    }

    /// Tells what can't be.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let token = self.token.as_ref().map_or(Ok(None), token);
        match token {
            Err(problem) => problems.push(problem),
            Ok(None) if !self.address.value.0.ip().is_loopback() => {
                let text = "an admin listener that other machines reach needs a token";
                let help = "write token: \"${HILUM_ADMIN_TOKEN}\" beside it and set the variable, or listen on \"127.0.0.1:9901\"";
                problems.push(Problem::new(self.address.at, text).help(help));
            }
            Ok(_) => {}
        }
    }
}

/// A token comes from the environment. One that stands in the file is in every backup and every diff of it.
fn token(node: &Node) -> Result<Option<AdminToken>, Problem> {
    let text = match &node.kind {
        Kind::Scalar { text, .. } if env::comes_from_variables(node) => text,
        Kind::Scalar { .. } => {
            return Err(Problem::new(node.at, "the token of operators is written in the file")
                .help("let it come from a variable: \"${HILUM_ADMIN_TOKEN}\""));
        }
        _ => return Err(Problem::new(node.at, "expected a token, from a variable: \"${HILUM_ADMIN_TOKEN}\"")),
    };
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        let problem = Problem::new(node.at, "the token of operators holds what no header can carry");
        return Err(problem.help("use letters, digits and signs, without spaces: `openssl rand -hex 32`"));
    }
    if text.len() < STRONG {
        let why = format!("the token of operators has {} bytes and can be guessed: use at least {STRONG}", text.len());
        return Err(Problem::new(node.at, why).help("`openssl rand -hex 32` makes a good one"));
    }
    Ok(Some(AdminToken(text.clone())))
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, conf, env, yaml};

    const GOOD: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn who_comes_from_elsewhere_needs_a_good_token_from_a_variable() {
        let variables = [
            ("GOOD", GOOD),
            ("SHORT", "0123456789abcdef0123456789abcde"),
            ("SPACED", "0123456789abcdef 0123456789abcdef"),
            ("EMPTY", ""),
        ];
        let cases = [
            ("address: \"127.0.0.1:1\"", Ok(false)),
            ("address: \"[::1]:1\", token: \"${EMPTY:-}\"", Ok(false)),
            ("address: \"127.0.0.1:1\", token: \"${GOOD}\"", Ok(true)),
            ("address: \"0.0.0.0:1\", token: \"${GOOD}\"", Ok(true)),
            ("address: \"0.0.0.0:1\"", Err("3:19 an admin listener that other machines reach needs a token")),
            ("address: \"10.0.0.1:1\", token: \"${EMPTY:-}\"", Err("3:19 an admin listener that other")),
            ("address: \"127.0.0.1:1\", token: \"${SHORT}\"", Err("3:41 the token of operators has 31 bytes")),
            ("address: \"127.0.0.1:1\", token: \"${SPACED}\"", Err("3:41 the token of operators holds what no header")),
            ("address: \"127.0.0.1:1\", token: written-in-the-file", Err("3:41 the token of operators is written")),
            (
                "address: \"127.0.0.1:1\", token: \"${NONE:-0123456789abcdef0123456789abcdef}\"",
                Err("3:41 the token of operators is written"),
            ),
            ("address: \"127.0.0.1:1\", token: [a]", Err("3:41 expected a token")),
        ];
        for (written, expected) in cases {
            let text = format!("version: 1\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ {written} }}\n");
            let mut problems = Vec::new();
            let mut node = yaml::parse(&text).expect("YAML");
            env::expand(&mut node, &Environment::of(&variables), &mut problems);
            let conf = conf::read(&node, &mut problems).expect("a conf");
            let told: Vec<_> = problems.iter().map(|p| format!("{}:{} {}", p.at.line, p.at.col, p.message)).collect();
            match expected {
                Ok(there) => {
                    assert_eq!((told.as_slice(), conf.admin_token().is_some()), ([].as_slice(), there), "{text}")
                }
                Err(start) => assert!(told.len() == 1 && told[0].starts_with(start), "{text}{told:?}"),
            }
            assert!(
                !told.iter().any(|told| told.contains(GOOD)) && !format!("{:?}", conf.admin_token()).contains(GOOD)
            );
        }
    }
}
