//! A filter that panics in the phase that its options name, with all that it sees of the request in what it says.
#![allow(clippy::needless_pass_by_value, clippy::unused_self, reason = "hooks have the form that the engine calls")]

use hilum_filters::api::{Chunk, Env, Exchange, Filter, Flow, Outcome, Phases, Registration, register};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) static FAULTY: &[Registration] = &[register::<Faulty>()];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "faulty")]
pub(crate) struct Config {
    phase: String,
}

pub(crate) struct Faulty {
    phase: String,
}

impl Filter for Faulty {
    const NAME: &'static str = "faulty";
    const EXAMPLE: &'static str = "faulty: { phase: request }";
    type Config = Config;
    type State = ();

    fn new(config: Config, _: &Env) -> anyhow::Result<Self> {
        Ok(Faulty { phase: config.phase })
    }

    fn phases(&self, on: &mut Phases<Self>) {
        match self.phase.as_str() {
            "request" => on.request(Self::request),
            "request_body" => on.request_body(Self::body),
            "upstream_request" => on.upstream_request(Self::upstream_request),
            "response" => on.response(Self::response),
            "response_body" => on.response_body(Self::body),
            "error" => on.upstream_request(Self::error),
            _ => on.log(Self::log),
        }
    }
}

fn fail(exchange: &Exchange<'_>) -> ! {
    panic!("{:?} {:?}", exchange.request, exchange.facts.claims)
}

impl Faulty {
    fn request(&self, exchange: Exchange<'_>) -> Result<Flow> {
        fail(&exchange)
    }

    fn body(&self, exchange: Exchange<'_>, chunk: &mut Chunk<'_>) -> Result<()> {
        panic!("{:?} {:?}", chunk.bytes, exchange.request)
    }

    fn upstream_request(&self, exchange: Exchange<'_>, _: &mut RequestHeader) -> Result<()> {
        fail(&exchange)
    }

    fn response(&self, exchange: Exchange<'_>, answer: &mut ResponseHeader) -> Result<()> {
        panic!("{answer:?} {:?}", exchange.request)
    }

    /// No panic, and as talkative.
    fn error(&self, exchange: Exchange<'_>, _: &mut RequestHeader) -> Result<()> {
        let why = format!("{:?} {:?}", exchange.request, exchange.facts.claims);
        Err(pingora_error::Error::explain(pingora_error::ErrorType::InternalError, why))
    }

    fn log(&self, exchange: Exchange<'_>, _: &Outcome<'_>) {
        fail(&exchange)
    }
}
