//! Text → tree. A YAML 1.2 file becomes a [`Node`] tree in which every value and every key knows its place, and in
//! which numbers and booleans keep the text they were written with: `1.10` is still "1.10" where a text is wanted.
//!
//! The subset is strict, because a file that two readers understand differently is no basis for access decisions:
//! duplicate keys, merge keys (`<<`), tags and a second document are refused; aliases, depth and size are bounded.

mod refusal;
mod walk;

use hilum_filters::api::{At, Kind, Node, Problem};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Options, Spanned};
use std::fmt;
use std::panic::resume_unwind;
use std::thread;

/// The parser has no limit of its own for a text in memory.
const LARGEST_FILE: usize = 16 * 1024 * 1024;
/// The reader and every walk over the tree are recursive, so the depth of the tree bounds the stack.
const DEEPEST: usize = 64;
/// Ten thousand routes have about half a million values; the parser's own limit would refuse them.
const MOST_NODES: usize = 2_000_000;
const MOST_EVENTS: usize = 4_000_000;
/// Aliases that name aliases multiply: ten lines can stand for 10^12 values.
const MOST_ALIASED: usize = 10_000;
/// What [`parse_here`] takes at most: the parser is recursive with large frames, in a debug build 64 levels need more than the 2 MiB of an
/// ordinary thread, and an overflow would end the process.
pub const STACK: usize = 16 * 1024 * 1024;

/// Reads one YAML document. An empty file is [`Kind::Null`] in line 1.
///
/// # Errors
/// What the YAML parser refuses is one problem, because nothing after it can be read. Duplicate keys, merge keys and
/// tags are all reported.
pub fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    thread::scope(|scope| {
        let reader = thread::Builder::new().name("yaml".to_owned()).stack_size(STACK);
        match reader.spawn_scoped(scope, || parse_here(text)) {
            Ok(running) => running.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(error) => Err(vec![Problem::new(At::default(), format!("no thread to read the file: {error}"))]),
        }
    })
}

/// The same on this thread, which must have a stack of [`STACK`] bytes.
///
/// # Errors
/// As [`parse`].
pub fn parse_here(text: &str) -> Result<Node, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > LARGEST_FILE {
        let size = text.len().div_ceil(1024 * 1024);
        return Err(vec![Problem::new(
            At::default(),
            format!("the file has {size} MiB, more than the allowed 16 MiB"),
        )]);
    }
    let raw = serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options())
        .map_err(|error| vec![refusal::refusal(&error, text)])?;
    let mut problems = Vec::new();
    let mut root = walk::walk(raw, text, &mut problems);
    if root.kind == Kind::Null {
        // The parser puts an empty document behind the last comment, where there is nothing to show.
        root.at = At { line: 1, col: 1, width: 1 };
    }
    if problems.is_empty() { Ok(root) } else { Err(problems) }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEEPEST, max_nodes: MOST_NODES, max_events: MOST_EVENTS },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_ALIASED },
        // Both are looked for in the finished tree: the parser would stop at the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        reject_unsupported_tags: true,
        // The value is never used, only its text, and a text field may well say `.inf`.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        emit_comments: false,
        with_snippet: false,
    }
}

