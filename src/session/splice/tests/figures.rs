//! Measures how often a splice errs, over generated joins. `docs/recovery.md` has the tables.
//! `HOLYSHEEP_JOINS=20000 cargo test --release --no-default-features --lib figures -- --nocapture`
//! prints them again.

use std::fmt::Write as _;

use super::corpus::{Dice, KINDS};
use super::*;
use crate::session::splice::MIN_OVERLAP;
use crate::session::splice::head::HEAD_MIN_LINE;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Exact,
    Overlap,
    Word,
    Restart,
    Diverging,
}

struct Sample {
    kind: usize,
    way: Way,
    text: String,
    at: usize,
    continuation: String,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    Whole,
    /// What the consumer has is said again.
    Twice,
    /// New text is missing.
    Eaten,
    Refused,
}

/// Half of the cuts are anywhere, a quarter at the beginning of a line and a quarter at the end of a
/// word: at those two likeness is most frequent, and streams are cut between tokens.
fn cut(text: &str, dice: &mut Dice) -> usize {
    let all = cuts(text);
    let after = |c: fn(char) -> bool, before: bool| {
        let fits = |&&at: &&usize| match before {
            true => text[at..].starts_with(c),
            false => text[..at].ends_with(c),
        };
        all.iter().filter(fits).copied().collect::<Vec<_>>()
    };
    let some = match dice.below(4) {
        0 => after(|c| c == '\n', false),
        1 => after(char::is_whitespace, true),
        _ => Vec::new(),
    };
    let of = if some.is_empty() { &all } else { &some };
    of[dice.below(of.len())]
}

fn sample(dice: &mut Dice, kind: usize, way: Way) -> Option<Sample> {
    let text = KINDS[kind].1(dice);
    let at = cut(&text, dice);
    let continuation = match way {
        Way::Exact => text[at..].to_owned(),
        Way::Overlap => text[back(&text, at, 1 + dice.below(60))..].to_owned(),
        Way::Word => {
            let letters = text[..at].chars().rev().take_while(|c| c.is_alphabetic()).count();
            let begins = back(&text, at, letters);
            let inside = text[at..].starts_with(char::is_alphabetic) && letters > 0;
            (inside && !KINDS[kind].0.starts_with("Chinese")).then(|| text[begins..].to_owned())?
        }
        Way::Restart => text.clone(),
        Way::Diverging => {
            let agreed = 1 + dice.below(text[..at].chars().count().min(240));
            let end = text.char_indices().nth(agreed).map(|(end, _)| end).filter(|&end| end < at)?;
            let other = KINDS[kind].1(dice);
            let from = cut(&other, dice);
            format!("{}{}", &text[..end], &other[from..])
        }
    };
    Some(Sample { kind, way, text, at, continuation })
}

fn samples(count: usize, seed: u64) -> Vec<Sample> {
    let mut dice = Dice(seed);
    let ways = [Way::Exact, Way::Exact, Way::Overlap, Way::Overlap, Way::Word, Way::Restart, Way::Diverging];
    let mut all = Vec::new();
    while all.len() < count {
        let kind = dice.below(KINDS.len());
        let way = ways[dice.below(ways.len())];
        all.extend(sample(&mut dice, kind, way));
    }
    all
}

fn outcome(sample: &Sample, min_overlap: usize) -> Outcome {
    let limits = Limits { min_overlap, ..Limits::default() };
    let delivered = &sample.text[..sample.at];
    let wanted = &sample.text[sample.at..];
    match spliced(delivered, &[&sample.continuation], limits, Expectation::Continuation) {
        Err(_) => Outcome::Refused,
        Ok((out, _)) if sample.way != Way::Diverging && out == wanted => Outcome::Whole,
        Ok((out, _)) if out.len() < wanted.len() => Outcome::Eaten,
        Ok(_) => Outcome::Twice,
    }
}

/// All samples, and how each ends with each `minOverlap`.
struct Measured {
    samples: Vec<Sample>,
    outcomes: Vec<(usize, Vec<Outcome>)>,
}

impl Measured {
    fn new(count: usize, steps: impl IntoIterator<Item = usize>) -> Self {
        let samples = samples(count, 2026);
        let of = |step| (step, samples.iter().map(|sample| outcome(sample, step)).collect());
        let outcomes = steps.into_iter().map(of).collect();
        Measured { samples, outcomes }
    }

    /// How many samples end like this: a share in percent.
    fn share(&self, step: usize, way: Way, kind: Option<usize>, what: Outcome) -> f64 {
        let (_, outcomes) = self.outcomes.iter().find(|(s, _)| *s == step).expect("measured");
        let (mut of, mut such) = (0, 0);
        for (sample, outcome) in self.samples.iter().zip(outcomes) {
            if sample.way == way && kind.is_none_or(|kind| kind == sample.kind) {
                of += 1;
                such += usize::from(*outcome == what);
            }
        }
        100.0 * f64::from(such as u32) / f64::from(of.max(1))
    }

