//! `conf/hilum.yaml`: what needs a restart.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use hilum_filters::api::{At, LineOrMap, Node, Placed, Problem, Try};
use hilum_filters::units::{Network, Span};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::admin::{Admin, AdminToken};
use super::audit::AuditLog;
use super::connections::Connections;
use super::routes::Version;
use super::sessions::{self, SessionsLine, SharedSessions};
use super::tls::{self, Certificates, ToHttps};
use super::upgrade::Upgrade;
use crate::identity::redis::RedisOptions;

/// The file as it is written. Everything but `version` and `listeners` has a default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conf {
    #[allow(dead_code, reason = "that it can be read is all there is to know")]
    pub version: Version,
    /// Where clients come in.
    pub listeners: Placed<Vec<Try<Listener>>>,
    /// Where operators and Prometheus come in.
    #[serde(default)]
    pub admin: Try<Admin>,
    /// Where sessions and the counts of `rate` are kept: `memory`, the URL of a Redis that gateways share, or
    /// `{ redis: URL, timeout: 200ms }`. Default memory.
    #[serde(default)]
    pub sessions: Option<Try<LineOrMap<SessionsLine, SharedSessions>>>,
    /// Networks whose `X-Forwarded-*` headers are believed and that may speak the PROXY protocol. They are exempt from
    /// `connections.per_client`.
    #[serde(default)]
    pub trusted_proxies: Vec<Try<Placed<Network>>>,
    /// Worker threads: `auto` is one per core.
    #[serde(default)]
    pub threads: Try<Threads>,
    #[serde(default)]
    pub connections: Try<Connections>,
    #[serde(default)]
    pub log: Try<Log>,
    /// How the audit log is kept: `{ file: PATH, key: "${HILUM_AUDIT_KEY}" }`. Without it there is none.
    #[serde(default)]
    pub audit: Option<Try<AuditLog>>,
    /// How a new binary takes over without a lost request: `{ socket: PATH, within: 30s }`. Without it there are no upgrades.
    #[serde(default)]
    pub upgrade: Option<Try<Upgrade>>,
    /// How long requests in flight may take to finish after SIGTERM. Default 30s.
    #[serde(default)]
    pub drain: Option<Try<Span>>,
}

/// One address that clients connect to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `address:port`; port 0 lets the system choose.
    pub address: Placed<Address>,
    /// Each connection begins with a header of the PROXY protocol, version 1 or 2, which names the client. Only `trusted_proxies`
    /// may connect. Default false.
    #[serde(default)]
    pub proxy_protocol: Option<Try<Placed<bool>>>,
    /// `{ cert: FILE, key: FILE }`, or a list of them: clients come over TLS. Files that change are taken without a restart.
    #[serde(default)]
    pub tls: Option<Certificates>,
    /// Whether clients may speak HTTP/2, over TLS. Default true.
    #[serde(default)]
    pub http2: Option<Try<Placed<bool>>>,
    /// PEM: only clients with a certificate that one of these has signed may connect. Relative to this file.
    #[serde(default)]
    pub client_ca: Option<Try<Placed<FileName>>>,
    /// Browsers are told to come over TLS only, for so long (RFC 6797). Default: they are told nothing.
    #[serde(default)]
    pub hsts: Option<Try<Placed<Span>>>,
    /// Without `tls`: every request is sent to https, on port 443 with `true`, or on this port. Default false.
    #[serde(default)]
    pub redirect_to_https: Option<Try<Placed<ToHttps>>>,
}

impl Listener {
    /// Where the file asks for the PROXY protocol.
    pub fn proxy_protocol(&self) -> Option<At> {
        let asked = self.proxy_protocol.as_ref()?.0.as_ref()?;
        asked.value.then_some(asked.at)
    }
}

/// A socket address, written as `127.0.0.1:5000` or `[::1]:5000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub SocketAddr);

