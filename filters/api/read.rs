//! The strict reader: from a [`Node`] to any `Deserialize` type, with a place for every failure.
//!
//! What a type asks for decides how a scalar is taken, never what the scalar looks like: a `String` field gets `1.10`
//! as it is written, a number field gets a number. A quoted literal is text; what was expanded from `${VAR}` may be a
//! number, a boolean, or (`a, b`) a list, because a variable can't be written otherwise.
//!
//! `#[serde(flatten)]` and `untagged` buffer what they read and lose the places: the contract does without them.

mod access;
mod failure;
mod parts;
mod scalar;

use std::cell::RefCell;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, Visitor};

use super::node::{Entry, Kind, Node, comma_items};
use super::placed;
use super::problem::{Problem, did_you_mean};
use access::{Choice, Fields, Items, key_node};
use failure::Failure;
use parts::{Part, Parts};

/// Problems that do not stop the reading.
type Found = RefCell<Vec<Problem>>;

pub(super) fn read<T: DeserializeOwned>(node: &Node, problems: &mut Vec<Problem>) -> Option<T> {
    let found = Found::default();
    let value = read_node(PhantomData::<T>, node, &found);
    let failure = value.as_ref().err().map(Failure::problem);
    found.into_inner().into_iter().chain(failure).for_each(|problem| problem.record(problems));
    value.ok()
}

/// Every value is read through here, so every failure gets the place of the innermost node that it is about.
fn read_node<'de, S: DeserializeSeed<'de>>(seed: S, node: &Node, found: &Found) -> Result<S::Value, Failure> {
    seed.deserialize(Reader { node, found }).map_err(|failure| failure.at(node))
}

#[derive(Clone, Copy)]
struct Reader<'n> {
    node: &'n Node,
    found: &'n Found,
}

impl Reader<'_> {
    fn unexpected<'de, V: Visitor<'de>, T>(self, visitor: &V) -> Result<T, Failure> {
        Err(Failure::unexpected(self.node, visitor))
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::Scalar { text, .. } if scalar::is_open(self.node) => match scalar::number(text) {
                Some(number) => number.show(visitor),
                None => self.unexpected(&visitor),
            },
            _ => self.unexpected(&visitor),
        }
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::Scalar { text, .. } => visitor.visit_str(text),
            _ => self.unexpected(&visitor),
        }
    }

    fn map<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::Map(entries) => {
                visitor.visit_map(Fields { entries: entries.iter(), value: None, known: None, found: self.found })
            }
            _ => self.unexpected(&visitor),
        }
    }
}

/// Methods that read a value in the same way.
macro_rules! all_by {
    ($way:ident: $($method:ident)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            self.$way(visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    all_by! { number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_f32 deserialize_f64 }
    all_by! { number: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }
    all_by! { text: deserialize_str deserialize_string deserialize_char deserialize_identifier }
    all_by! { text: deserialize_bytes deserialize_byte_buf }
    all_by! { map: deserialize_map }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.map(visitor),
            Kind::Scalar { text, .. } if scalar::is_open(self.node) => match scalar::guess(text) {
                Some(value) => value.show(visitor),
                None => visitor.visit_str(text),
            },
            Kind::Scalar { text, .. } => visitor.visit_str(text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::Scalar { text, .. } if scalar::is_open(self.node) => match text.parse() {
                Ok(it) => visitor.visit_bool(it),
                Err(_) => self.unexpected(&visitor),
            },
            _ => self.unexpected(&visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            // `name: {}`: options were asked for, and there are none.
            Kind::Map(entries) if entries.is_empty() => visitor.visit_unit(),
            _ => self.unexpected(&visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_unit(visitor)
    }

    /// The types of [`placed`] ask by a name that no type of a user has.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        let Reader { node, found } = self;
        match name {
            placed::PLACED => visitor.visit_seq(Parts::new(Part::place(node.at).chain([Part::Node(node)]), found)),
            placed::TRY => visitor.visit_seq(Parts::new([Part::Attempt(node)], found)),
            placed::NODE => visitor.visit_seq(Parts::new(Part::raw(node), found)),
            placed::LINE_OR_MAP => match &node.kind {
                Kind::Scalar { text, .. } => {
                    visitor.visit_seq(Parts::new(Part::place(node.at).chain([Part::Text(text)]), found))
                }
                Kind::Map(_) => visitor.visit_newtype_struct(self),
                Kind::Null | Kind::List(_) => self.unexpected(&visitor),
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match (&self.node.kind, &self.node.written) {
            (Kind::List(items), _) => visitor.visit_seq(Items { items: items.iter(), found: self.found }),
            (Kind::Scalar { text, .. }, Some(_)) => {
                let item = |text: &str| Node {
                    kind: Kind::Scalar { text: text.to_owned(), plain: true },
                    ..self.node.clone()
                };
                let items: Vec<Node> = comma_items(text).map(item).collect();
                visitor.visit_seq(Items { items: items.iter(), found: self.found })
            }
            // Most types refuse it here, in the same words as `unexpected`; one that takes a list or a word does not.
            (Kind::Scalar { text, .. }, None) => visitor.visit_str(text),
            (Kind::Null | Kind::Map(_), _) => self.unexpected(&visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    /// Unknown keys are recorded and skipped, so one look shows them all. Nothing at all reads as no keys: whether
    /// that is enough is for the struct to say.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let entries: &[Entry] = match &self.node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            Kind::Scalar { .. } | Kind::List(_) => return self.unexpected(&visitor),
        };
        for Entry { key, at, .. } in entries.iter().filter(|entry| !fields.contains(&&*entry.key)) {
            let problem = Problem::new(*at, format!("unknown key `{key}`"));
            self.found.borrow_mut().push(problem.help(known_instead(key, fields)));
        }
        visitor.visit_map(Fields { entries: entries.iter(), value: None, known: Some(fields), found: self.found })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::Scalar { .. } => visitor.visit_enum(Choice { name: self.node, value: None, found: self.found }),
            Kind::Map(entries) if entries.len() == 1 => {
                let name = key_node(&entries[0]);
                visitor.visit_enum(Choice { name: &name, value: Some(&entries[0].value), found: self.found })
            }
            Kind::Map(_) => Err(Failure::custom(format_args!("expected exactly one key: {}", one_of(variants)))),
            Kind::Null | Kind::List(_) => Err(Failure::expected(one_of(variants), failure::shown(self.node))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }
}

/// What to write instead of an unknown key.
fn known_instead(key: &str, known: &'static [&'static str]) -> String {
    match did_you_mean(key, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "no key is known here".to_owned(),
        None => format!("known keys are {}", quoted(known, ", ")),
    }
}

fn one_of(variants: &'static [&'static str]) -> String {
    quoted(variants, " or ")
}

fn quoted(words: &'static [&'static str], between: &str) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests;
