//! Which parts of a file are secrets. It works on lines, not on the tree, because a file that is not even YAML is
//! shown too. So it guesses, and where it can't tell it hides too much rather than too little.
//!
//! Hidden are the values of keys that sound secret (`secret`, `password`, `api_key`, `Authorization`, …), `token` of
//! `admin`, `key` of `audit`, and user and password in a URL. A value that is exactly `"${NAME}"` tells nothing and
//! is shown; a default (`"${NAME:-x}"`) is not.

use super::value::{Value, end_of_quote, is_variable};
use std::collections::HashMap;
use std::ops::Range;

const SECRET: &[&str] = &[
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "authorization",
    "private_key",
    "key_text",
    "api_key",
    "api-key",
    "apikey",
];
/// Keys that are secret only inside another one; elsewhere they are names that a problem must show.
const SECRET_IN: &[(&str, &str)] = &[("admin", "token"), ("audit", "key")];

/// The hidden byte ranges by line (from 0), sorted and without overlap.
pub(super) fn secrets(lines: &[&str]) -> HashMap<usize, Vec<Range<usize>>> {
    let mut scan = Scan::default();
    let mut hidden = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        let mut ranges = scan.line(line);
        ranges.extend(logins(line));
        ranges.retain(|range| !range.is_empty());
        if !ranges.is_empty() {
            hidden.insert(index, merged(ranges));
        }
    }
    hidden
}

/// What the lines above have to say about a line.
#[derive(Default)]
struct Scan<'t> {
    /// The keys that the line may be inside of, with their columns.
    parents: Vec<(usize, &'t str)>,
    /// A secret goes on in lines that are indented deeper than this.
    below: Option<usize>,
    /// A secret goes on until this quote.
    quote: Option<char>,
}

impl<'t> Scan<'t> {
    fn line(&mut self, line: &'t str) -> Vec<Range<usize>> {
        let indent = line.len() - line.trim_start().len();
        if indent == line.len() {
            return Vec::new();
        }
        let mut ranges = Vec::new();
        let mut index = indent;
        if let Some(quote) = self.quote {
            let end = end_of_quote(&line[indent..], quote);
            index = end.map_or(line.len(), |end| indent + end);
            ranges.push(indent..index);
            if end.is_none() {
                return ranges;
            }
            self.quote = None;
        } else if let Some(column) = self.below {
            // A list may stand in the column of its key, and so does the value of a `? key`.
            let same = line[indent..].starts_with("- ") || line[indent..].starts_with(':');
            if indent > column || indent == column && same {
                ranges.push(indent..line.len());
                return ranges;
            }
            self.below = None;
        }

        let mut last = self.parents.iter().rfind(|parent| parent.0 < indent).map_or("", |parent| parent.1);
        if let Some(key) = line[indent..].strip_prefix("? ") {
            self.below = sounds_secret(key, last).then_some(indent);
        }
        let mut open: Vec<&str> = Vec::new();
        let mut keys = 0;
        while let Some(c) = line[index..].chars().next() {
            let Some(key) = Key::at(line, index) else {
                match c {
                    '{' | '[' => open.push(last),
                    '}' | ']' => drop(open.pop()),
                    _ => {}
                }
                index += if is_name(c) { name_length(&line[index..]) } else { c.len_utf8() };
                continue;
            };
            let inside = match open.last() {
                Some(holder) => holder,
                None if keys == 0 => self.enter(index, key.name),
                None => last,
            };
            keys += 1;
            last = key.name;
            index = key.value;
            if sounds_secret(key.name, inside) {
                let value = Value::at(line, index, !open.is_empty());
                self.quote = value.quote;
                let column =
                    if open.is_empty() { self.parents.last().map_or(indent, |parent| parent.0) } else { indent };
                self.below = (value.goes_on && value.quote.is_none()).then_some(column);
                index = value.end;
                ranges.extend(value.hidden);
            }
        }
        ranges
    }

    /// Notes the first key of a line, and answers which key it is in.
    fn enter(&mut self, column: usize, name: &'t str) -> &'t str {
        while self.parents.last().is_some_and(|parent| parent.0 >= column) {
            self.parents.pop();
        }
        let inside = self.parents.last().map_or("", |parent| parent.1);
        self.parents.push((column, name));
        inside
    }
}

/// A key of a map, wherever in a line it stands.
pub(super) struct Key<'t> {
    name: &'t str,
    /// Where its value begins.
    value: usize,
}

impl<'t> Key<'t> {
    /// The key that begins at this place: `name:`, `"name":`, `name :`.
    pub(super) fn at(line: &'t str, start: usize) -> Option<Self> {
        let length = name_length(&line[start..]);
        let name = &line[start..start + length];
        let after = &line[start + length..];
        let unquoted = after.trim_start_matches(['"', '\'']);
        let value = unquoted.trim_start().strip_prefix(':').filter(|_| length > 0)?;
        // `http://host` and `10:30` are no keys, but `secret:x`, which is not YAML either, was meant as one.
        let apart = value.is_empty() || value.starts_with([' ', '\t', '"', '\'', '{', '[']);
        if !apart && unquoted.len() == after.len() && !sounds_secret(name, "") {
            return None;
        }
        Some(Self { name, value: line.len() - value.trim_start().len() })
    }
}

fn sounds_secret(name: &str, inside: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let path = name.ends_with("_file") || name.ends_with("_path");
    SECRET_IN.contains(&(inside, &name)) || !path && SECRET.iter().any(|word| name.contains(word))
}

