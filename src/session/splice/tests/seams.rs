//! Single seams: what vouches for a continuation, and what speaks against it.

use std::borrow::Cow;
use std::time::Duration;

use super::*;

type Outcome = Result<(String, JoinKind), ContinuationMismatch>;

fn join(delivered: &str, continuation: &str) -> Outcome {
    verified(delivered, continuation, Limits::default(), Expectation::Continuation)
        .map(|(out, join)| (out, join.kind))
}

#[track_caller]
fn fits(delivered: &str, continuation: &str) {
    let out = join(delivered, continuation);
    assert_eq!(out, Ok((continuation.to_owned(), JoinKind::Exact)), "{delivered:?} | {continuation:?}");
}

#[track_caller]
fn fails(delivered: &str, continuation: &str, mismatch: ContinuationMismatch) {
    assert_eq!(join(delivered, continuation), Err(mismatch), "{delivered:?} | {continuation:?}");
}

#[test]
fn a_sentence_that_goes_on_is_accepted() {
    fits("The village lay in the val", "ley, and nobody was awake yet.");
    fits("The village lay in the valley", ", and nobody was awake yet.");
    fits("The village lay in the ", "valley, and nobody was awake yet.");
    fits("We went to Hanoi by train, and in ", "Hanoi we stayed for a week.");
    fits("Xin chào, thế giới 🐑", "🐑 — viết từng chữ một.");
    fits("那座古老的村子在", "山谷里，清晨没有一个人醒来。");
    fits("ตลาดน้ำเปิดตั้งแต่เช้า", "มืด พ่อค้าแม่ค้าพายเรือมาขายผัก");
}

#[test]
fn after_a_sentence_only_a_repetition_counts() {
    let delivered = "The village lay in the valley. Nobody was awake yet.";
    fails(delivered, " The sun rose over the hills.", ContinuationMismatch::Unverified);
    fails(delivered, "\n\nThe sun rose over the hills.", ContinuationMismatch::Unverified);
    assert_eq!(
        join(delivered, "Nobody was awake yet. The sun rose."),
        Ok((" The sun rose.".into(), JoinKind::Overlap))
    );
}

#[test]
fn any_assurance_accepts_what_merely_fits() {
    let limits = Limits { assurance: Assurance::Any, ..Limits::default() };
    let delivered = "The village lay in the valley.";
    let joined = verified(delivered, " The sun rose.", limits, Expectation::Continuation).unwrap();
    assert_eq!((joined.0.as_str(), joined.1.tier), (" The sun rose.", Tier::Unverified));
    let echo = "Go on exactly where it stops, as if there had been no break.";
    let checked = verified(delivered, echo, limits, Expectation::Continuation);
    assert_eq!(checked.unwrap_err(), ContinuationMismatch::Echo);
}

#[test]
fn native_assurance_accepts_no_asked_continuation() {
    let limits = Limits { assurance: Assurance::Native, ..Limits::default() };
    for (expect, continuation) in
        [(Expectation::Continuation, "brown fox"), (Expectation::Restart, "The quick brown fox")]
    {
        let joined = verified("The quick ", continuation, limits, expect);
        assert_eq!(joined.unwrap_err(), ContinuationMismatch::Unverified);
    }
    assert!(verified("The quick ", "brown", limits, Expectation::Native).is_ok());
}

#[test]
fn what_comes_before_the_place_of_the_cut_is_dropped() {
    let delivered = "As the last light fell over the hills, the village was lost in";
    for before in
        ["The last light fell, and the village was lost in", "Sure! Here it is: the village was lost in"]
    {
        let continuation = format!("{before} the darkness of the valley.");
        assert_eq!(
            join(delivered, &continuation),
            Ok((" the darkness of the valley.".into(), JoinKind::Overlap)),
            "{before}"
        );
    }
}

#[test]
fn a_continuation_must_add_text() {
    let delivered = "As the last light fell over the hills, the village was lost in";
    for nothing in ["", " ", ".", "\n\n", "the village was lost in", "the village was lost in.", delivered] {
        fails(delivered, nothing, ContinuationMismatch::NothingAdded);
    }
    let complete = "The village was lost in the darkness.";
    fails(complete, "", ContinuationMismatch::NothingAdded);
    assert_eq!(join(complete, complete), Ok((String::new(), JoinKind::Restart)));
    let again = Limits { may_be_complete: true, ..Limits::default() };
    assert!(verified(complete, "", again, Expectation::Continuation).is_ok());
    assert!(verified(delivered, "", again, Expectation::Continuation).is_err());
    let mut splice = Splice::new(delivered, Limits::default(), Expectation::Continuation);
    assert_eq!(splice.finish(true, 0).as_deref(), Ok(""), "a limit of the length is a reason");
}

