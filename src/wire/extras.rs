//! What a chunk says beyond the fields that the engine reads: an answer that is put together from chunks
//! has it too (`annotations`, `citations`, `reasoning_details`, `content_filter_results`, …).

use serde_json::{Map, Value};

/// Read elsewhere, or said of the chunk alone: `obfuscation` is OpenAI's padding against eavesdroppers.
const OF_A_CHUNK: &[&str] = &[
    "id",
    "object",
    "created",
    "model",
    "system_fingerprint",
    "service_tier",
    "choices",
    "usage",
    "error",
    "obfuscation",
];
const OF_A_CHOICE: &[&str] = &["index", "delta", "finish_reason", "logprobs"];
const OF_A_DELTA: &[&str] =
    &["role", "content", "reasoning_content", "refusal", "tool_calls", "function_call"];

/// The fields that nobody reads. Nulls are none.
#[derive(Debug, Default)]
pub struct Extras {
    pub chunk: Map<String, Value>,
    pub choices: Vec<OfChoice>,
}

#[derive(Debug, Default)]
pub struct OfChoice {
    pub index: u32,
    pub choice: Map<String, Value>,
    pub delta: Map<String, Value>,
}

/// Reads the JSON of a chunk once more; nothing where it is none.
pub fn extras(chunk: &str) -> Extras {
    let Ok(Value::Object(mut chunk)) = serde_json::from_str(chunk) else { return Extras::default() };
    let choices = match chunk.get_mut("choices").map(Value::take) {
        Some(Value::Array(choices)) => choices,
        _ => Vec::new(),
    };
    let choices = choices.into_iter().filter_map(|choice| {
        let Value::Object(mut choice) = choice else { return None };
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or_default();
        let delta = match choice.get_mut("delta").map(Value::take) {
            Some(Value::Object(delta)) => delta,
            _ => Map::new(),
        };
        Some(OfChoice {
            index: u32::try_from(index).ok()?,
            choice: without(choice, OF_A_CHOICE),
            delta: without(delta, OF_A_DELTA),
        })
    });
    Extras { choices: choices.collect(), chunk: without(chunk, OF_A_CHUNK) }
}

fn without(mut fields: Map<String, Value>, known: &[&str]) -> Map<String, Value> {
    fields.retain(|name, value| !value.is_null() && !known.contains(&name.as_str()));
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_reads_is_found_on_each_level() {
        let chunk = json!({
            "id": "a", "citations": [1], "obfuscation": "x", "cost": null,
            "choices": [{ "index": 1, "delta": { "content": "x", "annotations": [2] }, "native_finish_reason": "e" }],
        });
        let Extras { chunk, choices } = extras(&chunk.to_string());
        assert_eq!(Value::from(chunk), json!({ "citations": [1] }));
        assert_eq!((choices.len(), choices[0].index), (1, 1));
        assert_eq!(Value::from(choices[0].delta.clone()), json!({ "annotations": [2] }));
        assert_eq!(Value::from(choices[0].choice.clone()), json!({ "native_finish_reason": "e" }));
    }

    #[test]
    fn what_is_no_chunk_has_none() {
        for text in ["[1]", "{", r#"{"choices":[1,{"delta":null}]}"#] {
            let Extras { chunk, choices } = extras(text);
            assert!(chunk.is_empty() && choices.iter().all(|choice| choice.delta.is_empty()), "{text}");
        }
    }
}
