//! A settings file as a tree in which every value knows its place.
//!
//! The engine turns its file into this tree, expands `${VAR}` in it and merges inherited keys; after that every
//! settings struct, a filter's options included, is read from a [`Node`]. So an error deep in a filter's options still
//! says the line and column of the file. The contract names no YAML crate.

use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::read;

/// Where something stands in a file: 1-based line and column (in characters), and how wide it is. Line 0: nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// The line, from 1; 0 for a value that stands in no file.
    pub line: u32,
    /// The column of its first character, from 1.
    pub col: u32,
    /// How many characters it is wide.
    pub width: u32,
}

/// A value of the file, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it stands.
    pub at: At,
    /// What it is.
    pub kind: Kind,
    /// The source text, when `${VAR}` was expanded in it: shown instead of the value.
    pub written: Option<Box<str>>,
}

/// What a value is, before anybody decided what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, `null` or `~`.
    Null,
    /// `plain`: unquoted, so it may be read as a number or boolean. `text` is the source text: `1.10` stays `1.10`.
    Scalar { text: String, plain: bool },
    /// Values in order.
    List(Vec<Node>),
    /// Keys with values, in order.
    Map(Vec<Entry>),
}

/// A key with its value, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key stands.
    pub at: At,
    /// The value under the key.
    pub value: Node,
}

/// An expanded value shorter than this is no secret, and is taken out of a message only where it must be what is meant:
/// in quotes, or as a number of its own. The value `a` must not eat the articles.
const SHORT: usize = 4;

impl Node {
    /// Reads a value strictly: every unknown key and every failure inside a [`Try`](super::placed::Try) is recorded,
    /// each with its place. `None` when no value could be made. `Some` may come with new problems (an unknown key
    /// does not stop the reading), so the caller asks `problems` whether the file is good.
    pub fn read<T: DeserializeOwned>(&self, problems: &mut Vec<Problem>) -> Option<T> {
        read::read(self, problems)
    }

    /// The value of a key, when this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Replaces every expanded value of this subtree by its source text, so that no message shows a secret. A value is
    /// known by its whole text (or an item of its comma list): whoever writes an error quotes all of it, or nothing.
    pub fn redact(&self, message: String) -> String {
        let mut values = Vec::new();
        self.expanded(&mut values);
        // The longest first: a value may be a piece of another one.
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        values.into_iter().fold(message, |message, (value, written)| {
            // Texts are often quoted with `{:?}`, which escapes some characters.
            let quoted = format!("{value:?}");
            let escaped = &quoted[1..quoted.len() - 1];
            let message = replace(&message, value, written);
            if escaped == value { message } else { replace(&message, escaped, written) }
        })
    }

    /// Every expanded value below this node, and the items of the comma lists that a value may be.
    fn expanded<'n>(&'n self, values: &mut Vec<(&'n str, &'n str)>) {
        match (&self.kind, &self.written) {
            (Kind::Scalar { text, .. }, Some(written)) => {
                values.push((text, written));
                if text.contains(',') {
                    values.extend(comma_items(text).map(|item| (item, &**written)));
                }
            }
            (Kind::List(items), _) => items.iter().for_each(|item| item.expanded(values)),
            (Kind::Map(entries), _) => entries.iter().for_each(|entry| entry.value.expanded(values)),
            (Kind::Null | Kind::Scalar { .. }, _) => {}
        }
    }
}

/// The items of a comma list as a variable holds it: trimmed, empty ones left out (`"a, b,"` is a and b).
pub(super) fn comma_items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn replace(message: &str, value: &str, written: &str) -> String {
    // A source text may hold the value itself, as `${A:-x}` does: what was replaced is not searched again.
    let mut out = String::with_capacity(message.len());
    let mut from = 0;
    for (start, found) in message.match_indices(value).filter(|(_, found)| !found.is_empty()) {
        let end = start + found.len();
        if value.len() >= SHORT || stands_alone(&message[..start], found, &message[end..]) {
            out.push_str(&message[from..start]);
            out.push_str(written);
            from = end;
        }
    }
    out.push_str(&message[from..]);
    out
}

fn stands_alone(before: &str, value: &str, after: &str) -> bool {
    const QUOTES: [char; 3] = ['`', '"', '\''];
    let quoted = before.ends_with(QUOTES) && after.starts_with(QUOTES);
    let number = value.bytes().all(|b| b.is_ascii_digit());
    quoted || number && !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(text: &str, written: Option<&str>) -> Node {
        let kind = Kind::Scalar { text: text.to_owned(), plain: true };
        Node { at: At::default(), kind, written: written.map(Into::into) }
    }

    fn map(entries: &[(&str, Node)]) -> Node {
        let entry =
            |(key, value): &(&str, Node)| Entry { key: (*key).to_owned(), at: At::default(), value: value.clone() };
        Node { at: At::default(), kind: Kind::Map(entries.iter().map(entry).collect()), written: None }
    }

    #[test]
    fn a_key_is_found_in_a_map_only() {
        let node = map(&[("a", scalar("1", None))]);
        assert_eq!(node.get("a"), Some(&scalar("1", None)));
        assert_eq!(node.get("b"), None);
        assert_eq!(scalar("a", None).get("a"), None);
    }

    #[test]
    fn a_message_shows_the_source_text_of_an_expanded_value() {
        let check = |value: &str, message: &str, expected: &str| {
            let node = map(&[("x", map(&[("y", scalar(value, Some("${V}")))])), ("plain", scalar("open", None))]);
            assert_eq!(node.redact(message.to_owned()), expected, "value {value:?}");
        };
        check("s3cret", "bad `s3cret`, open", "bad `${V}`, open");
        for value in ["se\"cret\n", "it's \"secret\""] {
            check(value, &format!("bad {value:?}"), r#"bad "${V}""#);
        }
        check("first, second", "no host `second`", "no host `${V}`");
        check("1", "expected 1, got 100 at 1", "expected ${V}, got 100 at ${V}");
        check("a", "expected a number, got `a`", "expected a number, got `${V}`");
        check("", "nothing to hide", "nothing to hide");
    }

    #[test]
    fn a_longer_value_is_hidden_before_a_piece_of_it() {
        let node = map(&[("a", scalar("secret", Some("${A}"))), ("b", scalar("secret-key", Some("${B}")))]);
        assert_eq!(node.redact("secret-key secret".to_owned()), "${B} ${A}");
    }
}
