//! The other side of the measurements: a bare Pingora proxy to compare with, a service that answers at once, and a client that
//! sends a fixed number of requests. `benches/load/run` puts them together.
//!
//! ```text
//! load origin PORT                     answers every request with a small JSON body
//! load bare PORT ORIGIN_PORT           Pingora's proxy with timeouts set and nothing else
//! load drive PORT CONNECTIONS REQUESTS [HEADER]…   GET /bench, keep-alive; prints requests and seconds
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::modules::http::HttpModules;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::listening::Service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Result;
use pingora_proxy::{ProxyHttp, Session, http_proxy};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u16>().ok());
    match (words.first().map(String::as_str), number(1), number(2)) {
        (Some("origin"), Some(port), _) => origin(port),
        (Some("bare"), Some(port), Some(origin)) => bare(port, origin),
        (Some("drive"), Some(port), Some(connections)) => {
            let requests = words.get(3).and_then(|word| word.parse().ok()).unwrap_or(1000);
            drive(port, connections, requests, words.get(4..).unwrap_or_default());
        }
        // `cargo bench` runs every bench; this one is a tool and measures nothing by itself.
        _ => println!("load: see benches/load/run"),
    }
}

/// The template of `upstream_peer` that every measurement of the bare proxy uses: timeouts, nothing else.
struct Bare {
    peer: HttpPeer,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.peer.clone()))
    }
}

fn bare(port: u16, origin: u16) {
    let mut peer = HttpPeer::new(SocketAddr::from(([127, 0, 0, 1], origin)), false, String::new());
    peer.options.total_connection_timeout = Some(Duration::from_secs(1));
    peer.options.read_timeout = Some(Duration::from_secs(10));
    peer.options.write_timeout = Some(Duration::from_secs(10));
    peer.options.idle_timeout = Some(Duration::from_secs(50));
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 1024, max_retries: 2, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = Service::new("bare".to_owned(), http_proxy(&server.configuration, Bare { peer }));
    service.add_listener(
        ListenerConfig::tcp(format!("127.0.0.1:{port}")).l4_buffer(L4BufferSettings::new(8 * 1024, 8 * 1024)),
    );
    server.add_service(service);
    server.run_forever();
}

/// One thread a connection: it must never be what is measured.
fn origin(port: u16) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"status\":\"ok\",\"figure\":42}";
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            stream.set_nodelay(true).expect("a TCP socket");
            let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
            let mut writer = stream;
            while read_head(&mut reader).is_some() {
                if writer.write_all(ANSWER).is_err() {
                    return;
                }
            }
        });
    }
}

fn drive(port: u16, connections: u16, requests: u64, headers: &[String]) {
    let mut request =
        "GET /bench HTTP/1.1\r\nHost: bench.example.org\r\nUser-Agent: load\r\nAccept: application/json\r\n".to_owned();
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let request = Arc::new(request.into_bytes());
    let begun = Instant::now();
    let share = requests / u64::from(connections);
    let threads = (0..connections).map(|_| {
        let request = request.clone();
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy listens");
            stream.set_nodelay(true).expect("a TCP socket");
            let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
            for _ in 0..share {
                stream.write_all(&request).expect("the proxy reads");
                let length = read_head(&mut reader).expect("the proxy answers with 200 and a length");
                reader.read_exact(&mut vec![0; length]).expect("the whole body");
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no request is lost"));
    println!("{} {:.3}", share * u64::from(connections), begun.elapsed().as_secs_f64());
}

/// Reads a head; the length of its body, 0 without one. `None`: closed, or an answer that is not 200.
fn read_head(reader: &mut impl BufRead) -> Option<usize> {
    let (mut length, mut line, mut first) = (0, String::new(), true);
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 || (first && line.starts_with("HTTP/") && !line.contains(" 200 ")) {
            return None;
        }
        first = false;
        if line == "\r\n" {
            return Some(length);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
}
