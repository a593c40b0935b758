//! Where Redis is: at an address, or wherever its Sentinels say that the master is at the moment.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError, RedisResult, TlsMode};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Made from a URL: `redis://` or `rediss://`, or with Sentinels `redis+sentinel://[user:password@]host:port,host:port/NAME[/database]`.
pub struct Place {
    /// Who it is, as far as is known.
    known: Mutex<Option<Client>>,
    /// Those who know better.
    sentinels: Option<tokio::sync::Mutex<SentinelClient>>,
    doubted: Notify,
}

/// For finding out who is Redis, should the first Sentinels not answer.
const SENTINELS: Duration = Duration::from_secs(5);

fn nobody() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// A URL in parts: enough to make a client, and nothing that connects.
enum Parts {
    At(ConnectionInfo),
    Sentinels { sentinels: Vec<ConnectionInfo>, name: String, redis: ConnectionInfo, tls: bool },
}

const SENTINEL: &str = "+sentinel://";

impl Place {
    /// Says what is wrong with a URL, without repeating it.
    pub(super) fn check(url: &str) -> Result<(), String> {
        parts(url).map(drop)
    }

    pub(super) fn new(url: &str) -> anyhow::Result<Place> {
        let resp3 = |info: ConnectionInfo| {
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
            info.set_redis_settings(settings)
        };
        match parts(url).map_err(anyhow::Error::msg)? {
            Parts::At(info) => {
                let known = Mutex::new(Some(Client::open(resp3(info))?));
                Ok(Place { known, sentinels: None, doubted: Notify::new() })
            }
            Parts::Sentinels { sentinels, name, redis, tls } => {
                let mut node = SentinelNodeConnectionInfo::default()
                    .set_redis_connection_info(resp3(redis).redis_settings().clone());
                if tls {
                    node = node.set_tls_mode(TlsMode::Secure);
                }
                let client = SentinelClient::build(sentinels, name, Some(node), SentinelServerType::Master)?;
                let sentinels = Some(tokio::sync::Mutex::new(client));
                Ok(Place { known: Mutex::default(), sentinels, doubted: Notify::new() })
            }
        }
    }

    /// Who is Redis now. Takes as long as the Sentinels take.
    pub(super) async fn find(self: &Arc<Self>) -> RedisResult<Client> {
        if self.sentinels.is_none() {
            return self.last().await;
        }
        *self.known.lock() = None;
        self.last().await
    }

    /// Asks the Sentinels, unless somebody has while this one waited for its turn.
    async fn ask(&self) -> RedisResult<Client> {
        let Some(sentinels) = &self.sentinels else { return Err(nobody()) };
        let mut sentinels = sentinels.lock().await;
        if let Some(known) = self.known.lock().clone() {
            return Ok(known);
        }
        let found = timeout(SENTINELS, sentinels.async_get_client()).await.unwrap_or_else(|_| Err(nobody()));
        *self.known.lock() = found.as_ref().ok().cloned();
        found
    }

    /// It does not answer; by now it may be another one.
    pub(super) fn doubt(&self) {
        if self.sentinels.is_some() {
            *self.known.lock() = None;
            self.doubted.notify_one();
        }
    }

    /// Comes when somebody has doubted it: whoever listens to the old one would hear nothing of the new one.
    pub(super) async fn is_doubted(&self) {
        self.doubted.notified().await;
    }

    /// Who was Redis when it was last looked for; whoever listens to its changes looks whenever they end.
    pub(super) async fn last(self: &Arc<Self>) -> RedisResult<Client> {
        let known = self.known.lock().clone();
        if let Some(client) = known {
            return Ok(client);
        }
        // In a task of its own: the first Sentinels may be dead, and whoever asks may not have the time to find that out each time.
        let this = self.clone();
        tokio::spawn(async move { this.ask().await }).await.unwrap_or_else(|_| Err(nobody()))
    }
}

fn parts(url: &str) -> Result<Parts, String> {
    let wrong = "not the URL of a Redis: write `redis://[user:password@]host[:port][/database]`, or with Sentinels \
                 `redis+sentinel://[user:password@]host:port,host:port/NAME[/database]`";
    let read = |url: &str| url.into_connection_info().map_err(|_| wrong.to_owned());
    let Some((scheme, rest)) = url.split_once(SENTINEL) else {
        let scheme = url.split("://").next().unwrap_or_default();
        if !["redis", "rediss"].contains(&scheme) {
            return Err("expected a URL that begins with `redis://`, or with `rediss://` for TLS".to_owned());
        }
        return read(url).map(Parts::At);
    };
    if !["redis", "rediss"].contains(&scheme) {
        return Err(wrong.to_owned());
    }
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| (user, rest));
    let (hosts, path) = rest.split_once('/').ok_or_else(|| wrong.to_owned())?;
    let (name, database) = path.split_once('/').unwrap_or((path, "0"));
    if name.is_empty() || hosts.is_empty() {
        return Err(wrong.to_owned());
    }
    // The user is Redis's own; Sentinels are asked without.
    let sentinels: Result<Vec<_>, _> = hosts.split(',').map(|host| read(&format!("{scheme}://{host}"))).collect();
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let redis = read(&format!("{scheme}://{user}localhost/{database}"))?;
    Ok(Parts::Sentinels { sentinels: sentinels?, name: name.to_owned(), redis, tls: scheme == "rediss" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_redis_or_those_who_know_where_it_is() {
        for (url, expect) in [
            ("redis://h:1/2", "at"),
            ("rediss://u:p@h", "at"),
            ("redis+sentinel://a:1,b:2/main", "2 main 0 plain"),
            ("redis+sentinel://u:p@a:1/main/3", "1 main 3 plain"),
            ("rediss+sentinel://:p@a:1,b:2,c:3/main", "3 main 0 tls"),
        ] {
            let got = match parts(url).expect(url) {
                Parts::At(_) => "at".to_owned(),
                Parts::Sentinels { sentinels, name, redis, tls } => {
                    let tls = if tls { "tls" } else { "plain" };
                    format!("{} {name} {} {tls}", sentinels.len(), redis.redis_settings().db())
                }
            };
            assert_eq!(got, expect, "{url}");
            Place::new(url).expect(url);
        }
        for url in [
            "redis+sentinel://CANARY@a:1",
            "redis+sentinel:///CANARY",
            "redis+sentinel://u:CANARY@a:1/",
            "redis+sentinel://u:CANARY@a:x/main",
            "redis+sentinel://u:CANARY@a:1/main/x",
            "http+sentinel://u:CANARY@a:1/main",
            "sentinel://u:CANARY@a:1/main",
        ] {
            let why = Place::check(url).expect_err(url);
            assert!(!why.contains("CANARY"), "{why}");
        }
    }
}
