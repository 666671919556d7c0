//! How much memory a JSON value takes.

use std::mem;

use serde_json::{Map, Value};

/// What a field takes besides its name and its value: the entry of the map, its hash and its place in the index.
const FIELD: usize =
    mem::size_of::<(String, Value)>() - mem::size_of::<Value>() + 2 * mem::size_of::<usize>();

/// The approximate memory of a value, in bytes. A number in a list takes many times its JSON.
pub fn weight(value: &Value) -> usize {
    let content = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(fields) => weight_of_fields(fields),
    };
    mem::size_of::<Value>() + content
}

/// The approximate memory of some fields, in bytes.
pub fn weight_of_fields(fields: &Map<String, Value>) -> usize {
    fields.iter().map(|(name, value)| weight_of_field(name, value)).sum()
}

/// The approximate memory of a field, in bytes.
pub fn weight_of_field(name: &str, value: &Value) -> usize {
    FIELD + name.len() + weight(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_counts_and_not_only_its_text() {
        let one = mem::size_of::<Value>();
        assert_eq!(weight(&json!(1)), one);
        assert_eq!(weight(&json!("abc")), one + 3);
        assert_eq!(weight(&json!([1, [2, "abc"]])), 5 * one + 3);
        assert_eq!(weight(&json!({ "ab": 1 })), 2 * one + FIELD + 2);
    }
}
