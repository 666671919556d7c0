//! The splice on single joins and on generated texts.

mod corpus;
mod error_rates;
mod joins;
mod properties;

use super::{ContinuationMismatch, Expectation, Join, JoinKind, Limits, Splice};

/// The text that a splice delivers of a continuation in these deltas.
fn spliced(
    delivered: &str,
    deltas: &[&str],
    limits: Limits,
    expect: Expectation,
) -> Result<(String, Join), ContinuationMismatch> {
    let mut splice = Splice::new(delivered, limits, expect);
    let mut out = String::new();
    for delta in deltas {
        out.push_str(&splice.push(delta, 0)?);
        assert!(splice.held.chars().count() <= limits.max_held, "holds more than max_held");
    }
    out.push_str(&splice.finish(0)?);
    Ok((out, splice.join().expect("a finished splice has decided")))
}

fn joined(delivered: &str, continuation: &str) -> (String, JoinKind, usize) {
    let (out, join) = spliced(delivered, &[continuation], Limits::default(), Expectation::Continuation)
        .expect("the continuation matches");
    (out, join.kind, join.trimmed)
}

/// The byte positions of all characters of a text but the first.
fn cut_positions(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).skip(1).collect()
}

/// The byte position that is `points` code points before `at`.
fn step_back(text: &str, at: usize, points: usize) -> usize {
    text[..at].char_indices().rev().take(points).last().map_or(at, |(at, _)| at)
}
