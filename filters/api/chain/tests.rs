use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::StatusCode;
use pingora_error::{Error, ErrorType};
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::api::{Env, Exchange, Filter, Phases, Reply, install};
use crate::testkit::{block_on, facts};

/// What the filters of a test did, in order.
type Diary = Arc<Mutex<Vec<String>>>;

/// A filter that writes down each of its hooks.
struct Probe {
    name: &'static str,
    acts: Acts,
    diary: Diary,
}

#[derive(Clone, Copy, PartialEq)]
enum Acts {
    Pass,
    Wait,
    Refuse,
    Fail,
    Hang,
    Nothing,
}

#[derive(Deserialize, JsonSchema)]
struct NoOptions {}

impl Probe {
    fn note(&self, what: &str) {
        self.diary.lock().expect("no test panics while it writes").push(format!("{} {what}", self.name));
    }
}

impl Filter for Probe {
    const NAME: &'static str = "probe";
    const EXAMPLE: &'static str = "probe: {}";
    type Config = NoOptions;
    /// How often a hook of this filter ran in this exchange.
    type State = u32;

    fn new(_: NoOptions, _: &Env) -> anyhow::Result<Self> {
        anyhow::bail!("tests make it by hand")
    }

    fn phases(&self, on: &mut Phases<Self>) {
        if self.acts == Acts::Nothing {
            return;
        }
        on.request_step(|this, exchange| {
            *exchange.state += 1;
            this.note("request");
            match this.acts {
                Acts::Refuse => Step::Now(Ok(Reply::refuse(StatusCode::FORBIDDEN, "no").into())),
                Acts::Fail => Step::Now(Err(Error::new(ErrorType::InternalError))),
                Acts::Hang => Step::later(std::future::pending()),
                Acts::Wait => Step::later(async move {
                    YieldOnce(false).await;
                    *exchange.state += 1;
                    Ok(Flow::Continue)
                }),
                Acts::Pass | Acts::Nothing => Step::CONTINUE,
            }
        });
        on.request_body(|this, exchange, chunk| {
            *exchange.state += 1;
            this.note(&format!("request_body {}", text(chunk)));
            *chunk.bytes = Some(format!("{}+{}", text(chunk), this.name).into());
            Ok(())
        });
        on.upstream_request(|this, exchange, to_service| {
            *exchange.state += 1;
            this.note("upstream_request");
            to_service.append_header("seen", this.name).map(drop)
        });
        on.response(|this, exchange, answer| {
            *exchange.state += 1;
            this.note(&format!("response {}", answer.status.as_u16()));
            answer.append_header("seen", this.name).map(drop)
        });
        on.response_body(|this, exchange, chunk| {
            *exchange.state += 1;
            this.note(&format!("response_body {}", text(chunk)));
            *chunk.bytes = Some(format!("{}+{}", text(chunk), this.name).into());
            Ok(())
        });
        on.log(|this, exchange, outcome| this.note(&format!("log {} hooks={}", outcome.status, exchange.state)));
    }
}

