//! What it costs to know a caller: a token that was verified before and its session, and a token that never was.
//!
//! `cargo bench -p hilum --bench identity`. The session is in memory, or in a store elsewhere that has said yes a moment
//! ago, as a Redis has. That a hit allocates nothing is held by a test (`identity::token::tests`).

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::Criterion;
use hilum::identity::key::SessionKey;
use hilum::identity::memory::MemoryStore;
use hilum::identity::metrics::SessionMetrics;
use hilum::identity::refresh::Claim;
use hilum::identity::source::Source;
use hilum::identity::standing::Standing;
use hilum::identity::store::{NewSession, Old, PutError, StoreDown};
use hilum::identity::token::{SessionOptions, TokenOptions};
use hilum::identity::verify::{KeyOptions, VerifyOptions};
use hilum::identity::{Caller, Now, SessionStore, Token};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jsonwebtoken::Algorithm;
use ring::hmac;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A store elsewhere, which says yes to every question; what it said is believed for an hour.
struct Elsewhere;

#[async_trait]
impl SessionStore for Elsewhere {
    async fn contains(&self, _: &SessionKey, standing: &Standing, now: Now) -> Result<bool, StoreDown> {
        standing.confirm(standing.ask(), now.tick(), u64::MAX, 0);
        Ok(true)
    }

    async fn put(&self, _: &SessionKey, _: &NewSession<'_>, _: Now) -> Result<(), PutError> {
        Ok(())
    }

    async fn claim_refresh(&self, _: Old<'_>, _: Duration, _: Now) -> Result<Claim, StoreDown> {
        Ok(Claim::Never)
    }

    async fn succeed(&self, _: Old<'_>, _: &SessionKey, _: &NewSession<'_>, _: Now) -> Result<bool, PutError> {
        Ok(false)
    }

    async fn remove(&self, _: &SessionKey, _: Now) -> Result<bool, StoreDown> {
        Ok(false)
    }

    async fn tend(&self) {}
}

fn token(store: Arc<dyn SessionStore>) -> Token {
    let header = |name| HeaderName::from_static(name);
    let path = |text: &str| text.parse().expect("a path");
    let options = TokenOptions {
        name: "web".into(),
        sources: vec![
            Source::Header { name: header::AUTHORIZATION, scheme: "Bearer".into() },
            Source::Cookie { name: "predicthealth_jwt".into() },
        ],
        verify: VerifyOptions {
            algorithms: vec![Algorithm::HS256],
            key: KeyOptions::Secret { secret: SECRET.to_vec(), allow_weak: false },
            leeway: Duration::ZERO,
            max_lifetime: Duration::from_hours(24),
            claims: vec![],
        },
        session: Some(SessionOptions {
            key: "access_token:{token}".parse().expect("a key"),
            max_staleness: Duration::from_hours(1),
        }),
        identity: vec![(header("x-user-id"), path("user_id")), (header("x-user-type"), path("user_type"))],
        cookie: None,
        cached: TokenOptions::CACHED,
    };
    let metrics = SessionMetrics::register(&prometheus::Registry::new()).expect("a fresh registry");
    Token::new(options, None, store, metrics).expect("good options")
}

/// As auth-jwt makes them, about 370 bytes.
fn signed(user: u32) -> String {
    let exp = Now::read().unix + 3600;
    let claims = format!(
        r#"{{"user_id":"8f14e45f-ceea-467f-a83c-{user:012}","user_type":"patient","email":"ana@example.org","roles":["patient"],"metadata":{{"reference_id":"8f14e45f-ceea-467f-a83c-{user:012}"}},"exp":{exp}.763385}}"#
    );
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#), URL_SAFE_NO_PAD.encode(claims));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.as_ref()))
}

fn headers(name: HeaderName, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:5000"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(name, value.parse().expect("a header"));
    headers
}

fn main() {
    hilum::identity::provider::install();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut criterion = Criterion::default().configure_from_args();
    let memory = SessionMetrics::register(&prometheus::Registry::new()).expect("a fresh registry");
    let stores: [(&str, Arc<dyn SessionStore>); 2] =
        [("memory", Arc::new(MemoryStore::new(1000, memory))), ("elsewhere", Arc::new(Elsewhere))];
    for (place, store) in stores {
        let token = token(store);
        let now = Now::read();
        let texts: Vec<_> = (0..100).map(signed).collect();
        for text in &texts {
            runtime.block_on(async {
                let identity = token.verify(text, now).await.expect("it is good");
                token.open_session(&identity, Duration::from_secs(3600), None, now).await.expect("there is room");
            });
        }
        for (by, name) in [("bearer", header::AUTHORIZATION), ("cookie", header::COOKIE)] {
            let value = |text: &String| match by {
                "bearer" => format!("Bearer {text}"),
                _ => format!("theme=dark; predicthealth_jwt={text}"),
            };
            let requests: Vec<_> = texts.iter().map(|text| headers(name.clone(), &value(text))).collect();
            for request in &requests {
                let caller = runtime.block_on(token.identify(request, now));
                assert!(matches!(caller, Caller::Known { .. }));
            }
            let mut at = 0;
            criterion.bench_function(&format!("hit by {by}, session in {place}"), |bench| {
                bench.iter(|| {
                    at = (at + 1) % requests.len();
                    let caller = token.identify_now(black_box(&requests[at]), now).expect("nobody is asked");
                    assert!(matches!(caller, Caller::Known { .. }));
                });
            });
        }
    }
    let unknown = token(Arc::new(Elsewhere));
    let bad = headers(header::AUTHORIZATION, &format!("Bearer {}x", signed(7)));
    criterion.bench_function("a token that is badly signed", |bench| {
        bench.iter(|| unknown.identify_now(black_box(&bad), Now::read()).expect("nobody is asked"));
    });
    criterion.final_summary();
}
