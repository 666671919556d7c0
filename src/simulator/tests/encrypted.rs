//! TLS, with HTTP/1.1 and HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::support::{Received, STREAM, ended, post, receive, scenario_of};
use crate::simulator::{EndedBy, Options, Simulator};

async fn simulator(scenario: &str) -> Simulator {
    let options = Options { tls: true, default: scenario_of(scenario), ..Options::default() };
    Simulator::start(options).await.expect("a free port")
}

async fn connect(simulator: &Simulator, protocol: &str) -> TlsStream<TcpStream> {
    let pem = simulator.certificate_pem().expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let tcp = TcpStream::connect(simulator.addr()).await.expect("it listens");
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a trusted certificate")
}

/// An HTTP/2 client, and the handle that aborts its connection.
struct Client {
    send: SendRequest<Bytes>,
    connection: AbortHandle,
}

impl Client {
    async fn new(simulator: &Simulator) -> Self {
        let (send, connection) = h2::client::handshake(connect(simulator, "h2").await).await.expect("HTTP/2");
        let connection = tokio::spawn(async {
            // Its error is what the streams report.
            let _ = connection.await;
        });
        Self { send, connection: connection.abort_handle() }
    }

    async fn begin(&self, scenario: &str) -> Result<h2::client::ResponseFuture, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let request = Request::post("https://127.0.0.1/v1/chat/completions").header("x-simulate", scenario);
        let (response, mut body) = send.send_request(request.body(()).expect("a request"), false)?;
        body.send_data(Bytes::from_static(STREAM.as_bytes()), true)?;
        Ok(response)
    }

    /// The response, and the error of a reset stream or a lost connection.
    async fn ask(&self, scenario: &str) -> (Received, Option<h2::Error>) {
        let mut received = Received { head: String::new(), body: Vec::new(), complete: false, reset: false };
        let response = match self.begin(scenario).await {
            Ok(response) => response.await,
            Err(error) => Err(error),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return (received, Some(error)),
        };
        let lines = response.headers().iter().map(|(n, v)| format!("\n{n}: {}", v.to_str().unwrap_or("?")));
        received.head = format!("HTTP/2 {} {}", response.status().as_u16(), lines.collect::<String>());
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            match data {
                Ok(data) => {
                    body.flow_control().release_capacity(data.len()).expect("as much as came");
                    received.body.extend_from_slice(&data);
                }
                Err(error) => return (received, Some(error)),
            }
        }
        received.complete = true;
        (received, None)
    }
}

