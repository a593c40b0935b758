//! Lines of JSON as logs have them: one flat object each, whose names are known when this is compiled. A serializer that can do more
//! costs three times as much (`benches/README.md`), and every request pays for one or two lines.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

/// What is one object.
pub(super) trait Object {
    /// Appends what stands between its braces.
    fn members(&self, out: &mut Vec<u8>);
}

/// The value of a member. One that is not there (`None`) leaves its name out as well.
pub(super) trait Value {
    fn write(&self, out: &mut Vec<u8>);

    /// Appends both; `name` stands in its quotes, between comma and colon.
    fn member(&self, name: &'static str, out: &mut Vec<u8>) {
        out.extend_from_slice(name.as_bytes());
        self.write(out);
    }
}

/// Appends members in this order, each `"name": value`. The first one is always there.
macro_rules! members {
    ($out:expr; $first:literal: $value:expr, $($name:literal: $more:expr),* $(,)?) => {
        $crate::telemetry::json::Value::member(&$value, concat!('"', $first, "\":"), $out);
        $($crate::telemetry::json::Value::member(&$more, concat!(",\"", $name, "\":"), $out);)*
    };
}
pub(super) use members;

impl<T: Value + ?Sized> Value for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl<T: Value> Value for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn member(&self, name: &'static str, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.member(name, out);
        }
    }
}

/// A text with nothing to escape in it, which is known before: names of ours, digits.
pub(super) struct Plain<'t>(pub(super) &'t str);

impl Value for Plain<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(self.0.as_bytes());
        out.push(b'"');
    }
}

/// RFC 8259, 7. Nearly no text has anything to escape, so that is found out for many bytes at a time.
fn is_plain(text: &[u8]) -> bool {
    let plain = |all: bool, byte: &u8| all & (*byte >= b' ') & (*byte != b'"') & (*byte != b'\\');
    let (chunks, rest) = text.as_chunks::<16>();
    chunks.iter().all(|chunk| chunk.iter().fold(true, plain)) && rest.iter().fold(true, plain)
}

impl Value for str {
    fn write(&self, out: &mut Vec<u8>) {
        if is_plain(self.as_bytes()) {
            Plain(self).write(out);
        } else {
            // Writing to memory never fails.
            let _ = serde_json::to_writer(out, self);
        }
    }
}

impl Value for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
    }
}

impl Value for u16 {
    fn write(&self, out: &mut Vec<u8>) {
        u64::from(*self).write(out);
    }
}

impl Value for IpAddr {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        address(*self, out);
        out.push(b'"');
    }
}

impl Value for SocketAddr {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            SocketAddr::V4(socket) => {
                out.push(b'"');
                address((*socket.ip()).into(), out);
                out.push(b':');
                self.port().write(out);
                out.push(b'"');
            }
            SocketAddr::V6(socket) => drop(write!(out, "\"{socket}\"")),
        }
    }
}

fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            u16::from(first).write(out);
            for octet in rest {
                out.push(b'.');
                u16::from(octet).write(out);
            }
        }
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &impl Value, expected: &str) {
        let mut out = Vec::new();
        value.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_value_is_written_as_json_has_it() {
        for text in ["", "plain", "ñandú ☃ \u{7f}\u{2028}", "\"", "\\", "a\nb", "\0", "\u{1f}", "end\""] {
            check(&text, &serde_json::to_string(text).unwrap());
        }
        for byte in 0..=127_u8 {
            let text = char::from(byte).to_string().repeat(40);
            check(&text.as_str(), &serde_json::to_string(&text).unwrap());
        }
        for number in [0_u16, 9, 10, 65_535] {
            check(&number, &number.to_string());
        }
        check(&u64::MAX, "18446744073709551615");
        for address in ["0.0.0.0", "127.0.0.1", "203.0.113.255", "2001:db8::1", "::ffff:1.2.3.4"] {
            let ip: IpAddr = address.parse().unwrap();
            check(&ip, &format!("\"{address}\""));
            check(&SocketAddr::from((ip, 65_535)), &format!("\"{}\"", SocketAddr::from((ip, 65_535))));
        }
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let mut out = Vec::new();
        members!(&mut out; "a": 1_u16, "b": None::<u64>, "c": Some("x"), "d": "y");
        assert_eq!(out, br#""a":1,"c":"x","d":"y""#);
    }
}
