//! What holds for every filter of this crate, present or future.

use std::path::PathBuf;

use crate::api::{Entry, Env, Kind, Node, Phase, Registration};
use crate::testkit::{example, text_of};
use crate::{CORS, FILTERS};

fn all() -> impl Iterator<Item = &'static Registration> {
    FILTERS.iter().chain([&CORS])
}

#[test]
fn names_are_unique_and_in_snake_case_and_in_order() {
    let names: Vec<&str> = FILTERS.iter().map(|filter| filter.name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    assert!(!names.contains(&CORS.name));
    for filter in all() {
        let good = filter.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(good && !filter.name.is_empty(), "{}", filter.name);
    }
}

#[test]
fn every_example_makes_a_filter_that_takes_part_in_a_phase() {
    for filter in all() {
        let mut problems = Vec::new();
        let link =
            (filter.build)(&example(filter), &Env { base_dir: PathBuf::from("."), ..Env::default() }, &mut problems);
        assert_eq!(text_of(&problems), "", "{}", filter.name);
        let link = link.expect("no problems, so there is a filter");
        assert!(Phase::ALL.into_iter().any(|phase| link.takes_part(phase)), "{}", filter.name);
    }
}

#[test]
fn a_misspelt_option_is_refused_with_the_right_one() {
    for filter in all() {
        // A filter without options would be shown as a bare name; there is none yet, and this says so when there is.
        let Kind::Map(options) = example(filter).kind else { panic!("the example of {} has no options", filter.name) };
        let first = options[0].key.clone();
        let misspelt = Entry { key: format!("{first}x"), ..options[0].clone() };
        let node = Node { kind: Kind::Map(options.iter().cloned().chain([misspelt]).collect()), ..example(filter) };
        let mut problems = Vec::new();
        (filter.build)(&node, &Env::default(), &mut problems);
        assert_eq!(problems.len(), 1, "{}: {}", filter.name, text_of(&problems));
        assert_eq!(problems[0].message, format!("unknown key `{first}x`"));
        assert_eq!(problems[0].help, Some(format!("did you mean `{first}`?")));
    }
}

#[test]
fn every_filter_has_a_row_in_the_catalogue() {
    let catalogue = include_str!("README.md");
    for filter in all() {
        let row = catalogue.lines().find(|line| line.starts_with(&format!("| `{}`", filter.name)));
        let row = row.unwrap_or_else(|| panic!("{} has no row in README.md", filter.name));
        for reason in filter.reasons {
            assert!(row.contains(&format!("`{reason}`")), "the row of {} does not name {reason}", filter.name);
        }
    }
}

#[test]
fn every_filter_has_a_strict_schema_of_its_own_name() {
    for filter in all() {
        let mut generator = schemars::SchemaGenerator::default();
        let schema = (filter.schema)(&mut generator);
        assert_eq!(schema.get("$ref"), Some(&format!("#/$defs/{}", filter.name).into()), "{}", filter.name);
        let options = &generator.definitions()[filter.name];
        assert_eq!(options.get("additionalProperties"), Some(&false.into()), "{}", filter.name);
    }
}
