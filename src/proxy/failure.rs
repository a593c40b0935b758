//! Pingora's errors as reasons of ours.

use pingora_error::{Error, ErrorSource, ErrorType};

use super::{Ctx, guard};
use crate::refusal::Reason;
use crate::services::Fault;

/// What an exchange failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is nobody to answer to.
    ClientGone,
    /// One of our own reasons.
    Known(Reason),
    Service(Fault),
    /// A defect of ours.
    Own,
}

impl Failure {
    pub(super) fn of(error: &Error, ctx: &Ctx) -> Failure {
        if let ErrorType::Custom(name) = error.etype()
            && let Some(reason) = Reason::all().find(|r| r.name() == *name)
        {
            return Failure::Known(reason);
        }
        if guard::is_ill_framed() {
            return Failure::Known(Reason::FramingRejected);
        }
        if let Some(overdue) = guard::overdue() {
            let (reason, fault) = ctx.reason_for(overdue);
            return fault.map_or(Failure::Known(reason), Failure::Service);
        }
        match (error.esource(), error.etype()) {
            // Pingora waits for the service while the client still sends.
            (ErrorSource::Upstream, ErrorType::ReadTimedout) if guard::waits_for_client() => {
                Failure::Known(Reason::ClientTooSlow)
            }
            (
                _,
                ErrorType::ConnectTimedout
                | ErrorType::ConnectRefused
                | ErrorType::ConnectNoRoute
                | ErrorType::ConnectError
                | ErrorType::ConnectProxyFailure
                | ErrorType::TLSHandshakeFailure
                | ErrorType::TLSHandshakeTimedout
                | ErrorType::InvalidCert
                | ErrorType::HandshakeError,
            )
            | (ErrorSource::Upstream, _) => Failure::Service(match Fault::of(error) {
                Fault::Timeout if ctx.is_late() => Fault::Deadline,
                fault => fault,
            }),
            // Over HTTP/1 it is the guard who finds out.
            (ErrorSource::Downstream, ErrorType::ReadTimedout)
            | (ErrorSource::Downstream | ErrorSource::Unset, ErrorType::WriteTimedout) => {
                Failure::Known(Reason::ClientTooSlow)
            }
            // Over HTTP/2 a client that leaves resets its stream.
            (
                ErrorSource::Downstream,
                ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::H2Error,
            ) => Failure::ClientGone,
            (ErrorSource::Downstream, _) => Failure::Known(Reason::Malformed),
            // A write of ours carries no source.
            (
                ErrorSource::Unset,
                ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::H2Error,
            ) => Failure::ClientGone,
            _ => Failure::Own,
        }
    }

    pub(super) fn reason(self) -> Option<Reason> {
        match self {
            Failure::ClientGone => None,
            Failure::Known(reason) => Some(reason),
            Failure::Own => Some(Reason::Internal),
            Failure::Service(fault) => Some(fault.into()),
        }
    }

    pub(super) fn fault(self) -> Option<Fault> {
        match self {
            Failure::Service(fault) => Some(fault),
            _ => None,
        }
    }
}

/// An error that says which reason it is.
pub(super) fn error(reason: Reason) -> Box<Error> {
    Error::explain(ErrorType::Custom(reason.name()), reason.message())
}
