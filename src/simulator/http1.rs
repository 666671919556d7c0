//! HTTP/1.1 on a socket: reads requests one after the other, and plays their plans.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memmem};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::answer;
use super::bodies;
use super::plan::{Framing, Head};
use super::play::{AfterResponse, play};
use super::record::{IncomingRequest, RecordHandle};
use super::router::ServerState;
use super::wire::Wire;

const MAX_HEAD: usize = 64 * 1024;
pub(super) const MAX_BODY: usize = 32 * 1024 * 1024;
/// How many bytes a client may send ahead during an answer. With more, its disconnect is noticed later.
const MAX_AHEAD: usize = 256 * 1024;
/// The wait before a reset, which can discard bytes that the client has not read yet.
pub(super) const BEFORE_RESET: Duration = Duration::from_millis(20);
/// How long a closed connection is kept so that the client can read the last bytes.
const LINGER: Duration = Duration::from_secs(1);

/// A byte stream over TCP, plain or encrypted.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

/// Makes dropping the socket a TCP reset.
pub(super) fn arm_reset(tcp: &TcpStream) {
    // This fails only if the connection is closed already.
    let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

pub(super) async fn serve<S: Socket>(mut socket: S, state: Arc<ServerState>, connection: u64) {
    let mut ahead = BytesMut::new();
    loop {
        let (mut plan, record, keep_alive, is_http10) = match read(&mut socket, &mut ahead, connection).await
        {
            Ok(request) => {
                let (keep_alive, is_http10) = (request.keep_alive, request.is_http10);
                let (plan, record) = state.respond(request.incoming);
                (plan, record, keep_alive, is_http10)
            }
            Err(ReadError::Gone) => return,
            Err(ReadError::Rejected(status, why)) => {
                let body = bodies::error(why, "invalid_request_error", None, None);
                (answer::json(status, body), RecordHandle::unrecorded(), false, false)
            }
        };
        plan.head.keep_alive &= keep_alive;
        if is_http10 && plan.head.framing == Framing::Chunked {
            (plan.head.framing, plan.head.keep_alive) = (Framing::UntilClose, false);
        }
        let mut wire = Http1 {
            socket: &mut socket,
            ahead: &mut ahead,
            out: BytesMut::new(),
            chunked: false,
            packets: None,
        };
        if play(&mut wire, plan, &record).await == AfterResponse::Close {
            return;
        }
    }
}

struct Request {
    incoming: IncomingRequest,
    keep_alive: bool,
    /// HTTP/1.0 has no chunked encoding.
    is_http10: bool,
}

enum ReadError {
    /// The client disconnected.
    Gone,
    /// The status and the message of the rejection.
    Rejected(u16, &'static str),
}

async fn fill<S: Socket>(socket: &mut S, into: &mut BytesMut, wanted: usize) -> Result<(), ReadError> {
    into.reserve(wanted.clamp(4096, 256 * 1024));
    match socket.read_buf(into).await {
        Ok(0) | Err(_) => Err(ReadError::Gone),
        Ok(_) => Ok(()),
    }
}

async fn read<S: Socket>(
    socket: &mut S,
    ahead: &mut BytesMut,
    connection: u64,
) -> Result<Request, ReadError> {
    let mut searched = 0_usize;
    let end = loop {
        let found = memmem::find(&ahead[searched..], b"\r\n\r\n").map(|at| searched + at);
        if let Some(end) = found.filter(|&end| end <= MAX_HEAD) {
            break end;
        }
        if ahead.len() > MAX_HEAD {
            return Err(ReadError::Rejected(431, "The request head is larger than 64 KiB."));
        }
        searched = ahead.len().saturating_sub(3);
        fill(socket, ahead, 0).await?;
    };
    let head = ahead.split_to(end + 4);
    let malformed = ReadError::Rejected(400, "The request head is malformed.");
    let Some((mut request, length)) = parse(&head[..end], connection) else { return Err(malformed) };
    if request.incoming.header("expect").is_some_and(|e| e.eq_ignore_ascii_case("100-continue")) {
        socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| ReadError::Gone)?;
    }
    request.incoming.body = match length {
        Length::Bytes(0) => Bytes::new(),
        Length::Bytes(length) if length > MAX_BODY => return Err(TOO_LARGE),
        Length::Bytes(length) => {
            while ahead.len() < length {
                fill(socket, ahead, length - ahead.len()).await?;
            }
            // A copy, so that recording a short body does not keep a large buffer alive.
            let body = Bytes::copy_from_slice(&ahead[..length]);
            let _ = ahead.split_to(length);
            body
        }
        Length::Chunked => read_chunks(socket, ahead).await?,
    };
    Ok(request)
}

const TOO_LARGE: ReadError = ReadError::Rejected(413, "The request body is larger than 32 MiB.");

async fn line<S: Socket>(socket: &mut S, ahead: &mut BytesMut) -> Result<BytesMut, ReadError> {
    loop {
        if let Some(at) = memchr(b'\n', ahead) {
            let mut line = ahead.split_to(at + 1);
            line.truncate(at);
            if line.last() == Some(&b'\r') {
                line.truncate(at - 1);
            }
            return Ok(line);
        }
        if ahead.len() > MAX_HEAD {
            return Err(ReadError::Rejected(400, "A chunk's size line is too long."));
        }
        fill(socket, ahead, 0).await?;
    }
}

async fn read_chunks<S: Socket>(socket: &mut S, ahead: &mut BytesMut) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    loop {
        let line_of_size = line(socket, ahead).await?;
        let digits = line_of_size[..].split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size else { return Err(ReadError::Rejected(400, "A chunk has no size.")) };
        if size > MAX_BODY - body.len() {
            return Err(TOO_LARGE);
        }
        if size == 0 {
            while !line(socket, ahead).await?.is_empty() {}
            return Ok(body.freeze());
        }
        while ahead.len() < size + 2 {
            fill(socket, ahead, size + 2 - ahead.len()).await?;
        }
        body.extend_from_slice(&ahead[..size]);
        if &ahead[size..size + 2] != b"\r\n" {
            return Err(ReadError::Rejected(400, "A chunk is longer than its size."));
        }
        let _ = ahead.split_to(size + 2);
    }
}

