//! The root certificates that TLS trusts: the system's, plus or replaced by what the environment and the caller
//! configure.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use crate::error::{ConnectionFailure, Error, Kind, LocalResource, Result};

/// The root certificates that the environment configures, the same for the whole process.
#[derive(Default)]
pub struct RootCertSources {
    /// `NODE_EXTRA_CA_CERTS`: added to the others.
    pub extra: Vec<CertificateDer<'static>>,
    /// `SSL_CERT_FILE`: replaces the system's.
    pub file: Option<PathBuf>,
    /// `SSL_CERT_DIR`, a list of directories: replaces the system's.
    pub dirs: Vec<PathBuf>,
    /// Node's own: used if the system has none.
    pub bundled: Vec<CertificateDer<'static>>,
}

impl RootCertSources {
    /// The certificates that replace the system's, if the environment names any.
    ///
    /// # Errors
    /// [`Kind::LocalResource`].
    pub(super) fn system_replacement(&self) -> Result<Option<Vec<CertificateDer<'static>>>> {
        if self.file.is_none() && self.dirs.is_empty() {
            return Ok(None);
        }
        let mut found: Vec<CertificateDer<'static>> = Vec::new();
        let mut files = Vec::new();
        for dir in &self.dirs {
            files.extend(files_in(dir)?);
        }
        for file in files.iter().chain(&self.file) {
            match CertificateDer::pem_file_iter(file) {
                Ok(certificates) => found.extend(certificates.filter_map(|certificate| certificate.ok())),
                Err(pem::Error::Io(error)) => fail_without_descriptors(&error)?,
                // Files without certificates are skipped, as in OpenSSL.
                Err(_) => {}
            }
        }
        // `SSL_CERT_DIR` usually holds each certificate more than once, and those of the file again.
        found.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        found.dedup();
        found.retain(is_trust_anchor);
        Ok(Some(found))
    }

    /// The error if no root certificate was found.
    pub(super) fn no_roots_error(&self) -> Error {
        let tls = Kind::Connection(ConnectionFailure::Tls);
        if self.file.is_none() && self.dirs.is_empty() {
            return Error::new(
                tls,
                "no CA certificates were found on this system: install ca-certificates or set SSL_CERT_FILE",
            );
        }
        let paths = self.file.iter().chain(&self.dirs).map(|path| format!("'{}'", path.display()));
        let paths: Vec<String> = paths.collect();
        Error::new(
            tls,
            format!("no certificate could be read from {} (SSL_CERT_FILE, SSL_CERT_DIR)", paths.join(", ")),
        )
    }
}

static SOURCES: OnceLock<RootCertSources> = OnceLock::new();

/// Sets the sources of the process. Call it before the first request: only the first call has an effect, as
/// Node also reads the environment once.
pub fn set_root_cert_sources(sources: RootCertSources) {
    let _ = SOURCES.set(sources);
}

pub(super) fn sources() -> &'static RootCertSources {
    SOURCES.get_or_init(RootCertSources::default)
}

/// Parses PEM certificates. Errors name `name` as the source of the text.
pub fn parse_certificates(name: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let invalid = |problem: &str| Error::invalid(name, problem, "one or more PEM certificates");
    let parsed: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = parsed.map_err(|_| invalid("text that is not PEM"))?;
    if certificates.is_empty() {
        return Err(invalid("text without a certificate"));
    }
    match certificates.iter().position(|certificate| !is_trust_anchor(certificate)) {
        None => Ok(certificates),
        Some(index) => Err(invalid(&format!("text whose certificate {} is invalid", index + 1))),
    }
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            Ok(paths.filter(|path| path.is_file()).collect())
        }
        Err(error) => fail_without_descriptors(&error).map(|()| Vec::new()),
    }
}

/// A file that cannot be read is skipped, unless this machine is the reason: what is trusted is kept for as long as the
/// process runs, so it must be complete.
pub(super) fn fail_without_descriptors(error: &io::Error) -> Result<()> {
    LocalResource::of(error).map_or(Ok(()), |resource| Err(Error::local_resource(resource)))
}

/// Whether the certificate can verify others. Some PEM blocks only look like certificates.
fn is_trust_anchor(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}
