//! Continuations that fail a check: what is requested next, and how it ends.

use serde_json::{Value, json};

use super::harness::Harness;
use super::recovery::{broken, messages, options, text};
use super::scripted_provider::answer;
use crate::error::Kind;

const HALF: &str = "As the last light fell over the hills, the village was lost in";

fn roles(harness: &Harness, index: usize) -> Vec<String> {
    messages(harness, index).iter().map(|message| message["role"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_continuation_that_fails_a_check_is_requested_in_another_style_at_once() {
    let echo = answer(&["the village was lost in"]);
    let other = answer(&["The sun rose over the sea, and everybody was happy about it again."]);
    let good = answer(&["The village was lost in", " the darkness."]);
    let harness = Harness::new(options(), vec![broken(HALF), echo, other, good]);
    let outcome = harness.call().await;
    assert_eq!(text(&outcome), format!("{HALF} the darkness."));
    let prompts: Vec<_> = (1..4).map(|index| messages(&harness, index)).collect();
    assert!(prompts[0] != prompts[1] && prompts[1] != prompts[2] && prompts[0] != prompts[2]);
    let times = harness.request_times();
    assert_eq!((times[1], times[2]), (times[2], times[3]));
    let result: Value = serde_json::from_str(&outcome.answer().result()).unwrap();
    assert_eq!((&result["recoveries"], &result["joins"][0]["tier"]), (&json!(3), &json!("verified")));
    let codes: Vec<_> = result["attempts"].as_array().unwrap().iter().map(|a| a["outcome"].clone()).collect();
    assert_eq!(codes[1..], ["CONTINUATION_MISMATCH", "CONTINUATION_MISMATCH", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn three_continuations_that_fail_interrupt_the_call_with_what_was_received() {
    let other = || answer(&["The sun rose over the sea, and everybody was happy about it again."]);
    let harness = Harness::new(options(), vec![broken(HALF), other(), other(), other()]);
    let outcome = harness.call().await;
    let error = outcome.error();
    assert_eq!(
        (error.kind, error.partial.as_deref(), harness.requests().len()),
        (Kind::Interrupted, Some(HALF), 4)
    );
    assert!(error.snapshot.is_some());
    assert_eq!(error.cause.as_ref().unwrap().kind, Kind::ContinuationMismatch);
    assert!(error.cause.as_ref().unwrap().message.contains("two words would become one"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_last_request_after_a_break_goes_to_another_route() {
    let other = || answer(&["The sun rose over the sea, and everybody was happy about it again."]);
    let a = vec![broken(HALF), answer(&[" the darkness."])];
    let harness = Harness::two_endpoints(options(), a, vec![other(), other()]);
    let outcome = harness.call().await;
    assert_eq!((text(&outcome), harness.request_hosts().as_str()), (format!("{HALF} the darkness."), "abba"));
}

#[tokio::test(start_paused = true)]
async fn failed_continuations_count_as_recoveries() {
    let mut options = options();
    options["recovery"] = json!({ "maxRecoveries": 2 });
    let other = || answer(&["The sun rose over the sea, and everybody was happy about it again."]);
    let harness = Harness::new(options, vec![broken(HALF), other(), other(), other()]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, harness.requests().len()), (Kind::Interrupted, 3));
    assert!(outcome.error().message.contains("maxRecoveries"), "{}", outcome.error());
}

#[tokio::test(start_paused = true)]
async fn two_models_that_have_nothing_to_add_end_a_complete_answer() {
    let complete = "The village was lost in the darkness.";
    let harness = Harness::new(options(), vec![broken(complete), answer(&[]), answer(&[])]);
    let outcome = harness.call().await;
    assert_eq!((text(&outcome).as_str(), harness.requests().len()), (complete, 3));
    let harness = Harness::new(options(), vec![broken(HALF), answer(&[]), answer(&[]), answer(&[])]);
    let outcome = harness.call().await;
    assert_eq!((outcome.error().kind, harness.requests().len()), (Kind::Interrupted, 4));
}

#[tokio::test(start_paused = true)]
async fn the_default_asks_for_the_last_words_and_a_style_that_is_set_comes_first() {
    for (style, expected) in [("auto", "assistant"), ("system", "system")] {
        let mut options = options();
        options["recovery"] = json!({ "style": style });
        let harness = Harness::new(options, vec![broken(HALF), answer(&[" the darkness."])]);
        assert_eq!(text(&harness.call().await), format!("{HALF} the darkness."));
        assert_eq!(roles(&harness, 1)[1], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn vouched_text_of_a_continuation_that_breaks_is_kept() {
    let script = vec![broken(HALF), broken(" complete "), answer(&["darkness."])];
    let harness = Harness::new(options(), script);
    assert_eq!(text(&harness.call().await), format!("{HALF} complete darkness."));
    let talk = broken("Sure! Here");
    let harness = Harness::new(options(), vec![broken(HALF), talk, answer(&[" the darkness."])]);
    assert_eq!(text(&harness.call().await), format!("{HALF} the darkness."));
}
