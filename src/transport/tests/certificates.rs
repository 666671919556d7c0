//! Certificates that sign themselves.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::super::http::HttpTransport;
use super::super::{HeaderMap, Method, Request, Transport, TransportOptions};
use crate::error::{ConnectionFailure, Kind, Result};

struct SelfSigned {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> SelfSigned {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    // As `openssl req -x509` makes them.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    SelfSigned { certificate: params.self_signed(&key).unwrap(), key }
}

/// A request to a server that has the first certificate and this key, from a client that trusts the others.
async fn call(server: &SelfSigned, key: &KeyPair, trusted: &[&SelfSigned]) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let signing_key = provider.key_provider.load_private_key(key).unwrap();
    // Without the check that the key belongs to the certificate.
    let certified = rustls::sign::CertifiedKey::new(vec![server.certificate.der().clone()], signing_key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(socket).await else { continue };
            let mut received = Vec::new();
            while !received.ends_with(b"question") && tls.read_buf(&mut received).await.unwrap_or(0) > 0 {}
            let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = tls.shutdown().await;
        }
    });
    let pem: String = trusted.iter().map(|trusted| trusted.certificate.pem()).collect();
    let (on_sent, _sent) = oneshot::channel();
    let request = Request {
        method: Method::POST,
        url: format!("https://localhost:{port}/v1"),
        headers: HeaderMap::new(),
        body: "question".into(),
        options: TransportOptions {
            connect_timeout: Duration::from_secs(60),
            ca: (!pem.is_empty()).then(|| pem.into()),
            ..Default::default()
        },
        on_sent,
    };
    let mut response = HttpTransport::default().send(request).await?;
    let mut text = Vec::new();
    while let Some(bytes) = response.body.next().await {
        text.extend_from_slice(&bytes?);
    }
    Ok(String::from_utf8(text).unwrap())
}

async fn tls_error(server: &SelfSigned, trusted: &[&SelfSigned]) -> String {
    let error = call(server, &server.key, trusted).await.unwrap_err();
    assert_eq!(error.kind, Kind::Connection(ConnectionFailure::Tls), "{}", error.message);
    error.message.clone()
}

#[tokio::test]
async fn a_self_signed_certificate_in_ca_is_trusted_for_its_names() {
    let authority = self_signed(&["localhost"], |_| ());
    let server = self_signed(&["localhost"], |params| params.is_ca = IsCa::NoCa);
    let explicit = self_signed(&["localhost"], |params| params.is_ca = IsCa::ExplicitNoCa);
    let other = self_signed(&["other.example"], |_| ());
    for certificate in [&authority, &server, &explicit] {
        assert_eq!(call(certificate, &certificate.key, &[&other, certificate]).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_not_in_ca_is_not_trusted() {
    let other = self_signed(&["localhost"], |_| ());
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::NoCa] {
        let server = self_signed(&["localhost"], |params| {
            params.is_ca = is_ca;
            params.distinguished_name.push(DnType::CommonName, "server");
        });
        for trusted in [vec![], vec![&other]] {
            let message = tls_error(&server, &trusted).await;
            assert!(message.contains("not trusted; add") && message.contains("`ca`"), "{message}");
        }
        // With the name of the trusted one too.
        let server = self_signed(&["localhost"], |params| params.is_ca = is_ca);
        tls_error(&server, &[&other]).await;
    }
    let server = self_signed(&["localhost"], |params| params.is_ca = IsCa::NoCa);
    let message = tls_error(&server, &[&other]).await;
    assert!(message.contains("a signature of the server, or of the authority"), "{message}");
}

#[tokio::test]
async fn the_name_and_the_dates_of_a_trusted_certificate_are_verified() {
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::NoCa] {
        let of_another = self_signed(&["other.example"], |params| params.is_ca = is_ca);
        let message = tls_error(&of_another, &[&of_another]).await;
        assert!(message.contains("is for other names"), "{message}");
        let expired = self_signed(&["localhost"], |params| {
            params.is_ca = is_ca;
            params.not_after = date_time_ymd(2020, 1, 1);
        });
        let message = tls_error(&expired, &[&expired]).await;
        assert!(message.contains("has expired"), "{message}");
        let early = self_signed(&["localhost"], |params| {
            params.is_ca = is_ca;
            (params.not_before, params.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2099, 1, 1));
        });
        let message = tls_error(&early, &[&early]).await;
        assert!(message.contains("is not valid yet"), "{message}");
    }
}

#[tokio::test]
async fn a_server_without_the_key_of_a_trusted_certificate_is_rejected() {
    let trusted = self_signed(&["localhost"], |_| ());
    let key = KeyPair::generate().unwrap();
    let error = call(&trusted, &key, &[&trusted]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Connection(ConnectionFailure::Tls));
    assert!(error.message.contains("signature"), "{}", error.message);
}

#[tokio::test]
async fn the_certificate_of_a_client_is_rejected_with_a_reason() {
    let client = self_signed(&["localhost"], |params| {
        params.is_ca = IsCa::NoCa;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let message = tls_error(&client, &[&client]).await;
    assert!(message.contains("not one for servers"), "{message}");
}
