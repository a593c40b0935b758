//! Problems of one file, written for people (place, line, a mark under the value, a suggestion) or as JSON.
//!
//! ```text
//! error: unknown key `remov`
//!   --> routes.yaml:19:36
//!    |
//! 19 |           - headers: { response: { remov: [server] } }
//!    |                                    ^^^^^
//!    = help: did you mean `remove`?
//! routes.yaml: 1 problem
//! ```
//!
//! What is shown ends up in terminals, log files and bug reports, so secrets are stars in it, and control characters
//! are taken out: a file must not be able to move the cursor of who checks it.

mod hide;
mod value;
mod written;

pub use written::as_written;

use hilum_filters::api::{At, Problem};
use std::fmt::{self, Display, Formatter};
use std::ops::Range;

/// After so many problems the first ones are what matters.
const SHOWN: usize = 50;
/// A line longer than this would wrap and move its mark.
const COLUMNS: usize = 160;
/// What stands for a secret.
const STARS: [char; 3] = ['*'; 3];

/// A file as it was read, before any `${VAR}` was expanded.
#[derive(Clone)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// `name` is what messages call the file: its path as the user gave it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// All problems of one file, in the order of their places, each once.
pub struct Report {
    source: Source,
    problems: Vec<Problem>,
}

impl Report {
    /// Sorts the problems and drops repetitions: what is inherited by ten routes is read ten times.
    pub fn new(source: Source, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.at, &a.message, &a.help).cmp(&(b.at, &b.message, &b.help)));
        problems.dedup_by(|a, b| (a.at.line, a.at.col, &a.message) == (b.at.line, b.at.col, &b.message));
        Self { source, problems }
    }

    /// Each problem as `{ file, line, col, message, help }`, for programs. `line` and `col` are 0 where a problem has no
    /// place, `help` is null where nothing can be suggested.
    pub fn rows(&self) -> impl Iterator<Item = serde_json::Value> {
        self.problems.iter().map(|Problem { at, message, help }| {
            serde_json::json!({ "file": self.source.name, "line": at.line, "col": at.col, "message": message, "help": help })
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = clean(&self.source.name);
        let lines = lines(&self.source.text);
        let secrets = hide::secrets(&lines);
        for problem in self.problems.iter().take(SHOWN) {
            let Problem { at, message, help } = problem;
            let index = (at.line as usize).wrapping_sub(1);
            let gutter = if at.line == 0 { 1 } else { at.line.to_string().len() };
            writeln!(f, "error: {}", clean(message))?;
            match at.line {
                0 => writeln!(f, "{:gutter$}--> {name}", "")?,
                line => writeln!(f, "{:gutter$}--> {name}:{line}:{}", "", at.col)?,
            }
            if let Some(line) = lines.get(index).filter(|line| !line.trim().is_empty()) {
                let ranges = secrets.get(&index).map_or([].as_slice(), Vec::as_slice);
                let (text, mark) = snippet(line, ranges, *at, COLUMNS - gutter - " | ".len());
                writeln!(f, "{:gutter$} |\n{} | {text}\n{:gutter$} | {mark}", "", at.line, "")?;
            }
            if let Some(help) = help {
                writeln!(f, "{:gutter$} = help: {}", "", clean(help))?;
            }
        }
        let count = self.problems.len();
        if count > SHOWN {
            writeln!(f, "and {} more", count - SHOWN)?;
        }
        writeln!(f, "{name}: {count} problem{}", if count == 1 { "" } else { "s" })
    }
}

/// The lines as YAML counts them: a lone carriage return ends one too (YAML 1.2, 5.4).
fn lines(text: &str) -> Vec<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

/// The line and the mark under it, both about `columns` characters wide. `secrets` are byte ranges of the line.
fn snippet(line: &str, secrets: &[Range<usize>], at: At, columns: usize) -> (String, String) {
    let first = (at.col as usize).saturating_sub(1);
    // A file in one line is searched only near the place.
    let skipped = first.saturating_sub(2 * columns);
    let mut chars = line.char_indices().skip(skipped);
    let mut shown = Vec::new();
    // Where each character of the line went; the last is the end of the line.
    let mut moved = Vec::new();
    let mut inside = false;
    for (index, c) in chars.by_ref().take(4 * columns) {
        let secret = secrets.iter().any(|range| range.contains(&index));
        if secret && !inside {
            moved.push(shown.len());
            // Always as many, so that they do not tell the length.
            shown.extend(STARS);
        } else if secret {
            moved.push(shown.len() - STARS.len());
        } else {
            moved.push(shown.len());
            shown.push(visible(c));
        }
        inside = secret;
    }
    moved.push(shown.len());
    let place = |index: usize| moved.get(index).copied().unwrap_or(shown.len());
    let begin = place(first - skipped);
    let end = place((first - skipped).saturating_add(at.width as usize));
    // Stars have no inside: a place in a secret is all of it.
    let least = if shown[begin..].starts_with(&STARS) { STARS.len() } else { 1 };
    let end = end.max(begin + least);

    let width = shown.len().min(columns);
    let start = if end <= columns { 0 } else { begin.saturating_sub(columns / 3).min(shown.len() - width) };
    let cut_after = start + width < shown.len() || chars.next().is_some();
    let mut text = shown[start..start + width].to_vec();
    if let Some(first) = text.first_mut().filter(|_| start + skipped > 0) {
        *first = '…';
    }
    if let Some(last) = text.last_mut().filter(|_| cut_after) {
        *last = '…';
    }
    let mark = end.min(start + width).max(begin + 1) - begin;
    let mark = " ".repeat(begin - start) + &"^".repeat(mark);
    (text.into_iter().collect::<String>().trim_end().to_owned(), mark)
}

fn clean(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// The character itself, or a harmless one: controls steer a terminal, and marks of direction show one text as another.
fn visible(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "version: 1\n\nroutes:\n  - headers: { response: { remov: [server] } }\n    \
                          verify: { secret: 'hunter2', leeway: 5 }\n    ünï: \"é\" # ende\n";

    fn at(line: u32, col: u32, width: u32) -> At {
        At { line, col, width }
    }

    #[track_caller]
    fn check(text: &str, problems: &[Problem], expect: &str) {
        let report = Report::new(Source::new("routes.yaml", text), problems.to_vec());
        assert_eq!(report.to_string(), expect);
    }

    #[test]
    fn a_problem_shows_its_line_a_mark_and_a_suggestion() {
        check(
            &("\n".repeat(15) + ROUTES),
            &[Problem::new(at(19, 28, 5), "unknown key `remov`").help("did you mean `remove`?")],
            "\
error: unknown key `remov`
  --> routes.yaml:19:28
   |
19 |   - headers: { response: { remov: [server] } }
   |                            ^^^^^
   = help: did you mean `remove`?
routes.yaml: 1 problem
",
        );
    }

    #[test]
    fn problems_are_sorted_and_each_is_told_once() {
        let version = Problem::new(at(1, 10, 1), "too new");
        check(
            ROUTES,
            &[
                Problem::new(at(3, 1, 6), "b"),
                version.clone(),
                Problem::new(at(3, 1, 6), "a"),
                version,
                Problem::new(At::default(), "no tests").help("write some"),
            ],
            "\
error: no tests
 --> routes.yaml
  = help: write some
error: too new
 --> routes.yaml:1:10
  |
1 | version: 1
  |          ^
error: a
 --> routes.yaml:3:1
  |
3 | routes:
  | ^^^^^^
error: b
 --> routes.yaml:3:1
  |
3 | routes:
  | ^^^^^^
routes.yaml: 4 problems
",
        );
    }

    #[test]
    fn a_mark_counts_characters_and_a_tab_is_one_blank() {
        check(
            "ä:\t\"é\"\u{1b}[2J # x",
            &[Problem::new(at(1, 4, 3), "odd\n\u{1b}[2J \u{202e}text")],
            "\
error: odd \u{fffd}[2J \u{fffd}text
 --> routes.yaml:1:4
  |
1 | ä: \"é\"\u{fffd}[2J # x
  |    ^^^
routes.yaml: 1 problem
",
        );
    }

    #[test]
    fn a_place_outside_the_text_shows_what_there_is() {
        check(
            "a: 1\r\nb: 2",
            &[
                Problem::new(at(1, 90, 4), "far right"),
                Problem::new(at(2, 0, 0), "no column"),
                Problem::new(at(9, 1, 1), "below"),
            ],
            "\
error: far right
 --> routes.yaml:1:90
  |
1 | a: 1
  |     ^
error: no column
 --> routes.yaml:2:0
  |
2 | b: 2
  | ^
error: below
 --> routes.yaml:9:1
routes.yaml: 3 problems
",
        );
    }

    #[test]
    fn a_secret_is_stars_and_the_mark_moves_with_it() {
        check(
            ROUTES,
            &[Problem::new(at(5, 23, 9), "a secret is written in the file"), Problem::new(at(5, 42, 1), "no unit")],
            "\
error: a secret is written in the file
 --> routes.yaml:5:23
  |
5 |     verify: { secret: ***, leeway: 5 }
  |                       ^^^
error: no unit
 --> routes.yaml:5:42
  |
5 |     verify: { secret: ***, leeway: 5 }
  |                                    ^
routes.yaml: 2 problems
",
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = (0..200).map(|n| format!("{n:04} ")).collect::<String>();
        for (col, width) in [(1, 4), (150, 20), (501, 4), (996, 4), (1000, 9), (1001, 1), (300, 600)] {
            let (text, mark) = snippet(&line, &[], at(1, col, width), 154);
            assert!(text.chars().count() <= 154 && mark.chars().count() <= 155, "{col}: {text}\n{mark}");
            assert!(mark.ends_with('^') && text.contains('…'), "{col}: {text}\n{mark}");
        }
        let (text, mark) = snippet(&line, &[], at(1, 501, 4), 154);
        let marked: String = text.chars().skip(mark.find('^').unwrap()).take(4).collect();
        assert_eq!((marked.as_str(), mark.matches('^').count()), ("0100", 4));
        let (text, mark) = snippet(&line, &[0..500, 504..999], at(1, 501, 4), 154);
        assert_eq!((text.as_str(), mark.as_str()), ("…**0100**…", "   ^^^^"));
    }

    #[test]
    fn fifty_problems_are_shown_and_the_rest_counted() {
        let problems: Vec<_> = (1..=53).map(|col| Problem::new(at(1, col, 1), format!("p{col}"))).collect();
        let report = Report::new(Source::new("r.yaml", "x".repeat(60)), problems);
        let text = report.to_string();
        assert_eq!(text.matches("error: ").count(), 50);
        assert!(text.ends_with("and 3 more\nr.yaml: 53 problems\n"), "{text}");
    }

    #[test]
    fn programs_get_all_problems_as_json() {
        let problems = vec![Problem::new(at(2, 3, 4), "a \"b\"").help("c"), Problem::new(At::default(), "d")];
        let report = Report::new(Source::new("r.yaml", ""), problems);
        assert_eq!(
            serde_json::to_string(&report.rows().collect::<Vec<_>>()).unwrap(),
            r#"[{"file":"r.yaml","line":0,"col":0,"message":"d","help":null},{"file":"r.yaml","line":2,"col":3,"message":"a \"b\"","help":"c"}]"#
        );
        assert_eq!(Report::new(Source::new("r.yaml", ""), Vec::new()).rows().count(), 0);
    }
}
