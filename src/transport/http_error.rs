//! Maps reqwest errors to [`Error`]. Their own text may contain the URL, so it is never passed on in full.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::tls_diagnostics;
use crate::error::{ConnectionFailure, Error, Kind, Phase};

/// The largest response head that is accepted, in bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// The error for a failed request. Set `tls_to_server` if a TLS handshake with the server itself may have
/// failed.
pub(super) fn from_reqwest(
    error: reqwest::Error,
    connect_timeout: Duration,
    address: &str,
    tls_to_server: bool,
) -> Error {
    let error = error.without_url();
    if error.is_timeout() {
        return connect_timed_out(connect_timeout, address);
    }
    let mut failure = ConnectionFailure::Other;
    let mut not_tls = false;
    let mut source: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(link) = source {
        if let Some(io) = link.downcast_ref::<io::Error>() {
            use io::ErrorKind as Io;
            failure = match io.kind() {
                Io::ConnectionRefused => ConnectionFailure::Refused,
                Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe => ConnectionFailure::Reset,
                Io::HostUnreachable | Io::NetworkUnreachable | Io::AddrNotAvailable => {
                    ConnectionFailure::Unreachable
                }
                Io::TimedOut => return connect_timed_out(connect_timeout, address),
                Io::UnexpectedEof => ConnectionFailure::Closed,
                _ => failure,
            };
        }
        if let Some(tls) = link.downcast_ref::<rustls::Error>() {
            failure = ConnectionFailure::Tls;
            not_tls = tls_to_server && matches!(tls, rustls::Error::InvalidMessage(_));
        }
        if let Some(hyper) = link.downcast_ref::<hyper::Error>() {
            // hyper's public API has no predicate for this error.
            if hyper.is_parse() && hyper.to_string().contains("too large") {
                return head_too_large();
            }
            if hyper.is_parse() || hyper.is_parse_status() {
                return Error::new(Kind::Malformed, format!("the response is not valid HTTP: {hyper}"));
            }
            if hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled() {
                failure = ConnectionFailure::Closed;
            }
        }
        source = match link.downcast_ref::<io::Error>() {
            // io::Error::source() skips the error that it wraps.
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => link.source(),
        };
    }
    let text = error_chain(&error);
    if failure == ConnectionFailure::Other {
        failure = failure_from_text(&text);
    }
    let ended = matches!(failure, ConnectionFailure::Reset | ConnectionFailure::Closed);
    let in_handshake = ended && tls_to_server && error.is_connect() && !text.contains("tcp connect error");
    let message = match failure {
        _ if not_tls => format!("{address} answered the TLS handshake with data that is not TLS"),
        _ if in_handshake => format!("{address} closed the connection during the TLS handshake"),
        ConnectionFailure::Refused => format!("connection refused by {address}"),
        ConnectionFailure::Reset => format!("connection reset by {address}"),
        ConnectionFailure::NotFound => format!("the host name could not be resolved: {address}"),
        ConnectionFailure::Unreachable => format!("{address} is unreachable"),
        // Usually a company's own authority.
        ConnectionFailure::Tls if text.contains("UnknownIssuer") => format!(
            "the TLS connection to {address} failed: the server's certificate is signed by an authority that is not \
             trusted; add the authority's certificate to `ca` or NODE_EXTRA_CA_CERTS"
        ),
        ConnectionFailure::Tls => format!("the TLS connection to {address} failed"),
        ConnectionFailure::Closed => {
            format!("{address} closed the connection before the response was complete")
        }
        ConnectionFailure::Other => format!("the connection to {address} failed"),
    };
    let kind = Kind::Connection(failure);
    let hint = match not_tls || in_handshake {
        true => format!("; {}", tls_diagnostics::plain_http_hint(address)),
        false => String::new(),
    };
    // The innermost cause is the informative one, but for these two it adds nothing to the message.
    let is_redundant =
        matches!(failure, ConnectionFailure::Refused | ConnectionFailure::Reset) && text.contains("os error");
    match innermost_cause(&error).filter(|_| !is_redundant) {
        Some(cause) if cause.starts_with("tunnel error") => {
            let reason = cause.trim_start_matches("tunnel error: ");
            Error::new(kind, format!("the proxy could not connect to {address} ({reason})"))
        }
        Some(cause) => Error::new(kind, format!("{message} ({cause}){hint}")),
        None => Error::new(kind, format!("{message}{hint}")),
    }
}

pub(super) fn head_too_large() -> Error {
    Error::new(Kind::ResponseTooLarge, format!("the response head exceeds {MAX_HEAD} bytes"))
}

/// The messages of an error and its causes, without repetitions.
pub(super) fn error_chain(error: &(dyn StdError + 'static)) -> String {
    let mut messages: Vec<String> = Vec::new();
    let mut source = Some(error);
    while let Some(link) = source {
        let text = link.to_string();
        if !messages.iter().any(|message| message.contains(&text)) {
            messages.push(text);
        }
        source = link.source();
    }
    messages.join(": ")
}

fn connect_timed_out(connect_timeout: Duration, address: &str) -> Error {
    let mut error = Error::timeout(Phase::Connect, connect_timeout);
    error.message = format!("{} ({address})", error.message);
    error
}

/// The failure behind an error that has no type to downcast to.
fn failure_from_text(text: &str) -> ConnectionFailure {
    if text.contains("dns error") || text.contains("failed to lookup address") {
        ConnectionFailure::NotFound
    } else if text.contains("certificate") {
        ConnectionFailure::Tls
    } else if text.contains("stream error") || text.contains("connection error") {
        // HTTP/2: RST_STREAM, GOAWAY.
        ConnectionFailure::Reset
    } else {
        ConnectionFailure::Other
    }
}

fn innermost_cause(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut link = error.source()?;
    while let Some(inner) = link.source() {
        link = inner;
    }
    Some(link.to_string())
}
