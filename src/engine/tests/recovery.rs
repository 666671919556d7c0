//! A broken answer is taken up again.

use std::sync::Arc;

use serde_json::{Value, json};

use super::provider::{Reply, Seen, answer, chunk, refusal, status, stream, unavailable, usage_chunk};
use super::support::{Ask, Ended, Scene};
use crate::engine::sink::Wants;
use crate::error::Kind;
use crate::session::snapshot::Snapshot;

fn options() -> Value {
    json!({ "retry": { "baseDelayMs": 10 } })
}

fn broken(text: &str) -> Reply {
    stream().say(text).breaks()
}

fn text(ended: &Ended) -> String {
    ended.deltas().concat()
}

fn messages(scene: &Scene, index: usize) -> Vec<Value> {
    scene.requests()[index].json()["messages"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn the_rest_is_asked_for_and_what_it_repeats_is_taken_off() {
    for (rest, kind) in [
        (" fox jumps.", "exact"),
        ("time: the quick brown fox jumps.", "overlap"),
        ("brown fox jumps.", "word"),
        ("Once upon a time: the quick brown fox jumps.", "restart"),
    ] {
        let first = broken("Once upon a time: the quick brown");
        let scene = Scene::new(options(), vec![first, answer(&[rest])]);
        let ended = scene.call().await;
        assert_eq!(text(&ended), "Once upon a time: the quick brown fox jumps.", "{kind}");
        let result: Value = serde_json::from_str(&ended.answer().result()).unwrap();
        assert_eq!((&result["recoveries"], &result["joins"][0]["kind"]), (&json!(1), &json!(kind)));
        assert_eq!(result["text"], text(&ended));
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_is_built_from_the_original_messages() {
    let script = vec![broken("one "), broken("two "), answer(&["three"])];
    let scene = Scene::new(options(), script);
    assert_eq!(text(&scene.call().await), "one two three");
    let second = messages(&scene, 1);
    let third = messages(&scene, 2);
    assert_eq!(second[0], json!({ "role": "user", "content": "hi" }));
    assert_eq!(second[1], json!({ "role": "assistant", "content": "one " }));
    assert_eq!(third[1], json!({ "role": "assistant", "content": "one two " }));
    assert_eq!((second.len(), third.len()), (3, 3));
    assert!(third[2]["content"].as_str().unwrap().contains("one two "));
    let requests = scene.requests();
    let keys: Vec<_> = requests.iter().map(|seen| seen.key()).collect();
    assert!(keys[0] != keys[1] && keys[1] != keys[2]);
}

#[tokio::test(start_paused = true)]
async fn a_style_that_is_refused_gives_way_to_another_at_once() {
    let refused = refusal(400, "invalid", "the last message must be the user's");
    let scene = Scene::new(options(), vec![broken("half "), refused, answer(&["whole"])]);
    let ended = scene.call().await;
    assert_eq!(text(&ended), "half whole");
    assert_eq!(messages(&scene, 2)[1]["role"], "system");
    let times = scene.times();
    assert_eq!(times[2], times[1]);
}

#[tokio::test(start_paused = true)]
async fn the_refusal_of_every_style_ends_as_an_interruption() {
    let refused = || refusal(400, "invalid", "no");
    let scene = Scene::new(options(), vec![broken("half "), refused(), refused()]);
    let ended = scene.call().await;
    let error = ended.error();
    assert_eq!((error.kind, error.partial.as_deref()), (Kind::Interrupted, Some("half ")));
    let cause = error.cause.as_ref().unwrap();
    assert_eq!((cause.kind, cause.status), (Kind::ContinuationMismatch, Some(400)));
    assert!(error.message.contains("refuses to continue an answer"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_every_style_is_left_for_the_next_one_which_is_asked_in_the_first() {
    let refused = || refusal(400, "invalid", "no");
    let scene = Scene::two(options(), vec![broken("half "), answer(&["whole"])], vec![refused(), refused()]);
    let ended = scene.call().await;
    assert_eq!((text(&ended).as_str(), scene.went_to().as_str()), ("half whole", "abba"));
    assert_eq!(messages(&scene, 2)[1]["role"], "system");
    let last = messages(&scene, 3);
    assert_eq!((last.len(), &last[1]["role"]), (3, &json!("assistant")));
}

#[tokio::test(start_paused = true)]
async fn a_style_that_one_route_refuses_is_still_asked_of_another() {
    let b = vec![refusal(400, "invalid", "no"), unavailable()];
    let scene = Scene::two(options(), vec![broken("half "), answer(&["whole"])], b);
    let ended = scene.call().await;
    assert_eq!((text(&ended).as_str(), scene.went_to().as_str()), ("half whole", "abba"));
    let first = |index: usize| messages(&scene, index)[1]["role"].clone();
    assert_eq!([first(1), first(2), first(3)], ["assistant", "system", "assistant"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_diverges_is_not_joined() {
    let other = answer(&["Once upon a time there was nobody."]);
    let whole = answer(&["Once upon a time: the end."]);
    let scene = Scene::new(options(), vec![broken("Once upon a time: the"), other, whole]);
    assert_eq!(text(&scene.call().await), "Once upon a time: the end.");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_to_serve_in_between_is_a_retry_like_any_other() {
    let scene = Scene::new(options(), vec![broken("a "), unavailable(), answer(&["b"])]);
    let ended = scene.call().await;
    assert_eq!((text(&ended).as_str(), scene.requests().len()), ("a b", 3));
}

#[tokio::test(start_paused = true)]
async fn retries_count_from_the_last_progress_and_recoveries_have_a_limit() {
    let parts = ["one ", "two ", "three ", "four ", "five ", "six ", "seven "];
    let script = || parts.iter().map(|part| broken(part)).chain([answer(&["end"])]).collect::<Vec<_>>();
    let mut unlimited = options();
    unlimited["maxRetries"] = json!(1);
    unlimited["recovery"] = json!({ "maxRecoveries": 9 });
    let all = parts.concat() + "end";
    assert_eq!(text(&Scene::new(unlimited, script()).call().await), all);
    let scene = Scene::new(options(), script());
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, text(&ended)), (Kind::Interrupted, parts[..6].concat()));
    assert_eq!(scene.requests().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn who_wants_the_whole_gets_it_continued_too() {
    let scene = Scene::new(options(), vec![broken("one half, "), answer(&["and the other"])]);
    let ended = scene.call_wanting(Wants::Nothing).await;
    assert_eq!(ended.text(), "one half, and the other");
    assert_eq!(messages(&scene, 1)[1], json!({ "role": "assistant", "content": "one half, " }));
    let result: Value = serde_json::from_str(&ended.answer().result()).unwrap();
    assert_eq!((&result["recoveries"], result["segments"].as_array().unwrap().len()), (&json!(1), 2));
    // An attempt that brings nothing new is no progress: the retries run out.
    let scene = Scene::new(options(), (0..4).map(|_| broken("half")).collect());
    let ended = scene.call_wanting(Wants::Nothing).await;
    assert_eq!((ended.error().kind, scene.requests().len()), (Kind::Interrupted, 4));
    assert_eq!(ended.error().partial.as_deref(), Some("half"));
}

#[tokio::test(start_paused = true)]
async fn who_wants_the_whole_of_what_cannot_be_continued_gets_it_anew() {
    for field in [json!({ "n": 2 }), json!({ "response_format": { "type": "json_object" } })] {
        let mut request = json!({ "messages": [{ "role": "user", "content": "hi" }] });
        request.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        let mut second = stream().say("whole").finish();
        if field.get("n").is_some() {
            let mut other = chunk(json!({ "content": "other" }), Some("stop"));
            other["choices"][0]["index"] = json!(1);
            second = second.event(&other);
        }
        let scene = Scene::new(options(), vec![broken("half"), second.done()]);
        let ended = scene.ask(Ask { request, wants: Wants::Nothing, ..Ask::default() }).await;
        assert_eq!((ended.text(), messages(&scene, 1).len()), ("whole", 1));
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_after_a_break_have_the_identity_of_the_first() {
    let mut second = stream();
    for (delta, finish) in [(json!({ "role": "assistant" }), None), (json!({ "content": "b" }), Some("stop"))]
    {
        let mut event = chunk(delta, finish);
        event["id"] = json!("chatcmpl-2");
        event["model"] = json!("other");
        second = second.event(&event);
    }
    let scene = Scene::new(options(), vec![broken("a "), second.done()]);
    let ended = scene.call_wanting(Wants::Chunks).await;
    let chunks: Vec<Value> = ended.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    assert!(chunks.iter().all(|chunk| chunk["id"] == "chatcmpl-1" && chunk["model"] == "m-2025"));
    let joined: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(joined, "a b");
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_arrives_whole_once_and_a_break_inside_asks_for_it_again() {
    let part = |arguments: &str, first: bool| {
        let mut call = json!({ "index": 0, "function": { "arguments": arguments } });
        if first {
            call["id"] = json!("call_1");
            call["function"]["name"] = json!("weather");
        }
        chunk(json!({ "tool_calls": [call] }), None)
    };
    let cut = stream().event(&part("{\"ci", true)).breaks();
    let whole = stream()
        .event(&part("{\"city\":", true))
        .event(&part("\"Huế\"}", false))
        .event(&chunk(json!({}), Some("tool_calls")))
        .done();
    let scene = Scene::new(options(), vec![cut, whole]);
    let ended = scene.call_wanting(Wants::Chunks).await;
    let chunks: Vec<Value> = ended.deltas().iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    let calls: Vec<&Value> =
        chunks.iter().map(|c| &c["choices"][0]["delta"]["tool_calls"]).filter(|c| !c.is_null()).collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0][0]["function"], json!({ "name": "weather", "arguments": "{\"city\":\"Huế\"}" }));
}

#[tokio::test(start_paused = true)]
async fn max_tokens_are_reduced_by_what_was_received_and_none_left_ends_with_length() {
    let request = |max: u64| json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": max });
    let cut = || stream().say("a ").say("b ").breaks();
    let scene = Scene::new(options(), vec![cut(), answer(&["c"])]);
    let ended = scene.ask(Ask { request: request(10), ..Ask::default() }).await;
    assert_eq!((text(&ended).as_str(), &scene.requests()[1].json()["max_tokens"]), ("a b c", &json!(8)));
    let scene = Scene::new(options(), vec![cut()]);
    let ended = scene.ask(Ask { request: request(2), ..Ask::default() }).await;
    assert_eq!(scene.requests().len(), 1);
    assert_eq!(ended.answer().journal.first_choice().finish_reason.as_deref(), Some("length"));
}

#[tokio::test(start_paused = true)]
async fn json_is_asked_for_anew_and_must_repeat_what_was_delivered() {
    let request = json!({
        "messages": [{ "role": "user", "content": "hi" }], "response_format": { "type": "json_object" }
    });
    let script = vec![broken("{\"a\":"), answer(&["{\"b\":2}"]), answer(&["{\"a\":1}"])];
    let scene = Scene::new(options(), script);
    let ended = scene.ask(Ask { request, ..Ask::default() }).await;
    assert_eq!(text(&ended), "{\"a\":1}");
    assert_eq!(messages(&scene, 1).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn several_choices_and_logprobs_are_not_continued() {
    for field in [json!({ "n": 2 }), json!({ "logprobs": true })] {
        let mut request = json!({ "messages": [{ "role": "user", "content": "hi" }] });
        request.as_object_mut().unwrap().extend(field.as_object().unwrap().clone());
        let scene = Scene::new(options(), vec![broken("half")]);
        let ended = scene.ask(Ask { request, ..Ask::default() }).await;
        assert_eq!((ended.error().kind, scene.requests().len()), (Kind::Interrupted, 1));
        assert!(ended.error().message.contains("cannot be continued"));
    }
}

#[tokio::test(start_paused = true)]
async fn usage_is_added_up_over_the_attempts_that_reported_it() {
    let first = stream().say("a ").event(&usage_chunk(3)).breaks();
    let second = stream().say("b").finish().event(&usage_chunk(4)).done();
    let scene = Scene::new(options(), vec![first, second]);
    let ended = scene.call().await;
    assert_eq!(ended.answer().journal.usage.as_ref().unwrap()["total_tokens"], 7);
}

#[tokio::test(start_paused = true)]
async fn the_next_model_goes_on_and_the_result_says_who_wrote_what() {
    let mut options = options();
    options["fallbackModels"] = json!(["m2"]);
    options["maxRetries"] = json!(0);
    let scene = Scene::new(options, vec![broken("ab "), answer(&["cde"])]);
    let ended = scene.call().await;
    let result: Value = serde_json::from_str(&ended.answer().result()).unwrap();
    let segments: Vec<_> = result["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["model"].clone(), p["characters"].clone()))
        .collect();
    assert_eq!(segments, [(json!("gpt-4.1"), json!(3)), (json!("m2"), json!(3))]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_in_mid_answer_ends_as_an_interruption() {
    let scene = Scene::new(options(), vec![broken("half "), status(401)]);
    let ended = scene.call().await;
    assert_eq!((ended.error().kind, ended.error().status), (Kind::Interrupted, Some(401)));
}

#[tokio::test(start_paused = true)]
async fn a_break_costs_one_request_and_no_text_waits_for_a_timer() {
    let delivered = "Once upon a time: the quick brown f";
    for rest in [
        "ox jumps.",
        "a time: the quick brown fox jumps.",
        "fox jumps.",
        "Once upon a time: the quick brown fox jumps.",
    ] {
        let deltas: Vec<String> = rest.chars().map(String::from).collect();
        let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
        let scene = Scene::new(options(), vec![broken(delivered), answer(&deltas)]);
        let ended = scene.call().await;
        assert_eq!(text(&ended), "Once upon a time: the quick brown fox jumps.");
        let result: Value = serde_json::from_str(&ended.answer().result()).unwrap();
        assert_eq!((scene.requests().len(), &result["joins"][0]["bufferedMs"]), (2, &json!(0)), "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_names_the_session_and_the_body_where_the_endpoint_wants_it() {
    let mut options = options();
    options["endpoints"] = json!([
        { "name": "a", "baseUrl": "http://a/v1", "sendSessionId": "both" }, { "name": "b", "baseUrl": "http://b/v1" },
    ]);
    let scene = Scene::hosts(options, vec![("a", vec![broken("half ")]), ("b", vec![answer(&["whole"])])]);
    let ended = scene.call_with(json!({ "sessionId": "mine" })).await;
    assert_eq!(text(&ended), "half whole");
    let named = |r: &Arc<Seen>| (r.header("x-session-id") == Some("mine"), r.json()["session_id"].clone());
    let seen: Vec<_> = scene.requests().iter().map(named).collect();
    assert_eq!(seen, [(true, json!("mine")), (true, Value::Null)]);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_goes_on_where_it_was_taken_even_if_breaks_are_not_to_be_mended() {
    for recovery in [json!({}), json!(false), json!({ "mode": "restart" })] {
        let scene = Scene::new(options(), vec![broken("one "), status(401)]);
        let ended = scene.call().await;
        let snapshot = Snapshot::parse(ended.error().snapshot.as_deref().unwrap()).unwrap();
        let scene = Scene::new(json!({ "recovery": recovery }), vec![answer(&["two"])]);
        let ended = scene.ask(Ask { resumes: Some(snapshot), ..Ask::default() }).await;
        assert_eq!((text(&ended).as_str(), ended.text()), ("two", "one two"), "{recovery}");
        let result: Value = serde_json::from_str(&ended.answer().result()).unwrap();
        assert_eq!((&result["recoveries"], result["attempts"].as_array().unwrap().len()), (&json!(2), 3));
        assert_eq!(result["attempts"][2]["attempt"], 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_usage_of_an_answer_that_was_resumed_holds_that_of_its_beginning() {
    let mut snapshot = Snapshot::new("s".into());
    snapshot.answer.text = "one ".into();
    snapshot.usage = Some(json!({ "total_tokens": 10 }));
    let scene = Scene::new(options(), vec![stream().say("two").finish().usage(5).done()]);
    let ended = scene.ask(Ask { resumes: Some(snapshot), ..Ask::default() }).await;
    assert_eq!(ended.answer().journal.usage, Some(json!({ "total_tokens": 15 })));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_continued_cannot_be_resumed_and_says_so_before_anybody_is_asked() {
    let mut snapshot = Snapshot::new("s".into());
    snapshot.answer.text = "half".into();
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }], "n": 2 });
    let scene = Scene::new(options(), vec![]);
    let ended = scene.ask(Ask { request, resumes: Some(snapshot), ..Ask::default() }).await;
    assert_eq!((ended.error().kind, scene.requests().len()), (Kind::Interrupted, 0));
    assert!(ended.error().message.contains("several choices"));
    assert_eq!(ended.error().partial.as_deref(), Some("half"));
}
