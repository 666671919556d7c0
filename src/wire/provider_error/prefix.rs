//! JSON that was cut off, as the first bytes of a long body are.

use serde_json::Value;

/// Parses JSON, or the whole values at the beginning of JSON that was cut off. A text that was cut off is kept as far as
/// it goes. Takes linear time.
pub(super) fn parse(text: &str) -> Option<Value> {
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(error) if error.is_eof() && text.trim_start().starts_with(['{', '[']) => close(text),
        Err(_) => None,
    }
}

/// Closes the open brackets, once behind the open text and once behind the last comma.
fn close(text: &str) -> Option<Value> {
    let mut open = Vec::new();
    let mut last_comma = None;
    let (mut in_text, mut escaped) = (false, false);
    // How many bytes of an escape have been seen behind its backslash.
    let mut escape_start = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => (escaped, escape_start) = (true, at),
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' => open.push('}'),
            b'[' => open.push(']'),
            b'}' | b']' => drop(open.pop()),
            b',' => last_comma = Some((at, open.len())),
            _ => {}
        }
    }
    let closed = |text: &str, end: &str, open: &[char]| {
        let closed: String = text.chars().chain(end.chars()).chain(open.iter().rev().copied()).collect();
        serde_json::from_str(&closed).ok()
    };
    if in_text {
        // A cut `\` or `\u12` is left out.
        let is_cut = escaped || text.len() - escape_start < 6 && text[escape_start..].starts_with("\\u");
        let whole = if is_cut { &text[..escape_start] } else { text };
        // A name is followed by a colon, which is why a cut name fails here.
        if let Some(value) = closed(whole, "\"", &open) {
            return Some(value);
        }
    } else if let Some(value) = closed(text, "", &open) {
        return Some(value);
    }
    let (end, depth) = last_comma?;
    // The brackets that were open at the comma are a prefix of those that are open now, or have been closed since.
    (depth <= open.len()).then(|| closed(&text[..end], "", &open[..depth])).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_whole_values_of_cut_json_are_read() {
        for (text, value) in [
            (r#"{"error":{"message":"too long: abc"#, json!({ "error": { "message": "too long: abc" } })),
            (r#"{"error":{"message":"m","code":4"#, json!({ "error": { "message": "m", "code": 4 } })),
            (r#"{"error":{"message":"m","co"#, json!({ "error": { "message": "m" } })),
            (r#"{"error":{"message":"m","code":"#, json!({ "error": { "message": "m" } })),
            (r#"{"error":{"message":"m","code":nul"#, json!({ "error": { "message": "m" } })),
            (r#"{"error":{"message":"a\"b\u00"#, json!({ "error": { "message": "a\"b" } })),
            (r#"{"error":{"message":"a\"#, json!({ "error": { "message": "a" } })),
            (r#"[{"error":{"message":"m"},"#, json!([{ "error": { "message": "m" } }])),
            (r#"{"a":[1,2"#, json!({ "a": [1, 2] })),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for text in ["", "{", r#"{"a"#, "nul", "{]", r#"{"a":1}}"#, "<html>"] {
            assert!(parse(text).is_none_or(|value| value == json!({})), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_prefix_causes_a_panic(text in "[{}\\[\\]\",:\\\\u0-9aé]{0,40}") {
            parse(&text);
        }

        #[test]
        fn every_prefix_of_an_error_with_its_message_keeps_it(end in 23..60_usize) {
            let text = r#"{"error":{"message":"m","type":"t","list":[1,{"a":"é"}],"code":null}}"#;
            if text.is_char_boundary(end) {
                let value = parse(&text[..end]).unwrap();
                prop_assert_eq!(&value["error"]["message"], &json!("m"));
            }
        }
    }
}
