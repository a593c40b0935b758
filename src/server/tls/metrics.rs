//! What is counted about TLS. Labels come from a short list of our own: whoever knocks adds none.

use std::path::Path;

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    /// It took longer than the head of a request may take.
    Timeout,
    /// The client left.
    Closed,
    /// What came is no TLS, or broken.
    NotTls,
    /// No version, cipher or protocol that both sides know.
    Incompatible,
    /// The client has no certificate, or none that is trusted.
    ClientCertificate,
    /// The client does not want our certificate, or something else of ours.
    Refused,
    Other,
}

const ALL: [Outcome; 8] = [
    Outcome::Ok,
    Outcome::Timeout,
    Outcome::Closed,
    Outcome::NotTls,
    Outcome::Incompatible,
    Outcome::ClientCertificate,
    Outcome::Refused,
    Outcome::Other,
];

impl Outcome {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Timeout => "timeout",
            Outcome::Closed => "closed",
            Outcome::NotTls => "not_tls",
            Outcome::Incompatible => "incompatible",
            Outcome::ClientCertificate => "client_certificate",
            Outcome::Refused => "refused",
            Outcome::Other => "other",
        }
    }

    /// Pingora keeps of rustls' error nothing but its text. The tests hold this against rustls itself.
    pub(super) fn of(text: &str) -> Outcome {
        let kinds = [
            ("received fatal alert", Outcome::Refused),
            ("invalid peer certificate", Outcome::ClientCertificate),
            ("peer sent no certificates", Outcome::ClientCertificate),
            ("peer is incompatible", Outcome::Incompatible),
            ("support any known protocol", Outcome::Incompatible),
            ("received corrupt message", Outcome::NotTls),
            ("received unexpected", Outcome::NotTls),
            ("peer misbehaved", Outcome::NotTls),
            ("eof", Outcome::Closed),
            ("Connection reset", Outcome::Closed),
            ("Broken pipe", Outcome::Closed),
        ];
        kinds.into_iter().find(|(part, _)| text.contains(part)).map_or(Outcome::Other, |(_, outcome)| outcome)
    }
}

/// Handles, resolved once.
#[derive(Debug)]
pub struct TlsMetrics {
    handshakes: [IntCounter; ALL.len()],
    reloads: IntCounterVec,
    expires: IntGaugeVec,
}

impl TlsMetrics {
    /// # Errors
    /// They are registered already.
    pub fn register(registry: &Registry) -> anyhow::Result<TlsMetrics> {
        let handshakes = IntCounterVec::new(
            Opts::new("hilum_tls_handshakes_total", "TLS handshakes of clients, by result."),
            &["result"],
        )?;
        let reloads = IntCounterVec::new(
            Opts::new("hilum_certificate_reloads_total", "Changed certificates, keys and client roots, by result."),
            &["result"],
        )?;
        let expires = IntGaugeVec::new(
            Opts::new(
                "hilum_certificate_expires_seconds",
                "When a certificate that clients are shown ends, in Unix time.",
            ),
            &["file"],
        )?;
        registry.register(Box::new(handshakes.clone()))?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(expires.clone()))?;
        for result in ["loaded", "refused"] {
            reloads.with_label_values(&[result]);
        }
        let handshakes = ALL.map(|outcome| handshakes.with_label_values(&[outcome.name()]));
        Ok(TlsMetrics { handshakes, reloads, expires })
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.handshakes[outcome as usize].inc();
    }

    pub(super) fn reloaded(&self, result: &str) {
        self.reloads.with_label_values(&[result]).inc();
    }

    pub(super) fn expires(&self, file: &Path, at: i64) {
        self.expires.with_label_values(&[&file.display().to_string()]).set(at);
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

    use super::*;

    #[test]
    fn what_rustls_says_has_a_short_name() {
        for (error, expected) in [
            (Error::AlertReceived(AlertDescription::UnknownCA), Outcome::Refused),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), Outcome::ClientCertificate),
            (Error::NoCertificatesPresented, Outcome::ClientCertificate),
            (Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered), Outcome::Incompatible),
            (Error::NoApplicationProtocol, Outcome::Incompatible),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), Outcome::NotTls),
            (Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec), Outcome::NotTls),
            (Error::DecryptError, Outcome::Other),
        ] {
            assert_eq!(Outcome::of(&error.to_string()), expected, "{error}");
        }
        for (number, outcome) in ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number, "{outcome:?}");
        }
    }
}
