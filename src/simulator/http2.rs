//! HTTP/2 on a socket. Each stream plays its plan in its own task.

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
use super::bodies;
use super::http1::{BEFORE_RESET, MAX_BODY, Socket};
use super::plan::{Framing, Head};
use super::play::play;
use super::record::{IncomingRequest, RecordHandle};
use super::router::ServerState;
use super::wire::Wire;

/// The limit of providers' gateways on the streams of a connection.
const MAX_STREAMS: u32 = 100;
/// How long the streams may take to notice that their connection is closed.
const NOTICE: Duration = Duration::from_secs(1);

/// How a stream ends its connection.
enum ConnectionEnd {
    /// The connection accepts no new streams.
    Goaway,
    Close,
    Reset,
}

pub(super) async fn serve(tls: TlsStream<TcpStream>, state: Arc<ServerState>, connection: u64) {
    // The connection owns the socket, so a reset needs a second handle.
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
                ConnectionEnd::Goaway => h2.graceful_shutdown(),
                end => break Some(end),
            },
            Some(_) = streams.join_next() => {}
            accepted = h2.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    streams.spawn(stream(request, respond, Arc::clone(&state), connection, ends.clone()));
                }
                // The client disconnected.
                Some(Err(_)) | None => break None,
            },
        }
    };
    match end {
        Some(ConnectionEnd::Reset) => {
            if let Ok(socket) = &handle {
                // This fails only if the connection is closed already.
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
        }
        // The bytes sent before the close must arrive, and only the connection can write them.
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
    state: Arc<ServerState>,
    connection: u64,
    ends: UnboundedSender<ConnectionEnd>,
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
    let (mut plan, record) = match read(body, &mut respond).await {
        ReadBody::Complete(body) => state.respond(IncomingRequest {
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers,
            body,
            protocol: "h2",
            connection,
        }),
        ReadBody::TooLarge => {
            let why = "The request body is larger than 32 MiB.";
            (
                answer::json(413, bodies::error(why, "invalid_request_error", None, None)),
                RecordHandle::unrecorded(),
            )
        }
        ReadBody::Gone => return,
    };
    // In HTTP/2 the end of a body does not end the connection.
    let goaway = !plan.head.keep_alive && plan.head.framing != Framing::UntilClose;
    plan.head.keep_alive = true;
    let mut wire = Http2 { respond, stream: None, packets: None, ends };
    play(&mut wire, plan, &record).await;
    if goaway {
        // Fails only if the connection is closed already.
        let _ = wire.ends.send(ConnectionEnd::Goaway);
    }
}

enum ReadBody {
    Complete(Bytes),
    TooLarge,
    Gone,
}

async fn read(mut body: RecvStream, respond: &mut SendResponse<Bytes>) -> ReadBody {
    let mut bytes = BytesMut::new();
    loop {
        let data = tokio::select! {
            data = body.data() => data,
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return ReadBody::Gone,
        };
        match data {
            None => return ReadBody::Complete(bytes.freeze()),
            Some(Err(_)) => return ReadBody::Gone,
            Some(Ok(data)) if bytes.len() + data.len() > MAX_BODY => return ReadBody::TooLarge,
            Some(Ok(data)) => {
                bytes.extend_from_slice(&data);
                if body.flow_control().release_capacity(data.len()).is_err() {
                    return ReadBody::Gone;
                }
            }
        }
    }
}

struct Http2 {
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    packets: Option<usize>,
    ends: UnboundedSender<ConnectionEnd>,
}

impl Http2 {
    /// Ends the connection, and with it this task.
    async fn end(&self, end: ConnectionEnd) {
        // Fails only if the connection is closed already: then this task is about to end too.
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
    // `fmt_http_date` always builds a valid value.
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
    // Clients limit this size, in which each header counts 32 bytes more (RFC 9113, section 6.5.2).
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

    async fn client_gone(&mut self) {
        // The result is either the client's reset or the connection's error: both mean a disconnect.
        let _ = match &mut self.stream {
            Some(stream) => poll_fn(|cx| stream.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
    }

    async fn reset(&mut self, has_sent: bool) {
        if !has_sent {
            return self.end(ConnectionEnd::Reset).await;
        }
        // A reset discards bytes that are still queued.
        sleep(BEFORE_RESET).await;
        if let Some(stream) = &mut self.stream {
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    async fn close(&mut self) {
        self.end(ConnectionEnd::Close).await;
    }
}
