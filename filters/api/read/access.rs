//! What a visitor of a list, a map or an enum draws from.

use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{Failure, Found, Reader, read_node};
use crate::api::node::{Entry, Kind, Node};

/// Items of a list.
pub(super) struct Items<'n> {
    pub(super) items: std::slice::Iter<'n, Node>,
    pub(super) found: &'n Found,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        self.items.next().map(|item| read_node(seed, item, self.found)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// Entries of a map; with `known`, those of a struct.
pub(super) struct Fields<'n> {
    pub(super) entries: std::slice::Iter<'n, Entry>,
    pub(super) value: Option<&'n Node>,
    pub(super) known: Option<&'static [&'static str]>,
    pub(super) found: &'n Found,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let known = self.known;
        let Some(entry) = self.entries.find(|entry| known.is_none_or(|known| known.contains(&&*entry.key))) else {
            return Ok(None);
        };
        self.value = Some(&entry.value);
        match known {
            Some(_) => seed.deserialize(StrDeserializer::new(&entry.key)),
            None => read_node(seed, &key_node(entry), self.found),
        }
        .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let value = self.value.take().expect("serde asks for a value after its key");
        read_node(seed, value, self.found)
    }
}

/// A key is read like a value: `200:` may be a number, and a refused key has a place.
pub(super) fn key_node(entry: &Entry) -> Node {
    Node { at: entry.at, kind: Kind::Scalar { text: entry.key.clone(), plain: true }, written: None }
}

/// A variant: `name`, or `name: value`.
pub(super) struct Choice<'n> {
    pub(super) name: &'n Node,
    pub(super) value: Option<&'n Node>,
    pub(super) found: &'n Found,
}

impl<'de, 'n> EnumAccess<'de> for Choice<'n> {
    type Error = Failure;
    type Variant = Choice<'n>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Failure> {
        Ok((read_node(seed, self.name, self.found)?, self))
    }
}

impl<'n> Choice<'n> {
    fn value(&self) -> Result<&'n Node, Failure> {
        let Kind::Scalar { text, .. } = &self.name.kind else { return Err(Failure::custom("a name is a scalar")) };
        self.value
            .ok_or_else(|| Failure::custom(format_args!("`{text}` needs a value")).help(format!("write `{text}: …`")))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        self.value.map_or(Ok(()), |value| read_node(PhantomData::<()>, value, self.found))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        read_node(seed, self.value()?, self.found)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        let node = self.value()?;
        Reader { node, found: self.found }.deserialize_seq(visitor).map_err(|failure| failure.at(node))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        let node = self.value()?;
        let reader = Reader { node, found: self.found };
        reader.deserialize_struct("", fields, visitor).map_err(|failure| failure.at(node))
    }
}
