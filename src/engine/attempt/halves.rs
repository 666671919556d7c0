//! Joins the halves of surrogate pairs that a provider splits over two deltas.

use std::borrow::Cow;

use crate::wire::chat::Text;

/// The part of a choice that a text belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Content,
    Reasoning,
    Refusal,
    /// The arguments of the tool call at this position.
    Arguments(usize),
}

/// The high halves that wait for the next delta of the same part. Almost always there are none.
#[derive(Debug, Default)]
pub(super) struct PendingHalves(Vec<(u32, Part, u16)>);

impl PendingHalves {
    /// Whether no half waits: the next delta may be delivered as it is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a half of this choice waits.
    pub fn has(&self, choice: u32) -> bool {
        self.0.iter().any(|(of, part, _)| *of == choice && !matches!(part, Part::Arguments(_)))
    }

    /// The text of a delta, without a high half at its end, which is kept, and with the one kept before. A half whose
    /// other half does not arrive becomes U+FFFD.
    pub fn join<'t>(&mut self, choice: u32, part: Part, text: &'t Text<'_>) -> Cow<'t, str> {
        if (self.0.is_empty() && !text.has_halves()) || text.is_empty() {
            return Cow::Borrowed(&text.text);
        }
        let Some(before) = self.take(choice, part).into_iter().chain(text.halves.low).next() else {
            self.keep(choice, part, text.halves.high);
            return Cow::Borrowed(&text.text);
        };
        let is_kept = text.halves.low != Some(before);
        let (high, low) = if is_kept { (Some(before), text.halves.low) } else { (None, Some(before)) };
        let mut joined = Text::joint(high, low);
        joined.push_str(&text.text);
        self.keep(choice, part, text.halves.high);
        Cow::Owned(joined)
    }

    /// The other half did not arrive: what stands for it.
    pub fn finish(&mut self, choice: u32, part: Part) -> &'static str {
        if self.take(choice, part).is_some() { "\u{FFFD}" } else { "" }
    }

    fn take(&mut self, choice: u32, part: Part) -> Option<u16> {
        let position = self.0.iter().position(|(of, known, _)| (*of, *known) == (choice, part))?;
        Some(self.0.swap_remove(position).2)
    }

    fn keep(&mut self, choice: u32, part: Part, half: Option<u16>) {
        self.0.extend(half.map(|half| (choice, part, half)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json;

    fn joined(deltas: &[&str]) -> String {
        let mut halves = PendingHalves::default();
        let mut text = String::new();
        for delta in deltas {
            let delta = json::string(delta).unwrap();
            text.push_str(&halves.join(0, Part::Content, &delta));
        }
        text + halves.finish(0, Part::Content)
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
        let mut halves = PendingHalves::default();
        let (high, low) = (json::string(r#""\ud83d""#).unwrap(), json::string(r#""\ude00""#).unwrap());
        assert_eq!(halves.join(0, Part::Content, &high), "");
        assert_eq!(halves.join(0, Part::Reasoning, &low), "\u{FFFD}");
        assert_eq!(halves.join(1, Part::Content, &low), "\u{FFFD}");
        assert_eq!(halves.join(0, Part::Content, &low), "😀");
    }
}