#[tokio::test]
async fn http_1_1_over_tls_streams_resets_and_closes() {
    let simulator = simulator("{}").await;
    assert!(simulator.url().starts_with("https://127.0.0.1:"));
    for (scenario, content, reset) in [
        (r#"{"text":"hello"}"#, "hello", false),
        (r#"{"chunks":["a","b"],"disconnect":{"afterChunks":1}}"#, "a", true),
        (r#"{"chunks":["a","b"],"disconnect":{"afterChunks":1,"how":"close"}}"#, "a", false),
        (r#"{"connectReset":true}"#, "", true),
    ] {
        let mut tls = connect(&simulator, "http/1.1").await;
        let request = post(STREAM, &format!("x-simulate: {scenario}\r\n"));
        tls.write_all(request.as_bytes()).await.expect("it reads");
        tls.flush().await.expect("it reads");
        let received = receive(&mut tls, &mut Vec::new()).await;
        assert_eq!((received.content(0).as_str(), received.reset), (content, reset), "{scenario}");
    }
}

#[tokio::test]
async fn http_2_plays_the_same_scripts() {
    let simulator = simulator("{}").await;
    let client = Client::new(&simulator).await;
    for scenario in [
        r#"{"text":"hello"}"#,
        r#"{"text":"hello","packets":"bytes","chunked":false}"#,
        r#"{"text":"hello","chunkDelayMs":1,"pings":{"everyMs":1},"headersDelayMs":1,"lineEnd":"crlf"}"#,
        r#"{"text":"hello","headerBytes":12000,"headers":{"connection":"close"}}"#,
    ] {
        let (received, error) = client.ask(scenario).await;
        assert!(error.is_none() && received.complete, "{scenario}");
        assert_eq!((received.status(), received.content(0).as_str()), (200, "hello"), "{scenario}");
        assert_eq!(received.finish().as_deref(), Some("stop"));
    }
    let (received, _) = client.ask(r#"{"status":429,"retryAfter":1}"#).await;
    assert_eq!((received.status(), received.header("retry-after")), (429, Some("1")));
    assert_eq!(received.json()["error"]["code"], "rate_limit_exceeded");
    let (received, _) = client.ask(r#"{"repeat":20000}"#).await;
    assert_eq!(received.chunks().len(), 20_002);
    let record = &simulator.requests()[0];
    assert_eq!((record.protocol, record.connection, record.body.as_str()), ("h2", 1, STREAM));
    assert!(record.headers["host"].starts_with("127.0.0.1"));
    assert!(simulator.requests().iter().all(|r| r.ended_by == EndedBy::Complete && r.connection == 1));
}

#[tokio::test]
async fn a_reset_of_a_stream_leaves_its_connection_and_a_close_ends_it() {
    let simulator = simulator("{}").await;
    let client = Client::new(&simulator).await;
    let (received, error) = client.ask(r#"{"chunks":["a","b"],"disconnect":{"afterChunks":1}}"#).await;
    assert_eq!(received.content(0), "a");
    assert!(error.is_some_and(|error| error.is_reset()));
    let (received, _) =
        client.ask(r#"{"chunks":["a","b"],"disconnect":{"afterChunks":1,"how":"noFinish"}}"#).await;
    assert_eq!((received.content(0).as_str(), received.complete, received.finish()), ("a", true, None));
    let (received, error) =
        client.ask(r#"{"chunks":["a","b"],"disconnect":{"afterChunks":1,"how":"close"}}"#).await;
    assert_eq!(received.content(0), "a");
    assert!(error.is_some_and(|error| !error.is_reset()));
    for (scenario, number) in [(r#"{"connectReset":true}"#, 2), (r#"{"closeBeforeHeaders":true}"#, 3)] {
        let client = Client::new(&simulator).await;
        let (received, error) = client.ask(scenario).await;
        assert!(received.head.is_empty() && error.is_some_and(|error| error.is_io()), "{scenario}");
        let record = ended(&simulator).await;
        assert_eq!((record.ended_by, record.connection), (EndedBy::Disconnect, number));
    }
}

#[tokio::test]
async fn keep_alive_false_sends_a_goaway_after_the_answer() {
    let simulator = simulator("{}").await;
    let client = Client::new(&simulator).await;
    let (received, error) = client.ask(r#"{"text":"hello","keepAlive":false}"#).await;
    assert!(error.is_none() && received.content(0) == "hello");
    while client.ask("{}").await.1.is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reset_of_the_stream_or_the_connection_by_the_client_is_noticed() {
    let simulator = simulator("{}").await;
    for scenario in [
        r#"{"hang":true}"#,
        r#"{"firstTokenDelayMs":60000}"#,
        r#"{"disconnect":{"afterChunks":2,"how":"stall"},"pings":{"everyMs":1}}"#,
        r#"{"repeat":50000000}"#,
    ] {
        for drops_connection in [false, true] {
            simulator.clear();
            let client = Client::new(&simulator).await;
            let response = client.begin(scenario).await.expect("a stream");
            let begun = if scenario.contains("hang") { None } else { Some(response.await.expect("a head")) };
            while simulator.requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if drops_connection {
                client.connection.abort();
            } else if let Some(begun) = begun {
                drop(begun);
            } else {
                continue;
            }
            assert_eq!(ended(&simulator).await.ended_by, EndedBy::Client, "{scenario} {drops_connection}");
        }
    }
}

#[tokio::test]
async fn many_streams_share_a_connection() {
    let simulator = simulator("{}").await;
    let client = Client::new(&simulator).await;
    let asks = (0..50).map(|_| client.ask(r#"{"repeat":200,"chunkDelayMs":1}"#));
    for (received, error) in futures::future::join_all(asks).await {
        assert!(error.is_none() && received.chunks().len() == 202);
    }
    assert_eq!(simulator.open_connections(), 1);
}
