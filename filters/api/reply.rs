//! How a request hook ends: it lets the request on, or answers itself.

use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use pingora_error::Result;
use smallvec::SmallVec;

/// What a request hook decided.
pub enum Flow {
    /// The next one is asked, and at last the service.
    Continue,
    /// Boxed, because a reply is rare and large.
    Reply(Box<Reply>),
}

/// An answer made by a filter.
///
/// Without a body the engine writes the route's error body for `reason`; an answer that shall have an empty body
/// says so with `Some(Bytes::new())`.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Why the request was refused: one of the filter's `REASONS`. Empty for an answer that is no refusal.
    pub reason: &'static str,
    /// Header lines besides those that the engine writes on every answer.
    pub headers: SmallVec<[(HeaderName, HeaderValue); 2]>,
    /// `None`: the route's error body for `reason`.
    pub body: Option<Bytes>,
}

impl Reply {
    /// A refusal, in the words that the route has for `reason`.
    pub fn refuse(status: StatusCode, reason: &'static str) -> Self {
        Reply { status, reason, headers: SmallVec::new(), body: None }
    }

    /// An answer that is no refusal.
    pub fn answer(status: StatusCode, body: Bytes) -> Self {
        Reply { status, reason: "", headers: SmallVec::new(), body: Some(body) }
    }

    /// The same with one more header line.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Flow::Reply(Box::new(reply))
    }
}

/// A future that is boxed.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A request hook answers at once, or by a future that is boxed only when there is one to wait for.
pub enum Step<'a> {
    /// It is decided.
    Now(Result<Flow>),
    /// Somebody has to be asked first.
    Later(BoxFuture<'a, Result<Flow>>),
}

impl<'a> Step<'a> {
    /// The request goes on at once.
    pub const CONTINUE: Self = Step::Now(Ok(Flow::Continue));

    /// Decides when the future is done.
    pub fn later(future: impl Future<Output = Result<Flow>> + Send + 'a) -> Self {
        Step::Later(Box::pin(future))
    }
}
