//! `traceparent` (W3C Trace Context): taken over when well formed, made otherwise, so that one request can be followed through all services.

use http::HeaderValue;
use rand::RngCore;

/// Version 00: trace id, parent id, flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(HeaderValue);

impl TraceParent {
    /// The client's, if it is well formed; else a new one, not sampled.
    pub fn accept_or_make(sent: Option<&HeaderValue>) -> TraceParent {
        match sent {
            Some(value) if is_well_formed(value.as_bytes()) => TraceParent(value.clone()),
            _ => TraceParent::make(),
        }
    }

    fn make() -> TraceParent {
        let mut random = [0_u8; 24];
        rand::rng().fill_bytes(&mut random);
        // An id of all zeros is invalid; one bit keeps it from ever being made.
        random[0] |= 1;
        random[16] |= 1;
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let places = (3..35).step_by(2).chain((36..52).step_by(2));
        for (at, byte) in places.zip(random) {
            text[at] = hex(byte >> 4);
            text[at + 1] = hex(byte & 15);
        }
        TraceParent(HeaderValue::from_bytes(&text).expect("hex and dashes"))
    }

    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

fn hex(digit: u8) -> u8 {
    b"0123456789abcdef"[usize::from(digit & 15)]
}

fn is_well_formed(text: &[u8]) -> bool {
    let lower_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    text.len() == 55
        && text.starts_with(b"00-")
        && [2, 35, 52].iter().all(|at| text[*at] == b'-')
        && [&text[3..35], &text[36..52], &text[53..55]].iter().all(|part| lower_hex(part))
        && [&text[3..35], &text[36..52]].iter().all(|part| part.iter().any(|b| *b != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_one_is_taken_over() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let cases = [
            (good.to_owned(), true),
            (good.to_uppercase(), false),
            (good.replace("00-4", "01-4"), false),
            (good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false),
            (good[..54].to_owned(), false),
            (format!("{good}0"), false),
            (good.replace('-', "_"), false),
        ];
        for (text, taken) in cases {
            let sent = HeaderValue::from_str(&text).unwrap();
            let got = TraceParent::accept_or_make(Some(&sent));
            assert_eq!(got.value() == sent, taken, "{text}");
            assert!(is_well_formed(got.value().as_bytes()));
        }
    }
}
