//! Where a request ends, decided on its raw head: what two programs could read differently is how requests are smuggled.
//!
//! Pingora takes `Content-Length` beside `Transfer-Encoding`, codings before `chunked`, equal lengths twice and lines that end without
//! a carriage return; each is allowed or was once (RFC 9112, 2.2 and 6.3), and another program in front of us may disagree.

use super::guard::Framing;

/// So many empty lines before a request are passed over (RFC 9112, 2.2 asks for one).
const EMPTY_LINES: usize = 2;

/// Where a raw HTTP/1 head, its empty line included, says that its body ends; `None` where two programs could find two ends.
pub(super) fn of(head: &[u8]) -> Option<Framing> {
    let mut rest = head;
    for _ in 0..EMPTY_LINES {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    let mut lines = rest.split_inclusive(|byte| *byte == b'\n');
    let request = lines.next().filter(|line| *line != b"\r\n")?;
    let is_old = request.trim_ascii_end().ends_with(b"HTTP/1.0");
    if !rest.split_inclusive(|byte| *byte == b'\n').all(|line| line.ends_with(b"\r\n")) {
        return None;
    }
    let mut framing = None;
    for line in lines {
        // A line that goes on with the one before (RFC 9112, 5.2).
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return None;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii());
        let said = if name.eq_ignore_ascii_case(b"content-length") {
            Framing::Length(length(value)?)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_old || !value.eq_ignore_ascii_case(b"chunked") {
                return None;
            }
            Framing::Chunked
        } else {
            continue;
        };
        if framing.replace(said).is_some() {
            return None;
        }
    }
    // Neither: the request ends with its head (RFC 9112, 6.3).
    Some(framing.unwrap_or(Framing::Length(0)))
}

/// Digits alone, and none that says nothing: `010` is eight for some programs.
fn length(digits: &[u8]) -> Option<u64> {
    let is_plain = digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || !digits.starts_with(b"0"));
    std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::guard::Framing::{self, Chunked, Length};
    use super::of;

    #[track_caller]
    fn check(lines: &str, expected: Option<Framing>) {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(of(head.as_bytes()), expected, "{lines:?}");
    }

    #[test]
    fn one_length_or_chunked_alone_is_plain() {
        for (lines, expected) in [
            ("", Length(0)),
            ("Content-Length: 0\r\n", Length(0)),
            ("Content-Length: 5\r\n", Length(5)),
            ("content-length:50\r\n", Length(50)),
            ("Content-Length: 18446744073709551615\r\n", Length(u64::MAX)),
            ("Transfer-Encoding: chunked\r\n", Chunked),
            ("transfer-encoding: Chunked \r\n", Chunked),
        ] {
            check(lines, Some(expected));
        }
        for (before, expected) in
            [("", true), ("\r\n", true), ("\r\n\r\n", true), ("\r\n\r\n\r\n", false), ("\n", false)]
        {
            let head = format!("{before}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(of(head.as_bytes()).is_some(), expected, "{before:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not() {
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding: ,chunked\r\n",
            "Transfer-Encoding:\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -0\r\n",
            "Content-Length: 05\r\n",
            "Content-Length: 00\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length:\r\n",
            "X: 1\n",
            "X: 1\r\n folded\r\n",
            "X: 1\r\n\tfolded\r\n",
        ] {
            check(lines, None);
        }
        for head in [
            "",
            "GET / HTTP/1.1\nHost: a\n\n",
            "\r\nPOST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(of(head.as_bytes()), None, "{head:?}");
        }
        assert_eq!(of(b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n"), Some(Length(5)));
    }
}
