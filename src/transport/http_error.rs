//! Maps reqwest errors to [`Error`]. Their own text may contain the URL, so it is never passed on in full.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::{tls, tls_diagnostics};
use crate::error::{ConnectionFailure, Error, Kind, LocalResource, Phase};

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
    for link in links(&error) {
        if let Some(io) = link.downcast_ref::<io::Error>() {
            use io::ErrorKind as Io;
            if let Some(resource) = LocalResource::of(io) {
                return Error::local_resource(resource);
            }
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
        ConnectionFailure::Tls => {
            let reason = certificate_error(&error).map(certificate_problem).unwrap_or_default();
            format!("the TLS connection to {address} failed{reason}")
        }
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

/// Whether the system could not give the connection a local address: it has no port left, or none that reaches the peer.
pub(super) fn is_unavailable_address(error: &reqwest::Error) -> bool {
    let io = links(error).filter_map(|link| link.downcast_ref::<io::Error>()).last();
    io.is_some_and(|io| io.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Why a request over an established connection got no answer, although the server has not rejected it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    ConnectionLost,
    /// HTTP/2: the server shuts the connection down, or refuses the stream.
    NotProcessed,
}

/// Whether a request got no answer for one of these reasons. Any other reset of an HTTP/2 stream is the server's answer.
pub(super) fn unanswered(error: &reqwest::Error) -> Option<Unanswered> {
    if error.is_connect() || error.is_timeout() {
        return None;
    }
    let mut reason = None;
    for link in links(error) {
        // hyper reports the I/O errors of h2 as those of HTTP/1.
        if let Some(h2) = link.downcast_ref::<h2::Error>() {
            let is_shut_down = h2.is_go_away() && h2.reason() == Some(h2::Reason::NO_ERROR);
            let is_refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            // RFC 9113, section 8.7: neither was processed.
            return (is_shut_down || is_refused).then_some(Unanswered::NotProcessed);
        }
        let is_lost = match (link.downcast_ref::<io::Error>(), link.downcast_ref::<hyper::Error>()) {
            (Some(io), _) => is_loss(io.kind()),
            (_, Some(hyper)) => hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled(),
            _ => false,
        };
        if is_lost {
            reason = Some(Unanswered::ConnectionLost);
        }
    }
    reason
}

fn is_loss(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Io;
    matches!(kind, Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof)
}

pub(super) fn head_too_large() -> Error {
    Error::new(Kind::ResponseTooLarge, format!("the response head exceeds {MAX_HEAD} bytes"))
}

/// What is wrong with the server's certificate, in words that follow "the TLS connection failed".
fn certificate_problem(error: &CertificateError) -> &'static str {
    use CertificateError as Certificate;
    match error {
        // Usually a company's own authority.
        Certificate::UnknownIssuer => {
            ": the server's certificate is signed by an authority that is not trusted; add the authority's certificate to \
             `ca` or NODE_EXTRA_CA_CERTS"
        }
        error if tls::is_ca_as_end_entity(error) => {
            ": the server's certificate is self-signed and not trusted; add it to `ca` or NODE_EXTRA_CA_CERTS"
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => ": the server's certificate has expired",
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            ": the server's certificate is not valid yet; is the clock right?"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            ": the server's certificate is for other names (only subjectAltName counts)"
        }
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
            ": the certificate is not one for servers"
        }
        Certificate::Revoked => ": the server's certificate has been revoked",
        Certificate::BadSignature => {
            ": a signature of the server, or of the authority that its certificate names, is wrong"
        }
        _ => "",
    }
}

fn certificate_error(error: &reqwest::Error) -> Option<&CertificateError> {
    links(error).find_map(|link| match link.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(certificate)) => Some(certificate),
        _ => None,
    })
}

/// An error and its causes, from the outermost one.
fn links<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |link: &&'e (dyn StdError + 'static)| {
        let link: &'e (dyn StdError + 'static) = *link;
        match link.downcast_ref::<io::Error>() {
            // io::Error::source() skips the error that it wraps.
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => link.source(),
        }
    })
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
