//! JSON Schemas for editors, from the same structs that read the files.

use hilum_filters::api::Registration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::route::{Own, Shared};
use super::routes::{File, Group};

/// The schema of `routes.yaml`, with the options of these filters.
pub fn routes(registrations: &[&'static [Registration]]) -> Schema {
    let mut generator = SchemaGenerator::default();
    let mut file = properties(&File::json_schema(&mut generator));
    let shared = shared(registrations, &mut generator);
    let entry = |own: Value, required: &[&str]| {
        let mut all = own.as_object().cloned().unwrap_or_default();
        all.extend(shared.as_object().cloned().unwrap_or_default());
        json!({ "type": "object", "properties": all, "required": required, "additionalProperties": false })
    };
    let route = entry(properties(&Own::json_schema(&mut generator)), &["match"]);
    let mut group = properties(&Group::json_schema(&mut generator));
    group["routes"] = json!({ "type": "array", "items": { "$ref": "#/$defs/RouteOrGroup" } });
    let group = entry(group, &["group", "routes"]);
    file["routes"] = json!({ "type": "array", "items": { "$ref": "#/$defs/RouteOrGroup" }, "minItems": 1 });
    file["defaults"] = json!({ "type": "object", "properties": shared, "additionalProperties": false });
    let mut definitions: serde_json::Map<String, Value> = generator.take_definitions(true);
    definitions.values_mut().for_each(or_a_variable);
    definitions.insert("RouteOrGroup".to_owned(), json!({ "anyOf": [route, group] }));
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "routes.yaml",
        "type": "object",
        "properties": file,
        "required": ["version", "routes"],
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// The schema of `conf/hilum.yaml`.
pub fn conf() -> Schema {
    let mut schema = schemars::schema_for!(super::conf::Conf).into();
    or_a_variable(&mut schema);
    // An object stays one.
    schema.try_into().expect("a schema")
}

/// What groups and defaults hand down, `cors` and `filters` with the options of the filters themselves.
fn shared(registrations: &[&'static [Registration]], generator: &mut SchemaGenerator) -> Value {
    let mut shared = properties(&Shared::json_schema(generator));
    shared["cors"] = (hilum_filters::CORS.schema)(generator).into();
    let mut forms: Vec<Value> = Vec::new();
    for registration in registrations.iter().flat_map(|list| list.iter()) {
        let options: Value = (registration.schema)(generator).into();
        let mut entry =
            json!({ "type": "object", "properties": {}, "additionalProperties": false, "minProperties": 1 });
        entry["properties"][registration.name] = options;
        forms.extend([json!({ "const": registration.name }), entry]);
    }
    // `properties` did the same for the rest.
    shared.as_object_mut().and_then(|shared| shared.get_mut("cors")).into_iter().for_each(or_a_variable);
    forms.iter_mut().for_each(or_a_variable);
    shared["filters"] = json!({ "type": "array", "items": { "anyOf": forms } });
    shared
}

fn properties(schema: &Schema) -> Value {
    let mut properties = schema.get("properties").cloned().unwrap_or_else(|| json!({}));
    properties.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut).for_each(or_a_variable);
    properties
}

/// Lets a text with a `${VAR}` stand for every text, number, boolean and list below, as the reader does. What it holds is known
/// only where it runs.
fn or_a_variable(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    for (key, inner) in object.iter_mut() {
        match (key.as_str(), inner) {
            ("properties" | "$defs", Value::Object(named)) => named.values_mut().for_each(or_a_variable),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(all)) => all.iter_mut().for_each(or_a_variable),
            ("items" | "additionalProperties", inner) => or_a_variable(inner),
            _ => {}
        }
    }
    let is_type = |names: &[&str]| object.get("type").and_then(Value::as_str).is_some_and(|name| names.contains(&name));
    let narrow = ["pattern", "enum", "const"].iter().any(|key| object.contains_key(*key));
    if narrow || is_type(&["number", "integer", "boolean", "array"]) {
        *schema = json!({ "anyOf": [schema.take(), { "type": "string", "pattern": r"\$\{" }] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the schema takes a file with `more` at the end of its one route.
    #[track_caller]
    fn check(cases: &[(&str, bool)]) {
        let schema: Value = routes(&[hilum_filters::FILTERS]).into();
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        for (more, good) in cases {
            let text = format!("{{ version: 1, routes: [{{ match: /, auth: public, respond: {{}}, {more} }}] }}");
            let file: Value = serde_saphyr::from_str(&text).expect("YAML");
            assert_eq!(validator.is_valid(&file), *good, "{text}");
        }
    }

    #[test]
    fn a_variable_may_stand_where_the_reader_takes_one() {
        check(&[
            (r#"cors: { origins: "${CORS_ORIGINS:-http://localhost:5000}" }"#, true),
            (r#"cors: { origins: ["${ONE}", "https://a.example"] }"#, true),
            (r#"cors: { origins: "*", credentials: "${YES}", max_age: "${AGE:-5m}" }"#, true),
            (r#"cors: { origins: "https://a.example,https://b.example" }"#, false),
            (r#"cors: { origins: ["a.example"] }"#, false),
            (r#"cors: { origins: "*", max_age: 5 }"#, false),
            (r#"limits: { body: "${SIZE:-1MiB}", time: "${TIME}" }"#, true),
            ("limits: { body: 1MB }", false),
            (r#"filters: [{ ip_allow: { allow: "${NETWORKS}" } }]"#, true),
            ("filters: [security_headers, { headers: { response: { remove: [Server] } } }]", true),
            ("filters: [{ headers: { response: { remov: [Server] } } }]", false),
            (r#"filters: "${FILTERS}""#, false),
            ("require: [{ unless: claims.a, reason: not_owner, status: 404 }]", true),
            ("require: [{ ask: { service: s, path: /a, keep: 5s }, as: it, reason: not_owner, missing: x }]", true),
            ("require: [{ unless: claims.a }]", false),
            ("require: [{ ask: { service: s }, reason: not_owner }]", false),
            ("require: [{ ask: { service: s, path: /a, keep: 5 }, reason: not_owner }]", false),
        ]);
    }
}
