//! Identifiers that the engine generates.

use rand::{Rng, RngExt};

use crate::engine::time::clock;

/// 128 random bits in hexadecimal.
pub fn random_id(prefix: &str, rng: &mut dyn Rng) -> String {
    format!("{prefix}{:032x}", rng.random::<u128>())
}

/// A new session id: `session_`, the milliseconds since the epoch, `_` and nine characters of base 36, the
/// form of the HolySheep tutorials.
pub fn session_id(rng: &mut dyn Rng) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let random: String = (0..9).map(|_| char::from(DIGITS[rng.random_range(0..36)])).collect();
    format!("session_{}_{random}", clock::now())
}
