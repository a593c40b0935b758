//! A problem shows what stands in the file, never what a variable held. The reader of values sees to it for what can't be read; this
//! is for every later rule, which knows a value and its place and no longer where it came from.

use std::collections::HashMap;

use hilum_filters::api::{At, Kind, Node, Problem};

/// Puts the source text into problems that quote an expanded value, or a piece of it, at the value's own place.
pub fn as_written(root: &Node, problems: &mut [Problem]) {
    let mut by_place: HashMap<At, Vec<&mut Problem>> = HashMap::new();
    problems.iter_mut().for_each(|problem| by_place.entry(problem.at).or_default().push(problem));
    if by_place.is_empty() {
        return;
    }
    expanded(root, &mut |node, value, written| {
        for problem in by_place.get_mut(&node.at).into_iter().flatten() {
            for text in std::iter::once(&mut problem.message).chain(&mut problem.help) {
                *text = unquote(&node.redact(std::mem::take(text)), value, written);
            }
        }
    });
}

/// Calls `each` with every expanded value. An alias is at the same place as what it stands for.
fn expanded(node: &Node, each: &mut dyn FnMut(&Node, &str, &str)) {
    match (&node.kind, &node.written) {
        (Kind::Scalar { text, .. }, Some(written)) => each(node, text, written),
        (Kind::List(items), _) => items.iter().for_each(|item| expanded(item, each)),
        (Kind::Map(entries), _) => entries.iter().for_each(|entry| expanded(&entry.value, each)),
        (Kind::Null | Kind::Scalar { .. }, _) => {}
    }
}

/// What stands between two `` ` `` and is a piece of the value, but not of the source text, is the source text instead.
fn unquote(message: &str, value: &str, written: &str) -> String {
    let pieces = message.split('`').enumerate().map(|(number, piece)| {
        let is_quoted = number % 2 == 1;
        let is_of_value = !piece.is_empty() && value.contains(piece) && !written.contains(piece);
        if is_quoted && is_of_value { written } else { piece }
    });
    pieces.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, env, yaml};

    fn check(message: &str, expected: &str) {
        let mut root = yaml::parse("a: plain\nlist: [x, \"${V:-default}\"]\n").expect("YAML");
        env::expand(&mut root, &Environment::of(&[("V", "GIT,PIT /secret")]), &mut Vec::new());
        let Some(Kind::List(items)) = root.get("list").map(|list| &list.kind) else { panic!("a list") };
        let (here, there) = (items[1].at, root.get("a").expect("a key").at);
        let mut problems = [Problem::new(here, message).help(message), Problem::new(there, message)];
        as_written(&root, &mut problems);
        assert_eq!(problems[0].message, expected, "{message}");
        assert_eq!(problems[0].help.as_deref(), Some(expected), "{message}");
        assert_eq!(problems[1].message, message, "at another place nothing is changed");
    }

    #[test]
    fn what_a_variable_held_is_not_told_at_its_place() {
        check("no method `GIT,PIT /secret`", "no method `${V:-default}`");
        check("no method GIT,PIT /secret", "no method ${V:-default}");
        check("no method `PIT` in it, but `GET`", "no method `${V:-default}` in it, but `GET`");
        check("no `default` and no ``", "no `default` and no ``");
        check("nothing quoted of GIT", "nothing quoted of GIT");
    }
}