impl Address {
    /// Whether the system lets only one of the two be listened on: the same, or one of them is every address of the machine.
    fn meets(self, other: Address) -> bool {
        // `[::]` takes IPv4 connections as well.
        let takes = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
        let (a, b) = (self.0.ip(), other.0.ip());
        // Port 0 is another port each time it is asked for.
        self.0.port() != 0 && self.0.port() == other.0.port() && (a == b || takes(a, b) || takes(b, a))
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Address).map_err(|_| format!("expected an address such as `127.0.0.1:5000`, found `{text}`"))
    }
}

/// Worker threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    #[default]
    Auto,
    Exactly(usize),
}

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Threads::Auto),
            (_, Ok(n @ 1..=1024)) => Ok(Threads::Exactly(n)),
            _ => Err(format!("expected `auto` or a number from 1 to 1024, found `{text}`")),
        }
    }
}

impl Threads {
    pub fn count(self) -> usize {
        match self {
            Threads::Auto => std::thread::available_parallelism().map_or(1, usize::from),
            Threads::Exactly(n) => n,
        }
    }
}

/// What is logged, and where to.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, in any case. Default `info`.
    #[serde(default)]
    pub level: Option<Try<Level>>,
    /// Where the access log goes: `stdout`, `off` or `{ file: PATH }`. Default stdout.
    #[serde(default)]
    pub access: Option<Try<LineOrMap<AccessLine, AccessFile>>>,
}

impl Log {
    pub fn level(&self) -> log::LevelFilter {
        self.level.and_then(|level| level.0).map_or(log::LevelFilter::Info, |level| level.0)
    }

    /// Where the access log goes; the file is relative to this one.
    pub fn access(&self) -> Access<'_> {
        match self.access.as_ref().and_then(|access| access.0.as_ref()) {
            None => Access::Stdout,
            Some(LineOrMap::Line(line)) => match line.value {
                AccessLine::Stdout => Access::Stdout,
                AccessLine::Off => Access::Off,
            },
            Some(LineOrMap::Map(map)) => Access::File(&map.file.0),
        }
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access<'c> {
    Stdout,
    Off,
    File(&'c Path),
}

/// A log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(pub log::LevelFilter);

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = ["error", "warn", "info", "debug", "trace"];
        let lower = text.to_ascii_lowercase();
        // Python's names, which PredictHealth's settings use.
        let name = match lower.as_str() {
            "warning" => "warn",
            "critical" => "error",
            name => name,
        };
        match known.contains(&name).then(|| name.parse().ok()).flatten() {
            Some(level) => Ok(Level(level)),
            None => Err(format!("expected one of {}, found `{text}`", known.join(", "))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLine {
    Stdout,
    Off,
}

impl FromStr for AccessLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdout" => Ok(AccessLine::Stdout),
            "off" => Ok(AccessLine::Off),
            _ => Err(format!("expected `stdout`, `off` or `{{ file: PATH }}`, found `{text}`")),
        }
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessFile {
    /// Relative to this file.
    pub file: FileName,
}

/// The path of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(pub PathBuf);

impl FromStr for FileName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.is_empty() || text.ends_with('/') {
            true => Err(format!("expected the path of a file, found `{text}`")),
            false => Ok(FileName(text.into())),
        }
    }
}

/// Each of these is written as one plain text, so the reader and the schema need no more than `FromStr`.
macro_rules! written_as_text {
    ($($name:ident),+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema { schemars::json_schema!({ "type": ["string", "integer"] }) }
        }
    )+};
}
pub(crate) use written_as_text;

written_as_text!(Address, Threads, Level, FileName);

