//! How the types of [`placed`](crate::api::placed) get what serde has no word for: as a list of parts that only they
//! ask for.

use serde::de::{DeserializeSeed, IntoDeserializer, SeqAccess};

use super::{Failure, Found, read_node};
use crate::api::node::{At, Kind, Node};
use crate::api::placed::Tag;

pub(super) enum Part<'n> {
    Number(u32),
    Flag(bool),
    Text(&'n str),
    Node(&'n Node),
    /// A node whose failure is recorded: then the part is missing.
    Attempt(&'n Node),
}

impl<'n> Part<'n> {
    pub(super) fn place(at: At) -> impl Iterator<Item = Part<'n>> {
        [at.line, at.col, at.width].into_iter().map(Part::Number)
    }

    /// A whole node: its place, its source text, a tag, and what the tag says.
    pub(super) fn raw(node: &'n Node) -> Vec<Part<'n>> {
        let mut parts: Vec<Part<'n>> = Self::place(node.at).collect();
        parts.push(Part::Flag(node.written.is_some()));
        parts.extend(node.written.as_deref().map(Part::Text));
        match &node.kind {
            Kind::Null => parts.push(Part::Number(Tag::NULL)),
            Kind::Scalar { text, plain } => {
                parts.extend([Part::Number(Tag::SCALAR), Part::Text(text), Part::Flag(*plain)]);
            }
            Kind::List(items) => {
                parts.push(Part::Number(Tag::LIST));
                parts.extend(items.iter().map(Part::Node));
            }
            Kind::Map(entries) => {
                parts.push(Part::Number(Tag::MAP));
                for entry in entries {
                    parts.push(Part::Text(&entry.key));
                    parts.extend(Self::place(entry.at));
                    parts.push(Part::Node(&entry.value));
                }
            }
        }
        parts
    }
}

pub(super) struct Parts<'n, I> {
    parts: I,
    found: &'n Found,
}

impl<'n, I: Iterator<Item = Part<'n>>> Parts<'n, I> {
    pub(super) fn new(parts: impl IntoIterator<IntoIter = I>, found: &'n Found) -> Self {
        Parts { parts: parts.into_iter(), found }
    }
}

impl<'de, 'n, I: Iterator<Item = Part<'n>>> SeqAccess<'de> for Parts<'n, I> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(part) = self.parts.next() else { return Ok(None) };
        match part {
            Part::Number(it) => seed.deserialize(it.into_deserializer()).map(Some),
            Part::Flag(it) => seed.deserialize(it.into_deserializer()).map(Some),
            Part::Text(it) => seed.deserialize(it.into_deserializer()).map(Some),
            Part::Node(node) => read_node(seed, node, self.found).map(Some),
            Part::Attempt(node) => Ok(read_node(seed, node, self.found)
                .map_err(|failure| self.found.borrow_mut().push(failure.problem()))
                .ok()),
        }
    }
}
