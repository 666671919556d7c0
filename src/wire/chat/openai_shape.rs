//! Chunks that are delivered as they came, except for what no consumer of OpenAI's chunks can read.

use std::fmt::Write as _;

use super::chunk::Chunk;
use crate::wire::json::{entries, fields};

impl Chunk<'_> {
    /// The JSON of this chunk with a delta in each choice, and without an `error` that says nothing but that JavaScript
    /// takes for one. `None` if the chunk has this shape already.
    pub fn in_openai_shape(&self, raw: &str) -> Option<String> {
        let lacks_delta = self.choices.iter().flatten().any(|choice| choice.delta.is_none());
        // `read` has found that it is not an error.
        let has_error = self.error.is_some_and(|error| error.get().starts_with(['{', '[']));
        if !lacks_delta && !has_error {
            return None;
        }
        let mut chunk = fields(raw)?;
        chunk.retain(|(name, _)| !(has_error && name == "error"));
        let choices = chunk.iter().rfind(|(name, _)| name == "choices")?.1;
        let choices: Vec<String> = entries(choices)?.into_iter().map(with_delta).collect();
        let choices = format!("[{}]", choices.join(","));
        chunk.retain(|(name, _)| name != "choices");
        chunk.push(("choices".to_owned(), &choices));
        Some(object(&chunk))
    }
}

fn with_delta(choice: &str) -> String {
    let Some(mut all) = fields(choice) else { return choice.to_owned() };
    if all.iter().rfind(|(name, _)| name == "delta").is_some_and(|(_, delta)| delta.starts_with('{')) {
        return choice.to_owned();
    }
    all.retain(|(name, _)| name != "delta");
    all.push(("delta".to_owned(), "{}"));
    object(&all)
}

fn object(fields: &[(String, &str)]) -> String {
    let mut json = String::from("{");
    for (name, value) in fields {
        let comma = if json.len() > 1 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(json, "{comma}{}:{value}", serde_json::Value::from(name.as_str()));
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::super::{StreamEvent, read};

    fn shaped(json: &str) -> Option<String> {
        let StreamEvent::Chunk(chunk) = read(None, json).unwrap() else { panic!("not a chunk: {json}") };
        chunk.in_openai_shape(json)
    }

    #[test]
    fn a_missing_delta_is_added_and_nothing_else_changes() {
        for choice in [
            r#"{"index":0,"finish_reason":"stop""#,
            r#"{"index":0,"message":{},"finish_reason":"stop""#,
            r#"{"index":0,"content_filter_results":{"n":12345678901234567890}"#,
        ] {
            let json = format!(r#"{{"id":"a","x":1e400,"choices":[{choice}}}]}}"#);
            let expected = format!(r#"{{"id":"a","x":1e400,"choices":[{choice},"delta":{{}}}}]}}"#);
            assert_eq!(shaped(&json).as_deref(), Some(expected.as_str()));
        }
        let null = r#"{"choices":[{"delta":null,"index":0}]}"#;
        assert_eq!(shaped(null).as_deref(), Some(r#"{"choices":[{"index":0,"delta":{}}]}"#));
        assert_eq!(shaped(r#"{"choices":[{"index":0,"delta":{}}],"error":null}"#), None);
        assert_eq!(shaped(r#"{"choices":[]}"#), None);
    }

    #[test]
    fn an_error_that_says_nothing_is_removed() {
        for error in ["{}", "[]", r#"{"code":0,"message":""}"#] {
            let json = format!(r#"{{"id":"a","error":{error},"choices":[{{"index":0,"delta":{{}}}}]}}"#);
            let expected = r#"{"id":"a","choices":[{"index":0,"delta":{}}]}"#;
            assert_eq!(shaped(&json).as_deref(), Some(expected), "{error}");
        }
    }
}
