//! The second walk over a parsed file: gives every value its place and its source text, and refuses what the parser
//! lets pass.

use super::{Raw, refusal::tag_problem};
use hilum_filters::api::{At, Entry, Kind, Node, Problem};
use serde_saphyr::{Location, Spanned};
use std::collections::HashMap;

/// Wider than any terminal line that shows it; it also bounds the search for a closing bracket.
const WIDEST: usize = 200;

/// The tree of a document, and all duplicate keys, merge keys and tags in it.
pub(super) fn walk(raw: Spanned<Raw>, text: &str, problems: &mut Vec<Problem>) -> Node {
    Walk { text, problems }.node(raw)
}

struct Walk<'t, 'p> {
    text: &'t str,
    problems: &'p mut Vec<Problem>,
}

impl<'t> Walk<'t, '_> {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        // For an alias this is the place of the anchored value: there stands the text that a problem is about.
        let place = raw.defined;
        let source = self.source(place);
        let mut at = at(place, source);
        self.refuse_tag(place, at);
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Value => {
                if source.starts_with(['"', '\'']) && self.problems.last().is_none_or(|last| last.at != at) {
                    self.problems.push(tag_problem(at)); // `!!int "7"`, with the tag in a line of its own.
                }
                Kind::Scalar { text: source.trim_end().to_owned(), plain: true }
            }
            Raw::Text(text) => {
                // A text that reads as a number would have been given as one, had it been written plainly: it stands
                // in a block (`|`), whose place begins at the content.
                let plain = !source.starts_with(['"', '\'']) && text.parse::<f64>().is_err() && !is_word(&text);
                Kind::Scalar { text, plain }
            }
            Raw::List(items) => {
                at.width = self.bracket_width(place).unwrap_or(1);
                Kind::List(items.into_iter().map(|item| self.node(item)).collect())
            }
            Raw::Map(entries) => {
                let entries = self.entries(entries);
                let first = entries.first().map_or(1, |entry| entry.at.width);
                at.width = self.bracket_width(place).unwrap_or(first);
                Kind::Map(entries)
            }
        };
        Node { at, kind, written: None }
    }

    fn entries(&mut self, raw: Vec<(Spanned<String>, Spanned<Raw>)>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
        let mut lines = HashMap::new();
        for (key, value) in raw {
            let place = key.defined;
            let source = self.source(place);
            let at = at(place, source);
            self.refuse_tag(place, at);
            let key = key.value;
            if source == "<<" {
                let help = "write the keys out, or put them into a group: its routes inherit them";
                self.problems.push(Problem::new(at, "merge keys (`<<`) are not understood").help(help));
            }
            // Most maps are small: comparing is cheaper than hashing, and than the memory for it.
            let first = if entries.len() < 16 {
                entries.iter().find(|entry| entry.key == key).map(|entry| entry.at.line)
            } else {
                if lines.is_empty() {
                    lines.extend(entries.iter().map(|entry| (entry.key.clone(), entry.at.line)));
                }
                lines.insert(key.clone(), at.line)
            };
            if let Some(line) = first {
                let message = format!("the key `{key}` stands twice in one map");
                self.problems.push(Problem::new(at, message).help(format!("the first is in line {line}")));
            }
            let value = self.node(value);
            entries.push(Entry { key, at, value });
        }
        entries
    }

    /// Core tags such as `!!str` are known to the parser, but a value that changes its meaning by a tag is a trap.
    fn refuse_tag(&mut self, place: Location, at: At) {
        const BLANK: [char; 2] = [' ', '\t'];
        let mut before = self.text.get(..offset(place)).unwrap_or_default();
        // Properties stand before the node with blanks between them: `!!str &name value`. Between two nodes of one
        // line there is always an indicator, so the end of a node is never taken for one.
        while before.ends_with(BLANK) {
            before = before.trim_end_matches(BLANK);
            let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
            let ends_a_node = word.ends_with([',', ':', '[', '{']);
            if word.starts_with('!') && !ends_a_node {
                return self.problems.push(tag_problem(at));
            }
            if !word.starts_with('&') || ends_a_node {
                return;
            }
            before = &before[..before.len() - word.len()];
        }
    }

    fn source(&self, place: Location) -> &'t str {
        let length = place.span().byte_len().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let start = offset(place);
        self.text.get(start..start.saturating_add(length)).unwrap_or_default()
    }

    /// How wide `{…}` or `[…]` is in the line where it begins; nothing for a map or list in block style.
    fn bracket_width(&self, place: Location) -> Option<u32> {
        let rest = self.text.get(offset(place)..).filter(|rest| rest.starts_with(['{', '[']))?;
        let (mut open, mut quote, mut visible) = (0_u32, None, 0);
        for (index, c) in rest.chars().take(WIDEST).take_while(|c| !matches!(c, '\n' | '\r')).enumerate() {
            match (quote, c) {
                (Some(end), _) if end == c => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, '{' | '[') => open += 1,
                (None, '}' | ']') => open -= 1,
                _ => {}
            }
            if !c.is_whitespace() {
                visible = index + 1;
            }
            if open == 0 {
                break;
            }
        }
        Some(number(visible))
    }
}

/// `true` and the like, as YAML 1.2 and the parser know them.
fn is_word(text: &str) -> bool {
    matches!(text, "" | "~") || ["true", "false", "null"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn offset(place: Location) -> usize {
    place.span().byte_offset().and_then(|offset| usize::try_from(offset).ok()).unwrap_or(usize::MAX)
}

fn number(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or(u32::MAX)
}

/// `source` is what stands there: the mark is as wide as its first line.
pub(super) fn at(place: Location, source: &str) -> At {
    let first = source.lines().next().unwrap_or_default();
    At { line: number(place.line()), col: number(place.column()), width: number(first.chars().count()).max(1) }
}
