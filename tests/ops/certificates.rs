//! Certificates are renewed while clients come in: no handshake fails, whatever the files hold in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use nix::sys::signal::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::task::JoinSet;

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["http://127.0.0.1:9"] } }
routes: [{ match: GET /, auth: public, forward: { service: a } }]
"#;

fn der(issued: &Issued) -> Vec<u8> {
    CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("PEM").to_vec()
}

/// What a client is shown.
async fn shown(dialer: &Dialer, gateway: &Gateway) -> Vec<u8> {
    let stream = dialer.dial(gateway.address(), "a.test").await.expect("a handshake");
    stream.get_ref().1.peer_certificates().expect("a server shows one")[0].to_vec()
}

async fn start(ca: &Authority) -> (Gateway, Issued) {
    let first = ca.issue(&["a.test"]);
    let listeners = "[{ address: \"127.0.0.1:0\", tls: { cert: a.pem, key: a.key } }]";
    let builder = Gateway::with(ROUTES).listeners(listeners).file("conf/a.pem", &first.cert);
    (builder.file("conf/a.key", &first.key).start().await, first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_swapped_and_no_handshake_fails() {
    let ca = Authority::new();
    let (gateway, first) = start(&ca).await;
    let (dialer, is_over, made) =
        (ca.dialer(&["h2", "http/1.1"]), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (dialer, is_over, made, address) = (dialer.clone(), is_over.clone(), made.clone(), gateway.address());
        clients.spawn(async move {
            while !is_over.load(Relaxed) {
                let answer = dialer.http2(address, "a.test").await.send("a.test", "GET /nothing").await;
                assert_eq!(answer.expect("an answer").status, 404);
                made.fetch_add(1, Relaxed);
            }
        });
    }
    let mut current = der(&first);
    let (mut loaded, mut refused) = (0.0, 0.0);
    for round in 0..24 {
        let next = ca.issue(&["a.test"]);
        let before = made.load(Relaxed);
        let broken = match round % 6 {
            1 => Some((next.cert.clone(), ca.issue(&["a.test"]).key)),
            3 => Some((next.cert[..next.cert.len() / 2].to_owned(), next.key.clone())),
            5 => {
                let over = ca.issue_until(&["a.test"], 2001);
                Some((over.cert, over.key))
            }
            _ => None,
        };
        let (cert, key) = broken.clone().unwrap_or((next.cert.clone(), next.key.clone()));
        gateway.put("conf/a.pem", cert);
        gateway.put("conf/a.key", key);
        if round % 4 == 0 {
            gateway.signal(Signal::SIGHUP);
        }
        // Between the two renames a pair that does not fit may be found; that is one more that was refused.
        match broken {
            Some(_) => {
                refused =
                    gateway.counts("hilum_certificate_reloads_total", &[("result", "refused")], |n| n > refused).await
            }
            None => {
                loaded =
                    gateway.counts("hilum_certificate_reloads_total", &[("result", "loaded")], |n| n > loaded).await;
                current = der(&next);
                refused = gateway.metrics().await.sum("hilum_certificate_reloads_total", &[("result", "refused")]);
            }
        }
        assert_eq!(shown(&dialer, &gateway).await, current, "round {round}");
        eventually("clients come in", async || (made.load(Relaxed) > before).then_some(())).await;
    }
    is_over.store(true, Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("no handshake failed and every request was answered");
    }
    let metrics = gateway.metrics().await;
    let failed =
        metrics.sum("hilum_tls_handshakes_total", &[]) - metrics.sum("hilum_tls_handshakes_total", &[("result", "ok")]);
    assert_eq!((failed, loaded), (0.0, 12.0));
    gateway.said("certificates were not reloaded, the running ones are kept").await;
    assert!(!gateway.stderr().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn whoever_asks_for_a_reload_is_told_of_certificates_too() {
    let ca = Authority::new();
    let (gateway, first) = start(&ca).await;
    let dialer = ca.dialer(&[]);
    gateway.put("conf/a.key", "no key");
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.text().contains("a.key holds no private key"), "{}", answer.text());
    assert_eq!(shown(&dialer, &gateway).await, der(&first));
    let next = ca.issue_until(&["a.test"], 3000);
    gateway.put("conf/a.key", &next.key);
    gateway.put("conf/a.pem", &next.cert);
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(shown(&dialer, &gateway).await, der(&next));
    let expires = gateway.metrics().await.sum("hilum_certificate_expires_seconds", &[("file", "a.pem")]);
    assert_eq!(expires, 32_503_680_000.0);
}
