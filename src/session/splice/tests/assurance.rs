//! What the defaults accept and what they let through, over all cuts inside the sentences of [`ANSWERS`]. The tables of
//! `bench/recovery/README.md` are printed by `cargo test --no-default-features --lib assurance -- --nocapture`.

use std::collections::BTreeMap;

use super::corpus_scripts::{ANSWERS, Answers};
use super::*;
use crate::session::splice::words::ends_sentence;

/// The cuts inside of sentences, lines of code and values.
fn inner_cuts(kind: &str, text: &str) -> Vec<usize> {
    let is_inside = |at: &usize| {
        let (before, rest) = text.split_at(*at);
        let line = before.rsplit('\n').next().unwrap_or_default();
        match kind {
            "JSON" => before.len() > 4 && !rest.trim().is_empty(),
            "code" => {
                before.matches("```").count() == 1
                    && !line.trim().is_empty()
                    && !rest.starts_with(['\n', '`'])
                    && before.contains('\n')
            }
            _ => {
                before.chars().count() >= 12
                    && !ends_sentence(before.trim_end())
                    && rest.chars().count() >= 12
            }
        }
    };
    cut_positions(text).into_iter().filter(is_inside).collect()
}

/// The start of the last sentence or line, and of the next one.
fn sentence(kind: &str, text: &str, at: usize) -> (usize, Option<usize>) {
    let marks: &[char] =
        if matches!(kind, "code" | "JSON") { &['\n', ','] } else { &['.', '。', '\n', ' ', '，', '、'] };
    let marks = if matches!(kind, "English" | "Vietnamese") { &['.', '\n'] } else { marks };
    let start = text[..at]
        .trim_end_matches(marks)
        .rfind(marks)
        .map_or(0, |mark| mark + text[mark..].chars().next().map_or(1, char::len_utf8));
    let next = text[at..]
        .find(marks)
        .map(|mark| at + mark + text[at + mark..].chars().next().map_or(1, char::len_utf8));
    (start, next)
}

/// No recorded model did the first two, and in scripts without case and spaces nothing tells them from the rest. The third
/// begins the sentence again, almost the same, and goes on: whatever comes then is joined where the answer stopped.
const NOT_COUNTED: [&str; 3] = ["another answer", "the next part", "sentence, diverging"];

/// Continuations of models that do not obey, by name.
fn wrong(kind: &str, answers: &[&str], index: usize, at: usize) -> Vec<(&'static str, String)> {
    let text = answers[index];
    let (before, rest) = text.split_at(at);
    let (start, next) = sentence(kind, text, at);
    let other = answers[(index + 1) % answers.len()];
    let change = |text: &str| {
        let words = text.split(' ').enumerate();
        words.map(|(at, word)| if at % 4 == 1 { "quite" } else { word }).collect::<Vec<_>>().join(" ")
    };
    let mut all = vec![
        ("empty", String::new()),
        ("full stop", ".".to_owned()),
        ("echo", before[start..].trim_start().to_owned()),
        ("echo of all", before.to_owned()),
        ("instruction", "Go on exactly where it stops, as if there had been no break.".to_owned()),
        ("closing quote", format!("{}”\n\n{}", &before[start..], before)),
        ("preamble", format!("Sure, here is the rest:\n\n{rest}")),
        ("about", "The answer so far ends with a sentence that is not complete.".to_owned()),
        ("another answer", other.to_owned()),
        ("sentence, diverging", format!("{}quite another thing", change(&before[start..]))),
        ("English", "This is the rest of the text that was asked for.".to_owned()),
        ("repeated, then an echo", format!("{}\n\n{}", &before[start..], before)),
    ];
    let line = before.rsplit('\n').next().unwrap_or_default();
    if let Some((_, words)) = line.split_once(' ') {
        all.push(("line, its first word changed", format!("Thus {words}{rest}")));
    }
    let middle = (before.len() / 2..).find(|at| text.is_char_boundary(*at)).unwrap_or(at);
    all.push(("from the middle", text[middle..].to_owned()));
    if change(before) != before {
        all.push(("restart, changed", change(text)));
    }
    if let Some(next) = next.filter(|next| text[*next..].trim().chars().count() > 20) {
        all.push(("the next part", text[next..].trim_start().to_owned()));
    }
    if let Some(word) = rest.strip_prefix(' ').filter(|rest| rest.starts_with(char::is_alphabetic)) {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        all.push(("glued", first + letters.as_str()));
    }
    if kind == "code" {
        let fence: String = text.split_inclusive('\n').take(1).collect();
        all.push(("fence again", fence + rest));
        all.push(("code again", text.split_once('\n').map(|(_, code)| code.to_owned()).unwrap_or_default()));
    }
    all
}

fn percent(part: usize, all: usize) -> f64 {
    100.0 * f64::from(part as u32) / f64::from(all.max(1) as u32)
}

/// How many of the exact continuations are accepted; panics if another text than the rest is delivered.
fn accepted((kind, answers): &Answers, step: usize, limits: Limits) -> (usize, usize) {
    let (mut all, mut accepted) = (0, 0);
    for text in *answers {
        for at in inner_cuts(kind, text).into_iter().step_by(step) {
            let (before, rest) = text.split_at(at);
            all += 1;
            match verified(before, rest, limits, Expectation::Continuation) {
                Ok((out, join)) => {
                    accepted += 1;
                    assert_eq!(out, rest, "{join:?} after {before:?}");
                }
                Err(mismatch) if std::env::var("HOLYSHEEP_SHOW").is_ok() => {
                    show(kind, mismatch, before, rest)
                }
                Err(_) => {}
            }
        }
    }
    (accepted, all)
}

