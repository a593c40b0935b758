//! What a chain costs per exchange: request, response and log hooks of 0, 1, 5 and 10 filters.
//!
//! `cargo bench -p hilum-filters` measures time. `chain count CASE LENGTH TIMES` runs one case so many times and
//! nothing else, for a tool that counts instructions; `chain.md` says how its table was made.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Waker};

use criterion::{BenchmarkId, Criterion};
use hilum_filters::api::{Chain, Depth, Env, Facts, Filter, Flow, Link, Outcome, Phases, Registration, Step, install};
use hilum_filters::testkit::{node, read_request};
use hilum_filters::{CORS, FILTERS};
use pingora_http::{RequestHeader, ResponseHeader};

/// Does nothing, in two hooks, with `S` for memory.
struct NoOp<S>(std::marker::PhantomData<fn() -> S>);

impl<S: Touch> Filter for NoOp<S> {
    const NAME: &'static str = "no_op";
    const EXAMPLE: &'static str = "no_op:";
    type Config = ();
    type State = S;

    fn new((): (), _: &Env) -> anyhow::Result<Self> {
        Ok(NoOp(std::marker::PhantomData))
    }

    fn phases(&self, on: &mut Phases<Self>) {
        on.request(|_, exchange| {
            exchange.state.touch();
            Ok(Flow::Continue)
        });
        on.response(|_, exchange, _| {
            exchange.state.touch();
            Ok(())
        });
    }
}

/// Memory that is used, so that it is not optimised away.
trait Touch: Default + Send + Sync + 'static {
    fn touch(&mut self);
}

impl Touch for () {
    fn touch(&mut self) {}
}

impl Touch for [u64; 2] {
    fn touch(&mut self) {
        self[0] += 1;
    }
}

/// Waits for a future, which is ready at once.
struct Later;

impl Filter for Later {
    const NAME: &'static str = "later";
    const EXAMPLE: &'static str = "later:";
    type Config = ();
    type State = ();

    fn new((): (), _: &Env) -> anyhow::Result<Self> {
        Ok(Later)
    }

    fn phases(&self, on: &mut Phases<Self>) {
        on.request_step(|_, _| Step::later(async { Ok(Flow::Continue) }));
        on.response(|_, _, _| Ok(()));
    }
}

type MakeLink = fn() -> Arc<dyn Link>;

const CASES: [(&str, MakeLink); 6] = [
    ("no-op", || install(NoOp::<()>(std::marker::PhantomData))),
    ("state", || install(NoOp::<[u64; 2]>(std::marker::PhantomData))),
    ("later", || install(Later)),
    ("headers", || built_in(&FILTERS[0], "{ response: { remove: [server] } }")),
    ("cors", || built_in(&CORS, r#"{ origins: ["https://portal.example.org"], credentials: true }"#)),
    ("ip_allow", || built_in(&FILTERS[1], "{ allow: [10.0.0.0/8, 127.0.0.0/8] }")),
];

const LENGTHS: [usize; 4] = [0, 1, 5, 10];

fn built_in(registration: &Registration, options: &str) -> Arc<dyn Link> {
    let link = (registration.build)(&node(options, &[]), &Env::default(), &mut Vec::new());
    link.expect("the options of this bench are good")
}

struct Bench {
    chain: Chain,
    head: RequestHeader,
    facts: Facts,
    answer: ResponseHeader,
}

impl Bench {
    fn new(filter: MakeLink, length: usize) -> Self {
        let (head, facts, _) = read_request("GET /x\nHost: a.example\nAccept: */*\nUser-Agent: bench");
        let mut answer = ResponseHeader::build(200, Some(8)).expect("a good status");
        for (name, value) in [("Content-Type", "application/json"), ("Content-Length", "2"), ("Date", "now")] {
            answer.append_header(name, value).expect("a good header line");
        }
        Bench { chain: Chain::new((0..length).map(|_| filter()).collect()), head, facts, answer }
    }

    fn exchange(&mut self) {
        let Bench { chain, head, facts, answer } = self;
        let (mut states, mut depth) = (chain.states(), Depth::default());
        {
            let request = chain.request(0..chain.len(), head, facts, &mut states, &mut depth);
            let mut context = Context::from_waker(Waker::noop());
            assert!(std::pin::pin!(request).poll(&mut context).is_ready(), "no filter here waits for anybody");
        }
        chain.response(depth.passed, head, facts, &mut states, answer).expect("no hook fails");
        let took = std::time::Duration::ZERO;
        let outcome = Outcome { status: 200, reason: None, service: None, peer: None, bytes_sent: 2, took };
        chain.log(depth, head, facts, &mut states, black_box(&outcome));
    }
}

fn time(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chain");
    for (name, filter) in CASES {
        for length in LENGTHS {
            let mut bench = Bench::new(filter, length);
            group.bench_function(BenchmarkId::new(name, length), |it| it.iter(|| bench.exchange()));
        }
    }
    group.finish();
}

/// `None`: the arguments are not those of `count`.
fn count(arguments: &[String]) -> Option<()> {
    let [command, case, length, times] = arguments else { return None };
    let (_, filter) = CASES.into_iter().find(|(name, _)| name == case).filter(|_| command == "count")?;
    let mut bench = Bench::new(filter, length.parse().ok()?);
    for _ in 0..times.parse().ok()? {
        bench.exchange();
    }
    Some(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == "count") {
        return if count(&arguments).is_some() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    }
    let mut criterion = Criterion::default().configure_from_args();
    time(&mut criterion);
    criterion.final_summary();
    ExitCode::SUCCESS
}
