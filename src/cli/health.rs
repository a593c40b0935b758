//! `hilum health`: whether the gateway with these settings is ready, for a container that has no other program to ask with.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::load::{read_conf, tell};
use crate::config::Environment;

/// For each step; a gateway that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// Exit 0: ready; 1: not, or nobody is there.
pub(super) fn health(conf: &Path) -> anyhow::Result<ExitCode> {
    let conf = match read_conf(conf, &Environment::process(), |_, _| ())? {
        Ok(conf) => conf,
        Err(report) => return tell(&[report], false),
    };
    let address = reachable(conf.0.admin());
    let answer = ask(address).with_context(|| format!("nobody answers at {address}"))?;
    super::print(answer.lines().last().unwrap_or_default())?;
    Ok(if answer.starts_with("HTTP/1.1 200 ") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A listener on every address is asked at loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece, as anybody sends a head.
    let head = format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    // Whatever is there, a short answer is expected.
    stream.take(4096).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
