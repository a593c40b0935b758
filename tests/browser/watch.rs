//! The watch itself: a page with everything that no page may have, and that each of it is seen.

use serde_json::Value;

use crate::harness::Gateway;
use crate::looks;
use crate::tab::Tab;

const ROUTES: &str = "version: 1
routes: [{ match: /**, auth: public, files: { root: site } }]
";

const BAD: &str = r##"<!doctype html><html><head><title>Nothing</title><link rel="icon" href="data:,"></head>
<body style="margin: 0"><h1>One</h1><h1>Two</h1>
<p style="color: #999; background: #fff">pale</p>
<div style="width: 3000px">wide</div>
<p style="width: 20px; overflow: hidden; white-space: nowrap">cut off at the edge</p>
<input id="twice"><button id="twice" style="height: 10px; outline: none">small</button><a href="/"></a>
<div style="position: relative"><button id="under">under</button><p style="position: absolute; inset: 0; margin: 0; background: #fff">over</p></div>
<a href="/" tabindex="-1">skipped</a>
<img src="/gone.png"><img alt="" src="http://other.example/track.png">
<script>console.error('told'); console.log('harmless'); setTimeout(() => { throw new Error('thrown') })</script></body></html>"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_with_a_page_is_seen() {
    let gateway = Gateway::with(ROUTES).file("site/bad.html", BAD).start().await;
    let tab = Tab::open(format!("http://{}", gateway.address())).await;
    tab.go("/bad.html", "/bad.html").await;
    let has = |found: &Value, wanted: &[&str]| {
        let found: Vec<&str> = found.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        for wanted in wanted {
            assert!(found.iter().any(|one| one.starts_with(wanted)), "{wanted:?} is not in {found:#?}");
        }
        assert_eq!(found.len(), wanted.len(), "{found:#?}");
    };
    has(
        &looks::complaints(&tab).await,
        &[
            "wider than the window: 3000 > 1280",
            "cut off: <p> \"cut off at the edge\"",
            "no lang",
            "not one h1",
            "title: Nothing",
            "two of #twice",
            "no label: <input #twice>",
            "no name: <a>",
            "no alt: ",
            "too small to hit: <input #twice>",
            "too small to hit: <button #twice>",
            "too small to hit: <button #under>",
            "contrast 2.85: <p> \"pale\"",
        ],
    );
    let lost = looks::lost_focus(&tab).await;
    has(
        &lost,
        &[
            "focus is not seen: <input #twice>",
            "focus is not seen: <button #twice>",
            "focus is not seen: <a> \"\"",
            "focus is not seen: <button #under>",
            "focus is covered: <button #under> \"under\" by <p>",
            "never reached: <a> \"skipped\"",
        ],
    );
    let problems = tab.problems();
    for wanted in
        ["404 GET /gone.png", "another host: http://other.example/track.png", "console.error: ", "exception: "]
    {
        assert!(problems.iter().any(|one| one.starts_with(wanted)), "{wanted:?} is not in {problems:#?}");
    }
    assert!(!problems.iter().any(|one| one.contains("harmless")), "{problems:#?}");
    tab.close().await;
}
