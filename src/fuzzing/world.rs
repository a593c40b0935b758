//! A gateway for one thread, made once.

use std::path::PathBuf;
use std::sync::Arc;

use hilum_filters::FILTERS;
use ring::hmac;

use crate::config::Environment;
use crate::identity::keys::KeySets;
use crate::identity::memory::MemoryStore;
use crate::identity::metrics::SessionMetrics;
use crate::identity::token::TokenCaches;
use crate::identity::{Now, SessionStore};
use crate::proxy::Gateway;
use crate::rates::Rates;
use crate::records::Records;
use crate::router::Head;
use crate::server::{Load, Loader};
use crate::services::Fleet;
use crate::table::Table;
use crate::telemetry::{AccessLog, Destination, Metrics};

pub(super) const SECRET: &str = "a secret of the fuzzer that is long enough";

/// When everything happens: the good token, which is in corpora, is good then.
const TODAY: u64 = 1_800_000_000;

/// Public and protected neighbours, and every kind of template in a path.
pub(super) const ROUTES: &str = r#"
version: 1
services: { a: { peers: ["${A}"] } }
tokens:
  web:
    from: [{ header: Authorization, scheme: Bearer }, { cookie: jwt }]
    verify: { algorithms: [HS256], secret: "${SECRET}" }
    identity: { X-User-ID: user_id, X-User-Roles: roles }
    cookie: { name: jwt }
routes:
  - { name: public, match: "/public/**", auth: public, forward: { service: a } }
  - { name: optional, match: "/optional/**", auth: { token: web, optional: true }, forward: { service: a } }
  - { name: protected, match: "/protected/**", auth: { token: web }, forward: { service: a } }
  - { name: doctors, match: "/doctors/{id}/**", auth: { token: web, claims: { user_type: doctor } }, forward: { service: a } }
  - { name: moved, match: "GET /moved/{id}", auth: public, forward: { service: a, path: "/to/{id}/it", query: { q: "{query.q:-none}" } } }
  - { name: rest, match: "/rest/{rest...}", auth: public, forward: { service: a, path: "/under/{rest}" } }
  - { name: shaped, match: "POST /shaped", auth: public, forward: { service: a, path: /public/shaped }, validate: [{ require: [name] }], reply: { 200: { json: { ok: true } } } }
  - { name: files, match: "/files/**", auth: public, files: { root: "${FILES}" } }
  - { name: here, match: GET /here, auth: public, respond: { text: here } }
"#;

/// What a table is built with, knowing only these variables.
pub(super) fn loader(variables: &[(&str, &str)]) -> Loader {
    crate::identity::provider::install();
    let metrics = Arc::new(Metrics::new().expect("metrics of a fresh registry"));
    let registry = &metrics.registry;
    let session_metrics = SessionMetrics::register(registry).expect("metrics of a fresh registry");
    let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new(1000, session_metrics.clone()));
    // One certificate is read quicker than all of the system's.
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/src/services/tests/ca.pem").to_owned();
    Loader {
        path: PathBuf::from("/nonexistent/routes.yaml"),
        environment: Arc::new(Environment::of(variables)),
        fleet: Fleet::new(registry, Some(ca)).expect("metrics of a fresh registry"),
        key_sets: KeySets::new(registry).expect("metrics of a fresh registry"),
        token_caches: TokenCaches::default(),
        rates: Rates::new(registry, None).expect("metrics of a fresh registry"),
        records: Records::default(),
        filters: vec![FILTERS],
        has_audit_log: false,
        store,
        metrics,
        session_metrics,
    }
}

fn table(loader: &Loader, routes: &str) -> Table {
    match loader.compile(routes) {
        Load::Table(table) => *table,
        Load::Problems(report, _) => panic!("{report}"),
    }
}

/// A gateway of [`ROUTES`] before a service at this address, that believes 10.0.0.0/8.
pub(crate) fn gateway(service: &str) -> Gateway {
    gateway_of(ROUTES, service)
}

/// The same with other routes.
pub(crate) fn gateway_of(routes: &str, service: &str) -> Gateway {
    let files = folder();
    let loader = loader(&[("A", service), ("SECRET", SECRET), ("FILES", files.to_str().expect("a path in text"))]);
    let metrics = loader.metrics.clone();
    let access_log =
        AccessLog::start(&Destination::Off, metrics.access_log_dropped.clone()).expect("nothing is opened");
    let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
    Gateway::new(table(&loader, routes), loader.fleet.clone(), metrics, (Arc::new(access_log), None), trusted)
}

/// The folder of the project that [`range`](super::range) serves.
fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/served"))
}

pub(crate) fn today() -> Now {
    Now { unix: TODAY, ..Now::read() }
}

/// The one token that is good: of the user 7, for an hour.
pub(crate) fn token() -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    let payload = format!(r#"{{"user_id":"7","user_type":"patient","exp":{}}}"#, TODAY + 3600);
    let signed = format!("{}.{}", BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#), BASE64.encode(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{signed}.{}", BASE64.encode(hmac::sign(&key, signed.as_bytes())))
}

/// A GET of a path that is canonical.
pub(super) fn get<'p>(path: &'p str, headers: &'p http::HeaderMap) -> Head<'p> {
    Head { method: &http::Method::GET, host: "hilum.test", path, query: None, headers }
}

/// What a path means to somebody who decodes it once more, ignores case and takes empty and dot segments away: as far as a careless
/// service may go.
pub(super) fn carelessly(path: &str) -> String {
    let decoded =
        percent_encoding::percent_decode_str(path).decode_utf8_lossy().to_ascii_lowercase().replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}
