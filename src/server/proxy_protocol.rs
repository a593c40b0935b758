//! The PROXY protocol, versions 1 and 2: the first bytes of a connection, in which a proxy says who its client is. Of our own, since
//! what is needed is a line and a table; a crate would bring names, TLVs and writing, and reading in pieces would still be ours.
//!
//! What a header may say is bounded, and nothing behind it is read: that belongs to TLS or HTTP.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Longest header of version 1, its end included.
const LINE: usize = 107;
/// Most of what follows the fixed part in version 2: addresses and more that we don't need. Senders keep to 536, but certificates of
/// clients are longer.
const MOST: usize = 4096;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// No header is shorter than this, so it can be read before it is known which version it is.
const FIRST: usize = SIGNATURE.len();
/// The signature, what it is about, and how much follows.
const FIXED: usize = 16;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    Client(SocketAddr),
    /// The proxy's own, such as a health check.
    Proxy,
    /// A client that the proxy does not know. It is not the proxy: what it says of itself is not believed.
    Unknown,
}

/// Why nobody was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// The connection ended before it began, as port checks do.
    Nothing,
    Malformed,
}

/// What must be read next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// So many bytes more are the header's.
    Bytes(usize),
    /// What follows up to the end of a line, so many bytes at most.
    Line(usize),
    /// The header is whole, but for so many bytes that don't matter.
    Over(Announced, usize),
}

/// Reads the header and not a byte more. The caller keeps the time.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Announced, NoHeader> {
    let gone = |_| NoHeader::Malformed;
    let mut header = Vec::with_capacity(LINE);
    loop {
        match next(&header).ok_or(NoHeader::Malformed)? {
            Next::Bytes(more) => {
                let at = header.len();
                header.resize(at + more, 0);
                // Ended or reset, as it pleases whoever checks a port.
                let first = stream.read(&mut header[at..]).await.unwrap_or(0);
                if first == 0 {
                    return Err(if at == 0 { NoHeader::Nothing } else { NoHeader::Malformed });
                }
                stream.read_exact(&mut header[at + first..]).await.map_err(gone)?;
            }
            Next::Line(most) => {
                // Looked at before it is taken, since behind the line begins what is not ours.
                let mut ahead = [0; LINE];
                let came = stream.peek(&mut ahead[..most]).await.map_err(gone)?;
                let ours = ahead[..came].iter().position(|b| *b == b'\n').map_or(came, |at| at + 1);
                if ours == 0 {
                    return Err(NoHeader::Malformed);
                }
                stream.read_exact(&mut ahead[..ours]).await.map_err(gone)?;
                header.extend_from_slice(&ahead[..ours]);
            }
            Next::Over(announced, mut rest) => {
                let mut dropped = [0; 256];
                while rest > 0 {
                    let piece = rest.min(dropped.len());
                    rest -= stream.read_exact(&mut dropped[..piece]).await.map_err(gone)?;
                }
                return Ok(announced);
            }
        }
    }
}

