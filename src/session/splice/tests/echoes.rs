//! What models send in place of the rest, after the words that were asked for or without them. Each is of a kind that was
//! recorded (`bench/recovery`).

use super::*;

fn mismatch(delivered: &str, continuation: &str, expect: Expectation) -> Option<ContinuationMismatch> {
    verified(delivered, continuation, Limits::default(), expect).err()
}

/// The model begins with all of the text, and goes on.
fn after_restart(delivered: &str, new: &str) -> Option<ContinuationMismatch> {
    mismatch(delivered, &format!("{delivered}{new}"), Expectation::Continuation)
}

#[test]
fn a_quotation_of_the_end_is_no_continuation() {
    let text = "The old train station in the picture is a busy";
    for new in [
        "” is how the answer ends, and so on and on.",
        " place. The answer is “The old train station in the picture is a busy”.",
    ] {
        assert_eq!(after_restart(text, new), Some(ContinuationMismatch::Echo), "{new}");
    }
    let json = "{\n  \"brand\": \"BMW\",\n  \"wheels";
    assert_eq!(after_restart(json, "”\": \"1\"\n}"), Some(ContinuationMismatch::Echo));
    assert_eq!(after_restart(json, "\": \"1\"\n}"), None);
    // A text that has quotations of its own may go on with one.
    let story = "“I know,” said Anna, and she opened the old door. Then she said";
    assert_eq!(after_restart(story, ", “I know that the old door is open,” and went in."), None);
}

#[test]
fn what_follows_a_repetition_may_not_begin_again_either() {
    let text = "The station is used by the train and the passengers. The station";
    let again =
        " is used by the train and the passengers. The station is used by the train and the passengers.";
    assert_eq!(after_restart(text, again), Some(ContinuationMismatch::Repeats));
    assert_eq!(after_restart(text, " has stood here for ninety years, and nobody knows who built it."), None);
    let table = "| Name | Diameter | Moons |\n| --- | --- | --- |\n| Earth | 12,756 | 1 |\n| Mars | 6,792 | ";
    let rows = "2 |\n| Earth | 12,756 | 1 |\n| Mars | 6,792 | 2 |\n";
    assert_eq!(after_restart(table, rows), Some(ContinuationMismatch::Table));
    assert_eq!(after_restart(table, "2 |\n| Venus | 12,104 | 0 |\n"), None);
    let header = "| Name | Diameter | Mo";
    assert_eq!(
        after_restart(header, "ons |\n| Earth | 1 | 1 |\n| Mars | 2 | 2 |\n"),
        Some(ContinuationMismatch::Table)
    );
    assert_eq!(after_restart(header, "ons |\n| --- | --- | --- |\n| Earth | 1 | 1 |\n"), None);
}

#[test]
fn a_half_word_and_a_keyword_are_glued() {
    let song = "A moment in time, a moment in time,\nA moment in time, a momen";
    assert_eq!(after_restart(song, ", and the story ends with it."), Some(ContinuationMismatch::Glued));
    assert_eq!(after_restart(song, "t in time, and then the song is over."), None);
    let code = "```js\nclass Counter {\n  reset() {\n    delete this.v";
    let again = "const Counter = () => {\n  return () => {\n    delete this.v\n";
    assert_eq!(after_restart(code, again), Some(ContinuationMismatch::Glued));
    assert_eq!(after_restart(code, "alue\n    return this\n  }\n}\n```\n"), None);
}

#[test]
fn a_line_in_english_is_not_the_rest_of_a_text_in_another_language() {
    let text = "桥美派左右古老的桥，是一段最前面的桥，这段是一段古老的";
    let english = "最后一段。\n\nThis is a sentence that is made of two words.";
    assert_eq!(after_restart(text, english), Some(ContinuationMismatch::Script));
    assert_eq!(after_restart(text, "石桥，桥下的河水一直流到城外的田野里去。\n\n桥边还有一棵树。"), None);
    let vietnamese = "Buổi sáng ở chợ quê bắt đầu từ rất sớm, khi sương còn đọng";
    let english = ", and that was all that they could remember of it.";
    assert_eq!(after_restart(vietnamese, english), Some(ContinuationMismatch::Script));
}

#[test]
fn json_inside_of_code_stays_json() {
    let code = "```python\ndata = [\n    {\"name\": \"";
    let anchor = || Expectation::Anchor("{\"name\": \"".to_owned());
    let talk = "{\"name\": \"Rome\" and then the names of all the other cities of the country";
    assert_eq!(mismatch(code, talk, anchor()), Some(ContinuationMismatch::Json));
    assert_eq!(
        mismatch(code, "{\"name\": \"Rome\", \"country\": \"Italy\"},\n    {\"name\": \"Oslo\"", anchor()),
        None
    );
}

#[test]
fn the_letter_or_the_number_of_an_item_is_no_end() {
    for text in ["a.\n\nb.\n\nc.\n\nd.", "A. 1. 2. 3. 4. 5. 6. 7. 8.", "1. Dig a hole.\n2."] {
        assert_eq!(after_restart(text, ""), Some(ContinuationMismatch::NothingAdded), "{text}");
    }
    assert_eq!(after_restart("It was built in the summer of 1969.", ""), None);
    let list = "9. **Italian**\n10. **Ginger**\n11. **";
    assert!(mismatch(list, "1. **Tuna**\n2. **Miso**\n3. **Bacon**", Expectation::Continuation).is_some());
}
