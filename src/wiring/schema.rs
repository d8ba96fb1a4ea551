//! What the settings of a plugin may be, for whoever wants to change them.

use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The JSON Schema of `T`, with `defaults` as the default of each setting.
pub(super) fn of<T: ToSchema>(defaults: &Value) -> Value {
    let schema = serde_json::to_value(T::schema()).unwrap_or_default();
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    join(&mut schema);
    add_defaults(&mut schema, defaults);
    let dialect = "https://json-schema.org/draft/2020-12/schema";
    schema.insert("$schema".to_owned(), dialect.into());
    Value::Object(schema)
}

/// A group of settings comes as its schema and its default under `allOf`; forms read one object.
fn join(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(parts)) = schema.remove("allOf") {
        let parts = parts.into_iter();
        for (name, value) in parts.filter_map(|part| part.as_object().cloned()).flatten() {
            schema.entry(name).or_insert(value);
        }
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    let groups = properties.into_iter().flat_map(Map::values_mut);
    groups.filter_map(Value::as_object_mut).for_each(join);
}

fn add_defaults(schema: &mut Map<String, Value>, defaults: &Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    let Some(properties) = properties else {
        return;
    };
    for (name, default) in defaults.as_object().into_iter().flatten() {
        if let Some(property) = properties.get_mut(name).and_then(Value::as_object_mut) {
            add_defaults(property, default);
            property.insert("default".to_owned(), default.clone());
        }
    }
}
