//! Tests of a filter, written as text: options, a request, the answer of a service, and what comes of them.
//!
//! Everything here panics when a test is written wrongly: it is for tests only (feature `testkit`).

mod yaml;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use pingora_http::{RequestHeader, ResponseHeader};

use crate::api::{
    Chain, Chunk, Depth, Env, Facts, Filter, Flow, Link, Node, Outcome, Problem, Registration, RequestId, register,
};
pub use yaml::node;

/// Compares what [`run`] says with `expected`. Spaces around lines and empty lines do not count.
pub fn check<F: Filter>(options: &str, request: &str, answer: &str, expected: &str) {
    let found = run::<F>(options, request, answer);
    assert_eq!(lines(&found), lines(expected), "\noptions: {options}\nrequest: {request}\nfound:\n{found}");
}

/// Sends one request through a filter, and back. Says what the service got (`>`) and what the client got (`<`):
///
/// ```text
/// > GET /x                        < 200
/// > x-team: cardiology            < vary: Origin
/// ```
///
/// `request` is `GET /x`, or `GET https://host/x from 192.0.2.7` for a client at that address whose connection is TLS,
/// then header lines, and after an empty line a body. `answer` is a status, header lines and a body likewise. A reply
/// of the filter shows its reason behind the status, and no `>`.
pub fn run<F: Filter>(options: &str, request: &str, answer: &str) -> String {
    let mut problems = Vec::new();
    let link = (register::<F>().build)(&node(options, &[]), &Env::default(), &mut problems);
    assert!(problems.is_empty(), "these options have problems:\n{}", text_of(&problems));
    run_link(link.expect("options without problems make a filter"), request, answer)
}

/// The same for a filter that is already made.
pub fn run_link(link: Arc<dyn Link>, request: &str, answer: &str) -> String {
    let chain = Chain::new(vec![link]);
    let (head, mut facts, request_body) = read_request(request);
    let (mut states, mut depth) = (chain.states(), Depth::default());
    let mut out = Vec::new();
    let flow = block_on(chain.request(0..chain.len(), &head, &mut facts, &mut states, &mut depth));
    let (status, reason) = match flow.expect("the request hook fails") {
        Flow::Continue => {
            let mut to_service = head.clone();
            chain
                .upstream_request(depth, &head, &mut facts, &mut states, &mut to_service)
                .expect("the upstream_request hook fails");
            let mut body = Some(request_body).filter(|body| !body.is_empty());
            let mut chunk = Chunk { bytes: &mut body, last: true };
            chain.request_body(depth, &head, &mut facts, &mut states, &mut chunk).expect("the request_body hook fails");
            show(&mut out, '>', &format!("{} {}", to_service.method, to_service.uri), &to_service.headers, body);
            let (mut to_client, answer_body) = read_answer(answer);
            chain
                .response(depth.passed, &head, &mut facts, &mut states, &mut to_client)
                .expect("the response hook fails");
            let mut body = Some(answer_body).filter(|body| !body.is_empty());
            let mut chunk = Chunk { bytes: &mut body, last: true };
            chain
                .response_body(depth.passed, &head, &mut facts, &mut states, &mut chunk)
                .expect("the response_body hook fails");
            show(&mut out, '<', to_client.status.as_str(), &to_client.headers, body);
            (to_client.status, None)
        }
        Flow::Reply(reply) => {
            let headers: HeaderMap = reply.headers.iter().cloned().collect();
            let line = format!("{} {}", reply.status.as_str(), reply.reason);
            show(&mut out, '<', line.trim_end(), &headers, reply.body.filter(|body| !body.is_empty()));
            (reply.status, Some(reply.reason))
        }
    };
    let took = Duration::from_millis(1);
    let outcome = Outcome { status: status.as_u16(), reason, service: None, peer: None, bytes_sent: 0, took };
    chain.log(depth, &head, &mut facts, &mut states, &outcome);
    out.join("\n")
}

/// What is wrong with options: a line `line:col message (help)` for each problem.
pub fn problems<F: Filter>(options: &str) -> String {
    let mut problems = Vec::new();
    (register::<F>().build)(&node(options, &[]), &Env::default(), &mut problems);
    text_of(&problems)
}

/// The options of a filter's `EXAMPLE`.
pub fn example(registration: &Registration) -> Node {
    let entry = node(registration.example, &[]);
    entry.get(registration.name).expect("an example is `name: options`").clone()
}

/// A line `line:col message (help)` for each problem.
pub fn text_of(problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}{help}", problem.at.line, problem.at.col, problem.message)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Facts about a client on the same machine, over plain HTTP.
pub fn facts() -> Facts {
    Facts {
        request_id: RequestId::new("test").expect("four letters are an id"),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: false,
        route: "test".into(),
        claims: None,
        started: Instant::now(),
    }
}

/// Runs a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A request head from text, with the facts and the body that it comes with.
pub fn read_request(text: &str) -> (RequestHeader, Facts, Bytes) {
    let (first, headers, body) = split(text);
    let mut facts = facts();
    let (line, client) = first.split_once(" from ").unwrap_or((first, "127.0.0.1"));
    facts.client = client.parse().expect("an address stands behind `from`");
    let (method, target) = line.split_once(' ').expect("a request starts with `METHOD /path`");
    facts.secure = target.starts_with("https://");
    let (host, path) = match target.split_once("://") {
        Some((_, rest)) => rest.split_at(rest.find('/').expect("a path stands behind the host")),
        None => ("", target),
    };
    let mut head = RequestHeader::build(method, path.as_bytes(), None).expect("a good method and path");
    let host = Some(("Host", host)).filter(|(_, host)| !host.is_empty());
    for (name, value) in host.into_iter().chain(headers) {
        head.append_header(name.to_owned(), value).expect("a good header line");
    }
    (head, facts, body)
}

fn read_answer(text: &str) -> (ResponseHeader, Bytes) {
    let (status, headers, body) = split(text);
    let mut head = ResponseHeader::build(status, None).expect("an answer starts with a status");
    for (name, value) in headers {
        head.append_header(name.to_owned(), value).expect("a good header line");
    }
    (head, body)
}

/// First line, header lines, body.
fn split(text: &str) -> (&str, Vec<(&str, &str)>, Bytes) {
    let mut lines = text.trim().lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let headers = lines
        .by_ref()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_once(':').expect("a header line has a colon"))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let body = lines.collect::<Vec<_>>().join("\n");
    (first, headers, body.into())
}

fn show(out: &mut Vec<String>, side: char, first: &str, headers: &HeaderMap, body: Option<Bytes>) {
    out.push(format!("{side} {first}"));
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{side} {name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort_unstable();
    out.append(&mut lines);
    out.extend(body.map(|body| format!("{side} | {}", String::from_utf8_lossy(&body))));
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}
