//! JSON in which every key of every object stands once. Readers differ on which of two equal keys counts (RFC 8259, 4),
//! so a token with `user_type` twice could be a patient's here and a doctor's behind us. RFC 7519, 4 lets us refuse it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// An object, and nothing else, without a doubled key at any depth.
#[derive(Debug)]
pub struct UniqueObject(pub Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueObject {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        match Unique::deserialize(reader)?.0 {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

/// Any value, without a doubled key at any depth.
#[derive(Debug)]
pub struct Unique(pub Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Values).map(Self)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((key, Unique(value))) = entries.next_entry::<String, _>()? {
            if members.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_as_it_was_written() {
        let text = r#"{"z":null,"a":[true,false,-1,18446744073709551615,1.5,"x","\u00e9\n"],"o":{"b":{},"a":[]}}"#;
        let read: UniqueObject = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(read.0), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn doubled_keys_and_other_things_than_objects_are_refused() {
        for (text, why) in [
            (r#"{"a":1,"a":1}"#, "twice"),
            (r#"{"user_type":"patient","user\u005ftype":"doctor"}"#, "twice"),
            (r#"{"m":{"id":1,"id":2}}"#, "twice"),
            (r#"{"l":[{"id":1,"id":2}]}"#, "twice"),
            ("[1,2]", "not an object"),
            ("null", "not an object"),
            (r#""text""#, "not an object"),
            ("{} {}", "trailing"),
            ("{\"a\":1e999}", "out of range"),
        ] {
            let error = serde_json::from_str::<UniqueObject>(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_json_does_not_know_is_refused() {
        use serde::de::value::{BytesDeserializer, Error};
        let error = Unique::deserialize(BytesDeserializer::<Error>::new(b"x")).unwrap_err();
        assert_eq!(error.to_string(), "invalid type: byte array, expected JSON");
    }
}
