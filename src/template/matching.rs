//! The test `is matching('[0-9]{8}')`: whether a text as a whole has a form. Patterns are compiled with their expression, at load.

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

/// The name of the test.
pub(super) const NAME: &str = "matching";

/// What the patterns are found by in a scope. No expression can write it.
const PATTERNS: &str = "the patterns of this expression";

/// The most memory that one pattern may take.
const LARGEST: usize = 1024 * 1024;

/// The patterns of one expression, by their text.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<(Box<str>, Regex)>);

impl Patterns {
    /// Compiles a pattern. It is held against the whole text: one that is found somewhere inside would let everything else through.
    pub(super) fn add(&mut self, pattern: &str) -> Result<(), String> {
        let whole = RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(LARGEST).build();
        // What the pattern itself is wrong about; the anchors around it are ours.
        let regex = match (Regex::new(pattern), whole) {
            (Ok(_), Ok(regex)) => regex,
            (Err(regex::Error::CompiledTooBig(_)), _) | (Ok(_), Err(_)) => {
                return Err(format!("`{pattern}` is too large a pattern"));
            }
            (Err(why), _) => {
                let why = why.to_string();
                let last = why.lines().last().unwrap_or_default();
                return Err(format!("`{pattern}` is no pattern: {}", last.trim_start_matches("error: ")));
            }
        };
        self.0.push((pattern.into(), regex));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scope with the patterns in it.
    pub(super) fn beside(self: &Arc<Self>, scope: &Value) -> Value {
        Value::from_object(Beside { patterns: self.clone(), scope: scope.clone() })
    }
}

impl Object for Patterns {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Whether the whole text matches. What is no text can't be said to match or not to match.
pub(super) fn test(state: &State<'_, '_>, value: &Value, pattern: &str) -> Result<bool, Error> {
    let failed = |why| Error::new(ErrorKind::InvalidOperation, why);
    let text = value.as_str().ok_or_else(|| failed("only a text can match"))?;
    let patterns = state.lookup(PATTERNS);
    let patterns = patterns.as_ref().and_then(|value| value.downcast_object_ref::<Patterns>());
    let found = patterns.and_then(|patterns| patterns.0.iter().find(|(known, _)| **known == *pattern));
    let (_, regex) = found.ok_or_else(|| failed("the pattern was not known at load"))?;
    Ok(regex.is_match(text))
}

#[derive(Debug)]
struct Beside {
    patterns: Arc<Patterns>,
    scope: Value,
}

impl Object for Beside {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str() == Some(PATTERNS) {
            return Some(Value::from_dyn_object(self.patterns.clone()));
        }
        self.scope.get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}
