//! A JSON Schema, compiled at load: its patterns in linear time, and nothing fetched from anywhere.

use std::path::Path;

use hilum_filters::api::{Kind, Node, Problem};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Compiles the schema in a file, named relative to `folder`, or written in place.
pub(super) fn compile(written: &Node, folder: &Path, problems: &mut Vec<Problem>) -> Option<Validator> {
    let compiled = match &written.kind {
        Kind::Scalar { text, .. } => {
            read(&folder.join(text)).and_then(|schema| build(&schema)).map_err(|why| format!("`{text}` {why}"))
        }
        Kind::Map(_) => build(&value_of(written)).map_err(|why| format!("this schema {why}")),
        Kind::Null | Kind::List(_) => Err("expected a JSON Schema, or the name of a file with one".to_owned()),
    };
    compiled.map_err(|why| Problem::new(written.at, written.redact(why)).record(problems)).ok()
}

fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read(path).map_err(|e| format!("can't be read: {e}"))?;
    serde_json::from_slice(&text).map_err(|e| format!("is not JSON: {e}"))
}

fn build(schema: &Value) -> Result<Validator, String> {
    if let Some(reference) = remote(schema) {
        return Err(format!(
            "refers to `{reference}`: nothing is fetched, so write it under `$defs` and refer to it as `#/$defs/NAME`"
        ));
    }
    jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|e| match e.instance_path().as_str() {
            "" => format!("can't be used: {e}"),
            place => format!("can't be used: {e}, at `{place}`"),
        })
}

/// The first reference that leads out of the schema.
fn remote(schema: &Value) -> Option<&str> {
    match schema {
        Value::Object(entries) => entries.iter().find_map(|(key, value)| match (key.as_str(), value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(to)) if !to.starts_with('#') => Some(to.as_str()),
            // What a value may be is no part of the schema itself.
            ("const" | "enum" | "default" | "examples", _) => None,
            (_, value) => remote(value),
        }),
        Value::Array(items) => items.iter().find_map(remote),
        _ => None,
    }
}

/// What is written in YAML as JSON: a plain word that is a JSON literal is that, every other one a text.
fn value_of(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Scalar { text, plain } => match serde_json::from_str(text) {
            Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) if *plain => value,
            _ => Value::String(text.clone()),
        },
        Kind::List(items) => items.iter().map(value_of).collect(),
        Kind::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), value_of(&entry.value))).collect(),
    }
}
