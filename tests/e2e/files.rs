//! Files: what is below the folder is served, as RFC 9110 says, and nothing else is.

use crate::harness::*;

const ROUTES: &str = r#"
version: 1
routes:
  - { name: static, match: "/static/**", auth: public, files: { root: static, index: index.html } }
  - { name: cached, match: "GET /cached/{rest...}", auth: public, files: { root: static, cache: 1h } }
"#;

async fn start() -> Gateway {
    let gateway = Gateway::with(ROUTES)
        .file("static/a.txt", "0123456789")
        .file("static/empty.txt", "")
        .file("static/sub/index.html", "<p>sub</p>")
        .file("static/sub/style.css", "p{}")
        .file("static/app.js", "1")
        .file("static/data.json", "{}")
        .file("static/pic.svg", "<svg/>")
        .file("static/pic.png", [0x89, b'P', b'N', b'G'])
        .file("static/unknown.zzz", "?")
        .file("static/ñ b.txt", "spaced")
        .file("static/.env", "canary")
        .file("static/.git/config", "canary")
        .file("static/big.bin", vec![7; 3_000_000])
        .file("static-other/x.txt", "canary")
        .file("outside.txt", "canary")
        .start()
        .await;
    let root = gateway.folder().join("static");
    for (target, link) in
        [("../outside.txt", "link.txt"), ("/etc/hostname", "absolute.txt"), ("..", "up"), ("a.txt", "inside.txt")]
    {
        std::os::unix::fs::symlink(target, root.join(link)).expect("a link in our own folder");
    }
    gateway
}

#[tokio::test]
async fn nothing_outside_of_the_folder_is_reached_by_any_spelling() {
    let gateway = start().await;
    let gone = "404 file_missing\n!~ canary\n!etag";
    let odd = "400 path_rejected\n!~ canary";
    for (path, expectation) in [
        ("/static/../outside.txt", odd),
        ("/static/%2e%2e/outside.txt", odd),
        ("/static/.%2E/outside.txt", odd),
        ("/static/..%2foutside.txt", odd),
        ("/static/..%5coutside.txt", odd),
        ("/static/..\\outside.txt", odd),
        ("/static/%252e%252e/outside.txt", odd),
        ("/static/..%252foutside.txt", odd),
        ("/static/%c0%ae%c0%ae/outside.txt", odd),
        ("/static/a.txt%00.png", odd),
        ("/static//etc/passwd", odd),
        ("/static/sub/../a.txt", odd),
        ("/static/./a.txt", odd),
        ("/static/a.txt;x", odd),
        ("/static/...", gone),
        ("/static/link.txt", gone),
        ("/static/absolute.txt", gone),
        ("/static/up/outside.txt", gone),
        ("/static/.env", gone),
        ("/static/%2eenv", gone),
        ("/static/.git/config", gone),
        ("/static/sub/.git", gone),
        ("/static/missing", gone),
        ("/static/a.txt/", gone),
        ("/static/a.txt/x", gone),
        ("/static/", gone),
        ("/static", gone),
        ("/cached/sub", gone),
        ("/cached/sub/", gone),
        ("/static-other/x.txt", "404 no_route"),
        ("/staticx", "404 no_route"),
    ] {
        for method in ["GET", "HEAD"] {
            if method == "HEAD" {
                let head = gateway.send(&format!("HEAD {path}")).await;
                assert_eq!((head.status.to_string(), head.body.len()), (expectation[..3].to_owned(), 0), "{path}");
            } else {
                check(&gateway, &[(&format!("GET {path}"), expectation)]).await;
            }
        }
    }
}

