//! Measures how often a splice is wrong, over generated joins. `docs/recovery.md` has the tables, which
//! `HOLYSHEEP_JOINS=20000 cargo test --release --no-default-features --lib error_rates -- --nocapture` prints.

use std::fmt::Write as _;

use super::corpus::KINDS;
use super::*;
use crate::rng::SeededRng;
use crate::session::splice::MIN_OVERLAP;
use crate::session::splice::head::HEAD_MIN_LINE;

/// What a continuation repeats.
#[derive(Clone, Copy, PartialEq)]
enum Behavior {
    Exact,
    Overlap,
    Word,
    Restart,
    Diverging,
}

struct Sample {
    kind: usize,
    behavior: Behavior,
    text: String,
    at: usize,
    continuation: String,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    Intact,
    /// Delivered text is duplicated.
    Duplicated,
    /// New text is dropped.
    Dropped,
    /// The continuation is rejected.
    Rejected,
}

/// Half of the cuts are anywhere, a quarter at the start of a line and a quarter at the end of a word. There texts
/// repeat themselves most often, and streams are cut between tokens.
fn cut_position(text: &str, rng: &mut SeededRng) -> usize {
    let all = cut_positions(text);
    let after = |c: fn(char) -> bool, before: bool| {
        let fits = |&&at: &&usize| match before {
            true => text[at..].starts_with(c),
            false => text[..at].ends_with(c),
        };
        all.iter().filter(fits).copied().collect::<Vec<_>>()
    };
    let some = match rng.below(4) {
        0 => after(|c| c == '\n', false),
        1 => after(char::is_whitespace, true),
        _ => Vec::new(),
    };
    let of = if some.is_empty() { &all } else { &some };
    of[rng.below(of.len())]
}

fn sample(rng: &mut SeededRng, kind: usize, behavior: Behavior) -> Option<Sample> {
    let text = KINDS[kind].1(rng);
    let at = cut_position(&text, rng);
    let continuation = match behavior {
        Behavior::Exact => text[at..].to_owned(),
        Behavior::Overlap => text[step_back(&text, at, 1 + rng.below(60))..].to_owned(),
        Behavior::Word => {
            let letters = text[..at].chars().rev().take_while(|c| c.is_alphabetic()).count();
            let begins = step_back(&text, at, letters);
            let inside = text[at..].starts_with(char::is_alphabetic) && letters > 0;
            (inside && !KINDS[kind].0.starts_with("Chinese")).then(|| text[begins..].to_owned())?
        }
        Behavior::Restart => text.clone(),
        Behavior::Diverging => {
            let agreed = 1 + rng.below(text[..at].chars().count().min(240));
            let end = text.char_indices().nth(agreed).map(|(end, _)| end).filter(|&end| end < at)?;
            let other = KINDS[kind].1(rng);
            let from = cut_position(&other, rng);
            format!("{}{}", &text[..end], &other[from..])
        }
    };
    Some(Sample { kind, behavior, text, at, continuation })
}

fn samples(count: usize, seed: u64) -> Vec<Sample> {
    let mut rng = SeededRng::new(seed);
    let behaviors = [
        Behavior::Exact,
        Behavior::Exact,
        Behavior::Overlap,
        Behavior::Overlap,
        Behavior::Word,
        Behavior::Restart,
        Behavior::Diverging,
    ];
    let mut all = Vec::new();
    while all.len() < count {
        let kind = rng.below(KINDS.len());
        let behavior = behaviors[rng.below(behaviors.len())];
        all.extend(sample(&mut rng, kind, behavior));
    }
    all
}

fn outcome(sample: &Sample, min_overlap: usize) -> Outcome {
    let limits = Limits { min_overlap, ..Limits::default() };
    let delivered = &sample.text[..sample.at];
    let wanted = &sample.text[sample.at..];
    match spliced(delivered, &[&sample.continuation], limits, Expectation::Continuation) {
        Err(_) => Outcome::Rejected,
        Ok((out, _)) if sample.behavior != Behavior::Diverging && out == wanted => Outcome::Intact,
        Ok((out, _)) if out.len() < wanted.len() => Outcome::Dropped,
        Ok(_) => Outcome::Duplicated,
    }
}

