//! The only erased code: a filter of any type, and the memory it keeps, behind one trait.

use std::any::Any;

use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use smallvec::SmallVec;

use super::exchange::{Chunk, Exchange, Facts, Outcome};
use super::filter::Filter;
use super::phases::{Entrance, Phase, Phases};
use super::reply::Step;

pub(super) type Slot = Option<Box<dyn Any + Send + Sync>>;

/// The memory that the filters of one chain have of one exchange. Slots exist only for filters that keep something,
/// and are filled when they are first asked for.
#[derive(Default)]
pub struct States(pub(super) SmallVec<[Slot; 4]>);

/// What a link gets: the exchange, before the type of its memory is known.
pub struct Wire<'a> {
    /// The client's request.
    pub request: &'a RequestHeader,
    /// What is known about the exchange.
    pub facts: &'a mut Facts,
    pub(super) slot: Option<&'a mut Slot>,
}

/// One place in a chain. Filters are installed behind it; the engine's fixed slots implement it directly.
pub trait Link: Send + Sync {
    /// Asked once, when the chain is made: a hook of a phase that is not taken part in is never called.
    fn takes_part(&self, phase: Phase) -> bool;

    /// Whether this link keeps something between the hooks of one exchange. Asked once; only filters do.
    fn has_state(&self) -> bool {
        false
    }
    /// Reads the request and decides.
    fn request<'a>(&'a self, _: Wire<'a>) -> Step<'a> {
        Step::CONTINUE
    }
    /// Sees a piece of the request body.
    fn request_body(&self, _: Wire<'_>, _: &mut Chunk<'_>) -> Result<()> {
        Ok(())
    }
    /// Changes the head that the service gets.
    fn upstream_request(&self, _: Wire<'_>, _: &mut RequestHeader) -> Result<()> {
        Ok(())
    }
    /// Changes the head that the client gets.
    fn response(&self, _: Wire<'_>, _: &mut ResponseHeader) -> Result<()> {
        Ok(())
    }
    /// Sees a piece of the response body.
    fn response_body(&self, _: Wire<'_>, _: &mut Chunk<'_>) -> Result<()> {
        Ok(())
    }
    /// Hears how it ended.
    fn log(&self, _: Wire<'_>, _: &Outcome<'_>) {}
}

/// A filter with its hooks.
pub(super) struct Installed<F: Filter> {
    filter: F,
    on: Phases<F>,
}

impl<F: Filter> Installed<F> {
    pub(super) fn new(filter: F) -> Self {
        let mut on = Phases::NONE;
        filter.phases(&mut on);
        Installed { filter, on }
    }
}

impl<F: Filter> Link for Installed<F> {
    fn takes_part(&self, phase: Phase) -> bool {
        self.on.has(phase)
    }

    fn has_state(&self) -> bool {
        kept::<F::State>()
    }

    fn request<'a>(&'a self, wire: Wire<'a>) -> Step<'a> {
        match &self.on.request {
            None => Step::CONTINUE,
            Some(Entrance::Now(hook)) => Step::Now(hook(&self.filter, wire.typed())),
            Some(Entrance::Step(hook)) => hook(&self.filter, wire.typed()),
        }
    }

    fn request_body(&self, wire: Wire<'_>, chunk: &mut Chunk<'_>) -> Result<()> {
        self.on.request_body.map_or(Ok(()), |hook| hook(&self.filter, wire.typed(), chunk))
    }

    fn upstream_request(&self, wire: Wire<'_>, to_service: &mut RequestHeader) -> Result<()> {
        self.on.upstream_request.map_or(Ok(()), |hook| hook(&self.filter, wire.typed(), to_service))
    }

    fn response(&self, wire: Wire<'_>, answer: &mut ResponseHeader) -> Result<()> {
        self.on.response.map_or(Ok(()), |hook| hook(&self.filter, wire.typed(), answer))
    }

    fn response_body(&self, wire: Wire<'_>, chunk: &mut Chunk<'_>) -> Result<()> {
        self.on.response_body.map_or(Ok(()), |hook| hook(&self.filter, wire.typed(), chunk))
    }

    fn log(&self, wire: Wire<'_>, outcome: &Outcome<'_>) {
        if let Some(hook) = self.on.log {
            hook(&self.filter, wire.typed(), outcome);
        }
    }
}

impl<'a> Wire<'a> {
    fn typed<S: Default + Send + Sync + 'static>(self) -> Exchange<'a, S> {
        let state = match self.slot {
            // A box of nothing is no allocation: nothing leaks.
            _ if !kept::<S>() => Box::leak(Box::default()),
            Some(slot) => slot
                .get_or_insert_with(|| Box::new(S::default()))
                .downcast_mut()
                .expect("a slot is only ever used by its own link"),
            None => unreachable!("Chain::new gives every link with state a slot"),
        };
        Exchange { request: self.request, facts: self.facts, state }
    }
}

/// Whether a filter's memory holds anything at all.
const fn kept<S>() -> bool {
    size_of::<S>() > 0 || std::mem::needs_drop::<S>()
}
