//! The splice. It removes only a prefix of the continuation, decides the same however the continuation is split, respects
//! its limits, and what it finds repeated agrees with a plain search for the longest overlap.
//!
//! Input: one byte each for the mode, the length of the repeat, the limits and the splits; then the delivered text, a NUL,
//! and the continuation or, in the modes that build one, the true rest of the answer.
#![no_main]

use holysheep::rng::SeededRng;
use holysheep::session::splice::{
    Assurance, ContinuationMismatch, Expectation, Found, JoinKind, Limits, MIN_OVERLAP, Repeats, Splice,
    WINDOW,
};
use libfuzzer_sys::fuzz_target;

/// A continuation that matches the start of the answer for this many characters may be a mismatch.
const HEAD_MIN: usize = 12;

type Outcome = Result<(String, Found), ContinuationMismatch>;

fuzz_target!(|input: &[u8]| {
    let [mode, repeated, limits, seed, texts @ ..] = input else { return };
    let texts = String::from_utf8_lossy(texts);
    let Some((delivered, rest)) = texts.split_once('\0').filter(|(delivered, _)| !delivered.is_empty())
    else {
        return;
    };
    let repeated = usize::from(*repeated);
    let mut rng = SeededRng::new(u64::from(*seed));
    let limits = match limits {
        0..128 => Limits::default(),
        small => Limits {
            min_overlap: usize::from(small % 16),
            max_held: usize::from(small / 3),
            ..Limits::default()
        },
    };
    match mode % 7 {
        // An arbitrary continuation.
        0 => drop(check(delivered, rest, limits, Expectation::Continuation, &mut rng)),
        1 => drop(check(delivered, rest, limits, Expectation::Restart, &mut rng)),
        2 => {
            let anchor = Expectation::Anchor(last(delivered, repeated).to_owned());
            drop(check(delivered, rest, limits, anchor, &mut rng));
        }
        // The true rest after a repeat of the tail.
        3 => {
            let overlap = last(delivered, MIN_OVERLAP + repeated);
            let continuation = format!("{overlap}{rest}");
            let outcome =
                check(delivered, &continuation, Limits::default(), Expectation::Continuation, &mut rng);
            let found = longest_overlap(delivered, &continuation, MIN_OVERLAP);
            if found == Some(overlap.len()) && !is_restart(delivered, &continuation) {
                assert_eq!(outcome.expect("an overlap is not a mismatch").0, rest);
            }
        }
        // The true answer from its start.
        4 | 5 => {
            let continuation = format!("{}{}{rest}", &"\n\n"[..repeated % 3], delivered.trim_start());
            let strict = mode % 7 == 5;
            let expect = if strict { Expectation::Restart } else { Expectation::Continuation };
            let outcome = check(delivered, &continuation, Limits::default(), expect, &mut rng);
            // A run of one character is ambiguous.
            if !delivered.trim().is_empty() && (strict || is_varied(delivered.trim_start())) {
                assert_eq!(outcome.expect("a restart is not a mismatch").0, rest);
            }
        }
        // The true rest after the anchor.
        _ => {
            let anchor = last(delivered, 1 + repeated).trim_start();
            let continuation = format!("{anchor}{rest}");
            let expect = Expectation::Anchor(anchor.to_owned());
            let outcome = check(delivered, &continuation, Limits::default(), expect, &mut rng);
            // A run of one mark is ambiguous.
            let is_clear = is_varied(anchor) || anchor.contains(char::is_alphanumeric);
            if is_clear && points(anchor) < WINDOW {
                assert_eq!(outcome.expect("an anchor is not a mismatch").0, rest);
            }
        }
    }
});

/// Splits a text into parts of random lengths from 0 to 15 characters.
pub fn split<'a>(mut text: &'a str, rng: &mut SeededRng) -> Vec<&'a str> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let end = text.char_indices().nth(rng.below(16)).map_or(text.len(), |(end, _)| end);
        let (part, rest) = text.split_at(end);
        parts.push(part);
        text = rest;
    }
    parts
}

/// What holds for every continuation.
fn check(
    delivered: &str,
    continuation: &str,
    limits: Limits,
    expect: Expectation,
    rng: &mut SeededRng,
) -> Outcome {
    let outcome = spliced(delivered, &[continuation], limits, expect.clone());
    let parts = split(continuation, rng);
    assert_eq!(spliced(delivered, &parts, limits, expect.clone()), outcome, "differs in parts");
    let each: Vec<&str> = continuation.split_inclusive(|_| true).collect();
    assert_eq!(spliced(delivered, &each, limits, expect.clone()), outcome, "differs character by character");

    if let Ok((out, join)) = &outcome {
        assert!(continuation.ends_with(out), "delivers text that was not received");
        assert_eq!(join.points, points(continuation) - points(out));
    }
    if expect == Expectation::Restart {
        assert_eq!(outcome.as_ref().ok().map(|(out, _)| out.as_str()), restarted(delivered, continuation));
    } else if expect == Expectation::Continuation && points(continuation) < limits.max_held {
        check_overlap(delivered, continuation, limits, &outcome);
    }
    check_assurance(delivered, continuation, &parts, limits, expect);
    outcome
}

