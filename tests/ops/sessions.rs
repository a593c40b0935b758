//! Two gateways over one Redis, under load: how soon a sign-out on one is known to the other, and what a session costs Redis.

use std::time::{Duration, Instant};

use hilum_demo::token::{Claims, Key};

use crate::harness::{Client, Gateway, PATIENCE, Redis};
use crate::load::Load;

const SECRET: &str = "a secret of the tests that is long enough";
const ROUTES: &str = r#"
version: 1
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    session: { key: "access_token:{token}", max_staleness: 2s }
routes:
  - { name: logout, match: POST /logout, auth: public, session: { logout: { token: web } } }
  - { name: show, match: GET /me, auth: { token: web }, session: { show: { token: web } } }
"#;
const LOGOUTS: usize = 1000;
/// What Redis is asked when a session is looked up.
const LOOK: &[&str] = &["get", "strlen", "pttl", "exists"];

async fn gateway(redis: &Redis) -> Gateway {
    let gateway = Gateway::with(ROUTES).conf("sessions: \"${REDIS_URL}\"").env("REDIS_URL", redis.url());
    let gateway = gateway.env("SECRET", SECRET).start().await;
    gateway.counts("hilum_session_stream_up", &[], |up| up == 1.0).await;
    gateway
}

fn request(line: &str, token: &str) -> String {
    let length = if line.starts_with("POST") { "\nContent-Length: 0" } else { "" };
    format!("{line}\nAuthorization: Bearer {token}{length}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_on_one_gateway_is_known_to_the_other_within_milliseconds() {
    let redis = Redis::start().await;
    let (one, two) = (gateway(&redis).await, gateway(&redis).await);
    let key = Key::new(SECRET);
    let tokens: Vec<_> =
        (0..LOGOUTS + 50).map(|n| key.sign(&Claims::new(&format!("user-{n}"), "patient", "u@example.org"))).collect();
    let mut operator = redis.connect().await;
    for token in &tokens {
        let name = format!("access_token:{token}");
        redis::cmd("SETEX").arg(name).arg(900).arg(token).exec_async(&mut operator).await.expect("it is stored");
    }
    let (leaving, staying) = tokens.split_at(LOGOUTS);
    // 500 requests a second, half of them on each.
    let requests: Vec<String> = staying.iter().map(|token| request("GET /me", token)).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let pace = Duration::from_millis(40);
    let loads = [&one, &two].map(|gateway| Load::start(gateway.address(), 10, pace, &requests));

    let (mut a, mut b) = (Client::connect(one.address()).await, Client::connect(two.address()).await);
    let mut took = Vec::with_capacity(LOGOUTS);
    for token in leaving {
        assert_eq!(b.send(&request("GET /me", token)).await.status, 200);
        let asked = Instant::now();
        assert_eq!(a.send(&request("POST /logout", token)).await.status, 200);
        // From the moment the sign-out was asked for, since it was done at some time before its answer.
        while b.send(&request("GET /me", token)).await.status == 200 {
            assert!(asked.elapsed() < PATIENCE, "it is never refused");
        }
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    let at = |share: f64| took[((LOGOUTS - 1) as f64 * share) as usize];
    let (p50, p90, p99, worst) = (at(0.5), at(0.9), at(0.99), at(1.0));
    println!(
        "{LOGOUTS} sign-outs, refused by the other gateway after: p50 {p50:?}, p90 {p90:?}, p99 {p99:?}, worst {worst:?}"
    );

    // From here on everyone who stays is known, so nobody is asked for again.
    for token in staying {
        for client in [&mut a, &mut b] {
            assert_eq!(client.send(&request("GET /me", token)).await.status, 200);
        }
    }
    let (before, sent) = (redis.calls(LOOK).await, handled(&one, &two).await);
    tokio::time::timeout(PATIENCE, async { while handled(&one, &two).await < sent + 1500.0 {} })
        .await
        .expect("the load goes on");
    let (asked, sent) = (redis.calls(LOOK).await - before, handled(&one, &two).await - sent);
    println!("{sent} requests with a known session: {asked} questions to Redis");
    assert_eq!(asked, 0, "of {sent} requests");
    for load in loads {
        for tally in load.stop().await {
            tally.expect_all_good("the sessions that stay");
        }
    }
    assert!(worst < Duration::from_secs(2), "{worst:?} is beyond max_staleness");
    assert!(p99 <= Duration::from_millis(50), "p99 is {p99:?}");
}

async fn handled(one: &Gateway, two: &Gateway) -> f64 {
    let labels = [("route", "show")];
    one.metrics().await.sum("hilum_requests_total", &labels) + two.metrics().await.sum("hilum_requests_total", &labels)
}
