use super::*;

fn read(json: &str) -> Chunk<'_> {
    chunk(json).unwrap().unwrap()
}

/// The first choice of a chunk whose first choice is this JSON.
fn choice(json: &str) -> (u32, Option<String>, Option<String>, bool) {
    let json = format!(r#"{{"choices":[{json}]}}"#);
    let mut chunk = read(&json);
    let choice = chunk.choices.as_mut().unwrap().remove(0);
    let text = |text: Option<Text<'_>>| text.map(|text| text.text.into_owned());
    let content = choice.delta.and_then(|delta| text(delta.content));
    (choice.index, content, text(choice.finish_reason), chunk.must_rebuild)
}

fn content(json: &str) -> Option<String> {
    choice(&format!(r#"{{"delta":{{"content":{json}}}}}"#)).1
}

#[test]
fn fields_that_are_not_needed_may_have_any_type() {
    let chunk = read(
        r#"{"id":{},"object":[],"created":"1700000000","created":1e400,"model":{"name":"m"},"choices":
        [{"index":0,"delta":{"role":5,"refusal":false,"reasoning":7,"content":"a","x":1e999}}],"usage":"none"}"#,
    );
    assert!(chunk.id.is_none() && chunk.model.is_none() && chunk.created.is_none());
    let delta = chunk.choices.as_ref().unwrap()[0].delta.as_ref().unwrap();
    assert!(delta.refusal.is_none() && delta.reasoning.is_none());
    assert_eq!(chunk.usage(), None);
    assert_eq!(read(r#"{"created":"1700000000","choices":[]}"#).created, Some(1_700_000_000));
    let usage = read(r#"{"choices":[],"usage":{"total_tokens":5,"x":1e400}}"#).usage();
    assert_eq!(usage, Some(serde_json::json!({ "total_tokens": 5, "x": null })));
}

#[test]
fn text_is_read_in_every_known_form() {
    for (json, text) in [
        (r#""a""#, "a"),
        ("6", "6"),
        ("0.50", "0.5"),
        ("true", "true"),
        (r#"["a","b"]"#, "ab"),
        (r#"[{"type":"thinking","thinking":[]},{"type":"text","text":"a"},{"text":"b"}]"#, "ab"),
        (r#"[{"type":"text","text":null},{"type":"output_text","text":"a"}]"#, "a"),
        (r#"{"type":"text","text":{"value":"a"}}"#, "a"),
        (r#"["\ud83d","\ude00"]"#, "😀"),
    ] {
        assert_eq!(content(json).as_deref(), Some(text), "{json}");
    }
    assert_eq!(content("null"), None);
}

#[test]
fn what_is_needed_and_cannot_be_read_is_named() {
    for (json, message) in [
        (r#"{"choices":"x"}"#, r#"`choices[0]` is "x", expected an object"#),
        (
            r#"{"choices":[{"delta":{"content":{"a":1}}}]}"#,
            r#"`choices[0].delta.content` is {"a":1}, expected text"#,
        ),
        (r#"{"choices":[null,1]}"#, "`choices[1]` is 1, expected an object"),
    ] {
        assert_eq!(chunk(json).unwrap().unwrap_err().to_string(), message);
    }
    assert!(chunk("[1]").is_none());
}

#[test]
fn an_unreadable_index_is_ignored() {
    assert_eq!(choice(r#"{"index":-1,"delta":{"content":"a"}}"#).0, u32::MAX);
    assert_eq!(choice(r#"{"index":4294967296}"#).0, u32::MAX);
    assert_eq!(choice(r#"{"index":"","delta":{"content":"a"}}"#).0, 0);
    assert_eq!(choice(r#"{"index":true,"delta":{"content":"a"}}"#).0, 1);
    assert_eq!(choice(r#"{"index":false,"delta":{"content":"a"}}"#).0, 0);
    let chunk = read(r#"{"choices":[{"delta":{"tool_calls":[{"index":-1,"id":"a"},{"index":"x"}]}}]}"#);
    let delta = chunk.choices.as_ref().unwrap()[0].delta.as_ref().unwrap();
    assert!(delta.tool_calls.as_ref().unwrap().iter().all(|call| call.index.is_none()));
}

#[test]
fn what_is_not_a_tool_call_is_ignored() {
    for (json, count) in [
        ("{}", 0),
        ("false", 0),
        (r#""x""#, 0),
        (r#"[1,null,{},{"id":"a","function":"x"}]"#, 1),
        (r#"{"id":"a"}"#, 1),
        (r#"[{"type":"text","text":"a"}]"#, 0),
    ] {
        let json = format!(r#"{{"choices":[{{"delta":{{"tool_calls":{json},"function_call":1}}}}]}}"#);
        let chunk = read(&json);
        let delta = chunk.choices.as_ref().unwrap()[0].delta.as_ref().unwrap();
        assert_eq!(delta.tool_calls.as_ref().unwrap().len(), count, "{json}");
        assert!(delta.function_call.is_none() && chunk.must_rebuild);
    }
}

#[test]
fn control_characters_in_keys_are_not_json() {
    assert!(chunk("{\"a\u{c}b\":1,\"created\":\"1\",\"choices\":[]}").is_none());
}

#[test]
fn a_message_or_a_text_replaces_the_delta() {
    let hello = Some("Hello".to_owned());
    let stop = Some("stop".to_owned());
    let message = r#"{"index":"1","message":{"content":"Hello"},"finish_reason":"stop"}"#;
    assert_eq!(choice(message), (1, hello.clone(), stop, true));
    assert_eq!(
        choice(r#"{"delta":{},"text":"Hello","finish_reason":false}"#),
        (0, hello.clone(), None, true)
    );
    assert_eq!(choice(r#"{"delta":{"content":"Hello"},"message":{"content":"x"}}"#).1, hello);
    assert_eq!(choice(r#"{"delta":{},"text":{"tokens":1},"finish_reason":"stop"}"#).1, None);
}

#[test]
fn a_finish_reason_may_be_of_another_type() {
    for (json, reason) in [
        ("true", Some("stop")),
        ("false", None),
        ("0", None),
        ("-0", None),
        ("1E5", Some("100000")),
        (r#"{"type":"stop"}"#, Some("stop")),
        (r#"["stop"]"#, Some("stop")),
        (r#"[{"type":"stop"}]"#, Some("stop")),
        (r#"{"ended":true}"#, Some("stop")),
        ("[]", None),
        ("{}", None),
    ] {
        assert_eq!(choice(&format!(r#"{{"finish_reason":{json}}}"#)).2.as_deref(), reason, "{json}");
    }
}

#[test]
fn a_finish_reason_may_have_another_name() {
    let stop = Some("stop".to_owned());
    for json in [
        r#"{"delta":{},"finish_reason":null,"finishReason":"stop"}"#,
        r#"{"delta":{},"finish_details":{"type":"stop","stop":"<|end|>"}}"#,
    ] {
        assert_eq!(choice(json), (0, None, stop.clone(), true), "{json}");
    }
    assert_eq!(choice(r#"{"delta":{},"finish_reason":"stop","finishReason":"x"}"#), (0, None, stop, false));
}

#[test]
fn the_name_and_the_arguments_may_be_beside_the_index() {
    let chunk = read(
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","name":"f","arguments":"{}","x":1}]}}]}"#,
    );
    assert!(chunk.must_rebuild);
    let call = &chunk.choices.as_ref().unwrap()[0].delta.as_ref().unwrap().tool_calls.as_ref().unwrap()[0];
    let (name, arguments) = call.name_and_arguments();
    assert_eq!((name, arguments.map(|text| &*text.text)), (Some("f"), Some("{}")));
    let extra: Vec<_> = call.extra.iter().map(|(name, json)| (&**name, json.get())).collect();
    assert_eq!(extra, [("x", "1")]);
}

#[test]
fn text_in_a_form_that_consumers_do_not_read_is_rebuilt() {
    for (delta, rebuild) in [
        (r#"{"content":{"text":"a"}}"#, true),
        (r#"{"content":[{"type":"text","text":{"value":"a"}}]}"#, true),
        (r#"{"content":[{"type":"text","text":"a"},{"type":"thinking","thinking":[]}]}"#, false),
        (r#"{"content":6}"#, false),
        (r#"{"content":"a","reasoning_content":[{"type":"text","text":"hm"}]}"#, true),
        (r#"{"content":"a","reasoning":{}}"#, false),
    ] {
        assert_eq!(choice(&format!(r#"{{"delta":{delta}}}"#)).3, rebuild, "{delta}");
    }
    assert!(read(r#"{"choices":[null]}"#).must_rebuild);
}

#[test]
fn arguments_may_be_an_object() {
    let chunk = read(
        r#"{"choices":[{"delta":{"tool_calls":[{"index":"0","function":{"name":"f","arguments":{"x": 1}}}]}}]}"#,
    );
    assert!(chunk.must_rebuild);
    let choices = chunk.choices.unwrap();
    let call = &choices[0].delta.as_ref().unwrap().tool_calls.as_ref().unwrap()[0];
    let (name, arguments) = call.name_and_arguments();
    assert_eq!(
        (call.index, name, arguments.map(|text| &*text.text)),
        (Some(0), Some("f"), Some(r#"{"x": 1}"#))
    );
}
