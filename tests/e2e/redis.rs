//! The ways to a Redis: behind TLS, and wherever its Sentinels say it is.

use std::path::Path;

use crate::harness::*;
use crate::world::*;

const ROUTES: &str = r#"
version: 1
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}", max_staleness: 1s }
routes:
  - { name: me, match: GET /me, auth: { token: web }, session: { show: { token: web } } }
  - { name: logout, match: POST /logout, auth: public, session: { logout: { token: web } } }
  - { name: open, match: GET /open, auth: public, respond: { text: open } }
"#;

fn before(url: String) -> Builder {
    Gateway::with(ROUTES).conf("sessions: \"${REDIS_URL}\"").env("REDIS_URL", url).env("SECRET", SECRET)
}

fn me(token: &str) -> String {
    format!("GET /me\nAuthorization: Bearer {token}")
}

#[tokio::test]
async fn a_redis_behind_tls_is_believed_when_its_certificate_is() {
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/services/tests").join(name);
        path.to_str().expect("a path in text").to_owned()
    };
    // Beside its plain port, by which the test looks into it, it listens on one for TLS.
    let tls = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let redis = Redis::start_with(|_| {
        let (cert, key, ca) = (file("localhost.pem"), file("localhost.key"), file("ca.pem"));
        let port = tls.to_string();
        let words = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        words.iter().chain(&["--tls-auth-clients", "no"]).map(|word| (*word).to_owned()).collect()
    })
    .await;
    let url = format!("rediss://localhost:{tls}/0");
    let token = token("patient");
    redis.run::<()>(&["SETEX", &format!("access_token:{token}"), "900", &token]).await;

    let trusting = before(url.clone()).env("SSL_CERT_FILE", file("ca.pem")).start().await;
    trusting.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
    expect("known", &trusting.send(&me(&token)).await, "200");
    let stranger = before(url.replace("localhost", "127.0.0.1")).env("SSL_CERT_FILE", file("ca.pem")).start().await;
    expect("another name", &stranger.send(&me(&token)).await, "503 store_unavailable");
    let doubting = before(url).start().await;
    expect("another authority", &doubting.send(&me(&token)).await, "503 store_unavailable");
    expect("public", &doubting.send("GET /open").await, "200");
    let logout = format!("POST /logout\nAuthorization: Bearer {token}\nContent-Length: 0");
    expect("logout", &trusting.send(&logout).await, "200");
    expect("over", &trusting.send(&me(&token)).await, "401 session_unknown");
}

#[tokio::test]
async fn sentinels_say_who_is_redis_before_and_after_it_is_lost() {
    let mut first = Redis::start().await;
    let master = first.port().to_string();
    let second = Redis::start_with(|_| ["--replicaof", "127.0.0.1", &master].map(str::to_owned).to_vec()).await;
    let dir = tempfile::tempdir().expect("a folder");
    let conf = dir.path().join("sentinel.conf");
    let text = format!(
        "sentinel monitor main 127.0.0.1 {master} 1\nsentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 3000\n"
    );
    std::fs::write(&conf, text).expect("a file");
    // Its file comes before all options.
    let sentinel = Sentinel::start(&conf).await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let url = format!("redis+sentinel://127.0.0.1:{dead},127.0.0.1:{}/main", sentinel.port);
    let gateway = before(url).start().await;
    gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
    let token = token("patient");
    first.run::<()>(&["SETEX", &format!("access_token:{token}"), "900", &token]).await;
    expect("known", &gateway.send(&me(&token)).await, "200");
    eventually("the replica to have it", async || {
        second.run::<bool>(&["EXISTS", &format!("access_token:{token}")]).await.then_some(())
    })
    .await;
    first.kill().await;
    eventually("the replica to become the master", async || {
        // It cuts its connections on the way.
        second.ask::<String>(&["INFO", "replication"]).await?.contains("role:master").then_some(())
    })
    .await;
    eventually("the gateway to find it", async || (gateway.send(&me(&token)).await.status == 200).then_some(())).await;
    gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
    let logout = format!("POST /logout\nAuthorization: Bearer {token}\nContent-Length: 0");
    expect("logout", &gateway.send(&logout).await, "200");
    expect("over", &gateway.send(&me(&token)).await, "401 session_unknown");
    assert!(!second.run::<bool>(&["EXISTS", &format!("access_token:{token}")]).await);
}
