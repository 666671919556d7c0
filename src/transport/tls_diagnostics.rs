//! Explains a failed TLS handshake. A base URL without a scheme means https, so the server may speak plain HTTP.
//! Such servers behave differently: some wait for more bytes than a TLS client sends first, some answer in HTTP,
//! some close the connection.

use std::time::Duration;

use tokio::net::TcpStream;

/// Limits the TCP probe that follows a connect timeout, as the connect timeout itself does.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// The advice to add to an error if the peer does not speak TLS.
pub(super) fn plain_http_hint(address: &str) -> String {
    format!("does the server speak plain HTTP? If so, use http://{address}/v1")
}

/// Whether the address accepts TCP connections. reqwest does not report which step its connect timeout
/// interrupted.
#[allow(clippy::disallowed_methods)] // A socket follows real time, whatever clock the call follows.
pub(super) async fn accepts_tcp(address: &str, connect_timeout: Duration) -> bool {
    let connect = TcpStream::connect(address);
    matches!(tokio::time::timeout(PROBE_TIMEOUT.min(connect_timeout), connect).await, Ok(Ok(_)))
}
