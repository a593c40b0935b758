//! One Jinja expression, compiled at load; and how its failures are told.

use std::sync::{Arc, LazyLock};

use hilum_filters::api::did_you_mean;
use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior, Value};

use super::matching::{self, Patterns};
use super::{Names, timestamp};

/// Settings and filters only, never a template: so expressions can outlive any table without borrowing from it.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Bounds the work of one evaluation, whatever a service sends.
    environment.set_fuel(Some(200_000));
    environment.add_test(matching::NAME, matching::test);
    environment.add_filter("timestamp", timestamp::filter);
    environment
});

/// The same for what must hold. Jinja's operators refuse to compare what is absent, its tests do not, also where filters such as
/// `selectattr` use them: here they refuse as well.
static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = EXPRESSIONS.clone();
    for (names, test) in COMPARISONS {
        for name in *names {
            environment.add_test(*name, move |a: &Value, b: &Value| {
                if a.is_undefined() || b.is_undefined() {
                    return Err(ErrorKind::UndefinedError.into());
                }
                test(a, b)
            });
        }
    }
    environment
});

type Comparison = fn(&Value, &Value) -> Result<bool, minijinja::Error>;
const COMPARISONS: &[(&[&str], Comparison)] = &[
    (&["eq", "equalto", "==", "sameas"], |a, b| Ok(a == b)),
    (&["ne", "!="], |a, b| Ok(a != b)),
    (&["lt", "lessthan", "<"], |a, b| Ok(a < b)),
    (&["le", "<="], |a, b| Ok(a <= b)),
    (&["gt", "greaterthan", ">"], |a, b| Ok(a > b)),
    (&["ge", ">="], |a, b| Ok(a >= b)),
    (&["in"], |a, b| minijinja::tests::is_in(&EXPRESSIONS.empty_state(), a, b)),
];

/// An expression that could not be evaluated. The text is for the log of an operator: it may quote the expression, never
/// data, nor a text of the expression, which may come from a variable.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed(pub String);

pub(super) struct Compiled {
    expression: Expression<'static, 'static>,
    source: Box<str>,
    patterns: Arc<Patterns>,
}

impl Compiled {
    /// Compiles, and checks that every name will exist.
    pub(super) fn new(source: &str, names: Names, more: &[Arc<str>]) -> Result<Self, String> {
        Compiled::within(&EXPRESSIONS, source, names, more)
    }

    /// The same, and a comparison with what is absent can't be evaluated, in whatever way it is written.
    pub(super) fn strict(source: &str, names: Names, more: &[Arc<str>]) -> Result<Self, String> {
        Compiled::within(&STRICT, source, names, more)
    }

    fn within(
        environment: &'static Environment<'static>,
        source: &str,
        names: Names,
        more: &[Arc<str>],
    ) -> Result<Self, String> {
        let expression = environment
            .compile_expression_owned(source.to_owned())
            .map_err(|e| format!("`{source}` is not an expression: {}", e.detail().unwrap_or("it does not parse")))?;
        for name in expression.undeclared_variables(false) {
            names.check(&name, more)?;
        }
        let patterns = check_words(source)?.into();
        Ok(Compiled { expression, source: source.into(), patterns })
    }

    /// What it reads, as far as it is spelled out: `claims.user_id`, `now`.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> {
        self.expression.undeclared_variables(true).into_iter()
    }

    /// The names it reads.
    pub(super) fn reads(&self, name: &str) -> bool {
        self.expression.undeclared_variables(false).contains(name)
    }

    pub(super) fn value(&self, scope: &Value) -> Result<Value, Failed> {
        let evaluated = match self.patterns.is_empty() {
            true => self.expression.eval(scope),
            false => self.expression.eval(self.patterns.beside(scope)),
        };
        evaluated.map_err(|e| Failed(format!("`{}`: {}", without_texts(&self.source), e.kind())))
    }
}