/// `None`: it is no header.
fn next(read: &[u8]) -> Option<Next> {
    match read {
        _ if read.len() < FIRST => Some(Next::Bytes(FIRST - read.len())),
        _ if read.starts_with(SIGNATURE) => version_2(read),
        _ if read.starts_with(b"PROXY ") => version_1(read),
        _ => None,
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`
fn version_1(read: &[u8]) -> Option<Next> {
    let Some(line) = read.strip_suffix(b"\n") else {
        // Within what has come there is no end of a line, or the last byte would be it.
        return (read.len() < LINE && !read.contains(&b'\n')).then(|| Next::Line(LINE - read.len()));
    };
    let line = std::str::from_utf8(line.strip_suffix(b"\r")?).ok()?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let announced = match words.next()? {
        "TCP4" => Announced::Client(addresses::<std::net::Ipv4Addr>(words)?),
        "TCP6" => Announced::Client(addresses::<std::net::Ipv6Addr>(words)?),
        // Whatever else stands there is to be ignored.
        "UNKNOWN" => Announced::Unknown,
        _ => return None,
    };
    Some(Next::Over(announced, 0))
}

/// Source, destination and their ports, and nothing else.
fn addresses<'w, A: FromStr + Into<IpAddr>>(words: impl Iterator<Item = &'w str>) -> Option<SocketAddr> {
    let words: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = words.as_slice() else { return None };
    let source: IpAddr = source.parse::<A>().ok()?.into();
    let (_, port, _) = (destination.parse::<A>().ok()?, port(source_port)?, port(destination_port)?);
    Some(SocketAddr::new(source.to_canonical(), port))
}

/// `parse` would take a `+` and zeros in front.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn version_2(read: &[u8]) -> Option<Next> {
    let Some(fixed) = read.first_chunk::<FIXED>() else { return Some(Next::Bytes(FIXED - read.len())) };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST {
        return None;
    }
    let addresses = match (command, family) {
        // What follows is to be ignored.
        (0x20, _) => return Some(Next::Over(Announced::Proxy, length)),
        (0x21, 0x00) => return Some(Next::Over(Announced::Unknown, length)),
        // TCP over IPv4 and IPv6. Datagrams and sockets of one machine don't come in here.
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        _ => return None,
    };
    let rest = length.checked_sub(addresses)?;
    let (body, missing) = (&read[FIXED..], (FIXED + addresses).saturating_sub(read.len()));
    if missing > 0 {
        return Some(Next::Bytes(missing));
    }
    let (source, ports): (IpAddr, &[u8]) = match body.first_chunk::<16>() {
        Some(source) if addresses == 36 => (IpAddr::from(*source), &body[32..]),
        _ => (IpAddr::from(*body.first_chunk::<4>()?), &body[8..]),
    };
    let port = u16::from_be_bytes(*ports.first_chunk::<2>()?);
    Some(Next::Over(Announced::Client(SocketAddr::new(source.to_canonical(), port)), rest))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const REST: &str = "GET / HTTP/1.1\r\n";

    /// What is read of these bytes, with a request behind them, and that the request is left. `pieces`: how many are sent at a time.
    async fn read_of(header: &[u8], pieces: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let bytes = [header, REST.as_bytes()].concat();
        let send = async {
            for piece in bytes.chunks(pieces) {
                // Who is refused does not read all of it.
                let _ = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
        };
        let (announced, ()) = tokio::join!(read(&mut server), send);
        match announced {
            Err(e) => format!("{e:?}"),
            Ok(announced) => {
                let mut left = vec![0; REST.len()];
                server.read_exact(&mut left).await.unwrap();
                assert_eq!(left, REST.as_bytes(), "{header:?} in pieces of {pieces}");
                match announced {
                    Announced::Client(client) => client.to_string(),
                    Announced::Proxy => "proxy".to_owned(),
                    Announced::Unknown => "unknown".to_owned(),
                }
            }
        }
    }

    async fn check(header: &[u8], expected: &str) {
        for pieces in [1, 5, 13, 10_000] {
            let got = read_of(header, pieces).await;
            assert_eq!(got, expected, "{:?} in pieces of {pieces}", String::from_utf8_lossy(header));
        }
    }

    #[tokio::test]
    async fn version_1_is_one_line() {
        check(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "192.0.2.1:56324").await;
        check(b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535").await;
        check(b"PROXY TCP6 2001:db8::1 2001:db8::2 0 443\r\n", "[2001:db8::1]:0").await;
        check(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1").await;
        check(b"PROXY UNKNOWN\r\n", "unknown").await;
        let longest = format!("PROXY UNKNOWN {} {} 65535 65535\r\n", "f".repeat(39), "f".repeat(39));
        assert_eq!(longest.len(), LINE);
        check(longest.as_bytes(), "unknown").await;
    }

    #[tokio::test]
    async fn what_is_no_line_of_version_1_is_refused() {
        let cases: &[&str] = &[
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 a b 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY \r\n        ",
            "PROXY TCP4\r\nGET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n",
        ];
        for case in cases {
            check(case.as_bytes(), "Malformed").await;
        }
        let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
        assert_eq!(too_long.len(), LINE + 1);
        check(too_long.as_bytes(), "Malformed").await;
    }

    /// The fixed part, and what follows with its length.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 0x01, 0xbb];

    #[tokio::test]
    async fn version_2_is_a_table() {
        check(&binary(0x21, 0x11, V4), "192.0.2.1:56324").await;
        let v6: &[u8] = &[&[0x20, 1, 0xd, 0xb8], [0; 11].as_slice(), &[1], &[0; 16], &[0, 1, 0, 2]].concat();
        check(&binary(0x21, 0x21, v6), "[2001:db8::1]:1").await;
        let mapped: &[u8] = &[[0; 10].as_slice(), &[0xff, 0xff, 192, 0, 2, 1], &[0; 16], &[0, 1, 0, 2]].concat();
        check(&binary(0x21, 0x21, mapped), "192.0.2.1:1").await;
        // More than the addresses is passed over.
        check(&binary(0x21, 0x11, &[V4, &[3, 0, 4, 1, 2, 3, 4]].concat()), "192.0.2.1:56324").await;
        check(&binary(0x21, 0x11, &[V4, &[4; MOST - 12]].concat()), "192.0.2.1:56324").await;
        // Its own connection, or a client of no family, with or without addresses.
        check(&binary(0x20, 0x00, b""), "proxy").await;
        check(&binary(0x20, 0x11, V4), "proxy").await;
        check(&binary(0x21, 0x00, b"whatever"), "unknown").await;
    }

    #[tokio::test]
    async fn what_is_no_table_of_version_2_is_refused() {
        for (command, family, rest) in [
            (0x11, 0x11, V4),
            (0x31, 0x11, V4),
            (0x22, 0x11, V4),
            (0x21, 0x12, V4),
            (0x21, 0x31, &[0; 216]),
            (0x21, 0x41, V4),
            (0x21, 0x11, &V4[1..]),
            (0x21, 0x21, V4),
            (0x21, 0x11, b""),
        ] {
            check(&binary(command, family, rest), "Malformed").await;
        }
        check(&binary(0x21, 0x11, &[0; MOST + 1]), "Malformed").await;
        check(b"\r\n\r\n\0\r\nQUIX\n\x21\x11\x00\x00", "Malformed").await;
    }

    #[tokio::test]
    async fn who_leaves_without_a_word_sent_no_bad_header() {
        for (sent, expected) in
            [(&b""[..], NoHeader::Nothing), (b"PROXY", NoHeader::Malformed), (b"PROXY TCP4 192", NoHeader::Malformed)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(sent).await.unwrap();
            drop(client);
            assert_eq!(read(&mut server).await, Err(expected));
        }
    }
}
