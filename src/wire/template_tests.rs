//! The short way against the long one: whatever a stream is made of, both read the same.

use proptest::prelude::*;

use super::*;
use crate::wire::chat::{self, Read, Reader};

/// Chunks of several providers around one text: the orders of keys, white space, unknown fields, texts
/// behind the content, look-alikes.
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

/// JSON strings, good and bad, as they stand in a chunk.
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

/// A stream: mostly one shape, at times another, and now and then a chunk that is cut or changed.
fn stream() -> impl Strategy<Value = Vec<String>> {
    let damage = prop_oneof![8 => Just(None), 1 => (any::<prop::sample::Index>(), any::<Option<char>>()).prop_map(Some)];
    let chunk = (prop_oneof![6 => Just(None), 1 => (0..SHAPES.len()).prop_map(Some)], string(), damage);
    (0..SHAPES.len(), prop::collection::vec(chunk, 1..40)).prop_map(|(usual, chunks)| {
        let made = chunks.into_iter().map(|(shape, text, damage)| {
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
        made.collect()
    })
}

fn shown(read: crate::error::Result<Read<'_>>) -> String {
    match read {
        // How it was read may differ: nothing else.
        Ok(Read::Chunk(chunk)) => format!("{:?}", Chunk { repeats: false, ..chunk }),
        Ok(read) => format!("{read:?}"),
        Err(error) => format!("{:?} {}", error.kind, error.message),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_short_way_reads_what_serde_json_reads(chunks in stream()) {
        let mut reader = Reader::default();
        for chunk in chunks {
            prop_assert_eq!(shown(reader.read(None, &chunk)), shown(chat::read(None, &chunk)), "{}", chunk);
        }
    }
}

fn chunk(text: &str) -> String {
    SHAPES[0].replace('@', &serde_json::to_string(text).unwrap())
}

fn fits(template: &mut Template, data: &str) -> bool {
    let fits = template.read(data).is_some();
    if let Ok(Read::Chunk(chunk)) = chat::read(None, data) {
        if fits { template.fits() } else { template.remember(data, &chunk) }
    }
    fits
}

#[test]
fn a_stream_whose_chunks_differ_in_their_text_goes_the_short_way() {
    let mut template = Template::default();
    assert!(!fits(&mut template, &chunk("")));
    assert!(!fits(&mut template, &chunk("Xin")));
    for text in [" chào", "", "a longer one than the first", "🐑"] {
        assert!(fits(&mut template, &chunk(text)), "{text}");
    }
    // One with an escape goes the long way, and the next one the short way again.
    assert!(!fits(&mut template, &chunk("\n")));
    assert!(!fits(&mut template, &chunk("a")));
    assert!(fits(&mut template, &chunk("b")));
}

#[test]
fn a_stream_that_has_something_new_in_each_chunk_makes_no_more_templates() {
    let mut template = Template::default();
    let differ = |n: u32| chunk("a").replace("c-1", &format!("c-{n}"));
    for n in 0..=MAX_MISSES + 1 {
        assert!(!fits(&mut template, &differ(n)));
    }
    assert!(!fits(&mut template, &differ(99)));
    assert!(!fits(&mut template, &differ(99)));
}
