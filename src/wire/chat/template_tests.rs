//! The template against serde_json: whatever a stream consists of, both read the same.

use proptest::prelude::*;

use super::*;
use crate::wire::chat::{self, Reader, StreamEvent};

/// Chunks of several providers around one text: different key orders, white space, unknown fields, texts
/// behind the content, and look-alikes of the content.
const SHAPES: [&str; 9] = [
    r#"{"id":"c-1","object":"chat.completion.chunk","created":1700000000,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":@},"logprobs":null,"finish_reason":null}],"usage":null}"#,
    r#"{"choices":[{"delta":{"role":"assistant","content":@,"reasoning_content":"","refusal":null},"finish_reason":null,"index":1}],"created":1.5,"id":"x","service_tier":"default"}"#,
    r#" { "choices" : [ { "delta" : { "content" : @ } , "index" : 0 } ] , "model" : "after" , "x" : {"content":"\"@"} } "#,
    r#"{"content":"no","x":[{"delta":{"content":"no"}}],"choices":[{"index":0,"delta":{"x":{"content":"no"},"content":@}}]}"#,
    r#"{"id":7,"choices":[{"index":0,"delta":{"content":@}}]}"#,
    r#"{"id":"\u0041","choices":[{"index":0,"delta":{"content":@,"reasoning":"r"}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":@}},{"index":1,"delta":{"content":@}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":@}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":@,"content":@}}]}"#,
];

/// JSON strings of a chunk, valid and invalid.
fn string() -> impl Strategy<Value = String> {
    let escaped = |text: String| serde_json::to_string(&text).unwrap();
    prop_oneof![
        4 => "[a-z ]{0,6}".prop_map(escaped),
        2 => any::<String>().prop_map(escaped),
        1 => prop::sample::select(vec![
            r#""\ud83d\udc11""#, r#""\ud83d""#, r#""\u00e9\/\b""#, r#""\x""#, "\"\t\"", r#""a"b""#, r#""a\""#, "null", "1",
            r#""","x":"""#, r#""","content":"b""#, r#""}}],"usage":{"total_tokens":1},"x":[{"y":{"z":""#,
            r#""\"}}],\"choices\":[""#, r#""@""#, "\"\"", "[]", "\"\u{7f}\u{80}\u{2028}\"",
        ]).prop_map(str::to_owned),
    ]
}

/// A stream: mostly one shape, sometimes another, and now and then a chunk that is truncated or changed.
fn stream() -> impl Strategy<Value = Vec<String>> {
    let damage = prop_oneof![8 => Just(None), 1 => (any::<prop::sample::Index>(), any::<Option<char>>()).prop_map(Some)];
    let chunk = (prop_oneof![6 => Just(None), 1 => (0..SHAPES.len()).prop_map(Some)], string(), damage);
    (0..SHAPES.len(), prop::collection::vec(chunk, 1..40)).prop_map(|(usual, chunks)| {
        let chunks = chunks.into_iter().map(|(shape, text, damage)| {
            let mut chunk = SHAPES[shape.unwrap_or(usual)].replace('@', &text);
            if let Some((at, with)) = damage {
                let (at, old) = chunk.char_indices().nth(at.index(chunk.chars().count())).unwrap();
                match with {
                    Some(with) => chunk.replace_range(at..at + old.len_utf8(), with.encode_utf8(&mut [0; 4])),
                    None => chunk.truncate(at),
                }
            }
            chunk
        });
        chunks.collect()
    })
}

fn printed(read: crate::error::Result<StreamEvent<'_>>) -> String {
    match read {
        // Which of the two has read it may differ, and nothing else.
        Ok(StreamEvent::Chunk(chunk)) => format!("{:?}", Chunk { only_text_changed: false, ..chunk }),
        Ok(read) => format!("{read:?}"),
        Err(error) => format!("{:?} {}", error.kind, error.message),
    }
}

/// The text of a chunk's only choice, and the rest of that choice.
fn without_text(read: crate::error::Result<StreamEvent<'_>>) -> (String, String) {
    let Ok(StreamEvent::Chunk(chunk)) = read else { panic!("not a chunk") };
    assert!(chunk.usage().is_none() && chunk.error.is_none() && !chunk.must_rebuild);
    let Ok([mut choice]) = <[Choice<'_>; 1]>::try_from(chunk.choices.unwrap_or_default()) else {
        panic!("not one choice")
    };
    let content = choice.delta.as_mut().and_then(|delta| delta.content.take());
    (content.unwrap().text.into_owned(), format!("{choice:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_template_reads_what_serde_json_reads(chunks in stream()) {
        let (mut reader, mut texts) = (Reader::default(), Reader::default());
        for chunk in chunks {
            if let Some(text) = texts.read_text(None, &chunk) {
                let alone = Choice { index: text.index, delta: Some(Delta::default()), ..Choice::default() };
                prop_assert_eq!(without_text(chat::read(None, &chunk)), (text.content.to_owned(), format!("{alone:?}")));
            }
            let _ = texts.read(None, &chunk);
            prop_assert_eq!(printed(reader.read(None, &chunk)), printed(chat::read(None, &chunk)), "{}", chunk);
        }
    }
}

fn chunk(text: &str) -> String {
    SHAPES[0].replace('@', &serde_json::to_string(text).unwrap())
}

fn hits(template: &mut Template, data: &str) -> bool {
    let hit = template.read(data).is_some();
    if let Ok(StreamEvent::Chunk(chunk)) = chat::read(None, data) {
        if hit { template.record_hit() } else { template.learn(data, &chunk) }
    }
    hit
}

#[test]
fn chunks_that_differ_in_their_text_alone_match_the_template() {
    let mut template = Template::default();
    assert!(!hits(&mut template, &chunk("")));
    assert!(!hits(&mut template, &chunk("Xin")));
    for text in [" chào", "", "a longer one than the first", "🐑"] {
        assert!(hits(&mut template, &chunk(text)), "{text}");
    }
    // A chunk with an escape does not match, and the one after the next matches again.
    assert!(!hits(&mut template, &chunk("\n")));
    assert!(!hits(&mut template, &chunk("a")));
    assert!(hits(&mut template, &chunk("b")));
}

#[test]
fn a_stream_with_something_new_in_each_chunk_stops_making_templates() {
    let mut template = Template::default();
    let differ = |n: u32| chunk("a").replace("c-1", &format!("c-{n}"));
    for n in 0..=MAX_MISSES + 1 {
        assert!(!hits(&mut template, &differ(n)));
    }
    assert!(!hits(&mut template, &differ(99)));
    assert!(!hits(&mut template, &differ(99)));
}
