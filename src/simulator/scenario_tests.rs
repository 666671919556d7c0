use super::*;

fn rejection(json: &str) -> String {
    Scenario::from_json(json).expect_err("an invalid scenario")
}

#[test]
fn an_empty_object_is_a_healthy_answer() {
    let scenario = Scenario::from_json("{}").expect("all fields have defaults");
    assert!(scenario.status.is_none() && scenario.disconnect.is_none() && !scenario.hang);
}

#[test]
fn an_error_names_the_field_its_value_and_the_accepted_values() {
    assert_eq!(
        rejection(r#"{"chunkDelayMs":"fast"}"#),
        "scenario: chunkDelayMs: invalid type: string \"fast\", expected a whole number from 0; got \"fast\""
    );
    let why = rejection(r#"{"label":"x","disconnect":{"afterChunks":2,"how":"gently"}}"#);
    assert!(why.starts_with("scenario: disconnect.how: unknown variant `gently`"), "{why}");
    assert!(why.contains("`noFinish`") && why.ends_with("got \"gently\""), "{why}");
    let why = rejection(r#"{"toolCalls":[{"name":"a"},{"name":1}]}"#);
    assert!(why.starts_with("scenario: toolCalls[1].name"), "{why}");
    let why = rejection(r#"{"packets":"many"}"#);
    assert!(why.contains("packets") && why.contains("\"bytes\" or a whole number"), "{why}");
    for (field, accepted) in [
        ("format", "`sse`, `ndjson`, `document`"),
        ("usageIn", "`chunk`, `choiceChunk`, `lastChunk`, `choice`, `xGroq`, `every`"),
        ("continues", "`assistant`, `continue_final_message`, `prefix`, `partial`, `none`"),
        ("contentEncoding", "`gzip`, `deflate`, `br`, `zstd`"),
        ("shape", "`delta`, `message`, `text`, `parts`"),
        ("choiceIndex", "`fromZero`, `fromOne`, `zero`, `string`, `none`"),
        ("toolCallIndex", "`fromZero`, `fromOne`, `zero`, `string`, `none`"),
    ] {
        let why = rejection(&format!(r#"{{"{field}":"other"}}"#));
        assert!(why.starts_with(&format!("scenario: {field}: ")) && why.contains(accepted), "{why}");
    }
    let why = rejection(r#"{"colour":1}"#);
    assert!(why.contains("unknown field `colour`") && why.contains("`headersDelayMs`"), "{why}");
}

#[test]
fn a_value_out_of_range_is_rejected_with_the_range() {
    assert_eq!(rejection(r#"{"status":99}"#), "scenario: status must be from 200 to 599; got 99");
    assert!(rejection(r#"{"headers":{"a b":"c"}}"#).contains("not a header name"));
    assert!(rejection(r#"{"headers":{"a":["c","d\r\nset-cookie: x"]}}"#).contains("headers.a"));
    assert!(rejection(r#"{"text":"a","chunks":["a"]}"#).contains("exclude each other"));
    assert!(rejection(r#"{"events":[],"text":"a"}"#).contains("exclude text, chunks and repeat"));
    assert!(rejection(r#"{"events":[],"format":"document"}"#).contains(r#""sse" or "ndjson""#));
    assert!(rejection(r#"{"chunkFields":{"choices":[]}}"#).contains("use the field events"));
    let why = rejection(r#"{"disconnect":{"afterFinish":true,"afterChunks":1}}"#);
    assert!(why.contains("excludes afterChunks"), "{why}");
    assert!(rejection(r#"{"stamp":true}"#).contains("stamp needs repeat"));
    assert!(rejection(r#"{"stamp":true,"repeat":2,"text":"a"}"#).contains("neither text nor chunks"));
    assert!(rejection("[]").contains("must be an object"));
}

#[test]
fn an_error_in_a_list_names_the_scenario() {
    let why = Scenario::list_from_json(r#"[{},{"status":1}]"#).expect_err("the second is wrong");
    assert!(why.starts_with("scenarios[1]: status"), "{why}");
}
