//! The splice. It leaves out nothing but a beginning of the continuation, decides the same however that is split, holds
//! no more than it may, and joins what a plain search for the longest overlap joins.
//!
//! Input: one byte that selects the mode, one each for the length of the repetition, the limits and the splits; then the
//! delivered text, a NUL, and the continuation or, where the mode makes one, the rest of the true answer.
#![no_main]

mod common;

use common::{Rng, split_text};
use holysheep::session::splice::{
    Contradiction, Expect, Limits, OVERLAP_MIN, Seam, SeamKind, Splice, WINDOW,
};
use libfuzzer_sys::fuzz_target;

/// From so many characters like the beginning of the answer on, a continuation may be a contradiction.
const NO_ACCIDENT: usize = 12;

type Outcome = Result<(String, Seam), Contradiction>;

fuzz_target!(|input: &[u8]| {
    let [mode, repeated, limits, seed, texts @ ..] = input else { return };
    let texts = String::from_utf8_lossy(texts);
    let Some((delivered, rest)) = texts.split_once('\0').filter(|(delivered, _)| !delivered.is_empty())
    else {
        return;
    };
    let repeated = usize::from(*repeated);
    let mut rng = Rng(u64::from(*seed));
    let limits = match limits {
        0..128 => Limits::default(),
        small => Limits {
            overlap_min: usize::from(small % 16),
            max_held: usize::from(small / 3),
            ..Limits::default()
        },
    };
    match mode % 7 {
        // Any continuation at all.
        0 => drop(check(delivered, rest, limits, Expect::Continuation, &mut rng)),
        1 => drop(check(delivered, rest, limits, Expect::Restart, &mut rng)),
        2 => {
            let anchor = Expect::Anchor(last(delivered, repeated).to_owned());
            drop(check(delivered, rest, limits, anchor, &mut rng));
        }
        // The true rest, behind a repetition of the end.
        3 => {
            let overlap = last(delivered, OVERLAP_MIN + repeated);
            let continuation = format!("{overlap}{rest}");
            let outcome = check(delivered, &continuation, Limits::default(), Expect::Continuation, &mut rng);
            let found = longest_overlap(delivered, &continuation, OVERLAP_MIN);
            if found == Some(overlap.len()) && !begins_again(delivered, &continuation) {
                assert_eq!(outcome.expect("an overlap is no contradiction").0, rest);
            }
        }
        // The true answer from its beginning.
        4 | 5 => {
            let continuation = format!("{}{}{rest}", &"\n\n"[..repeated % 3], delivered.trim_start());
            let strict = mode % 7 == 5;
            let expect = if strict { Expect::Restart } else { Expect::Continuation };
            let outcome = check(delivered, &continuation, Limits::default(), expect, &mut rng);
            // A text of one sign over and over is a riddle, and so is one letter.
            if !delivered.trim().is_empty() && (strict || is_varied(delivered.trim_start())) {
                assert_eq!(outcome.expect("the same answer is no contradiction").0, rest);
            }
        }
        // The true rest, behind the words that were asked for.
        _ => {
            let anchor = last(delivered, 1 + repeated).trim_start();
            let continuation = format!("{anchor}{rest}");
            let expect = Expect::Anchor(anchor.to_owned());
            let outcome = check(delivered, &continuation, Limits::default(), expect, &mut rng);
            if !anchor.is_empty() && points(anchor) < WINDOW {
                assert_eq!(outcome.expect("an anchor is no contradiction").0, rest);
            }
        }
    }
});

/// What holds for every continuation.
fn check(delivered: &str, continuation: &str, limits: Limits, expect: Expect, rng: &mut Rng) -> Outcome {
    let whole = spliced(delivered, &[continuation], limits, expect.clone());
    let parts = split_text(continuation, rng);
    assert_eq!(spliced(delivered, &parts, limits, expect.clone()), whole, "another outcome in parts");
    let each: Vec<&str> = continuation.split_inclusive(|_| true).collect();
    assert_eq!(spliced(delivered, &each, limits, expect.clone()), whole, "another outcome by characters");

    if let Ok((out, seam)) = &whole {
        assert!(continuation.ends_with(out), "delivers what did not come");
        assert_eq!(seam.trimmed, points(continuation) - points(out));
    }
    if expect == Expect::Restart {
        assert_eq!(whole.as_ref().ok().map(|(out, _)| out.as_str()), restarted(delivered, continuation));
    } else if expect == Expect::Continuation && points(continuation) < limits.max_held {
        check_overlap(delivered, continuation, limits, &whole);
    }
    check_timeout(delivered, &parts, limits, expect, rng);
    whole
}

