//! The documentation at `/docs`: the project's own pages, filled by the table that runs before the demo services.

use std::process::Command;

use serde_json::Value;

use crate::demo::start;
use crate::harness::*;
use crate::world::SECRET;

const PAGES: &[&str] =
    &["/docs", "/docs/rutas", "/docs/motivos", "/docs/identidad", "/docs/operacion", "/docs/desarrollo"];

/// What a command prints about the files of this gateway.
fn printed(gateway: &Gateway, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let command = Command::new(env!("CARGO_BIN_EXE_hilum"))
        .args(arguments)
        .current_dir(gateway.folder())
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the command runs");
    serde_json::from_slice(&command.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {command:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documentation_is_pages_that_the_running_table_fills() {
    let (gateway, demo) = start().await;
    let page = "200\ncontent-type: text/html; charset=utf-8\ncontent-security-policy: *default-src 'self'*\n~ <html lang=\"es\">\n~ aria-current=\"page\"\n!~ style=\n!~ <script";
    let mut texts = Vec::new();
    for path in PAGES {
        let answer = gateway.send(&format!("GET {path}")).await;
        expect(path, &answer, page);
        texts.push(answer.text());
    }
    let shown = |page: &str, what: &str| {
        let at = PAGES.iter().position(|path| *path == page).expect("one of the pages");
        assert!(texts[at].contains(what), "{page} has no {what}");
    };
    let routes =
        printed(&gateway, &["routes", "--json"], &[("JWT_SECRET_KEY", SECRET), ("HILUM_AUDIT_KEY", AUDIT_KEY)]);
    let routes = routes.as_array().expect("a list");
    assert!(routes.len() > 50, "{}", routes.len());
    for route in routes {
        let text = |key: &str| route[key].as_str().expect("a text");
        for part in ["name", "path", "does"] {
            shown("/docs/rutas", &format!("<code>{}</code>", text(part)));
        }
        if let Some(resource) = route["audit"]["resource"].as_str() {
            let way = if route["audit"]["required"] == true { ", y sin constancia no se hace" } else { "" };
            shown("/docs/rutas", &format!("<code>{resource}</code>{way}</dd>"));
        }
    }
    for part in ["10/1m por <code>body email</code>, solo fallos", "<code>patient_id</code> = <code>user_id</code>"] {
        shown("/docs/rutas", part);
    }
    let all = include_str!("../../src/refusal/reason.rs").split("const ROWS").nth(1).expect("the list of reasons");
    let rows = all.lines().filter_map(|line| Some((line.split('"').nth(1)?, line)));
    let rows: Vec<_> = rows.take_while(|(_, line)| line.trim_start().starts_with('(')).collect();
    assert!(rows.len() > 30, "{rows:?}");
    for (reason, row) in rows {
        let status = row.split(", ").nth(2).expect("a status");
        shown("/docs/motivos", &format!("<code>{reason}</code>"));
        shown("/docs/motivos", &format!(">{status}</span>"));
        // Each has a text in the readers' language.
        let english = row.rsplit('"').nth(1).expect("a text");
        assert!(!texts[2].contains(english), "{reason} has no text of its own in motivos.html");
    }
    let addresses: Vec<String> = demo.services().iter().map(|service| service.url.to_string()).collect();
    let hosts = addresses.iter().map(|url| url.trim_start_matches("http://"));
    for hidden in hosts.chain([SECRET, "127.0.0.1", "localhost", "http://"]) {
        for (path, text) in PAGES.iter().zip(&texts) {
            assert!(!text.contains(hidden), "{path} shows {hidden}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_page_of_the_documentation_is_404() {
    let (gateway, _demo) = start().await;
    let lost = "404 no_route\ncontent-type: text/html; charset=utf-8\n~ Esta página no existe";
    check(
        &gateway,
        &[
            ("GET /docs/x", lost),
            ("GET /docs/backend/flask", lost),
            ("GET /docs/", lost),
            ("POST /docs\nContent-Length: 0", "405 method_not_allowed\nallow: GET, HEAD"),
            ("GET /", "200\n~ href=\"/docs\""),
            ("GET /static/css/docs.css", "200\ncontent-type: *text/css*"),
            ("GET /static/images/docs-way.svg", "200\ncontent-type: image/svg+xml; charset=utf-8"),
        ],
    )
    .await;
}

/// A route that is added is on the page after the reload, under the path that clients ask for.
#[tokio::test]
async fn the_pages_change_with_the_table() {
    let routes = |more: &str| {
        format!(
            "version: 1\nroutes:\n  - {{ name: docs, match: GET /docs, auth: public, page: {{ template: docs.html }} }}\n{more}"
        )
    };
    let gateway = Gateway::with(&routes(""))
        .env("PREFIX", "hidden-prefix")
        .file("static/pages/docs.html", "{% for route in gateway.routes %}{{ route.match }};{% endfor %}")
        .start()
        .await;
    check(&gateway, &[("GET /docs", "200\n= GET /docs;")]).await;
    gateway.edit(&routes("  - { match: \"POST /${PREFIX}/new\", auth: public, respond: {} }\n"));
    eventually("the new table", async || (gateway.reload().await.status == 200).then_some(())).await;
    check(&gateway, &[("GET /docs", "200\n= GET /docs;POST /hidden-prefix/new;")]).await;
}
