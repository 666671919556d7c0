//! Merges unknown fields over the chunks of an answer.

use serde_json::{Map, Value};

use crate::weight::{weight, weight_of_field};

/// String fields that identify something: a repeated value replaces the earlier one. Any other string is
/// appended.
const IDENTIFIERS: &[&str] =
    &["id", "type", "name", "role", "format", "object", "model", "provider", "title", "url"];

/// How many entries at the end of a list are searched for one with the same index. Searching all of them would make the
/// work of an answer quadratic.
const MAX_SEARCHED: usize = 16;

/// Whether the text of a field with this name is appended to the earlier one.
pub fn is_appended(name: &str) -> bool {
    !IDENTIFIERS.contains(&name)
}

/// Merges the fields of one chunk into those of the chunks before it. Strings and lists are appended, objects
/// are merged field by field, and list entries with an `index` are merged by it if that is their position, counted from
/// zero or one, or they are among the last 16. Any other value replaces the earlier one. This is how OpenAI's Python SDK
/// accumulates deltas (`_deltas.py`). Takes time for `more` alone, however much is there already.
///
/// Returns by how much the memory of `fields` has grown, in bytes ([`weight`]).
pub fn merge(fields: &mut Map<String, Value>, more: Map<String, Value>) -> isize {
    let mut growth = 0;
    for (name, value) in more {
        match (fields.get_mut(&name), value) {
            (Some(Value::Object(existing)), Value::Object(more)) => growth += merge(existing, more),
            (Some(Value::Array(list)), Value::Array(more)) => {
                growth += more.into_iter().map(|entry| merge_entry(list, entry)).sum::<isize>();
            }
            (Some(Value::String(text)), Value::String(more)) if is_appended(&name) => {
                text.push_str(&more);
                growth += more.len() as isize;
            }
            (Some(_), Value::Null) => {}
            (_, value) => growth += replace(fields, name, value),
        }
    }
    growth
}

/// Sets a field. Returns by how much the memory of `fields` has grown.
pub fn replace(fields: &mut Map<String, Value>, name: String, value: Value) -> isize {
    let added = weight_of_field(&name, &value);
    let earlier = fields.get(&name).map_or(0, |earlier| weight_of_field(&name, earlier));
    fields.insert(name, value);
    added as isize - earlier as isize
}

/// Inserts the fields that are missing.
pub(super) fn insert_missing(fields: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (name, value) in extra {
        fields.entry(name.as_str()).or_insert_with(|| value.clone());
    }
}

fn merge_entry(list: &mut Vec<Value>, entry: Value) -> isize {
    let index_of = |entry: &Value| entry.get("index").and_then(Value::as_u64);
    let position = index_of(&entry).and_then(|index| {
        let numbered = usize::try_from(index).into_iter().flat_map(|index| [index, index.wrapping_sub(1)]);
        let last = (list.len().saturating_sub(MAX_SEARCHED)..list.len()).rev();
        numbered.chain(last).find(|&at| list.get(at).and_then(index_of) == Some(index))
    });
    match (position.and_then(|position| list.get_mut(position)), entry) {
        (Some(Value::Object(existing)), Value::Object(more)) => merge(existing, more),
        (_, entry) => {
            let added = weight(&entry);
            list.push(entry);
            added as isize
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::weight::weight_of_fields;

    fn merged(chunks: &[Value]) -> Value {
        let mut all = Map::new();
        let growth = chunks.iter().map(|chunk| merge(&mut all, chunk.as_object().unwrap().clone()));
        let growth: isize = growth.sum();
        assert_eq!(growth, weight_of_fields(&all) as isize, "the growth is what was added");
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
    fn entries_are_found_by_their_index() {
        let list = |indexes: &mut dyn Iterator<Item = u64>| -> Value {
            json!({ "x": indexes.map(|index| json!({ "index": index, "text": "a" })).collect::<Vec<_>>() })
        };
        for offset in [0, 1] {
            let all = || (0..100).map(|index| index + offset);
            let merged = merged(&[list(&mut all()), list(&mut all().rev())]);
            let entries = merged["x"].as_array().unwrap();
            assert_eq!(entries.len(), 100, "from {offset}");
            assert!(entries.iter().all(|entry| entry["text"] == "aa"));
        }
        let sparse = || [7, 1000, 3].into_iter();
        let merged = merged(&[list(&mut sparse()), list(&mut sparse())]);
        assert_eq!(merged["x"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn entries_without_an_index_are_appended() {
        let chunks = [json!({ "annotations": [{ "url": "a" }] }), json!({ "annotations": [{ "url": "b" }] })];
        assert_eq!(merged(&chunks), json!({ "annotations": [{ "url": "a" }, { "url": "b" }] }));
    }
}
