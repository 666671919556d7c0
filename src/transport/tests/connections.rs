//! Connections that are reused, and lost, and the heads of HTTP/1 responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::super::http::HttpTransport;
use super::super::{HeaderMap, Method, Request, Transport, TransportOptions};
use crate::error::{ConnectionFailure, Kind, Result};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a server does with the nth request on a connection, counted from 1.
type Answer = fn(usize) -> Action;

#[derive(Clone, Copy)]
enum Action {
    Send(&'static str),
    Close,
    Reset,
    SendAndClose(&'static str),
}

struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answer: Answer) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let server = Server { url, connections: Arc::default(), requests: Arc::default() };
        let (connections, requests) = (Arc::clone(&server.connections), Arc::clone(&server.requests));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, answer, Arc::clone(&requests)));
            }
        });
        server
    }

    async fn post(&self) -> Result<String> {
        let (on_sent, _sent) = oneshot::channel();
        let request = Request {
            method: Method::POST,
            url: self.url.clone(),
            headers: HeaderMap::new(),
            body: "question".into(),
            options: TransportOptions { connect_timeout: Duration::from_secs(60), ..Default::default() },
            on_sent,
        };
        let mut response = HttpTransport::default().send(request).await?;
        let mut text = Vec::new();
        while let Some(bytes) = response.body.next().await {
            text.extend_from_slice(&bytes?);
        }
        Ok(String::from_utf8(text).unwrap())
    }

    fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

async fn serve(mut socket: TcpStream, answer: Answer, requests: Arc<AtomicUsize>) {
    let mut received = Vec::new();
    for number in 1.. {
        while !received.ends_with(b"question") {
            if socket.read_buf(&mut received).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8_lossy(&received).to_lowercase();
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
        received.clear();
        requests.fetch_add(1, Ordering::SeqCst);
        match answer(number) {
            Action::Send(text) => socket.write_all(text.as_bytes()).await.unwrap(),
            Action::SendAndClose(text) => return socket.write_all(text.as_bytes()).await.unwrap(),
            Action::Close => return,
            Action::Reset => {
                return socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_reused_connection_that_is_lost_before_an_answer_is_replaced_once_by_a_new_one() {
    for lost in [
        |number| if number == 1 { Action::Send(OK) } else { Action::Close },
        |number| {
            if number == 1 { Action::Send(OK) } else { Action::Reset }
        },
    ] as [Answer; 2]
    {
        let server = Server::start(lost).await;
        for _ in 0..4 {
            assert_eq!(server.post().await.unwrap(), "ok");
        }
        // 1: new. 2: reused, lost, asked again. The connection of that is not kept, so 3 is new; 4 is as 2.
        assert_eq!(server.counts(), (4, 6));
    }
}

#[tokio::test]
async fn a_new_connection_that_is_lost_is_an_error() {
    let server = Server::start(|_| Action::Close).await;
    let error = server.post().await.unwrap_err();
    assert_eq!(error.kind, Kind::Connection(ConnectionFailure::Closed));
    assert_eq!(server.counts(), (1, 1));
    let server = Server::start(|_| Action::Reset).await;
    let error = server.post().await.unwrap_err();
    assert_eq!(error.kind, Kind::Connection(ConnectionFailure::Reset));
    assert_eq!(server.counts(), (1, 1));
}

#[tokio::test]
async fn an_answer_interrupted_on_a_reused_connection_is_not_requested_again() {
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
    let server =
        Server::start(|number| if number == 1 { Action::Send(OK) } else { Action::SendAndClose(CUT) }).await;
    assert_eq!(server.post().await.unwrap(), "ok");
    assert_eq!(server.post().await.unwrap_err().kind, Kind::Connection(ConnectionFailure::Closed));
    assert_eq!(server.counts(), (1, 2));
}

#[tokio::test]
async fn an_answer_that_is_not_http_on_a_reused_connection_is_not_asked_for_again() {
    let server =
        Server::start(|number| Action::Send(if number == 1 { OK } else { "nonsense\r\n\r\n" })).await;
    assert_eq!(server.post().await.unwrap(), "ok");
    assert_eq!(server.post().await.unwrap_err().kind, Kind::Malformed);
    assert_eq!(server.counts(), (1, 2));
}

#[tokio::test]
async fn a_space_before_the_colon_of_a_header_is_ignored_and_other_invalid_headers_are_not() {
    let server =
        Server::start(|_| Action::Send("HTTP/1.1 200 OK\r\nContent-Length : 2\r\nx : y\r\n\r\nok")).await;
    assert_eq!(server.post().await.unwrap(), "ok");
    let server =
        Server::start(|_| Action::Send("HTTP/1.1 200 OK\r\nx: y\rz\r\ncontent-length: 2\r\n\r\nok")).await;
    assert_eq!(server.post().await.unwrap_err().kind, Kind::Malformed);
}
