//! HTTP/2 on a socket: each stream plays its plan in a task of its own.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::answer;
use super::http1::{BEFORE_RESET, MAX_BODY, Socket};
use super::play::{Framing, Head, Wire, play};
use super::record::{Incoming, Live};
use super::reply;
use super::server::Shared;

/// As many streams as the gateways of providers allow on one connection.
const MAX_STREAMS: u32 = 100;
/// How long the streams of a connection that is gone have to notice it.
const NOTICE: Duration = Duration::from_secs(1);

/// What a stream does to its connection.
enum End {
    /// No new streams.
    Goaway,
    Close,
    Reset,
}

pub(super) async fn serve(tls: TlsStream<TcpStream>, shared: Arc<Shared>, connection: u64) {
    // The connection takes the socket: a second handle on it is needed to make its end a reset.
    let handle = socket2::SockRef::from(tls.tcp()).try_clone();
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(16 << 20);
    builder.max_header_list_size(64 * 1024);
    let Ok(mut h2) = builder.handshake::<_, Bytes>(tls).await else { return };
    let (ends, mut ended) = unbounded_channel();
    let mut streams = JoinSet::new();
    let end = loop {
        tokio::select! {
            Some(end) = ended.recv() => match end {
                End::Goaway => h2.graceful_shutdown(),
                end => break Some(end),
            },
            Some(_) = streams.join_next() => {}
            accepted = h2.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    streams.spawn(stream(request, respond, Arc::clone(&shared), connection, ends.clone()));
                }
                // Without a client there is nobody to tell.
                Some(Err(_)) | None => break None,
            },
        }
    };
    match end {
        Some(End::Reset) => {
            if let Ok(socket) = &handle {
                // A socket that is already gone cannot be reset, and need not be.
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
        }
        // What was sent before the close should arrive; only the connection itself can write it.
        Some(_) => {
            let _ = timeout(BEFORE_RESET, async { while let Some(Ok(_)) = h2.accept().await {} }).await;
        }
        None => {
            drop(h2);
            let _ = timeout(NOTICE, async { while streams.join_next().await.is_some() {} }).await;
        }
    }
}

async fn stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
    connection: u64,
    ends: UnboundedSender<End>,
) {
    let (parts, body) = request.into_parts();
    let text = |value: &HeaderValue| match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    };
    let mut headers: Vec<_> =
        parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    if let Some(authority) = parts.uri.authority().filter(|_| !parts.headers.contains_key(HOST)) {
        headers.push(("host".to_owned(), authority.to_string()));
    }
    let (mut plan, live) = match read(body, &mut respond).await {
        Body::Whole(body) => shared.answer(Incoming {
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers,
            body,
            protocol: "h2",
            connection,
        }),
        Body::TooLarge => {
            let why = "The request body is larger than 32 MiB.";
            (answer::json(413, reply::error(why, "invalid_request_error", None, None)), Live::unseen())
        }
        Body::Gone => return,
    };
    // The end of a body is not the end of its connection here.
    let goaway = !plan.head.keep_alive && plan.head.framing != Framing::UntilClose;
    plan.head.keep_alive = true;
    let mut wire = Http2 { respond, stream: None, packets: None, ends };
    play(&mut wire, plan, &live).await;
    if goaway {
        // Fails if the connection is gone, which is as good.
        let _ = wire.ends.send(End::Goaway);
    }
}

enum Body {
    Whole(Bytes),
    TooLarge,
    Gone,
}

async fn read(mut body: RecvStream, respond: &mut SendResponse<Bytes>) -> Body {
    let mut whole = BytesMut::new();
    loop {
        let data = tokio::select! {
            data = body.data() => data,
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return Body::Gone,
        };
        match data {
            None => return Body::Whole(whole.freeze()),
            Some(Err(_)) => return Body::Gone,
            Some(Ok(data)) if whole.len() + data.len() > MAX_BODY => return Body::TooLarge,
            Some(Ok(data)) => {
                whole.extend_from_slice(&data);
                if body.flow_control().release_capacity(data.len()).is_err() {
                    return Body::Gone;
                }
            }
        }
    }
}

struct Http2 {
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    packets: Option<usize>,
    ends: UnboundedSender<End>,
}

impl Http2 {
    /// Ends the connection, and this task with it.
    async fn end(&self, end: End) {
        // Fails if the connection is gone: then this task is about to end, too.
        let _ = self.ends.send(end);
        std::future::pending().await
    }
}

/// Headers that HTTP/2 forbids (RFC 9113, section 8.2.2).
fn is_forbidden(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade")
}

fn response(head: &Head) -> Result<Response<()>, http::Error> {
    let mut response = Response::builder().status(head.status).body(())?;
    let headers = response.headers_mut();
    // Built by `fmt_http_date`, and so always a valid value.
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(std::time::SystemTime::now())) {
        headers.insert(http::header::DATE, date);
    }
    for (name, value) in head.headers.iter().filter(|(name, _)| !is_forbidden(name)) {
        headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    if let Framing::Length(length) = head.framing
        && !headers.contains_key(CONTENT_LENGTH)
        && !matches!(head.status, 204 | 304)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    // The size that clients limit: 32 bytes more for each header (RFC 9113, section 6.5.2).
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    let missing = head.size.saturating_sub(size + ":status200".len() + 32 + "x-padding".len() + 32);
    if missing > 0 {
        headers.insert("x-padding", HeaderValue::from_str(&"p".repeat(missing))?);
    }
    Ok(response)
}

impl Wire for Http2 {
    fn head(&mut self, head: &Head, packets: Option<usize>) -> io::Result<()> {
        self.packets = packets;
        let response = response(head).map_err(io::Error::other)?;
        self.stream = Some(self.respond.send_response(response, false).map_err(io::Error::other)?);
        Ok(())
    }

    async fn send(&mut self, payload: &mut BytesMut, last: bool) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        while !payload.is_empty() {
            stream.reserve_capacity(self.packets.unwrap_or(payload.len()).min(payload.len()));
            let capacity = match stream.capacity() {
                0 => poll_fn(|cx| stream.poll_capacity(cx)).await,
                ready => Some(Ok(ready)),
            };
            let capacity = match capacity {
                Some(capacity) => capacity.map_err(io::Error::other)?,
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let size = capacity.min(payload.len()).min(self.packets.unwrap_or(usize::MAX));
            let data = payload.split_to(size).freeze();
            let end = last && payload.is_empty();
            stream.send_data(data, end).map_err(io::Error::other)?;
            if end {
                return Ok(());
            }
            if self.packets.is_some() {
                // Lets the connection write this frame before the next.
                tokio::task::yield_now().await;
            }
        }
        if last {
            stream.send_data(Bytes::new(), true).map_err(io::Error::other)?;
        }
        Ok(())
    }

    async fn gone(&mut self) {
        // Either the client's reset or the connection's error: it is gone.
        let _ = match &mut self.stream {
            Some(stream) => poll_fn(|cx| stream.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
    }

    async fn reset(&mut self, begun: bool) {
        if !begun {
            return self.end(End::Reset).await;
        }
        // A reset discards what is still queued.
        sleep(BEFORE_RESET).await;
        if let Some(stream) = &mut self.stream {
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    async fn close(&mut self) {
        self.end(End::Close).await;
    }
}
