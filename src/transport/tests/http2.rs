//! HTTP/2 connections that are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::super::http::HttpTransport;
use super::super::{HeaderMap, Method, Request, Transport, TransportOptions};
use crate::error::Result;

/// How a server ends the second request on each connection.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Closed,
    ShutDown,
    StreamReset,
}

/// A server that answers the first request on each connection; and its certificate.
async fn start(end: End) -> (String, String, Arc<AtomicUsize>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/v1", listener.local_addr().unwrap().port());
    let requests = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, requests) = (acceptor.clone(), Arc::clone(&counter));
            tokio::spawn(async move {
                let mut connection =
                    h2::server::handshake(acceptor.accept(socket).await.unwrap()).await.unwrap();
                let mut first = true;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    requests.fetch_add(1, Ordering::SeqCst);
                    if std::mem::take(&mut first) {
                        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                        body.send_data(Bytes::from("ok"), true).unwrap();
                        continue;
                    }
                    match end {
                        End::Closed => return,
                        End::ShutDown => connection.abrupt_shutdown(h2::Reason::NO_ERROR),
                        End::StreamReset => respond.send_reset(h2::Reason::INTERNAL_ERROR),
                    }
                }
            });
        }
    });
    (url, cert.pem(), requests)
}

async fn post(url: &str, ca: &str) -> Result<String> {
    let (on_sent, _sent) = oneshot::channel();
    let options = TransportOptions {
        connect_timeout: Duration::from_secs(60),
        ca: Some(ca.into()),
        ..Default::default()
    };
    let request = Request {
        method: Method::POST,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: "question".into(),
        options,
        on_sent,
    };
    let mut response = HttpTransport::default().send(request).await?;
    let mut text = Vec::new();
    while let Some(bytes) = response.body.next().await {
        text.extend_from_slice(&bytes?);
    }
    Ok(String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_reused_connection_that_is_lost_or_shut_down_is_replaced_once_by_a_new_one() {
    for end in [End::Closed, End::ShutDown] {
        let (url, ca, requests) = start(end).await;
        assert_eq!(post(&url, &ca).await.unwrap(), "ok");
        assert_eq!(post(&url, &ca).await.unwrap(), "ok");
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn a_stream_that_the_server_resets_is_an_error() {
    let (url, ca, requests) = start(End::StreamReset).await;
    assert_eq!(post(&url, &ca).await.unwrap(), "ok");
    assert!(post(&url, &ca).await.is_err());
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}
