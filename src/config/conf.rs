//! `conf/hilum.yaml`: what needs a restart.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hilum_filters::api::{LineOrMap, Node, Placed, Problem, Try};
use hilum_filters::units::Span;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::routes::Version;

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
    /// Where sessions are kept: `memory`.
    #[serde(default)]
    pub sessions: Option<Try<Placed<Sessions>>>,
    /// Networks whose `X-Forwarded-*` headers are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<Try<Placed<Network>>>,
    /// Worker threads: `auto` is one per core.
    #[serde(default)]
    pub threads: Try<Threads>,
    #[serde(default)]
    pub connections: Try<Connections>,
    #[serde(default)]
    pub log: Try<Log>,
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
}

/// The admin listener. It is only served on loopback addresses.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    pub address: Placed<Address>,
}

/// A socket address, written as `127.0.0.1:5000` or `[::1]:5000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Address).map_err(|_| format!("expected an address such as `127.0.0.1:5000`, found `{text}`"))
    }
}

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
        net.map(Network).ok_or_else(|| format!("expected a network such as `10.0.0.0/8`, found `{text}`"))
    }
}

/// Where sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    Memory,
}

impl FromStr for Sessions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Sessions::Memory),
            // The value may be a URL with a password: it is not repeated.
            _ => Err("sessions are kept in `memory`; no other store is known".to_owned()),
        }
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

/// Deadlines of a client's connection.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// From the first byte of a request head to its last. Default 10s.
    #[serde(default)]
    pub header: Option<Span>,
    /// Without a request, before the first one and between two. Default 60s.
    #[serde(default)]
    pub idle: Option<Span>,
}

impl Connections {
    pub fn header(&self) -> Duration {
        self.header.map_or(Duration::from_secs(10), Span::get)
    }

    pub fn idle(&self) -> Duration {
        self.idle.map_or(Duration::from_secs(60), Span::get)
    }
}

/// What is logged, and where to.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, in any case. Default `info`.
    #[serde(default)]
    pub level: Option<Placed<Level>>,
    /// Where the access log goes: `stdout`, `off` or `{ file: PATH }`. Default stdout.
    #[serde(default)]
    pub access: Option<LineOrMap<AccessLine, AccessFile>>,
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
    pub file: PathBuf,
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

written_as_text!(Address, Network, Sessions, Threads, Level);

/// Reads the file and checks what its values mean together.
pub fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<Conf> {
    let conf: Conf = node.read(problems)?;
    if conf.listeners.value.is_empty() {
        problems.push(Problem::new(conf.listeners.at, "there is no listener, so no client could connect"));
    }
    let mut seen: Vec<Address> = Vec::new();
    for listener in conf.listeners.value.iter().filter_map(|l| l.0.as_ref()) {
        // Port 0 is another port each time it is asked for.
        if listener.address.value.0.port() != 0 && seen.contains(&listener.address.value) {
            problems
                .push(Problem::new(listener.address.at, format!("{} is listened on twice", listener.address.value.0)));
        }
        seen.push(listener.address.value);
    }
    if let Some(admin) = &conf.admin.0 {
        let address = admin.address.value.0;
        if !address.ip().is_loopback() {
            let problem = Problem::new(admin.address.at, "the admin listener is served on loopback addresses only")
                .help("write \"127.0.0.1:9901\", and let a proxy on this machine ask for a password");
            problems.push(problem);
        }
        if address.port() != 0 && seen.contains(&admin.address.value) {
            problems.push(Problem::new(admin.address.at, format!("{address} is listened on for clients already")));
        }
    }
    Some(conf)
}

impl Conf {
    /// The listeners in order.
    pub fn listeners(&self) -> Vec<SocketAddr> {
        self.listeners.value.iter().filter_map(|l| l.0.as_ref()).map(|l| l.address.value.0).collect()
    }

    /// Where sessions are kept.
    pub fn sessions(&self) -> Sessions {
        self.sessions.as_ref().and_then(|s| s.0.as_ref()).map_or(Sessions::Memory, |s| s.value)
    }

    /// The address of the admin listener. Default 127.0.0.1:9901.
    pub fn admin(&self) -> SocketAddr {
        self.admin.0.as_ref().map_or(SocketAddr::from(([127, 0, 0, 1], 9901)), |a| a.address.value.0)
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

    pub fn log(&self) -> Log {
        self.log.0.clone().unwrap_or_default()
    }

    pub fn drain(&self) -> Duration {
        self.drain.as_ref().and_then(|d| d.0).map_or(Duration::from_secs(30), Span::get)
    }
}
