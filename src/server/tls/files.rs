//! Certificates, their keys and the roots of clients, from their files. Everything that can be told of them before a client comes is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hilum_filters::api::{At, Problem};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Where the settings name a file, and the file.
pub(super) type Place = (At, PathBuf);

/// The files of one listener.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) base: PathBuf,
    /// Each certificate with its key.
    pub(super) certificates: Vec<(Place, Place)>,
    pub(super) client_ca: Option<Place>,
}

/// What is in a file, or why that can't be known. Not printable: it may be a key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    bytes: Result<Vec<u8>, String>,
    /// Everybody on the machine may read it.
    is_open: bool,
}

/// A certificate with its key, ready to be shown.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) at: At,
    pub(super) file: PathBuf,
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names that it is for, in lower case.
    pub(super) names: Vec<String>,
    pub(super) expires: i64,
}

/// A certificate that ends within this is told of: whoever renews it has failed, most likely.
const SOON: Duration = Duration::from_hours(14 * 24);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content")
    }
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Place> {
        self.certificates.iter().flat_map(|(cert, key)| [cert, key]).chain(&self.client_ca)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.all().map(|(_, file)| self.base.join(file))
    }

    /// All of them, in the order of [`Files::paths`].
    pub(super) fn read(&self) -> Vec<Content> {
        self.paths().map(|path| Content::read(&path)).collect()
    }

    /// What cannot be used is a problem; what should not be so is in the lines beside it.
    pub(super) fn certificates(
        &self,
        contents: &[Content],
        provider: &CryptoProvider,
        now: SystemTime,
        problems: &mut Vec<Problem>,
    ) -> (Vec<Certificate>, Vec<String>) {
        let mut warnings = Vec::new();
        let pairs = self.certificates.iter().zip(contents.chunks(2));
        let certificates = pairs.filter_map(|((cert, key), contents)| {
            let [cert_content, key_content] = contents else { return None };
            let chain = chain(cert, cert_content).map_err(|problem| problems.push(problem));
            let private = private_key(key, key_content).map_err(|problem| problems.push(problem));
            let (Ok(chain), Ok(private)) = (chain, private) else { return None };
            if key_content.is_open {
                let file = key.1.display();
                warnings.push(format!("{file}: everybody on this machine can read this private key: `chmod 600` it"));
            }
            let found = certificate(cert, chain, key, private, provider, now, &mut warnings);
            found.map_err(|problem| problems.push(problem)).ok()
        });
        (certificates.collect(), warnings)
    }

    /// Who may sign the certificates of clients; `None` where they need none.
    pub(super) fn roots(&self, contents: &[Content], problems: &mut Vec<Problem>) -> Option<RootCertStore> {
        let (place, content) = (self.client_ca.as_ref()?, contents.last()?);
        let chain = chain(place, content).map_err(|problem| problems.push(problem)).ok()?;
        let mut roots = RootCertStore::empty();
        for root in chain {
            if let Err(e) = roots.add(root) {
                problems.push(Problem::new(place.0, format!("{}: a root that can't be used: {e}", place.1.display())));
            }
        }
        Some(roots)
    }
}

impl Content {
    fn read(path: &Path) -> Content {
        use std::os::unix::fs::PermissionsExt;
        let is_open = std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0);
        Content { bytes: std::fs::read(path).map_err(|e| e.to_string()), is_open }
    }

    fn bytes(&self, (at, file): &Place) -> Result<&[u8], Problem> {
        self.bytes.as_deref().map_err(|e| Problem::new(*at, format!("{} can't be read: {e}", file.display())))
    }
}

/// All certificates of a file, at least one.
fn chain(place: &Place, content: &Content) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let (bytes, (at, file)) = (content.bytes(place)?, place);
    let file = file.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let chain = chain.map_err(|e| Problem::new(*at, format!("{file} is broken PEM: {e}")))?;
    if chain.is_empty() {
        let help = match memchr::memmem::find(bytes, b"PRIVATE KEY-----") {
            Some(_) => "it holds a private key: are the two files mixed up?",
            None => "expected PEM: `-----BEGIN CERTIFICATE-----`",
        };
        return Err(Problem::new(*at, format!("{file} holds no certificate")).help(help));
    }
    Ok(chain)
}

fn private_key(place: &Place, content: &Content) -> Result<PrivateKeyDer<'static>, Problem> {
    let (bytes, (at, file)) = (content.bytes(place)?, place);
    // What is wrong with it is not quoted: it is a key.
    PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        let help = match memchr::memmem::find(bytes, b"ENCRYPTED") {
            Some(_) => "it is encrypted, and nobody is there to say its passphrase when the gateway starts",
            None => "expected PEM: `-----BEGIN PRIVATE KEY-----`",
        };
        Problem::new(*at, format!("{} holds no private key that can be used", file.display())).help(help)
    })
}

fn certificate(
    cert: &Place,
    chain: Vec<CertificateDer<'static>>,
    key: &Place,
    private: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
    now: SystemTime,
    warnings: &mut Vec<String>,
) -> Result<Certificate, Problem> {
    let ((at, path), file) = (cert, cert.1.display());
    let parsed: Result<Vec<X509Certificate<'_>>, _> =
        chain.iter().map(|der| X509Certificate::from_der(der).map(|(_, it)| it)).collect();
    let broken = || Problem::new(*at, format!("{file} holds a certificate that can't be read"));
    let parsed = parsed.map_err(|_| broken())?;
    let leaf = parsed.first().ok_or_else(broken)?;
    let alternatives = leaf.subject_alternative_name().map_err(|_| broken())?;
    let alternatives = alternatives.map_or(&[][..], |it| &it.value.general_names);
    let names = alternatives.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let names = names.collect();
    if parsed.windows(2).any(|pair| pair[0].issuer() != pair[1].subject()) {
        warnings.push(format!("{file}: a certificate is not followed by its issuer's, and clients may not trust it"));
    }
    let (begins, expires) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let now = i64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
    if expires <= now {
        warnings.push(format!("{file}: this certificate has expired, and clients will refuse it"));
    } else if begins > now {
        warnings.push(format!("{file}: this certificate is not valid yet, and clients will refuse it"));
    } else if expires - now < soon {
        warnings.push(format!("{file}: this certificate expires in {} days", (expires - now) / (24 * 60 * 60)));
    }
    drop(parsed);
    let key = CertifiedKey::from_der(chain, private, provider).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => {
            let text = format!("{} is not the key of the certificate in {file}", key.1.display());
            Problem::new(key.0, text).help("the two belong together: take both from the same place")
        }
        e => Problem::new(key.0, format!("{} can't be used with {file}: {e}", key.1.display())),
    })?;
    Ok(Certificate { at: *at, file: path.clone(), key: Arc::new(key), names, expires })
}
