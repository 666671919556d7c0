//! Whether a request got a new connection or one that had been used before. Neither reqwest nor hyper says it, but both make
//! new connections inside the future of the request that waits for one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    /// Of the request that is being polled: whether a connection was made for it.
    static CONNECTED: Arc<AtomicBool>;
}

/// Runs the future of a request over a client that has a [`ConnectionLayer`]. Returns also whether it made a connection.
pub(super) async fn observe<F: Future>(request: F) -> (F::Output, bool) {
    let connected = Arc::new(AtomicBool::new(false));
    let output = CONNECTED.scope(Arc::clone(&connected), request).await;
    (output, connected.load(Ordering::Relaxed))
}

/// Reports new connections to [`observe`].
#[derive(Clone, Copy)]
pub(super) struct ConnectionLayer;

impl<S> Layer<S> for ConnectionLayer {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector { inner }
    }
}

#[derive(Clone)]
pub(super) struct Connector<S> {
    inner: S,
}

impl<S, R> Service<R> for Connector<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Connecting<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        Connecting { connecting: Box::pin(self.inner.call(request)) }
    }
}

pub(super) struct Connecting<T, E> {
    connecting: BoxFuture<'static, Result<T, E>>,
}

impl<T, E> Future for Connecting<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        let connected = ready!(self.connecting.as_mut().poll(context));
        if connected.is_ok() {
            // Outside of a request, the connection is made for the pool: the request got another one meanwhile.
            let _ = CONNECTED.try_with(|connected| connected.store(true, Ordering::Relaxed));
        }
        Poll::Ready(connected)
    }
}
