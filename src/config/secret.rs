//! API keys.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// A key or another text that must not be shown. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(super) Arc<str>);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Validates a key and trims it. `name` is the name of the option.
///
/// # Errors
/// An empty key, one with characters other than visible ASCII, or one that starts with `Bearer `. No error shows the key.
pub fn api_key(name: &str, key: &str) -> Result<Secret> {
    let accepted = "a key without spaces, line breaks or control characters";
    let key = key.trim();
    if key.is_empty() {
        return Err(Error::invalid(name, "an empty string", accepted));
    }
    if key.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        return Err(Error::invalid(name, "a key that starts with 'Bearer '", "just the key"));
    }
    if let Some((position, _)) = key.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        let problem =
            format!("a key with a character at position {position} that is not allowed in a header");
        return Err(Error::invalid(name, problem, accepted));
    }
    Ok(Secret(key.into()))
}
