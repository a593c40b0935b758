//! The only reader of the environment, and what `${VAR}` in a file becomes.
//!
//! | written | becomes |
//! |---|---|
//! | `${VAR}` | the value of `VAR`; unset or empty is a problem |
//! | `${VAR:-default}` | the default when `VAR` is unset or empty; it may hold further variables |
//! | `$${VAR}` | the text `${VAR}` |
//!
//! Values are expanded after the file was parsed, so a variable can never add a key or a line; keys are not expanded,
//! and neither is what a variable holds. An expanded value keeps its source text, which messages show instead of it.

use hilum_filters::api::{At, Kind, Node, Problem};
use std::collections::HashMap;
use std::ffi::OsString;

/// Defaults within defaults: nobody writes more, and each level is a call.
const DEEPEST: usize = 16;

/// The variables a file may name, read once. Not printable: a variable may hold a secret.
pub struct Environment {
    values: HashMap<String, OsString>,
}

impl Environment {
    /// The environment of this process, as it is now.
    pub fn process() -> Self {
        // A name that is not UTF-8 cannot be written in a file, so nobody can ask for it.
        let named = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self { values: std::env::vars_os().filter_map(named).collect() }
    }

    /// Exactly these variables and no others.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn of(values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        Self { values }
    }

    /// The value, or why there is none.
    ///
    /// # Errors
    /// `not set`, `empty` or `not valid UTF-8`.
    pub fn value(&self, name: &str) -> Result<&str, &'static str> {
        match self.values.get(name).map(|value| value.to_str()) {
            None => Err("not set"),
            Some(Some("")) => Err("empty"),
            Some(Some(value)) => Ok(value),
            Some(None) => Err("not valid UTF-8"),
        }
    }
}

/// Whether a value comes from variables alone, as a secret must: not even a part or a default of it stands in the file.
pub fn comes_from_variables(node: &Node) -> bool {
    node.written.as_deref().is_some_and(|written| !holds_text(written))
}

/// Whether there is anything in it but variables, or in a default of one.
fn holds_text(written: &str) -> bool {
    let mut left = written;
    while !left.is_empty() {
        let Some(inner) = left.strip_prefix("${") else { return true };
        let mut depth = 1_usize;
        let end = inner.char_indices().find(|(at, c)| {
            depth = depth + usize::from(inner[*at..].starts_with("${")) - usize::from(*c == '}');
            depth == 0
        });
        // What has no end was told when it was expanded.
        let Some((end, _)) = end else { return true };
        if inner[..end].split_once(":-").is_some_and(|(_, default)| holds_text(default)) {
            return true;
        }
        left = &inner[end + 1..];
    }
    false
}

/// Expands every value below `node` in place. All that is missing or wrong is reported, each with the place of its
/// value; such a value stays as it is written.
///
/// An expanded value may be read as a number or boolean even when it is quoted (`port: "${PORT}"`).
pub fn expand(node: &mut Node, environment: &Environment, problems: &mut Vec<Problem>) {
    let at = node.at;
    match &mut node.kind {
        Kind::Null => {}
        Kind::Scalar { text, plain } => {
            if !text.contains("${") {
                return;
            }
            let mut expansion = Expansion { environment, at, problems, used: false, failed: false };
            let mut value = String::with_capacity(text.len());
            expansion.copy(text, &mut value, Need::Now, 0);
            let Expansion { used, failed, .. } = expansion;
            if failed {
                return;
            }
            let written = std::mem::replace(text, value);
            if used {
                *plain = true;
                node.written = Some(written.into());
            }
        }
        Kind::List(items) => items.iter_mut().for_each(|item| expand(item, environment, problems)),
        Kind::Map(entries) => {
            for entry in entries {
                if entry.key.contains("${") {
                    let message = format!("variables are not expanded in keys: `{}`", entry.key);
                    problems.push(Problem::new(entry.at, message).help("write the key itself"));
                }
                expand(&mut entry.value, environment, problems);
            }
        }
    }
}

/// Whether a text is wanted, or only checked: it is a default, and its variable is set.
#[derive(Clone, Copy, PartialEq)]
enum Need {
    Now,
    Never,
}

struct Expansion<'a> {
    environment: &'a Environment,
    at: At,
    problems: &'a mut Vec<Problem>,
    used: bool,
    failed: bool,
}