/// All samples, and the outcome of each with each `minOverlap`.
struct Measurements {
    samples: Vec<Sample>,
    outcomes: Vec<(usize, Vec<Outcome>)>,
}

impl Measurements {
    fn new(count: usize, steps: impl IntoIterator<Item = usize>) -> Self {
        let samples = samples(count, 2026);
        let of = |step| (step, samples.iter().map(|sample| outcome(sample, step)).collect());
        let outcomes = steps.into_iter().map(of).collect();
        Measurements { samples, outcomes }
    }

    /// The share of samples with this outcome, in percent.
    fn share(&self, step: usize, behavior: Behavior, kind: Option<usize>, wanted: Outcome) -> f64 {
        let (_, outcomes) = self.outcomes.iter().find(|(s, _)| *s == step).expect("measured");
        let (mut total, mut matching) = (0, 0);
        for (sample, outcome) in self.samples.iter().zip(outcomes) {
            if sample.behavior == behavior && kind.is_none_or(|kind| kind == sample.kind) {
                total += 1;
                matching += usize::from(*outcome == wanted);
            }
        }
        100.0 * f64::from(matching as u32) / f64::from(total.max(1))
    }

    fn by_behavior(&self) -> String {
        let columns = [
            ("exact: dropped", Behavior::Exact, Outcome::Dropped),
            ("exact: rejected", Behavior::Exact, Outcome::Rejected),
            ("overlap: duplicated", Behavior::Overlap, Outcome::Duplicated),
            ("overlap: dropped", Behavior::Overlap, Outcome::Dropped),
            ("word: duplicated", Behavior::Word, Outcome::Duplicated),
            ("word: dropped", Behavior::Word, Outcome::Dropped),
            ("restart: duplicated", Behavior::Restart, Outcome::Duplicated),
            ("restart: dropped", Behavior::Restart, Outcome::Dropped),
            ("diverging: rejected", Behavior::Diverging, Outcome::Rejected),
        ];
        let names: Vec<_> = columns.iter().map(|(name, ..)| *name).collect();
        let mut out = head(&names);
        for (step, _) in &self.outcomes {
            let cells = columns.map(|(_, behavior, wanted)| self.share(*step, behavior, None, wanted));
            out.push_str(&row(*step, &cells));
        }
        out
    }

    fn by_kind(&self, behavior: Behavior, wanted: Outcome) -> String {
        let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        let mut out = head(&names);
        for (step, _) in self.outcomes.iter().filter(|(step, _)| step % 4 == 0 || *step < 4) {
            let cells: Vec<_> =
                (0..KINDS.len()).map(|kind| self.share(*step, behavior, Some(kind), wanted)).collect();
            out.push_str(&row(*step, &cells));
        }
        out
    }
}

fn head(names: &[&str]) -> String {
    format!("| minOverlap | {} |\n|---:|{}\n", names.join(" | "), "---:|".repeat(names.len()))
}

fn row(step: usize, cells: &[f64]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:.2}")).collect();
    format!("| {step} | {} |\n", cells.join(" | "))
}

/// How often exact continuations match the start of the answer for at least some length.
fn head_matches(all: &[Sample]) -> String {
    let matched = |s: &Sample| {
        s.text.chars().zip(s.continuation.trim_start().chars()).take_while(|(a, b)| a == b).count()
    };
    let new_line = |s: &Sample| {
        let lead = s.continuation.len() - s.continuation.trim_start().len();
        s.text[..s.at].trim_end_matches([' ', '\t']).ends_with('\n') || s.continuation[..lead].contains('\n')
    };
    let exact: Vec<_> = all.iter().filter(|s| s.behavior == Behavior::Exact).collect();
    let (lines, inside): (Vec<_>, Vec<_>) = exact.into_iter().partition(|s| new_line(s));
    let mut out = "| at least | inside a line | on a new line |\n|---:|---:|---:|\n".to_owned();
    for min in [4, 8, 12, 16, 24, 32, 48, 64, 96, 120, 160, 200] {
        let of = |some: &[&Sample]| {
            100.0 * some.iter().filter(|s| matched(s) >= min).count() as f64 / some.len().max(1) as f64
        };
        writeln!(out, "| {min} | {:.2} | {:.2} |", of(&inside), of(&lines)).unwrap();
    }
    out
}