#[tokio::test]
async fn files_come_with_their_type_and_browsers_do_not_guess() {
    let gateway = start().await;
    for (path, kind, body) in [
        ("/static/a.txt", "text/plain; charset=utf-8", "0123456789"),
        ("/static/inside.txt", "text/plain; charset=utf-8", "0123456789"),
        ("/static/empty.txt", "text/plain; charset=utf-8", ""),
        ("/static/sub", "text/html; charset=utf-8", "<p>sub</p>"),
        ("/static/sub/", "text/html; charset=utf-8", "<p>sub</p>"),
        ("/static/sub/style.css", "text/css; charset=utf-8", "p{}"),
        ("/static/app.js", "text/javascript; charset=utf-8", "1"),
        ("/static/data.json", "application/json; charset=utf-8", "{}"),
        ("/static/pic.svg", "image/svg+xml; charset=utf-8", "<svg/>"),
        ("/static/unknown.zzz", "application/octet-stream", "?"),
        ("/static/%c3%b1%20b.txt", "text/plain; charset=utf-8", "spaced"),
    ] {
        let about = format!(
            "content-type: {kind}\nx-content-type-options: nosniff\ncontent-length: {}\netag: *\nlast-modified: *\naccept-ranges: bytes\ncache-control: no-cache",
            body.len()
        );
        check(
            &gateway,
            &[
                (&format!("GET {path}"), &format!("200\n{about}\n= {body}")),
                (&format!("HEAD {path}"), &format!("200\n{about}\n=")),
            ],
        )
        .await;
    }
    check(
        &gateway,
        &[
            ("GET /cached/a.txt", "200\ncache-control: public, max-age=3600"),
            ("GET /static/pic.png", "200\ncontent-type: image/png"),
            ("POST /static/a.txt\n\nx", "405 method_not_allowed\nallow: GET, HEAD"),
            ("DELETE /static/a.txt", "405 method_not_allowed\nallow: GET, HEAD"),
            ("PUT /static/new.txt\n\nx", "405 method_not_allowed"),
        ],
    )
    .await;
    let big = gateway.send("GET /static/big.bin").await;
    assert!(
        big.complete && big.body.len() == 3_000_000 && big.body.iter().all(|byte| *byte == 7),
        "{} bytes",
        big.body.len()
    );
}

#[tokio::test]
async fn conditions_and_ranges_are_those_of_rfc_9110() {
    let gateway = start().await;
    let about = gateway.send("HEAD /static/a.txt").await;
    let (etag, modified) = (about.header("etag").expect("an etag"), about.header("last-modified").expect("a date"));
    let old = "Thu, 01 Jan 1970 00:00:10 GMT";
    let (whole, unchanged) =
        ("200\n= 0123456789\n!content-range", format!("304\n=\netag: {etag}\ncache-control: no-cache"));
    let part = |text: &str, range: &str| {
        format!("206\n= {text}\ncontent-range: bytes {range}/10\ncontent-length: {}", text.len())
    };
    for (headers, expectation) in [
        (format!("If-None-Match: {etag}"), unchanged.clone()),
        (format!("If-None-Match: W/{etag}"), unchanged.clone()),
        (format!("If-None-Match: \"x\", {etag}"), unchanged.clone()),
        (format!("If-None-Match: \"x\"\nIf-None-Match: {etag}"), unchanged.clone()),
        ("If-None-Match: *".to_owned(), unchanged.clone()),
        (format!("If-Modified-Since: {modified}"), unchanged),
        (format!("If-Modified-Since: {old}"), whole.to_owned()),
        (format!("If-None-Match: \"x\"\nIf-Modified-Since: {modified}"), whole.to_owned()),
        (format!("If-Match: {etag}"), whole.to_owned()),
        ("If-Match: \"x\"".to_owned(), "412\n=".to_owned()),
        (format!("If-Unmodified-Since: {old}"), "412\n=".to_owned()),
        ("Range: bytes=2-4".to_owned(), part("234", "2-4")),
        ("Range: bytes=7-".to_owned(), part("789", "7-9")),
        ("Range: bytes=-3".to_owned(), part("789", "7-9")),
        ("Range: bytes=0-99".to_owned(), part("0123456789", "0-9")),
        ("Range: bytes=10-".to_owned(), "416\n=\ncontent-range: bytes */10".to_owned()),
        ("Range: bytes=4-2".to_owned(), whole.to_owned()),
        ("Range: bytes=0-1,3-4".to_owned(), whole.to_owned()),
        ("Range: lines=0-1".to_owned(), whole.to_owned()),
        (format!("Range: bytes=2-4\nIf-Range: {etag}"), part("234", "2-4")),
        ("Range: bytes=2-4\nIf-Range: \"x\"".to_owned(), whole.to_owned()),
        (format!("Range: bytes=2-4\nIf-Range: {modified}"), part("234", "2-4")),
    ] {
        check(&gateway, &[(&format!("GET /static/a.txt\n{headers}"), &expectation)]).await;
    }
    check(&gateway, &[("HEAD /static/a.txt\nRange: bytes=2-4", "200\ncontent-length: 10\n=")]).await;
    // A changed file is another version.
    std::fs::write(gateway.folder().join("static/a.txt"), "changed").expect("a file in our own folder");
    check(&gateway, &[(&format!("GET /static/a.txt\nIf-None-Match: {etag}"), "200\n= changed")]).await;
}
