//! `run`, `routes`, `filters`, `schema`.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;

use super::{CONF, Folder, ROUTES, SECRET, command, hilum, root};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("no JSON ({e}): {text}"))
}

#[test]
fn a_port_in_use_ends_the_start_with_a_line_that_names_it() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("an address").to_string();
    let cases = [
        (CONF.replacen("127.0.0.1:0", &taken, 1), "for clients"),
        (CONF.replace("admin: { address: \"127.0.0.1:0\" }", &format!("admin: {{ address: \"{taken}\" }}")), "admin"),
    ];
    for (conf, whose) in cases {
        let folder = Folder::with(&[("conf/hilum.yaml", &conf), ("routes.yaml", ROUTES)]);
        let ran = folder.run("run", &[]);
        assert!(ran.code == 1 && ran.stdout.is_empty(), "{ran:?}");
        let told = ran.stderr.lines().filter(|line| line.contains(&taken) && line.contains(whose)).count();
        assert_eq!(told, 1, "{ran:?}");
        assert!(!ran.stderr.contains("ready listeners"), "{ran:?}");
    }
}

#[test]
fn run_does_not_start_with_a_problem() {
    let folder = Folder::good();
    folder.put("broken.yaml", "version: 1\nroutes: []\n");
    let (run, check) = (folder.run("run --routes broken.yaml", &[]), folder.run("check --routes broken.yaml", &[]));
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.stderr, check.stderr, "both tell the same");
}

#[test]
fn routes_shows_what_the_file_became() {
    let routes = r#"
version: 1
services: { s: { peers: ["http://127.0.0.1:1"] } }
tokens: { t: { from: [{ header: Authorization }], verify: { algorithms: [HS256], secret: "${KEY}" } } }
routes:
  - { name: open, match: GET /, auth: public, respond: { text: x } }
  - group: g
    path: /g
    auth: { token: t, claims: { user_type: [patient, doctor] } }
    routes:
      - { name: stream, match: "/s/{id}/**", forward: { service: s } }
      - { name: whole, match: "GET,POST /w", forward: { service: s }, reply: { 200: { json: "{{ body }}" } } }
"#;
    let folder = Folder::with(&[("conf/hilum.yaml", CONF), ("routes.yaml", routes)]);
    let variables = [("KEY", SECRET)];
    let rows = json(&folder.run("routes --json", &variables).stdout);
    let column = |key: &str| {
        rows.as_array().expect("a list").iter().map(|r| r[key].as_str().expect("a text")).collect::<Vec<_>>()
    };
    assert_eq!(column("name"), ["open", "stream", "whole"]);
    assert_eq!(column("match"), ["GET /", "* /g/s/{id}/**", "GET,POST /g/w"]);
    assert_eq!(column("action"), ["respond", "forward", "forward"]);
    assert_eq!(column("does"), ["respond", "forward s", "forward s (buffered)"]);
    assert_eq!(column("auth")[0], "public");
    assert!(
        column("auth")[1..]
            .iter()
            .all(|auth| auth.starts_with("t ") && auth.contains("patient") && auth.contains("doctor"))
    );
    let people = folder.run("routes", &variables);
    assert!(people.code == 0 && people.stderr.is_empty(), "{people:?}");
    let lines: Vec<&str> = people.stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    for (line, name) in lines.iter().zip(column("name")) {
        assert!(line.split_whitespace().any(|word| word == name), "{line}");
    }
}

