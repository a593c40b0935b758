//! What can go wrong with a peer, in the few kinds that reasons and metrics know.

use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;
use pingora_error::{Error, ErrorType};

/// How an exchange with a peer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// There is no connection: refused, no route, or TLS did not come about.
    Refused,
    /// The connection ended in the middle.
    Reset,
    /// What came is not an answer in HTTP, or one that was not asked for.
    Garbage,
    /// The peer took longer than its service's timeouts allow.
    Timeout,
    /// The time for the whole request was over.
    Deadline,
    /// The answer was longer than the limit.
    ReplyTooLarge,
}

/// How an exchange with a peer ended, for [`Pool::observe`](super::Pool::observe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered(StatusCode),
    Failed(Fault),
    /// Nobody waited for the answer any more: the client left.
    Abandoned,
}

/// Why there is no answer to a request of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No peer of the service is up (or none of its names resolves yet). Nothing was tried.
    NoHealthyPeer,
    /// The service has as much to do as it may have. Nothing was tried.
    Overloaded,
    /// `peer` is absent when the time was over before one was chosen.
    Failed { fault: Fault, doing: Doing, peer: Option<SocketAddr>, attempts: u32 },
}

/// The part of an exchange that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Connecting,
    Sending,
    Waiting,
    Reading,
}

impl CallError {
    /// The peer that was asked.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            CallError::NoHealthyPeer | CallError::Overloaded => None,
            CallError::Failed { peer, .. } => *peer,
        }
    }
}

impl CallError {
    /// How often a peer was asked.
    pub fn attempts(&self) -> u32 {
        match self {
            CallError::NoHealthyPeer | CallError::Overloaded => 0,
            CallError::Failed { attempts, .. } => *attempts,
        }
    }
}

impl Fault {
    /// The kind that an error of Pingora belongs to, when it came from the side of the service.
    pub fn of(error: &Error) -> Fault {
        use ErrorType as E;
        match error.etype() {
            E::ConnectTimedout | E::TLSHandshakeTimedout | E::ReadTimedout | E::WriteTimedout => Fault::Timeout,
            E::ReadError | E::WriteError | E::ConnectionClosed => Fault::Reset,
            E::InvalidHTTPHeader | E::H1Error | E::H2Error | E::H2Downgrade | E::InvalidH2 => Fault::Garbage,
            // The body reader's own kinds: bad chunks, a body that is shorter than it should be.
            E::Custom(_) | E::CustomCode(..) | E::HTTPStatus(_) => Fault::Garbage,
            _ => Fault::Refused,
        }
    }
}

impl Outcome {
    /// Every value of the label `outcome`, in the order of [`Outcome::index`].
    pub(super) const LABELS: [&str; 12] = [
        "1xx",
        "2xx",
        "3xx",
        "4xx",
        "5xx",
        "refused",
        "reset",
        "garbage",
        "timeout",
        "deadline",
        "reply_too_large",
        "abandoned",
    ];

    pub(super) fn index(self) -> usize {
        match self {
            // A status beyond 599 is handled like a 5xx (RFC 9110, 15).
            Outcome::Answered(status) => usize::from(status.as_u16() / 100).clamp(1, 5) - 1,
            Outcome::Failed(Fault::Refused) => 5,
            Outcome::Failed(Fault::Reset) => 6,
            Outcome::Failed(Fault::Garbage) => 7,
            Outcome::Failed(Fault::Timeout) => 8,
            Outcome::Failed(Fault::Deadline) => 9,
            Outcome::Failed(Fault::ReplyTooLarge) => 10,
            Outcome::Abandoned => 11,
        }
    }
}

/// The cause in plain words. Pingora's own texts quote what the peer sent, which may be anybody's data.
pub(super) fn words(error: &Error) -> String {
    use ErrorType as E;
    let text = match error.etype() {
        E::HTTPStatus(status) => return format!("answered {status}"),
        E::ConnectTimedout | E::TLSHandshakeTimedout => "no connection in time",
        E::ConnectRefused => "connection refused",
        E::ConnectNoRoute => "no route to host",
        E::InvalidCert => "certificate not accepted",
        E::TLSHandshakeFailure | E::HandshakeError => "TLS handshake failed",
        E::ReadTimedout | E::WriteTimedout => "no answer in time",
        _ => match Fault::of(error) {
            Fault::Reset => "connection closed",
            Fault::Garbage => "no answer in HTTP",
            _ => "cannot connect",
        },
    };
    text.to_owned()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Refused => "no connection",
            Fault::Reset => "the connection ended",
            Fault::Garbage => "not a valid answer",
            Fault::Timeout => "it took too long",
            Fault::Deadline => "the time for the request was over",
            Fault::ReplyTooLarge => "the answer is too large",
        })
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doing::Connecting => "connecting to",
            Doing::Sending => "sending a request to",
            Doing::Waiting => "waiting for the answer of",
            Doing::Reading => "reading the answer of",
        })
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NoHealthyPeer => f.write_str("choosing a peer: none is up"),
            CallError::Overloaded => f.write_str("waiting for a place: the service has enough to do"),
            CallError::Failed { fault, doing, peer: Some(peer), .. } => write!(f, "{doing} {peer}: {fault}"),
            CallError::Failed { fault, doing, peer: None, .. } => write!(f, "{doing} a peer: {fault}"),
        }
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_label() {
        let label = |outcome: Outcome| Outcome::LABELS[outcome.index()];
        for (status, expected) in [(101, "1xx"), (200, "2xx"), (304, "3xx"), (404, "4xx"), (599, "5xx"), (999, "5xx")] {
            assert_eq!(label(Outcome::Answered(StatusCode::from_u16(status).expect("a status"))), expected);
        }
        for (fault, expected) in [
            (Fault::Refused, "refused"),
            (Fault::Reset, "reset"),
            (Fault::Garbage, "garbage"),
            (Fault::Timeout, "timeout"),
            (Fault::Deadline, "deadline"),
            (Fault::ReplyTooLarge, "reply_too_large"),
        ] {
            assert_eq!(label(Outcome::Failed(fault)), expected);
        }
        assert_eq!(label(Outcome::Abandoned), "abandoned");
    }

    #[test]
    fn what_the_peer_sent_is_not_quoted() {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "buf: name=Ana&diagnosis=secret");
        assert_eq!(words(&error), "no answer in HTTP");
        let error = CallError::Failed {
            fault: Fault::of(&error),
            doing: Doing::Waiting,
            peer: Some(SocketAddr::from(([127, 0, 0, 1], 8004))),
            attempts: 1,
        };
        assert_eq!(error.to_string(), "waiting for the answer of 127.0.0.1:8004: not a valid answer");
    }
}
