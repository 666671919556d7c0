//! Answers that are cut.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{STREAM, ask, chat, ended, post, simulator};
use crate::simulator::EndedBy;

fn with(scenario: &str) -> String {
    post(STREAM, &format!("x-simulate: {scenario}\r\n"))
}

#[tokio::test]
async fn a_connection_can_be_reset_or_closed_before_any_byte() {
    let simulator = simulator("{}").await;
    let received = ask(&simulator, &with(r#"{"connectReset":true,"headersDelayMs":2}"#)).await;
    assert!(received.reset && received.head.is_empty());
    assert_eq!(ended(&simulator).await.ended_by, EndedBy::Disconnect);
    let received = ask(&simulator, &with(r#"{"closeBeforeHeaders":true}"#)).await;
    assert!(!received.reset && received.head.is_empty());
}

#[tokio::test]
async fn a_cut_after_deltas_delivers_them_and_then_resets_or_closes() {
    let simulator = simulator("{}").await;
    for how in ["reset", "close"] {
        let scenario =
            format!(r#"{{"chunks":["a","b","c"],"disconnect":{{"afterChunks":2,"how":"{how}"}}}}"#);
        let received = ask(&simulator, &with(&scenario)).await;
        assert_eq!(
            (received.content(0).as_str(), received.finish(), received.complete),
            ("ab", None, false),
            "{how}"
        );
        assert_eq!(received.reset, how == "reset");
        let record = ended(&simulator).await;
        assert_eq!((record.ended_by, record.bytes_sent as usize), (EndedBy::Disconnect, received.body.len()));
    }
}

#[tokio::test]
async fn a_cut_after_bytes_is_exact_even_inside_a_character() {
    let simulator = simulator("{}").await;
    let whole = ask(&simulator, &with(r#"{"seed":3,"chunks":["\u00e4","\u00f6"]}"#)).await.body;
    let inside = memchr::memmem::find(&whole, "ä".as_bytes()).expect("the delta") + 1;
    for (bytes, how) in [(0, "close"), (1, "reset"), (inside, "noFinish"), (whole.len() + 9, "close")] {
        let cut = format!(
            r#"{{"seed":3,"chunks":["\u00e4","\u00f6"],"disconnect":{{"afterBytes":{bytes},"how":"{how}"}}}}"#
        );
        let received = ask(&simulator, &with(&cut)).await;
        assert_eq!(received.body.len(), bytes.min(whole.len()), "{bytes}");
        assert_eq!(received.complete, how == "noFinish");
    }
    let cut =
        format!(r#"{{"chunks":["\u00e4","\u00f6"],"disconnect":{{"afterBytes":{inside},"how":"done"}}}}"#);
    let received = ask(&simulator, &with(&cut)).await;
    assert_eq!((received.content(0).as_str(), received.finish()), ("ä", None));
    assert!(received.complete && received.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_stream_can_end_in_an_error_a_malformed_event_or_without_a_finish_reason() {
    let simulator = simulator("{}").await;
    let cut = |how: &str| {
        with(&format!(r#"{{"chunks":["a","b"],"disconnect":{{"afterChunks":1,"how":"{how}"}}}}"#))
    };
    for (request, tail) in [
        (cut("noFinish"), "\"finish_reason\":null}]}\n\n"),
        (cut("done"), "\"finish_reason\":null}]}\n\ndata: [DONE]\n\n"),
        (cut("malformed"), "{\"index\":0,\"delta\":{\"content\":\"\n\n"),
        (cut("errorEventNamed"), "\"code\":\"server_error\"}}\n\n"),
        (with(r#"{"chunks":["a"],"done":false}"#), "\"finish_reason\":\"stop\"}]}\n\n"),
        (with(r#"{"chunks":["a"],"finish":false}"#), "\"finish_reason\":null}]}\n\ndata: [DONE]\n\n"),
        (
            with(r#"{"chunks":["a"],"disconnect":{"afterChunks":9,"how":"noFinish"}}"#),
            "\"finish_reason\":null}]}\n\n",
        ),
    ] {
        let received = ask(&simulator, &request).await;
        assert_eq!(received.content(0), "a");
        assert!(received.complete);
        assert!(received.text().ends_with(tail), "{}", received.text());
    }
    let error = with(r#"{"disconnect":{"how":"errorEvent","error":{"code":"x"}}}"#);
    assert!(ask(&simulator, &error).await.text().ends_with("\ndata: {\"error\":{\"code\":\"x\"}}\n\n"));
    let named = ask(&simulator, &cut("errorEventNamed")).await.text();
    assert!(named.contains("\n\nevent: error\ndata: {\"error\":{\"message\""));
}

#[tokio::test]
async fn an_unstreamed_body_is_cut_in_the_middle() {
    let simulator = simulator("{}").await;
    let plain = STREAM.replace("true", "false");
    let request =
        |how: &str| post(&plain, &format!("x-simulate: {{\"disconnect\":{{\"how\":\"{how}\"}}}}\r\n"));
    let received = ask(&simulator, &request("close")).await;
    let length: usize = received.header("content-length").and_then(|l| l.parse().ok()).expect("a length");
    assert_eq!((received.body.len(), received.complete), (length / 2, false));
    assert!(ask(&simulator, &request("reset")).await.reset);
    let received = ask(&simulator, &request("malformed")).await;
    assert!(received.complete && serde_json::from_slice::<serde_json::Value>(&received.body).is_err());
    assert!(ask(&simulator, &request("noFinish")).await.json()["choices"][0]["finish_reason"].is_null());
    assert!(ask(&simulator, &request("errorEvent")).await.json()["error"].is_object());
}

#[tokio::test]
async fn a_disconnect_is_noticed_in_a_hang_a_stall_a_wait_and_a_flood() {
    let simulator = simulator("{}").await;
    for scenario in [
        r#"{"hang":true}"#,
        r#"{"headersDelayMs":60000}"#,
        r#"{"firstTokenDelayMs":60000}"#,
        r#"{"disconnect":{"afterChunks":2,"how":"stall"}}"#,
        r#"{"disconnect":{"how":"stall"},"pings":{"everyMs":1}}"#,
        r#"{"chunkDelayMs":60000}"#,
        r#"{"repeat":50000000}"#,
    ] {
        simulator.clear();
        let mut tcp = TcpStream::connect(simulator.addr()).await.expect("it listens");
        tcp.write_all(with(scenario).as_bytes()).await.expect("it reads");
        if !scenario.contains("hang") && !scenario.contains("headers") {
            assert!(tcp.read(&mut [0; 64]).await.expect("a head") > 0, "{scenario}");
        }
        while simulator.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(simulator.requests()[0].ended_by, EndedBy::Open, "{scenario}");
        drop(tcp);
        assert_eq!(ended(&simulator).await.ended_by, EndedBy::Client, "{scenario}");
    }
}

#[tokio::test]
async fn closing_the_simulator_cuts_the_open_answers() {
    let simulator = simulator(r#"{"chunkDelayMs":60000}"#).await;
    let mut tcp = TcpStream::connect(simulator.addr()).await.expect("it listens");
    tcp.write_all(post(STREAM, "").as_bytes()).await.expect("it reads");
    assert!(tcp.read(&mut [0; 64]).await.expect("a head") > 0);
    assert_eq!(simulator.open_connections(), 1);
    simulator.close().await;
    assert_eq!((simulator.open_connections(), ended(&simulator).await.ended_by), (0, EndedBy::Disconnect));
    assert!(TcpStream::connect(simulator.addr()).await.is_err());
    simulator.close().await;
}

#[tokio::test]
async fn a_healthy_request_after_the_cut_ones_is_answered() {
    let simulator = simulator("{}").await;
    assert!(ask(&simulator, &with(r#"{"disconnect":{}}"#)).await.reset);
    assert!(chat(&simulator).await.complete);
}
