//! The fields of a chunk that the engine does not read (`annotations`, `citations`, `reasoning_details`,
//! `content_filter_results`, …). An answer that is assembled from chunks has them too.

use serde_json::{Map, Value};

use super::json::{self, Halved, Step, TooLarge};

/// Fields that are read elsewhere, and `obfuscation`, OpenAI's padding against eavesdroppers.
const CHUNK_FIELDS: &[&str] = &[
    "id",
    "object",
    "created",
    "model",
    "system_fingerprint",
    "service_tier",
    "choices",
    "usage",
    "x_groq",
    "error",
    "obfuscation",
];
const CHOICE_FIELDS: &[&str] =
    &["index", "delta", "message", "text", "finish_reason", "logprobs", "usage", "error"];
const DELTA_FIELDS: &[&str] =
    &["role", "content", "reasoning_content", "refusal", "tool_calls", "function_call"];

/// The extra fields of a chunk; those with null are left out.
#[derive(Debug, Default)]
pub struct Extras {
    pub chunk: Map<String, Value>,
    pub choices: Vec<ChoiceExtras>,
}

/// The extra fields of one choice and of its delta.
#[derive(Debug, Default)]
pub struct ChoiceExtras {
    pub index: u32,
    pub choice: Map<String, Value>,
    pub delta: Map<String, Value>,
    /// The texts in the delta that begin or end with half of a surrogate pair.
    pub halved: Vec<Halved>,
}

/// The extra fields in the JSON of a chunk; none if it is not a chunk.
///
/// # Errors
/// [`TooLarge`] if the chunk takes more than `max` bytes of memory.
pub fn extras(chunk: &str, max: usize) -> Result<Extras, TooLarge> {
    let Some((Value::Object(mut chunk), mut halved)) = json::value_and_halves(chunk, max)? else {
        return Ok(Extras::default());
    };
    let choices = match chunk.get_mut("choices").map(Value::take) {
        Some(Value::Array(choices)) => choices,
        _ => Vec::new(),
    };
    let choices = choices.into_iter().enumerate().filter_map(|(at, choice)| {
        let Value::Object(mut choice) = choice else { return None };
        let index = match choice.get("index") {
            Some(Value::String(index)) => index.trim().parse().ok(),
            index => index.and_then(Value::as_u64),
        };
        let index = index.unwrap_or_default();
        let mut object = |name: &str| match choice.get_mut(name).map(Value::take) {
            Some(Value::Object(fields)) if !fields.is_empty() => Some(fields),
            _ => None,
        };
        let delta = object("delta").or_else(|| object("message")).unwrap_or_default();
        Some(ChoiceExtras {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            choice: without(choice, CHOICE_FIELDS),
            delta: without(delta, DELTA_FIELDS),
            halved: halved.extract_if(.., |text| is_in_choice(&text.path, at)).map(in_delta).collect(),
        })
    });
    Ok(Extras { choices: choices.collect(), chunk: without(chunk, CHUNK_FIELDS) })
}

fn is_in_choice(path: &[Step], at: usize) -> bool {
    matches!(path, [Step::Field(choices), Step::Entry(entry), Step::Field(parent), _, ..]
        if choices == "choices" && *entry == at && (parent == "delta" || parent == "message"))
}

/// With its path in the delta.
fn in_delta(mut text: Halved) -> Halved {
    text.path.drain(..3);
    text
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
    fn unread_fields_are_found_on_each_level() {
        let chunk = json!({
            "id": "a", "citations": [1], "obfuscation": "x", "cost": null,
            "choices": [{ "index": 1, "delta": { "content": "x", "annotations": [2] }, "native_finish_reason": "e" }],
        });
        let Extras { chunk, choices } = extras(&chunk.to_string(), 10_000).unwrap();
        assert_eq!(Value::from(chunk), json!({ "citations": [1] }));
        assert_eq!((choices.len(), choices[0].index), (1, 1));
        assert_eq!(Value::from(choices[0].delta.clone()), json!({ "annotations": [2] }));
        assert_eq!(Value::from(choices[0].choice.clone()), json!({ "native_finish_reason": "e" }));
    }

    #[test]
    fn invalid_chunks_have_no_extra_fields() {
        for text in ["[1]", "{", r#"{"choices":[1,{"delta":null}]}"#] {
            let Extras { chunk, choices } = extras(text, 10_000).unwrap();
            assert!(chunk.is_empty() && choices.iter().all(|choice| choice.delta.is_empty()), "{text}");
        }
    }
}
