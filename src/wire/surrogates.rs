//! Joins the halves of surrogate pairs that a provider splits over two deltas.

use std::borrow::Cow;

use super::text::Text;

/// The maximum number of texts that end with half of a surrogate pair at once; what ends with one beyond that gets U+FFFD
/// in its place. No answer has as many.
pub const MAX_HALVES: usize = 64;

/// The high halves that wait for the next delta of the same part of an answer. Almost always there are none. `K` says
/// which part a text belongs to.
#[derive(Debug)]
pub struct PendingSurrogates<K>(Vec<(K, u16)>);

impl<K> Default for PendingSurrogates<K> {
    fn default() -> Self {
        PendingSurrogates(Vec::new())
    }
}

impl<K: PartialEq> PendingSurrogates<K> {
    /// Whether no half waits: the next delta may be delivered as it is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a half of a part like this waits.
    pub fn has(&self, is_part: impl Fn(&K) -> bool) -> bool {
        self.0.iter().any(|(part, _)| is_part(part))
    }

    /// The text of a delta, without a high half at its end, which is kept, and with the one kept before. A half whose
    /// other half does not arrive becomes U+FFFD.
    pub fn join<'t>(&mut self, part: K, text: &'t Text<'_>) -> Cow<'t, str> {
        if (self.0.is_empty() && !text.has_halves()) || text.is_empty() {
            return Cow::Borrowed(&text.text);
        }
        if self.0.len() >= MAX_HALVES && !self.has(|known| *known == part) {
            return text.lossy();
        }
        let Some(before) = self.take(&part).into_iter().chain(text.halves.low).next() else {
            self.keep(part, text.halves.high);
            return Cow::Borrowed(&text.text);
        };
        let is_kept = text.halves.low != Some(before);
        let (high, low) = if is_kept { (Some(before), text.halves.low) } else { (None, Some(before)) };
        let mut joined = Text::joint(high, low);
        joined.push_str(&text.text);
        self.keep(part, text.halves.high);
        Cow::Owned(joined)
    }

    /// The other half did not arrive: what stands for it.
    pub fn finish(&mut self, part: &K) -> &'static str {
        if self.take(part).is_some() { "\u{FFFD}" } else { "" }
    }

    /// The parts of which a half waits.
    pub fn parts(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(part, _)| part)
    }

    /// The parts have moved.
    pub fn move_parts(&mut self, move_part: impl Fn(&mut K)) {
        self.0.iter_mut().for_each(|(part, _)| move_part(part));
    }

    /// The parts like this whose other half did not arrive.
    pub fn take_all(&mut self, is_part: impl Fn(&K) -> bool) -> Vec<K> {
        let (taken, kept) = std::mem::take(&mut self.0).into_iter().partition(|(part, _)| is_part(part));
        self.0 = kept;
        let taken: Vec<_> = taken;
        taken.into_iter().map(|(part, _)| part).collect()
    }

    fn take(&mut self, part: &K) -> Option<u16> {
        let position = self.0.iter().position(|(known, _)| known == part)?;
        Some(self.0.swap_remove(position).1)
    }

    fn keep(&mut self, part: K, half: Option<u16>) {
        self.0.extend(half.map(|half| (part, half)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    fn joined(deltas: &[&str]) -> String {
        let mut halves = PendingSurrogates::default();
        let mut text = String::new();
        for delta in deltas {
            let delta = json::string(delta).unwrap();
            text.push_str(&halves.join("text", &delta));
        }
        text + halves.finish(&"text")
    }

    #[test]
    fn halves_of_two_deltas_are_joined_and_single_ones_are_replaced() {
        assert_eq!(joined(&[r#""a\ud83d""#, r#""\ude00b""#]), "a😀b");
        assert_eq!(joined(&[r#""a\ud83d""#, r#""""#, r#""\ude00""#]), "a😀");
        assert_eq!(joined(&[r#""a\ud83d""#, r#""b""#]), "a\u{FFFD}b");
        assert_eq!(joined(&[r#""\ude00b""#]), "\u{FFFD}b");
        assert_eq!(joined(&[r#""\ud83d""#, r#""\ud83d""#, r#""\ude00""#]), "\u{FFFD}😀");
        assert_eq!(joined(&[r#""a\ud83d""#]), "a\u{FFFD}");
    }

    #[test]
    fn parts_do_not_mix() {
        let mut halves = PendingSurrogates::default();
        let (high, low) = (json::string(r#""\ud83d""#).unwrap(), json::string(r#""\ude00""#).unwrap());
        assert_eq!(halves.join((0, "text"), &high), "");
        assert_eq!(halves.join((0, "reasoning"), &low), "\u{FFFD}");
        assert_eq!(halves.join((1, "text"), &low), "\u{FFFD}");
        assert_eq!(halves.join((0, "text"), &low), "😀");
    }

    #[test]
    fn the_number_of_waiting_halves_is_bounded() {
        let mut halves = PendingSurrogates::default();
        let half = json::string(r#""\ud83d""#).unwrap();
        for part in 0..MAX_HALVES {
            assert_eq!(halves.join(part, &half), "");
        }
        assert_eq!(halves.join(MAX_HALVES, &half), "\u{FFFD}");
        assert_eq!(halves.take_all(|_| true).len(), MAX_HALVES);
    }
}
