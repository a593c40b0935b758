//! Lines that are on the disk before anybody is told so, and what is told when they are not.

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
routes:
  - name: report
    match: POST /report/{of}
    auth: public
    limits: { body: 32KiB }
    respond: { status: 202, json: { got: "{{ request.body.n }}" }, record: { file: lines.jsonl, json: { of: "{{ params.of }}", n: "{{ request.body.n }}", all: "{{ request.body }}" } } }
  - name: other
    match: POST /other
    auth: public
    respond: { record: { file: ./lines.jsonl, json: { of: other, n: "{{ request.body.n }}" } } }
  - name: elsewhere
    match: POST /elsewhere
    auth: public
    respond: { text: recorded, record: { file: elsewhere.jsonl, json: { n: "{{ request.body.n + 1 }}" } } }
  - name: seen
    match: GET /seen
    auth: public
    respond: { text: ok, record: { file: seen.jsonl, json: { at: "{{ now > 0 }}" } } }
"#;

fn post(path: &str, body: &str) -> String {
    format!("POST {path}\nContent-Type: application/json\n\n{body}")
}

fn lines(gateway: &Gateway, file: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(gateway.folder().join(file)).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

#[tokio::test]
async fn two_hundred_at_once_on_two_routes_are_two_hundred_whole_lines() {
    let gateway = std::sync::Arc::new(Gateway::start(ROUTES).await);
    let send = |n: usize| {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            if n == 100 {
                // A reload in between goes on with the same file.
                expect("reload", &gateway.reload().await, "200");
            }
            let path = if n.is_multiple_of(2) { "/report/a" } else { "/other" };
            let body = format!("{{ \"n\": {n},\n \"pad\": \"{}\" }}", "é".repeat(n * 40));
            gateway.send(&post(path, &body)).await.status
        })
    };
    let all: Vec<_> = (0..200).map(send).collect();
    let mut statuses = Vec::new();
    for one in all {
        statuses.push(one.await.expect("a request"));
    }
    assert!(statuses.iter().all(|status| [200, 202].contains(status)), "{statuses:?}");
    // Nothing is waited for: who was answered is in the file.
    let mut numbers: Vec<_> = lines(&gateway, "lines.jsonl").iter().map(|line| line["n"].as_u64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_can_not_be_recorded_is_told_and_leaves_nothing_behind() {
    let gateway = Gateway::start(ROUTES).await;
    let file = gateway.folder().join("elsewhere.jsonl");
    std::os::unix::fs::symlink("/dev/full", &file).expect("a link");
    check(&gateway, &[(&post("/elsewhere", "{\"n\":1}"), "503 record_unavailable\nretry-after: *")]).await;
    std::fs::remove_file(&file).expect("our own link");
    std::fs::write(&file, "{\"half\":").expect("our own file");
    check(
        &gateway,
        &[
            (&post("/elsewhere", "{\"n\":2}"), "200\n= recorded"),
            (&post("/elsewhere", "{\"n\":\"x\"}"), "400 value_missing"),
            (&post("/elsewhere", "[]"), "400 json_invalid"),
            ("POST /elsewhere\n\n{\"n\":1}", "415 content_type"),
            (&post("/elsewhere", &format!("{{\"n\":\"{}\"}}", "x".repeat(2 << 20))), "413 body_too_large"),
            ("GET /seen", "200\n= ok"),
            (&post("/report/b%20c", "{\"n\":null}"), "202\n{\"got\":null}"),
        ],
    )
    .await;
    assert_eq!(std::fs::read_to_string(&file).expect("our own file"), "{\"half\":\n{\"n\":3}\n");
    assert_eq!(lines(&gateway, "seen.jsonl"), [serde_json::json!({ "at": true })]);
    assert_eq!(lines(&gateway, "lines.jsonl"), [serde_json::json!({ "of": "b c", "n": null, "all": { "n": null } })]);
    // Moved away, it is begun anew.
    std::fs::rename(&file, gateway.folder().join("old")).expect("our own file");
    expect("after a rotation", &gateway.send(&post("/elsewhere", "{\"n\":6}")).await, "200");
    assert_eq!(lines(&gateway, "elsewhere.jsonl"), [serde_json::json!({ "n": 7 })]);
}
