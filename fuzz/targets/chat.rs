//! Chunks of a streamed chat completion. The fast reader, which compares a chunk with the previous one, agrees with
//! serde_json, and both agree with the JSON tree.
//!
//! Input: the body of a stream.
#![no_main]

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use holysheep::error::{BODY_LIMIT, Result};
use holysheep::wire::chat::{self, Chunk, Delta, Reader, Source, StreamEvent, Text, ToolCall};
use holysheep::wire::extras::extras;
use holysheep::wire::json::value;
use holysheep::wire::provider_error;
use holysheep::wire::sse::{Event, Parser};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let mut reader = Reader::default();
    let mut on_event = |event: Event<'_>| {
        let slow = chat::read(event.event, &event.data);
        if let Ok(read) = &slow {
            check(read, &event.data);
        }
        if let Some(text) = reader.read_text(event.event, &event.data) {
            let Ok(StreamEvent::Chunk(chunk)) = &slow else { panic!("the text of something else") };
            let [choice] = chunk.choices.as_deref().unwrap_or_default() else { panic!("not one choice") };
            let delta = choice.delta.as_ref();
            let content = delta.and_then(|delta| delta.content.as_ref()).map(|content| &*content.text);
            assert_eq!((choice.index, content), (text.index, Some(text.content)));
            assert!(choice.finish_reason.is_none() && chunk.usage().is_none() && !chunk.must_rebuild);
        }
        let fast = reader.read(event.event, &event.data);
        assert_eq!(summary(fast), summary(slow), "the two readers differ on {:?}", event.data);
        ControlFlow::<()>::Continue(())
    };
    let mut parser = Parser::new(1 << 20);
    if parser.feed(body, &mut on_event).is_ok() {
        let _ = parser.finish(&mut on_event);
    }
});

fn summary(read: Result<StreamEvent<'_>>) -> String {
    match read {
        // Only the fast reader's own flag may differ.
        Ok(StreamEvent::Chunk(chunk)) => format!("{:?}", Chunk { only_text_changed: false, ..chunk }),
        Ok(read) => format!("{read:?}"),
        Err(error) => format!("{:?} {} {:?}", error.kind, error.message, error.body),
    }
}

fn check(read: &StreamEvent<'_>, data: &str) {
    match read {
        StreamEvent::Chunk(chunk) => {
            // The tree rejects what the lenient reader accepts, such as half of a surrogate pair.
            if let Ok(tree) = serde_json::from_str(data) {
                check_chunk(chunk, &tree);
            }
            let extras = extras(data, usize::MAX).expect("nothing is larger");
            assert!(!["id", "model", "choices", "usage"].iter().any(|name| extras.chunk.contains_key(*name)));
        }
        StreamEvent::Error(value) => {
            let error = provider_error::from_event(value);
            assert!(error.body.as_ref().is_none_or(|body| body.len() <= BODY_LIMIT));
            assert!(!error.message.is_empty());
        }
        StreamEvent::Done | StreamEvent::Other => {}
    }
}

fn check_chunk(chunk: &Chunk<'_>, tree: &Value) {
    assert_text(&chunk.id, &tree["id"]);
    assert_text(&chunk.model, &tree["model"]);
    let choices = chunk.choices.as_deref().unwrap_or_default();
    let Some(trees) = tree["choices"].as_array() else { return };
    // Choices that are null may be left out.
    let trees: Vec<&Value> = match choices.len() == trees.len() {
        true => trees.iter().collect(),
        false => trees.iter().filter(|tree| !tree.is_null()).collect(),
    };
    assert_eq!(choices.len(), trees.len());
    for (choice, tree) in choices.iter().zip(trees) {
        // serde also reads a struct from an array of its fields. No provider sends one, and the tree has no names then.
        if !tree.is_object() {
            continue;
        }
        if let Some(index) = tree["index"].as_u64() {
            // Larger ones saturate.
            assert_eq!(u64::from(choice.index), index.min(u32::MAX.into()));
        }
        assert_text(&choice.finish_reason, &tree["finish_reason"]);
        let is_delta = |_: &&Delta<'_>| tree["delta"].is_object() && choice.source == Source::Delta;
        if let Some(delta) = choice.delta.as_ref().filter(is_delta) {
            check_delta(delta, &tree["delta"]);
        }
    }
}

fn check_delta(delta: &Delta<'_>, tree: &Value) {
    // A completion without chat has a text beside an empty delta.
    if tree.get("content").is_some() {
        assert_text(&delta.content, &tree["content"]);
    }
    assert_text(&delta.reasoning_content, &tree["reasoning_content"]);
    assert_text(&delta.reasoning, &tree["reasoning"]);
    assert_text(&delta.refusal, &tree["refusal"]);
    for text in ["content", "reasoning_content", "reasoning", "refusal"] {
        if tree[text].as_str().is_some_and(|text| !text.is_empty()) {
            assert!(delta.is_token(), "{text} is not a token");
        }
    }
    for call in delta.tool_calls.iter().flatten() {
        let json = call.to_json(call.index.unwrap_or(0)).to_string();
        let read: ToolCall<'_> = serde_json::from_str(&json).expect("a tool call can be read from its JSON");
        assert_eq!(read.name_and_arguments(), call.name_and_arguments(), "{json}");
        let extra = |call: &ToolCall<'_>| -> Vec<(String, Option<Value>)> {
            call.extra.iter().map(|(name, json)| (name.to_string(), value(json.get()))).collect()
        };
        let names = |call: &ToolCall<'_>| {
            call.extra.iter().map(|(name, _)| name.to_string()).collect::<BTreeSet<_>>()
        };
        // Of two fields with one name the last one counts.
        if names(call).len() == call.extra.len() {
            assert_eq!(extra(&read), extra(call), "{json}");
        }
    }
}

/// A string is read unchanged, and null as `None`. The other JSON types that a text accepts are not checked.
fn assert_text(read: &Option<Text<'_>>, tree: &Value) {
    match tree {
        Value::Null => assert_eq!(*read, None),
        Value::String(text) => assert_eq!(read.as_ref().map(|read| &*read.text), Some(text.as_str())),
        _ => {}
    }
}
