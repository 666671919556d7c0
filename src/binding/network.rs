//! The network settings of the environment, which the JavaScript side reads.

use std::path::PathBuf;

use napi_derive::napi;

use super::errors::OrThrow;
use crate::engine::{RootCertSources, parse_certificates, set_root_cert_sources};

/// Sets the trusted authorities of the process. Only the first call has an effect. Throws if `extra` is not a
/// list of certificates, and sets nothing then.
#[napi(catch_unwind)]
pub fn trust_authorities(authorities: TrustedAuthorities) -> napi::Result<()> {
    let parse = |name: &str, pem: Option<String>| pem.map(|pem| parse_certificates(name, &pem)).transpose();
    set_root_cert_sources(RootCertSources {
        extra: parse("NODE_EXTRA_CA_CERTS", authorities.extra).or_throw()?.unwrap_or_default(),
        file: authorities.file.map(PathBuf::from),
        dirs: authorities.dirs.into_iter().map(PathBuf::from).collect(),
        bundled: parse("tls.rootCertificates", authorities.bundled).or_throw()?.unwrap_or_default(),
    });
    Ok(())
}

/// The certificate authorities that TLS trusts in addition to the system's (`extra`), instead of them (`file`,
/// `dirs`), or if there are none (`bundled`). Certificates are PEM.
#[napi(object)]
pub struct TrustedAuthorities {
    pub extra: Option<String>,
    pub file: Option<String>,
    pub dirs: Vec<String>,
    pub bundled: Option<String>,
}
