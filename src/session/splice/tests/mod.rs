//! Behaviour of the splice, join by join and over generated texts.

mod behaviour;
mod corpus;
mod figures;
mod properties;

use super::{ContinuationMismatch, Expectation, Join, JoinKind, Limits, Splice};

/// What the splice lets through of a continuation that comes in these deltas.
fn spliced(
    delivered: &str,
    deltas: &[&str],
    limits: Limits,
    expect: Expectation,
) -> Result<(String, Join), ContinuationMismatch> {
    let mut splice = Splice::new(delivered, limits, expect);
    let mut out = String::new();
    for piece in deltas {
        out.push_str(&splice.push(piece, 0)?);
        assert!(splice.held.chars().count() <= limits.max_held, "holds more than it may");
    }
    out.push_str(&splice.finish(0)?);
    Ok((out, splice.join().expect("decided at the end")))
}

fn joined(delivered: &str, continuation: &str) -> (String, JoinKind, usize) {
    let (out, join) = spliced(delivered, &[continuation], Limits::default(), Expectation::Continuation)
        .expect("no contradiction");
    (out, join.kind, join.trimmed)
}

/// Byte positions of the characters of a text, without the first.
fn cuts(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).skip(1).collect()
}

/// `text` from `points` code points before the byte `at`.
fn back(text: &str, at: usize, points: usize) -> usize {
    text[..at].char_indices().rev().take(points).last().map_or(at, |(at, _)| at)
}
