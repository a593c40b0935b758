//! `jwks:` → the keys of an issuer, fetched through a pool of their own: the same connections, certificates and metrics as
//! for services, under the name `jwks:HOST`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hilum_filters::api::{Placed, Problem};
use http::{HeaderValue, StatusCode, header};
use pingora_http::RequestHeader;
use tokio::time::Instant;

use super::Parts;
use crate::config::token::Jwks;
use crate::identity::keys::{Fetch, KeySet, KeySetOptions};
use crate::services::{
    Balance, Call, LimitOptions, PeerOptions, Pool, Priority, RetryOptions, ServiceOptions, Timeouts, call,
};

/// The default of `refresh`.
const REFRESH: Duration = Duration::from_secs(10 * 60);
/// For all of one fetch.
const TIME: Duration = Duration::from_secs(2);
/// The largest set that is read.
const SIZE: u64 = 256 * 1024;

/// The set, and the pool that somebody has to look after.
pub(super) fn set(written: &Jwks, parts: &Parts<'_>, problems: &mut Vec<Problem>) -> Option<(Arc<KeySet>, Arc<Pool>)> {
    let (peer, path) = address(&written.url).map_err(|problem| problems.push(problem)).ok()?;
    let options = KeySetOptions {
        url: written.url.value.clone(),
        refresh: written.refresh.and_then(|it| it.0).map_or(REFRESH, |it| it.get()),
    };
    if options.refresh < Duration::from_secs(1) {
        problems.push(Problem::new(written.url.at, "`refresh` is at least 1s: each one is a question to the issuer"));
        return None;
    }
    let pool = parts.fleet.pool(&ServiceOptions {
        name: format!("jwks:{}", peer.authority()).into(),
        peers: vec![peer],
        balance: Balance::RoundRobin,
        health: None,
        eject: None,
        retry: RetryOptions::default(),
        limits: LimitOptions::default(),
        timeouts: Timeouts { response: TIME, ..Timeouts::default() },
        resolve_every: ServiceOptions::RESOLVE_EVERY,
    });
    let mut head = RequestHeader::build("GET", path.as_bytes(), None).expect("the path of a URL that was read");
    head.insert_header(header::ACCEPT, HeaderValue::from_static("application/json")).expect("is a header");
    let call = Call { head, body: Bytes::new(), reply_limit: SIZE, priority: Priority::default() };
    let issuer = Issuer { pool: pool.clone(), call };
    Some((parts.key_sets.set(&options, || Box::new(issuer)), pool))
}

/// Whoever can answer in the issuer's place can let anybody in, so it is https, or does not leave this machine.
fn address(url: &Placed<String>) -> Result<(PeerOptions, String), Problem> {
    let problem = |why: &str| {
        Problem::new(url.at, why).help("write `https://HOST/PATH`, or `http://127.0.0.1:PORT/PATH` on this machine")
    };
    let (scheme, rest) = url.value.split_once("://").ok_or_else(|| problem("this is no URL"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let peer: PeerOptions =
        format!("{scheme}://{authority}").parse().map_err(|_| problem("this is no URL of http or https"))?;
    if !peer.tls() && !peer.literal().is_some_and(|address| address.is_loopback()) {
        return Err(problem("keys that are fetched without TLS can be anybody's"));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let good = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') && path.parse::<http::Uri>().is_ok();
    if good { Ok((peer, path)) } else { Err(problem("the path of this URL holds what no path may")) }
}

/// Whoever publishes the keys.
struct Issuer {
    pool: Arc<Pool>,
    call: Call,
}

#[async_trait]
impl Fetch for Issuer {
    async fn fetch(&self) -> Result<Bytes, String> {
        let answer = call(&self.pool, None, &self.call, Instant::now() + TIME).await.map_err(|why| why.to_string())?;
        // A redirect would let somebody else say which keys are good.
        if answer.status != StatusCode::OK {
            return Err(format!("the answer is {}", answer.status.as_u16()));
        }
        Ok(answer.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilum_filters::api::At;

    /// A URL → the peer and the path, or part of what is wrong.
    #[track_caller]
    fn check(url: &str, expect: Result<(&str, &str), &str>) {
        let got = address(&Placed { at: At::default(), value: url.to_owned() });
        match (got, expect) {
            (Ok((peer, path)), Ok(expect)) => assert_eq!((&*peer.to_string(), &*path), expect, "{url}"),
            (Err(problem), Err(part)) => assert!(problem.message.contains(part), "{url}: {}", problem.message),
            (got, _) => panic!("{url}: {:?}", got.map(|it| it.1).map_err(|it| it.message)),
        }
    }

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        check("https://issuer.example/keys", Ok(("https://issuer.example", "/keys")));
        check("https://issuer.example:8443/a/b?c=d", Ok(("https://issuer.example:8443", "/a/b?c=d")));
        check("https://issuer.example", Ok(("https://issuer.example", "/")));
        check("https://issuer.example?a", Ok(("https://issuer.example", "/?a")));
        check("http://127.0.0.1:9/keys", Ok(("http://127.0.0.1:9", "/keys")));
        check("http://[::1]:9/keys", Ok(("http://[::1]:9", "/keys")));
        for url in ["http://issuer.example/keys", "http://localhost/keys", "http://10.0.0.1/keys", "http://0.0.0.0/k"] {
            check(url, Err("without TLS"));
        }
        for url in ["issuer.example", "ftp://issuer.example/keys", "https://a:b@issuer.example/keys", "https:///keys"] {
            check(url, Err("no URL"));
        }
        for url in ["https://issuer.example/a b", "https://issuer.example/a#b", "https://issuer.example/\u{f1}"] {
            check(url, Err("the path"));
        }
    }
}
