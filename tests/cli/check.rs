//! `hilum check`: exit codes, both files, `--json`.

use super::{CONF, Folder, ROUTES, SECRET, hilum, root};

const BROKEN: &str = "version: 1\nroutes:\n  - { match: GET /, respond: { text: hello } }\n";
const BROKEN_CONF: &str = "version: 1\nlisteners: [{ address: nowhere }]\n";

#[test]
fn the_exit_code_says_what_happened() {
    let folder = Folder::good();
    folder.put("broken.yaml", BROKEN);
    folder.put("broken-conf.yaml", BROKEN_CONF);
    let cases = [
        ("check", 0),
        ("check --json", 0),
        ("check --conf conf/hilum.yaml --routes routes.yaml", 0),
        ("check --routes broken.yaml", 1),
        ("check --routes broken.yaml --json", 1),
        ("check --conf broken-conf.yaml", 1),
        ("check --routes missing.yaml", 1),
        ("check --conf missing.yaml", 1),
        ("check --routes conf", 1),
        ("check --rutes routes.yaml", 2),
        ("check routes.yaml", 2),
        ("check --routes", 2),
        ("chek", 2),
        ("", 2),
        ("schema pages", 2),
        ("--help", 0),
        ("check --help", 0),
        ("--version", 0),
    ];
    for (arguments, code) in cases {
        let ran = folder.run(arguments, &[]);
        assert_eq!(ran.code, code, "hilum {arguments}: {ran:?}");
        match code {
            0 => assert!(ran.stderr.is_empty() && !ran.stdout.is_empty(), "hilum {arguments}: {ran:?}"),
            2 => assert!(ran.stdout.is_empty() && ran.stderr.contains("--help"), "hilum {arguments}: {ran:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_good_file_is_told_so_with_its_public_routes() {
    let folder = Folder::good();
    let ran = folder.run("check", &[]);
    assert!(ran.stdout.contains("no problems, 1 routes") || ran.stdout.contains("no problems, 1 route\n"), "{ran:?}");
    assert!(
        ran.stdout.lines().any(|line| line.trim_start().starts_with("hello ") && line.ends_with("GET /")),
        "{ran:?}"
    );
    assert_eq!(folder.run("check --json", &[]).stdout, "[]\n");
}

#[test]
fn the_problems_of_both_files_are_told_at_once() {
    let folder = Folder::with(&[("conf/hilum.yaml", BROKEN_CONF), ("routes.yaml", BROKEN)]);
    let ran = folder.run("check", &[]);
    assert!(
        ran.stderr.contains("conf/hilum.yaml: 1 problem") && ran.stderr.contains("routes.yaml: 1 problem"),
        "{ran:?}"
    );
    let ran = folder.run("check --json", &[]);
    let problems: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).expect("one JSON array");
    let files: Vec<&str> = problems.iter().filter_map(|p| p["file"].as_str()).collect();
    assert_eq!(files, ["conf/hilum.yaml", "routes.yaml"]);
    for key in ["file", "line", "col", "message", "help"] {
        assert!(problems.iter().all(|p| p.get(key).is_some()), "{key}: {}", ran.stdout);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = Folder::good();
    for arguments in
        ["check --routes gone.yaml", "routes --routes gone.yaml", "run --routes gone.yaml", "check --conf gone.yaml"]
    {
        let ran = folder.run(arguments, &[]);
        assert!(ran.code == 1 && ran.stdout.is_empty(), "hilum {arguments}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "hilum {arguments}: {ran:?}");
        assert!(ran.stderr.contains("gone.yaml can't be read"), "hilum {arguments}: {ran:?}");
    }
}

#[test]
fn the_projects_own_files_are_good() {
    let ran = hilum(&root(), "check", &[("JWT_SECRET_KEY", SECRET), ("HILUM_AUDIT_KEY", SECRET)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stdout.contains("warning"), "{}", ran.stdout);
    // Their two secrets have no default, and one mistake is one problem.
    let ran = hilum(&root(), "check", &[]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    for (file, name) in [("conf/hilum.yaml", "HILUM_AUDIT_KEY"), ("routes.yaml", "JWT_SECRET_KEY")] {
        assert!(ran.stderr.contains(&format!("the variable `{name}` is not set")), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("{file}: 1 problem\n")), "{}", ran.stderr);
    }
}

#[test]
fn a_weak_secret_is_warned_about_and_not_shown() {
    let routes = "version: 1\ntokens: { t: { from: [{ header: Authorization }], verify: { algorithms: [HS256], secret: \"${KEY}\", allow_weak_secret: true } } }\nroutes: [{ match: GET /, auth: { token: t }, respond: { text: x } }]\n";
    let folder = Folder::with(&[("conf/hilum.yaml", CONF), ("routes.yaml", routes)]);
    let ran = folder.run("check", &[("KEY", "hunter2")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("warning: the secret of the token `t` is too short"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
    folder.put("routes.yaml", &routes.replace(", allow_weak_secret: true", ""));
    let ran = folder.run("check", &[("KEY", "hunter2")]);
    assert!(ran.code == 1 && ran.stderr.contains("routes.yaml:2:"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
}

#[test]
fn relative_paths_are_relative_to_the_file_that_says_them() {
    let routes = ROUTES.to_owned() + "  - { match: GET /files/**, auth: public, files: { root: pages } }\n";
    let folder = Folder::with(&[("conf/hilum.yaml", CONF), ("deep/routes.yaml", &routes), ("deep/pages/a.txt", "a")]);
    assert_eq!(folder.run("check --routes deep/routes.yaml", &[]).code, 0);
    folder.put("routes.yaml", &routes);
    let ran = folder.run("check", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("routes.yaml:4:"), "{ran:?}");
}

/// Each can be read, and none can work: `(what stands in the file, the text its problem points at)`.
#[test]
fn what_can_not_work_is_refused() {
    let service = |more: &str| {
        format!(
            "version: 1\nservices:\n  s: {{ peers: [\"http://127.0.0.1:1\"], {more} }}\nroutes: [{{ match: GET /, auth: public, forward: {{ service: s }} }}]\n"
        )
    };
    let route = |more: &str| {
        format!(
            "version: 1\nservices: {{ s: {{ peers: [\"http://127.0.0.1:1\"] }} }}\nroutes:\n  - {{ match: GET /, auth: public, forward: {{ service: s }}, {more} }}\n"
        )
    };
    let respond = |more: &str| {
        format!("version: 1\nroutes:\n  - {{ match: GET /, auth: public, respond: {{ text: x, {more} }} }}\n")
    };
    let cases = [
        (service("timeouts: { connect: 0s }"), "0s"),
        (service("timeouts: { response: 0ms }"), "0ms"),
        (service("health: { every: 0s }"), "0s"),
        (service("health: { timeout: 0s }"), "0s"),
        (service("health: { down_after: 0 }"), "0 }"),
        (route("limits: { time: 0s }"), "0s"),
        (route("reply: { 200: { json: \"{{ body | uper }}\" } }"), "\"{{ body"),
        (route("reply: { 200: { json: \"{{ body is strange }}\" } }"), "\"{{ body"),
        (respond("headers: { Transfer-Encoding: chunked }"), "Transfer"),
        (respond("headers: { Content-Length: \"3\" }"), "Content"),
        (respond("headers: { Connection: close }"), "Connection"),
    ];
    let conf = |more: &str| format!("{CONF}{more}\n");
    let confs = [
        (conf("connections: { header: 0s }"), "0s"),
        (conf("connections: { idle: 0s }"), "0s"),
        (conf("connections: { per_client: 0 }"), "0 }"),
        (conf("log: { access: { file: \"\" } }"), "\"\""),
    ];
    let all = cases.iter().map(|case| ("routes.yaml", case)).chain(confs.iter().map(|case| ("conf/hilum.yaml", case)));
    let mut wrong = Vec::new();
    for (file, (text, word)) in all {
        let folder = Folder::good();
        folder.put(file, text);
        let (at, line) = text.lines().enumerate().find(|(_, line)| line.contains(word)).expect("the word stands there");
        let place = format!("--> {file}:{}:{}\n", at + 1, line.find(word).expect("the word stands there") + 1);
        let ran = folder.run("check", &[]);
        if ran.code != 1 || !ran.stderr.contains(&place) || !ran.stderr.ends_with(": 1 problem\n") {
            wrong.push(format!("{line}\n    expected one problem at {place}    got {} {}", ran.code, ran.stderr));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
