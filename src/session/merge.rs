//! Merges unknown fields over the chunks of an answer.

use serde_json::{Map, Value};

/// String fields that identify something: a repeated value replaces the earlier one. Any other string is
/// appended.
const IDENTIFIERS: &[&str] =
    &["id", "type", "name", "role", "format", "object", "model", "provider", "title", "url"];

/// How many entries of a list are searched for one with the same index. Entries beyond are appended.
const MAX_INDEXED: usize = 256;

/// Merges the fields of one chunk into those of the chunks before it. Strings and lists are appended, objects
/// are merged field by field, and list entries with an `index` are merged by it. Any other value replaces the
/// earlier one. This is how OpenAI's Python SDK accumulates deltas (`_deltas.py`).
pub fn merge(fields: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (fields.get_mut(&name), value) {
            (Some(Value::Object(existing)), Value::Object(more)) => merge(existing, more),
            (Some(Value::Array(list)), Value::Array(more)) => {
                for entry in more {
                    merge_entry(list, entry);
                }
            }
            (Some(Value::String(text)), Value::String(more)) if !IDENTIFIERS.contains(&name.as_str()) => {
                text.push_str(&more);
            }
            (Some(_), Value::Null) => {}
            (_, value) => {
                fields.insert(name, value);
            }
        }
    }
}

/// Inserts the fields that are missing.
pub(super) fn insert_missing(fields: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (name, value) in extra {
        fields.entry(name.as_str()).or_insert_with(|| value.clone());
    }
}

fn merge_entry(list: &mut Vec<Value>, entry: Value) {
    let index = entry.get("index").filter(|index| index.is_u64());
    let position = index
        .and_then(|index| list.iter().take(MAX_INDEXED).position(|entry| entry.get("index") == Some(index)));
    match (position.and_then(|position| list.get_mut(position)), entry) {
        (Some(Value::Object(existing)), Value::Object(more)) => merge(existing, more),
        (_, entry) => list.push(entry),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(chunks: &[Value]) -> Value {
        let mut all = Map::new();
        for chunk in chunks {
            merge(&mut all, chunk.as_object().unwrap().clone());
        }
        all.into()
    }

    #[test]
    fn strings_and_lists_are_appended_and_identifiers_replaced() {
        let chunks = [
            json!({ "details": [{ "index": 0, "type": "text", "text": "th" }], "n": 1 }),
            json!({ "details": [{ "index": 0, "type": "text", "text": "ink", "sig": "s" }], "n": 2 }),
            json!({ "details": [{ "index": 1, "type": "text", "text": "more" }], "n": null }),
        ];
        let details = json!([
            { "index": 0, "type": "text", "text": "think", "sig": "s" },
            { "index": 1, "type": "text", "text": "more" },
        ]);
        assert_eq!(merged(&chunks), json!({ "details": details, "n": 2 }));
    }

    #[test]
    fn entries_without_an_index_are_appended() {
        let chunks = [json!({ "annotations": [{ "url": "a" }] }), json!({ "annotations": [{ "url": "b" }] })];
        assert_eq!(merged(&chunks), json!({ "annotations": [{ "url": "a" }, { "url": "b" }] }));
    }
}
