//! What holds for every text, every cut and every way in which a continuation is cut into pieces.

use proptest::prelude::*;

use super::corpus::{Dice, KINDS};
use super::*;

/// The continuation of `text` from the byte `from`, after a cut at `at`, gives what is missing.
fn assert_whole(text: &str, at: usize, from: usize, lead: &str) {
    let continuation = format!("{lead}{}", &text[from..]);
    let result = spliced(&text[..at], &[&continuation], Limits::default(), Expect::Continuation);
    let (out, seam) = result.unwrap_or_else(|e| panic!("{e}: {:?} | {continuation:?}", &text[..at]));
    assert_eq!(out, text[at..], "{seam:?} after {:?} with {continuation:?}", &text[back(text, at, 60)..at]);
}

fn texts(seed: u64) -> Vec<String> {
    let mut dice = Dice(seed);
    KINDS.iter().map(|(_, text)| text(&mut dice)).collect()
}

#[test]
fn a_restart_is_joined_at_every_character() {
    for text in texts(1) {
        for at in cuts(&text) {
            if text[..at].chars().count() >= crate::session::splice::OVERLAP_MIN {
                assert_whole(&text, at, 0, "");
            }
        }
    }
}

proptest! {
    #[test]
    fn every_chunking_of_a_continuation_gives_the_same(
        seed in 0u64..1 << 40,
        kind in 0usize..KINDS.len(),
        at in 0.0f64..1.0,
        way in 0usize..90,
        lead in "[ \n]{0,2}",
        splits in proptest::collection::vec(0.0f64..1.0, 0..40),
    ) {
        let text = KINDS[kind].1(&mut Dice(seed));
        let cuts = cuts(&text);
        let at = cuts[(at * cuts.len() as f64) as usize];
        let from = match way { 0..30 => at, 30..80 => back(&text, at, way), _ => 0 };
        let other = if way == 85 { &text[..cuts[cuts.len() / 3].min(at)] } else { "" };
        let continuation = format!("{lead}{other}{}", &text[from..]);
        let mut ends: Vec<usize> = splits.iter().map(|s| (s * continuation.len() as f64) as usize)
            .filter(|&s| continuation.is_char_boundary(s)).collect();
        ends.extend([0, continuation.len()]);
        ends.sort_unstable();
        let pieces: Vec<&str> = ends.windows(2).map(|w| &continuation[w[0]..w[1]]).collect();
        for expect in [Expect::Continuation, Expect::Restart, Expect::Anchor(text[back(&text, at, 9)..at].into())] {
            let whole = spliced(&text[..at], &[&continuation], Limits::default(), expect.clone());
            let parts = spliced(&text[..at], &pieces, Limits::default(), expect);
            prop_assert_eq!(whole, parts);
        }
    }

    #[test]
    fn nothing_panics_and_only_a_beginning_is_left_out(
        delivered in "[ab\u{301}ế👍🏿 \n-]{1,60}",
        pieces in proptest::collection::vec("[ab\u{301}ế👍🏿 \n-]{0,8}", 0..12),
        overlap_min in 0usize..20,
        max_held in 0usize..40,
    ) {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let continuation = pieces.concat();
        let limits = Limits { overlap_min, max_held, ..Limits::default() };
        if let Ok((out, seam)) = spliced(&delivered, &pieces, limits, Expect::Continuation) {
            prop_assert!(continuation.ends_with(&out));
            prop_assert_eq!(seam.trimmed, continuation.chars().count() - out.chars().count());
        }
    }
}
