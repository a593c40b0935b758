//! Which certificate is shown to whom, by the name that the client asks for (RFC 6066, 3).

use std::collections::HashMap;
use std::sync::Arc;

use hilum_filters::api::Problem;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::Certificate;

/// The certificates by their names. A name of its own goes before a wildcard; who asks for none of them is shown the first.
#[derive(Debug)]
pub(super) struct ByName {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// Without their `*.`: for exactly one label more (RFC 6125, 6.4.3).
    wild: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl ByName {
    /// A certificate that nobody would ever be shown is a problem.
    pub(super) fn new(certificates: Vec<Certificate>, problems: &mut Vec<Problem>) -> Option<ByName> {
        let first = certificates.first()?.key.clone();
        let mut names = ByName { exact: HashMap::new(), wild: HashMap::new(), first };
        let before = problems.len();
        for (number, certificate) in certificates.into_iter().enumerate() {
            let mut is_shown = number == 0;
            for name in certificate.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut names.wild, rest.to_owned()),
                    None => (&mut names.exact, name),
                };
                map.entry(name).or_insert_with(|| {
                    is_shown = true;
                    certificate.key.clone()
                });
            }
            if !is_shown {
                let text = format!("{} would never be shown to a client", certificate.file.display());
                let help =
                    "it has no DNS name that those before it do not have, and only the first is shown without one";
                problems.push(Problem::new(certificate.at, text).help(help));
            }
        }
        (problems.len() == before).then_some(names)
    }

    fn find(&self, asked: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(asked) = asked.map(str::to_ascii_lowercase) else { return &self.first };
        let wild = || asked.split_once('.').and_then(|(_, rest)| self.wild.get(rest));
        self.exact.get(&asked).or_else(wild).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()).clone())
    }
}
