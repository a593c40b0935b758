//! One Jinja expression that must hold, in which null is absent.
//!
//! In Jinja null is equal to null: `doctor.institution_id == claims.reference_id` holds for a doctor of no institution and a caller of
//! none. Where it decides who may, that is a yes to somebody of whom nothing is known. What is absent can't be compared at all: such an
//! expression can't be evaluated, and then it does not hold.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};

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
    /// What is no expression, or a name that nothing will have.
    pub fn compile(source: &str, names: Names, answers: &[Arc<str>]) -> Result<Unless, String> {
        if source.contains("{{") {
            return Err(format!("`{source}` is an expression already: write it without `{{{{ }}}}`"));
        }
        if writes_a_list(source) {
            return Err(format!(
                "`{source}` writes a list where it could be compared: compare one value with one value"
            ));
        }
        Compiled::strict(source, names, answers).map(Unless)
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
        let scope = Value::from_object(WithoutNull(Value::from_dyn_object(scope.clone())));
        Ok(self.0.value(&scope)?.is_true())
    }
}

/// Words with a meaning of their own in an expression.
const RESERVED: &[&str] =
    &["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None", "loop", "self"];

/// Whether a list, a tuple or a map is written out where it could be compared: what is absent inside of one is equal to what is
/// absent inside of another. Behind `in` nothing is compared with the list itself, and an empty one holds nothing.
fn writes_a_list(source: &str) -> bool {
    let words = words(source);
    let is_value = |word: &str| {
        word.ends_with(|c: char| c.is_alphanumeric() || "_)]".contains(c))
            && !["in", "and", "or", "not", "is", "if", "else"].contains(&word)
    };
    // Of each bracket that is open: whether it only holds together what is inside.
    let mut groups = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| words[at]);
        let follows_value = before.is_some_and(is_value);
        match *word {
            "{" => return true,
            "[" if !follows_value && before != Some("in") && words.get(at + 1) != Some(&"]") => return true,
            "(" | "[" => groups.push(*word == "(" && !follows_value),
            ")" | "]" => drop(groups.pop()),
            "," if groups.last().is_none_or(|is_group| *is_group) => return true,
            _ => {}
        }
    }
    false
}

/// A value in which null is as good as absent, at any depth. Read as it is needed: an answer may be large.
#[derive(Debug)]
struct WithoutNull(Value);

fn without_null(value: Value) -> Value {
    match value.kind() {
        ValueKind::None => Value::UNDEFINED,
        ValueKind::Map | ValueKind::Seq => Value::from_object(WithoutNull(value)),
        _ => value,
    }
}

impl Object for WithoutNull {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.0.kind() == ValueKind::Seq { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let value = self.0.get_item(key).ok().filter(|value| !value.is_undefined())?;
        // A key whose value is null is not there; the place of a list is.
        if value.is_none() && self.0.kind() != ValueKind::Seq { None } else { Some(without_null(value)) }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.0.try_iter() {
            // The members of a list, the keys of a map.
            Ok(items) if self.0.kind() == ValueKind::Seq => Enumerator::Seq(items.count()),
            Ok(keys) => Enumerator::Values(keys.collect()),
            Err(_) => Enumerator::NonEnumerable,
        }
    }
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
    fn null_is_absent_and_what_is_absent_is_compared_with_nothing() {
        let value = r#"{"a":"7","b":"7","n":7,"nil":null,"nil2":null,"list":["7",null],"rows":[{"id":"7"},{"id":"8"}],"o":{"a":"7"},"yes":true}"#;
        for (source, expect) in [
            ("doctor.a == claims.b", Some(true)),
            ("doctor.o.a == claims.b", Some(true)),
            ("doctor.a == claims.n", Some(false)),
            ("(doctor.a == claims.b) == claims.yes", Some(true)),
            ("doctor['a'] == claims['b']", Some(true)),
            ("claims.x is defined", Some(false)),
            ("claims.nil is defined", Some(false)),
            ("claims.x is not defined and claims.a == doctor.b", Some(true)),
            ("claims.a in doctor.list", Some(true)),
            ("claims.a not in doctor.list", Some(false)),
            ("'7' in doctor.list", Some(true)),
            ("claims.a in ['7', '8']", Some(true)),
            ("doctor.list|first == claims.a", Some(true)),
            ("doctor.list|length == 2", Some(true)),
            ("doctor.o == claims.o", Some(true)),
            ("'a' in doctor.o", Some(true)),
            ("claims.a|length == 1", Some(true)),
            ("'nil' in doctor", Some(false)),
            ("claims.a is eq doctor.b", Some(true)),
            ("claims.a is in doctor.list", Some(true)),
            ("claims.n is lt(8)", Some(true)),
            ("doctor.rows|selectattr('id', 'eq', claims.a)|list|length == 1", Some(true)),
            ("claims.a ~ 'x' == doctor.a ~ 'x'", Some(true)),
            ("claims.a is string == doctor.yes", Some(true)),
            ("claims.n + 1 == 8", Some(true)),
            // Jinja's own truth: empty, zero, false, null and absent are not true.
            ("claims.a", Some(true)),
            ("claims.x", Some(false)),
            ("claims.nil", Some(false)),
            // What can't be evaluated.
            ("doctor.nil == claims.nil2", None),
            ("not doctor.nil == claims.nil2", None),
            ("doctor['nil'] == claims['nil2']", None),
            ("claims.nil == none", None),
            ("claims.nil in doctor.list", None),
            ("doctor.list[1] == claims.nil", None),
            ("true if doctor.nil == claims.nil2 else false", None),
            ("doctor.x is eq(claims.y)", None),
            ("doctor.nil is sameas(claims.nil)", None),
            ("claims.x is in(doctor.list)", None),
            ("claims.x is in(doctor.a)", None),
            ("claims.x is ne('institution')", None),
            ("claims.x is lt(5)", None),
            ("claims.x is not eq('7')", None),
            ("doctor.rows|selectattr('id', 'eq', claims.x)|list", None),
            ("doctor.rows|selectattr('id', '==', claims.nil)|list", None),
            ("doctor.rows|rejectattr('id', 'ne', claims.nil)|list", None),
            ("doctor.list|select('eq', claims.nil)|list", None),
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
            ("[doctor.x] == [claims.y]", "writes a list"),
            ("[doctor.x] == claims.list", "writes a list"),
            ("claims.list != [doctor.x]", "writes a list"),
            ("(doctor.x, 1) == (claims.y, 1)", "writes a list"),
            ("{'a': doctor.x} == claims.o", "writes a list"),
            ("claims.a|uper == 'x'", "did you mean `upper`"),
        ] {
            let told = Unless::compile(source, NAMES, &["doctor".into()]).map(drop).unwrap_err();
            assert!(told.contains(why), "{source}: {told}");
        }
    }
}
