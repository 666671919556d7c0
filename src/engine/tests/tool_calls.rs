//! Tool calls that break off, and those that are held until they are whole.

use serde_json::{Value, json};

use super::provider::{Reply, answer, chunk, stream, unavailable};
use super::support::{Ask, Ended, Scene};
use crate::engine::sink::Wants;
use crate::error::Kind;
use crate::session::snapshot::Snapshot;

fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 }, "maxRetries": 3 })
}

fn part(index: u32, id: &str, arguments: &str) -> Value {
    let mut call = json!({ "index": index, "function": { "arguments": arguments } });
    if !id.is_empty() {
        call["id"] = json!(id);
        call["function"]["name"] = json!("weather");
    }
    chunk(json!({ "tool_calls": [call] }), None)
}

fn call(arguments: &str) -> Reply {
    stream().event(&part(0, "call_2", arguments)).event(&chunk(json!({}), Some("tool_calls"))).done()
}

/// Text, then half a tool call, then nothing.
fn broken() -> Reply {
    stream().say("Let me see. ").event(&part(0, "call_1", "{\"ci")).breaks()
}

fn prose() -> Reply {
    answer(&["It is ", "sunny."])
}

fn result(ended: &Ended) -> Value {
    serde_json::from_str(&ended.answer().result()).unwrap()
}

async fn chunks(script: Vec<Reply>, options: Value) -> (Ended, Vec<Value>) {
    let ended = Scene::new(options, script).call_wanting(Wants::Chunks).await;
    let chunks = ended.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    (ended, chunks)
}