/// Is pending once, and asks to be polled again.
struct YieldOnce(bool);

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn text(chunk: &Chunk<'_>) -> String {
    chunk.bytes.as_ref().map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// A chain of probes a, b, c… and all that the engine holds for one exchange.
struct Bench {
    chain: Chain,
    diary: Diary,
    head: RequestHeader,
    facts: Facts,
    states: States,
    depth: Depth,
}

impl Bench {
    fn new(acts: &[Acts]) -> Self {
        let diary = Diary::default();
        let probe = |(name, acts): (&'static str, &Acts)| install(Probe { name, acts: *acts, diary: diary.clone() });
        let chain = Chain::new(["a", "b", "c", "d", "e", "f"].into_iter().zip(acts).map(probe).collect());
        let head = RequestHeader::build("GET", b"/", None).expect("a good head");
        Bench { states: chain.states(), chain, diary, head, facts: facts(), depth: Depth::default() }
    }

    fn request(&mut self) -> Result<Flow> {
        self.request_range(0..self.chain.len())
    }

    fn request_range(&mut self, range: Range<usize>) -> Result<Flow> {
        block_on(self.chain.request(range, &self.head, &mut self.facts, &mut self.states, &mut self.depth))
    }

    fn upstream_request(&mut self) -> Vec<String> {
        let mut to_service = self.head.clone();
        self.chain
            .upstream_request(self.depth, &self.head, &mut self.facts, &mut self.states, &mut to_service)
            .expect("no probe fails there");
        seen(&to_service.headers)
    }

    fn response(&mut self, passed: u8, status: u16) -> Vec<String> {
        let mut answer = ResponseHeader::build(status, None).expect("a good status");
        self.chain
            .response(passed, &self.head, &mut self.facts, &mut self.states, &mut answer)
            .expect("no probe fails there");
        seen(&answer.headers)
    }

    fn bodies(&mut self) -> (String, String) {
        let (mut up, mut down) = (Some(Bytes::from("up")), Some(Bytes::from("down")));
        let mut chunk = Chunk { bytes: &mut up, last: true };
        self.chain
            .request_body(self.depth, &self.head, &mut self.facts, &mut self.states, &mut chunk)
            .expect("no probe fails there");
        let up = text(&chunk);
        let mut chunk = Chunk { bytes: &mut down, last: true };
        self.chain
            .response_body(self.depth.passed, &self.head, &mut self.facts, &mut self.states, &mut chunk)
            .expect("no probe fails there");
        (up, text(&chunk))
    }

    fn log(&mut self, status: u16) {
        let took = std::time::Duration::ZERO;
        let outcome = Outcome { status, reason: None, service: None, peer: None, bytes_sent: 0, took };
        self.chain.log(self.depth, &self.head, &mut self.facts, &mut self.states, &outcome);
    }

    /// Compares the diary with the expectation, and begins a new one.
    fn check(&mut self, expected: &str) {
        let found = std::mem::take(&mut *self.diary.lock().expect("no test panics while it writes"));
        let expected: Vec<&str> = expected.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
        assert_eq!(found, expected);
    }
}

fn seen(headers: &http::HeaderMap) -> Vec<String> {
    headers.get_all("seen").iter().map(|it| it.to_str().expect("names are ASCII").to_owned()).collect()
}

#[test]
fn the_way_in_is_in_written_order_and_the_way_out_in_reverse() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Nothing, Acts::Pass]);
    assert!(matches!(bench.request(), Ok(Flow::Continue)));
    assert_eq!(bench.depth, Depth { passed: 3, entered: 3 });
    assert_eq!(bench.upstream_request(), ["a", "c"]);
    assert_eq!(bench.response(3, 200), ["c", "a"]);
    bench.log(200);
    bench.check(
        "a request, c request, a upstream_request, c upstream_request, c response 200, a response 200,
         c log 200 hooks=3, a log 200 hooks=3",
    );
}

#[test]
fn a_body_goes_through_the_hooks_in_the_direction_that_it_flows() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Pass]);
    bench.request().expect("nobody refuses");
    assert_eq!(bench.bodies(), ("up+a+b".to_owned(), "down+b+a".to_owned()));
    bench.check(
        "a request, b request, a request_body up, b request_body up+a, b response_body down, a response_body down+b",
    );
}

#[test]
fn a_reply_flows_back_through_the_filters_outside_it_only() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Refuse, Acts::Pass]);
    assert!(matches!(bench.request(), Ok(Flow::Reply(reply)) if reply.reason == "no"));
    assert_eq!(bench.depth, Depth { passed: 1, entered: 2 });
    assert_eq!(bench.response(bench.depth.passed, 403), ["a"]);
    bench.log(403);
    bench.check("a request, b request, a response 403, b log 403 hooks=1, a log 403 hooks=2");
}

#[test]
fn a_reply_of_the_first_filter_passes_no_hook() {
    let mut bench = Bench::new(&[Acts::Refuse, Acts::Pass]);
    assert!(matches!(bench.request(), Ok(Flow::Reply(_))));
    assert_eq!(bench.depth, Depth { passed: 0, entered: 1 });
    assert!(bench.response(bench.depth.passed, 403).is_empty());
    bench.log(403);
    bench.check("a request, a log 403 hooks=1");
}

#[test]
fn an_answer_of_the_engine_flows_through_all_filters_with_fresh_memory_for_those_not_entered() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Pass, Acts::Pass]);
    // The engine refuses between the first range and the rest, as it does with a 401.
    bench.request_range(0..1).expect("nobody refuses");
    assert_eq!(bench.depth, Depth { passed: 1, entered: 1 });
    let all = bench.chain.len() as u8;
    assert_eq!(bench.response(all, 401), ["c", "b", "a"]);
    bench.log(401);
    bench.check("a request, c response 401, b response 401, a response 401, a log 401 hooks=2");
}

#[test]
fn ranges_go_on_where_the_one_before_ended() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Pass, Acts::Refuse]);
    assert!(matches!(bench.request_range(0..0), Ok(Flow::Continue)));
    assert_eq!(bench.depth, Depth::default());
    assert!(matches!(bench.request_range(0..2), Ok(Flow::Continue)));
    assert_eq!(bench.depth, Depth { passed: 2, entered: 2 });
    assert!(matches!(bench.request_range(2..9), Ok(Flow::Reply(_))));
    assert_eq!(bench.depth, Depth { passed: 2, entered: 3 });
    bench.check("a request, b request, c request");
}