impl Expansion<'_> {
    fn copy(&mut self, mut text: &str, out: &mut String, need: Need, depth: usize) {
        while let Some(start) = text.find("${") {
            let (before, rest) = (&text[..start], &text[start + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                text = rest;
                continue;
            }
            out.push_str(before);
            let Some(end) = closing(rest) else {
                return self.fail("`${` is never closed", "write `}` after the name, or `$${` for the text itself");
            };
            self.variable(&rest[..end], out, need, depth);
            text = &rest[end + 1..];
        }
        out.push_str(text);
    }

    /// `inner` is what stands between the braces. No message shows it: a default may be a secret.
    fn variable(&mut self, inner: &str, out: &mut String, need: Need, depth: usize) {
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let (name, rest) = inner.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let help = "a name is made of letters, digits and `_`; write `$${` for the text itself";
            return self.fail("`${` is not followed by the name of a variable", help);
        }
        let default = rest.strip_prefix(":-");
        if default.is_none() && !rest.is_empty() {
            let help = format!("write \"${{{name}}}\" or \"${{{name}:-default}}\"");
            return self.fail(&format!("after `${{{name}` only `}}` or `:-` is understood"), &help);
        }
        if depth == DEEPEST {
            return self.fail(&format!("defaults are nested more than {DEEPEST} deep"), "define fewer variables");
        }
        let found = self.environment.value(name);
        self.used |= need == Need::Now;
        if let Ok(value) = found {
            out.push_str(value);
        }
        match (found, default) {
            (Ok(_), Some(default)) => self.copy(default, &mut String::new(), Need::Never, depth + 1),
            (Err(_), Some(default)) => self.copy(default, out, need, depth + 1),
            (Err(why), None) if need == Need::Now => {
                // A secret with a default would be a secret written in the file.
                let secret = ["SECRET", "PASSWORD", "TOKEN", "KEY"].iter().any(|word| name.contains(word));
                let help = match secret {
                    true => "set it".to_owned(),
                    false => format!("set it, or write \"${{{name}:-default}}\""),
                };
                self.fail(&format!("the variable `{name}` is {why}"), &help);
            }
            (Ok(_) | Err(_), None) => {}
        }
    }

    fn fail(&mut self, message: &str, help: &str) {
        self.failed = true;
        self.problems.push(Problem::new(self.at, message).help(help));
    }
}

