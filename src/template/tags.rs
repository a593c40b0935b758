//! What a template says in its tags, as far as it can be known before it runs: which others it needs, which links it writes,
//! which names it gives and which it asks for first.

use super::expression::{is_name, is_quoted, unquoted, words};
use super::json::end_of;

/// One `{{ … }}` or `{% … %}`.
pub(super) struct Tag<'t> {
    pub(super) line: usize,
    pub(super) words: Vec<&'t str>,
}

/// The `url_for` of a fixed endpoint.
pub(super) struct Link<'t> {
    pub(super) endpoint: &'t str,
    pub(super) given: Vec<&'t str>,
    /// `**values` gives others besides.
    pub(super) spread: bool,
}

/// All tags of a template that parses, comments and raw parts left out.
pub(super) fn tags(text: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|open| at + open) {
        let inside = &text[(open + 2).min(text.len())..];
        let end = match text.as_bytes().get(open + 1) {
            Some(b'#') => inside.find("#}"),
            Some(b'{') => end_of(inside, "}}"),
            Some(b'%') => end_of(inside, "%}"),
            _ => {
                at = open + 1;
                continue;
            }
        };
        let Some(end) = end else { return tags };
        at = open + 2 + end + 2;
        if inside.starts_with(|_| text.as_bytes()[open + 1] == b'#') {
            continue;
        }
        let line = text[..open].matches('\n').count() + 1;
        // `{%-` and `-%}` are about the space around.
        let words = words(inside[..end].trim_start_matches(['-', '+']).trim_end_matches(['-', '+']));
        if words == ["raw"] {
            at += text[at..].find("endraw").unwrap_or(0);
        } else {
            tags.push(Tag { line, words });
        }
    }
    tags
}

impl<'t> Tag<'t> {
    /// Whether the word there is what something has, as `b` in `a.b`, and not a name of its own.
    pub(super) fn is_attribute(&self, at: usize) -> bool {
        at > 0 && self.words[at - 1] == "."
    }

    /// The template that it needs, if its name is fixed; one that may be missing is not needed.
    pub(super) fn needs(&self) -> Option<&'t str> {
        match self.words[..] {
            ["extends" | "include" | "import" | "from", name, ..] if is_quoted(name) => {
                let may_miss = self.words.ends_with(&["ignore", "missing"])
                    || self.words.windows(2).any(|two| two == ["ignore", "missing"]);
                (!may_miss).then(|| unquoted(name))
            }
            _ => None,
        }
    }

    /// The names that it gives to what comes after it, here or in a template that is included or extended.
    pub(super) fn gives(&self) -> Vec<&'t str> {
        let until = |end: &'static str| self.words[1..].iter().copied().take_while(move |word| *word != end);
        match self.words[..] {
            ["set", ..] => until("=").filter(|word| is_name(word)).collect(),
            ["for", ..] => until("in").filter(|word| is_name(word)).collect(),
            ["macro", name, ..] => vec![name],
            ["import" | "from", ..] => self.words[2..].iter().copied().filter(|word| is_name(word)).collect(),
            ["with", ..] => {
                self.words.windows(2).filter(|two| two[1] == "=" && is_name(two[0])).map(|two| two[0]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The names that it asks for before it uses them, so that they may be missing.
    pub(super) fn asks(&self) -> impl Iterator<Item = &'t str> + '_ {
        let asked = |at: usize| match self.words[at..] {
            [name, "is", "defined" | "undefined", ..]
            | [name, "is", "not", "defined" | "undefined", ..]
            | [name, "|", "default" | "d", ..]
                if !self.is_attribute(at) && is_name(name) =>
            {
                Some(name)
            }
            _ => None,
        };
        (0..self.words.len()).filter_map(asked)
    }

    pub(super) fn links(&self) -> impl Iterator<Item = Link<'t>> + '_ {
        (0..self.words.len()).filter_map(|at| match self.words[at..] {
            ["url_for", "(", endpoint, ref rest @ ..] if is_quoted(endpoint) => Some(link(unquoted(endpoint), rest)),
            _ => None,
        })
    }
}

fn link<'t>(endpoint: &'t str, rest: &[&'t str]) -> Link<'t> {
    let mut link = Link { endpoint, given: Vec::new(), spread: false };
    let mut depth = 1;
    for at in 0..rest.len() {
        match rest[at..] {
            ["(" | "[" | "{", ..] => depth += 1,
            [")" | "]" | "}", ..] => depth -= 1,
            [",", "*", "*", ..] if depth == 1 => link.spread = true,
            [",", name, "=", ..] if depth == 1 => link.given.push(name),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    link
}
