//! Where a request ends, decided on its raw head: what two programs could read differently is how requests are smuggled.
//!
//! Pingora takes `Content-Length` beside `Transfer-Encoding`, codings before `chunked`, equal lengths twice and lines that end without
//! a carriage return; each is allowed or was once (RFC 9112, 2.2 and 6.3), and another program in front of us may disagree.

/// Whether a raw HTTP/1 head, its empty line included, says in one way where the request ends.
pub(super) fn is_plain(head: &[u8]) -> bool {
    // Empty lines before a request are passed over (RFC 9112, 2.2).
    let mut lines = head.split_inclusive(|byte| *byte == b'\n').skip_while(|line| *line == b"\r\n");
    let Some(request) = lines.next() else { return false };
    let is_old = request.trim_ascii_end().ends_with(b"HTTP/1.0");
    let (mut lengths, mut codings) = (0, 0);
    if !head.split_inclusive(|byte| *byte == b'\n').all(|line| line.ends_with(b"\r\n")) {
        return false;
    }
    for line in lines {
        // A line that goes on with the one before (RFC 9112, 5.2).
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return false;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return false;
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return false;
            }
        }
    }
    lengths + codings <= 1 && !(is_old && codings > 0)
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[track_caller]
    fn check(lines: &str, expected: bool) {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(is_plain(head.as_bytes()), expected, "{lines:?}");
    }

    #[test]
    fn one_length_or_chunked_alone_is_plain() {
        for lines in [
            "",
            "Content-Length: 5\r\n",
            "content-length:5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "transfer-encoding: Chunked \r\n",
        ] {
            check(lines, true);
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
            "Transfer-Encoding:\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length:\r\n",
            "X: 1\n",
            "X: 1\r\n folded\r\n",
            "X: 1\r\n\tfolded\r\n",
        ] {
            check(lines, false);
        }
        assert!(!is_plain(b"GET / HTTP/1.1\nHost: a\n\n"));
        assert!(!is_plain(b"\r\nPOST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(!is_plain(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(is_plain(b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n"));
    }
}
