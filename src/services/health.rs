//! What runs beside a pool: its names are looked up again and again, and each peer is checked on its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Extensions, HeaderValue};
use log::{info, warn};
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};

use super::fault::words;
use super::fleet::Shared;
use super::options::HealthOptions;
use super::peer::Peer;
use super::pool::Pool;

/// The first check of a peer comes within this time, at random, so that the checks of many peers do not meet.
const FIRST_CHECK_WITHIN: Duration = Duration::from_secs(1);

/// However short `every` is, a checker never spins.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The body of a health answer is read so far. A service that cannot finish a small one is not well.
const BODY_LIMIT: usize = 64 * 1024;

/// One check of one peer, over the connector that all share: Pingora's own checks would read the root certificates
/// once more for each.
struct Probe {
    shared: Arc<Shared>,
    template: HttpPeer,
    /// `None`: to connect is enough.
    head: Option<Box<RequestHeader>>,
    options: HealthOptions,
}

/// A peer that is being watched. Dropping it ends its checks.
struct Ward {
    peer: Arc<Peer>,
    checks: Option<AbortHandle>,
}

/// Looks after a pool until it is aborted.
pub(super) async fn watch(pool: Arc<Pool>) {
    let _shown = Shown(&pool);
    let (mut news, mut conduct) = (pool.news(), pool.service().news.subscribe());
    // Checks of an earlier watch, or another pool with the same peers, may have changed what is known of them since.
    pool.arrange();
    tokio::join!(look_up_names(&pool), keep_arranged(&pool, &mut conduct), look_after_peers(&pool, &mut news));
}

/// Asks for the addresses of names, again and again.
async fn look_up_names(pool: &Arc<Pool>) {
    let names: Vec<usize> =
        (0..).zip(&pool.options().peers).filter(|(_, peer)| peer.literal().is_none()).map(|(index, _)| index).collect();
    let mut failing = vec![false; pool.options().peers.len()];
    while !names.is_empty() {
        let mut lookups = JoinSet::new();
        for &index in &names {
            let pool = pool.clone();
            lookups.spawn(async move { (index, pool.shared().names.look_up(&pool.options().peers[index]).await) });
        }
        while let Some(done) = lookups.join_next().await {
            let Ok((index, found)) = done else { continue };
            report(pool, index, &found, &mut failing[index]);
            pool.learn(index, found.ok());
        }
        sleep(pool.options().resolve_every.max(SHORTEST_PAUSE)).await;
    }
}

/// Arranges the pool when an ejection or a slow start is over, and when another pool of the service learned something.
async fn keep_arranged(pool: &Pool, conduct: &mut watch::Receiver<()>) {
    loop {
        let due = pool.next_change(std::time::Instant::now());
        let is_due = async {
            match due {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = is_due => {}
            changed = conduct.changed() => if changed.is_err() { return },
        }
        pool.arrange();
    }
}

/// Begins to watch peers that have come and lets go of those that are gone.
async fn look_after_peers(pool: &Arc<Pool>, news: &mut watch::Receiver<()>) {
    let mut wards: Vec<Ward> = Vec::new();
    loop {
        let peers: Vec<Arc<Peer>> = pool.peers().into_iter().map(|(peer, _)| peer).collect();
        wards.retain(|ward| peers.iter().any(|peer| Arc::ptr_eq(peer, &ward.peer)));
        pool.show(&peers);
        for peer in peers {
            if wards.iter().any(|ward| Arc::ptr_eq(&ward.peer, &peer)) {
                continue;
            }
            let options = pool.options().health.clone();
            let checks = options.map(|options| tokio::spawn(check(pool.clone(), peer.clone(), options)).abort_handle());
            wards.push(Ward { peer, checks });
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}

/// The pool's `hilum_peer_up`, which end with the watch.
struct Shown<'p>(&'p Pool);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.show(&[]);
    }
}

