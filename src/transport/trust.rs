//! Whom TLS trusts: the system's authorities, and what the environment and the caller add.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Connection, Error, Kind, Result};

/// What the environment says of the authorities; the same for the whole process.
#[derive(Default)]
pub struct Environment {
    /// `NODE_EXTRA_CA_CERTS`: beside the others.
    pub extra: Vec<CertificateDer<'static>>,
    /// `SSL_CERT_FILE`: instead of the system's.
    pub file: Option<PathBuf>,
    /// `SSL_CERT_DIR`, which may name several: instead of the system's.
    pub dirs: Vec<PathBuf>,
    /// Used where the system has none: Node's own.
    pub bundled: Vec<CertificateDer<'static>>,
}

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// Tells what the environment says, before the first request. Node reads it once; so do we: what
/// comes later has no effect.
pub fn set_environment(environment: Environment) {
    let _ = ENVIRONMENT.set(environment);
}

pub(super) fn environment() -> &'static Environment {
    ENVIRONMENT.get_or_init(Environment::default)
}

impl Environment {
    /// The authorities that stand in for the system's, where the environment names some.
    pub(super) fn instead(&self) -> Option<Vec<CertificateDer<'static>>> {
        if self.file.is_none() && self.dirs.is_empty() {
            return None;
        }
        // `SSL_CERT_DIR` mostly holds each certificate more than once, and those of the file again.
        let mut found: Vec<CertificateDer<'static>> = Vec::new();
        let files = self.dirs.iter().flat_map(|dir| entries(dir)).chain(self.file.clone());
        for file in files {
            // A file that holds something else is passed over, as OpenSSL does.
            let Ok(read) = CertificateDer::pem_file_iter(&file) else { continue };
            found.extend(read.filter_map(|certificate| certificate.ok()));
        }
        found.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        found.dedup();
        found.retain(is_authority);
        Some(found)
    }

    /// The error where nothing is trusted at all.
    pub(super) fn nobody(&self) -> Error {
        let tls = Kind::Connection(Connection::Tls);
        if self.file.is_none() && self.dirs.is_empty() {
            return Error::new(
                tls,
                "no certificates of authorities were found on this system: install ca-certificates, or name a file in SSL_CERT_FILE",
            );
        }
        let places = self.file.iter().chain(&self.dirs).map(|path| format!("'{}'", path.display()));
        let places: Vec<String> = places.collect();
        Error::new(
            tls,
            format!("no certificate could be read from {} (SSL_CERT_FILE, SSL_CERT_DIR)", places.join(", ")),
        )
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect()
}

/// It can be used to verify others: what merely looks like a certificate cannot.
fn is_authority(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

/// The certificates of a PEM text; `name` is how errors name where it came from.
pub fn certificates(name: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let bad = |given: &str| Error::invalid(name, given, "one or more certificates in PEM");
    let read: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = read.map_err(|_| bad("a text that is no PEM"))?;
    if certificates.is_empty() {
        return Err(bad("a text without a certificate"));
    }
    match certificates.iter().position(|certificate| !is_authority(certificate)) {
        None => Ok(certificates),
        Some(at) => Err(bad(&format!("a text whose certificate number {} is broken", at + 1))),
    }
}
