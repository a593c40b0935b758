//! Templates against what Flask made of them, byte for byte; and what is wrong with others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::{PageNames, Pages};
use crate::router::Pattern;
use crate::template::Endpoints;

/// The folder that `render.py` in it was run on.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flask")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(folder().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn html_in(path: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder().join(path)).expect("a folder of the tests");
    let names = entries.filter_map(|entry| entry.expect("an entry").file_name().into_string().ok());
    names.filter(|name| name.ends_with(".html")).collect()
}

fn endpoints(more: &[(&str, &str)]) -> Endpoints {
    let more = more.iter().map(|(name, path)| ((*name).to_owned(), path.parse::<Pattern>().expect("a path")));
    Endpoints::new(more)
}

#[test]
fn templates_of_flask_are_rendered_as_flask_does() {
    let routes: std::collections::BTreeMap<String, String> = serde_json::from_str(&text("routes.json")).expect("JSON");
    let mut routes: Vec<(&str, &str)> = routes.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
    routes.push(("static", "/static/**"));
    let mut names = html_in("templates");
    let pages = names.clone();
    names.push("part/nav.html".to_owned());
    let files = names.iter().map(|name| (name.clone(), Ok(text(&format!("templates/{name}")))));
    let templates = Arc::new(Pages::new("templates", files.collect(), endpoints(&routes)));
    let json: Json = serde_json::from_str(&text("names.json")).expect("JSON");
    // What a child gives to its parent is not given when the parent stands alone.
    let known: Vec<&str> = json.as_object().expect("a map").keys().map(String::as_str).chain(["active"]).collect();
    let mut wrong = Vec::new();
    for name in &pages {
        let page = match templates.page(name, &known) {
            Ok(page) => page,
            Err(flaws) => {
                wrong.push(flaws.join("\n"));
                continue;
            }
        };
        let more: minijinja::Value = serde_json::from_str(&text("names.json")).expect("JSON");
        let html = match page.render(PageNames { user: more.get_attr("user").ok(), more }) {
            Ok(html) => String::from_utf8(html).expect("UTF-8"),
            Err(failed) => {
                wrong.push(failed.0);
                continue;
            }
        };
        let expected = text(&format!("expected/{name}"));
        let differing = html.lines().zip(expected.lines()).enumerate().filter(|(_, (got, expected))| got != expected);
        wrong.extend(differing.map(|(at, (got, expected))| format!("{name}:{}\n  {got}\n  {expected}", at + 1)));
        if html != expected && html.lines().count() != expected.lines().count() {
            wrong.push(format!("{name}: {} lines, not {}", html.lines().count(), expected.lines().count()));
        }
    }
    assert!(pages.len() >= 7 && wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A template `x.html` beside `row.html`, which shows `row`, and what is said of it.
#[track_caller]
fn check(template: &str, expected: &[&str]) {
    let files = [("x.html", template), ("row.html", "{{ row }}"), ("broken.html", "\n{% if %}")];
    let files = files.map(|(name, text)| (name.to_owned(), Ok(text.to_owned())));
    let endpoints = endpoints(&[("index", "/"), ("row", "/rows/{row_id}"), ("static", "/static/**")]);
    let pages = Arc::new(Pages::new("pages", files.into(), endpoints));
    let flaws = pages.page("x.html", &["user"]).map(drop).err().unwrap_or_default();
    let fit = flaws.iter().zip(expected).all(|(flaw, expected)| flaw.starts_with(expected));
    assert!(fit && flaws.len() == expected.len(), "{template}: {flaws:#?}");
}

#[test]
fn what_a_template_names_exists() {
    check("{% for row in [1] %}{% include 'row.html' %}{% endfor %}", &[]);
    check("{% set row = 1 %}{% include 'row.html' %}", &[]);
    check("{% with row = 1 %}{% include 'row.html' %}{% endwith %}", &[]);
    check("{% include 'row.html' %}", &["pages/row.html:1: nothing is called `row` here"]);
    check("{{ user.x }}\n{{ usr }}", &["pages/x.html:2: nothing is called `usr` here; did you mean `user`?"]);
    check("{{ a | default('') }}{% if b is defined %}{{ b }}{% endif %}{% if c is not defined %}{% endif %}", &[]);
    check("{{ user.a is defined }}{{ a }}", &["pages/x.html:1: nothing is called `a` here"]);
    check("{# {{ a }} #}{% raw %}{{ a }}{% if %}{% endraw %}{{ '{{ a }}' }}", &[]);
    check("{{ user | uper }}", &["pages/x.html:1: no filter is called `uper`; did you mean `upper`?"]);
    check(
        "{% if user is defind %}{% endif %}",
        &["pages/x.html:1: no test is called `defind`; did you mean `defined`?"],
    );
    check("{{ debug() }}", &["pages/x.html:1: nothing is called `debug` here"]);
}

#[test]
fn a_template_that_is_needed_is_there_and_parses() {
    check("\n{% extends 'bas.html' %}", &["pages/x.html:2: there is no template `bas.html` in pages"]);
    check(
        "{% include 'rows.html' %}",
        &["pages/x.html:1: there is no template `rows.html` in pages; did you mean `row.html`?"],
    );
    check("{% include 'rows.html' ignore missing %}", &[]);
    check("{% import 'broken.html' as it %}", &["pages/broken.html:2: "]);
    check("{% include user.template ignore missing %}{% extends 'x.html' %}", &[]);
}

#[test]
fn a_link_leads_to_a_route() {
    check("{{ url_for('index') }}{{ url_for('frontend.index', a=1) }}{{ url_for(\"static\", filename='a.css') }}", &[]);
    check("{{ url_for('frontend.row', row_id=user.id) }}{{ url_for('row', **user) }}", &[]);
    check(
        "{{ url_for('frontend.idex') }}",
        &["pages/x.html:1: no route has `endpoint: frontend.idex`; did you mean `index`?"],
    );
    check(
        "{{ url_for('row', id=1) }}",
        &["pages/x.html:1: `url_for('row')` needs a `row_id`, as `/rows/{row_id}` has one"],
    );
    check("{{ url_for('static') }}", &["pages/x.html:1: `url_for('static')` needs a `filename`"]);
    check(
        "{% if url_for('row', row_id=(1, [2])[0]) == url_for('nope') %}{% endif %}",
        &["pages/x.html:1: no route has `endpoint: nope`"],
    );
}

#[test]
fn what_the_gateway_does_not_say_of_itself_is_no_name() {
    check("{% for r in gateway.routes if r.group == 'g' %}{{ r.name }}{{ r.path.split('/') }}{% endfor %}", &[]);
    check("{{ gateway.reasons | length }}{% for r in gateway.routes | list %}{{ r.x }}{% endfor %}", &[]);
    check("{% set gateway = user %}{{ gateway.x }}{{ user.gateway.x }}", &[]);
    check(
        "\n{{ gateway.route }}",
        &["pages/x.html:2: `gateway.route` is nothing to show; did you mean `gateway.routes`?"],
    );
    check(
        "{{ gateway.peers }}",
        &["pages/x.html:1: `gateway.peers` is nothing to show; there are `gateway.routes` and `gateway.reasons`"],
    );
    check("{{ gateway }}", &["pages/x.html:1: `gateway` by itself is nothing to show"]);
    check(
        "{% for r in gateway.routes %}\n{{ r.nam }}{% endfor %}",
        &["pages/x.html:2: an entry of `gateway.routes` has no `nam`; did you mean `name`?"],
    );
    check(
        "{% for r in gateway.reasons %}{{ r.peer }}{% endfor %}",
        &["pages/x.html:1: an entry of `gateway.reasons` has no `peer`; there are reason, status"],
    );
    check("{% for r in gateway.routes %}{% for r in user %}{{ r.x }}{% endfor %}{% endfor %}", &[]);
}

/// What a template makes of `{{ template }}`, or why it does not.
#[track_caller]
fn renders(template: &str, expected: Result<&str, &str>) {
    let files = vec![("x.html".to_owned(), Ok(template.to_owned()))];
    let endpoints = endpoints(&[("any", "/{any...}"), ("row", "/rows/{row_id}")]);
    let page = Arc::new(Pages::new("pages", files, endpoints)).page("x.html", &["user", "value"]).expect("it is good");
    let more = minijinja::Value::from(std::collections::BTreeMap::from([("value", "/evil.example/<canary>")]));
    match (page.render(PageNames { user: None, more }), expected) {
        (Ok(got), Ok(expected)) => assert_eq!(String::from_utf8_lossy(&got), expected, "{template}"),
        (Err(failed), Err(expected)) => assert_eq!(failed.0, expected, "{template}"),
        (got, _) => panic!("{template}: {got:?}"),
    }
}

#[test]
fn a_link_never_leads_to_another_host_and_no_page_is_half() {
    renders("{{ url_for('row', row_id=value) }}", Ok("/rows/%2Fevil.example%2F%3Ccanary%3E"));
    renders("{{ url_for('any', any=value) }}", Err("pages/x.html:1: invalid operation"));
    renders("{{ url_for('any', any='') }}", Ok("/"));
    renders("{{ url_for('row', row_id=user) }}", Err("pages/x.html:1: invalid operation"));
    renders("{{ url_for('any', any='a', _external=true) }}", Err("pages/x.html:1: invalid operation"));
    renders("{{ user }}{{ user.email }}", Err("pages/x.html:1: undefined value"));
    renders(
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        Err("pages/x.html:1: engine ran out of fuel"),
    );
}