fn deltas<'a>(chunks: &'a [Value], name: &str) -> Vec<&'a Value> {
    chunks.iter().map(|chunk| &chunk["choices"][0]["delta"][name]).filter(|delta| !delta.is_null()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_stays_due_through_other_failures() {
    for between in [vec![unavailable()], vec![stream().breaks()], vec![prose()], vec![prose(), unavailable()]]
    {
        let script = [vec![broken()], between, vec![call("{}")]].concat();
        let scene = Scene::new(options(), script);
        let ended = scene.call().await;
        assert_eq!((ended.deltas().concat().as_str(), ended.text()), ("Let me see. ", "Let me see. "));
        assert_eq!(result(&ended)["toolCalls"][0]["id"], "call_2");
    }
}

#[tokio::test(start_paused = true)]
async fn prose_in_its_place_is_never_delivered_and_ends_as_an_interruption() {
    for wants in [Wants::Text, Wants::Nothing] {
        let scene = Scene::new(options(), vec![broken(), prose(), unavailable(), prose()]);
        let ended = scene.call_wanting(wants).await;
        assert_eq!(
            (ended.error().kind, ended.error().partial.as_deref()),
            (Kind::Interrupted, Some("Let me see. "))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_is_due_in_a_resumed_answer_too() {
    let mut once = options();
    once["maxRetries"] = json!(0);
    let ended = Scene::new(once.clone(), vec![broken()]).call().await;
    let snapshot = Snapshot::parse(ended.error().snapshot.as_deref().unwrap()).unwrap();
    assert!(snapshot.answer.lost_tool_call);
    let ask = |resumes| Ask { resumes: Some(resumes), ..Ask::default() };
    let ended = Scene::new(once.clone(), vec![prose()]).ask(ask(snapshot.clone())).await;
    assert_eq!(ended.error().kind, Kind::Interrupted);
    let ended = Scene::new(once, vec![call("{\"a\":1}")]).ask(ask(snapshot)).await;
    assert_eq!(result(&ended)["toolCalls"][0]["function"]["arguments"], "{\"a\":1}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_only_a_call_keeps_the_role_that_came_with_it() {
    let mut first = part(0, "call_1", "{}");
    first["choices"][0]["delta"]["role"] = json!("assistant");
    let reply = stream().event(&first).event(&chunk(json!({}), Some("tool_calls"))).done();
    let (_, chunks) = chunks(vec![reply], options()).await;
    assert_eq!(deltas(&chunks, "role"), [&json!("assistant")]);
    assert_eq!(deltas(&chunks, "tool_calls").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_counts_from_one_makes_no_phantom() {
    let reply = stream().event(&part(1, "call_1", "{}")).event(&chunk(json!({}), Some("tool_calls"))).done();
    let (ended, chunks) = chunks(vec![reply], options()).await;
    assert_eq!(deltas(&chunks, "tool_calls")[0].as_array().unwrap().len(), 1);
    assert_eq!(result(&ended)["toolCalls"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_cut_off_by_length_is_left_out_and_the_reason_says_why() {
    let reply = stream().event(&part(0, "call_1", "{\"ci")).event(&chunk(json!({}), Some("length"))).done();
    let (ended, chunks) = chunks(vec![reply], options()).await;
    assert!(deltas(&chunks, "tool_calls").is_empty());
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
    assert!(result(&ended).get("toolCalls").is_none());
}

#[tokio::test(start_paused = true)]
async fn without_finish_reasons_a_held_call_is_handed_over_at_the_end_if_it_is_whole() {
    let mut lenient = options();
    lenient["requireFinishReason"] = json!(false);
    let open = |arguments: &str| stream().event(&part(0, "call_1", arguments)).done();
    let (_, got) = chunks(vec![open("{\"a\":1}")], lenient.clone()).await;
    assert_eq!(deltas(&got, "tool_calls").len(), 1);
    let (ended, _) = chunks(vec![open("{\"a\":"), open("{}")], lenient).await;
    assert_eq!(ended.outcomes(), ["MALFORMED_RESPONSE", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_has_its_tokens_ends_without_a_request_even_without_retries() {
    let mut options = options();
    options["maxRetries"] = json!(0);
    options["circuitBreaker"] = json!({ "failureThreshold": 1 });
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 2 });
    let scene = Scene::new(options, vec![stream().say("a ").say("b ").breaks()]);
    let ended = scene.ask(Ask { request, ..Ask::default() }).await;
    assert_eq!(
        (&result(&ended)["finishReason"], &result(&ended)["recoveries"]),
        (&json!("length"), &json!(0))
    );
    assert_eq!((scene.requests().len(), ended.events("circuit").len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn single_letters_are_no_tokens() {
    let letters = "the quick brown fox".split("").filter(|c| !c.is_empty());
    let cut = letters.fold(stream(), |reply, letter| reply.say(letter)).breaks();
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 19 });
    let scene = Scene::new(options(), vec![cut, answer(&[" jumps"])]);
    let ended = scene.ask(Ask { request, ..Ask::default() }).await;
    assert_eq!(
        (ended.text(), &scene.requests()[1].json()["max_tokens"]),
        ("the quick brown fox jumps", &json!(14))
    );
}

#[tokio::test(start_paused = true)]
async fn the_usage_chunk_of_a_continued_answer_is_that_of_the_whole() {
    let usage = |id: &str, total: u64| json!({ "id": id, "choices": [], "usage": { "total_tokens": total } });
    let request = json!({
        "messages": [{ "role": "user", "content": "hi" }], "stream_options": { "include_usage": true },
    });
    let first = stream().say("a ").event(&usage("chatcmpl-1", 3)).breaks();
    let second = stream().say("b").finish().event(&usage("chatcmpl-2", 4)).done();
    let scene = Scene::new(options(), vec![first, second]);
    let ended = scene.ask(Ask { request, wants: Wants::Chunks, ..Ask::default() }).await;
    let last: Value = serde_json::from_str(ended.deltas().last().unwrap()).unwrap();
    assert_eq!((&last["id"], &last["usage"]["total_tokens"]), (&json!("chatcmpl-1"), &json!(7)));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_recoveries_holds_for_who_waits_for_the_whole() {
    let mut few = options();
    few["recovery"] = json!({ "maxRecoveries": 2 });
    let script = ["one ", "two ", "three "].map(|word| stream().say(word).breaks()).to_vec();
    let scene = Scene::new(few, script);
    let ended = scene.call_wanting(Wants::Nothing).await;
    let error = ended.error();
    assert_eq!((error.kind, error.partial.as_deref()), (Kind::Interrupted, Some("one two three ")));
    assert_eq!(scene.requests().len(), 3);
}
