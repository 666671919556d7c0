//! What the environment says of the network, as the JavaScript side has read it.

use std::path::PathBuf;

use napi_derive::napi;

use super::errors::OrThrow;
use crate::engine::{RootCertSources, parse_certificates, set_root_cert_sources};

/// Whom TLS trusts beside or instead of the system's authorities. Certificates in PEM.
#[napi(object)]
pub struct TrustedAuthorities {
    pub extra: Option<String>,
    pub file: Option<String>,
    pub dirs: Vec<String>,
    pub bundled: Option<String>,
}

/// Says it for the whole process; what is said later has no effect. Throws where `extra` holds no
/// certificates, and says nothing then.
#[napi(catch_unwind)]
pub fn trust_authorities(authorities: TrustedAuthorities) -> napi::Result<()> {
    let read = |name: &str, pem: Option<String>| pem.map(|pem| parse_certificates(name, &pem)).transpose();
    set_root_cert_sources(RootCertSources {
        extra: read("NODE_EXTRA_CA_CERTS", authorities.extra).or_throw()?.unwrap_or_default(),
        file: authorities.file.map(PathBuf::from),
        dirs: authorities.dirs.into_iter().map(PathBuf::from).collect(),
        bundled: read("tls.rootCertificates", authorities.bundled).or_throw()?.unwrap_or_default(),
    });
    Ok(())
}
