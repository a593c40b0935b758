//! How fast an audit log is verified, and its format by the documentation alone: the records here are sealed by this file.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Instant;

use ring::hmac;

use crate::harness::AUDIT_KEY;

const RECORDS: u64 = 200_000;
const WRITER: &str = "20261124T200000000Z-0000beef";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// `HMAC(key, mac of the one before ‖ the line up to its own mac)`
fn sealed(key: &hmac::Key, before: &str, line: &str) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(before.as_bytes());
    context.update(line.as_bytes());
    hex(context.sign().as_ref())
}

#[test]
fn records_are_verified_as_fast_as_their_build_promises() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = hmac::Key::new(hmac::HMAC_SHA256, AUDIT_KEY.as_bytes());
    let (mut text, mut mac) = (String::new(), "0".repeat(64));
    for seq in 1..=RECORDS {
        let begun = text.len();
        let time = "\"time\":\"2026-11-24T20:00:00.000Z\"";
        let written = match seq {
            1 => write!(
                text,
                "{{\"seq\":1,{time},\"event\":\"start\",\"writer\":\"{WRITER}\",\"segment\":1,\"prev\":\"{mac}\""
            ),
            RECORDS => write!(text, "{{\"seq\":{seq},{time},\"event\":\"stop\""),
            _ => write!(
                text,
                "{{\"seq\":{seq},{time},\"event\":\"access\",\"outcome\":\"success\",\"status\":200,\"route\":\"patient-record\",\"method\":\"GET\",\"action\":\"read\",\"resource\":\"patient/9f0e7c0e-0d4b-5d51-a8a5-0c5d2f6a3b{n:02}/medical-record\",\"user_id\":\"9f0e7c0e-0d4b-5d51-a8a5-0c5d2f6a3b{n:02}\",\"user_type\":\"patient\",\"session\":\"00112233aabbccdd\",\"client\":\"10.0.0.{n}\",\"request_id\":\"{seq:032}\",\"service\":\"patients\",\"config\":\"c0ffee\"",
                n = seq % 100
            ),
        };
        written.expect("memory");
        mac = sealed(&key, &mac, &text[begun..]);
        writeln!(text, ",\"mac\":\"{mac}\"}}").expect("memory");
    }
    let base = folder.path().join("log");
    std::fs::write(folder.path().join(format!("log.{WRITER}.000001")), &text).expect("our own folder");
    let end = format!(
        "{{\"writer\":\"{WRITER}\",\"segment\":1,\"seq\":{RECORDS},\"mac\":\"{mac}\",\"bytes\":{}}}",
        text.len()
    );
    let head = format!("{{\"chains\":[{end}]");
    let head = format!("{head},\"mac\":\"{}\"}}\n", sealed(&key, "head:", &head));
    std::fs::write(folder.path().join("log.head"), head).expect("our own folder");

    let begun = Instant::now();
    let verified = Command::new(env!("CARGO_BIN_EXE_hilum"))
        .args(["audit", "verify"])
        .arg(&base)
        .env_clear()
        .env("HILUM_AUDIT_KEY", AUDIT_KEY)
        .output()
        .expect("it runs");
    let took = begun.elapsed();
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && said.contains(&format!("records: {RECORDS}, files: 1")), "{said}");
    let rate = RECORDS as f64 / took.as_secs_f64();
    println!("{rate:.0} records a second, {} bytes each", text.len() as u64 / RECORDS);
    // Without optimisation it is only seen to be no slower than it can be.
    assert!(rate >= if cfg!(debug_assertions) { 10_000.0 } else { 200_000.0 }, "{rate:.0} records a second");
}
