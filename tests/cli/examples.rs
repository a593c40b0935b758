//! The YAML in the documentation is read by `hilum check`: an example that does not work is worse than none.

use super::{CONF, Folder, SECRET, root};

/// The YAML blocks of a Markdown file, with the line where each begins.
fn blocks(path: &str) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match &mut open {
            None if line.trim() == "```yaml" => open = Some((at + 2, String::new())),
            Some(_) if line.trim() == "```" => blocks.extend(open.take()),
            Some((_, block)) => *block += &format!("{line}\n"),
            None => {}
        }
    }
    assert!(open.is_none(), "{path}: a block without its end");
    blocks
}

/// Each `${NAME}` without a default, with a value that fits its name.
fn variables(yaml: &str) -> Vec<(String, &'static str)> {
    let names = yaml.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    let names = names.filter(|name| !name.contains(":-"));
    names.map(|name| (name.to_owned(), if name.ends_with("_URL") { "http://127.0.0.1:1" } else { SECRET })).collect()
}

fn check(place: &str, yaml: &str) {
    let is_conf = yaml.lines().any(|line| line.starts_with("listeners:"));
    let folder = Folder::with(&[("conf/hilum.yaml", CONF), ("routes.yaml", super::ROUTES), ("static/index.html", "x")]);
    // The pages that an example names.
    for name in ["index.html", "doctor.html", "404.html", "500.html"] {
        folder.put(&format!("static/pages/{name}"), "{{ url_for('static', filename='x') }}");
    }
    folder.put("static/assets/x", "x");
    folder.put(if is_conf { "conf/hilum.yaml" } else { "routes.yaml" }, yaml);
    let variables = variables(yaml);
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let ran = folder.run("check", &variables);
    assert_eq!(ran.code, 0, "{place}\n{}", ran.stderr);
}

#[test]
fn the_files_in_the_readme_are_good() {
    let whole: Vec<_> = blocks("README.md").into_iter().filter(|(_, yaml)| yaml.starts_with("version:")).collect();
    assert!(!whole.is_empty(), "README.md shows no routes.yaml");
    for (line, yaml) in whole {
        check(&format!("README.md:{line}"), &yaml);
    }
}

/// They show what is about one key; a route is put around it.
#[test]
fn what_the_readme_requires_is_good() {
    const ROUTE: &str = r#"version: 1
services: { doctors: { peers: ["http://127.0.0.1:1"] } }
tokens: { web: { from: [{ cookie: c }], verify: { algorithms: [HS256], secret: "${SECRET}" } } }
routes:
  - match: "/wards/{ward}/doctors/{doctor_id}"
    auth: { token: web }
    respond: { text: x }
"#;
    let parts: Vec<_> = blocks("README.md").into_iter().filter(|(_, yaml)| yaml.starts_with("require:")).collect();
    assert!(!parts.is_empty(), "README.md shows no `require`");
    for (line, yaml) in parts {
        let inside = yaml.lines().map(|line| format!("    {line}\n")).collect::<String>();
        check(&format!("README.md:{line}"), &format!("{ROUTE}{inside}"));
    }
}

/// They show what is about filters only; the rest of the file is put around it.
#[test]
fn the_routes_in_the_readme_of_filters_are_good() {
    let parts: Vec<_> =
        blocks("filters/README.md").into_iter().filter(|(_, yaml)| yaml.starts_with("routes:")).collect();
    assert!(!parts.is_empty(), "filters/README.md shows no route");
    for (line, yaml) in parts {
        let whole = yaml.lines().fold("version: 1\ndefaults: { auth: public }\n".to_owned(), |whole, line| {
            let rest = if line.trim_start().starts_with("match:") { "\n    respond: { text: x }\n" } else { "\n" };
            whole + line + rest
        });
        check(&format!("filters/README.md:{line}"), &whole);
    }
}
