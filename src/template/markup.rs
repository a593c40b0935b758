//! HTML as Flask writes it: what is escaped, where, and how, byte for byte as Jinja2 with MarkupSafe does.

use std::fmt::Write;
use std::io;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, filters};
use serde::Serialize;

/// More work than any page is, and less than a loop without an end.
const FUEL: u64 = 1_000_000;

/// An environment with Flask's settings and no templates.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|name| {
        let escaped = [".html", ".htm", ".xml", ".xhtml", ".svg"].iter().any(|end| name.ends_with(end));
        if escaped { AutoEscape::Html } else { AutoEscape::None }
    });
    environment.set_formatter(write_value);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("forceescape", |value: Value| Value::from_safe_string(escaped(&value.to_string())));
    environment.add_filter("tojson", to_json);
    environment.add_filter("urlencode", url_encode);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    // It would show a page's readers all that a template can read.
    environment.remove_global("debug");
    environment
}

fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match state.auto_escape() {
        AutoEscape::None => write!(out, "{value}")?,
        _ if value.is_safe() => write!(out, "{value}")?,
        _ => match value.as_str() {
            Some(text) => write_escaped(out, text)?,
            None => write_escaped(out, &value.to_string())?,
        },
    }
    Ok(())
}

fn escape(value: Value) -> Value {
    if value.is_safe() { value } else { Value::from_safe_string(escaped(&value.to_string())) }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    write_escaped(&mut out, text).expect("a text takes everything");
    out
}

/// MarkupSafe's five: no other character is touched, so a `/` stays one.
fn write_escaped(out: &mut impl Write, text: &str) -> std::fmt::Result {
    let mut left = text;
    while let Some(at) = left.find(['&', '<', '>', '"', '\'']) {
        out.write_str(&left[..at])?;
        out.write_str(match left.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&#34;",
            _ => "&#39;",
        })?;
        left = &left[at + 1..];
    }
    out.write_str(left)
}

/// As Python quotes: a slash stays one in a text, and a map becomes a query.
fn url_encode(value: &Value) -> Result<String, Error> {
    let encoded = filters::urlencode(value)?.replace("%7E", "~");
    Ok(if value.kind() == ValueKind::Map { encoded.replace("%20", "+").replace('/', "%2F") } else { encoded })
}

/// The number, else `default`, else 0: Jinja2 never fails here.
fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    named: Kwargs,
) -> Result<Value, Error> {
    let default = default.or(named.get("default")?).unwrap_or_else(|| Value::from(0));
    filters::int(state, value, Some(default), base, named)
}

/// The same, not rounded.
fn float(state: &State<'_, '_>, value: &Value, default: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let default = default.or(named.get("default")?).unwrap_or_else(|| Value::from(0.0));
    filters::float(state, value, Some(default), named)
}

/// JSON that may stand in HTML, keys sorted and in ASCII.
fn to_json(value: &Value) -> Result<Value, Error> {
    let failed = |_| Error::new(ErrorKind::BadSerialization, "a value has no JSON form");
    let mut tree = serde_json::to_value(value).map_err(failed)?;
    tree.sort_all_objects();
    let mut out = Vec::with_capacity(128);
    tree.serialize(&mut serde_json::Serializer::with_formatter(&mut out, InHtml)).map_err(failed)?;
    Ok(Value::from_safe_string(String::from_utf8_lossy(&out).into_owned()))
}

/// As Python writes JSON, and without the characters that mean something in HTML.
struct InHtml;

impl serde_json::ser::Formatter for InHtml {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            match c {
                '<' | '>' | '&' | '\'' | '\u{7f}'.. => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(out, "\\u{unit:04x}")?;
                    }
                }
                c => out.write_all(&[c as u8])?,
            }
        }
        Ok(())
    }
}
