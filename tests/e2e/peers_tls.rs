//! Services behind TLS: which certificates are believed, and that nothing is said to a service whose is not.

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"], timeouts: { connect: 2s } } }
routes: [{ match: "/**", auth: public, forward: { service: a } }]
"#;
const INNER: &str = r#"
version: 1
routes: [{ match: "/**", auth: public, respond: { text: here } }]
"#;

/// A service with this certificate: a gateway, since it knows TLS already. It starts with whatever it is given.
async fn service(issued: Issued) -> Gateway {
    let listener = "[{ address: \"127.0.0.1:0\", tls: { cert: a.pem, key: a.key } }]";
    let inner = Gateway::with(INNER).listeners(listener);
    inner.file("conf/a.pem", issued.cert).file("conf/a.key", issued.key).start().await
}

/// A gateway that believes `ca` and asks that service by this name.
async fn before(ca: &Authority, host: &str, service: &Gateway) -> Gateway {
    let peer = format!("https://{host}:{}", service.address().port());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ca.pem()).expect("our own folder");
    // Read at the start.
    Gateway::with(ROUTES).env("A", peer).env("SSL_CERT_FILE", file.display().to_string()).start().await
}

#[tokio::test]
async fn a_service_is_asked_when_its_certificate_is_good_for_its_name() {
    let (ca, other) = (Authority::new(), Authority::new());
    let good = service(ca.issue(&["localhost", "127.0.0.1"])).await;
    for host in ["localhost", "127.0.0.1"] {
        let gateway = before(&ca, host, &good).await;
        expect(host, &gateway.send("GET /").await, "200\n= here");
    }
    let answered = good.metrics().await.sum("hilum_requests_total", &[]);
    assert_eq!(answered, 2.0);
    expect("an authority that nobody believes", &before(&other, "localhost", &good).await.send("GET /").await, BAD);
    for (case, issued) in [
        ("another name", ca.issue(&["other.test"])),
        ("no address", ca.issue(&["localhost.test"])),
        ("expired", ca.issue_until(&["localhost"], 2001)),
        ("signed by itself", Authority::new().issue(&["localhost"])),
    ] {
        let service = service(issued).await;
        let gateway = before(&ca, "localhost", &service).await;
        expect(case, &gateway.send("GET /").await, BAD);
        expect(case, &gateway.send("POST /\nContent-Length: 6\n\nsecret").await, BAD);
        let metrics = service.metrics().await;
        assert_eq!(metrics.sum("hilum_requests_total", &[]), 0.0, "{case}: it was asked");
    }
    assert_eq!(good.metrics().await.sum("hilum_requests_total", &[]), answered);
}

const BAD: &str = "502 peer_refused";