/// Reads the file and checks what its values mean together.
pub fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Conf> {
    let conf: Conf = node.read(problems)?;
    if conf.listeners.value.is_empty() {
        problems.push(Problem::new(conf.listeners.at, "there is no listener, so no client could connect"));
    }
    let listeners = conf.listeners.value.iter().filter_map(|l| l.0.as_ref()).map(|l| &l.address);
    let mut seen: Vec<&Placed<Address>> = Vec::new();
    for listener in listeners {
        if let Some(other) = seen.iter().find(|other| other.value.meets(listener.value)) {
            let text = match other.value == listener.value {
                true => format!("{} is listened on twice", listener.value.0),
                false => format!("{} and {} can't both be listened on", other.value.0, listener.value.0),
            };
            problems.push(Problem::new(listener.at, text));
        }
        seen.push(listener);
    }
    if let Some(audit) = conf.audit() {
        audit.check(problems);
    }
    let asked = conf.listeners.value.iter().filter_map(|listener| listener.0.as_ref()?.proxy_protocol());
    for at in asked.filter(|_| conf.trusted_proxies.is_empty()) {
        let text = "only `trusted_proxies` may speak the PROXY protocol and there are none, so nobody could connect";
        problems.push(Problem::new(at, text).help("name the networks of the proxies in front of this listener there"));
    }
    conf.listeners.value.iter().filter_map(|l| l.0.as_ref()).for_each(|listener| tls::check(listener, problems));
    let admin = conf.admin.0.as_ref();
    if let Some(admin) = admin {
        admin.check(problems);
    }
    if let Some(taken) = seen.iter().find(|listener| listener.value.meets(Address(conf.admin()))) {
        let (at, what) = match admin {
            Some(admin) => (admin.address.at, "the admin listener"),
            None => (taken.at, "the admin listener, which is there by default,"),
        };
        let text = format!("{} is for clients already, and {what} is on {}", taken.value.0, conf.admin());
        problems.push(Problem::new(at, text).help("give one of them another port"));
    }
    Some(conf)
}