/// Pushes the parts and ends the continuation.
fn spliced(delivered: &str, parts: &[&str], limits: Limits, expect: Expectation) -> Outcome {
    let mut repeats = Repeats::new(delivered, limits, expect);
    let mut out = String::new();
    for part in parts {
        out.push_str(&repeats.push(part)?);
    }
    out.push_str(&repeats.close(true)?);
    Ok((out, repeats.found().expect("it has decided")))
}

/// What is delivered of a continuation that must be vouched for: a suffix of it, however it is split, of which no more than
/// the limits allow is held.
fn check_assurance(delivered: &str, continuation: &str, parts: &[&str], limits: Limits, expect: Expectation) {
    for assurance in [Assurance::Verified, Assurance::Any] {
        let limits = Limits { assurance, ..limits };
        let verified = |parts: &[&str]| {
            let mut splice = Splice::new(delivered, limits, expect.clone());
            let mut out = String::new();
            for part in parts {
                out.push_str(&splice.push(part, 0)?);
            }
            out.push_str(&splice.finish(false, 0)?);
            Ok((out, splice.join().expect("a finished splice has a join")))
        };
        let whole: Result<_, ContinuationMismatch> = verified(&[continuation]);
        assert_eq!(verified(parts), whole, "differs in parts");
        if let Ok((out, join)) = whole {
            assert!(continuation.ends_with(&out), "delivers text that was not received");
            assert_eq!(join.trimmed, points(continuation) - points(&out));
            assert!(assurance.accepts(join.tier));
        }
    }
}

/// The text after a restart: the delivered text once more, without regard to leading white space.
fn restarted<'a>(delivered: &str, continuation: &'a str) -> Option<&'a str> {
    let text = continuation.trim_start();
    text.strip_prefix(delivered.trim_start()).filter(|_| !text.is_empty())
}

fn is_restart(delivered: &str, continuation: &str) -> bool {
    !delivered.trim_start().is_empty() && restarted(delivered, continuation).is_some()
}

/// Compares the outcome with a plain search.
fn check_overlap(delivered: &str, continuation: &str, limits: Limits, outcome: &Outcome) {
    let head = delivered.trim_start();
    let restarts = is_restart(delivered, continuation);
    // For a run of one character the splice decides by plausibility.
    if restarts && !is_varied(head) {
        return;
    }
    if restarts {
        let (out, join) = outcome.as_ref().expect("a restart is not a mismatch");
        assert_eq!(Some(out.as_str()), restarted(delivered, continuation), "{join:?}");
    } else if let Some(bytes) = longest_overlap(delivered, continuation, limits.min_overlap) {
        let (out, join) = outcome.as_ref().expect("an overlap is not a mismatch");
        assert_eq!(out, &continuation[bytes..], "{join:?}");
    } else if ends(continuation).all(|end| !delivered.ends_with(&continuation[..end])) {
        // Nothing was repeated, so nothing may be removed.
        match outcome {
            Ok((out, join)) => {
                assert_eq!(join.kind, JoinKind::Exact);
                assert_eq!(out, continuation);
            }
            Err(_) => {
                let same = |(a, b): &(char, char)| a == b;
                let matched = head.chars().zip(continuation.trim_start().chars()).take_while(same).count();
                assert!(matched >= HEAD_MIN, "a match of {matched} characters is a coincidence");
            }
        }
    }
}

/// The length of the overlap in bytes: the longest prefix of the continuation, with or without its leading white space,
/// that the delivered text ends with.
fn longest_overlap(delivered: &str, continuation: &str, min_overlap: usize) -> Option<usize> {
    let tail = last(delivered, WINDOW);
    let overlap = |text: &str| {
        let is_overlap = |end: &usize| {
            let prefix = &text[..*end];
            tail.ends_with(prefix) && points(prefix) >= min_overlap && is_varied(prefix)
        };
        ends(text).filter(is_overlap).last()
    };
    let trimmed = continuation.trim_start();
    let lead = continuation.len() - trimmed.len();
    overlap(continuation).max(overlap(trimmed).map(|bytes| lead + bytes))
}

/// The end of each character, in bytes.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    text.char_indices().map(|(start, c)| start + c.len_utf8())
}

/// Whether the text is not a run of one character.
fn is_varied(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| chars.any(|c| c != first))
}

fn points(text: &str) -> usize {
    text.chars().count()
}

/// The last `points` characters.
fn last(text: &str, points: usize) -> &str {
    let start = text.char_indices().rev().take(points).last().map_or(text.len(), |(start, _)| start);
    &text[start..]
}