/// Where the brace that was opened before `text` is closed. Braces in a default count, so `{}` may be one.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    text.bytes().position(|byte| {
        open += usize::from(byte == b'{');
        open -= usize::from(byte == b'}');
        open == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hilum_filters::api::Entry;
    use std::os::unix::ffi::OsStringExt;

    const AT: At = At { line: 3, col: 9, width: 6 };

    fn environment() -> Environment {
        Environment::of(&[("PORT", "8080"), ("HOST", "web"), ("EMPTY", ""), ("NESTED", "${PORT}"), ("ODD", "a: {b\n}")])
    }

    fn scalar(text: &str) -> Node {
        Node { at: AT, kind: Kind::Scalar { text: text.to_owned(), plain: false }, written: None }
    }

    #[test]
    fn a_secret_comes_from_variables_alone() {
        for (written, expected) in [
            ("${A}", true),
            ("${A:-}", true),
            ("${A:-${B}}", true),
            ("${A}${B:-${C:-}}", true),
            ("${A:-x}", false),
            ("${A:-${B:-x}}", false),
            ("x${A}", false),
            ("${A}x", false),
            ("$${A}", false),
        ] {
            let node = Node { written: Some(written.into()), ..scalar("") };
            assert_eq!(comes_from_variables(&node), expected, "{written}");
        }
        assert!(!comes_from_variables(&scalar("x")));
    }

    /// A value after expansion, or all problems of it.
    #[track_caller]
    fn check(written: &str, expect: Result<&str, &[&str]>) {
        let (mut node, mut problems) = (scalar(written), Vec::new());
        expand(&mut node, &environment(), &mut problems);
        let said: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        let Kind::Scalar { text, .. } = &node.kind else { panic!("a scalar stays one") };
        match expect {
            Ok(value) => assert_eq!((text.as_str(), said.as_slice()), (value, [].as_slice()), "{written}"),
            Err(messages) => {
                assert_eq!(said, messages, "{written}");
                assert_eq!(node, scalar(written), "what could not be expanded is left as written");
                assert!(problems.iter().all(|problem| problem.at == AT && problem.help.is_some()), "{written}");
            }
        }
    }

    #[test]
    fn variables_and_defaults_are_expanded() {
        check("${PORT}", Ok("8080"));
        check("http://${HOST}:${PORT}/ü", Ok("http://web:8080/ü"));
        check("${NONE:-5}", Ok("5"));
        check("${EMPTY:-5}", Ok("5"));
        check("${NONE:-}", Ok(""));
        check("${PORT:-5}", Ok("8080"));
        check("${NONE:-${EMPTY:-x}}y", Ok("xy"));
        check("${NONE:-${HOST}:${PORT}}", Ok("web:8080"));
        check("${PORT:-${NONE}}", Ok("8080"));
        check("${NONE:-{}}", Ok("{}"));
        check("${NONE:-http://a:-b}", Ok("http://a:-b"));
    }

    #[test]
    fn other_dollars_are_left_alone() {
        check("$PORT", Ok("$PORT"));
        check("a$", Ok("a$"));
        check("$${PORT}", Ok("${PORT}"));
        check("$$${PORT}", Ok("$${PORT}"));
        check("a $${x} ${PORT}", Ok("a ${x} 8080"));
        check("${NONE:-$${x}}", Ok("${x}"));
        check("{param} {{ body }} ^\\d{2}$", Ok("{param} {{ body }} ^\\d{2}$"));
    }

    #[test]
    fn a_value_is_never_expanded_again() {
        check("${NESTED}", Ok("${PORT}"));
        check("${ODD}", Ok("a: {b\n}"));
    }

    #[test]
    fn all_that_is_missing_is_reported() {
        check("${NONE}", Err(&["the variable `NONE` is not set"]));
        check("${EMPTY}", Err(&["the variable `EMPTY` is empty"]));
        check("${A}${PORT}${B:-${C}}", Err(&["the variable `A` is not set", "the variable `C` is not set"]));
    }

    #[test]
    fn what_is_not_understood_is_refused_whatever_is_set() {
        check("${PORT", Err(&["`${` is never closed"]));
        check("${PORT:-${HOST}", Err(&["`${` is never closed"]));
        check("${}", Err(&["`${` is not followed by the name of a variable"]));
        check("${1X}", Err(&["`${` is not followed by the name of a variable"]));
        check("${ PORT }", Err(&["`${` is not followed by the name of a variable"]));
        check("${PORT-x}", Err(&["after `${PORT` only `}` or `:-` is understood"]));
        check("${PORT:?x}", Err(&["after `${PORT` only `}` or `:-` is understood"]));
        check("${PORT:-${X:=y}}", Err(&["after `${X` only `}` or `:-` is understood"]));
        let deep = format!("{}x{}", "${A:-".repeat(100_000), "}".repeat(100_000));
        check(&deep, Err(&["defaults are nested more than 16 deep"]));
    }

    #[test]
    fn an_expanded_value_may_be_a_number_and_keeps_its_source_text() {
        let read = |written: &str| {
            let (mut node, mut problems) = (scalar(written), Vec::new());
            expand(&mut node, &environment(), &mut problems);
            let Kind::Scalar { plain, .. } = node.kind else { panic!("a scalar stays one") };
            (plain, node.written.map(String::from))
        };
        assert_eq!(read("${PORT}"), (true, Some("${PORT}".to_owned())));
        assert_eq!(read("${NONE:-5}"), (true, Some("${NONE:-5}".to_owned())));
        assert_eq!(read("$${PORT}"), (false, None));
        assert_eq!(read("8080"), (false, None));
    }

    #[test]
    fn the_whole_tree_is_expanded_except_its_keys() {
        let entry = |key: &str, value| Entry { key: key.to_owned(), at: At { line: 2, ..AT }, value };
        let node = |kind| Node { at: AT, kind, written: None };
        let list = node(Kind::List(vec![scalar("${HOST}"), scalar("${GONE}"), node(Kind::Null)]));
        let mut root = node(Kind::Map(vec![entry("${KEY}", scalar("${PORT}")), entry("list", list)]));
        let mut problems = Vec::new();
        expand(&mut root, &environment(), &mut problems);
        let said: Vec<_> = problems.iter().map(|problem| (problem.at.line, problem.message.as_str())).collect();
        let expect =
            [(2, "variables are not expanded in keys: `${KEY}`"), (3, "the variable `GONE` is not set")].as_slice();
        assert_eq!(said, expect);
        assert_eq!(problems[1].help.as_deref(), Some("set it, or write \"${GONE:-default}\""));
        assert_eq!(root.get("${KEY}").unwrap().written.as_deref(), Some("${PORT}"));
        expand(&mut scalar("${JWT_SECRET_KEY}"), &environment(), &mut problems);
        assert_eq!(problems[2].help.as_deref(), Some("set it"));
        let Kind::List(items) = &root.get("list").unwrap().kind else { panic!("a list stays one") };
        assert_eq!(items[0].written.as_deref(), Some("${HOST}"));
    }

    #[test]
    fn a_value_that_is_no_text_is_a_problem() {
        let values = HashMap::from([("BYTES".to_owned(), OsString::from_vec(vec![0xff]))]);
        let environment = Environment { values };
        let mut problems = Vec::new();
        expand(&mut scalar("${BYTES}"), &environment, &mut problems);
        assert_eq!(problems[0].message, "the variable `BYTES` is not valid UTF-8");
    }

    #[test]
    fn the_process_environment_is_read() {
        // Cargo sets this one for every test.
        assert_eq!(Environment::process().value("CARGO_PKG_NAME"), Ok(env!("CARGO_PKG_NAME")));
    }
}
