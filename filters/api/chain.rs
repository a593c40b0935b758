//! The filters of one route, in order, and the loops that run them.

use std::ops::Range;
use std::sync::Arc;

use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::exchange::{Chunk, Facts, Outcome};
use super::link::{Link, States, Wire};
use super::phases::Phase;
use super::reply::{Flow, Step};

/// A list of links, outermost first, made once when the table is compiled. For each phase it keeps the list of the
/// links that take part, in the order in which they run: an absent hook costs nothing.
#[derive(Default)]
pub struct Chain {
    links: Box<[Arc<dyn Link>]>,
    slots: u8,
    request: Box<[Stop]>,
    request_body: Box<[Stop]>,
    upstream_request: Box<[Stop]>,
    /// This list and the two below are in reverse.
    response: Box<[Stop]>,
    response_body: Box<[Stop]>,
    log: Box<[Stop]>,
}

/// How far a request came: `passed` links let it through; `entered` also counts the one that ended it, or that was
/// asked when the client left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// How many links let the request through: an answer comes back through those.
    pub passed: u8,
    /// How many links were asked: those hear how it ended.
    pub entered: u8,
}

#[derive(Clone, Copy)]
struct Stop {
    link: u8,
    /// `NO_SLOT`: the link keeps nothing.
    slot: u8,
}

const NO_SLOT: u8 = 255;

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} links)", self.len())
    }
}

impl Chain {
    /// The most links that a chain may have.
    pub const MOST: usize = 254;

    /// Makes a chain.
    ///
    /// # Panics
    /// With more than [`Chain::MOST`] links: whoever compiles the table refuses such a route before.
    pub fn new(links: Vec<Arc<dyn Link>>) -> Chain {
        assert!(links.len() <= Self::MOST, "checked when the table is compiled");
        let mut slots = 0;
        let all: Vec<Stop> = (0..)
            .zip(&links)
            .map(|(link, it)| {
                let slot = if it.has_state() { slots } else { NO_SLOT };
                slots += u8::from(it.has_state());
                Stop { link, slot }
            })
            .collect();
        let down = |phase| -> Box<[Stop]> {
            all.iter().copied().filter(|stop| links[usize::from(stop.link)].takes_part(phase)).collect()
        };
        let up = |phase| -> Box<[Stop]> { down(phase).into_iter().rev().collect() };
        Chain {
            slots,
            request: down(Phase::Request),
            request_body: down(Phase::RequestBody),
            upstream_request: down(Phase::UpstreamRequest),
            response: up(Phase::Response),
            response_body: up(Phase::ResponseBody),
            log: up(Phase::Log),
            links: links.into(),
        }
    }

    /// How many links there are.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is no link at all.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Whether any link has a hook of this phase: without one, a body need not be shown to the chain.
    pub fn takes_part(&self, phase: Phase) -> bool {
        !self.stops(phase).is_empty()
    }

    /// Fresh memory for one exchange: no heap up to four links that keep something.
    pub fn states(&self) -> States {
        States((0..self.slots).map(|_| None).collect())
    }

    /// Runs the request hooks of links `range` (the engine runs its fixed slots between two ranges), moving `depth` on.
    ///
    /// `depth` is right at every moment, also when the future is dropped while a hook waits.
    pub async fn request(
        &self,
        range: Range<usize>,
        head: &RequestHeader,
        facts: &mut Facts,
        states: &mut States,
        depth: &mut Depth,
    ) -> Result<Flow> {
        for &stop in self.request.iter().filter(|stop| range.contains(&usize::from(stop.link))) {
            *depth = Depth { passed: stop.link, entered: stop.link + 1 };
            let (link, wire) = self.at(stop, head, facts, states);
            let flow = match link.request(wire) {
                Step::Now(flow) => flow,
                Step::Later(flow) => flow.await,
            };
            if !matches!(flow, Ok(Flow::Continue)) {
                return flow;
            }
        }
        // `new` has checked that every index fits.
        let passed = range.end.min(self.links.len()) as u8;
        *depth = Depth { passed, entered: passed };
        Ok(Flow::Continue)
    }

    /// Shows a piece of the request body to the links that the request passed, in written order.
    pub fn request_body(
        &self,
        depth: Depth,
        head: &RequestHeader,
        facts: &mut Facts,
        states: &mut States,
        chunk: &mut Chunk<'_>,
    ) -> Result<()> {
        for &stop in self.request_body.iter().filter(|stop| stop.link < depth.passed) {
            let (link, wire) = self.at(stop, head, facts, states);
            link.request_body(wire, chunk)?;
        }
        Ok(())
    }

    /// Lets the links that the request passed change the head that the service gets, in written order.
    pub fn upstream_request(
        &self,
        depth: Depth,
        head: &RequestHeader,
        facts: &mut Facts,
        states: &mut States,
        to_service: &mut RequestHeader,
    ) -> Result<()> {
        for &stop in self.upstream_request.iter().filter(|stop| stop.link < depth.passed) {
            let (link, wire) = self.at(stop, head, facts, states);
            link.upstream_request(wire, to_service)?;
        }
        Ok(())
    }

    /// Lets the links below index `passed` change the head that the client gets, in reverse.
    ///
    /// For an answer of the service and for a filter's own reply that is `depth.passed`; for an answer that the engine
    /// makes it is `len()`.
    pub fn response(
        &self,
        passed: u8,
        head: &RequestHeader,
        facts: &mut Facts,
        states: &mut States,
        answer: &mut ResponseHeader,
    ) -> Result<()> {
        for &stop in self.response.iter().filter(|stop| stop.link < passed) {
            let (link, wire) = self.at(stop, head, facts, states);
            link.response(wire, answer)?;
        }
        Ok(())
    }

    /// Shows a piece of the response body to the links below index `passed`, in reverse.
    pub fn response_body(
        &self,
        passed: u8,
        head: &RequestHeader,
        facts: &mut Facts,
        states: &mut States,
        chunk: &mut Chunk<'_>,
    ) -> Result<()> {
        for &stop in self.response_body.iter().filter(|stop| stop.link < passed) {
            let (link, wire) = self.at(stop, head, facts, states);
            link.response_body(wire, chunk)?;
        }
        Ok(())
    }

    /// Tells the links that the request entered how it ended, in reverse.
    pub fn log(
        &self,
        depth: Depth,
        head: &RequestHeader,
        facts: &mut Facts,
        states: &mut States,
        outcome: &Outcome<'_>,
    ) {
        for &stop in self.log.iter().filter(|stop| stop.link < depth.entered) {
            let (link, wire) = self.at(stop, head, facts, states);
            link.log(wire, outcome);
        }
    }

    fn stops(&self, phase: Phase) -> &[Stop] {
        match phase {
            Phase::Request => &self.request,
            Phase::RequestBody => &self.request_body,
            Phase::UpstreamRequest => &self.upstream_request,
            Phase::Response => &self.response,
            Phase::ResponseBody => &self.response_body,
            Phase::Log => &self.log,
        }
    }

    fn at<'a>(
        &'a self,
        stop: Stop,
        request: &'a RequestHeader,
        facts: &'a mut Facts,
        states: &'a mut States,
    ) -> (&'a dyn Link, Wire<'a>) {
        let slot = states.0.get_mut(usize::from(stop.slot));
        (&*self.links[usize::from(stop.link)], Wire { request, facts, slot })
    }
}

#[cfg(test)]
mod tests;