/// A node as the parser sees it. A number or boolean is only a mark: its text is cut out of the source.
enum Raw {
    Null,
    Value,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNode;
        impl<'de> Visitor<'de> for AnyNode {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
                Ok(Raw::Value)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
                Ok(Raw::Value)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
                Ok(Raw::Value)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
                Ok(Raw::Value)
            }
            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw::Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Raw, E> {
                Ok(Raw::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Raw::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Raw::Map(map))
            }
        }
        deserializer.deserialize_any(AnyNode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilum_filters::api::Entry;
    use std::fmt::Write;
    use std::time::{Duration, Instant};

    /// One line per scalar: its path, its text (`"…"` when it was not plain) and its place.
    fn outline(node: &Node, path: &str, out: &mut String) {
        let At { line, col, width } = node.at;
        let value = match &node.kind {
            Kind::Null => "null".to_owned(),
            Kind::Scalar { text, plain: true } => text.clone(),
            Kind::Scalar { text, plain: false } => format!("{text:?}"),
            Kind::List(_) => "[]".to_owned(),
            Kind::Map(_) => "{}".to_owned(),
        };
        writeln!(out, "{path} = {value} @{line}:{col}+{width}").unwrap();
        match &node.kind {
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    outline(item, &format!("{path}/{index}"), out);
                }
            }
            Kind::Map(entries) => {
                for Entry { key, at, value } in entries {
                    outline(value, &format!("{path}/{key}@{}:{}+{}", at.line, at.col, at.width), out);
                }
            }
            _ => {}
        }
    }

    #[track_caller]
    pub(super) fn check(yaml: &str, expect: &str) {
        let found = match parse(yaml) {
            Ok(node) => {
                let mut out = String::new();
                outline(&node, "", &mut out);
                out
            }
            Err(problems) => problems.iter().fold(String::new(), |mut out, problem| {
                let At { line, col, width } = problem.at;
                write!(out, "{line}:{col}+{width} {}", problem.message).unwrap();
                problem.help.iter().for_each(|help| write!(out, " = {help}").unwrap());
                out + "\n"
            }),
        };
        let lines = |text: &str| text.trim().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n");
        assert_eq!(lines(&found), lines(expect), "\n{yaml}");
    }

    #[test]
    fn every_value_and_key_has_its_place() {
        check(
            "a: { b: [1, 'x'], 200: é }\nliste:\n  - k: v\n",
            "= {} @1:1+1
             /a@1:1+1 = {} @1:4+23
             /a@1:1+1/b@1:6+1 = [] @1:9+8
             /a@1:1+1/b@1:6+1/0 = 1 @1:10+1
             /a@1:1+1/b@1:6+1/1 = \"x\" @1:13+3
             /a@1:1+1/200@1:19+3 = é @1:24+1
             /liste@2:1+5 = [] @3:3+1
             /liste@2:1+5/0 = {} @3:5+1
             /liste@2:1+5/0/k@3:5+1 = v @3:8+1",
        );
    }

    #[test]
    fn numbers_and_booleans_keep_their_source_text() {
        for text in ["1.10", "0755", "0x1F", "1e999", ".inf", "true", "-0", "99999999999999999999999", "1_000"] {
            check(&format!("a: {text}"), &format!("= {{}} @1:1+1\n/a@1:1+1 = {text} @1:4+{}", text.len()));
        }
    }

    #[test]
    fn a_quoted_or_block_number_is_a_text() {
        check("a: \"80\"", "= {} @1:1+1\n/a@1:1+1 = \"80\" @1:4+4");
        check("a: |-\n  80", "= {} @1:1+1\n/a@1:1+1 = \"80\" @2:3+2");
        check("a: 'true'", "= {} @1:1+1\n/a@1:1+1 = \"true\" @1:4+6");
        check("a: 5s", "= {} @1:1+1\n/a@1:1+1 = 5s @1:4+2");
        check("a: yes", "= {} @1:1+1\n/a@1:1+1 = yes @1:4+3");
    }

    #[test]
    fn an_absent_value_is_null_and_an_empty_file_too() {
        check("a:\nb: ~", "= {} @1:1+1\n/a@1:1+1 = null @1:2+1\n/b@2:1+1 = null @2:4+1");
        check("", "= null @1:1+1");
        check("# nothing yet\n", "= null @1:1+1");
    }

    #[test]
    fn a_byte_order_mark_moves_no_place() {
        check("\u{feff}a: é b", "= {} @1:1+1\n/a@1:1+1 = é b @1:4+3");
    }

    #[test]
    fn an_alias_has_the_place_of_its_anchor() {
        check("a: &x 5s\nb: *x", "= {} @1:1+1\n/a@1:1+1 = 5s @1:7+2\n/b@2:1+1 = 5s @1:7+2");
    }

    #[test]
    fn all_duplicate_keys_are_reported() {
        let many: String = (0..20).map(|n| format!("k{n}: 1\n")).collect();
        check(
            "a: { b: 1, b: 2 }\nc: 1\na: 3",
            "1:12+1 the key `b` stands twice in one map = the first is in line 1
             3:1+1 the key `a` stands twice in one map = the first is in line 1",
        );
        check("200: a\n\"200\": b", "2:1+5 the key `200` stands twice in one map = the first is in line 1");
        check(&(many + "k17: 2"), "21:1+3 the key `k17` stands twice in one map = the first is in line 18");
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let tag = "YAML tags are not understood = leave the `!…` out; quotes make a text of a number";
        let merge = "merge keys (`<<`) are not understood = write the keys out, or put them into a group: \
                     its routes inherit them";
        let second = "a second document begins here = a file is one document: remove the `---` or `...` that ends it \
                      before this line";
        check("a: &m { x: 1 }\nb:\n  <<: *m\n", &format!("3:3+2 {merge}"));
        check("a: !secret x", &format!("1:12+1 {tag}"));
        check("a: !!str 80\nb: !!int &x \"7\"", &format!("1:10+2 {tag}\n2:13+3 {tag}"));
        check("a: !!int\n  \"7\"", &format!("2:3+3 {tag}"));
        check("a: 1\n---\nb: 2", &format!("3:1+1 {second}"));
        check(
            "a: wow !x\nb: [y !x, z]",
            "= {} @1:1+1\n/a@1:1+1 = wow !x @1:4+6\n/b@2:1+1 = [] @2:4+9\n/b@2:1+1/0 = y !x @2:5+4\n/b@2:1+1/1 = z @2:11+1",
        );
    }

    #[test]
    fn bombs_are_refused_quickly() {
        let mut aliases = "a0: &a0 x\n".to_owned();
        for n in 1..=12 {
            let items = vec![format!("*a{}", n - 1); 10].join(", ");
            writeln!(aliases, "a{n}: &a{n} [{items}]").unwrap();
        }
        let started = Instant::now();
        let problems = parse(&aliases).unwrap_err();
        assert_eq!(problems[0].message, "aliases (`*name`) repeat too many values");
        assert_eq!(parse(&"[".repeat(5000)).unwrap_err()[0].message, "values are nested more than 64 deep");
        let nested = (0..70).fold(String::new(), |out, depth| format!("{out}{}k:\n", " ".repeat(depth)));
        assert_eq!(parse(&nested).unwrap_err()[0].message, "values are nested more than 64 deep");
        let mut chain = "a0: &a0 x\n".to_owned();
        for n in 1..=12 {
            writeln!(chain, "a{n}: &a{n} {}*a{}{}", "[".repeat(50), n - 1, "]".repeat(50)).unwrap();
        }
        assert_eq!(parse(&chain).unwrap_err()[0].message, "values are nested more than 64 deep");
        assert_eq!(
            parse(&" ".repeat(LARGEST_FILE + 1)).unwrap_err()[0].message,
            "the file has 17 MiB, more than the allowed 16 MiB"
        );
        assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
    }

    /// By ratio in one run: how long one of them takes is the machine's affair (and the bench's).
    #[test]
    fn ten_thousand_routes_cost_no_more_each_than_a_thousand() {
        let took = |routes: usize| {
            let mut yaml = "version: 1\nroutes:\n".to_owned();
            for n in 0..routes {
                write!(
                    yaml,
                    "  - name: route-{n}\n    match: GET /api/v1/things-{n}/{{id}}\n    auth: {{ token: web, claims: \
                     {{ user_type: patient }} }}\n    forward: {{ service: patients, path: \"/api/v1/patients/{{id}}\" }}\n"
                )
                .unwrap();
            }
            let before = busy();
            let node = parse_here(&yaml).unwrap();
            let took = busy() - before;
            assert!(matches!(&node.get("routes").unwrap().kind, Kind::List(list) if list.len() == routes));
            took
        };
        // The best of several: other tests use the same caches and memory.
        let few = (0..5).map(|_| took(1000)).min().unwrap();
        let many = (0..2).map(|_| took(10_000)).min().unwrap();
        assert!(many < few * 15, "10,000 routes took {many:?}, 1,000 took {few:?}");
    }

    /// How long this thread was running. The clock on the wall would measure the other tests as well.
    fn busy() -> Duration {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(statistics.split(' ').next().unwrap().parse().unwrap())
    }

    #[test]
    fn no_prefix_of_a_file_makes_it_panic() {
        let sample = "version: 1 # é\nroutes:\n  - name: 'x''y'\n    a: { b: [\"${X:-ü}\", 1.0], \"c\\n\": !t &a {} }\n    \
                      d: *a\n    <<: >-\n      text\n      more\n...\n---\n? k\n: v\n";
        for (end, _) in sample.char_indices() {
            let _ = parse(&sample[..end]);
            let _ = parse(&sample[end..]);
            let _ = parse(&sample[..end].replace(' ', "\t"));
            let _ = parse(&sample[..end].replace('\n', "\r"));
        }
    }
}
