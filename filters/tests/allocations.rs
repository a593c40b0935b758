//! What an exchange costs in memory: nothing for filters that keep nothing.

use std::sync::Arc;

use allocation_counter::measure;
use hilum_filters::api::{Chain, Chunk, Depth, Env, Filter, Flow, Link, Outcome, Phases, Registration, Step, install};
use hilum_filters::testkit::{example, read_request};
use hilum_filters::{CORS, FILTERS};
use pingora_http::ResponseHeader;

struct Probe<S>(std::marker::PhantomData<fn() -> S>);

impl<S: Default + Send + Sync + 'static> Filter for Probe<S> {
    const NAME: &'static str = "probe";
    const EXAMPLE: &'static str = "probe:";
    type Config = ();
    type State = S;

    fn new((): (), _: &Env) -> anyhow::Result<Self> {
        Ok(Probe(std::marker::PhantomData))
    }

    fn phases(&self, on: &mut Phases<Self>) {
        on.request(|_, _| Ok(Flow::Continue));
        on.request_body(|_, _, _| Ok(()));
        on.upstream_request(|_, _, _| Ok(()));
        on.response(|_, _, _| Ok(()));
        on.response_body(|_, _, _| Ok(()));
        on.log(|_, _, _| ());
    }
}

struct Waits;

impl Filter for Waits {
    const NAME: &'static str = "waits";
    const EXAMPLE: &'static str = "waits:";
    type Config = ();
    type State = ();

    fn new((): (), _: &Env) -> anyhow::Result<Self> {
        Ok(Waits)
    }

    fn phases(&self, on: &mut Phases<Self>) {
        on.request_step(|_, _| Step::later(async { Ok(Flow::Continue) }));
    }
}

fn probe<S: Default + Send + Sync + 'static>() -> Arc<dyn Link> {
    install(Probe::<S>(std::marker::PhantomData))
}

fn built_in(registration: &Registration) -> Arc<dyn Link> {
    (registration.build)(&example(registration), &Env::default(), &mut Vec::new()).expect("an example makes a filter")
}

/// Runs one exchange through all phases and compares the number of allocations.
fn check(links: Vec<Arc<dyn Link>>, request: &str, expected: u64) {
    let chain = Chain::new(links);
    let (head, mut facts, _) = read_request(request);
    let mut to_service = head.clone();
    let mut answer = ResponseHeader::build(200, Some(16)).expect("a good status");
    // A first exchange makes room in the heads that a real one has already: it is the chain that is measured.
    let mut counts = [0; 2];
    for count in &mut counts {
        let info = measure(|| {
            let (mut states, mut depth) = (chain.states(), Depth::default());
            let flow = poll_once(chain.request(0..chain.len(), &head, &mut facts, &mut states, &mut depth));
            assert!(matches!(flow, Ok(Flow::Continue)));
            let mut bytes = None;
            let mut chunk = Chunk { bytes: &mut bytes, last: true };
            chain.upstream_request(depth, &head, &mut facts, &mut states, &mut to_service).expect("no hook fails");
            chain.request_body(depth, &head, &mut facts, &mut states, &mut chunk).expect("no hook fails");
            chain.response(depth.passed, &head, &mut facts, &mut states, &mut answer).expect("no hook fails");
            chain.response_body(depth.passed, &head, &mut facts, &mut states, &mut chunk).expect("no hook fails");
            let took = facts.started.elapsed();
            let outcome = Outcome { status: 200, reason: None, service: None, peer: None, bytes_sent: 0, took };
            chain.log(depth, &head, &mut facts, &mut states, &outcome);
        });
        *count = info.count_total;
    }
    assert_eq!(counts[1], expected, "{request}, {} filters", chain.len());
}

/// The output of a future that never waits.
fn poll_once<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("no filter of these tests waits for anybody"),
    }
}

#[test]
fn filters_that_keep_nothing_allocate_nothing() {
    for length in [0, 1, 5, 10] {
        check((0..length).map(|_| probe::<()>()).collect(), "GET /x", 0);
    }
}

#[test]
fn memory_is_one_allocation_each_and_one_more_beyond_four() {
    check(vec![probe::<[u64; 2]>()], "GET /x", 1);
    check((0..4).map(|_| probe::<[u64; 2]>()).collect(), "GET /x", 4);
    check((0..5).map(|_| probe::<[u64; 2]>()).collect(), "GET /x", 6);
    check(vec![probe::<()>(), probe::<u8>(), probe::<()>()], "GET /x", 1);
}

#[test]
fn only_a_hook_that_waits_is_boxed() {
    // A future without captures is a box of one byte of its own state.
    check(vec![install(Waits)], "GET /x", 1);
    check(vec![probe::<()>(), install(Waits), install(Waits)], "GET /x", 2);
}

#[test]
fn the_built_in_filters_allocate_nothing_but_names_that_http_does_not_know() {
    let by_name = |name: &str| {
        let filter = FILTERS.iter().find(|filter| filter.name == name);
        built_in(filter.expect("it is in the list"))
    };
    check(vec![built_in(&CORS)], "GET /x", 0);
    check(vec![built_in(&CORS)], "GET /x\nOrigin: https://portal.example.org", 0);
    check(vec![by_name("ip_allow")], "GET /x from 10.0.0.1", 0);
    // Here the second answer has the defaults already, so only `X-Frame-Options` is written.
    check(vec![by_name("security_headers")], "GET /x", 0);
    // `X-Team` is a name that `http` does not know: Pingora copies it, and once more for its table of spellings.
    check(vec![by_name("headers")], "GET /x", 2);
}

#[test]
fn the_counter_counts() {
    let info = measure(|| drop(std::hint::black_box(vec![1_u8; 100])));
    assert_eq!(info.count_total, 1);
}
