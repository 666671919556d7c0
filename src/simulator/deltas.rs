//! A text as deltas. The same seed splits it the same way.

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};

use super::json::{escape, number};
use crate::rng::SeededRng;

/// The deltas in which a text is sent.
pub(super) enum Deltas {
    /// Deltas that end at these byte offsets. The first begins at `from`.
    Split { text: String, from: usize, ends: Vec<usize> },
    /// `count` deltas, taken in turn from the units.
    Cycle { units: Vec<String>, count: u64 },
    /// `count` deltas, each a space and its number.
    Numbered { count: u64 },
    /// `count` deltas, each the time at which it is written.
    Stamped { count: u64 },
}

/// The digits of a timestamp. A space follows them.
const STAMP_DIGITS: usize = 9;

impl Deltas {
    pub(super) fn empty() -> Self {
        Self::Split { text: String::new(), from: 0, ends: Vec::new() }
    }

    pub(super) fn exact(deltas: &[String]) -> Self {
        let mut text = String::new();
        let ends = deltas.iter().map(|delta| {
            text.push_str(delta);
            text.len()
        });
        let ends = ends.collect();
        Self::Split { text, from: 0, ends }
    }

    /// Splits a text at character boundaries: `size` characters each, or a random 1 to 8.
    pub(super) fn split(text: String, size: Option<usize>, rng: &mut SeededRng) -> Self {
        let mut next_size = || size.map_or_else(|| 1 + rng.below(8), |size| size.max(1));
        let (mut ends, mut left) = (Vec::new(), next_size());
        for (at, _) in text.char_indices().skip(1) {
            left -= 1;
            if left == 0 {
                ends.push(at);
                left = next_size();
            }
        }
        if !text.is_empty() {
            ends.push(text.len());
        }
        Self::Split { text, from: 0, ends }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Split { ends, .. } => ends.len() as u64,
            Self::Cycle { units, count } => {
                if units.is_empty() {
                    0
                } else {
                    *count
                }
            }
            Self::Numbered { count } | Self::Stamped { count } => *count,
        }
    }

    /// Writes the delta with this number into a JSON string.
    pub(super) fn write(&self, at: u64, out: &mut BytesMut) {
        match self {
            Self::Split { text, from, ends } => {
                let at = at as usize;
                let start = if at == 0 { *from } else { ends[at - 1] };
                escape(&text[start..ends[at]], out);
            }
            Self::Cycle { units, .. } => escape(&units[(at % units.len() as u64) as usize], out),
            Self::Numbered { .. } => {
                out.put_u8(b' ');
                number(at, out);
            }
            Self::Stamped { .. } => stamp(SystemTime::now(), out),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Split { text, from, .. } => text[*from..].to_owned(),
            Self::Cycle { units, count } if units.is_empty() || *count == 0 => String::new(),
            Self::Cycle { units, count } => {
                units.iter().cycle().take(*count as usize).map(String::as_str).collect()
            }
            Self::Numbered { count } => (0..*count).map(|at| format!(" {at}")).collect(),
            // Only the length of the deltas is known in advance.
            Self::Stamped { count } => " ".repeat((STAMP_DIGITS + 1) * *count as usize),
        }
    }

    /// The rest of the text from byte `from`, with the same delta boundaries.
    pub(super) fn skip(self, from: usize) -> Self {
        let (text, ends) = match self {
            Self::Split { text, ends, .. } => (text, ends),
            other => {
                let mut end = 0;
                let ends = (0..other.len()).map(|at| {
                    end += other.length(at);
                    end
                });
                (other.text(), ends.collect())
            }
        };
        let ends = ends.into_iter().filter(|&end| end > from).collect();
        Self::Split { text, from, ends }
    }

    /// The texts of the deltas, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = String> {
        (0..self.len()).map(|at| {
            let mut inside = BytesMut::new();
            self.write(at, &mut inside);
            // `write` writes the inside of a JSON string.
            serde_json::from_str(&format!("\"{}\"", String::from_utf8_lossy(&inside))).unwrap_or_default()
        })
    }

    fn length(&self, at: u64) -> usize {
        match self {
            Self::Split { from, ends, .. } => {
                let at = at as usize;
                ends[at] - if at == 0 { *from } else { ends[at - 1] }
            }
            Self::Cycle { units, .. } => units[(at % units.len() as u64) as usize].len(),
            Self::Numbered { .. } => 2 + at.checked_ilog10().unwrap_or(0) as usize,
            Self::Stamped { .. } => STAMP_DIGITS + 1,
        }
    }
}

/// Writes the last digits of a time in microseconds since 1970, and a space. The length is constant.
fn stamp(time: SystemTime, out: &mut BytesMut) {
    let mut micros = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let mut text = [b' '; STAMP_DIGITS + 1];
    for digit in text[..STAMP_DIGITS].iter_mut().rev() {
        *digit = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::rng;

    fn all(deltas: &Deltas) -> Vec<String> {
        deltas.iter().collect()
    }

    #[test]
    fn a_text_is_split_the_same_way_for_the_same_seed_and_never_inside_a_character() {
        let text = "Schäfchen 🐑🐑 zählen \"ist\"\n\\ \u{1} schön";
        for size in [None, Some(1), Some(3)] {
            let first = all(&Deltas::split(text.to_owned(), size, &mut rng::of_answer(7, 3)));
            let second = all(&Deltas::split(text.to_owned(), size, &mut rng::of_answer(7, 3)));
            assert_eq!(first, second);
            assert_eq!(first.concat(), text);
            if let Some(size) = size {
                assert!(first[..first.len() - 1].iter().all(|delta| delta.chars().count() == size));
            }
        }
        assert_ne!(rng::id(&mut rng::of_answer(1, 1), 8), rng::id(&mut rng::of_answer(1, 2), 8));
        assert_eq!(Deltas::split(String::new(), None, &mut rng::of_answer(1, 1)).len(), 0);
    }

    #[test]
    fn a_stamp_is_the_last_nine_digits_of_the_microseconds_and_a_space() {
        let mut out = BytesMut::new();
        stamp(SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_234_000_000_042), &mut out);
        assert_eq!(&out[..], b"000000042 ");
    }

    #[test]
    fn the_rest_of_a_text_keeps_its_delta_boundaries() {
        let exact = Deltas::exact(&["ab".to_owned(), "cde".to_owned(), "f".to_owned()]);
        let rest = exact.skip(3);
        assert_eq!((all(&rest), rest.text()), (vec!["de".to_owned(), "f".to_owned()], "def".to_owned()));
        let rest = Deltas::Numbered { count: 12 }.skip(19);
        assert_eq!(all(&rest), ["9", " 10", " 11"]);
        let rest = Deltas::Cycle { units: vec!["ab".to_owned(), "c".to_owned()], count: 4 }.skip(4);
        assert_eq!(all(&rest), ["b", "c"]);
    }
}
