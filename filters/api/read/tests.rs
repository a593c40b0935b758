use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::{Entries, Kind, LineOrMap, Node, Placed, Try};
use crate::testkit::{node, text_of};
use crate::units::Span;

/// A number in a spelling that is not the one in which it would be shown.
const NUMBER: &str = "0070000";

/// Longer than what is shown of a text.
const LONG: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoiNyJ9.c2lnbmF0dXJl-and-more";

const VARIABLES: [(&str, &str); 7] = [
    ("PORT", "8080"),
    ("LIST", "a, b,,c "),
    ("SECRET", "s3cret-value"),
    ("EMPTY", ""),
    ("ON", "true"),
    ("NUMBER", NUMBER),
    ("LONG", LONG),
];

/// Reads a `T` from YAML; the expectation is the value as `{:?}`, then a line for each problem.
fn check<T: DeserializeOwned + Debug>(yaml: &str, expected: &str) {
    let mut problems = Vec::new();
    let value = node(yaml, &VARIABLES).read::<T>(&mut problems);
    let value = value.map(|value| format!("{value:?}"));
    let found: Vec<String> = value.into_iter().chain(text_of(&problems).lines().map(str::to_owned)).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found, expected, "\n{yaml}");
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shown with Debug")]
struct Target {
    service: String,
    port: Option<u16>,
    #[serde(default)]
    deep: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
#[expect(dead_code, reason = "shown with Debug")]
enum Balance {
    RoundRobin,
    LeastRequests,
    Hash(String),
    Cookie { name: String },
    Pair(u8, u8),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AllOptional {
    a: Option<String>,
    b: u8,
}

#[test]
fn every_unknown_key_is_reported_and_the_rest_is_read() {
    check::<Target>(
        "{ service: a, prot: 1, dep: true, zebra: x }",
        r#"Target { service: "a", port: None, deep: false }
        1:15 unknown key `prot` (did you mean `port`?)
        1:24 unknown key `dep` (did you mean `deep`?)
        1:35 unknown key `zebra` (known keys are `service`, `port`, `deep`)"#,
    );
    check::<Target>("{ port: 1 }", "1:1 missing key `service`");
    check::<Target>("{ prot: 1 }", "1:3 unknown key `prot` (did you mean `port`?)\n1:1 missing key `service`");
}

#[test]
fn a_wrong_kind_is_named_in_the_users_words() {
    check::<Target>("[a]", "1:1 expected a map, found a list");
    check::<Target>("a", "1:1 expected a map, found text `a`");
    check::<Target>("service: [a]", "1:10 expected text, found a list");
    check::<Target>("service: { a: 1 }", "1:10 expected text, found a map");
    check::<Target>("service:", "1:8 expected text, found nothing");
    check::<Target>("{ service: a, port: x }", "1:21 expected a number from 0 to 65535, found text `x`");
    check::<Target>("{ service: a, port: 70000 }", "1:21 expected a number from 0 to 65535, found 70000");
    check::<Target>("{ service: a, deep: yes }", "1:21 expected `true` or `false`, found text `yes`");
    check::<Vec<u64>>("x", "1:1 expected a list, found text `x`");
    check::<Vec<u64>>("{ a: 1 }", "1:1 expected a list, found a map");
    check::<u64>("-1", "1:1 expected a whole number, found -1");
    check::<i8>("1.5", "1:1 expected a number, found 1.5");
    check::<BTreeMap<String, u8>>("[]", "1:1 expected a map, found a list");
    check::<(u8, u8)>("[1]", "1:1 expected a tuple of size 2, found 1 of them");
    check::<()>("{}", "()");
    check::<()>("1", "1:1 expected nothing, found text `1`");
}

#[test]
fn a_quoted_literal_is_text() {
    check::<u16>(
        r#""80""#,
        "1:1 expected a number from 0 to 65535, found the quoted text `80` (write it without the quotes)",
    );
    check::<bool>(
        r#"'true'"#,
        "1:1 expected `true` or `false`, found the quoted text `true` (write it without the quotes)",
    );
    check::<u16>(r#""x""#, "1:1 expected a number from 0 to 65535, found the quoted text `x`");
    check::<Vec<u8>>(r#""1,2""#, "1:1 expected a list, found text `1,2`");
    check::<String>(r#""80""#, r#""80""#);
}

#[test]
fn text_keeps_its_source_and_numbers_are_decimal() {
    check::<String>("1.10", r#""1.10""#);
    check::<String>("0755", r#""0755""#);
    check::<String>("true", r#""true""#);
    check::<f64>("1.10", "1.1");
    check::<f64>("1e3", "1000.0");
    check::<u16>("0755", "755");
    check::<i64>("-7", "-7");
    check::<u64>("0x1F", "1:1 expected a whole number, found text `0x1F`");
    check::<f64>("inf", "1:1 expected a number, found text `inf`");
    check::<u64>("1_000", "1:1 expected a whole number, found text `1_000`");
    check::<u64>("99999999999999999999", "1:1 expected a whole number, found 100000000000000000000");
}

#[test]
fn where_anything_may_stand_no_digit_is_lost() {
    check::<serde_json::Value>(
        r#"{ a: 1, b: -2, c: 1.5, d: true, e: "1", f: 0812, g: 123456789012345678901, h: [x], i: }"#,
        r#"Object {"a": Number(1), "b": Number(-2), "c": Number(1.5), "d": Bool(true), "e": String("1"), "f": String("0812"), "g": String("123456789012345678901"), "h": Array [String("x")], "i": Null}"#,
    );
    check::<serde_json::Value>(r#"["${PORT}", "${ON}"]"#, "Array [Number(8080), Bool(true)]");
}

#[test]
fn what_was_expanded_may_be_a_number_a_boolean_or_a_list() {
    check::<u16>(r#""${PORT}""#, "8080");
    check::<bool>(r#""${ON}""#, "true");
    check::<Vec<String>>(r#""${LIST}""#, r#"["a", "b", "c"]"#);
    check::<Vec<u16>>(r#""${PORT}""#, "[8080]");
    check::<Vec<String>>(r#""${EMPTY}""#, "[]");
    check::<Vec<String>>(r#"["${LIST}"]"#, r#"["a, b,,c "]"#);
    check::<String>(r#""http://x:${PORT}/""#, r#""http://x:8080/""#);
    check::<Option<String>>(r#""${EMPTY}""#, r#"Some("")"#);
}

#[test]
fn an_expanded_value_is_never_shown() {
    check::<u16>(r#""${SECRET}""#, "1:1 expected a number from 0 to 65535, found text `${SECRET}`");
    check::<u8>(r#""${PORT}""#, "1:1 expected a number from 0 to 255, found text `${PORT}`");
    check::<Span>(r#""${SECRET}""#, r#"1:1 expected a duration such as "250ms", "5s" or "10m", got "${SECRET}""#);
    check::<Balance>(
        r#""${SECRET}""#,
        "1:1 expected `round_robin` or `least_requests` or `hash` or `cookie` or `pair`, found text `${SECRET}`",
    );
    check::<u16>(r#""${NUMBER}""#, "1:1 expected a number from 0 to 65535, found text `${NUMBER}`");
    check::<AllOptional>(r#""${LONG}""#, "1:1 expected a map, found text `${LONG}`");
    check::<char>(r#""${LONG}""#, "1:1 expected a character, found text `${LONG}`");
    check::<Balance>(
        r#""${LONG}""#,
        "1:1 expected `round_robin` or `least_requests` or `hash` or `cookie` or `pair`, found text `${LONG}`",
    );
    check::<Vec<u8>>(r#""${LIST}""#, "1:1 expected a number from 0 to 255, found text `${LIST}`");
}

#[test]
fn an_enum_is_a_word_or_a_map_with_one_key() {
    check::<Balance>("round_robin", "RoundRobin");
    check::<Balance>(r#""least_requests""#, "LeastRequests");
    check::<Balance>("{ hash: cookie }", r#"Hash("cookie")"#);
    check::<Balance>("{ cookie: { name: sid } }", r#"Cookie { name: "sid" }"#);
    check::<Balance>("{ pair: [1, 2] }", "Pair(1, 2)");
    check::<Balance>("{ round_robin: }", "RoundRobin");
    check::<Balance>("{ round_robin: 3 }", "1:16 expected nothing, found text `3`");
    check::<Balance>("hash", "1:1 `hash` needs a value (write `hash: …`)");
    check::<Balance>("{ hash: [x] }", "1:9 expected text, found a list");
    check::<Balance>(
        "{ cookie: { nam: x } }",
        "1:13 unknown key `nam` (did you mean `name`?)\n1:11 missing key `name`",
    );
    check::<Balance>(
        "{ hahs: x }",
        "1:3 expected `round_robin` or `least_requests` or `hash` or `cookie` or `pair`, found `hahs` (did you mean `hash`?)",
    );
    check::<Balance>(
        "{ hash: x, pair: [1, 2] }",
        "1:1 expected exactly one key: `round_robin` or `least_requests` or `hash` or `cookie` or `pair`",
    );
    check::<Balance>(
        "[hash]",
        "1:1 expected `round_robin` or `least_requests` or `hash` or `cookie` or `pair`, found a list",
    );
}

#[test]
fn nothing_reads_as_a_struct_whose_keys_are_all_optional() {
    check::<AllOptional>("", "AllOptional { a: None, b: 0 }");
    check::<BTreeMap<String, AllOptional>>("{ x: }", r#"{"x": AllOptional { a: None, b: 0 }}"#);
    check::<BTreeMap<String, Target>>("{ x: }", "1:4 missing key `service`");
    check::<Option<AllOptional>>("~", "None");
}

#[test]
fn keys_are_read_like_values() {
    check::<BTreeMap<u16, String>>("{ 200: a, 404: b }", r#"{200: "a", 404: "b"}"#);
    check::<BTreeMap<u16, String>>("{ ok: a }", "1:3 expected a number from 0 to 65535, found text `ok`");
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "shown with Debug")]
struct Route {
    name: Placed<String>,
    forward: Option<Try<Target>>,
    time: Option<Try<Span>>,
    #[serde(default)]
    headers: Entries<u8>,
}

#[test]
fn a_failure_inside_try_leaves_its_neighbours_readable() {
    check::<Route>(
        "{ name: x, forward: { port: x }, time: 5, headers: { a: 1, b: x, c: 3 } }",
        r#"Route { name: Placed { at: At { line: 1, col: 9, width: 1 }, value: "x" }, forward: Some(Try(None)), time: Some(Try(None)), headers: Entries([(Placed { at: At { line: 1, col: 54, width: 1 }, value: "a" }, 1), (Placed { at: At { line: 1, col: 66, width: 1 }, value: "c" }, 3)]) }
        1:29 expected a number from 0 to 65535, found text `x`
        1:40 expected a duration such as "250ms", "5s" or "10m", got "5"
        1:63 expected a number from 0 to 255, found text `x`"#,
    );
    check::<Vec<Try<u8>>>(
        "[1, x, 3]",
        "[Try(Some(1)), Try(None), Try(Some(3))]\n1:5 expected a number from 0 to 255, found text `x`",
    );
    check::<Try<u8>>("7", "Try(Some(7))");
}

#[test]
fn a_missing_key_stays_missing_behind_placed_and_try() {
    check::<Route>("{ forward: { service: a } }", "1:1 missing key `name`");
}

#[test]
fn a_node_is_read_as_it_is() {
    let yaml = "{ a: [1, \"2\", ~], b: { c: \"${SECRET}\" } }";
    let mut problems = Vec::new();
    let tree = node(yaml, &VARIABLES);
    assert_eq!(tree.read::<Node>(&mut problems).as_ref(), Some(&tree));
    let parts: BTreeMap<String, Node> = tree.read(&mut problems).expect("a map of anything");
    assert_eq!(Some(&parts["b"]), tree.get("b"));
    assert!(matches!(&parts["a"].kind, Kind::List(items) if items.len() == 3));
    assert!(problems.is_empty());
}

#[test]
fn a_line_or_a_map_says_what_is_wrong_with_the_form_that_was_written() {
    type Either = LineOrMap<Span, Target>;
    check::<Either>("5s", "Line(Placed { at: At { line: 1, col: 1, width: 2 }, value: Span(5s) })");
    check::<Either>("{ service: a }", r#"Map(Target { service: "a", port: None, deep: false })"#);
    check::<Either>("5", r#"1:1 expected a duration such as "250ms", "5s" or "10m", got "5""#);
    check::<Either>("{ servic: a }", "1:3 unknown key `servic` (did you mean `service`?)\n1:1 missing key `service`");
    check::<Either>("[5s]", "1:1 expected a line of text or a map, found a list");
    check::<BTreeMap<String, Either>>("{ a: }", "1:4 expected a line of text or a map, found nothing");
}

#[test]
fn the_same_problem_is_reported_once() {
    let mut problems = Vec::new();
    let tree = node("{ service: a, prot: 1 }", &[]);
    assert!(tree.read::<Target>(&mut problems).is_some() && tree.read::<Target>(&mut problems).is_some());
    assert_eq!(problems.len(), 1);
}

#[test]
fn a_long_text_is_cut_in_a_message() {
    let long = "x".repeat(300);
    check::<u8>(&long, &format!("1:1 expected a number from 0 to 255, found text `{}…`", "x".repeat(60)));
}
