//! Arrows point one way. The table below is the map of `src/lib.rs` as data, and every `crate::` path in shipped code is held
//! against it.

use super::source::{Source, sources};

/// A module and the paths it may use. Modules stand in the order of the layers: each uses only those above it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("router", &[]),
    ("identity", &[]),
    ("services", &[]),
    ("records", &[]),
    ("rates", &["identity::claims", "identity::redis", "identity::unique"]),
    // Of the machine, only the types that users write: they are parsed while the file is read, so an error has its place.
    (
        "config",
        &["router", "identity::claims", "identity::redis::RedisOptions", "services::PeerOptions", "services::Priority"],
    ),
    ("template", &["router", "identity::claims"]),
    ("refusal", &["config::route", "template", "identity", "services"]),
    // The label of `hilum_rejections_total`; nothing else of a refusal.
    ("telemetry", &["refusal::Reason"]),
    (
        "actions",
        &[
            "config::action",
            "config::combine",
            "config::service::HashKey",
            "config::shapes",
            "config::token",
            "router",
            "identity",
            "services",
            "records",
            "template",
            "refusal",
        ],
    ),
    (
        "table",
        &[
            "config",
            "router",
            "identity",
            "services",
            "records",
            "rates",
            "template",
            "refusal",
            "telemetry",
            "actions",
        ],
    ),
    ("proxy", &["router", "identity", "services", "rates", "template", "refusal", "telemetry", "actions", "table"]),
    ("admin", &["router::host", "services::PeerState", "telemetry::Time", "telemetry::Seldom", "proxy"]),
    ("server", &["config", "identity", "services", "records", "rates", "telemetry", "table", "proxy", "admin"]),
    ("cli", &["config", "identity", "services", "records", "rates", "telemetry", "table", "proxy", "server"]),
    (
        "fuzzing",
        &[
            "config",
            "identity",
            "services",
            "records",
            "rates",
            "router",
            "telemetry",
            "actions",
            "table",
            "proxy",
            "server",
        ],
    ),
];

/// Crates of Pingora, and who may know them. `pingora_error` and `pingora_http` are values and free for all.
const PINGORA: &[(&str, &[&str])] = &[
    ("pingora_proxy", &["proxy", "server"]),
    ("pingora_core", &["proxy", "server", "admin", "services"]),
    ("pingora_load_balancing", &["services"]),
];

fn module(source: &Source) -> Option<&str> {
    source.path.strip_prefix("src/")?.split_once('/').map(|(module, _)| module).filter(|module| *module != "tests")
}

/// Every path behind `crate::` with its line, the braces of `use crate::{a, b::c}` opened.
fn arrows(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `pub(in crate::x)` says who may look in, not what is used; `$crate` and `my_crate` are other words.
        if code[..at].ends_with("in ") || code[..at].ends_with(|c: char| c.is_alphanumeric() || "_$".contains(c)) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        opened("", &code[at + "crate::".len()..], &mut |path| found.push((line, path)));
    }
    found
}

/// Opens one path; `rest` begins behind `prefix`. Answers what is left of the text.
fn opened<'t>(prefix: &str, rest: &'t str, each: &mut dyn FnMut(String)) -> &'t str {
    let rest = rest.trim_start();
    let Some(mut inside) = rest.strip_prefix('{') else {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let path = format!("{prefix}{}", &rest[..end]);
        return match rest[end..].strip_prefix("::") {
            Some(more) if more.starts_with(|c: char| c.is_alphabetic() || c == '{' || c == '_') => {
                opened(&format!("{path}::"), more, each)
            }
            _ => {
                each(path.replace("::self", ""));
                &rest[end..]
            }
        };
    };
    loop {
        inside = inside.trim_start();
        if let Some(behind) = inside.strip_prefix('}') {
            return behind;
        }
        let left = opened(prefix, inside, each);
        // `as name` and the comma.
        let next = left.find([',', '}']).unwrap_or(left.len());
        inside = left[next..].strip_prefix(',').unwrap_or(&left[next..]);
        if inside.is_empty() {
            return inside;
        }
    }
}

/// The first path is the second one or lies in it.
fn is_within(path: &str, of: &str) -> bool {
    path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    let mut used = std::collections::BTreeSet::new();
    for source in &sources(&["src"]) {
        let Some(module) = module(source) else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: `{module}` has no row in MAY_USE", source.path));
            continue;
        };
        for (line, path) in arrows(&source.shipped) {
            match allowed.iter().find(|to| is_within(&path, to)) {
                Some(to) => drop(used.insert((module.to_owned(), *to))),
                None if is_within(&path, module) => {}
                None => wrong.push(format!("{}:{line}: `{module}` must not know `{path}`", source.path)),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let idle: Vec<_> = MAY_USE
        .iter()
        .flat_map(|(from, to)| to.iter().map(|to| ((*from).to_owned(), *to)))
        .filter(|a| !used.contains(a))
        .collect();
    assert!(idle.is_empty(), "nobody walks these arrows any more, so they can go: {idle:?}");
}

#[test]
fn a_module_uses_only_those_above_it() {
    for (at, (from, allowed)) in MAY_USE.iter().enumerate() {
        for to in *allowed {
            let to = to.split("::").next().expect("a first part");
            let above = MAY_USE[..at].iter().any(|(name, _)| *name == to);
            assert!(above, "`{from}` stands above `{to}` and uses it");
        }
    }
}

#[test]
fn a_way_round_the_crates_root_is_no_way() {
    let mut wrong = Vec::new();
    for source in &sources(&["src"]) {
        let Some(module) = module(source) else { continue };
        // How many steps up lead out of the module: one from `x/mod.rs`, two from `x/y.rs`.
        let inner = source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        let depth = inner.split('/').count() - 1;
        let out = "super::".repeat(depth);
        for (number, line) in source.shipped.lines().enumerate().filter(|(_, line)| line.contains(&out)) {
            wrong.push(format!("{}:{}: out of `{module}` by `super`: {}", source.path, number + 1, line.trim()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pingora_is_known_where_it_must_be() {
    let mut wrong = Vec::new();
    for source in &sources(&["src"]) {
        let Some(module) = module(source) else { continue };
        for (name, who) in PINGORA.iter().filter(|(_, who)| !who.contains(&module)) {
            if source.shipped.contains(&format!("{name}::")) {
                wrong.push(format!("{}: only {who:?} may know `{name}`", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn braces_of_a_use_are_opened() {
    let check = |code: &str, expect: &[(usize, &str)]| {
        let found = arrows(code);
        let found: Vec<(usize, &str)> = found.iter().map(|(line, path)| (*line, path.as_str())).collect();
        assert_eq!(found, expect, "{code}");
    };
    check("use crate::a::B;\nlet x = crate::c::d(1);", &[(1, "a::B"), (2, "c::d")]);
    check("use crate::{a::{self, B as C}, d, e::f::G};", &[(1, "a"), (1, "a::B"), (1, "d"), (1, "e::f::G")]);
    check("x.parse::<crate::a::B>(); pub(in crate::c) fn e() { $crate::f!() }", &[(1, "a::B")]);
    check("use crate::{\n    a,\n    b::{c, d},\n};", &[(1, "a"), (1, "b::c"), (1, "b::d")]);
}
