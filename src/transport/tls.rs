//! Which certificates of servers are accepted: those that the root certificates vouch for, and those that the caller trusts
//! themselves.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use super::root_certs;
use crate::error::{Error, Kind, Result};

/// The TLS settings for a client that trusts these certificates (the `ca` option) in addition to the system's. The first call
/// loads the system's certificates, which takes tens of milliseconds.
pub(super) fn config(ca: Option<&str>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let sources = root_certs::sources();
    let mut callers_certs = sources.extra.clone();
    if let Some(pem) = ca {
        callers_certs.extend(root_certs::parse_certificates("ca", pem)?);
    }
    let inner: Arc<dyn ServerCertVerifier> = match sources.system_replacement()? {
        Some(roots) => {
            let roots: Vec<_> = roots.into_iter().chain(callers_certs.iter().cloned()).collect();
            if roots.is_empty() {
                return Err(sources.no_roots_error());
            }
            roots_verifier(roots, &provider)?
        }
        None => match system_verifier(&callers_certs, &provider)? {
            Some(verifier) => verifier,
            None => {
                let bundled: Vec<_> = sources.bundled.iter().chain(&callers_certs).cloned().collect();
                if bundled.is_empty() {
                    return Err(sources.no_roots_error());
                }
                roots_verifier(bundled, &provider)?
            }
        },
    };
    let verifier = TrustedCertificates { inner, callers_certs, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup_error)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts the system's certificates and the caller's. `None` if there are neither.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn system_verifier(
    callers_certs: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ServerCertVerifier>>> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        if let rustls_native_certs::ErrorKind::Io { inner, .. } = &error.kind {
            root_certs::fail_without_descriptors(inner)?;
        }
    }
    let mut store = store_of(callers_certs.to_vec())?;
    // Systems have certificates that cannot be read.
    store.add_parsable_certificates(loaded.certs);
    Ok(match store.is_empty() {
        true => None,
        false => Some(verifier_of(store, provider)?),
    })
}

/// Trusts the system's certificates and the caller's.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn system_verifier(
    callers_certs: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ServerCertVerifier>>> {
    use rustls_platform_verifier::Verifier;
    let provider = Arc::clone(provider);
    let verifier = match callers_certs.is_empty() {
        true => Verifier::new(provider),
        false => Verifier::new_with_extra_roots(callers_certs.to_vec(), provider),
    };
    Ok(Some(Arc::new(verifier.map_err(setup_error)?)))
}

fn roots_verifier(
    roots: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>> {
    verifier_of(store_of(roots)?, provider)
}

fn store_of(roots: Vec<CertificateDer<'static>>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(setup_error)?;
    }
    Ok(store)
}

fn verifier_of(store: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(setup_error)
}

fn setup_error(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Internal, format!("TLS could not be set up: {error}"))
}

/// Accepts what `inner` accepts, and a server's certificate that is itself one of the caller's. webpki does not accept
/// such a certificate if it may sign others (`CA:TRUE`, as `openssl req -x509` makes it); OpenSSL, and so Node, does.
#[derive(Debug)]
struct TrustedCertificates {
    inner: Arc<dyn ServerCertVerifier>,
    /// `ca` and NODE_EXTRA_CA_CERTS: not the system's.
    callers_certs: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl TrustedCertificates {
    /// Verifies a server's certificate that is one of the caller's: its dates and its names. Nobody else has to vouch
    /// for it.
    fn verify_callers_cert(
        &self,
        certificate: &CertificateDer<'_>,
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        let only = vec![certificate.clone().into_owned()];
        let verifier =
            roots_verifier(only, &self.provider).map_err(|error| TlsError::General(error.message.clone()))?;
        match verifier.verify_server_cert(certificate, &[], server_name, ocsp_response, now) {
            // webpki verifies the dates before it reports this, and the name after it.
            Err(TlsError::InvalidCertificate(error)) if is_ca_as_end_entity(&error) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }
}

impl ServerCertVerifier for TrustedCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(_) if self.callers_certs.iter().any(|cert| cert.as_ref() == end_entity.as_ref()) => {
                self.verify_callers_cert(end_entity, server_name, ocsp_response, now)
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether the certificate of a server is one that signs others.
pub(super) fn is_ca_as_end_entity(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}