#[test]
fn instructions_and_talk_are_not_delivered() {
    let delivered = "As the last light fell over the hills, the village was ";
    fails(delivered, "if there had been no break. lost in the darkness.", ContinuationMismatch::Echo);
    fails(delivered, "sure, here is the rest of it: lost.", ContinuationMismatch::Echo);
    let echo = format!("{delivered}”\n\nThe answer goes on after that with the valley.");
    assert!(join(delivered, &echo).is_err());
    let twice = format!("{delivered}\n\n{delivered}lost");
    assert!(join(delivered, &twice).is_err());
}

#[test]
fn words_are_not_glued() {
    let delivered = "The captain said that he had a ship, and the crew knew that he had";
    fails(delivered, "Captain Smith on board, who was old.", ContinuationMismatch::Glued);
    fails(delivered, "the crew on board, which was old.", ContinuationMismatch::Glued);
    fits("Both TypeScript and JavaScript are used, but type", "Script is checked first by the compiler.");
    fits("We looked at the map, and then we went in", "side, where it was warm and dry at last.");
}

#[test]
fn a_restart_with_changes_is_not_a_continuation() {
    let delivered = "the village lay in the valley behind the hills, and ";
    fails(
        delivered,
        "the villages lay in the valley, behind a hill where the sun rose",
        ContinuationMismatch::Repeats,
    );
    fails(
        "这座石桥建于唐代，横跨在城南的小河上，至今",
        "这座石桥始建于唐代，在城南的河上，已有千年历史。",
        ContinuationMismatch::Repeats,
    );
}

#[test]
fn a_table_goes_on_with_the_same_cells() {
    let table = "| Name | Moons |\n| --- | --- |\n| Mars | 2 |\n| Jupi";
    fits(table, "ter | 95 |\n| Saturn | 146 |\n");
    fails(table, "ter | 95 | large |\n", ContinuationMismatch::Table);
    fails(table, "\n| Name | Moons |\n| --- | --- |\n", ContinuationMismatch::Table);
    let row = "| Name | Moons |\n| --- | --- |\n| Mars | 2 |\n";
    fails(
        row,
        "| Name | Moons |\n| --- | --- |\n| Jupiter | 95 |\n| Saturn | 146 |\n",
        ContinuationMismatch::Table,
    );
}

#[test]
fn json_goes_on_as_json() {
    let json = "{\n  \"name\": \"harbor\",\n  \"tags\": [\"a\", \"b";
    fits(json, "oat\"],\n  \"private\": true\n}\n");
    assert!(join(json, "{\n  \"name\": \"harbor\",\n  \"tags\": [").is_err());
    fails("{\"a\": ", "The rest of the object follows, as you asked.", ContinuationMismatch::Json);
}

#[test]
fn code_goes_on_in_its_block() {
    let code = "```python\ndef total(values):\n    result = 0\n    for value in val";
    fits(code, "ues:\n        result += value\n    return result\n```\n");
    fails(code, "ues:\n```python\ndef total(values):\n    result = 0\n", ContinuationMismatch::Code);
    assert!(join(code, "```\n\nThe code is complete.").is_err());
}

#[test]
fn the_next_item_of_a_numbered_list_is_expected() {
    fits("1. Dig a hole\n2. Plant the tree\n", "3. Water it well\n4. Wait for the spring\n");
    fails(
        "1. Dig a hole\n2. Plant the tree\n",
        "1. Water it well\n2. Wait for it\n",
        ContinuationMismatch::Unverified,
    );
}

#[test]
fn held_text_is_judged_at_the_limits() {
    let limits = Limits { max_wait: Duration::from_millis(80), ..Limits::default() };
    let delivered = "The village lay in the valley, and ";
    let mut splice = Splice::new(delivered, limits, Expectation::Continuation);
    assert_eq!(splice.deadline(), None);
    assert_eq!(splice.push("no", 1_000), Ok(Cow::Borrowed("")));
    assert_eq!(splice.deadline(), Some(1_080));
    assert_eq!(splice.timeout(1_080), Ok("no".into()));
    let join = splice.join().unwrap();
    assert_eq!((join.kind, join.tier, join.buffered_ms), (JoinKind::Exact, Tier::Verified, 80));
    assert_eq!(splice.push("body", 1_090), Ok(Cow::Borrowed("body")));
    assert_eq!(splice.deadline(), None);

    let mut splice = Splice::new("It was over.", Limits::default(), Expectation::Continuation);
    let mut held = 0;
    while splice.push(" Then we went home to the old house", 0).is_ok() {
        held += 1;
        assert!(held <= 6, "more than 200 characters are held");
    }
    assert_eq!(splice.mismatch(), Some(ContinuationMismatch::Unverified));
}

