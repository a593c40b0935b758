//! Options from YAML, without the engine's file format around them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::api::{At, Entry, Kind, Node};

/// The tree of a YAML text. `${NAME}` of each variable is expanded in it, as the engine does it.
pub fn node(yaml: &str, variables: &[(&str, &str)]) -> Node {
    match serde_saphyr::from_str::<Spanned<Raw>>(yaml) {
        Ok(raw) => Source { yaml, variables }.node(raw),
        Err(error) => panic!("this is no YAML: {error}\n{yaml}"),
    }
}

struct Source<'t> {
    yaml: &'t str,
    variables: &'t [(&'t str, &'t str)],
}

/// A value as the parser shows it. Numbers and booleans are taken from the source.
enum Raw {
    Null,
    Text(String),
    NumberOrBool,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl Source<'_> {
    fn node(&self, Spanned { value, referenced, .. }: Spanned<Raw>) -> Node {
        let at = place(&referenced);
        let mut written = None;
        let kind = match value {
            Raw::Null => Kind::Null,
            Raw::NumberOrBool => Kind::Scalar { text: self.text(&referenced).to_owned(), plain: true },
            Raw::Text(text) => {
                let expanded = self
                    .variables
                    .iter()
                    .fold(text.clone(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
                written = Some(text.clone().into()).filter(|_| expanded != text);
                Kind::Scalar { text: expanded, plain: !self.text(&referenced).starts_with(['"', '\'']) }
            }
            Raw::List(items) => Kind::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry { at: place(&key.referenced), key: key.value, value: self.node(value) })
                    .collect(),
            ),
        };
        Node { at, kind, written }
    }

    fn text(&self, location: &Location) -> &str {
        let span = location.span();
        let from = span.byte_offset().unwrap_or_default() as usize;
        &self.yaml[from..from + span.byte_len().unwrap_or_default() as usize]
    }
}

fn place(location: &Location) -> At {
    At { line: location.line() as u32, col: location.column() as u32, width: location.span().len() as u32 }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::NumberOrBool)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::NumberOrBool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::NumberOrBool)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::NumberOrBool)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