/// Once per change, not once per look-up.
fn report<T>(pool: &Pool, index: usize, found: &Result<T, String>, failing: &mut bool) {
    let (service, name) = (pool.name(), pool.options().peers[index].authority());
    match found {
        Err(cause) if !*failing => {
            warn!(
                "service={service} name={name} cannot be resolved, keeping {} addresses: {cause}",
                pool.addresses(index)
            );
        }
        Ok(_) if *failing => info!("service={service} name={name} resolves again"),
        _ => {}
    }
    *failing = found.is_err();
}

/// Checks one peer until it is aborted.
async fn check(pool: Arc<Pool>, peer: Arc<Peer>, options: HealthOptions) {
    let pause = options.every.max(SHORTEST_PAUSE);
    let target = Backend { addr: SocketAddr::Inet(peer.address()), weight: 1, ext: Extensions::new() };
    let probe = Probe::new(&pool, &peer, options);
    // One that waits for its first check is not kept waiting.
    if !peer.vital().is_new() {
        sleep(rand::random_range(Duration::ZERO..=pause.min(FIRST_CHECK_WITHIN))).await;
    }
    loop {
        let result = probe.check(&target).await;
        let threshold = probe.health_threshold(result.is_ok());
        let was_up = peer.is_up();
        if peer.vital().note(result.is_ok(), threshold) {
            let (service, label, s) = (pool.name(), peer.label(), if threshold == 1 { "" } else { "s" });
            match &result {
                Ok(()) if was_up => info!("service={service} peer={label} is new and passed its first check"),
                Ok(()) => info!("service={service} peer={label} up after {threshold} passed check{s}"),
                Err(e) => warn!("service={service} peer={label} down after {threshold} failed check{s}: {}", words(e)),
            }
            if result.is_ok() {
                peer.conduct().join(std::time::Instant::now());
            }
            pool.arrange();
            pool.service().news.send_replace(());
        }
        sleep(pause).await;
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        if let Some(checks) = &self.checks {
            checks.abort();
        }
    }
}

impl Probe {
    fn new(pool: &Pool, peer: &Peer, options: HealthOptions) -> Probe {
        let mut template = peer.http_peer();
        template.options.connection_timeout = Some(options.timeout);
        template.options.total_connection_timeout = Some(options.timeout);
        let head = options.path.as_ref().map(|path| {
            let head = RequestHeader::build("GET", path.as_str().as_bytes(), Some(3));
            let mut head = head.expect("a HealthPath is a valid request target");
            for (name, value) in [
                ("Host", peer.authority().clone()),
                ("User-Agent", HeaderValue::from_static("hilum-health")),
                ("Connection", HeaderValue::from_static("close")),
            ] {
                head.insert_header(name, value).expect("these are header names");
            }
            Box::new(head)
        });
        Probe { shared: pool.shared().clone(), template, head, options }
    }

    /// Always over a fresh connection: a kept one would hide that new ones are refused.
    async fn ask(&self, target: &Backend) -> Result<()> {
        let mut peer = self.template.clone();
        peer._address = target.addr.clone();
        let stream = self.shared.connector.new_stream(&peer).await?;
        let Some(head) = &self.head else { return Ok(()) };
        let mut session = HttpSession::new_with_options(stream, &peer);
        session.write_request_header(head.clone()).await?;
        let status = loop {
            session.read_response().await?;
            match session.get_status() {
                Some(status) if status.is_informational() && status != 101 => {}
                other => break other.map_or(0, |status| status.as_u16()),
            }
        };
        if !(200..=299).contains(&status) {
            return Err(Error::explain(ErrorType::HTTPStatus(status), "health check"));
        }
        let mut read = 0;
        while let Some(chunk) = session.read_body_ref().await? {
            read += chunk.len();
            if read >= BODY_LIMIT {
                break;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, target: &Backend) -> Result<()> {
        match timeout(self.options.timeout, self.ask(target)).await {
            Ok(result) => result,
            Err(_) => Err(Error::explain(ErrorType::ReadTimedout, "health check")),
        }
    }

    fn health_threshold(&self, success: bool) -> usize {
        let checks = if success { self.options.up_after } else { self.options.down_after };
        checks.max(1) as usize
    }
}
