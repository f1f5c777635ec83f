//! JSON Schemas of arguments and answers, as small and plain as the strictest client wants them: no references, no
//! unions with null, no number formats. A model pays for each word of them.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The schema of what a tool takes.
pub(super) fn of_arguments<T: JsonSchema>() -> Arc<JsonObject> {
    Arc::new(plain::<T>(SchemaSettings::draft2020_12()))
}

/// The schema of what a tool answers. A failed call answers with a code instead, under the same schema: some clients
/// check that answer too, so that no member can be required.
pub(super) fn of_answer<T: JsonSchema>() -> Arc<JsonObject> {
    let mut schema = plain::<T>(SchemaSettings::draft2020_12().for_serialize());
    schema.remove("required");
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, description) in [
            ("code", "Only when the call failed: what is wrong, such as table_not_found"),
            ("message", "Only when the call failed: what is wrong, in a sentence"),
            ("hint", "Only when the call failed: how to mend it"),
            ("query_id", "The query's id, as system.queries lists it"),
        ] {
            properties.entry(name).or_insert_with(|| json!({"type": "string", "description": description}));
        }
    }
    Arc::new(schema)
}

fn plain<T: JsonSchema>(settings: SchemaSettings) -> JsonObject {
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    simplify(&mut schema);
    match schema {
        Value::Object(mut object) => {
            object.remove("title");
            object.remove("description");
            object.entry("type").or_insert_with(|| json!("object"));
            object.entry("properties").or_insert_with(|| json!({}));
            object
        }
        _ => JsonObject::new(),
    }
}

/// Takes out what no client needs: `null` as a second type (absent says the same), number formats, null defaults.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get("type")
                && let Some(one) = types.iter().find(|name| *name != "null").cloned()
            {
                object.insert("type".to_owned(), one);
            }
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            if object.get("items").is_some_and(Value::is_boolean) {
                object.insert("items".to_owned(), json!({"description": "A value of its column's type"}));
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(simplify);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify),
        _ => {}
    }
}
