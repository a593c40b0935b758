//! Lines of `X-Forwarded-For` → the client's address.

use std::net::IpAddr;

use http::HeaderValue;
use pingora_http::RequestHeader;

use super::world;
use crate::proxy::{Gateway, seams};

thread_local! {
    static GATEWAY: Gateway = world::gateway("http://127.0.0.1:1");
}

/// Whom the gateway of the fuzzer believes.
fn is_trusted(address: IpAddr) -> bool {
    matches!(address.to_canonical(), IpAddr::V4(v4) if v4.octets()[0] == 10)
}

/// A client is what a trusted proxy says, else the peer.
pub fn forwarded_for(data: &[u8]) {
    let mut head = RequestHeader::build("GET", b"/", None).expect("a head");
    for line in data.split(|byte| *byte == b'\n').take(16) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            head.append_header("x-forwarded-for", value).expect("a header");
        }
    }
    GATEWAY.with(|gateway| {
        let stranger = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(seams::client(gateway, &head, stranger), stranger, "a stranger speaks for nobody");
        let proxy = IpAddr::from([10, 0, 0, 1]);
        let client = seams::client(gateway, &head, proxy);
        assert_eq!(client, client.to_canonical(), "an address has one form");
        // From the right, each entry was added by the one to the right of it, which must be a proxy of ours.
        let lines = head.headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("").to_owned());
        let entries: Vec<String> =
            lines.collect::<Vec<_>>().join(",").split(',').map(|e| e.trim().to_owned()).collect();
        let believed = entries.iter().rev().map_while(|entry| entry.parse::<IpAddr>().ok());
        let mut chain = vec![proxy];
        for address in believed.map(|address| address.to_canonical()) {
            if !is_trusted(chain[chain.len() - 1]) {
                break;
            }
            chain.push(address);
        }
        assert_eq!(Some(&client), chain.last(), "{entries:?}");
    });
}
