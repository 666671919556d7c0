//! The random numbers of an answer, and the ids made of them.

use crate::rng::SeededRng;

/// The generator of one answer: `index` counts the requests that share a seed.
pub(super) fn of_answer(seed: u64, index: u64) -> SeededRng {
    let mut rng = SeededRng::new(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95));
    rng.next_u64();
    rng
}

/// A string of letters and digits, like the ids of OpenAI.
pub(super) fn id(rng: &mut SeededRng, length: usize) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..length).map(|_| char::from(LETTERS[rng.below(LETTERS.len())])).collect()
}