    fn by_way(&self) -> String {
        let columns = [
            ("exact: dropped", Way::Exact, Outcome::Eaten),
            ("exact: refused", Way::Exact, Outcome::Refused),
            ("overlap: duplicated", Way::Overlap, Outcome::Twice),
            ("overlap: dropped", Way::Overlap, Outcome::Eaten),
            ("word: duplicated", Way::Word, Outcome::Twice),
            ("word: dropped", Way::Word, Outcome::Eaten),
            ("restart: duplicated", Way::Restart, Outcome::Twice),
            ("restart: dropped", Way::Restart, Outcome::Eaten),
            ("diverging: refused", Way::Diverging, Outcome::Refused),
        ];
        let names: Vec<_> = columns.iter().map(|(name, ..)| *name).collect();
        let mut out = head(&names);
        for (step, _) in &self.outcomes {
            let cells = columns.map(|(_, way, what)| self.share(*step, way, None, what));
            out.push_str(&row(*step, &cells));
        }
        out
    }

    fn by_kind(&self, way: Way, what: Outcome) -> String {
        let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        let mut out = head(&names);
        for (step, _) in self.outcomes.iter().filter(|(step, _)| step % 4 == 0 || *step < 4) {
            let cells: Vec<_> =
                (0..KINDS.len()).map(|kind| self.share(*step, way, Some(kind), what)).collect();
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

/// How long honest continuations are like the answer's beginning.
fn heads(all: &[Sample]) -> String {
    let like = |s: &Sample| {
        s.text.chars().zip(s.continuation.trim_start().chars()).take_while(|(a, b)| a == b).count()
    };
    let new_line = |s: &Sample| {
        let lead = s.continuation.len() - s.continuation.trim_start().len();
        s.text[..s.at].trim_end_matches([' ', '\t']).ends_with('\n') || s.continuation[..lead].contains('\n')
    };
    let honest: Vec<_> = all.iter().filter(|s| s.way == Way::Exact).collect();
    let (lines, inside): (Vec<_>, Vec<_>) = honest.into_iter().partition(|s| new_line(s));
    let mut out = "| at least | inside a line | on a new line |\n|---:|---:|---:|\n".to_owned();
    for least in [4, 8, 12, 16, 24, 32, 48, 64, 96, 120, 160, 200] {
        let of = |some: &[&Sample]| {
            100.0 * some.iter().filter(|s| like(s) >= least).count() as f64 / some.len().max(1) as f64
        };
        writeln!(out, "| {least} | {:.2} | {:.2} |", of(&inside), of(&lines)).unwrap();
    }
    out
}

#[test]
#[allow(clippy::print_stdout)]
fn the_figures_that_chose_the_default_still_hold() {
    let full = std::env::var("HOLYSHEEP_JOINS").ok().and_then(|count| count.parse().ok());
    let measured = match full {
        Some(count) => Measured::new(count, 1..=40),
        None => Measured::new(2_000, [4, 8, MIN_OVERLAP, 40]),
    };
    println!("{} joins\n\n{}", measured.samples.len(), measured.by_way());
    println!("exact: dropped\n\n{}", measured.by_kind(Way::Exact, Outcome::Eaten));
    println!("overlap: duplicated\n\n{}", measured.by_kind(Way::Overlap, Outcome::Twice));
    println!("diverging: refused\n\n{}", measured.by_kind(Way::Diverging, Outcome::Refused));
    println!("like the beginning\n\n{}", heads(&measured.samples));
    let at = |step, way, what| measured.share(step, way, None, what);
    let eaten = |step| at(step, Way::Exact, Outcome::Eaten);
    assert!(eaten(4) > 1.0 && eaten(8) > 2.0 * eaten(MIN_OVERLAP), "a shorter one eats more");
    assert!(eaten(MIN_OVERLAP) < 0.6);
    assert!(at(40, Way::Overlap, Outcome::Twice) > 2.0 * at(MIN_OVERLAP, Way::Overlap, Outcome::Twice));
    assert!(at(MIN_OVERLAP, Way::Word, Outcome::Twice) < 0.5);
    assert!(at(MIN_OVERLAP, Way::Restart, Outcome::Twice) < 0.5);
}

/// The longest beginning of the continuation, with or without its leading white space, that the
/// delivered text ends in.
fn likeness(delivered: &str, continuation: &str) -> usize {
    let trimmed = continuation.trim_start();
    let longest = |text: &str| {
        let mut ends = cuts(text).into_iter().take(300).filter(|&end| delivered.ends_with(&text[..end]));
        ends.next_back().map_or(0, |end| text[..end].chars().count())
    };
    longest(continuation).max(longest(trimmed))
}

#[test]
fn honest_continuations_with_less_likeness_than_min_overlap_lose_no_character() {
    let mut dice = Dice(11);
    let mut alike = 0;
    for round in 0..6_000 {
        // Lists, tables, JSON, code, songs, numbers: what repeats itself.
        let Some(sample) = sample(&mut dice, 4 + round % 6, Way::Exact) else { continue };
        let (delivered, rest) = sample.text.split_at(sample.at);
        let likeness = likeness(delivered, rest);
        let head = sample.text.chars().zip(rest.trim_start().chars()).take_while(|(a, b)| a == b).count();
        if likeness == 0 || likeness >= MIN_OVERLAP || head >= HEAD_MIN_LINE {
            continue;
        }
        alike += 1;
        let (out, join) = spliced(delivered, &[rest], Limits::default(), Expectation::Continuation).unwrap();
        assert_eq!(out, rest, "{join:?} after {:?}", &delivered[back(delivered, sample.at, 60)..]);
    }
    assert!(alike >= 500, "only {alike} were alike at all");
}
