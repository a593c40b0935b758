//! `/status`: what runs here, on one page of JSON. It says what an operator would ask the process for: which file, which services, who
//! is in. Addresses of peers are those that metrics show; no value of a variable is on it otherwise, no key, and nothing of a request.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::watch;

use crate::telemetry::Time;

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct Process {
    pub started: SystemTime,
    /// Where clients come in.
    pub listeners: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub sessions: Sessions,
    /// By name, those that a file may use.
    pub filters: Vec<&'static str>,
}

/// Where sessions are kept; which Redis it is, and how it is entered, is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sessions {
    Memory,
    Redis,
}

/// What became of the file since the start. Whoever reloads writes, `/status` reads.
#[derive(Clone, Copy, Debug)]
pub struct Reloads {
    /// When the running table came.
    pub loaded: SystemTime,
    /// What the last reload came to, if there was one.
    pub last: Option<(SystemTime, Outcome)>,
}

/// What a reload came to. What was wrong with a file that was refused is in the log, and in the answer of `POST /reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Loaded,
    Refused,
}

impl Reloads {
    /// The start of a process: its table has just been loaded.
    pub fn channel(started: SystemTime) -> (watch::Sender<Reloads>, watch::Receiver<Reloads>) {
        watch::channel(Reloads { loaded: started, last: None })
    }

    pub fn note(&mut self, at: SystemTime, outcome: Outcome) {
        if outcome == Outcome::Loaded {
            self.loaded = at;
        }
        self.last = Some((at, outcome));
    }
}

/// What moves, as it is found when it is asked for.
#[derive(Debug)]
pub struct Now {
    pub time: SystemTime,
    pub draining: bool,
    pub hash: String,
    pub routes: usize,
    pub connections: i64,
    pub in_flight: i64,
    pub services: Vec<Service>,
}

#[derive(Debug, Serialize)]
pub struct Service {
    pub name: String,
    pub peers: Vec<Peer>,
}

#[derive(Debug, Serialize)]
pub struct Peer {
    pub address: String,
    /// Whether requests are sent to it.
    pub up: bool,
    pub state: &'static str,
    pub in_flight: u64,
}

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    started: Time,
    uptime_seconds: u64,
    draining: bool,
    table: Table<'a>,
    last_reload: Option<Reload>,
    listeners: &'a [SocketAddr],
    admin: SocketAddr,
    connections: i64,
    requests_in_flight: i64,
    sessions: Sessions,
    services: &'a [Service],
    filters: &'a [&'static str],
}

#[derive(Serialize)]
struct Table<'a> {
    hash: &'a str,
    routes: usize,
    loaded: Time,
}

#[derive(Serialize)]
struct Reload {
    at: Time,
    result: Outcome,
}

/// The page, from what is known.
pub fn text(process: &Process, reloads: Reloads, now: &Now) -> String {
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        started: Time(process.started),
        // A clock that was set back makes no negative time.
        uptime_seconds: now.time.duration_since(process.started).unwrap_or(Duration::ZERO).as_secs(),
        draining: now.draining,
        table: Table { hash: &now.hash, routes: now.routes, loaded: Time(reloads.loaded) },
        last_reload: reloads.last.map(|(at, result)| Reload { at: Time(at), result }),
        listeners: &process.listeners,
        admin: process.admin,
        connections: now.connections,
        requests_in_flight: now.in_flight,
        sessions: process.sessions,
        services: &now.services,
        filters: &process.filters,
    };
    let mut text = serde_json::to_string_pretty(&status).expect("names, numbers and times are JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        std::time::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn process() -> Process {
        Process {
            started: at(1_795_489_044),
            listeners: vec![([127, 0, 0, 1], 5000).into()],
            admin: ([127, 0, 0, 1], 9901).into(),
            sessions: Sessions::Redis,
            filters: vec!["cors"],
        }
    }

    fn now(seconds: u64) -> Now {
        let peer = Peer { address: "127.0.0.1:8004".into(), up: false, state: "ejected", in_flight: 2 };
        Now {
            time: at(seconds),
            draining: false,
            hash: "0a1b2c3d4e5f".into(),
            routes: 3,
            connections: 7,
            in_flight: 2,
            services: vec![Service { name: "patients".into(), peers: vec![peer] }],
        }
    }

    #[test]
    fn everything_that_is_known_is_on_the_page() {
        let (told, _) = Reloads::channel(at(1_795_489_044));
        told.send_modify(|reloads| reloads.note(at(1_795_489_050), Outcome::Loaded));
        told.send_modify(|reloads| reloads.note(at(1_795_489_060), Outcome::Refused));
        let text = text(&process(), *told.borrow(), &now(1_795_489_104));
        let expected = r#"{
  "version": "VERSION",
  "started": "2026-11-24T02:57:24.000Z",
  "uptime_seconds": 60,
  "draining": false,
  "table": {
    "hash": "0a1b2c3d4e5f",
    "routes": 3,
    "loaded": "2026-11-24T02:57:30.000Z"
  },
  "last_reload": {
    "at": "2026-11-24T02:57:40.000Z",
    "result": "refused"
  },
  "listeners": [
    "127.0.0.1:5000"
  ],
  "admin": "127.0.0.1:9901",
  "connections": 7,
  "requests_in_flight": 2,
  "sessions": "redis",
  "services": [
    {
      "name": "patients",
      "peers": [
        {
          "address": "127.0.0.1:8004",
          "up": false,
          "state": "ejected",
          "in_flight": 2
        }
      ]
    }
  ],
  "filters": [
    "cors"
  ]
}
"#;
        assert_eq!(text, expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn before_the_first_reload_and_after_a_clock_was_set_back_the_page_is_whole() {
        let (told, _) = Reloads::channel(at(1_795_489_044));
        let page: serde_json::Value =
            serde_json::from_str(&text(&process(), *told.borrow(), &now(1_795_489_000))).unwrap();
        assert_eq!((&page["last_reload"], page["uptime_seconds"].as_u64()), (&serde_json::Value::Null, Some(0)));
        assert_eq!(page["table"]["loaded"], page["started"]);
    }
}
