//! Properties that hold for every text, every cut and every chunking of a continuation.

use proptest::prelude::*;

use super::corpus::KINDS;
use super::*;
use crate::rng::SeededRng;
use crate::session::splice::MIN_OVERLAP;
use crate::session::splice::cut_word::is_letter;

/// After a cut at the byte `at`, a continuation of `text` from the byte `from` yields exactly the missing text.
fn assert_intact(text: &str, at: usize, from: usize, lead: &str) {
    let continuation = format!("{lead}{}", &text[from..]);
    let result = spliced(&text[..at], &[&continuation], Limits::default(), Expectation::Continuation);
    let (out, join) = result.unwrap_or_else(|e| panic!("{e}: {:?} | {continuation:?}", &text[..at]));
    assert_eq!(
        out,
        text[at..],
        "{join:?} after {:?} with {continuation:?}",
        &text[step_back(text, at, 60)..at]
    );
}

fn texts(seed: u64) -> Vec<String> {
    let mut rng = SeededRng::new(seed);
    KINDS.iter().map(|(_, text)| text(&mut rng)).collect()
}

/// One text of each kind, without internal repetitions of `MIN_OVERLAP` or more.
const REFERENCES: [&str; 6] = [
    "A stream that breaks in the middle of a sentence leaves half an answer. That is the theory; in the \
     interior of the building an international committee counts its sheep twice, 2024 of them.",
    "Tiếng Việt có nhiều thanh điệu; nghiên cứu này nghiêng về phía những người nghiêm túc nghĩ đến nghĩa \
     vụ. Xin chào, hẹn gặp lại ở Hà Nội vào mùa thu, khi lá bàng đỏ.",
    "Cảm ơn 👨‍👩‍👧‍👦! The family 👩🏽‍💻👍🏿 flies 🏳️‍🌈 to 🇻🇳, and ❤️‍🔥 burns: tie\u{302}\u{301}ng Vie\u{323}\u{302}t 😀😀 ok.",
    "Here it is:\n\n```rust\nfn main() {\n    let sheep = vec![1, 2, 3];\n    for one in &sheep {\n        \
     if *one > 2 {\n            println!(\"{one}\");\n        }\n    }\n}\n```\n\nRun it with `cargo run`.",
    "| Name | Status | Cost |\n|------|--------|------|\n| retry | ok | 0.00 |\n| breaker | failed | 1.50 |\n\
     | bucket | ok | 12.00 |\n\nThe sum is 13.50.",
    "{\n  \"items\": [\n    { \"id\": 1, \"tags\": [\"new\", \"hot\"], \"left\": null },\n    { \"id\": 22, \
     \"tags\": [], \"left\": [[1, 2], [3]] }\n  ],\n  \"total\": 2\n}\n",
];

#[test]
fn an_exact_continuation_is_joined_at_every_character() {
    for text in REFERENCES {
        cut_positions(text).into_iter().for_each(|at| assert_intact(text, at, at, ""));
    }
}

#[test]
fn an_overlap_is_joined_at_every_character() {
    for text in REFERENCES {
        for at in cut_positions(text) {
            for points in MIN_OVERLAP..text[..at].chars().count() {
                let from = step_back(text, at, points);
                assert_intact(text, at, from, "");
                let trimmed = text[from..at].trim_start().chars().count();
                if trimmed >= MIN_OVERLAP {
                    assert_intact(text, at, at - text[from..at].trim_start().len(), "\n \n");
                }
            }
        }
    }
}

#[test]
fn a_repeated_cut_word_is_joined_at_every_letter() {
    for text in REFERENCES {
        for at in cut_positions(text) {
            let letters = text[..at].chars().rev().take_while(|&c| is_letter(c)).count();
            if letters > 0 && text[at..].starts_with(is_letter) {
                assert_intact(text, at, step_back(text, at, letters), "");
            }
        }
    }
}

#[test]
fn a_restart_is_joined_at_every_character() {
    for text in REFERENCES {
        for at in cut_positions(text) {
            assert_intact(text, at, 0, "");
            // A single letter is handled by the rule for words, which allows no white space before it.
            if text[..at].chars().count() > 1 {
                assert_intact(text, at, 0, "\n\n");
            }
        }
    }
    for text in texts(1) {
        let is_long = |&at: &usize| text[..at].chars().count() >= MIN_OVERLAP;
        cut_positions(&text).into_iter().filter(is_long).for_each(|at| assert_intact(&text, at, 0, ""));
    }
}

proptest! {
    #[test]
    fn every_chunking_of_a_continuation_yields_the_same(
        seed in 0u64..1 << 40,
        kind in 0usize..KINDS.len(),
        at in 0.0f64..1.0,
        repeat in 0usize..90,
        lead in "[ \n]{0,2}",
        splits in proptest::collection::vec(0.0f64..1.0, 0..40),
    ) {
        let text = KINDS[kind].1(&mut SeededRng::new(seed));
        let cuts = cut_positions(&text);
        let at = cuts[(at * cuts.len() as f64) as usize];
        let from = match repeat { 0..30 => at, 30..80 => step_back(&text, at, repeat), _ => 0 };
        let other = if repeat == 85 { &text[..cuts[cuts.len() / 3].min(at)] } else { "" };
        let continuation = format!("{lead}{other}{}", &text[from..]);
        let mut ends: Vec<usize> = splits.iter().map(|s| (s * continuation.len() as f64) as usize)
            .filter(|&s| continuation.is_char_boundary(s)).collect();
        ends.extend([0, continuation.len()]);
        ends.sort_unstable();
        let deltas: Vec<&str> = ends.windows(2).map(|w| &continuation[w[0]..w[1]]).collect();
        for expect in [Expectation::Continuation, Expectation::Restart, Expectation::Anchor(text[step_back(&text, at, 9)..at].into())] {
            let whole = spliced(&text[..at], &[&continuation], Limits::default(), expect.clone());
            let chunked = spliced(&text[..at], &deltas, Limits::default(), expect);
            prop_assert_eq!(whole, chunked);
        }
    }

    #[test]
    fn nothing_panics_and_only_a_prefix_is_removed(
        delivered in "[ab\u{301}ế👍🏿 \n-]{1,60}",
        deltas in proptest::collection::vec("[ab\u{301}ế👍🏿 \n-]{0,8}", 0..12),
        min_overlap in 0usize..20,
        max_held in 0usize..40,
    ) {
        let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
        let continuation = deltas.concat();
        let limits = Limits { min_overlap, max_held, ..Limits::default() };
        if let Ok((out, join)) = spliced(&delivered, &deltas, limits, Expectation::Continuation) {
            prop_assert!(continuation.ends_with(&out));
            prop_assert_eq!(join.points, continuation.chars().count() - out.chars().count());
        }
    }
}
