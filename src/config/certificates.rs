//! The `ca` option.

use std::sync::Arc;

use serde_json::Value;

use super::reader::{Reader, describe};
use crate::error::{Error, Result};

/// The certificates of the `ca` option, a string or several, as one PEM text. The transport parses them and
/// reports one that is malformed.
///
/// # Errors
/// A text without a certificate.
pub fn certificates(reader: &mut Reader<'_>) -> Result<Option<Arc<str>>> {
    let accepted = "PEM certificates: a string or an array of strings";
    let Some(value) = reader.value("ca") else { return Ok(None) };
    let texts = match value {
        Value::String(pem) => vec![pem.clone()],
        Value::Array(_) => reader.strings("ca", accepted)?.unwrap_or_default(),
        other => return Err(Error::invalid("ca", describe(other), accepted)),
    };
    let pem = texts.join("\n");
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Error::invalid("ca", "text without a certificate", accepted));
    }
    Ok(Some(pem.into()))
}
