//! The sources as text, told apart into code and what is none: comments, texts in quotes, and tests.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One file of Rust.
pub(super) struct Source {
    /// From the root of the repository, with slashes.
    pub(super) path: String,
    /// The code with comments and quoted texts blanked out, line by line where it was.
    pub(super) code: String,
    /// The same without what only tests are compiled from.
    pub(super) shipped: String,
    pub(super) lines: usize,
}

impl Source {
    fn new(path: String, text: &str) -> Self {
        let code = blank(text);
        let shipped = if is_test(&path) { String::new() } else { without_tests(&code) };
        Source { path, code, shipped, lines: text.lines().count() }
    }

    /// What only tests are compiled from.
    pub(super) fn tests(&self) -> String {
        let differing = self.code.lines().zip(self.shipped.lines().chain(std::iter::repeat("")));
        differing.fold(String::new(), |mut tests, (code, shipped)| {
            let _ = writeln!(tests, "{}", if code == shipped { "" } else { code });
            tests
        })
    }
}

/// Every `.rs` file below these folders of the repository.
pub(super) fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        let before = found.len();
        walk(&root().join(folder), &mut |path| {
            if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                found.push(Source::new(relative(path), &text));
            }
        });
        assert!(found.len() > before, "{folder}: no sources");
    }
    found
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("it is below the root").to_string_lossy().replace('\\', "/")
}

/// Calls `each` with every file below `folder`, in a fixed order; what is hidden or built is passed over.
pub(super) fn walk(folder: &Path, each: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match path.is_dir() {
            _ if name.starts_with('.') || name == "target" => {}
            true => walk(&path, each),
            false => each(&path),
        }
    }
}

fn is_test(path: &str) -> bool {
    ["/tests/", "/testkit/"].iter().any(|folder| path.contains(folder))
        || path.starts_with("tests/")
        || ["/tests.rs", "/testkit.rs"].iter().any(|file| path.ends_with(file))
}

/// Blanks comments and the insides of quoted texts and characters; line breaks stay, so that lines keep their numbers.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => line_end(&chars, at),
            ('/', Some('*')) => comment_end(&chars, at),
            ('r', Some('"' | '#')) if !is_word(&chars, at) => raw_end(&chars, at).unwrap_or(at + 1),
            ('"', _) => quote_end(&chars, at, '"'),
            ('\'', Some('\\')) => quote_end(&chars, at, '\''),
            ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
            _ => at + 1,
        };
        match end == at + 1 {
            true => out.push(chars[at]),
            false => out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' })),
        }
        at = end;
    }
    out
}

/// Whether the letter at `at` goes on with a word, so that it can't begin a raw text. `br` begins one.
fn is_word(chars: &[char], at: usize) -> bool {
    let in_word = |back: usize| at.checked_sub(back).is_some_and(|i| chars[i].is_alphanumeric() || chars[i] == '_');
    let is_bytes = at.checked_sub(1).is_some_and(|i| chars[i] == 'b') && !in_word(2);
    in_word(1) && !is_bytes
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |len| at + len)
}

fn comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut here) = (0, at);
    while here < chars.len() {
        match (chars[here], chars.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            break;
        }
    }
    here
}

fn quote_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut here = at + 1;
    while here < chars.len() && chars[here] != quote {
        here += if chars[here] == '\\' { 2 } else { 1 };
    }
    (here + 1).min(chars.len())
}

/// The end of `r"…"` or `r#"…"#`; `None` when it is no raw text, such as `r#type`.
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |here: &usize| {
        chars[*here] == '"' && chars[here + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    Some((open + 1..chars.len()).find(closes).map_or(chars.len(), |end| end + 1 + hashes))
}

/// Blanks each item under `#[cfg(test)]`. Braces can be counted, since none is left in a text.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut left = code.to_owned();
    while let Some(start) = left.find(MARK) {
        let item = start + MARK.len();
        let body = left[item..].find(['{', ';']).map_or(left.len(), |len| item + len);
        let end = match left[body..].starts_with('{') {
            true => block_end(&left, body),
            false => (body + 1).min(left.len()),
        };
        let blanked: String = left[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        left.replace_range(start..end, &blanked);
    }
    left
}

fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at + 1;
        }
    }
    code.len()
}

#[test]
fn comments_quotes_and_tests_are_no_shipped_code() {
    let text = "a; // b\nc(\"d\\\" e\", 'f', '\\'', br#\"g \" h\"#, \"\"); /* i /* j */ k */ l::<'m>();\n#[cfg(test)]\nmod n;\n#[cfg(test)]\nmod o {\n fn p() {}\n}\nq\n";
    let source = Source::new("src/x.rs".to_owned(), text);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<String>();
    assert_eq!(words(&source.shipped), "a;c(,,,b,);l::<'m>();q");
    assert_eq!(words(&source.tests()), "#[cfg(test)]modn;#[cfg(test)]modo{fnp(){}}");
    assert_eq!(source.shipped.lines().position(|line| line == "q"), Some(8), "lines keep their numbers");
    assert!(Source::new("src/x/tests/y.rs".to_owned(), text).shipped.is_empty());
}
