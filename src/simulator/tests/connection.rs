//! Requests on connections: framing, limits, paths, keys.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::support::{STREAM, ask, chat, post, receive, simulator};
use crate::simulator::{Options, Simulator};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let simulator = simulator(r#"{"chunks":["a"],"chunkDelayMs":1,"firstTokenDelayMs":1}"#).await;
    let mut tcp = TcpStream::connect(simulator.addr()).await.expect("it listens");
    let three = [post(STREAM, ""), post(&STREAM.replace("true", "false"), ""), get("/v1/models")].concat();
    tcp.write_all(three.as_bytes()).await.expect("it reads");
    let mut buffer = Vec::new();
    assert_eq!(receive(&mut tcp, &mut buffer).await.content(0), "a");
    assert_eq!(receive(&mut tcp, &mut buffer).await.json()["object"], "chat.completion");
    assert_eq!(receive(&mut tcp, &mut buffer).await.json()["data"][0]["id"], "simulator-large");
    assert!(simulator.requests().iter().all(|request| request.connection == 1));
    let closing = post(STREAM, "x-simulate: {\"keepAlive\":false}\r\n");
    tcp.write_all(closing.as_bytes()).await.expect("it reads");
    let received = receive(&mut tcp, &mut buffer).await;
    assert_eq!(received.header("connection"), Some("close"));
    assert!(received.complete && !receive(&mut tcp, &mut buffer).await.reset);
}

#[tokio::test]
async fn a_chunked_request_body_is_read_in_any_packets() {
    let simulator = simulator(r#"{"chunks":["a"]}"#).await;
    let (left, right) = STREAM.split_at(20);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let body = format!(
        "{:x};ext=1\r\n{left}\r\n{:X}\r\n{right}\r\n0\r\ntrailer: x\r\n\r\n",
        left.len(),
        right.len()
    );
    let mut tcp = TcpStream::connect(simulator.addr()).await.expect("it listens");
    tcp.set_nodelay(true).expect("a TCP socket");
    for byte in format!("{head}{body}").as_bytes() {
        tcp.write_all(&[*byte]).await.expect("it reads");
        tokio::task::yield_now().await;
    }
    assert_eq!(receive(&mut tcp, &mut Vec::new()).await.content(0), "a");
    assert_eq!(simulator.requests()[0].body, STREAM);
}

#[tokio::test]
async fn heads_and_bodies_beyond_their_limits_are_rejected() {
    let simulator = simulator("{}").await;
    let large = format!("{}x: {}\r\n\r\n", &get("/")[..16], "y".repeat(70_000));
    assert_eq!(ask(&simulator, &large).await.status(), 431);
    let large = "POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n";
    assert_eq!(ask(&simulator, large).await.status(), 413);
    assert_eq!(ask(&simulator, "nonsense\r\n\r\n").await.status(), 400);
    let body = STREAM.replace("count", &"z".repeat(3_000_000));
    assert_eq!(ask(&simulator, &post(&body, "")).await.status(), 200);
}

#[tokio::test]
async fn invalid_json_scenarios_and_paths_are_rejected_with_a_reason() {
    let simulator = simulator("{}").await;
    let message = |body: serde_json::Value| body["error"]["message"].as_str().unwrap_or_default().to_owned();
    let received = ask(&simulator, &post("{", "")).await;
    assert!(received.status() == 400 && message(received.json()).contains("could not parse"));
    let received = ask(&simulator, &post(STREAM, "x-simulate: {\"disconnect\":{\"how\":\"x\"}}\r\n")).await;
    assert!(
        received.status() == 400 && message(received.json()).contains("disconnect.how"),
        "{}",
        received.text()
    );
    let received = ask(&simulator, &get("/v2/nothing?x=1")).await;
    assert!(received.status() == 404 && message(received.json()) == "Invalid URL (GET /v2/nothing)");
    assert_eq!(ask(&simulator, &get("/v1/chat/completions")).await.status(), 405);
    assert_eq!(ask(&simulator, &get("/v1/models/simulator-small")).await.json()["id"], "simulator-small");
}

#[tokio::test]
async fn a_wrong_key_is_rejected_and_consumes_no_scenario() {
    let options = Options { api_key: Some("right".to_owned()), ..Options::default() };
    let simulator = Simulator::start(options).await.expect("a free port");
    simulator.script(vec![super::support::scenario_of(r#"{"label":"first"}"#)]);
    for headers in ["", "authorization: Bearer wrong\r\n"] {
        let received = ask(&simulator, &post(STREAM, headers)).await;
        assert_eq!((received.status(), &received.json()["error"]["code"]), (401, &json!("invalid_api_key")));
        assert!(!received.text().contains("wrong"));
    }
    assert_eq!(ask(&simulator, &post(STREAM, "authorization: Bearer right\r\n")).await.status(), 200);
    assert_eq!(simulator.requests()[2].scenario.as_deref(), Some("first"));
}

#[tokio::test]
async fn another_process_can_script_and_read_over_http() {
    let simulator = simulator("{}").await;
    let command = |path: &str, body: &str| {
        post(body, "").replacen("/v1/chat/completions", &format!("/__simulator/{path}"), 1)
    };
    assert_eq!(ask(&simulator, &command("script", r#"[{"status":503},{"status":429}]"#)).await.status(), 200);
    assert_eq!(ask(&simulator, &command("script", r#"[{"status":1}]"#)).await.status(), 400);
    assert_eq!(ask(&simulator, &command("default", r#"{"status":418}"#)).await.status(), 200);
    for status in [503, 429, 418, 418] {
        assert_eq!(chat(&simulator).await.status(), status);
    }
    let records = ask(&simulator, &get("/__simulator/requests")).await.json();
    assert_eq!(records.as_array().map(Vec::len), Some(4));
    assert_eq!((&records[0]["endedBy"], &records[3]["index"]), (&json!("complete"), &json!(3)));
    assert_eq!(ask(&simulator, &get("/__simulator/requests").replace("GET", "DELETE")).await.status(), 200);
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn only_the_latest_requests_are_recorded() {
    let options = Options { record_limit: 2, ..Options::default() };
    let simulator = Simulator::start(options).await.expect("a free port");
    for _ in 0..4 {
        chat(&simulator).await;
    }
    let indices: Vec<_> = simulator.requests().iter().map(|request| request.index).collect();
    assert_eq!(indices, [2, 3]);
}

#[tokio::test]
async fn an_unspecified_address_is_reached_on_the_loopback() {
    let simulator = Simulator::start(Options { host: "0.0.0.0".to_owned(), ..Options::default() }).await;
    let simulator = simulator.expect("a free port");
    assert_eq!(simulator.url(), format!("http://127.0.0.1:{}/v1", simulator.addr().port()));
}
