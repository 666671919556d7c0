//! The parts of a value that are secret, and the encodings in which a provider may quote them.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};

/// Shorter values are too common in text to be recognized anywhere. In bytes.
pub(super) const MIN_ANYWHERE: usize = 8;

/// The names of authentication schemes, in lower case: the credentials follow.
const SCHEMES: &[&str] =
    &["basic", "bearer", "token", "key", "apikey", "api-key", "digest", "negotiate", "hmac", "splunk"];

const PADDING: GeneralPurposeConfig =
    general_purpose::NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The secret parts of the value of a header, an option or a URL: the value itself, the credentials behind the name of a
/// scheme, the user and the password in basic authentication and in a URL, and the values in a list of `name=value`.
pub(super) fn parts(value: &str) -> Vec<String> {
    let value = value.trim();
    let mut parts = Vec::new();
    if let Some((_, rest)) = value.split_once("://") {
        let authority = rest.split('/').next().unwrap_or(rest);
        if let Some((credentials, _)) = rest.rsplit_once('@').or_else(|| authority.rsplit_once('@')) {
            // The host is not secret: errors name it.
            add_user_and_password(&mut parts, credentials);
            return parts;
        }
    }
    match value.split_once(' ') {
        Some((scheme, credentials)) if SCHEMES.contains(&&*scheme.to_ascii_lowercase()) => {
            parts.push(credentials.trim().to_owned());
            if scheme.eq_ignore_ascii_case("basic")
                && let Ok(decoded) = GeneralPurpose::new(&STANDARD, PADDING).decode(credentials.trim())
                && let Ok(pair) = String::from_utf8(decoded)
            {
                add_user_and_password(&mut parts, &pair);
            }
        }
        _ => parts.push(value.to_owned()),
    }
    let pairs = value.split([';', ',', ' ', '&']).filter_map(|pair| pair.split_once('='));
    let values = pairs.map(|(_, value)| value.trim_matches('"')).filter(|value| value.len() >= MIN_ANYWHERE);
    parts.extend(values.map(str::to_owned));
    parts
}

fn add_user_and_password(parts: &mut Vec<String>, pair: &str) {
    parts.push(pair.to_owned());
    if let Some((user, password)) = pair.split_once(':') {
        parts.push(user.to_owned());
        parts.push(password.to_owned());
    }
}

/// What stands in a text that contains this secret in base64, whatever is encoded before and behind it, or in
/// hexadecimal digits; and what is left of characters that are not ASCII when they are read in another encoding.
pub(super) fn encodings(secret: &str) -> Vec<String> {
    let mut encodings = vec![secret.bytes().map(|byte| format!("{byte:02x}")).collect()];
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        // A character of base64 is six bits. Those that also have bits of the neighbors are left out.
        let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        let encode = |alphabet| GeneralPurpose::new(alphabet, PADDING).encode(&bytes)[from..to].to_owned();
        let (standard, url_safe) = (encode(&STANDARD), encode(&URL_SAFE));
        if url_safe != standard {
            encodings.push(url_safe);
        }
        encodings.push(standard);
    }
    if !secret.is_ascii() {
        encodings.push(secret.bytes().map(char::from).collect());
        encodings.push(secret.chars().map(|c| if c.is_ascii() { c } else { '\u{FFFD}' }).collect());
    }
    encodings
}
