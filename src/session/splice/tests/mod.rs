//! The splice on single joins and on generated texts.

mod corpus;

mod assurance;
mod corpus_scripts;
mod error_rates;

mod echoes;
mod joins;
mod seams;

mod properties;
mod recorded;

use super::{
    Assurance, ContinuationMismatch, Expectation, Found, Join, JoinKind, Limits, Repeats, Splice, Tier,
};

/// The text after what a continuation in these deltas repeats.
fn spliced(
    delivered: &str,
    deltas: &[&str],
    limits: Limits,
    expect: Expectation,
) -> Result<(String, Found), ContinuationMismatch> {
    let mut repeats = Repeats::new(delivered, limits, expect);
    let mut out = String::new();
    for delta in deltas {
        out.push_str(&repeats.push(delta)?);
    }
    out.push_str(&repeats.close(true)?);
    Ok((out, repeats.found().expect("it has decided")))
}

fn joined(delivered: &str, continuation: &str) -> (String, JoinKind, usize) {
    let (out, found) = spliced(delivered, &[continuation], Limits::default(), Expectation::Continuation)
        .expect("the continuation matches");
    (out, found.kind, found.points)
}

/// The text that is delivered of a whole continuation, and its join.
fn verified(
    delivered: &str,
    continuation: &str,
    limits: Limits,
    expect: Expectation,
) -> Result<(String, Join), ContinuationMismatch> {
    let mut splice = Splice::new(delivered, limits, expect);
    let mut out = splice.push(continuation, 0)?.into_owned();
    out.push_str(&splice.finish(false, 0)?);
    Ok((out, splice.join().expect("it has decided")))
}

/// The byte positions of all characters of a text but the first.
fn cut_positions(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).skip(1).collect()
}

/// The byte position that is `points` code points before `at`.
fn step_back(text: &str, at: usize, points: usize) -> usize {
    text[..at].char_indices().rev().take(points).last().map_or(at, |(at, _)| at)
}
