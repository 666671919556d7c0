//! What a provider says about an answer quotes the key. Logs and traces have it, so the key is removed.

use serde_json::{Value, json};

use super::harness::{Harness, TestCall};
use super::scripted_provider::{Reply, status, stream};
use crate::engine::sink::DeliveryMode;
use crate::wire::dialect::Dialect;

const SECRET: &str = "Zq7Tm3vXw9Kd2Pb5Rn8Ys4Lc6";

fn quoting() -> Reply {
    let chunk = |choice: Value| {
        json!({
            "id": format!("id-{SECRET}"), "created": 1, "model": format!("model {SECRET}"),
            "system_fingerprint": SECRET, "service_tier": SECRET, "choices": [choice],
        })
    };
    let usage = json!({
        "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "note": [SECRET], SECRET: 4, "kept": { "a": "b" },
    });
    stream()
        .event(&chunk(json!({ "index": 0, "delta": { "content": "yes" } })))
        .event(&chunk(json!({ "index": 0, "delta": {}, "finish_reason": format!("stop {SECRET}") })))
        .event(&json!({ "choices": [], "usage": usage }))
        .done()
}

fn harness(reply: Reply) -> Harness {
    Harness::new(json!({ "headers": { "api-key": SECRET } }), vec![reply])
}

#[tokio::test(start_paused = true)]
async fn results_do_not_quote_a_secret() {
    for mode in [DeliveryMode::Nothing, DeliveryMode::Text, DeliveryMode::Chunks] {
        let outcome = harness(quoting()).call_with_mode(mode).await;
        let answer = outcome.answer();
        for shown in [answer.result(), answer.completion()] {
            assert!(!shown.contains(SECRET), "{shown}");
        }
        let result: Value = serde_json::from_str(&answer.result()).unwrap();
        assert_eq!((&result["id"], &result["model"]), (&json!("id-…"), &json!("model …")));
        assert_eq!((&result["finishReason"], &result["usage"]["note"]), (&json!("stop …"), &json!(["…"])));
        assert_eq!(
            (&result["usage"]["kept"], &result["usage"]["total_tokens"]),
            (&json!({ "a": "b" }), &json!(3))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn snapshots_do_not_quote_a_secret() {
    let event =
        json!({ "id": SECRET, "model": SECRET, "choices": [{ "index": 0, "delta": { "content": "yes" } }] });
    let harness = harness(stream().event(&event).delta("more").reset());
    let outcome = harness.call_with(json!({ "recovery": false, "maxRetries": 0 })).await;
    let snapshot = outcome.error().snapshot.clone().unwrap();
    assert!(!snapshot.contains(SECRET), "{snapshot}");
}

#[tokio::test(start_paused = true)]
async fn answers_of_other_dialects_do_not_quote_a_secret() {
    let message = json!({
        "id": SECRET, "type": "message", "role": "assistant", "model": SECRET, "content": [{ "type": "text", "text": "yes" }],
        "stop_reason": SECRET, "usage": { "input_tokens": 1, "output_tokens": 1, "service_tier": SECRET },
    });
    let body = status(200).header("content-type", "application/json").raw(&message.to_string());
    let streamed = stream()
        .event(&json!({ "type": "message_start", "message": message }))
        .event(&json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }))
        .event(&json!({
            "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "yes" },
        }))
        .event(&json!({ "type": "message_delta", "delta": { "stop_reason": SECRET }, "usage": { "a": SECRET } }))
        .event(&json!({ "type": "message_stop" }));
    for (reply, is_streamed) in [(body, false), (streamed, true)] {
        let request = json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }], "stream": is_streamed });
        let call = TestCall {
            dialect: Dialect::Messages,
            request,
            mode: DeliveryMode::Chunks,
            ..TestCall::default()
        };
        let outcome = harness(reply).run(call).await;
        let result = outcome.answer().result();
        assert!(!result.contains(SECRET), "{result}");
    }
}
