//! A client on plain sockets.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::simulator::{EndedBy, Options, RecordedRequest, Scenario, Simulator};

pub(super) const STREAM: &str =
    r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"count"}]}"#;

pub(super) async fn simulator(scenario: &str) -> Simulator {
    let options = Options { default: scenario_of(scenario), ..Options::default() };
    Simulator::start(options).await.expect("a free port")
}

pub(super) fn scenario_of(json: &str) -> Scenario {
    Scenario::from_json(json).expect("a valid scenario")
}

pub(super) fn post(body: &str, headers: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// A response: head, body without its framing, and how it ended.
pub(super) struct Received {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
    pub(super) complete: bool,
    pub(super) reset: bool,
}

impl Received {
    pub(super) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
        line.split_once(": ").map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The data of the events.
    pub(super) fn events(&self) -> Vec<String> {
        let text = self.text().replace("\r\n", "\n").replace('\r', "\n");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(str::to_owned).collect()
    }

    pub(super) fn chunks(&self) -> Vec<Value> {
        let json = self.events();
        json.iter().filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    /// The content of one choice.
    pub(super) fn content(&self, choice: u64) -> String {
        let chunks = self.chunks();
        let choices =
            chunks.iter().flat_map(|chunk| chunk["choices"].as_array().cloned().unwrap_or_default());
        let mine = choices.filter(|c| c["index"] == choice);
        mine.filter_map(|c| c["delta"]["content"].as_str().map(str::to_owned)).collect()
    }

    pub(super) fn finish(&self) -> Option<String> {
        let chunks = self.chunks();
        chunks.iter().find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str().map(str::to_owned))
    }
}

/// One request on a separate connection.
pub(super) async fn ask(simulator: &Simulator, request: &str) -> Received {
    let mut tcp = TcpStream::connect(simulator.addr()).await.expect("it listens");
    tcp.write_all(request.as_bytes()).await.expect("it reads");
    receive(&mut tcp, &mut Vec::new()).await
}

pub(super) async fn chat(simulator: &Simulator) -> Received {
    ask(simulator, &post(STREAM, "")).await
}

/// Reads one response. Bytes after it stay in `buffer`.
pub(super) async fn receive<S: AsyncReadExt + Unpin>(socket: &mut S, buffer: &mut Vec<u8>) -> Received {
    let mut received = Received { head: String::new(), body: Vec::new(), complete: false, reset: false };
    loop {
        if let Some((head, body, used)) = complete_response(buffer) {
            (received.head, received.body, received.complete) = (head, body, true);
            buffer.drain(..used);
            return received;
        }
        let mut bytes = [0_u8; 4096];
        match socket.read(&mut bytes).await {
            Ok(0) => break,
            Ok(read) => buffer.extend_from_slice(&bytes[..read]),
            Err(error) => {
                received.reset = error.kind() == std::io::ErrorKind::ConnectionReset;
                break;
            }
        }
    }
    let Some(at) = memchr::memmem::find(buffer, b"\r\n\r\n") else { return received };
    received.head = String::from_utf8_lossy(&buffer[..at]).into_owned();
    let rest = &buffer[at + 4..];
    let chunked = received.head.contains("transfer-encoding: chunked");
    received.body = if chunked { unchunk(rest).0 } else { rest.to_vec() };
    received
}

fn complete_response(bytes: &[u8]) -> Option<(String, Vec<u8>, usize)> {
    let at = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let rest = &bytes[at + 4..];
    if head.contains("transfer-encoding: chunked") {
        let (body, used) = unchunk(rest);
        return used.map(|used| (head, body, at + 4 + used));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let length: usize = length.parse().ok()?;
    (rest.len() >= length).then(|| (head, rest[..length].to_vec(), at + 4 + length))
}

/// The body so far and, if it has ended, the number of bytes it took.
fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, Option<usize>) {
    let (mut body, all) = (Vec::new(), bytes.len());
    loop {
        let Some(at) = memchr::memmem::find(bytes, b"\r\n") else { return (body, None) };
        let size =
            std::str::from_utf8(&bytes[..at]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a chunk size");
        bytes = &bytes[at + 2..];
        body.extend_from_slice(&bytes[..size.min(bytes.len())]);
        if bytes.len() < size + 2 {
            return (body, None);
        }
        bytes = &bytes[size + 2..];
        if size == 0 {
            return (body, Some(all - bytes.len()));
        }
    }
}

/// The only record, once its answer has ended.
pub(super) async fn ended(simulator: &Simulator) -> RecordedRequest {
    for _ in 0..60_000 {
        let last = simulator.requests().pop().expect("a request");
        if last.ended_by != EndedBy::Open {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the answer has not ended");
}
