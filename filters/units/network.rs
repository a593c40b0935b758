//! A network, or one address.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use super::written_as_text;

/// A network such as `10.0.0.0/8`, or one address. IPv4-mapped IPv6 ones are kept as IPv4 (RFC 4291, 2.5.5.2), since clients are
/// compared by their canonical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

const NETWORK: &str = r#"an address or a network such as "10.0.0.0/8""#;

written_as_text!(Network, "network", NETWORK, {});

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.parse::<IpAddr>() {
            Ok(address) => Some(IpNet::from(address)),
            Err(_) => text.parse::<IpNet>().ok(),
        };
        let Some(network) = parsed else { return Err(format!("expected {NETWORK}, got {text:?}")) };
        // An address of a host with a short prefix is a slip in one of the two.
        if network != network.trunc() {
            return Err(format!("{text:?} has bits beyond its prefix: write {} or a longer prefix", network.trunc()));
        }
        Ok(Network(unmapped(network)))
    }
}

fn unmapped(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match network {
        IpNet::V6(it) if it.prefix_len() >= MAPPED => it
            .network()
            .to_ipv4_mapped()
            .and_then(|address: Ipv4Addr| Ipv4Net::new(address, it.prefix_len() - MAPPED).ok())
            .map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::Network;

    fn check(text: &str, expected: &str) {
        let read = text.parse::<Network>().map_or_else(|why| why, |network| network.0.to_string());
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn a_network_is_kept_as_clients_are_compared() {
        check("10.0.0.0/8", "10.0.0.0/8");
        check("192.0.2.7", "192.0.2.7/32");
        check("::ffff:10.0.0.0/104", "10.0.0.0/8");
        check("::ffff:192.0.2.7", "192.0.2.7/32");
        check("::ffff:0:0/96", "0.0.0.0/0");
        check("::/0", "::/0");
        check("2001:db8::/32", "2001:db8::/32");
    }

    #[test]
    fn what_is_no_network_is_told() {
        check("10.0.0", r#"expected an address or a network such as "10.0.0.0/8", got "10.0.0""#);
        check("10.0.0.1/8", r#""10.0.0.1/8" has bits beyond its prefix: write 10.0.0.0/8 or a longer prefix"#);
    }
}
