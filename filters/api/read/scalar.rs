//! What a scalar may be besides text.

use serde::de::{Error, Visitor};

use crate::api::node::{Kind, Node};

pub(super) enum Value {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Value {
    pub(super) fn show<'de, V: Visitor<'de>, E: Error>(self, visitor: V) -> Result<V::Value, E> {
        match self {
            Value::Bool(it) => visitor.visit_bool(it),
            Value::Unsigned(it) => visitor.visit_u64(it),
            Value::Signed(it) => visitor.visit_i64(it),
            Value::Float(it) => visitor.visit_f64(it),
        }
    }
}

/// Whether a scalar may be something other than text: not when it was written in quotes, unless `${VAR}` stood there.
pub(super) fn is_open(node: &Node) -> bool {
    matches!(node.kind, Kind::Scalar { plain, .. } if plain || node.written.is_some())
}

/// A decimal number. Hexadecimal, octal, `.inf` and `1_000` are text: nobody has to know YAML's rules by heart.
pub(super) fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || !digits.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Ok(it) = text.parse() {
        return Some(Value::Unsigned(it));
    }
    if let Ok(it) = text.parse() {
        return Some(Value::Signed(it));
    }
    text.parse().ok().filter(|it: &f64| it.is_finite()).map(Value::Float)
}

/// What a scalar is where everything may stand, as in `json:`. A number with leading zeros stays text there, as does
/// one with too many digits for a 64-bit integer: an identity number must not lose a digit.
pub(super) fn guess(text: &str) -> Option<Value> {
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    let whole = digits.bytes().all(|b| b.is_ascii_digit());
    match number(text) {
        Some(Value::Float(_)) if whole => None,
        value if !leading_zero => value,
        _ => None,
    }
}
