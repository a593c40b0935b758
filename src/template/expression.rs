//! One Jinja expression, compiled at load; and how its failures are told.

use std::sync::LazyLock;

use hilum_filters::api::did_you_mean;
use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior, Value};

use super::Names;

/// Settings and filters only, never a template: so expressions can outlive any table without borrowing from it.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Bounds the work of one evaluation, whatever a service sends.
    environment.set_fuel(Some(200_000));
    environment
});

/// An expression that could not be evaluated. The text is for the log of an operator: it may quote the expression, never data.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed(pub String);

pub(super) struct Compiled {
    expression: Expression<'static, 'static>,
    source: Box<str>,
}

impl Compiled {
    /// Compiles, and checks that every name will exist.
    pub(super) fn new(source: &str, names: &Names) -> Result<Self, String> {
        Compiled::checked(source, &|name| names.check(name))
    }

    /// The same, with another idea of which names will exist.
    pub(super) fn checked(source: &str, known: &dyn Fn(&str) -> Result<(), String>) -> Result<Self, String> {
        let expression = EXPRESSIONS
            .compile_expression_owned(source.to_owned())
            .map_err(|e| format!("`{source}` is not an expression: {}", e.detail().unwrap_or("it does not parse")))?;
        for name in expression.undeclared_variables(false) {
            known(&name)?;
        }
        check_words(source)?;
        Ok(Compiled { expression, source: source.into() })
    }

    /// The names it reads.
    pub(super) fn reads(&self, name: &str) -> bool {
        self.expression.undeclared_variables(false).contains(name)
    }

    pub(super) fn value(&self, scope: &Value) -> Result<Value, Failed> {
        self.expression.eval(scope).map_err(|e| Failed(format!("`{}`: {}", self.source, e.kind())))
    }
}

/// Names that are offered when one was misspelt. What exists is decided by the environment itself.
const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "default",
    "dictsort",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "zip",
];
const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "even",
    "false",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];

/// Jinja looks filters, tests and methods up when it runs into them; an operator should hear of a slip before that.
fn check_words(source: &str) -> Result<(), String> {
    let words = words(source);
    let method = words.windows(3).find(|three| three[0] == "." && is_name(three[1]) && three[2] == "(");
    if let Some(name) = method.map(|three| three[1]) {
        return Err(format!("values have no methods, so none is called `{name}`; filters are written `| name`"));
    }
    check_filters_and_tests(&words, &EXPRESSIONS)
}

/// Whether the environment has every filter and test that these words name.
pub(super) fn check_filters_and_tests(words: &[&str], environment: &Environment<'_>) -> Result<(), String> {
    let check_filter = |name| check_filter(name, environment);
    let check_test = |name| check_test(name, environment);
    for at in 0..words.len() {
        let after_dot = at > 0 && words[at - 1] == ".";
        match words[at..] {
            ["|", "map", "(", name, ..] if is_quoted(name) => check_filter(unquoted(name))?,
            ["|", "select" | "reject", "(", name, ..] if is_quoted(name) => check_test(unquoted(name))?,
            ["|", "selectattr" | "rejectattr", "(", _, ",", name, ..] if is_quoted(name) => check_test(unquoted(name))?,
            ["|", name, ..] => check_filter(name)?,
            ["is", "not", name, ..] | ["is", name, ..] if !after_dot && is_name(name) => check_test(name)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_filter(name: &str, environment: &Environment<'_>) -> Result<(), String> {
    match environment.empty_state().apply_filter(name, &[]) {
        Err(e) if e.kind() == ErrorKind::UnknownFilter => Err(unknown("filter", name, FILTERS)),
        _ => Ok(()),
    }
}

fn check_test(name: &str, environment: &Environment<'_>) -> Result<(), String> {
    match environment.empty_state().perform_test(name, &[]) {
        Err(e) if e.kind() == ErrorKind::UnknownTest => Err(unknown("test", name, TESTS)),
        _ => Ok(()),
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let near = did_you_mean(name, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
    format!("no {what} is called `{name}`{}", near.unwrap_or_default())
}

/// The words of an expression that parses: a name, a number or a text in quotes as one, any other character for itself.
pub(super) fn words(source: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut left = source.trim_start();
    while let Some(first) = left.chars().next() {
        let end = match first {
            '\'' | '"' => end_of_text(left, first),
            c if is_part_of_name(c) => left.find(|c| !is_part_of_name(c)).unwrap_or(left.len()),
            c => c.len_utf8(),
        };
        words.push(&left[..end]);
        left = left[end..].trim_start();
    }
    words
}

fn end_of_text(text: &str, quote: char) -> usize {
    let mut escaped = true;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(super) fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

pub(super) fn is_quoted(word: &str) -> bool {
    word.starts_with(['\'', '"'])
}

pub(super) fn unquoted(word: &str) -> &str {
    word.trim_matches(['\'', '"'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_offered_exists() {
        let unknown: Vec<_> = FILTERS
            .iter()
            .map(|name| check_filter(name, &EXPRESSIONS))
            .chain(TESTS.iter().map(|name| check_test(name, &EXPRESSIONS)))
            .filter_map(Result::err)
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn an_expression_is_cut_into_words() {
        let cases = [
            ("a.b|c(1)", "a . b | c ( 1 )"),
            ("  'x y' ~ \"it's\" ", "'x y' ~ \"it's\""),
            (r"'a\'b' is not none", r"'a\'b' is not none"),
            ("ñandú|upper", "ñandú | upper"),
            ("", ""),
        ];
        for (source, expected) in cases {
            assert_eq!(words(source).join(" "), expected, "{source}");
        }
    }
}
