//! Requests and expectations as text, so that a test is a table.

use super::{Gateway, Response};

/// The bytes of a request. Lines are separated by `\n` and may be indented; `HTTP/1.1` and `Host` are added where they are
/// missing, and `Content-Length` where there is a body (all that follows an empty line) without a framing of its own.
pub(crate) fn message(text: &str) -> Vec<u8> {
    let text = text.trim_start();
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines: Vec<String> =
        head.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    if !lines[0].contains(" HTTP/") {
        lines[0].push_str(" HTTP/1.1");
    }
    let has =
        |lines: &[String], name: &str| lines.iter().any(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")));
    if !has(&lines, "host") {
        lines.insert(1, "Host: hilum.test".to_owned());
    }
    if !body.is_empty() && !has(&lines, "content-length") && !has(&lines, "transfer-encoding") {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
}

/// Compares an answer with an expectation: its first line is the status and, behind it, the reason if there is one; then one
/// line for each thing that must hold:
///
/// ```text
/// name: value    all lines of the header, joined by `, `; `*` is any value, `*text*` is a part of it
/// !name          there is no such header
/// = text         the body is this
/// ~ text         the body holds this
/// !~ text        the body does not hold this
/// {…}            the body is this JSON
/// ```
pub(crate) fn expect(case: &str, response: &Response, expectation: &str) {
    if let Err(wrong) = compare(case, response, expectation) {
        panic!("{wrong}");
    }
}

/// The same as a value, for tests that tell all that is wrong at once.
pub(crate) fn compare(case: &str, response: &Response, expectation: &str) -> Result<(), String> {
    let mut lines = expectation.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().expect("an expectation has a status");
    let got = format!("{} {}", response.status, response.reason());
    let mut wrong: Vec<String> = Vec::new();
    if got.trim() != first {
        wrong.push(format!("{first}, got {got}"));
    }
    if !response.complete {
        wrong.push("a whole answer".to_owned());
    }
    wrong.extend(lines.filter(|line| !holds(response, line)).map(str::to_owned));
    if wrong.is_empty() {
        return Ok(());
    }
    let (wrong, body) = (wrong.join("\n"), response.text());
    Err(format!("\n{case}\nexpected: {wrong}\ngot: {response:?}\nbody: {body}\n"))
}

fn holds(response: &Response, line: &str) -> bool {
    let text = response.text();
    if let Some(part) = line.strip_prefix("!~ ") {
        return !text.contains(part);
    }
    if let Some(name) = line.strip_prefix('!') {
        return response.header(name).is_none();
    }
    if let Some(body) = line.strip_prefix('=') {
        return text == body.trim_start();
    }
    if let Some(part) = line.strip_prefix("~ ") {
        return text.contains(part);
    }
    if line.starts_with(['{', '[']) {
        let expected: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("the expectation {line}: {e}"));
        return serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|got| got == expected);
    }
    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no expectation: {line}"));
    let Some(got) = response.header(name) else { return false };
    match value.trim() {
        "*" => true,
        value => match value.strip_prefix('*').and_then(|v| v.strip_suffix('*')) {
            Some(part) => got.contains(part),
            None => got == value,
        },
    }
}

/// Sends each request on a connection of its own and compares its answer.
pub(crate) async fn check(gateway: &Gateway, cases: &[(&str, &str)]) {
    for (request, expectation) in cases {
        let response = gateway.send(request).await;
        expect(request, &response, expectation);
    }
}
