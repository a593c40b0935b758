//! Types for settings structs that serde has no word for: a value with its place, a value that may fail alone, an
//! ordered map, and a key with two forms. They are read through [`Node::read`] only.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::node::{At, Entry, Kind, Node};

// The names by which these types ask the reader. No Rust type can have them.
pub(super) const PLACED: &str = "hilum placed";
pub(super) const TRY: &str = "hilum try";
pub(super) const NODE: &str = "hilum node";
pub(super) const LINE_OR_MAP: &str = "hilum line or map";

/// The kinds of a node on its way through serde.
pub(super) struct Tag;

impl Tag {
    pub(super) const NULL: u32 = 0;
    pub(super) const SCALAR: u32 = 1;
    pub(super) const LIST: u32 = 2;
    pub(super) const MAP: u32 = 3;
}

/// A value with its place: for rules that join several values and want to point at one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed<T> {
    /// Where the value stands.
    pub at: At,
    /// The value.
    pub value: T,
}

impl<T> Deref for Placed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A value that may fail alone: its failure is recorded as a problem, and its neighbours are still read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try<T>(pub Option<T>);

/// A map in the order of the file, with placed keys. A value that can't be read is recorded and left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<T>(pub Vec<(Placed<String>, T)>);

/// A key with a short form, one line of text, and a long form, a map. What is wrong is said of the form that was
/// written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOrMap<L, M> {
    /// The short form.
    Line(Placed<L>),
    /// The long form.
    Map(M),
}

impl<T> Default for Try<T> {
    fn default() -> Self {
        Try(None)
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Entries(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(PLACED, PlacedVisitor(PhantomData))
    }
}

struct PlacedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PlacedVisitor<T> {
    type Value = Placed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a settings file")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        Ok(Placed { at: place(&mut parts)?, value: part(&mut parts)? })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Try<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TRY, TryVisitor(PhantomData))
    }
}

struct TryVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TryVisitor<T> {
    type Value = Try<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a settings file")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        Ok(Try(parts.next_element()?))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Placed<String>, Try<T>>()? {
            entries.extend(value.0.map(|value| (key, value)));
        }
        Ok(Entries(entries))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NODE, NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a settings file")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Node, A::Error> {
        let at = place(&mut parts)?;
        let expanded: bool = part(&mut parts)?;
        let written = if expanded { Some(part::<String, _>(&mut parts)?.into()) } else { None };
        let kind = match part::<u32, _>(&mut parts)? {
            Tag::NULL => Kind::Null,
            Tag::SCALAR => Kind::Scalar { text: part(&mut parts)?, plain: part(&mut parts)? },
            Tag::LIST => {
                let mut items = Vec::new();
                while let Some(item) = parts.next_element()? {
                    items.push(item);
                }
                Kind::List(items)
            }
            Tag::MAP => {
                let mut entries = Vec::new();
                while let Some(key) = parts.next_element()? {
                    entries.push(Entry { key, at: place(&mut parts)?, value: part(&mut parts)? });
                }
                Kind::Map(entries)
            }
            tag => return Err(A::Error::custom(format_args!("no kind of node has the tag {tag}"))),
        };
        Ok(Node { at, kind, written })
    }
}

impl<'de, L, M> Deserialize<'de> for LineOrMap<L, M>
where
    L: FromStr<Err: fmt::Display>,
    M: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(LINE_OR_MAP, LineOrMapVisitor(PhantomData))
    }
}

struct LineOrMapVisitor<L, M>(PhantomData<(L, M)>);

impl<'de, L, M> Visitor<'de> for LineOrMapVisitor<L, M>
where
    L: FromStr<Err: fmt::Display>,
    M: Deserialize<'de>,
{
    type Value = LineOrMap<L, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line of text or a map")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let at = place(&mut parts)?;
        let text: String = part(&mut parts)?;
        Ok(LineOrMap::Line(Placed { at, value: text.parse().map_err(A::Error::custom)? }))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, map: D) -> Result<Self::Value, D::Error> {
        M::deserialize(map).map(LineOrMap::Map)
    }
}

fn part<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(parts: &mut A) -> Result<T, A::Error> {
    parts.next_element()?.ok_or_else(|| A::Error::custom("this type is read from a settings file only"))
}

fn place<'de, A: SeqAccess<'de>>(parts: &mut A) -> Result<At, A::Error> {
    Ok(At { line: part(parts)?, col: part(parts)?, width: part(parts)? })
}

/// The schema of a type that only adds something to another one.
macro_rules! schema_of_the_value {
    ($($wrapper:ident)*) => { $(
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }
            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    )* };
}

schema_of_the_value! { Placed Try }

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("map_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "anything".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

impl<L, M: JsonSchema> JsonSchema for LineOrMap<L, M> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("line_or_{}", M::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<M>()] })
    }
}
