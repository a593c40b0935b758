//! What the parser refused, in the words of this program.

use super::{DEEPEST, MOST_NODES, walk::at};
use hilum_filters::api::{At, Problem};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter};

/// The parser's own texts speak of its options and of Rust types; those that a user can meet are put differently.
pub(super) fn refusal(error: &Error, text: &str) -> Problem {
    let place = error.location().map_or(At::default(), |place| at(place, ""));
    let mut inner = error.without_snippet();
    while let Error::AliasError { error, .. } = inner {
        inner = error;
    }
    let (message, help) = match inner {
        Error::MultipleDocuments { .. } => {
            let help = "a file is one document: remove the `---` or `...` that ends it before this line";
            ("a second document begins here".to_owned(), Some(help))
        }
        Error::UnsupportedTag { .. } => return tag_problem(place),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => (too_deep(), None),
        Error::Budget { breach: BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. }, .. } => {
            (format!("the file has more than {MOST_NODES} values"), None)
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            let help = "put what several routes share into a group or into `defaults`";
            ("aliases (`*name`) repeat too many values".to_owned(), Some(help))
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => ("an alias names the value it stands in".to_owned(), None),
        Error::UnknownAnchor { .. } => {
            ("an alias (`*name`) without an anchor".to_owned(), Some("a text that begins with `*` needs quotes"))
        }
        Error::NullIntoString { .. } => ("a key is empty".to_owned(), None),
        Error::Unexpected { expected: "string scalar", .. } => ("a key must be a text or a number".to_owned(), None),
        other => {
            // "…, expected ',' or ']'": "map" and "list" are the words of all other problems.
            let said = DefaultMessageFormatter.format_message(other);
            let said = said.replace("flow mapping", "map").replace("flow sequence", "list");
            if said.contains("recursion limit") {
                return Problem::new(place, too_deep()); // The scanner's limit comes before the budget's.
            }
            let line = text.lines().nth((place.line as usize).saturating_sub(1)).and_then(unquoted_variable);
            let help = match (line, said.as_str()) {
                (Some(variable), _) => Some(format!("write \"{variable}\" with quotes")),
                (None, text) if text.contains("mapping values are not allowed") => {
                    Some("a text that holds `: ` needs quotes; keys of one map begin in one column".to_owned())
                }
                (None, text) if text.contains("tab") => Some("indent with spaces".to_owned()),
                (None, text) if text.contains("unexpected character") => {
                    Some("a text that begins so needs quotes".to_owned())
                }
                (None, _) => None,
            };
            let problem = Problem::new(place, format!("not valid YAML: {said}"));
            return if let Some(help) = help { problem.help(help) } else { problem };
        }
    };
    let problem = Problem::new(place, message);
    if let Some(help) = help { problem.help(help) } else { problem }
}

fn too_deep() -> String {
    format!("values are nested more than {DEEPEST} deep")
}

/// The first `${…}` of the line that stands outside quotes: inside `{ }` and `[ ]` YAML takes its brace for a map. A
/// default is left out, because it may be a secret.
fn unquoted_variable(line: &str) -> Option<String> {
    let mut quote = None;
    for (start, c) in line.char_indices() {
        match (quote, c) {
            (Some(end), _) if end == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if line[..start].ends_with([' ', '\t']) => return None,
            (None, '$') => {
                let Some(inner) = line[start..].strip_prefix("${") else { continue };
                let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
                let (name, rest) = inner.split_at(end);
                return Some(format!("${{{name}{}}}", if rest.starts_with(":-") { ":-…" } else { "" }));
            }
            _ => {}
        }
    }
    None
}

pub(super) fn tag_problem(at: At) -> Problem {
    Problem::new(at, "YAML tags are not understood").help("leave the `!…` out; quotes make a text of a number")
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn a_syntax_error_has_its_place_and_a_suggestion() {
        check("a:\t1\n\tb: 2", "1:4+1 not valid YAML: while scanning a plain scalar, found a tab = indent with spaces");
        check("a: [1, 2", "1:4+1 not valid YAML: unclosed bracket '['");
        check("a: \"x", "1:4+1 not valid YAML: unclosed quote");
        check("a: @x", "1:4+1 not valid YAML: unexpected character: `@' = a text that begins so needs quotes");
        check("a: *x", "1:4+1 an alias (`*name`) without an anchor = a text that begins with `*` needs quotes");
        check("? [a]\n: b", "1:3+1 a key must be a text or a number");
        check("~: b", "1:1+1 a key is empty");
        check("a: &a [*a]", "1:8+1 an alias names the value it stands in");
        check(
            "a: b: c",
            "1:5+1 not valid YAML: mapping values are not allowed in this context = a text that holds `: ` needs \
             quotes; keys of one map begin in one column",
        );
    }

    #[test]
    fn an_unquoted_variable_is_told_to_be_quoted() {
        let comma = "not valid YAML: while parsing a map, did not find expected ',' or '}'";
        check("a: { b: '${Q}', c: ${X} }", &format!("1:21+1 {comma} = write \"${{X}}\" with quotes"));
        check("a: {\n  b: ${X:-${Y:-z}}\n}", &format!("2:7+1 {comma} = write \"${{X:-…}}\" with quotes"));
        check(
            "a: [${X}, b]",
            "1:6+1 not valid YAML: while parsing a list, expected ',' or ']' = write \"${X}\" with quotes",
        );
        check("a: ${X}", "= {} @1:1+1\n/a@1:1+1 = ${X} @1:4+4");
    }
}
