//! Keys.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// A key. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) Arc<str>);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Checks a key: trimmed, not empty, visible ASCII. What was given is never part of the error.
pub fn api_key(name: &str, key: &str) -> Result<Secret> {
    let accepted = "a key without spaces, line breaks or control characters";
    let key = key.trim();
    if key.is_empty() {
        return Err(Error::invalid(name, "an empty string", accepted));
    }
    if key.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        return Err(Error::invalid(name, "a key with 'Bearer ' before it", "the key alone"));
    }
    if let Some((place, _)) = key.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        let given = format!("a key with a character at position {place} that no header can hold");
        return Err(Error::invalid(name, given, accepted));
    }
    Ok(Secret(key.into()))
}
