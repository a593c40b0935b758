//! `index.txt`: every attack that is known by an id, and where it is held. A line is an id alone, which a case file has or
//! `not_applicable.txt` explains, or an id and the tests that cover it.

use std::collections::BTreeSet;

const INDEX: &str = include_str!("index.txt");
const NOT_APPLICABLE: &str = include_str!("not_applicable.txt");

/// As many as the catalogue has.
const KNOWN: usize = 262;

#[test]
fn every_attack_that_is_known_is_held_somewhere() {
    let cases: BTreeSet<String> =
        super::groups().iter().flat_map(|(_, text)| super::cases(text, &super::fill)).map(|case| case.id).collect();
    let explained: BTreeSet<&str> =
        NOT_APPLICABLE.lines().filter_map(|line| line.split_once(": ")).map(|(id, _)| id).collect();
    let (mut wrong, mut ids) = (Vec::new(), BTreeSet::new());
    for line in INDEX.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let id = words.next().expect("a line has words");
        if !ids.insert(id) {
            wrong.push(format!("{id} stands twice"));
        }
        let tests: Vec<&str> = words.collect();
        let is_held = cases.contains(id) || explained.contains(id);
        match tests.as_slice() {
            [] if !is_held => wrong.push(format!("{id} is held nowhere")),
            tests => {
                wrong.extend(tests.iter().filter(|test| !exists(test)).map(|test| format!("{id}: there is no {test}")))
            }
        }
    }
    wrong.extend(
        cases
            .iter()
            .map(String::as_str)
            .chain(explained)
            .filter(|id| !ids.contains(id))
            .map(|id| format!("{id} is not known")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ids.len(), KNOWN, "an id was lost, or is new");
}

/// `path/of/file.rs::name`
fn exists(test: &str) -> bool {
    let Some((path, name)) = test.split_once("::") else { return false };
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let found = text.find(&format!("fn {name}("));
    // A test, and no other function.
    found.is_some_and(|at| {
        let before: Vec<&str> = text[..at].lines().rev().take(3).collect();
        before.iter().any(|line| line.contains("test"))
    })
}