/// Feeds the parts and ends the continuation.
fn spliced(delivered: &str, parts: &[&str], limits: Limits, expect: Expect) -> Outcome {
    let mut splice = Splice::new(delivered, limits, expect);
    let mut out = String::new();
    let mut came = 0;
    for part in parts {
        came += points(part);
        out.push_str(&splice.push(part, 0)?);
        // Text is held exactly as long as there is a deadline.
        assert!(splice.deadline().is_none() || came <= limits.max_held, "holds more than it may");
    }
    out.push_str(&splice.finish(0)?);
    Ok((out, splice.seam().expect("decided at the end")))
}

/// The time is over after some part: what is left out is a beginning of what had come, and all that follows passes.
fn check_timeout(delivered: &str, parts: &[&str], limits: Limits, expect: Expect, rng: &mut Rng) {
    if parts.is_empty() {
        return;
    }
    let (early, late) = parts.split_at(rng.below(parts.len()));
    let mut splice = Splice::new(delivered, limits, expect);
    let mut out = String::new();
    for part in early {
        let Ok(new) = splice.push(part, 7) else { return };
        out.push_str(&new);
    }
    let is_due = splice.deadline().is_some();
    let Ok(new) = splice.timeout(7) else { return };
    out.push_str(&new);
    assert!(splice.deadline().is_none(), "nothing is held after the deadline");
    if !is_due {
        return;
    }
    assert!(early.concat().ends_with(&out), "delivers what did not come");
    for part in late {
        assert_eq!(splice.push(part, 8).as_deref(), Ok(*part), "decided, and not passed through");
    }
    assert_eq!(splice.finish(8).as_deref(), Ok(""));
}

/// A restart is the delivered text again; white space before either does not matter.
fn restarted<'a>(delivered: &str, continuation: &'a str) -> Option<&'a str> {
    let text = continuation.trim_start();
    text.strip_prefix(delivered.trim_start()).filter(|_| !text.is_empty())
}

fn begins_again(delivered: &str, continuation: &str) -> bool {
    !delivered.trim_start().is_empty() && restarted(delivered, continuation).is_some()
}

/// Against a plain search.
fn check_overlap(delivered: &str, continuation: &str, limits: Limits, outcome: &Outcome) {
    let head = delivered.trim_start();
    let again = begins_again(delivered, continuation);
    // What a text of one sign means is a matter of likeliness.
    if again && !is_varied(head) {
        return;
    }
    if again {
        let (out, seam) = outcome.as_ref().expect("a restart is no contradiction");
        assert_eq!(Some(out.as_str()), restarted(delivered, continuation), "{seam:?}");
    } else if let Some(bytes) = longest_overlap(delivered, continuation, limits.overlap_min) {
        let (out, seam) = outcome.as_ref().expect("an overlap is no contradiction");
        assert_eq!(out, &continuation[bytes..], "{seam:?}");
    } else if ends(continuation).all(|end| !delivered.ends_with(&continuation[..end])) {
        // Nothing came again, so nothing may be missing.
        match outcome {
            Ok((out, seam)) => {
                assert_eq!(seam.kind, SeamKind::Exact);
                assert_eq!(out, continuation);
            }
            Err(_) => {
                let same = |(a, b): &(char, char)| a == b;
                let alike = head.chars().zip(continuation.trim_start().chars()).take_while(same).count();
                assert!(alike >= NO_ACCIDENT, "{alike} characters alike are an accident");
            }
        }
    }
}

/// How many bytes of the continuation are an overlap: its longest beginning, with or without its leading white space,
/// that the delivered text ends with.
fn longest_overlap(delivered: &str, continuation: &str, overlap_min: usize) -> Option<usize> {
    let tail = last(delivered, WINDOW);
    let overlap = |text: &str| {
        let is_overlap = |end: &usize| {
            let begin = &text[..*end];
            tail.ends_with(begin) && points(begin) >= overlap_min && is_varied(begin)
        };
        ends(text).filter(is_overlap).last()
    };
    let trimmed = continuation.trim_start();
    let lead = continuation.len() - trimmed.len();
    overlap(continuation).max(overlap(trimmed).map(|bytes| lead + bytes))
}

/// Where each character ends.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    text.char_indices().map(|(at, c)| at + c.len_utf8())
}

/// It is more than one character over and over.
fn is_varied(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| chars.any(|c| c != first))
}

fn points(text: &str) -> usize {
    text.chars().count()
}

/// The last so many characters.
fn last(text: &str, points: usize) -> &str {
    let start = text.char_indices().rev().take(points).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}
