//! Single joins of each kind.

use std::borrow::Cow;

use super::*;

#[test]
fn an_exact_continuation_is_delivered_unchanged() {
    assert_eq!(joined("The quick br", "own fox"), ("own fox".into(), JoinKind::Exact, 0));
    assert_eq!(joined("The quick", " brown fox"), (" brown fox".into(), JoinKind::Exact, 0));
    assert_eq!(joined("The quick", ""), (String::new(), JoinKind::Exact, 0));
}

#[test]
fn an_overlap_with_the_tail_is_removed_even_from_mid_word() {
    let delivered = "Over the hills and far away the quick brown f";
    assert_eq!(joined(delivered, "ay the quick brown fox"), ("ox".into(), JoinKind::Overlap, 20));
    assert_eq!(joined(delivered, "far away the quick brown fox"), ("ox".into(), JoinKind::Overlap, 26));
}

#[test]
fn white_space_before_an_overlap_is_removed_too() {
    let delivered = "Over the hills and far away, the quick brown f";
    assert_eq!(joined(delivered, "\n\nfar away, the quick brown fox"), ("ox".into(), JoinKind::Overlap, 29));
}

#[test]
fn a_stream_cut_in_mid_word_is_continued_without_a_repeated_letter() {
    assert_eq!(joined("Xin chào, tiế", "tiếng Việt"), ("ng Việt".into(), JoinKind::Word, 3));
    assert_eq!(joined("Xin chào, t", "tiếng Việt"), ("iếng Việt".into(), JoinKind::Word, 1));
    assert_eq!(joined("over the laz", "the lazy dog"), ("y dog".into(), JoinKind::Word, 7));
    // The cut word takes precedence over a few words that end in it.
    assert_eq!(joined("từng cần c", "cần chủ"), ("ần chủ".into(), JoinKind::Word, 1));
    assert_eq!(joined("set user_na", "user_name = 1"), ("me = 1".into(), JoinKind::Word, 7));
    assert_eq!(joined("sagte \"vie", "\"vier\""), ("r\"".into(), JoinKind::Word, 4));
}

#[test]
fn the_next_word_is_not_the_cut_word() {
    assert_eq!(joined("see the", " theory"), (" theory".into(), JoinKind::Exact, 0));
    assert_eq!(joined("see the ", "theory"), ("theory".into(), JoinKind::Exact, 0));
}

#[test]
fn a_restart_is_suppressed_up_to_the_end_of_the_delivered_text() {
    let answer = "The quick brown fox jumps over the lazy dog.";
    let mut repeats = Repeats::new(&answer[..20], Limits::default(), Expectation::Continuation);
    assert_eq!(repeats.push(&answer[..18]), Ok(Cow::Borrowed("")));
    assert!(!repeats.is_holding());
    assert_eq!(repeats.push(&answer[18..25]), Ok(Cow::Borrowed(&answer[20..25])));
    assert_eq!(repeats.found(), Some(Found { kind: JoinKind::Restart, points: 20, hit_limit: false }));
    assert_eq!(joined("Sur", "Sure, here").0, "e, here");
}

#[test]
fn a_restart_after_one_character_differs_from_a_longer_run_of_it() {
    for (delivered, rest, out) in [
        // A restart.
        ("`", "```js\n", "``js\n"),
        ("``", "```js\n", "`js\n"),
        ("*", "**Bold** words", "*Bold** words"),
        ("*", "* one\n* two", " one\n* two"),
        ("-", "- one\n- two", " one\n- two"),
        ("[", "[\n 1", "\n 1"),
        ("##", "## Title", " Title"),
        ("🐑", "🐑 go", " go"),
        ("👩\u{200d}", "👩\u{200d}👩\u{200d}👧", "👩\u{200d}👧"),
        ("1", "1. First", ". First"),
        // A longer run.
        ("`", "``js\n", "``js\n"),
        ("*", "*Bold** words", "*Bold** words"),
        ("-", "--\n\ntitle: x", "--\n\ntitle: x"),
        ("#", "# Title", "# Title"),
    ] {
        assert_eq!(joined(delivered, rest).0, out, "{delivered:?} | {rest:?}");
    }
}

#[test]
fn a_restart_that_diverges_is_a_mismatch() {
    let delivered = "The quick brown fox jumps over the la";
    let result =
        spliced(delivered, &["The quick brown fox sleeps"], Limits::default(), Expectation::Continuation);
    assert_eq!(result.unwrap_err(), ContinuationMismatch::Restarted { matched: 20, ended: false });
}

#[test]
fn a_restart_that_ends_too_soon_is_a_mismatch() {
    let delivered = "The quick brown fox jumps over the la";
    let result = spliced(delivered, &["The quick brown fox"], Limits::default(), Expectation::Continuation);
    assert_eq!(result.unwrap_err(), ContinuationMismatch::Restarted { matched: 19, ended: true });
}

#[test]
fn a_mismatch_is_permanent() {
    let mut repeats = Repeats::new("The quick brown fox jumps", Limits::default(), Expectation::Restart);
    assert!(repeats.push("The slow").is_err());
    assert!(repeats.push(" brown").is_err());
    assert!(repeats.close(true).is_err());
    assert_eq!(repeats.found(), None);
}

