//! Why a value could not be read, in the user's words.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::{known_instead, one_of};
use crate::api::node::{At, Kind, Node};
use crate::api::problem::{Problem, did_you_mean};

/// A failure that is on its way up to the node it is about.
#[derive(Debug)]
pub(super) struct Failure {
    at: Option<At>,
    message: String,
    /// What stood there instead. Kept apart until the node is known: where `${VAR}` was expanded, it is not shown, not
    /// even cut or as the number that was read from it.
    found: Option<String>,
    help: Option<String>,
}

/// Longer texts are cut: a message is one line.
const SHOWN: usize = 60;

impl Failure {
    pub(super) fn unexpected(node: &Node, expected: &dyn Expected) -> Self {
        let failure = Failure::expected(plainly(expected), shown(node));
        match &node.kind {
            Kind::Scalar { text, plain: false } if node.written.is_none() && unquoted_would_do(text, expected) => {
                failure.help("write it without the quotes")
            }
            _ => failure,
        }
    }

    pub(super) fn expected(expected: impl fmt::Display, found: String) -> Self {
        Failure { found: Some(found), ..Failure::custom(format_args!("expected {expected}")) }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Failure { help: Some(help.into()), ..self }
    }

    /// Gives the failure its place, unless it has one, and hides what was expanded there.
    pub(super) fn at(self, node: &Node) -> Self {
        match self.at {
            Some(_) => self,
            None => Failure {
                at: Some(node.at),
                message: node.redact(self.message),
                found: self.found.map(|found| if node.written.is_some() { shown(node) } else { found }),
                help: self.help.map(|help| node.redact(help)),
            },
        }
    }

    pub(super) fn problem(&self) -> Problem {
        Problem { at: self.at.unwrap_or_default(), message: self.to_string(), help: self.help.clone() }
    }
}

/// What a node is, in words: its source text when something was expanded in it.
pub(super) fn shown(node: &Node) -> String {
    match (&node.kind, &node.written) {
        (Kind::Null, _) => "nothing".to_owned(),
        (Kind::List(_), _) => "a list".to_owned(),
        (Kind::Map(_), _) => "a map".to_owned(),
        (Kind::Scalar { .. }, Some(written)) => format!("text `{}`", cut(written)),
        (Kind::Scalar { text, plain: true }, None) => format!("text `{}`", cut(text)),
        (Kind::Scalar { text, plain: false }, None) => format!("the quoted text `{}`", cut(text)),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a type expects: serde's words and Rust's type names are not the user's.
fn plainly(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let words = match &*text {
        "a sequence" => "a list",
        "a boolean" => "`true` or `false`",
        "a string" | "string" => "text",
        "unit" => "nothing",
        "u8" => "a number from 0 to 255",
        "u16" => "a number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number",
        "i8" | "i16" | "i32" | "i64" | "isize" | "f32" | "f64" => "a number",
        _ if text.starts_with("struct ") || text.starts_with("a map") => "a map",
        _ if text.starts_with("tuple ") || text.starts_with("an array ") => "a list",
        _ => &text,
    };
    words.to_owned()
}

fn unquoted_would_do(text: &str, expected: &dyn Expected) -> bool {
    match &*plainly(expected) {
        "`true` or `false`" => matches!(text, "true" | "false"),
        words => words.contains("number") && super::scalar::number(text).is_some(),
    }
}

/// What a visitor was shown and did not want.
fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(it) => format!("`{it}`"),
        Unexpected::Unsigned(it) => it.to_string(),
        Unexpected::Signed(it) => it.to_string(),
        Unexpected::Float(it) => it.to_string(),
        Unexpected::Char(it) => format!("text `{it}`"),
        Unexpected::Str(it) => format!("text `{}`", cut(it)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

impl Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Failure { at: None, message: message.to_string(), found: None, help: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Failure::expected(plainly(expected), found(unexpected))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Failure::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Failure::expected(expected, format!("{length} of them"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let failure = Failure::expected(one_of(expected), format!("`{}`", cut(variant)));
        match did_you_mean(variant, expected.iter().copied()) {
            Some(meant) => failure.help(format!("did you mean `{meant}`?")),
            None => failure,
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Failure::custom(format_args!("unknown key `{field}`")).help(known_instead(field, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Failure::custom(format_args!("missing key `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Failure::custom(format_args!("the key `{field}` is written twice"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.found.as_ref().map_or(Ok(()), |found| write!(f, ", found {found}"))
    }
}

impl std::error::Error for Failure {}