#[test]
fn the_parts_of_a_continuation_make_no_difference() {
    let delivered = "As the last light fell over the hills, the village was lost in";
    for continuation in [
        " the darkness of the valley.",
        "The light fell and the village was lost in the dark.",
        "The sun rose again over the hills and the sea.",
    ] {
        let whole = join(delivered, continuation);
        let mut splice = Splice::new(delivered, Limits::default(), Expectation::Continuation);
        let parts: Result<String, _> = continuation
            .split_inclusive(|_| true)
            .map(|part| splice.push(part, 0).map(Cow::into_owned))
            .collect();
        let parts = parts.and_then(|out| Ok(out + &splice.finish(false, 0)?));
        assert_eq!(parts, whole.map(|(out, _)| out), "{continuation}");
    }
}

#[test]
fn a_native_continuation_is_passed_on_from_its_first_character_whatever_it_repeats() {
    let delivered = "* one more line of the song\n";
    let mut splice = Splice::new(delivered, Limits::default(), Expectation::Native);
    assert_eq!(splice.push("", 5).as_deref(), Ok(""));
    assert_eq!((splice.deadline(), splice.join()), (None, None));
    assert_eq!(splice.push("* ", 7).as_deref(), Ok("* "));
    let join =
        Join { kind: JoinKind::Exact, tier: Tier::Native, trimmed: 0, buffered_ms: 0, hit_limit: false };
    assert_eq!(splice.join(), Some(join));
    assert_eq!(splice.push("one more line of the song\n", 9).as_deref(), Ok("one more line of the song\n"));
    assert_eq!(splice.finish(false, 9).as_deref(), Ok(""));
}

#[test]
fn a_join_is_serialized_in_camel_case() {
    let join =
        Join { kind: JoinKind::Overlap, tier: Tier::Verified, trimmed: 21, buffered_ms: 0, hit_limit: false };
    let json = serde_json::to_string(&join).unwrap();
    assert_eq!(json, r#"{"kind":"overlap","tier":"verified","trimmed":21,"bufferedMs":0,"hitLimit":false}"#);
}

#[test]
fn a_join_of_an_earlier_version_has_no_tier() {
    let join: Join =
        serde_json::from_str(r#"{"kind":"word","trimmed":3,"bufferedMs":0,"hitLimit":false}"#).unwrap();
    assert_eq!((join.kind, join.tier), (JoinKind::Word, Tier::Unverified));
}

#[test]
fn an_object_has_a_key_once() {
    let delivered = "[\n {\n  \"id\": 9,\n  \"name\": \"humming\"\n },\n {\n  \"id\": 10,\n ";
    fails(delivered, " \"id\": 10,\n  \"name\": \"fox\"\n }\n]", ContinuationMismatch::Json);
    fits(delivered, " \"name\": \"fox\"\n },\n {\n  \"id\": 11,\n  \"name\": \"brown\"\n }\n]");
}

#[test]
fn an_echo_that_is_cut_off_is_not_kept() {
    let mut splice =
        Splice::new("We packed the tent, and then, ", Limits::default(), Expectation::Continuation);
    assert_eq!(splice.push("and then, ", 0).as_deref(), Ok(""));
    assert_eq!(splice.interrupt(1), "");
}

#[test]
fn a_line_that_begins_again_is_not_the_rest_of_it() {
    let code = "```js\nconst value0 = compute(0, 1)\nconst value1 = com";
    fails(code, "Thus value1 = compute(1, 2)\nconst value2 = compute(2, 3)\n", ContinuationMismatch::Glued);
    let cut = "```js\nconst value0 = compute(0, 1)\nconst ";
    fails(
        cut,
        "Thus value1 = compute(1, 2)\nconst value2 = compute(2, 3)\n",
        ContinuationMismatch::Unverified,
    );
    fits(cut, "value1 = compute(1, 2)\nconst value2 = compute(2, 3)\n```\n");
    let table = "| name | count |\n| --- | --- |\n| row 0 fox | 1 |\n| row 1 b";
    fails(table, "Thus row 1 brown | 2 |\n| row 2 fox | 3 |", ContinuationMismatch::Glued);
    fits(table, "rown | 2 |\n| row 2 fox | 3 |");
}

#[test]
fn what_begins_with_letters_of_a_short_text_is_not_its_rest() {
    fits("It was a", " long day, and nobody was awake yet.");
    fails("It was a l", "as a long day, and nobody was awake yet.", ContinuationMismatch::Repeats);
    assert_eq!(
        join("It was a", "It was a long day, and nobody was awake yet.").map(|(out, _)| out),
        Ok(" long day, and nobody was awake yet.".into())
    );
}

#[test]
fn nothing_ends_at_the_number_of_an_item_or_at_a_row() {
    for delivered in ["1. Dig a hole.\n2. ", "| a | b |\n| --- | --- |\n| 1 | 2 |\n", "```js\nlet a = 1\n"] {
        fails(delivered, "", ContinuationMismatch::NothingAdded);
        fails(delivered, delivered, ContinuationMismatch::NothingAdded);
    }
}
