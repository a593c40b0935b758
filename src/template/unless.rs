//! One Jinja expression that must hold, in which null is equal to nothing.
//!
//! In Jinja null is equal to null: `doctor.institution_id == claims.reference_id` holds for a doctor of no institution and a caller of
//! none. Where it decides who may, that is a yes to somebody of whom nothing is known. What is absent can't be compared at all.

use std::sync::Arc;

use minijinja::Value;

use super::expression::{Compiled, Failed, words};
use super::{Names, Scope};

/// The condition under which a request is not refused.
pub struct Unless(Compiled);

impl std::fmt::Debug for Unless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unless(…)")
    }
}

impl Unless {
    /// Whether an answer may be called so.
    pub fn is_name(word: &str) -> bool {
        let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_word && !RESERVED.contains(&word)
    }

    /// Compiles an expression, written without braces; `answers` are names besides those that are always known.
    ///
    /// # Errors
    /// What is no expression, a name that nothing will have, or a comparison whose meaning is not plain.
    pub fn compile(source: &str, names: Names, answers: &[Arc<str>]) -> Result<Unless, String> {
        if source.contains("{{") {
            return Err(format!("`{source}` is an expression already: write it without `{{{{ }}}}`"));
        }
        let known = |name: &str| if answers.iter().any(|a| **a == *name) { Ok(()) } else { names.check(name) };
        let guarded = guarded(source)?;
        Compiled::guarded(source, &guarded, &known).map(Unless)
    }