/// The source with its quoted texts left out: a variable may have been expanded in one of them.
fn without_texts(source: &str) -> String {
    let (mut shown, mut quote, mut escaped) = (String::with_capacity(source.len()), None, false);
    for c in source.chars() {
        match quote {
            Some(open) if c == open && !escaped => {
                shown.push('…');
                shown.push(c);
                quote = None;
            }
            Some(_) => escaped = c == '\\' && !escaped,
            None => {
                shown.push(c);
                (quote, escaped) = (Some(c).filter(|c| matches!(c, '\'' | '"')), false);
            }
        }
    }
    shown
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
    "timestamp",
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
    "matching",
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
fn check_words(source: &str) -> Result<Patterns, String> {
    let words = words(source);
    let method = words.windows(3).find(|three| three[0] == "." && is_name(three[1]) && three[2] == "(");
    if let Some(name) = method.map(|three| three[1]) {
        return Err(format!("values have no methods, so none is called `{name}`; filters are written `| name`"));
    }
    check_filters_and_tests(&words, &EXPRESSIONS)
}

/// Whether the environment has every filter and test that these words name; the patterns they match with.
pub(super) fn check_filters_and_tests(words: &[&str], environment: &Environment<'_>) -> Result<Patterns, String> {
    let check_filter = |name| check_filter(name, environment);
    let mut patterns = Patterns::default();
    let mut check_test = |name, open, rest: &[&str]| check_test(name, environment, (open, rest), &mut patterns);
    for at in 0..words.len() {
        let after_dot = at > 0 && words[at - 1] == ".";
        match &words[at..] {
            ["|", "map", "(", name, ..] if is_quoted(name) => check_filter(unquoted(name))?,
            ["|", "select" | "reject", "(", name, rest @ ..]
            | ["|", "selectattr" | "rejectattr", "(", _, ",", name, rest @ ..]
                if is_quoted(name) =>
            {
                check_test(unquoted(name), ",", rest)?;
            }
            ["|", name, ..] => check_filter(name)?,
            ["is", "not", name, rest @ ..] | ["is", name, rest @ ..] if !after_dot && is_name(name) => {
                check_test(name, "(", rest)?;
            }
            _ => {}
        }
    }
    Ok(patterns)
}

fn check_filter(name: &str, environment: &Environment<'_>) -> Result<(), String> {
    match environment.empty_state().apply_filter(name, &[]) {
        Err(e) if e.kind() == ErrorKind::UnknownFilter => Err(unknown("filter", name, FILTERS)),
        _ => Ok(()),
    }
}

/// `rest` is what follows the name of the test, `open` what comes before an argument there.
fn check_test(
    name: &str,
    environment: &Environment<'_>,
    (open, rest): (&str, &[&str]),
    patterns: &mut Patterns,
) -> Result<(), String> {
    if matches!(environment.empty_state().perform_test(name, &[]), Err(e) if e.kind() == ErrorKind::UnknownTest) {
        return Err(unknown("test", name, TESTS));
    }
    match rest {
        _ if name != matching::NAME => Ok(()),
        [first, literal, ")", ..] if *first == open && is_quoted(literal) => patterns.add(&value_of(literal)?),
        _ => {
            Err("a pattern is written where it is used, as `is matching('[0-9]+')`: it is compiled at load".to_owned())
        }
    }
}

/// What a quoted text says, its escapes read as Jinja does.
fn value_of(literal: &str) -> Result<String, String> {
    let value = EXPRESSIONS.compile_expression(literal).and_then(|text| text.eval(()));
    let text = value.ok().and_then(|value| value.as_str().map(str::to_owned));
    text.ok_or_else(|| format!("{literal} is no text"))
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
            .chain(
                TESTS
                    .iter()
                    .map(|name| check_test(name, &EXPRESSIONS, ("(", &["(", "'x'", ")"]), &mut Patterns::default())),
            )
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

    #[test]
    fn a_failure_is_told_without_the_texts_of_the_expression() {
        let cases = [
            ("a.b > 1 or a == 'se\\'cret'", "a.b > 1 or a == '…'"),
            (r#"x|default("it's") ~ ''"#, r#"x|default("…") ~ '…'"#),
            (r"a == '\\' and b", "a == '…' and b"),
            ("'never closed", "'"),
        ];
        for (source, expected) in cases {
            assert_eq!(without_texts(source), expected, "{source}");
        }
    }

    /// An expression over nothing → its value as text, or why it is a problem, or `failed`.
    #[track_caller]
    fn check(cases: &[(&str, &str)]) {
        for (source, expected) in cases {
            let told = match Compiled::new(source, Names::REQUEST, &[]) {
                Ok(compiled) => compiled.value(&Value::from(())).map_or_else(|_| "failed".into(), |v| v.to_string()),
                Err(why) => why,
            };
            assert!(told.starts_with(expected), "{source}: {told}");
        }
    }

    #[test]
    fn a_text_matches_as_a_whole_or_not_at_all() {
        check(&[
            ("'12345678' is matching('[0-9]{8}')", "True"),
            ("'12345678x' is matching('[0-9]{8}')", "False"),
            ("'x\\n12345678' is matching('[0-9]{8}')", "False"),
            ("'b' is matching('a|b')", "True"),
            ("'ab' is not matching('a|b')", "True"),
            ("'12\\n' is matching('[0-9]+')", "False"),
            (r"'1.5' is matching('\\d\\.\\d')", "True"),
            (r#"'it\'s' is matching("it's")"#, "True"),
            ("'Ñandú' is matching('(?i)ñANDÚ')", "True"),
            ("['a', 'b1']|select('matching', '[a-z]')|join('-')", "a"),
            ("[{'n': 'a'}, {'n': 'b1'}]|rejectattr('n', 'matching', '[a-z]')|length", "1"),
            // Linear in the text, whatever the pattern is.
            ("('a'|replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')) is matching('(a*)*b')", "False"),
            // What is no text neither matches nor does not.
            ("7 is matching('7')", "failed"),
            ("7 is not matching('8')", "failed"),
            ("none is not matching('8')", "failed"),
            ("[7]|select('matching', '7')|list", "failed"),
        ]);
    }

    #[test]
    fn a_pattern_is_known_at_load() {
        let literal = "a pattern is written where it is used";
        check(&[
            ("'a' is matching('(')", "`(` is no pattern: "),
            ("'a' is matching('a(?=b)')", "`a(?=b)` is no pattern: look-around"),
            ("'a' is matching('a{1000000}')", "`a{1000000}` is"),
            ("'a' is matching('a)|(b')", "`a)|(b` is no pattern: "),
            ("'a' is matching(query.p)", literal),
            ("'a' is matching('a' ~ query.p)", literal),
            ("'a' is matching", literal),
            ("'a' is matching 'a'", literal),
            ("['a']|select('matching', query.p)|list", literal),
            ("'a' is matchign('a')", "no test is called `matchign`; did you mean `matching`?"),
        ]);
    }

    #[test]
    fn a_time_is_compared_as_seconds() {
        check(&[
            ("'1970-01-01T00:01:00Z'|timestamp", "60"),
            ("('1970-01-01T00:01:00Z'|timestamp) < 61", "True"),
            ("60|timestamp == '1970-01-01T00:01:00Z'|timestamp", "True"),
            ("1.5|timestamp", "1.5"),
            ("'yesterday'|timestamp", "failed"),
            ("none|timestamp", "failed"),
        ]);
    }
}
