//! The phases of an exchange, and which of them a filter takes part in.

use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::exchange::{Chunk, Exchange, Outcome};
use super::filter::Filter;
use super::reply::{Flow, Step};

/// A moment of the exchange at which filters are asked, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The client's head is complete.
    Request,
    /// A piece of the client's body came.
    RequestBody,
    /// The head for the service is about to be sent.
    UpstreamRequest,
    /// The head for the client is about to be sent.
    Response,
    /// A piece of the answer's body came.
    ResponseBody,
    /// It is over.
    Log,
}

impl Phase {
    /// All phases.
    pub const ALL: [Phase; 6] =
        [Phase::Request, Phase::RequestBody, Phase::UpstreamRequest, Phase::Response, Phase::ResponseBody, Phase::Log];
}

type OnRequest<F> = fn(&F, Exchange<'_, <F as Filter>::State>) -> Result<Flow>;
type OnStep<F> = for<'a> fn(&'a F, Exchange<'a, <F as Filter>::State>) -> Step<'a>;
type OnHead<F, H> = fn(&F, Exchange<'_, <F as Filter>::State>, &mut H) -> Result<()>;
type OnBody<F> = fn(&F, Exchange<'_, <F as Filter>::State>, &mut Chunk<'_>) -> Result<()>;
type OnLog<F> = fn(&F, Exchange<'_, <F as Filter>::State>, &Outcome<'_>);

pub(super) enum Entrance<F: Filter> {
    Now(OnRequest<F>),
    Step(OnStep<F>),
}

/// The hooks of one filter: plain function pointers. Nothing is called that was not set, and a hook that was written
/// but not set is a dead-code warning.
pub struct Phases<F: Filter> {
    pub(super) request: Option<Entrance<F>>,
    pub(super) request_body: Option<OnBody<F>>,
    pub(super) upstream_request: Option<OnHead<F, RequestHeader>>,
    pub(super) response: Option<OnHead<F, ResponseHeader>>,
    pub(super) response_body: Option<OnBody<F>>,
    pub(super) log: Option<OnLog<F>>,
}

impl<F: Filter> Phases<F> {
    pub(super) const NONE: Self = Self {
        request: None,
        request_body: None,
        upstream_request: None,
        response: None,
        response_body: None,
        log: None,
    };

    /// Reads the request and decides at once.
    pub fn request(&mut self, hook: OnRequest<F>) {
        self.request = Some(Entrance::Now(hook));
    }

    /// Reads the request and decides at once, or after waiting for somebody else.
    pub fn request_step(&mut self, hook: OnStep<F>) {
        self.request = Some(Entrance::Step(hook));
    }

    /// Sees each piece of the request body on its way to the service. An error ends the exchange.
    pub fn request_body(&mut self, hook: OnBody<F>) {
        self.request_body = Some(hook);
    }

    /// Changes the head that the service gets. Runs again, on a fresh head, when the request is tried again.
    pub fn upstream_request(&mut self, hook: OnHead<F, RequestHeader>) {
        self.upstream_request = Some(hook);
    }

    /// Changes the head that the client gets.
    pub fn response(&mut self, hook: OnHead<F, ResponseHeader>) {
        self.response = Some(hook);
    }

    /// Sees each piece of the response body on its way to the client. An error ends the exchange.
    pub fn response_body(&mut self, hook: OnBody<F>) {
        self.response_body = Some(hook);
    }

    /// Sees how it ended, exactly once, also when the client left.
    pub fn log(&mut self, hook: OnLog<F>) {
        self.log = Some(hook);
    }

    pub(super) fn has(&self, phase: Phase) -> bool {
        match phase {
            Phase::Request => self.request.is_some(),
            Phase::RequestBody => self.request_body.is_some(),
            Phase::UpstreamRequest => self.upstream_request.is_some(),
            Phase::Response => self.response.is_some(),
            Phase::ResponseBody => self.response_body.is_some(),
            Phase::Log => self.log.is_some(),
        }
    }
}