impl Conf {
    /// The listeners in order.
    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.value.iter().filter_map(|l| l.0.as_ref())
    }

    /// The Redis in which sessions are kept; `None`: in memory.
    pub fn redis(&self) -> Option<RedisOptions> {
        sessions::redis(self.sessions.as_ref()?.0.as_ref()?)
    }

    /// The address of the admin listener. Default 127.0.0.1:9901.
    pub fn admin(&self) -> SocketAddr {
        Admin::address(self.admin.0.as_ref())
    }

    /// What operators show, if they must.
    pub fn admin_token(&self) -> Option<AdminToken> {
        self.admin.0.as_ref()?.token()
    }

    pub fn trusted_proxies(&self) -> Vec<IpNet> {
        self.trusted_proxies.iter().filter_map(|n| n.0.as_ref()).map(|n| n.value.0).collect()
    }

    pub fn threads(&self) -> usize {
        self.threads.0.unwrap_or_default().count()
    }

    pub fn connections(&self) -> Connections {
        self.connections.0.clone().unwrap_or_default()
    }

    /// How the audit log is kept, if there is one.
    pub fn audit(&self) -> Option<&AuditLog> {
        self.audit.as_ref()?.0.as_ref()
    }

    /// Where a successor comes, and how long it may take until it is ready. `None`: there are no upgrades.
    pub fn upgrade(&self) -> Option<(&Path, Duration)> {
        let upgrade = self.upgrade.as_ref()?.0.as_ref()?;
        Some((upgrade.socket()?, upgrade.within()))
    }

    pub fn log(&self) -> Log {
        self.log.0.clone().unwrap_or_default()
    }

    pub fn drain(&self) -> Duration {
        self.drain.as_ref().and_then(|d| d.0).map_or(Duration::from_secs(30), Span::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    /// The problems of a file, a line each.
    fn problems(text: &str) -> String {
        let mut problems = Vec::new();
        read(&yaml::parse(text).expect("YAML"), &mut problems);
        problems.iter().map(|p| format!("{}:{} {}\n", p.at.line, p.at.col, p.message)).collect()
    }

    #[test]
    fn two_listeners_that_the_system_would_not_let_be_are_a_problem() {
        let cases = [
            (&["127.0.0.1:5000", "127.0.0.1:5001"][..], None, ""),
            (&["127.0.0.1:0", "127.0.0.1:0"], None, ""),
            (&["127.0.0.1:5000", "127.0.0.2:5000"], None, ""),
            (&["0.0.0.0:5000", "[::1]:5000"], None, ""),
            (&["127.0.0.1:5000", "127.0.0.1:5000"], None, "4:14 127.0.0.1:5000 is listened on twice"),
            (&["0.0.0.0:5000", "127.0.0.1:5000"], None, "4:14 0.0.0.0:5000 and 127.0.0.1:5000 can't both"),
            (&["127.0.0.1:5000", "[::]:5000"], None, "4:14 127.0.0.1:5000 and [::]:5000 can't both"),
            (&["0.0.0.0:9901"], None, "3:14 0.0.0.0:9901 is for clients already, and the admin listener, which is"),
            (&["0.0.0.0:5000"], Some("127.0.0.1:5000"), "4:19 0.0.0.0:5000 is for clients already"),
            (&["0.0.0.0:9901"], Some("127.0.0.1:9902"), ""),
            (&["127.0.0.1:5000"], Some("0.0.0.0:9901"), "4:19 an admin listener that other machines reach"),
        ];
        for (listeners, admin, expected) in cases {
            let mut text = "version: 1\nlisteners:\n".to_owned();
            listeners.iter().for_each(|address| text += &format!("  - address: \"{address}\"\n"));
            admin.into_iter().for_each(|address| text += &format!("admin: {{ address: \"{address}\" }}\n"));
            let got = problems(&text);
            let lines = usize::from(!expected.is_empty());
            assert!(got.starts_with(expected) && got.lines().count() == lines, "{text}{got}");
        }
    }

    #[test]
    fn the_proxy_protocol_is_for_proxies_that_are_named() {
        let nobody = "2:55 only `trusted_proxies` may speak";
        let cases = [
            ("true", "", nobody),
            ("true", "trusted_proxies: []", nobody),
            ("true", "trusted_proxies: [10.0.0.0/8]", ""),
            ("false", "", ""),
            ("maybe", "trusted_proxies: [10.0.0.0/8]", "2:55 expected"),
        ];
        for (value, more, expected) in cases {
            let text =
                format!("version: 1\nlisteners: [{{ address: \"127.0.0.1:0\", proxy_protocol: {value} }}]\n{more}\n");
            let got = problems(&text);
            let lines = usize::from(!expected.is_empty());
            assert!(got.starts_with(expected) && got.lines().count() == lines, "{text}{got}");
        }
    }

    #[test]
    fn every_value_that_can_not_be_is_told() {
        let cases = [
            ("connections: { header: 0s, idle: 0ms }", &["3:24 with 0s nothing", "3:34 with 0ms nothing"][..]),
            ("connections: { stall: 0s, total: 0 }", &["3:23 with 0s nothing", "3:34 expected a number, 1 or more"]),
            ("connections: { per_client: none, requests: -1 }", &["3:28 expected a number", "3:44 expected a number"]),
            ("connections: { header: 1, idle: soon }", &["3:24 expected a duration", "3:33 expected a duration"]),
            ("log: { level: loud, access: stdin }", &["3:15 expected one of", "3:29 expected `stdout`"]),
            ("log: { access: { file: \"\" } }", &["3:24 expected the path of a file"]),
            ("log: { access: { file: logs/ } }", &["3:24 expected the path of a file, found `logs/`"]),
            ("drain: 0s", &[]),
            ("connections: { total: 1, per_client: 1, requests: 1, stall: 1ms }", &[]),
        ];
        for (more, expected) in cases {
            let got = problems(&format!("version: 1\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\n{more}\n"));
            let told: Vec<_> = got.lines().collect();
            let fit = told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
            assert!(fit && told.len() == expected.len(), "{more}: {told:?}");
        }
    }
}