#[test]
fn a_table_that_starts_like_the_answer_is_not_a_restart() {
    let header = "| Name | Status | Cost |\n|------|--------|------|\n";
    let delivered = format!("{header}| a | ok | 1 |\n| b | ok | 2 |\n\n");
    let continuation = format!("{header}| c | ok | 3 |\n");
    assert_eq!(joined(&delivered, &continuation).0, continuation);
}

#[test]
fn a_refrain_of_any_length_is_not_a_restart() {
    let refrain = "Carry me, carry me home again, over the hill and the river.\n".to_owned()
        + "Sing it low, my dear, and sing it high for the morning sun.\n"
        + "Carry me, carry me home again, over the hill and the sea.\n";
    let delivered = format!("{refrain}\nOne verse.\n\n{refrain}\nTwo verses.\n\n");
    let continuation = format!("{refrain}\nThree verses.\n");
    assert!(refrain.len() > crate::session::splice::head::HEAD_MIN_LINE);
    assert_eq!(joined(&delivered, &continuation).0, continuation);
}

#[test]
fn a_repeated_anchor_is_removed() {
    let anchored = |continuation| {
        let expect = Expectation::Anchor("brown f".into());
        let (out, found) = spliced("the quick brown f", &[continuation], Limits::default(), expect).unwrap();
        (out, found.kind)
    };
    assert_eq!(anchored("brown fox"), ("ox".into(), JoinKind::Anchor));
    assert_eq!(anchored(" brown fox"), ("ox".into(), JoinKind::Anchor));
    assert_eq!(anchored("ox"), ("ox".into(), JoinKind::Exact));
    assert_eq!(anchored("the quick brown fox"), ("ox".into(), JoinKind::Restart));
}

#[test]
fn an_expected_restart_must_repeat_all_delivered_text() {
    let restart = |continuation| {
        spliced("{\"a\": 1, ", &[continuation], Limits::default(), Expectation::Restart).map(|(out, _)| out)
    };
    assert_eq!(restart("{\"a\": 1, \"b\": 2}"), Ok("\"b\": 2}".into()));
    assert_eq!(
        restart("{\"a\": 2, \"b\": 2}"),
        Err(ContinuationMismatch::Restarted { matched: 6, ended: false })
    );
    assert_eq!(restart("{\"a\": 1"), Err(ContinuationMismatch::Restarted { matched: 7, ended: true }));
    assert_eq!(restart(""), Err(ContinuationMismatch::Restarted { matched: 0, ended: true }));
}

#[test]
fn held_text_is_bounded() {
    let limits = Limits { max_held: 100, ..Limits::default() };
    let spaces = " ".repeat(99);
    let mut repeats = Repeats::new("a b", limits, Expectation::Continuation);
    assert_eq!(repeats.push(&spaces), Ok(Cow::Borrowed("")));
    assert_eq!(repeats.push("  x"), Ok(Cow::<str>::Owned(spaces + "  x")));
    assert_eq!(repeats.found().map(|found| found.hit_limit), Some(true));
    let refrain = "La la la, la la li, la la lo, ".repeat(8) + "\n";
    let mut repeats = Repeats::new(&refrain, limits, Expectation::Continuation);
    let out = repeats.push(&refrain[..150]).map(Cow::into_owned);
    assert_eq!(out.as_deref(), Ok(&refrain[..150]));
    assert_eq!(repeats.found().map(|found| found.hit_limit), Some(true));
}

#[test]
fn a_run_of_one_letter_is_not_a_restart() {
    let limits = Limits { min_overlap: 30, ..Limits::default() };
    let deltas = vec!["a"; 50];
    let (out, _) = spliced(&"a".repeat(20), &deltas, limits, Expectation::Continuation).unwrap();
    assert_eq!(out, "a".repeat(50));
}

#[test]
fn a_run_longer_than_a_delivered_run_is_the_rest() {
    for (delivered, run, end) in [("=", 17, " x"), ("-", 43, "\n\nx"), ("_", 20, "\tx"), ("*", 30, "")] {
        let delivered = delivered.repeat(13);
        let rest = delivered[..1].repeat(run) + end;
        let characters: Vec<&str> = rest.split("").collect();
        for deltas in [&[rest.as_str()][..], &characters, &[&rest[..15], &rest[15..]]] {
            let outcome = spliced(&delivered, deltas, Limits::default(), Expectation::Continuation);
            assert_eq!(outcome.map(|(out, _)| out), Ok(rest.clone()), "{deltas:?}");
        }
    }
}

#[test]
fn padding_and_rules_are_not_an_overlap() {
    for character in [" ", "-", "=", "👍"] {
        let delivered = format!("| name {}", character.repeat(40));
        let rest = format!("{}|\n", character.repeat(30));
        assert_eq!(joined(&delivered, &rest).0, rest);
    }
}

#[test]
fn deltas_after_the_decision_are_not_copied() {
    let mut repeats = Repeats::new("The quick", Limits::default(), Expectation::Continuation);
    assert!(matches!(repeats.push("ly"), Ok(Cow::Borrowed("ly"))));
    assert!(matches!(repeats.push(" on"), Ok(Cow::Borrowed(" on"))));
}