enum Length {
    Bytes(usize),
    Chunked,
}

fn parse(head: &[u8], connection: u64) -> Option<(Request, Length)> {
    // fetch sends header values as Latin-1, others send UTF-8.
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let mut lines = head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).skip_while(|line| line.is_empty());
    let first = text(lines.next()?);
    let mut words = first.split(' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let is_http10 = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return None,
    };
    let mut headers = Vec::new();
    for line in lines {
        let colon = memchr(b':', line)?;
        headers.push((text(&line[..colon]).to_ascii_lowercase(), text(line[colon + 1..].trim_ascii())));
    }
    let incoming = IncomingRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body: Bytes::new(),
        protocol: "http/1.1",
        connection,
    };
    let chunked =
        incoming.header("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().ends_with("chunked"));
    let length = match incoming.header("content-length") {
        _ if chunked => Length::Chunked,
        Some(length) => Length::Bytes(length.parse().ok()?),
        None => Length::Bytes(0),
    };
    let connection_header = incoming.header("connection").map(str::to_ascii_lowercase).unwrap_or_default();
    let keep_alive = if is_http10 {
        connection_header.contains("keep-alive")
    } else {
        !connection_header.contains("close")
    };
    Some((Request { incoming, keep_alive, is_http10 }, length))
}

struct Http1<'a, S> {
    socket: &'a mut S,
    ahead: &'a mut BytesMut,
    out: BytesMut,
    chunked: bool,
    packets: Option<usize>,
}

impl<S: Socket> Http1<'_, S> {
    async fn write(&mut self) -> io::Result<()> {
        let written = match self.packets {
            None => self.socket.write_all(&self.out).await,
            Some(size) => {
                for packet in self.out.chunks(size) {
                    self.socket.write_all(packet).await?;
                    self.socket.flush().await?;
                    // Lets the client read before the next packet is coalesced with this one.
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
        };
        written?;
        self.out.clear();
        self.socket.flush().await
    }
}

impl<S: Socket> Wire for Http1<'_, S> {
    fn head(&mut self, head: &Head, packets: Option<usize>) -> io::Result<()> {
        self.packets = packets;
        let out = &mut self.out;
        let mut line = |parts: &[&str]| {
            parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
            out.extend_from_slice(b"\r\n");
        };
        line(&["HTTP/1.1 ", &head.status.to_string(), " ", bodies::reason(head.status)]);
        line(&["date: ", &httpdate::fmt_http_date(SystemTime::now())]);
        for (name, value) in &head.headers {
            line(&[name, ": ", value]);
        }
        // A scenario may lie about the length.
        let framed =
            |(name, _): &(_, _)| matches!(AsRef::as_ref(name), "content-length" | "transfer-encoding");
        match head.framing {
            Framing::Length(length) => {
                if !head.headers.iter().any(framed) && !matches!(head.status, 204 | 304) {
                    line(&["content-length: ", &length.to_string()]);
                }
            }
            Framing::Chunked => {
                line(&["transfer-encoding: chunked"]);
                self.chunked = true;
            }
            Framing::UntilClose => {}
        }
        if !head.keep_alive {
            line(&["connection: close"]);
        }
        const PADDING: &str = "x-padding: ";
        let missing = head.size.saturating_sub(out.len() + PADDING.len() + 4);
        if missing > 0 {
            out.extend_from_slice(PADDING.as_bytes());
            out.resize(out.len() + missing, b'p');
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    async fn send(&mut self, payload: &mut BytesMut, last: bool) -> io::Result<()> {
        if !payload.is_empty() {
            if self.chunked {
                self.out.extend_from_slice(format!("{:x}\r\n", payload.len()).as_bytes());
            }
            self.out.extend_from_slice(payload);
            if self.chunked {
                self.out.extend_from_slice(b"\r\n");
            }
            payload.clear();
        }
        if last && self.chunked {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        if self.out.is_empty() { Ok(()) } else { self.write().await }
    }

    async fn client_gone(&mut self) {
        while self.ahead.len() < MAX_AHEAD {
            if fill(self.socket, self.ahead, 0).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    }

    async fn reset(&mut self, has_sent: bool) {
        if has_sent {
            sleep(BEFORE_RESET).await;
        }
        arm_reset(self.socket.tcp());
    }

    async fn close(&mut self) {
        if self.socket.shutdown().await.is_err() {
            return;
        }
        // Dropping a socket with unread bytes would reset it, and discard what was sent to the client.
        let mut rest = BytesMut::new();
        let drain = async {
            while fill(self.socket, &mut rest, 0).await.is_ok() {
                rest.clear();
            }
        };
        let _ = timeout(LINGER, drain).await;
    }
}
