//! An authority that signs certificates for tests, and clients that trust it: over TLS, with HTTP/1 or HTTP/2.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{find, parse};
use super::{Response, message, within};

/// Signs certificates.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a root").pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, 4000)
    }

    /// The same, valid from 1990 until a year.
    pub(crate) fn issue_until(&self, names: &[&str], year: i32) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        (params.not_before, params.not_after) = (date_time_ymd(1990, 1, 1), date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { cert, key: key.serialize_pem() }
    }

    /// A client that trusts this authority and offers these protocols.
    pub(crate) fn dialer(&self, protocols: &[&str]) -> Dialer {
        self.dialer_with(protocols, rustls::ALL_VERSIONS, None)
    }

    /// The same with versions of TLS and a certificate.
    pub(crate) fn dialer_with(
        &self,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Issued>,
    ) -> Dialer {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM")).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).expect("PEM")];
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        // Each handshake is a whole one, unless a test asks for more.
        config.resumption = Resumption::disabled();
        Dialer(config)
    }
}

/// Makes connections over TLS.
#[derive(Clone)]
pub(crate) struct Dialer(ClientConfig);

impl Dialer {
    pub(crate) fn resuming(mut self) -> Dialer {
        self.0.resumption = Resumption::in_memory_sessions(16);
        self
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::new(self.0.clone()))
    }

    /// A connection on which the handshake was made, for this name.
    pub(crate) async fn dial(&self, to: SocketAddr, name: &str) -> Result<TlsStream<TcpStream>> {
        dial(&self.connector(), to, name).await
    }

    /// The same from an address of loopback.
    pub(crate) async fn dial_from(&self, source: [u8; 4], to: SocketAddr, name: &str) -> Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        greet(&self.connector(), within("a connection", socket.connect(to)).await?, name).await
    }

    /// Sends one request over HTTP/1 and reads to the end of the connection.
    pub(crate) async fn send(&self, to: SocketAddr, name: &str, request: &str) -> Result<Response> {
        exchange(&mut self.dial(to, name).await?, request).await
    }

    /// A connection that speaks HTTP/2.
    pub(crate) async fn http2(&self, to: SocketAddr, name: &str) -> Http2 {
        let stream = self.dial(to, name).await.unwrap_or_else(|e| panic!("no TLS with {name}: {e}"));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let (requests, connection) = within("a handshake", h2::client::handshake(stream)).await.expect("HTTP/2");
        let driver = tokio::spawn(connection);
        Http2 { requests, driver }
    }
}

pub(crate) async fn dial(connector: &TlsConnector, to: SocketAddr, name: &str) -> Result<TlsStream<TcpStream>> {
    greet(connector, within("a connection", TcpStream::connect(to)).await?, name).await
}

async fn greet(connector: &TlsConnector, stream: TcpStream, name: &str) -> Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).map_err(Error::other)?;
    within("a TLS handshake", connector.connect(name, stream)).await
}

/// One request on an open connection, which ends with it.
pub(crate) async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str) -> Result<Response> {
    let (head, body) = request.split_once("\n\n").map_or((request, String::new()), |(h, b)| (h, format!("\n\n{b}")));
    let is_head = request.starts_with("HEAD ");
    let request = message(&format!("{}\nConnection: close{body}", head.trim_end()));
    within("writing", stream.write_all(&request)).await?;
    let mut bytes = Vec::new();
    // A connection that failed may end without TLS saying so; the length tells whether the answer is whole.
    let ended = within("an answer", stream.read_to_end(&mut bytes)).await.map(|_| ());
    if bytes.is_empty() {
        ended?;
        return Err(Error::other("no answer"));
    }
    let end = find(&bytes, b"\r\n\r\n").ok_or_else(|| Error::other("no answer"))?;
    let mut response = parse(&bytes[..end]);
    response.body = bytes.split_off(end + 4);
    let length = response.header("content-length").and_then(|length| length.parse().ok());
    response.complete = length.map_or(ended.is_ok(), |length: usize| response.body.len() == length || is_head);
    Ok(response)
}

/// Whether a connection took up a session of before.
pub(crate) fn is_resumed(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// An HTTP/2 connection.
pub(crate) struct Http2 {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) driver: tokio::task::JoinHandle<std::result::Result<(), h2::Error>>,
}

impl Http2 {
    /// Sends a request: `METHOD PATH`, lines of headers, an empty line and a body. `authority` is in `:authority`.
    pub(crate) async fn send(&mut self, authority: &str, text: &str) -> std::result::Result<Response, h2::Error> {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines().map(str::trim);
        let (method, path) = lines.next().and_then(|line| line.split_once(' ')).expect("METHOD PATH");
        let mut request = http::Request::builder().method(method).uri(format!("https://{authority}{path}"));
        for line in lines {
            let (name, value) = line.split_once(": ").expect("name: value");
            request = request.header(name, value);
        }
        let request = request.version(http::Version::HTTP_2).body(()).expect("a request");
        let mut ready = within("a free stream", self.requests.clone().ready()).await?;
        let (answer, mut sending) = ready.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            sending.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        }
        read(within("an answer", answer).await?).await
    }
}

/// The answer to its end.
pub(crate) async fn read(answer: http::Response<h2::RecvStream>) -> std::result::Result<Response, h2::Error> {
    let (head, mut body) = answer.into_parts();
    let headers = head.headers.iter();
    let headers = headers.map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()));
    let mut response = Response { status: head.status.as_u16(), headers: headers.collect(), ..Response::default() };
    while let Some(piece) = within("more of an answer", body.data()).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        response.body.extend_from_slice(&piece);
    }
    response.complete = true;
    Ok(response)
}
