//! The network settings of the environment, which the JavaScript side reads.

use std::path::PathBuf;

use napi_derive::napi;

use super::errors::OrThrow;
use crate::engine::{self, parse_certificates};

/// Sets the sources of root certificates of the process. Only the first call has an effect. Throws if `extra` is not a
/// list of certificates, and sets nothing then.
#[napi(catch_unwind)]
pub fn set_root_cert_sources(sources: RootCertSources) -> napi::Result<()> {
    let parse = |name: &str, pem: Option<String>| pem.map(|pem| parse_certificates(name, &pem)).transpose();
    engine::set_root_cert_sources(engine::RootCertSources {
        extra: parse("NODE_EXTRA_CA_CERTS", sources.extra).or_throw()?.unwrap_or_default(),
        file: sources.file.map(PathBuf::from),
        dirs: sources.dirs.into_iter().map(PathBuf::from).collect(),
        bundled: parse("tls.rootCertificates", sources.bundled).or_throw()?.unwrap_or_default(),
    });
    Ok(())
}

/// The certificate authorities that TLS trusts in addition to the system's (`extra`), instead of them (`file`,
/// `dirs`), or if there are none (`bundled`). Certificates are PEM.
#[napi(object)]
pub struct RootCertSources {
    pub extra: Option<String>,
    pub file: Option<String>,
    pub dirs: Vec<String>,
    pub bundled: Option<String>,
}