    /// Whether it reads the answer of that name.
    pub fn reads(&self, name: &str) -> bool {
        self.0.reads(name)
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// It can't be evaluated, which is no yes.
    pub fn holds(&self, scope: &Arc<Scope>) -> Result<bool, Failed> {
        Ok(self.0.value(&Value::from_dyn_object(scope.clone()))?.is_true())
    }
}

/// Words with a meaning of their own in an expression.
const RESERVED: &[&str] =
    &["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None", "loop", "self"];

/// The same expression, each `a == b` and `a in b` of it made false where `a` is null; literals are what they are.
fn guarded(source: &str) -> Result<String, String> {
    let words = words(source);
    let at = |word: &str| word.as_ptr() as usize - source.as_ptr() as usize;
    let mut inserts: Vec<(usize, String)> = Vec::new();
    for (here, word) in words.iter().enumerate() {
        let behind_dot = here > 0 && words[here - 1] == ".";
        let (left_end, right_start) = match (*word, words.get(here + 1)) {
            ("=", Some(&"=")) => (here, here + 2),
            ("in", Some(_)) if here > 0 && !behind_dot && !["not", "is"].contains(&words[here - 1]) => (here, here + 1),
            ("is", Some(&("eq" | "equalto" | "sameas" | "in"))) if !behind_dot => {
                return Err(format!("`{source}`: compare with `==` or `in` here"));
            }
            _ => continue,
        };
        let start = left_of(&words, left_end);
        let end = right_of(&words, right_start);
        let is_compared = |at: Option<&&str>| at.is_some_and(|word| ["=", "!", "<", ">", "in"].contains(word));
        if is_compared(start.checked_sub(1).and_then(|at| words.get(at))) || is_compared(words.get(end)) {
            return Err(format!("`{source}` compares three values in a row: join two comparisons by `and`"));
        }
        let (Some(first), Some(last)) = (words[start..left_end].first(), words[right_start..end].last()) else {
            continue;
        };
        if is_literal(&words[start..left_end]) || is_literal(&words[right_start..end]) {
            continue;
        }
        let left = source[at(first)..at(words[left_end])].trim_end();
        inserts.push((at(first), "(".to_owned()));
        inserts.push((at(last) + last.len(), format!(" and ({left}) is not none)")));
    }
    inserts.sort_by_key(|(at, _)| *at);
    let mut text = source.to_owned();
    inserts.iter().rev().for_each(|(at, insert)| text.insert_str(*at, insert));
    Ok(text)
}

/// Where the operand begins that ends before `end`.
fn left_of(words: &[&str], end: usize) -> usize {
    let (mut at, mut depth) = (end, 0_u32);
    while at > 0 {
        match words[at - 1] {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" if depth == 0 => break,
            "(" | "[" | "{" => depth -= 1,
            _ if depth == 0 && is_boundary(words, at - 1) => break,
            _ => {}
        }
        at -= 1;
    }
    at
}

/// Where the operand ends that begins at `start`.
fn right_of(words: &[&str], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_u32);
    while let Some(word) = words.get(at) {
        match *word {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => break,
            ")" | "]" | "}" => depth -= 1,
            _ if depth == 0 && is_boundary(words, at) => break,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Whether a word binds less than a comparison does, or is one.
fn is_boundary(words: &[&str], at: usize) -> bool {
    let before = at.checked_sub(1).map(|at| words[at]);
    match words[at] {
        _ if before == Some(".") => false,
        "and" | "or" | "if" | "else" | "," | ":" | "=" | "!" | "<" | ">" => true,
        "not" | "in" => before != Some("is"),
        _ => false,
    }
}

fn is_literal(operand: &[&str]) -> bool {
    let constants = ["true", "false", "none", "True", "False", "None"];
    matches!(operand, [word] if word.starts_with(|c: char| c == '\'' || c == '"' || c.is_ascii_digit()) || constants.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names = Names::REQUEST;

    /// `claims` and the answer `doctor` are the same.
    fn check(source: &str, value: &str, expect: Option<bool>) {
        let answers = [Arc::from("doctor")];
        let unless = Unless::compile(source, NAMES, &answers).unwrap_or_else(|why| panic!("{source}: {why}"));
        let value: Value = serde_json::from_str(value).unwrap();
        let scope =
            Scope { claims: Some(value.clone()), answers: vec![(answers[0].clone(), value)], ..Scope::default() };
        assert_eq!(unless.holds(&Arc::new(scope)).ok(), expect, "{source}");
    }

    #[test]
    fn null_is_equal_to_nothing_and_nothing_is_compared_with_what_is_absent() {
        let value = r#"{"a":"7","b":"7","n":7,"nil":null,"nil2":null,"list":["7",null],"o":{"a":"7"},"yes":true}"#;
        for (source, expect) in [
            ("doctor.a == claims.b", Some(true)),
            ("doctor.o.a == claims.b", Some(true)),
            ("doctor.a == claims.n", Some(false)),
            ("doctor.nil == claims.nil2", Some(false)),
            ("doctor.nil == claims.nil", Some(false)),
            ("not doctor.nil == claims.nil2", Some(true)),
            ("claims.yes and doctor.nil == claims.nil2", Some(false)),
            ("doctor.nil == claims.nil2 or claims.a == '7'", Some(true)),
            ("(doctor.nil == claims.nil2) == claims.yes", Some(false)),
            ("(doctor.a == claims.b) == claims.yes", Some(true)),
            ("doctor['nil'] == claims['nil2']", Some(false)),
            ("doctor['a'] == claims['b']", Some(true)),
            ("doctor.x|default(none) == claims.nil|default(none)", Some(false)),
            ("doctor.x|default('') == claims.y|default('')", Some(true)),
            ("true if doctor.nil == claims.nil2 else false", Some(false)),
            ("claims.nil == none", Some(true)),
            ("claims.nil is none", Some(true)),
            ("claims.x is defined", Some(false)),
            ("claims.x is not defined and claims.a == doctor.b", Some(true)),
            ("claims.a in doctor.list", Some(true)),
            ("claims.nil in doctor.list", Some(false)),
            ("claims.a not in doctor.list", Some(false)),
            ("'7' in doctor.list", Some(true)),
            ("claims.a in ['7', '8']", Some(true)),
            ("claims.a|length == 1", Some(true)),
            ("claims.a ~ 'x' == doctor.a ~ 'x'", Some(true)),
            ("claims.a is string == doctor.yes", Some(true)),
            ("claims.n + 1 == 8", Some(true)),
            // Jinja's own truth: empty, zero, false, null and absent are not true.
            ("claims.a", Some(true)),
            ("claims.x", Some(false)),
            ("claims.nil", Some(false)),
            // What can't be evaluated.
            ("doctor.x == claims.y", None),
            ("doctor.x == claims.nil", None),
            ("doctor.nil == claims.y", None),
            ("not doctor.x == claims.y", None),
            ("claims.a == '8' or doctor.x == 1", None),
            ("claims.x.y == 'z'", None),
            ("claims.x + 1 == 2", None),
            ("claims.a in doctor.x", None),
        ] {
            check(source, value, expect);
        }
    }

    #[test]
    fn what_has_no_plain_meaning_is_refused() {
        for (source, why) in [
            ("claim.a", "did you mean `claims`"),
            ("{{ claims.a }}", "without `{{ }}`"),
            ("claims.", "is not an expression"),
            ("claims.a == doctor.a == claims.b", "three values in a row"),
            ("claims.a < doctor.a == claims.b", "three values in a row"),
            ("claims.a is eq doctor.a", "compare with `==`"),
            ("claims.a is in doctor.list", "compare with `==`"),
            ("claims.a|uper == 'x'", "did you mean `upper`"),
        ] {
            let told = Unless::compile(source, NAMES, &["doctor".into()]).map(drop).unwrap_err();
            assert!(told.contains(why), "{source}: {told}");
        }
    }
}
