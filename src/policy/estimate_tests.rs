use super::*;
use proptest::prelude::*;

/// Texts with their tokens in two of OpenAI's tokenizers, cl100k_base and o200k_base, as counted by
/// gpt-tokenizer 3.
const SAMPLES: &[(&str, u64, u64)] = &[
    (
        "Explain retry logic in two sentences, and why a client must never deliver the same text twice.",
        20,
        19,
    ),
    (
        "Hãy giải thích cơ chế thử lại của ứng dụng khi kết nối bị gián đoạn giữa chừng, và so sánh hai phương án.",
        53,
        30,
    ),
    (
        "Ha\u{303}y gia\u{309}i thi\u{301}ch co\u{31b} che\u{302}\u{301} thu\u{31b}\u{309} la\u{323}i cu\u{309}a u\u{31b}\u{301}ng du\u{323}ng khi ke\u{302}\u{301}t no\u{302}\u{301}i bi\u{323} gia\u{301}n đoa\u{323}n giu\u{31b}\u{303}a chu\u{31b}\u{300}ng.",
        75,
        62,
    ),
    ("人工智能应用程序接口的流式传输在网络中断时需要恢复机制，以保证用户得到完整的回答。", 40, 26),
    ("ストリーミング応答が途中で切れた場合、クライアントは残りの部分を要求します。", 38, 28),
    ("스트리밍 응답이 중간에 끊기면 클라이언트는 나머지를 요청합니다.", 35, 24),
    ("Если поток ответа прерывается, клиент запрашивает остаток и передаёт его пользователю.", 32, 21),
    ("إذا انقطع تدفق الإجابة فإن العميل يطلب الباقي ويحذف النص المكرر.", 46, 20),
    ("अगर उत्तर की धारा टूट जाती है तो क्लाइंट शेष भाग माँगता है।", 63, 20),
    ("หากสตรีมคำตอบขาดหาย ไคลเอนต์จะขอส่วนที่เหลือ", 42, 23),
    ("Donaudampfschifffahrtsgesellschaft überprüft die Größe des Flusses.", 23, 18),
    ("👩\u{200d}👩\u{200d}👧\u{200d}👦🏳\u{fe0f}\u{200d}🌈👍🏽🐑🎉🤷\u{200d}♂\u{fe0f}🇻🇳✨❤\u{fe0f}", 58, 35),
    ("const wait = Math.min(maxDelay, baseDelay * 2 ** attempt)\n        await sleep(wait)\n", 21, 21),
    (
        "{\"id\":\"call_9f8e7d\",\"type\":\"function\",\"function\":{\"name\":\"getWeather\",\"arguments\":\"{\\\"city\\\":\\\"Hà Nội\\\"}\"}}",
        36,
        34,
    ),
    ("aGVsbG8gd29ybGQgdGhpcyBpcyBhIHRlc3Qgb2YgYmFzZTY0IGVuY29kaW5n", 44, 40),
    ("3.14159265358979 2024-11-24T19:42:40Z +84 90 123 45 67", 31, 31),
    ("THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG. RETRY_AFTER_MS", 19, 18),
    ("!@#$%^&*()_+{}|:\"<>?~`-=[]\\;',./", 21, 21),
    ("∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, π²/6 → α ∧ ¬β", 35, 33),
    ("a b c d e f g h i j k l m n o p", 16, 16),
];

fn count(text: &str) -> TokenCount {
    let mut count = TokenCount::default();
    count.add_text(text);
    count
}

fn message(content: &serde_json::Value) -> TokenCount {
    prompt_tokens(
        &serde_json::json!([{ "role": "user", "content": content }]).to_string(),
        std::iter::empty(),
    )
}

#[test]
fn the_upper_bound_covers_real_tokenizers_in_every_script() {
    for (text, older, newer) in SAMPLES {
        let bound = count(text).upper_bound();
        assert!(bound >= *older.max(newer), "{bound} for {older} and {newer}: {text}");
        assert!(bound <= 4 * older.max(newer), "{bound} for {older} and {newer}: {text}");
    }
}

#[test]
fn the_estimate_is_close_for_prose_in_the_tutorials_scripts() {
    for (text, _, newer) in &SAMPLES[..5] {
        let (estimate, actual) = (count(text).estimate() as f64, *newer as f64);
        assert!((0.6..1.6).contains(&(estimate / actual)), "{estimate} for {actual}: {text}");
    }
}

