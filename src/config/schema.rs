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
    shared["filters"] = json!({ "type": "array", "items": { "anyOf": forms } });
    shared
}

fn properties(schema: &Schema) -> Value {
    schema.get("properties").cloned().unwrap_or_else(|| json!({}))
}
