//! Services behind TLS: the certificate must be one that is trusted, for the host that the file names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::protocols::l4::stream::Stream;
use pingora_http::RequestHeader;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::log::{keep_log, logged};
use super::scripted::{fleet, run, service, within};
use crate::services::{Call, Fleet, Health, HealthOptions, Priority, ServiceOptions, call};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/services/tests/localhost.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/services/tests/localhost.key");

/// A service that has a certificate for `localhost` and answers 204 to everything, and how many clients have accepted
/// that certificate.
async fn secure() -> (SocketAddr, watch::Receiver<usize>) {
    let (accepted, count) = watch::channel(0);
    let acceptor = Arc::new(TlsSettings::intermediate(CERTIFICATE, KEY).expect("the files are there").build());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.tls_handshake(Stream::from(stream)).await else { return };
                accepted.send_modify(|count| *count += 1);
                let mut some = [0; 4096];
                while stream.read(&mut some).await.is_ok_and(|read| read > 0) {
                    _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                    _ = stream.flush().await;
                }
            });
        }
    });
    (address, count)
}

/// Asks the service at this host in a fleet → what the caller is told.
async fn told(fleet: &Arc<Fleet>, host: &str, address: SocketAddr) -> String {
    let pool = fleet.pool(&service("patients", &[&format!("https://{host}:{}", address.port())]));
    run(fleet, &[&pool]);
    within(pool.resolved()).await;
    let head = RequestHeader::build("GET", b"/", None).expect("a head");
    let asked = Call { head, body: Bytes::new(), reply_limit: 0, priority: Priority::default() };
    match within(call(&pool, None, &asked, Instant::now() + Duration::from_secs(10))).await {
        Ok(answer) => answer.status.to_string(),
        Err(error) => error.to_string().replace(&address.to_string(), "PEER"),
    }
}

#[tokio::test]
async fn a_trusted_certificate_for_the_host_is_needed() {
    let (address, _) = secure().await;
    let trusting = fleet(&Registry::new());
    assert_eq!(told(&trusting, "localhost", address).await, "204 No Content");
    assert_eq!(told(&trusting, "127.0.0.1", address).await, "connecting to PEER: no connection");
    let system_only = Fleet::new(&Registry::new(), None).expect("the system's certificates can be read");
    assert_eq!(told(&system_only, "localhost", address).await, "connecting to PEER: no connection");
}

#[tokio::test]
async fn a_check_makes_the_handshake_too() {
    keep_log();
    let (address, mut accepted) = secure().await;
    let fleet = fleet(&Registry::new());
    for (path, host, up) in [(None, "localhost", 1), (None, "127.0.0.1", 0), (Some("/health"), "localhost", 1)] {
        let health = HealthOptions {
            path: path.map(|path: &str| path.parse().expect("a path")),
            every: Duration::from_millis(10),
            down_after: 1,
            ..HealthOptions::default()
        };
        let name = format!("tls-{host}");
        let peer = format!("https://{host}:{}", address.port());
        let pool = fleet.pool(&ServiceOptions { health: Some(health), ..service(&name, &[&peer]) });
        run(&fleet, &[&pool]);
        if up == 0 {
            within(pool.until(|pool| pool.health() == Health { up: 0, total: 1 })).await;
            continue;
        }
        let before = *accepted.borrow();
        within(accepted.wait_for(|count| *count >= before + 3)).await.expect("the service lives");
        assert_eq!(pool.health().up, 1);
    }
    let line = format!("WARN service=tls-127.0.0.1 peer={address} down after 1 failed check: TLS handshake failed");
    assert_eq!(logged("service=tls-"), [line]);
}
