//! What is wrong with a file: where, what, and what to do about it.

use super::node::At;

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub at: At,
    /// Starts in lower case and has no full stop.
    pub message: String,
    /// What to write instead, when that can be said.
    pub help: Option<String>,
}

impl Problem {
    /// A problem without advice.
    pub fn new(at: At, message: impl Into<String>) -> Self {
        Problem { at, message: message.into(), help: None }
    }

    /// The same with advice.
    pub fn help(self, help: impl Into<String>) -> Self {
        Problem { help: Some(help.into()), ..self }
    }

    /// Records the problem unless it is already there: an inherited value is read once per route that inherits it.
    pub fn record(self, problems: &mut Vec<Problem>) {
        if !problems.contains(&self) {
            problems.push(self);
        }
    }
}

/// The nearest known word, if it is near enough to be a slip.
///
/// A third of the longer word may be wrong; case does not count, and `-` is as good as `_`.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = |word: &str| -> Vec<char> { word.chars().map(|c| if c == '-' { '_' } else { c }).collect() };
    let written = folded(&word.to_lowercase());
    known
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (slips(&written, &folded(&candidate.to_lowercase())), candidate))
        .filter(|(slips, candidate)| *slips <= written.len().max(candidate.chars().count()) / 3)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// How many letters were added, left out, changed or swapped with their neighbour to get from `a` to `b`.
fn slips(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = ["remove", "set", "add", "max_age", "service", "servers"];

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        let check = |word: &str, expected: Option<&str>| assert_eq!(did_you_mean(word, KNOWN), expected, "{word}");
        check("remov", Some("remove"));
        check("ermove", Some("remove"));
        check("max-age", Some("max_age"));
        check("MaxAge", Some("max_age"));
        check("servic", Some("service"));
        check("ad", Some("add"));
        check("ste", Some("set"));
        check("timeout", None);
        check("x", None);
        check("", None);
    }

    #[test]
    fn a_swap_of_two_neighbours_is_one_slip() {
        let count = |a: &str, b: &str| slips(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(count("form", "from"), 1);
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("", "abc"), 3);
    }

    #[test]
    fn the_same_problem_is_recorded_once() {
        let mut problems = Vec::new();
        let at = At { line: 1, col: 2, width: 3 };
        for problem in [Problem::new(at, "a"), Problem::new(at, "a"), Problem::new(at, "a").help("b")] {
            problem.record(&mut problems);
        }
        assert_eq!(problems.len(), 2);
    }
}
