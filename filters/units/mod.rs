//! What users write, parsed once: afterwards the type is the proof.
//!
//! Every type here is one line of text in the file. Units are always written, so nobody has to know whether a bare
//! `5` means seconds or milliseconds.

mod headers;
mod measure;
mod network;
mod origin;
mod rate;

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{Error, Visitor};

pub use headers::{Edits, Head, Name, Value};
pub use measure::{Positive, Ratio, Size, Span};
pub use network::Network;
pub use origin::Origin;
pub use rate::Rate;

/// Reads a type that is one line of text, for `Deserialize` implementations; `expected` completes "expected …" when
/// the file has a list or a map in its place.
pub fn from_text<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text { expected, value: PhantomData })
}

struct Text<T> {
    expected: &'static str,
    value: PhantomData<T>,
}

impl<'de, T: FromStr<Err: Display>> Visitor<'de> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// `Deserialize` and `JsonSchema` of a type that is one line of text. The words are those of its errors.
macro_rules! written_as_text {
    ($type:ty, $name:literal, $expected:expr, { $($schema:tt)* }) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::units::from_text(deserializer, $expected)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $expected, $($schema)* })
            }
        }
    };
}
pub(crate) use written_as_text;

#[cfg(test)]
/// Whether a text is a good one, and what is said when it is not.
fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