#[test]
fn filters_shows_every_filter_with_an_example_that_works() {
    let folder = Folder::good();
    let rows = json(&folder.run("filters --json", &[]).stdout);
    let rows = rows.as_array().expect("a list");
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    for name in ["headers", "ip_allow", "security_headers"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for row in rows {
        let example = row["example"].as_str().expect("an example");
        let routes = format!(
            "version: 1\nroutes:\n  - match: GET /\n    auth: public\n    respond: {{ text: x }}\n    filters:\n      - {example}\n"
        );
        folder.put("routes.yaml", &routes);
        let ran = folder.run("check", &[]);
        assert_eq!(ran.code, 0, "{example}: {}", ran.stderr);
    }
    let people = folder.run("filters", &[]);
    assert!(names.iter().all(|name| people.stdout.lines().any(|line| line == *name)), "{people:?}");
}

#[test]
fn the_schemas_take_what_is_good_and_refuse_slips() {
    let folder = Folder::good();
    let validator = |file: &str| {
        let schema = json(&folder.run(&format!("schema {file}"), &[]).stdout);
        jsonschema::validator_for(&schema).unwrap_or_else(|e| panic!("{file}: {e}"))
    };
    let read = |yaml: &str| serde_saphyr::from_str::<Value>(yaml).unwrap_or_else(|e| panic!("{yaml}: {e}"));
    let (routes, conf) = (validator("routes"), validator("conf"));
    assert_eq!(json(&folder.run("schema", &[]).stdout), json(&folder.run("schema routes", &[]).stdout));

    let file = |path: &str| std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let forms = r#"
version: 1
services:
  a: { peers: [{ address: "http://127.0.0.1:1", weight: 2 }], balance: { hash: { header: X-User } }, health: { every: 1s, down_after: 2 } }
  b: { peers: ["http://b:1"], balance: least_requests, timeouts: { connect: 1s, response: 250ms, idle: 1m } }
defaults: { auth: public, errors: { 404: { status: 410, text: gone }, else: { json: { a: [1, null, "{{ reason }}"] } } }, limits: { body: 2MiB, time: none } }
routes:
  - match: { path: /x, methods: [GET, POST], host: example.org, headers: { X-A: "*" }, query: { q: "1" } }
    redirect: { to: /y, status: 308 }
    filters: [security_headers, { headers: { response: { remove: [Server] } } }]
    cors: { origins: "*" }
  - group: g
    routes:
      - { match: /y, respond: { status: 204 } }
      - { match: /z, forward: { service: a, path: /w, query: { page: "{query.page:-1}" }, cookies: pass }, reply: { 200: { json: [1, "{{ body }}"] } } }
      - { match: /h, health: { services: [a, b] } }
"#;
    folder.put("routes.yaml", forms);
    let ran = folder.run("check", &[]);
    assert_eq!(ran.code, 0, "the schema is only asked about what is good: {}", ran.stderr);
    let good = [
        (&routes, file("routes.yaml")),
        (&routes, ROUTES.to_owned()),
        (&routes, forms.to_owned()),
        (&conf, file("conf/hilum.yaml")),
        (&routes, file("conf/edge/routes.yaml")),
        (&conf, file("conf/edge/hilum.yaml")),
        (&conf, CONF.to_owned()),
    ];
    for (schema, yaml) in good {
        let wrong: Vec<String> =
            schema.iter_errors(&read(&yaml)).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{yaml}\n{}", wrong.join("\n"));
    }
    let bad = [
        (&routes, "version: 1"),
        (&routes, "{ version: 1, routes: [] }"),
        (&routes, "{ version: 1, routes: [{ match: /, auth: public, respnd: {} }] }"),
        (&routes, "{ version: 1, routes: [{ group: g, routes: [{ match: /, auht: public }] }] }"),
        (&routes, "{ version: 1, services: { a: { pears: [] } }, routes: [{ match: / }] }"),
        (&routes, "{ version: 1, routes: [{ match: /, filters: [{ headers: { response: { remov: [A] } } }] }] }"),
        (&routes, "{ version: 1, routes: [{ match: /, filters: [securty_headers] }] }"),
        (&routes, "{ version: 1, routes: [{ match: /, cors: { origin: \"*\" } }] }"),
        (&routes, "{ version: 1, defaults: { respond: { text: x } }, routes: [{ match: / }] }"),
        (&conf, "{ version: 1 }"),
        (&conf, "{ version: 1, listeners: [{ address: \"127.0.0.1:1\", port: 3 }] }"),
        (&conf, "{ version: 1, listeners: [], lgo: {} }"),
    ];
    for (schema, yaml) in bad {
        assert!(!schema.is_valid(&read(yaml)), "{yaml}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_defect() {
    // More than a pipe holds, so that writing goes on after the reader has left.
    let many: String = (0..3000)
        .map(|n| {
            format!("  - {{ match: GET /a-path-that-is-rather-long/{n}, auth: public, respond: {{ text: x }} }}\n")
        })
        .collect();
    let folder = Folder::with(&[("conf/hilum.yaml", CONF), ("routes.yaml", &format!("version: 1\nroutes:\n{many}"))]);
    for arguments in ["routes", "routes --json", "check"] {
        let mut child = command(folder.0.path(), arguments, &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("hilum runs");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a first line");
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!first.is_empty() && stderr.is_empty(), "hilum {arguments} | head -1: {first}{stderr}");
        assert!(output.status.code().is_some(), "hilum {arguments} | head -1: {}", output.status);
    }
}

#[test]
fn commands_that_read_no_file_need_none() {
    let empty = Folder::with(&[]);
    for arguments in ["filters", "filters --json", "schema", "schema conf", "--version", "--help"] {
        assert_eq!(hilum(empty.0.path(), arguments, &[]).code, 0, "hilum {arguments}");
    }
}

#[test]
fn health_asks_the_gateway_that_its_settings_name() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = holder.local_addr().expect("an address").port();
    let folder = Folder::good();
    // On every address, it is asked at loopback; and it needs no token for that.
    let conf = CONF.replace(
        "admin: { address: \"127.0.0.1:0\" }",
        &format!("admin: {{ address: \"0.0.0.0:{port}\", token: \"${{TOKEN}}\" }}"),
    );
    folder.put("conf/hilum.yaml", &conf);
    let answer = |status: &'static str, body: &'static str| {
        let holder = holder.try_clone().expect("a listener");
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = holder.accept().expect("it asks");
            let mut head = [0; 1024];
            let length = stream.read(&mut head).expect("a request");
            let text =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).expect("it listens");
            String::from_utf8_lossy(&head[..length]).into_owned()
        })
    };
    let variables = [("TOKEN", SECRET)];
    for (status, body, code) in [("200 OK", "ready\n", 0), ("503 Service Unavailable", "draining\n", 1)] {
        let asked = answer(status, body);
        let ran = folder.run("health", &variables);
        assert_eq!((ran.code, &*ran.stdout), (code, body), "{ran:?}");
        let asked = asked.join().expect("it was asked");
        assert!(asked.starts_with("GET /health/ready HTTP/1.1\r\n") && !asked.contains(SECRET), "{asked}");
    }
    drop(holder);
    let nobody = folder.run("health", &variables);
    assert!(nobody.code == 1 && nobody.stderr.contains("nobody answers"), "{nobody:?}");
    let problem = folder.run("health", &[("TOKEN", "short")]);
    assert!(problem.code == 1 && problem.stderr.contains("5 bytes"), "{problem:?}");
}
