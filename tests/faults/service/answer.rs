//! What a service does with a request. The query names its id, and the answer proves that it belongs to it:
//!
//! ```text
//! /upload/TIME    reads the body, however slowly it comes       /socket/TIME  switches protocols and sends back what comes
//! /download/TIME  a body of twenty pieces, spread over the time /health       200 or 503
//! /login          a session: the body names the token           anything else is work, and is answered when it is done
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::net::TcpStream;

use super::spec::time;
use super::{Fault, Shared};
use crate::wire::{Head, Wire};

/// How many pieces a slow body comes in, and how long each is.
pub(crate) const PIECES: usize = 20;
pub(crate) const PIECE: usize = 1000;

/// The whole answer to the request of this id with a body of this length. Long enough for a half of it to be one.
pub(crate) fn answer_of(id: &str, length: usize) -> Vec<u8> {
    let mut body = format!("{id} {length} ").into_bytes();
    body.extend(pattern(id, 600));
    body
}

/// Bytes that tell when one is missing, twice, or another request's.
pub(crate) fn pattern(id: &str, length: usize) -> Vec<u8> {
    id.bytes().chain(*b"/").cycle().take(length).collect()
}

/// Requests one after the other, until one side has enough.
pub(super) async fn serve(mut wire: Wire, shared: Arc<Shared>) {
    while let Ok(head) = wire.head().await {
        shared.hears().await;
        let Some(()) = exchange(&mut wire, &head, &shared).await else { return wire.reset() };
        if head.says_close() {
            return;
        }
    }
}

/// A connection that came when nobody should hear of it.
pub(super) async fn stay_silent(stream: TcpStream, shared: Arc<Shared>) {
    shared.hears().await;
    drop(stream);
}

/// `None`: the connection ends with a reset.
async fn exchange(wire: &mut Wire, head: &Head, shared: &Shared) -> Option<()> {
    let mut words = head.first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let path = target.split('?').next()?;
    let fault = shared.fault();
    if path == "/health" {
        let is_well = fault == Fault::None || shared.lies.load(SeqCst);
        return respond(wire, if is_well { "200 OK" } else { "503 Sick" }, b"health").await;
    }
    let id = target.split_once("id=").map_or("", |(_, rest)| rest.split('&').next().unwrap_or_default());
    shared.note(method, id);
    let parts: Vec<&str> = path.split('/').collect();
    match fault {
        Fault::Slam => return None,
        Fault::Garbage => {
            wire.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await.ok()?;
            wire.finish().await;
            return None;
        }
        Fault::Cut => {
            let body = answer_of(id, 0);
            let half = [ok(body.len()).as_bytes(), &body[..body.len() / 2]].concat();
            wire.write(&half).await.ok()?;
            // The half is to be on its way before the reset, which would overtake it.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return None;
        }
        Fault::None => {}
    }
    match parts.get(1..)? {
        ["socket", _] => {
            wire.write(SWITCH.as_bytes()).await.ok()?;
            wire.echo().await;
            None
        }
        ["download", over] => {
            let step = time(over) / u32::try_from(PIECES).expect("a small number");
            wire.write(ok(PIECES * PIECE).as_bytes()).await.ok()?;
            for piece in pattern(id, PIECES * PIECE).chunks(PIECE) {
                tokio::time::sleep(step).await;
                wire.write(piece).await.ok()?;
            }
            Some(())
        }
        ["login"] => {
            let token = String::from_utf8(wire.body(head, false).await.ok()?).ok()?;
            let token = token.split('"').nth(3)?.to_owned();
            let body = format!(r#"{{"access_token":"{token}","expires_in":900}}"#);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            wire.write(head.as_bytes()).await.ok()
        }
        _ => {
            let length = wire.body(head, false).await.ok()?.len();
            // A request whose client has left is worked at all the same, as in most services.
            let _worker = shared.workers.acquire().await.ok()?;
            if !shared.spec.takes.is_zero() {
                tokio::time::sleep(shared.spec.takes).await;
            }
            shared.hears().await;
            respond(wire, "200 OK", &answer_of(id, length)).await
        }
    }
}

/// The answer to the one key that the load sends (RFC 6455, 1.3).
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn ok(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
}

async fn respond(wire: &mut Wire, status: &str, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
    wire.write(&[head.as_bytes(), body].concat()).await.ok()
}
