//! Seams of real models.

use serde_json::Value;

use super::*;

/// Prints what becomes of each recorded seam, as JSON: `HOLYSHEEP_SEAMS=FILE cargo test recorded -- --nocapture`.
#[test]
#[allow(clippy::print_stdout)]
fn seams_of_a_file_are_judged() {
    let Ok(path) = std::env::var("HOLYSHEEP_SEAMS") else { return };
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let mut seam: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| seam[name].as_str().unwrap_or_default().to_owned();
        let expect = match seam["anchor"].as_str() {
            Some(anchor) => Expectation::Anchor(anchor.to_owned()),
            None => Expectation::Continuation,
        };
        let mut splice = Splice::new(&text("before"), Limits::default(), expect);
        let pushed = splice.push(&text("text"), 0).map(|new| new.into_owned());
        let outcome =
            pushed.and_then(|new| splice.finish(text("reason") == "length", 0).map(|rest| new + &rest));
        match outcome {
            Ok(new) => {
                seam["after"] = new.into();
                seam["join"] = serde_json::to_value(splice.join()).unwrap();
            }
            Err(mismatch) => seam["mismatch"] = mismatch.to_string().into(),
        }
        println!("SEAM {seam}");
    }
}

/// Continuations of small models that go on elsewhere (`bench/recovery`): joined as they are, each would be wrong.
const RECORDED: &str = include_str!("recorded.jsonl");

#[test]
fn what_small_models_send_instead_of_the_rest_is_not_joined_as_the_rest() {
    let mut checked = 0;
    for line in RECORDED.lines() {
        let seam: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| seam[name].as_str().unwrap_or_default();
        let mut splice = Splice::new(text("before"), Limits::default(), Expectation::Continuation);
        let pushed = splice.push(text("text"), 0).is_ok();
        let finished = seam["ended"] == true || splice.timeout(0).is_ok();
        let finished = finished && (seam["ended"] != true || splice.finish(false, 0).is_ok());
        let kind = splice.join().filter(|_| pushed && finished).map(|join| join.kind);
        assert_ne!(kind, Some(JoinKind::Exact), "{line}");
        checked += 1;
    }
    assert!(checked > 270);
}
