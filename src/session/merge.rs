//! Fields that the engine does not know, put together over the chunks of an answer.

use serde_json::{Map, Value};

/// Strings that name something, and are said again as they are. Every other one is a part of a text.
const NAMES: &[&str] =
    &["id", "type", "name", "role", "format", "object", "model", "provider", "title", "url"];

/// Adds what one chunk says to what the chunks before it said: texts and lists grow, objects are merged
/// field by field, entries of lists by their `index` where they have one, and of anything else the last
/// word counts. As the deltas of OpenAI's Python SDK are (`_deltas.py`).
pub fn merge(all: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (all.get_mut(&name), value) {
            (Some(Value::Object(have)), Value::Object(more)) => merge(have, more),
            (Some(Value::Array(have)), Value::Array(more)) => {
                for entry in more {
                    add(have, entry);
                }
            }
            (Some(Value::String(have)), Value::String(more)) if !NAMES.contains(&name.as_str()) => {
                have.push_str(&more);
            }
            (Some(_), Value::Null) => {}
            (_, value) => {
                all.insert(name, value);
            }
        }
    }
}

fn add(list: &mut Vec<Value>, entry: Value) {
    let index = entry.get("index").filter(|index| index.is_u64());
    let place = index.and_then(|index| list.iter().position(|have| have.get("index") == Some(index)));
    match (place.and_then(|place| list.get_mut(place)), entry) {
        (Some(Value::Object(have)), Value::Object(more)) => merge(have, more),
        (_, entry) => list.push(entry),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(parts: &[Value]) -> Value {
        let mut all = Map::new();
        for part in parts {
            merge(&mut all, part.as_object().unwrap().clone());
        }
        all.into()
    }

    #[test]
    fn texts_and_lists_grow_and_names_stay() {
        let parts = [
            json!({ "details": [{ "index": 0, "type": "text", "text": "th" }], "n": 1 }),
            json!({ "details": [{ "index": 0, "type": "text", "text": "ink", "sig": "s" }], "n": 2 }),
            json!({ "details": [{ "index": 1, "type": "text", "text": "more" }], "n": null }),
        ];
        let details = json!([
            { "index": 0, "type": "text", "text": "think", "sig": "s" },
            { "index": 1, "type": "text", "text": "more" },
        ]);
        assert_eq!(merged(&parts), json!({ "details": details, "n": 2 }));
    }

    #[test]
    fn entries_without_an_index_are_each_their_own() {
        let parts = [json!({ "annotations": [{ "url": "a" }] }), json!({ "annotations": [{ "url": "b" }] })];
        assert_eq!(merged(&parts), json!({ "annotations": [{ "url": "a" }, { "url": "b" }] }));
    }
}
