//! Why no TLS connection came about. A host without a scheme means https, so the server behind it may be one
//! that speaks plain HTTP: some wait for more than a TLS client says first, some answer in HTTP, some close.

use std::time::Duration;

use tokio::net::TcpStream;

/// How long it is tried whether TCP connects, once a TLS connection took too long; at most the connect timeout.
const PROBE: Duration = Duration::from_millis(500);

/// What to look at where a peer does not speak TLS.
pub(super) fn hint(address: &str) -> String {
    format!("does the server speak plain HTTP? Then write http://{address}/v1")
}

/// Whether a connection is accepted there. reqwest does not tell the step that its connect timeout ended.
#[allow(clippy::disallowed_methods)] // Its time is the socket's, whatever clock the call follows.
pub(super) async fn accepts(address: &str, connect_timeout: Duration) -> bool {
    let connected = tokio::time::timeout(PROBE.min(connect_timeout), TcpStream::connect(address)).await;
    matches!(connected, Ok(Ok(_)))
}
