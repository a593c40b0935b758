//! The lines that say which socket is which: by what it is for and by the address as `conf/hilum.yaml` has it, since port 0 is another
//! port each time. Addresses that stand there twice are told apart by their order.
//!
//! ```text
//! hilum upgrade 1
//! clients 127.0.0.1:0
//! admin 127.0.0.1:9901
//! end
//! ```

use std::fmt;
use std::net::SocketAddr;

/// What is said first. A gateway that says something else is of another time.
pub(super) const GREETING: &str = "hilum upgrade 1\n";
pub(super) const END: &str = "end\n";

/// One listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Entry {
    pub(in crate::server) role: Role,
    /// As it is configured.
    pub(in crate::server) address: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Role {
    Clients,
    Admin,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Clients => "clients",
            Role::Admin => "admin",
        };
        write!(f, "{role} {}", self.address)
    }
}

/// Reads all lines; the error says what is wrong with them.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let lines = text.strip_prefix(GREETING).ok_or_else(|| {
        let first = text.lines().next().unwrap_or_default();
        format!("it says {first:?} where this version expects {:?}", GREETING.trim_end())
    })?;
    let lines = lines.strip_suffix(END).ok_or("the list of its sockets has no end")?;
    lines.lines().map(|line| entry(line).ok_or_else(|| format!("it names a socket {line:?}"))).collect()
}

fn entry(line: &str) -> Option<Entry> {
    let (role, address) = line.split_once(' ')?;
    let role = match role {
        "clients" => Role::Clients,
        "admin" => Role::Admin,
        _ => return None,
    };
    Some(Entry { role, address: address.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let entry = |role, address: &str| Entry { role, address: address.parse().unwrap() };
        let entries = [
            entry(Role::Clients, "127.0.0.1:0"),
            entry(Role::Clients, "127.0.0.1:0"),
            entry(Role::Clients, "[::]:443"),
            entry(Role::Admin, "0.0.0.0:9901"),
        ];
        for count in 0..=entries.len() {
            let lines: String = entries[..count].iter().map(|entry| format!("{entry}\n")).collect();
            assert_eq!(parse(&format!("{GREETING}{lines}{END}")).as_deref(), Ok(&entries[..count]));
        }
    }

    #[test]
    fn what_is_no_list_is_told() {
        for (text, expected) in [
            ("", "it says \"\" where this version expects \"hilum upgrade 1\""),
            ("hilum upgrade 2\nend\n", "it says \"hilum upgrade 2\""),
            ("HTTP/1.1 400 Bad Request\r\n", "it says \"HTTP/1.1 400 Bad Request\""),
            ("hilum upgrade 1\n", "the list of its sockets has no end"),
            ("hilum upgrade 1\nadmin 127.0.0.1:1\nend", "the list of its sockets has no end"),
            ("hilum upgrade 1\nadmin\nend\n", "it names a socket \"admin\""),
            ("hilum upgrade 1\nadmin localhost:1\nend\n", "it names a socket \"admin localhost:1\""),
            ("hilum upgrade 1\nudp 127.0.0.1:1\nend\n", "it names a socket \"udp 127.0.0.1:1\""),
            ("hilum upgrade 1\nend\nend\n", "it names a socket \"end\""),
        ] {
            let got = parse(text).expect_err(text);
            assert!(got.starts_with(expected), "{text:?}: {got}");
        }
    }
}