#[test]
fn only_links_that_were_passed_see_what_goes_to_the_service() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Pass, Acts::Pass]);
    bench.request_range(0..2).expect("nobody refuses");
    assert_eq!(bench.upstream_request(), ["a", "b"]);
    assert_eq!(bench.bodies(), ("up+a+b".to_owned(), "down+b+a".to_owned()));
}

#[test]
fn an_error_ends_the_request_like_a_reply() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Fail, Acts::Pass]);
    assert!(bench.request().is_err());
    assert_eq!(bench.depth, Depth { passed: 1, entered: 2 });
    bench.check("a request, b request");
}

#[test]
fn a_retry_shows_a_fresh_head_to_the_same_filters() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Pass]);
    bench.request().expect("nobody refuses");
    assert_eq!(bench.upstream_request(), ["a", "b"]);
    assert_eq!(bench.upstream_request(), ["a", "b"]);
    bench.log(200);
    bench.check(
        "a request, b request, a upstream_request, b upstream_request, a upstream_request, b upstream_request,
         b log 200 hooks=3, a log 200 hooks=3",
    );
}

#[test]
fn a_hook_may_wait_and_keeps_its_memory() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Wait, Acts::Pass]);
    assert!(matches!(bench.request(), Ok(Flow::Continue)));
    bench.log(200);
    bench.check("a request, b request, c request, c log 200 hooks=1, b log 200 hooks=2, a log 200 hooks=1");
}

#[test]
fn a_client_that_leaves_while_a_hook_waits_is_logged_by_those_entered() {
    let mut bench = Bench::new(&[Acts::Pass, Acts::Hang, Acts::Pass]);
    let range = 0..bench.chain.len();
    {
        let request = bench.chain.request(range, &bench.head, &mut bench.facts, &mut bench.states, &mut bench.depth);
        let mut request = std::pin::pin!(request);
        assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(bench.depth, Depth { passed: 1, entered: 2 });
    bench.log(0);
    bench.check("a request, b request, b log 0 hooks=1, a log 0 hooks=1");
}

#[test]
fn the_memory_of_filters_is_apart_and_of_one_exchange_only() {
    let mut bench = Bench::new(&[Acts::Pass; 6]);
    bench.request().expect("nobody refuses");
    bench.states = bench.chain.states();
    bench.response(1, 200);
    bench.log(200);
    bench.check(
        "a request, b request, c request, d request, e request, f request, a response 200, f log 200 hooks=0,
         e log 200 hooks=0, d log 200 hooks=0, c log 200 hooks=0, b log 200 hooks=0, a log 200 hooks=1",
    );
}

#[test]
fn a_chain_knows_which_phases_it_takes_part_in() {
    let check = |acts: &[Acts], expected: bool| {
        let chain = Bench::new(acts).chain;
        assert!(Phase::ALL.into_iter().all(|phase| chain.takes_part(phase) == expected));
        assert_eq!((chain.len(), chain.is_empty()), (acts.len(), acts.is_empty()));
    };
    check(&[], false);
    check(&[Acts::Nothing], false);
    check(&[Acts::Nothing, Acts::Pass], true);
}

/// A filter without memory, whose `Exchange` is the plain one.
struct Plain;

impl Filter for Plain {
    const NAME: &'static str = "plain";
    const EXAMPLE: &'static str = "plain:";
    type Config = ();
    type State = ();

    fn new((): (), _: &Env) -> anyhow::Result<Self> {
        Ok(Plain)
    }

    fn phases(&self, on: &mut Phases<Self>) {
        on.request(|_, exchange: Exchange<'_>| {
            exchange.facts.secure = true;
            Ok(Flow::Continue)
        });
    }
}

#[test]
fn filters_without_memory_take_no_slot() {
    let mut links: Vec<Arc<dyn Link>> = Bench::new(&[Acts::Pass]).chain.links.to_vec();
    links.insert(0, install(Plain));
    links.push(install(Plain));
    let chain = Chain::new(links);
    assert_eq!(chain.states().0.len(), 1);
    let (head, mut facts) = (RequestHeader::build("GET", b"/", None).expect("a good head"), facts());
    let mut states = chain.states();
    let flow = block_on(chain.request(0..3, &head, &mut facts, &mut states, &mut Depth::default()));
    assert!(matches!(flow, Ok(Flow::Continue)) && facts.secure);
}

#[test]
fn what_the_engine_holds_over_an_await_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<(States, Chain, Facts, Depth, Flow)>();
    let mut bench = Bench::new(&[Acts::Pass]);
    is_send(&bench.chain.request(0..1, &bench.head, &mut bench.facts, &mut bench.states, &mut bench.depth));
}
