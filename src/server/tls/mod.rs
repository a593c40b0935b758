//! TLS of the listeners: which certificate whom is shown, the handshake and its deadline. rustls on ring, TLS 1.2 and 1.3, its own
//! choice of ciphers, no early data: a request that can be replayed is none that may change something.

mod files;
mod metrics;
mod names;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use hilum_filters::api::{At, Problem};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::stream::Stream as TcpStream;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use crate::config::conf::{FileName, Listener};
use files::{Content, Files};
use metrics::Outcome;
use names::ByName;

pub use metrics::TlsMetrics;
pub use watch::Certificates;

/// The TLS of one listener.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    http2: bool,
    loaded: ArcSwap<Loaded>,
}

/// What the files became. A connection keeps what it began with.
#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    contents: Vec<Content>,
    certificates: Vec<About>,
    warnings: Vec<String>,
}

/// A certificate that is shown to clients, for those who look after it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct About {
    /// As the settings name it.
    file: PathBuf,
    /// In Unix time.
    expires: i64,
}

impl Tls {
    /// Reads the files of a listener, which are relative to `base`; `None` without `tls`, or with problems.
    pub fn load(listener: &Listener, base: &Path, now: SystemTime, problems: &mut Vec<Problem>) -> Option<Tls> {
        // What can't be read of the settings was told when they were.
        let certificates = listener.tls.as_ref()?.read(&mut Vec::new());
        let place = |file: &hilum_filters::api::Placed<FileName>| (file.at, file.value.0.clone());
        let files = Files {
            base: base.to_owned(),
            certificates: certificates.iter().map(|it| (place(&it.cert), place(&it.key))).collect(),
            client_ca: listener.client_ca().map(place),
        };
        let http2 = listener.http2();
        let loaded = Loaded::new(&files, http2, files.read(), now, problems)?;
        Some(Tls { files, http2, loaded: ArcSwap::from_pointee(loaded) })
    }

    /// What is not wrong, but will be or is not as it should be.
    pub fn warnings(&self) -> Vec<String> {
        self.loaded.load().warnings.clone()
    }

    /// Makes the handshake within a time; `None`: the connection is over, and was counted.
    async fn handshake(&self, stream: TcpStream, within: Duration, metrics: &TlsMetrics) -> Option<Stream> {
        let acceptor = Acceptor::from_server_config(self.loaded.load().config.clone());
        let (outcome, stream) = match tokio::time::timeout(within, acceptor.tls_handshake(stream)).await {
            Err(_) => (Outcome::Timeout, None),
            Ok(Err(e)) => {
                let outcome = Outcome::of(&e.to_string());
                // One line for each of those who knock would be theirs to fill our disk with.
                log::debug!("a TLS handshake failed: {}", outcome.name());
                (outcome, None)
            }
            Ok(Ok(stream)) => (Outcome::Ok, Some(Box::new(stream) as Stream)),
        };
        metrics.count(outcome);
        stream
    }
}

/// Whether the clients of a listener come over TLS, and how long their handshake may take.
#[derive(Clone)]
pub struct Security {
    pub tls: Option<Arc<Tls>>,
    pub within: Duration,
    pub certificates: Arc<Certificates>,
}

impl Security {
    /// The connection to serve; `None`: it is over.
    pub(super) async fn handshake(&self, stream: TcpStream) -> Option<Stream> {
        match &self.tls {
            Some(tls) => tls.handshake(stream, self.within, &self.certificates.metrics).await,
            None => Some(Box::new(stream)),
        }
    }
}

impl Loaded {
    fn new(
        files: &Files,
        http2: bool,
        contents: Vec<Content>,
        now: SystemTime,
        problems: &mut Vec<Problem>,
    ) -> Option<Loaded> {
        let before = problems.len();
        let provider = Arc::new(ring::default_provider());
        let (certificates, mut warnings) = files.certificates(&contents, &provider, now, problems);
        let roots = files.roots(&contents, problems);
        if problems.len() > before {
            return None;
        }
        let about = certificates.iter().map(|it| About { file: it.file.clone(), expires: it.expires }).collect();
        let resolver = ByName::new(certificates, problems)?;
        let at = files.certificates.first().map_or(At::default(), |((at, _), _)| *at);
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let config = builder.map_err(|e| e.to_string()).and_then(|builder| {
            let builder = match roots {
                None => builder.with_no_client_auth(),
                Some(roots) => {
                    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                    builder.with_client_cert_verifier(verifier.map_err(|e| e.to_string())?)
                }
            };
            let mut config = builder.with_cert_resolver(Arc::new(resolver));
            if files.client_ca.is_some() {
                // A resumed session does not show its certificate again, and it may have run out, or its signer be trusted no more.
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            } else {
                config.ticketer = ring::Ticketer::new().map_err(|e| e.to_string())?;
            }
            let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
            config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
            Ok(Arc::new(config))
        });
        let config = match config {
            Ok(config) => config,
            Err(e) => {
                problems.push(Problem::new(at, format!("these can't be used for TLS: {e}")));
                return None;
            }
        };
        warnings.dedup();
        Some(Loaded { config, contents, certificates: about, warnings })
    }
}
