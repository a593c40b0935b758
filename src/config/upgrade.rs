//! `upgrade:` as it is written: where a running gateway and its successor meet.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use hilum_filters::api::Try;
use hilum_filters::units::{Positive, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use super::conf::written_as_text;

/// How a new binary takes over from the one that runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// A Unix socket, relative to this file, in a folder of mode 0700 that belongs to the user of the gateway; it is made where it
    /// is missing. Empty: there are no upgrades.
    pub socket: SocketName,
    /// How long a successor may take until it is ready. Default 30s.
    #[serde(default)]
    pub within: Option<Try<Positive<Span>>>,
}

/// The path of a Unix socket, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketName(Option<PathBuf>);

/// A name that is longer does not fit into an address, once the number of a process is behind it.
const LONGEST: usize = 96;
const WITHIN: Duration = Duration::from_secs(30);

impl FromStr for SocketName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(SocketName(None)),
            _ if text.ends_with('/') => Err(format!("expected the path of a Unix socket, found `{text}`")),
            _ if text.len() > LONGEST => {
                Err(format!("a Unix socket can't have a name of {} bytes: use at most {LONGEST}", text.len()))
            }
            _ => Ok(SocketName(Some(text.into()))),
        }
    }
}

written_as_text!(SocketName);

impl Upgrade {
    /// `None`: it was left empty.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.0.as_deref()
    }

    pub fn within(&self) -> Duration {
        self.within.and_then(|span| span.0).map_or(WITHIN, |span| span.get())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, conf, env, yaml};

    /// Where they meet and how long the successor may take, or the problems.
    fn read(upgrade: &str, variables: &[(&str, &str)]) -> String {
        let text = format!("version: 1\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\nupgrade: {upgrade}\n");
        let (mut node, mut problems) = (yaml::parse(&text).expect("YAML"), Vec::new());
        env::expand(&mut node, &Environment::of(variables), &mut problems);
        let conf = conf::read(&node, &mut problems);
        let problems: Vec<_> = problems.iter().map(|p| format!("{}:{} {}", p.at.line, p.at.col, p.message)).collect();
        match conf {
            Some(conf) if problems.is_empty() => match conf.upgrade() {
                Some((socket, within)) => format!("{} {within:?}", socket.display()),
                None => "none".to_owned(),
            },
            _ => problems.join("\n"),
        }
    }

    #[test]
    fn a_socket_and_a_time_are_all_there_is() {
        let long = format!("{{ socket: {} }}", "s".repeat(97));
        for (upgrade, expected) in [
            ("{ socket: run/s }", "run/s 30s"),
            ("{ socket: /run/hilum/s, within: 5s }", "/run/hilum/s 5s"),
            ("{ socket: \"\" }", "none"),
            ("{ socket: \"${SOCKET:-}\", within: 5s }", "none"),
            ("{ socket: run/ }", "3:20 expected the path of a Unix socket, found `run/`"),
            ("{ socket: s, within: 0s }", "3:31 with 0s nothing would ever succeed here"),
            (long.as_str(), "3:20 a Unix socket can't have a name of 97 bytes: use at most 96"),
        ] {
            let got = read(upgrade, &[]);
            assert!(got.starts_with(expected), "{upgrade}: {got}");
        }
        assert_eq!(read("{ socket: \"${SOCKET:-}\" }", &[("SOCKET", "../run/s")]), "../run/s 30s");
    }
}
