//! Texts of a log line → the line.

use std::time::{Duration, UNIX_EPOCH};

use crate::telemetry::{Line, Millis, Time};

/// It is one JSON object on one line, and says the same. Texts are parted by the byte 255, which is in no text.
pub fn log_line(data: &[u8]) {
    let texts: Vec<String> =
        data.split(|byte| *byte == 255).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let text = |at: usize| texts.get(at).map(String::as_str);
    let number = data.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let line = Line {
        // Up to the end of the year 9999, the last that RFC 3339 can say.
        time: Time(UNIX_EPOCH + Duration::from_millis(number % 253_402_300_800_000)),
        request_id: text(0).unwrap_or_default(),
        client: Some(u32::try_from(number & 0xffff_ffff).unwrap_or_default().to_be_bytes().into()),
        method: text(1).unwrap_or_default(),
        route: text(2),
        path: text(3),
        status: u16::try_from(number & 0xffff).unwrap_or_default(),
        reason: text(4),
        service: text(5),
        peer: None,
        attempts: None,
        bytes: number,
        ms: Millis(Duration::from_micros(number >> 8)),
    };
    let mut written = Vec::new();
    line.write(&mut written);
    let written = String::from_utf8(written).expect("UTF-8");
    let written = written.strip_suffix('\n').expect("a line break");
    assert!(!written.bytes().any(|byte| byte < b' '), "{written:?}");
    let read: serde_json::Value = serde_json::from_str(written).expect("JSON");
    let object = read.as_object().expect("an object");
    for (key, at) in [("request_id", 0), ("method", 1), ("route", 2), ("path", 3), ("reason", 4), ("service", 5)] {
        let expected = text(at).or_else(|| (at < 2).then_some(""));
        assert_eq!(object.get(key).and_then(serde_json::Value::as_str), expected, "{key} of {written}");
    }
    let time = read["time"].as_str().expect("a text");
    assert!(time.len() == 24 && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
}