/// User and password of every URL in the line (RFC 3986, 3.2.1).
fn logins(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices("://").filter_map(|(index, found)| {
        let start = index + found.len();
        let authority = line[start..].split(['/', '?', '#', '"', '\'', ' ', '\t']).next()?;
        let end = authority.rfind('@')?;
        let harmless = authority[..end].split(':').all(|part| part.is_empty() || is_variable(part));
        (!harmless).then_some(start..start + end)
    })
}

fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(before) if range.start <= before.end => before.end = before.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn name_length(text: &str) -> usize {
    text.find(|c| !is_name(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` with every hidden range as `***` must be `expect`.
    #[track_caller]
    fn check(text: &str, expect: &str) {
        let lines: Vec<_> = text.split('\n').collect();
        let secrets = secrets(&lines);
        let shown = lines.iter().enumerate().map(|(index, line)| {
            let ranges = secrets.get(&index).cloned().unwrap_or_default();
            ranges.iter().rev().fold((*line).to_owned(), |mut line, range| {
                line.replace_range(range.clone(), "***");
                line
            })
        });
        assert_eq!(shown.collect::<Vec<_>>().join("\n"), expect);
    }

    #[test]
    fn values_of_keys_that_sound_secret_are_hidden() {
        check("secret: abc", "secret: ***");
        check("  - client_secret: \"a, b\" # why", "  - client_secret: *** # why");
        check("Password: 'it''s' ", "Password: *** ");
        check("password: a, b: c # d", "password: *** # d");
        check("{\"secret\":\"abc\",\"x\":1}", "{\"secret\":***,\"x\":1}");
        check("v: { a: [x], secret: \"a\\\"}b\", leeway: 0s }", "v: { a: [x], secret: ***, leeway: 0s }");
        check("v: { secret: abc }", "v: { secret: *** }");
        check("set: { Authorization: Basic YTpi, X-A: b }", "set: { Authorization: ***, X-A: b }");
        check("secrets: [a, b]", "secrets: ***");
        check("v: { secret: { text: a }, b: c }", "v: { secret: ***, b: c }");
        check("# secret: abc", "# secret: ***");
    }

    #[test]
    fn a_token_or_key_is_secret_only_where_it_is_one() {
        check(
            "admin: { address: \"127.0.0.1:9901\", token: abc }",
            "admin: { address: \"127.0.0.1:9901\", token: *** }",
        );
        check(
            "admin:\n  address: x\n  token: abc\nauth: { token: web }",
            "admin:\n  address: x\n  token: ***\nauth: { token: web }",
        );
        check("admin: { address: x,\n  token: \"abc\" }", "admin: { address: x,\n  token: ***");
        check("admin:\n  { token: abc }", "admin:\n  { token: *** }");
        check(
            "audit: { file: x, key: abc }\nrate: [{ key: client }]",
            "audit: { file: x, key: *** }\nrate: [{ key: client }]",
        );
    }

    #[test]
    fn a_variable_is_shown_but_not_its_default() {
        check("secret: \"${JWT_SECRET_KEY}\"", "secret: \"${JWT_SECRET_KEY}\"");
        check("v: { secret: \"${A}\", b: c }", "v: { secret: \"${A}\", b: c }");
        check("secret: \"${A:-abc}\"", "secret: ***");
        check("secret: \"${A}bc\"", "secret: ***");
        check("credentials: true\nallow_weak_secret: true", "credentials: true\nallow_weak_secret: true");
        check("secret_file: /run/x\nidentity: [secret]", "secret_file: /run/x\nidentity: [secret]");
    }

    #[test]
    fn a_secret_of_several_lines_is_hidden_whole() {
        check("a:\n  key_text: |\n    abc\n\n      def\n  b: c", "a:\n  key_text: |\n    ***\n\n      ***\n  b: c");
        check("secret:\n  \"abc\"\nb: c", "secret:\n  ***\nb: c");
        check("secret: abc\n  def\nb: c", "secret: ***\n  ***\nb: c");
        check("secrets:\n- abc\n- def\nb: c", "secrets:\n***\n***\nb: c");
        check("v: { secret: \"abc\ndef\", b: c }\nd: e", "v: { secret: ***\n***, b: c }\nd: e");
        check("v: { secret: [abc,\n  def], b: c }\nd: e", "v: { secret: ***\n  ***\nd: e");
        check("- secret: abc\n- b: c", "- secret: ***\n- b: c");
        check("? secret\n: abc\nb: c", "? secret\n***\nb: c");
        check("- secret: abc\n  b: c", "- secret: ***\n  b: c");
    }

    #[test]
    fn what_is_not_yaml_is_hidden_too() {
        check("secret:abc", "secret:***");
        check("secret: #abc\npassword: |abc\nx: y", "secret: ***\npassword: ***\nx: y");
        check("secret: \"abc", "secret: ***");
        check("v: { secret: abc, def }", "v: { secret: *** }");
        check("v: { secret: \"abc\"def, b: c", "v: { secret: ***, b: c");
        check("v: { secret: abc", "v: { secret: ***");
    }

    #[test]
    fn a_url_shows_no_login() {
        check("sessions: redis://:abc@host:6379/0", "sessions: redis://***@host:6379/0");
        check("a: \"${R:-redis://u:p@host}\" # http://b/c@d", "a: \"${R:-redis://***@host}\" # http://b/c@d");
        check("a: \"http://${U}:${P}@host\"", "a: \"http://${U}:${P}@host\"");
    }

    #[test]
    fn no_piece_of_a_text_makes_it_panic() {
        let text =
            "é: { secret: \"ü\\\" x', [{]}, 'admin' : { token: 'ß''', key_text: |\n  ö\n http://ä:b@c \"secret\n";
        for (start, _) in text.char_indices() {
            for (end, _) in text[start..].char_indices() {
                let lines: Vec<_> = text[start..start + end].split('\n').collect();
                secrets(&lines);
            }
        }
    }
}
