//! One request and what becomes of it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::plan::Line;
use super::record::{Class, Outcome};
use crate::service::{PIECE, PIECES, answer_of, pattern, time};
use crate::wire::{End, Head, Wire};

/// A client does not wait longer than this for an answer, besides the time that a slow request takes by itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the body of a POST is.
const BODY: usize = 300;

/// Sends the request over this connection, or over one of its own, and gives the connection back when it may be used again.
pub(super) async fn exchange(to: SocketAddr, line: &Line, id: &str, kept: Option<Wire>) -> (Outcome, Option<Wire>) {
    let mut wire = match kept {
        Some(wire) => wire,
        None => match timeout(PATIENCE, TcpStream::connect(to)).await {
            Ok(Ok(stream)) => Wire::new(stream),
            Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => return (Outcome::of(Class::Refused), None),
            Ok(Err(_)) => return (Outcome::of(Class::NoAnswer), None),
            Err(_) => return (Outcome::of(Class::Late), None),
        },
    };
    let by_itself = slow(&line.target);
    match timeout(PATIENCE + by_itself, ask(&mut wire, line, id, by_itself)).await {
        Ok((outcome, is_open)) => (outcome, Some(wire).filter(|_| is_open)),
        Err(_) => (Outcome::of(Class::Late), None),
    }
}

/// How long a request of this kind takes by itself.
fn slow(target: &str) -> Duration {
    let path = target.split('?').next().unwrap_or_default();
    match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
        ["upload" | "download" | "socket", over] => time(over),
        _ => Duration::ZERO,
    }
}

/// Also tells whether the connection may be used again.
async fn ask(wire: &mut Wire, line: &Line, id: &str, by_itself: Duration) -> (Outcome, bool) {
    let target = line.target.replace("{id}", id);
    let head = |method: &str, more: &str| {
        let own = line.header.as_ref().map_or_else(String::new, |header| format!("{header}\r\n"));
        format!("{method} {target} HTTP/1.1\r\nHost: hilum.test\r\n{own}{more}\r\n").into_bytes()
    };
    match line.method.as_str() {
        "SOCKET" => return (socket(wire, &head("GET", SWITCH), id, by_itself).await, false),
        "UPLOAD" => {
            upload(wire, &head("POST", &format!("Content-Length: {}\r\n", PIECES * PIECE)), id, by_itself).await
        }
        "POST" => {
            let head = head("POST", &format!("Content-Type: text/plain\r\nContent-Length: {BODY}\r\n"));
            // Not taking it is no end yet: the answer may be there.
            let _ = wire.write(&[head, pattern(id, BODY)].concat()).await;
        }
        method => {
            let _ = wire.write(&head(method, "")).await;
        }
    }
    let answer = match wire.head().await {
        Ok(answer) => answer,
        Err(End::Before) => return (Outcome::of(Class::NoAnswer), false),
        Err(End::Amid) => return (Outcome::of(Class::HalfAnswer), false),
        Err(End::Garbage) => return (Outcome::of(Class::Wrong), false),
    };
    let Ok(body) = wire.body(&answer, true).await else { return (Outcome::of(Class::HalfAnswer), false) };
    (judge(&answer, &body, line, id), !answer.says_close())
}

const SWITCH: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What a whole answer is.
fn judge(answer: &Head, body: &[u8], line: &Line, id: &str) -> Outcome {
    let status = answer.status().unwrap_or_default();
    let says_when = answer.header("retry-after").is_some();
    let is_its_own = || match line.method.as_str() {
        _ if !line.target.contains("{id}") => true,
        "UPLOAD" => body == answer_of(id, PIECES * PIECE),
        "POST" => body == answer_of(id, BODY),
        _ if line.target.starts_with("/download/") => body == pattern(id, PIECES * PIECE),
        _ => body == answer_of(id, 0),
    };
    let class = match status {
        200..300 if is_its_own() => Class::Good,
        400..500 if status != 429 => Class::Refusal,
        429 | 503 if says_when => Class::Shed,
        500..600 => Class::Failure,
        _ => Class::Wrong,
    };
    let reason = answer.header("x-hilum-reason").unwrap_or_default().to_owned();
    let cookie = answer.header("set-cookie").is_some();
    Outcome { class, status, reason, sets_cookie: cookie }
}

async fn upload(wire: &mut Wire, head: &[u8], id: &str, over: Duration) {
    let step = over / u32::try_from(PIECES).expect("a small number");
    if wire.write(head).await.is_err() {
        return;
    }
    for piece in pattern(id, PIECES * PIECE).chunks(PIECE) {
        sleep(step).await;
        // Who answers before the end is heard.
        if wire.write(piece).await.is_err() {
            return;
        }
    }
}

/// Says something twenty times a second, and wants to hear it each time.
async fn socket(wire: &mut Wire, head: &[u8], id: &str, over: Duration) -> Outcome {
    let _ = wire.write(head).await;
    let answer = match wire.head().await {
        Ok(answer) if answer.status() == Some(101) => answer,
        Ok(answer) => {
            let shed = answer.header("retry-after").is_some();
            return Outcome {
                status: answer.status().unwrap_or_default(),
                reason: answer.header("x-hilum-reason").unwrap_or_default().to_owned(),
                ..Outcome::of(if shed { Class::Shed } else { Class::Failure })
            };
        }
        Err(End::Before) => return Outcome::of(Class::NoAnswer),
        Err(_) => return Outcome::of(Class::HalfAnswer),
    };
    let until = Instant::now() + over;
    while Instant::now() < until {
        let text = pattern(id, 50);
        if wire.write(&text).await.is_err() {
            return Outcome::of(Class::HalfAnswer);
        }
        match wire.take(text.len()).await {
            Ok(back) if back == text => {}
            Ok(_) => return Outcome::of(Class::Wrong),
            Err(_) => return Outcome::of(Class::HalfAnswer),
        }
        sleep(Duration::from_millis(50)).await;
    }
    Outcome { status: answer.status().unwrap_or_default(), ..Outcome::of(Class::Good) }
}
