//! Where the value of a secret key ends. The file may be wrong, and then nobody knows what belongs to the secret: what
//! does not clearly follow it is taken as a part of it.

use super::hide::Key;
use std::ops::Range;

/// The value of a secret key, as far as it stands in this line.
pub(super) struct Value {
    pub(super) hidden: Option<Range<usize>>,
    pub(super) end: usize,
    /// The lines below it that are indented deeper may belong to it.
    pub(super) goes_on: bool,
    /// The quote that this line does not close.
    pub(super) quote: Option<char>,
}

impl Value {
    pub(super) fn at(line: &str, start: usize, in_brackets: bool) -> Self {
        let rest = &line[start..];
        // Nothing, or the head of a block (`|-`). A comment in this place may be a value that lacks its quotes.
        if rest.starts_with(['#', '|', '>']) || rest.is_empty() {
            let head = rest.trim_start_matches(['|', '>', '+', '-']).trim_start_matches(|c: char| c.is_ascii_digit());
            let hidden = (!head.trim().is_empty()).then_some(start..line.len());
            return Self { hidden, end: line.len(), goes_on: true, quote: None };
        }
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let first = match quote {
            Some(quote) => match end_of_quote(&rest[1..], quote) {
                Some(end) => 1 + end,
                None => {
                    return Self {
                        hidden: Some(start..line.len()),
                        end: line.len(),
                        goes_on: true,
                        quote: Some(quote),
                    };
                }
            },
            None => end_of_brackets(rest),
        };
        let mut ends = rest[first..].char_indices().map(|(index, _)| first + index);
        let end = ends.find(|end| ends_here(&rest[*end..], in_brackets)).unwrap_or(rest.len());
        let text = rest[..end].trim_matches(['"', '\'', ' ', '\t']);
        let harmless = is_variable(text) || quote.is_none() && matches!(text, "true" | "false" | "null" | "~" | "");
        // Outside of brackets a plain text may go on in deeper lines; inside, only one that no comma or bracket ended.
        let goes_on = if in_brackets { end == rest.len() } else { quote.is_none() };
        Self { hidden: (!harmless).then_some(start..start + end), end: start + end, goes_on, quote: None }
    }
}

/// Whether a value may end before `rest`. Inside brackets a comma ends it only when a key or another bracket follows,
/// because the file may be wrong, and what stands behind the comma a piece of the secret.
fn ends_here(rest: &str, in_brackets: bool) -> bool {
    let text = rest.trim_start();
    if text.is_empty() || text.starts_with('#') && text.len() < rest.len() {
        return true;
    }
    if !in_brackets || !text.starts_with([',', '}', ']']) {
        return false;
    }
    let text = text.trim_start_matches(['}', ']', ' ', '\t']);
    let Some(next) = text.strip_prefix(',').map(str::trim_start) else {
        return text.is_empty() || text.starts_with('#');
    };
    let key = next.trim_start_matches(['"', '\'']);
    next.is_empty() || next.starts_with(['{', '[']) || Key::at(key, 0).is_some()
}

/// Where a list or map that begins the text is closed: before that nothing ends it. 0 for anything else.
fn end_of_brackets(text: &str) -> usize {
    if !text.starts_with(['{', '[']) {
        return 0;
    }
    let mut open = 0_usize;
    let closed = text.char_indices().find(|(_, c)| {
        open += usize::from(matches!(c, '{' | '['));
        open -= usize::from(matches!(c, '}' | ']'));
        open == 0
    });
    closed.map_or(text.len(), |(index, _)| index + 1)
}

/// The end of a quoted text, behind its closing quote. `''` and `\"` stand for the quote itself (YAML 1.2, 7.3).
pub(super) fn end_of_quote(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        let doubled = quote == '\'' && c == quote && chars.peek().is_some_and(|next| next.1 == quote);
        if doubled || quote == '"' && c == '\\' {
            chars.next();
        } else if c == quote {
            return Some(index + 1);
        }
    }
    None
}

/// Exactly one `${NAME}`.
pub(super) fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}
