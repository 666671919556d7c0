//! Text in pieces, split the same way for the same seed, and written as JSON without a tree.

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};

/// A small generator with a fixed sequence (SplitMix64, Steele et al. 2014), so that an answer
/// stays the same from one version of a random number crate to the next.
pub(super) struct Seeded(u64);

impl Seeded {
    pub(super) fn new(seed: u64, index: u64) -> Self {
        let mut mixed = Self(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95));
        mixed.next();
        mixed
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Letters and digits, as in the ids of OpenAI.
    pub(super) fn id(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length).map(|_| char::from(LETTERS[(self.next() % 62) as usize])).collect()
    }
}

/// A text as the pieces in which it is sent.
pub(super) enum Pieces {
    /// The pieces end at these bytes; the first begins at `from`.
    Split { text: String, from: usize, ends: Vec<usize> },
    /// So many pieces, taken in turn from these.
    Cycle { units: Vec<String>, count: u64 },
    /// So many pieces, each a space and its number.
    Numbered { count: u64 },
    /// So many pieces, each the time at which it is written.
    Stamped { count: u64 },
}

/// The digits of a stamp; a space follows them.
const STAMP_DIGITS: usize = 9;

impl Pieces {
    pub(super) fn none() -> Self {
        Self::Split { text: String::new(), from: 0, ends: Vec::new() }
    }

    pub(super) fn exact(pieces: &[String]) -> Self {
        let mut text = String::new();
        let ends = pieces.iter().map(|piece| {
            text.push_str(piece);
            text.len()
        });
        let ends = ends.collect();
        Self::Split { text, from: 0, ends }
    }

    /// Splits on character boundaries: `size` characters each, or 1 to 8 as the seed has it.
    pub(super) fn split(text: String, size: Option<usize>, seeded: &mut Seeded) -> Self {
        let mut next_size = || size.map_or_else(|| 1 + (seeded.next() % 8) as usize, |size| size.max(1));
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

    /// Writes piece `at` into a JSON string.
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
            // Of its pieces only the length is known beforehand.
            Self::Stamped { count } => " ".repeat((STAMP_DIGITS + 1) * *count as usize),
        }
    }

    /// The rest from byte `from` of the text, with the piece boundaries as they were.
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

/// Writes `text` as the inside of a JSON string.
pub(super) fn escape(text: &str, out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.put_u8(HEX[usize::from(byte >> 4)]);
                out.put_u8(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Writes the last digits of a time in microseconds since 1970, and a space: always the same length.
fn stamp(time: SystemTime, out: &mut BytesMut) {
    let mut micros = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let mut text = [b' '; STAMP_DIGITS + 1];
    for digit in text[..STAMP_DIGITS].iter_mut().rev() {
        *digit = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
    out.extend_from_slice(&text);
}

/// Writes a number in decimal.
pub(super) fn number(mut value: u64, out: &mut BytesMut) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &Pieces) -> Vec<String> {
        let one = |at| {
            let mut out = BytesMut::new();
            pieces.write(at, &mut out);
            serde_json::from_str(&format!("\"{}\"", String::from_utf8_lossy(&out))).expect("a JSON string")
        };
        (0..pieces.len()).map(one).collect()
    }

    #[test]
    fn a_text_is_split_the_same_way_for_the_same_seed_and_never_inside_a_character() {
        let text = "Schäfchen 🐑🐑 zählen \"ist\"\n\\ \u{1} schön";
        for size in [None, Some(1), Some(3)] {
            let first = all(&Pieces::split(text.to_owned(), size, &mut Seeded::new(7, 3)));
            let second = all(&Pieces::split(text.to_owned(), size, &mut Seeded::new(7, 3)));
            assert_eq!(first, second);
            assert_eq!(first.concat(), text);
            if let Some(size) = size {
                assert!(first[..first.len() - 1].iter().all(|piece| piece.chars().count() == size));
            }
        }
        assert_ne!(Seeded::new(1, 1).id(8), Seeded::new(1, 2).id(8));
        assert_eq!(Pieces::split(String::new(), None, &mut Seeded::new(1, 1)).len(), 0);
    }

    #[test]
    fn a_stamp_is_the_last_nine_digits_of_the_microseconds_and_a_space() {
        let mut out = BytesMut::new();
        stamp(SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_234_000_000_042), &mut out);
        assert_eq!(&out[..], b"000000042 ");
    }

    #[test]
    fn the_rest_of_a_text_keeps_its_piece_boundaries() {
        let exact = Pieces::exact(&["ab".to_owned(), "cde".to_owned(), "f".to_owned()]);
        let rest = exact.skip(3);
        assert_eq!((all(&rest), rest.text()), (vec!["de".to_owned(), "f".to_owned()], "def".to_owned()));
        let rest = Pieces::Numbered { count: 12 }.skip(19);
        assert_eq!(all(&rest), ["9", " 10", " 11"]);
        let rest = Pieces::Cycle { units: vec!["ab".to_owned(), "c".to_owned()], count: 4 }.skip(4);
        assert_eq!(all(&rest), ["b", "c"]);
    }
}
