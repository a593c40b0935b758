//! What a service does with a request: a list of steps, and ready-made lists for the usual and the unusual.

use std::time::Duration;

use super::Seen;

/// One thing that a service does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads the request's body to its end.
    ReadBody,
    /// Writes bytes.
    Send(Vec<u8>),
    /// Writes 200 with a JSON of what was seen: `method`, `target`, `headers` (a list of pairs) and `body`.
    Echo,
    /// Does nothing for a while.
    Pause(Duration),
    /// Sends back what comes, until the other end closes.
    Pipe,
    /// Sends back what comes, so many bytes at a time: it reads while it does not write and writes while it does not read.
    Blocks(usize),
    /// Reads so many bytes and adds them to the body that was seen.
    Take(usize),
    /// Reads until the other end has said its last word, and goes on.
    ReadToEnd,
    /// Reads nothing more, for ever.
    Deaf,
    /// Does nothing until the other end closes.
    Hang,
    /// Closes in good order.
    Close,
    /// Closes with a reset.
    Reset,
}

/// What a service does with one request. Unless a step closes, the connection stays for the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply(pub(crate) Vec<Step>);

impl Reply {
    /// Reads the body and then does nothing yet.
    pub(crate) fn new() -> Reply {
        Reply(vec![Step::ReadBody])
    }

    /// Begins without reading the body.
    pub(crate) fn early() -> Reply {
        Reply::default()
    }

    pub(crate) fn then(mut self, step: Step) -> Reply {
        self.0.push(step);
        self
    }

    pub(crate) fn send(self, bytes: impl AsRef<[u8]>) -> Reply {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    pub(crate) fn pause(self, ms: u64) -> Reply {
        self.then(Step::Pause(Duration::from_millis(ms)))
    }

    pub(crate) fn close(self) -> Reply {
        self.then(Step::Close)
    }

    pub(crate) fn reset(self) -> Reply {
        self.then(Step::Reset)
    }

    /// Without [`Step::Pipe`], so that more can follow an upgrade.
    pub(crate) fn unpiped(mut self) -> Reply {
        self.0.retain(|step| !matches!(step, Step::Pipe));
        self
    }

    /// A status, header lines and a body, with its length.
    pub(crate) fn answer(self, status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Reply {
        let mut head = format!("HTTP/1.1 {status} Some Text\r\nContent-Length: {}\r\n", body.as_ref().len());
        for line in headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        self.send([head.as_bytes(), b"\r\n", body.as_ref()].concat())
    }

    /// A status and a JSON body.
    pub(crate) fn json(status: u16, body: impl AsRef<[u8]>) -> Reply {
        Reply::new().answer(status, &["Content-Type: application/json"], body)
    }

    /// The head of a chunked answer; see [`Reply::chunk`] and [`Reply::last_chunk`].
    pub(crate) fn chunked(self, headers: &[&str]) -> Reply {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{lines}\r\n"))
    }

    pub(crate) fn chunk(self, text: impl AsRef<[u8]>) -> Reply {
        let size = format!("{:x}\r\n", text.as_ref().len());
        self.send([size.as_bytes(), text.as_ref(), b"\r\n"].concat())
    }

    pub(crate) fn last_chunk(self) -> Reply {
        self.send("0\r\n\r\n")
    }
}

/// A service that does what the path says, which a test can choose since paths pass unchanged. Numbers are milliseconds,
/// bytes or statuses:
///
/// ```text
/// /echo…  what was seen, as JSON        /status/N  JSON {"status":N}          /body/N     N bytes
/// /slow-head/MS   /drip/N/MS  N bytes, one each MS     /chunked  three chunks   /sse/N/MS   N events, one each MS
/// /close  /reset  without an answer     /cut  half a body, then reset          /garbage    no HTTP
/// /silent  for ever                     /early/N  status N, body unread        /continue   100, then the body, then echo
/// /socket  switches protocols and sends back what comes     /health  200
/// ```
pub(crate) fn puppet(seen: &Seen) -> Reply {
    let path = seen.target.split('?').next().unwrap_or_default();
    let words: Vec<&str> = path.split('/').skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|w| w.parse::<u64>().ok()).unwrap_or_default();
    match words[0] {
        "status" => {
            let status = u16::try_from(number(1)).expect("a status");
            Reply::json(status, format!("{{\"status\":{status}}}"))
        }
        "body" => Reply::new().answer(200, &[], pattern(number(1))),
        "slow-head" => Reply::new().pause(number(1)).answer(200, &[], "late"),
        "drip" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", number(1));
            (0..number(1)).fold(Reply::new().send(head), |reply, _| reply.send(".").pause(number(2)))
        }
        "chunked" => Reply::new().chunked(&[]).chunk("one ").chunk("two ").chunk("three").last_chunk(),
        "sse" => {
            let events = Reply::new().chunked(&["Content-Type: text/event-stream"]);
            (0..number(1)).fold(events, |reply, n| reply.chunk(format!("data: {n}\n\n")).pause(number(2))).last_chunk()
        }
        "close" => Reply::new().close(),
        "reset" => Reply::new().reset(),
        "cut" => Reply::new().send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").pause(50).reset(),
        "garbage" => Reply::new().send("\x16\x03\x01 this is no HTTP\r\n\r\n").close(),
        "silent" => Reply::new().then(Step::Hang),
        "early" => Reply::early().answer(u16::try_from(number(1)).expect("a status"), &["Connection: close"], "early"),
        "continue" => Reply::early().send("HTTP/1.1 100 Continue\r\n\r\n").then(Step::ReadBody).then(Step::Echo),
        "socket" => Reply::new()
            .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .then(Step::Pipe),
        "health" => Reply::json(200, r#"{"status":"healthy"}"#),
        _ => Reply::new().then(Step::Echo),
    }
}

/// Bytes that tell when one is missing or twice.
pub(crate) fn pattern(length: u64) -> Vec<u8> {
    let length = usize::try_from(length).expect("it fits into memory");
    let mut bytes = b"0123456789abcdefghijklmnopqrstuvwxy\n".repeat(length / 36 + 1);
    bytes.truncate(length);
    bytes
}