#[test]
fn the_rule_is_the_documented_one() {
    for (text, bound, estimate) in [
        ("", 0, 0),
        ("hello", 3, 2),
        ("hello world", 6, 3),
        ("HTTP", 3, 1),
        ("12.5", 4, 1),
        ("a    b", 3, 2),
        ("é", 1, 1),
        ("ж", 1, 1),
        ("ế", 2, 1),
        ("你好", 4, 2),
        ("ไ", 3, 1),
        ("🐑", 4, 1),
    ] {
        assert_eq!((count(text).upper_bound(), count(text).estimate()), (bound, estimate), "{text:?}");
    }
}

#[test]
fn messages_tools_images_and_audio_have_fixed_counts() {
    let hello = message(&"hello".into());
    assert_eq!((hello.upper_bound(), hello.estimate()), (3 + 8, 2 + 4));
    let parts = serde_json::json!([
        { "type": "text", "text": "hello" },
        { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{}", "A".repeat(1_000_000)) } },
    ]);
    assert_eq!(message(&parts).upper_bound(), hello.upper_bound() + 4000);
    let audio = serde_json::json!([{ "type": "input_audio", "input_audio": { "data": "A".repeat(10_000), "format": "mp3" } }]);
    assert_eq!(message(&audio).upper_bound(), 8 + 100 + 1);
    let tool = r#"[{"type":"function","function":{"name":"weather","parameters":{"city":"string"}}}]"#;
    let with = prompt_tokens("[1]", [tool].into_iter());
    assert!(with.upper_bound() > 40 && with.estimate() > 20, "{with:?}");
}

#[test]
fn invalid_json_counts_as_text() {
    assert_eq!(prompt_tokens("[{oops", std::iter::empty()), count("[{oops"));
    assert_eq!(prompt_tokens("[1]", std::iter::empty()).estimate(), 1);
}

#[test]
fn the_callers_count_replaces_only_that_of_the_text() {
    let counted = message(&"hello".into()).with_text_tokens(70);
    assert_eq!((counted.upper_bound(), counted.estimate()), (70 + 8, 70 + 4));
    let (shorter, longer) = (message(&"hello".into()), message(&"hello you".into()));
    assert_eq!(counted.with_growth(&shorter, &longer).upper_bound(), 78 + 2);
}

#[test]
fn an_underestimated_bound_is_raised_at_once_and_never_falls_below_the_rule() {
    let mut ratios = TokenRatios::default();
    let counted = count(&"hello ".repeat(100));
    assert_eq!(ratios.upper_bound("m", &counted), 300);
    ratios.observe("m", &counted, 360);
    assert_eq!(ratios.upper_bound("m", &counted), 360);
    assert_eq!(ratios.upper_bound("other", &counted), 300);
    ratios.observe("m", &counted, 100_000);
    assert_eq!(ratios.upper_bound("m", &counted), 600, "at most as many tokens as bytes");
    for _ in 0..1000 {
        ratios.observe("m", &counted, 100);
    }
    assert_eq!(ratios.upper_bound("m", &counted), 301, "the rule, rounded up");
    assert!((ratios.estimate("m", &counted) - 100.0).abs() < 1.0);
}

#[test]
fn the_number_of_models_is_bounded() {
    let mut ratios = TokenRatios::default();
    for index in 0..2 * MAX_MODELS {
        ratios.observe(&index.to_string(), &count("a"), 3);
    }
    assert_eq!(ratios.0.len(), MAX_MODELS);
}

proptest! {
    #[test]
    fn the_bound_is_at_most_the_bytes_and_the_estimate_at_most_the_characters(text in any::<String>()) {
        let count = count(&text);
        prop_assert!(count.upper_bound() <= text.len() as u64);
        prop_assert!(count.estimate() <= text.chars().count() as u64);
    }

    #[test]
    fn separate_texts_have_at_least_the_bound_of_the_whole(texts in proptest::collection::vec(any::<String>(), 0..8)) {
        let mut separate = TokenCount::default();
        texts.iter().for_each(|text| separate.add_text(text));
        // The first space of a run is free, and two texts may split a run of spaces.
        prop_assert!(separate.upper_bound() + texts.len() as u64 >= count(&texts.concat()).upper_bound());
    }
}

#[test]
fn the_estimated_length_of_an_answer_jumps_up_and_decays_slowly() {
    let mut lengths = AnswerLengths::default();
    assert_eq!(lengths.estimate("m"), None);
    lengths.observe("m", 100);
    lengths.observe("m", 900);
    assert_eq!((lengths.estimate("m"), lengths.estimate("other")), (Some(900.0), None));
    lengths.observe("m", 100);
    assert_eq!(lengths.estimate("m"), Some(875.0));
}