#[test]
#[allow(clippy::print_stdout)]
fn error_rates_support_the_default_minimum_overlap() {
    let full = std::env::var("HOLYSHEEP_JOINS").ok().and_then(|count| count.parse().ok());
    let measurements = match full {
        Some(count) => Measurements::new(count, 1..=40),
        None => Measurements::new(2_000, [4, 8, MIN_OVERLAP, 40]),
    };
    println!("{} joins\n\n{}", measurements.samples.len(), measurements.by_behavior());
    println!("exact: dropped\n\n{}", measurements.by_kind(Behavior::Exact, Outcome::Dropped));
    println!("overlap: duplicated\n\n{}", measurements.by_kind(Behavior::Overlap, Outcome::Duplicated));
    println!("diverging: rejected\n\n{}", measurements.by_kind(Behavior::Diverging, Outcome::Rejected));
    println!("matches with the start of the answer\n\n{}", head_matches(&measurements.samples));
    let rate = |step, behavior, outcome| measurements.share(step, behavior, None, outcome);
    let dropped = |step| rate(step, Behavior::Exact, Outcome::Dropped);
    assert!(dropped(4) > 1.0 && dropped(8) > 2.0 * dropped(MIN_OVERLAP), "a shorter minimum drops more text");
    assert!(dropped(MIN_OVERLAP) < 0.6);
    assert!(
        rate(40, Behavior::Overlap, Outcome::Duplicated)
            > 2.0 * rate(MIN_OVERLAP, Behavior::Overlap, Outcome::Duplicated)
    );
    assert!(rate(MIN_OVERLAP, Behavior::Word, Outcome::Duplicated) < 0.5);
    assert!(rate(MIN_OVERLAP, Behavior::Restart, Outcome::Duplicated) < 0.5);
}

/// The longest start of the continuation, with or without its leading white space, that the delivered text ends with.
fn overlap(delivered: &str, continuation: &str) -> usize {
    let trimmed = continuation.trim_start();
    let longest = |text: &str| {
        let mut ends =
            cut_positions(text).into_iter().take(300).filter(|&end| delivered.ends_with(&text[..end]));
        ends.next_back().map_or(0, |end| text[..end].chars().count())
    };
    longest(continuation).max(longest(trimmed))
}

#[test]
fn exact_continuations_with_less_overlap_than_min_overlap_lose_no_character() {
    let mut rng = SeededRng::new(11);
    let mut tested = 0;
    for round in 0..6_000 {
        // The kinds of text that repeat themselves: lists, tables, JSON, code, songs, numbers.
        let Some(sample) = sample(&mut rng, 4 + round % 6, Behavior::Exact) else { continue };
        let (delivered, rest) = sample.text.split_at(sample.at);
        let overlap = overlap(delivered, rest);
        let head = sample.text.chars().zip(rest.trim_start().chars()).take_while(|(a, b)| a == b).count();
        if overlap == 0 || overlap >= MIN_OVERLAP || head >= HEAD_MIN_LINE {
            continue;
        }
        tested += 1;
        let (out, join) = spliced(delivered, &[rest], Limits::default(), Expectation::Continuation).unwrap();
        assert_eq!(out, rest, "{join:?} after {:?}", &delivered[step_back(delivered, sample.at, 60)..]);
    }
    assert!(tested >= 500, "only {tested} samples overlap");
}