#[allow(clippy::print_stdout)]
fn show(kind: &str, what: impl std::fmt::Debug, before: &str, rest: &str) {
    let end: String = rest.chars().take(40).collect();
    println!("{kind} {what:?}: {:?} | {end:?}", &before[step_back(before, before.len(), 40)..]);
}

#[test]
#[allow(clippy::print_stdout)]
fn the_exact_rest_is_accepted_inside_of_sentences() {
    for answers in &ANSWERS {
        let (accepted, all) = accepted(answers, 1, Limits::default());
        let share = percent(accepted, all);
        println!("| {} | {all} | {share:.1} % |", answers.0);
        assert!(share >= 95.0, "{}: {share:.1} % of {all}", answers.0);
    }
}

#[test]
#[allow(clippy::print_stdout)]
fn the_rest_after_the_requested_words_is_accepted_everywhere() {
    for (kind, answers) in &ANSWERS {
        for text in *answers {
            for at in cut_positions(text).into_iter().filter(|at| text[..*at].chars().count() >= 24) {
                let (before, rest) = text.split_at(at);
                let anchor = before[step_back(before, at, 24)..].trim_start();
                let continuation = format!("{anchor}{rest}");
                let joined = verified(
                    before,
                    &continuation,
                    Limits::default(),
                    Expectation::Anchor(anchor.to_owned()),
                );
                let is_end = !rest.contains(char::is_alphanumeric);
                match joined {
                    Ok((out, _)) if is_end => assert!(rest.starts_with(&out)),
                    Ok((out, _)) => assert_eq!(out, rest, "{kind} {before:?}"),
                    Err(mismatch) => assert!(is_end, "{kind} {mismatch:?} after {before:?}"),
                }
            }
        }
    }
}

/// The wrong continuations that are delivered, and all of them, by kind of text and by way.
type Passed = BTreeMap<&'static str, (usize, usize)>;

fn passed(step: usize, limits: Limits) -> (Passed, Passed) {
    let (mut kinds, mut ways) = (Passed::new(), Passed::new());
    for (kind, answers) in &ANSWERS {
        for (index, text) in answers.iter().enumerate() {
            for at in inner_cuts(kind, text).into_iter().step_by(step) {
                let (before, rest) = text.split_at(at);
                for (way, continuation) in wrong(kind, answers, index, at) {
                    let result = verified(before, &continuation, limits, Expectation::Continuation);
                    let is_wrong = matches!(&result, Ok((out, _)) if out != rest);
                    if is_wrong && std::env::var("HOLYSHEEP_SHOW").is_ok() {
                        show(kind, way, before, &continuation);
                    }
                    let is_counted = !NOT_COUNTED.contains(&way);
                    let of_kind = is_counted.then(|| kinds.entry(*kind).or_default());
                    for count in of_kind.into_iter().chain([ways.entry(way).or_default()]) {
                        count.0 += usize::from(is_wrong);
                        count.1 += 1;
                    }
                }
            }
        }
    }
    (kinds, ways)
}

#[test]
#[allow(clippy::print_stdout)]
fn wrong_continuations_are_rejected() {
    // All of them take minutes.
    let step = if std::env::var("HOLYSHEEP_FULL").is_ok() { 1 } else { 9 };
    let (kinds, ways) = passed(step, Limits::default());
    for (name, (passed, all)) in ways.iter().chain(&kinds) {
        println!("| {name} | {all} | {:.2} % |", percent(*passed, *all));
    }
    for (kind, (passed, all)) in kinds {
        assert!(percent(passed, all) <= 1.0, "{kind}: {:.2} % of {all}", percent(passed, all));
    }
}

/// The curve of what is accepted against what is let through: from how much of the delivered text on a continuation begins
/// again. The table of `docs/recovery.md`.
#[test]
#[allow(clippy::print_stdout)]
fn the_default_of_begun_again_is_taken_from_the_curve() {
    let is_full = std::env::var("HOLYSHEEP_FULL").is_ok();
    let steps: &[usize] =
        if is_full { &[25, 50, 75, 100, 150, 200, 400, 10_000] } else { &[25, 100, 10_000] };
    let sum = |counts: &mut dyn Iterator<Item = (usize, usize)>| {
        let (part, all) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        percent(part, all)
    };
    let step = if is_full { 1 } else { 7 };
    let mut curve = Vec::new();
    for &begun_again in steps {
        let limits = Limits { begun_again, ..Limits::default() };
        let exact: Vec<_> = ANSWERS.iter().map(|answers| accepted(answers, step, limits)).collect();
        let worst = exact.iter().map(|&(part, all)| percent(part, all)).fold(100.0, f64::min);
        let (kinds, ways) = passed(9 * step, limits);
        let accepted = sum(&mut exact.into_iter());
        let wrong = sum(&mut kinds.into_values());
        let diverging = ways["sentence, diverging"];
        let diverging = percent(diverging.0, diverging.1);
        println!("| {begun_again} % | {accepted:.1} % | {worst:.1} % | {wrong:.2} % | {diverging:.1} % |");
        curve.push((accepted, wrong));
    }
    let at = |step: usize| curve[steps.iter().position(|&of| of == step).unwrap()];
    assert!(at(25).0 < at(100).0 && at(100).1 < at(10_000).1, "{curve:?}");
}
