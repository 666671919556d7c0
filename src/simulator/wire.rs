//! The interface of a protocol: how one response is sent.

use std::future::Future;
use std::io;

use bytes::BytesMut;

use super::plan::Head;

/// How a protocol sends one response.
pub(super) trait Wire: Send {
    /// Sets the head, which is sent with the next bytes.
    fn head(&mut self, head: &Head, packets: Option<usize>) -> io::Result<()>;
    /// Writes the payload and, if it is the last one, the end of the body.
    fn send(&mut self, payload: &mut BytesMut, last: bool) -> impl Future<Output = io::Result<()>> + Send;
    /// Returns when the client has disconnected.
    fn client_gone(&mut self) -> impl Future<Output = ()> + Send;
    /// Resets the stream or the connection. `has_sent` says whether bytes were sent, which must arrive first.
    fn reset(&mut self, has_sent: bool) -> impl Future<Output = ()> + Send;
    /// Closes the connection without ending the answer.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}
