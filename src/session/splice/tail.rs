//! Finds where the start of a continuation occurs in the tail of the delivered text.

/// The end of the delivered text as a suffix array. All occurrences of a text are one range of it, and each further
/// character narrows the range by a binary search.
#[derive(Default)]
pub(super) struct Tail {
    text: String,
    suffixes: Vec<u32>,
}

/// The occurrences in a [`Tail`] of the text read so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
    low: usize,
    high: usize,
    /// The length of the text read so far, in bytes and in code points.
    pub bytes: usize,
    pub points: usize,
    first: Option<char>,
    /// The text has at least two different characters. Padding and rules (`|-----|`) prove nothing.
    pub varied: bool,
}

impl Tail {
    /// The last `window` code points of `delivered`.
    pub fn new(delivered: &str, window: usize) -> Self {
        let start = delivered.char_indices().rev().take(window).last().map_or(delivered.len(), |(at, _)| at);
        let text = delivered[start..].to_owned();
        let mut suffixes: Vec<u32> = text.char_indices().map(|(at, _)| at as u32).collect();
        let bytes = text.as_bytes();
        suffixes.sort_unstable_by(|&a, &b| bytes[a as usize..].cmp(&bytes[b as usize..]));
        Tail { text, suffixes }
    }

    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub fn cursor(&self) -> Cursor {
        Cursor { high: self.suffixes.len(), ..Cursor::default() }
    }

    /// Reads one character. Returns whether the text read so far is a suffix of the tail: an overlap.
    pub fn step(&self, cursor: &mut Cursor, c: char) -> bool {
        let mut buffer = [0; 4];
        let next = c.encode_utf8(&mut buffer).as_bytes();
        let rest = |&at: &u32| &self.text.as_bytes()[at as usize + cursor.bytes..];
        let suffixes = &self.suffixes[cursor.low..cursor.high];
        let low = suffixes.partition_point(|at| rest(at) < next);
        let count = suffixes[low..].partition_point(|at| rest(at).starts_with(next));
        *cursor = Cursor {
            low: cursor.low + low,
            high: cursor.low + low + count,
            bytes: cursor.bytes + next.len(),
            points: cursor.points + 1,
            first: cursor.first.or(Some(c)),
            varied: cursor.varied || cursor.first.is_some_and(|first| first != c),
        };
        self.is_suffix(cursor)
    }

    /// The number of occurrences of the text read so far.
    pub fn occurrences(&self, cursor: &Cursor) -> usize {
        cursor.high - cursor.low
    }

    /// The text read so far occurs before the end of the tail, so a longer overlap is possible.
    pub fn is_open(&self, cursor: &Cursor) -> bool {
        self.occurrences(cursor) > usize::from(self.is_suffix(cursor))
    }

    /// Of two suffixes with the same start, the shorter one is sorted first.
    fn is_suffix(&self, cursor: &Cursor) -> bool {
        cursor.low < cursor.high && self.suffixes[cursor.low] as usize + cursor.bytes == self.text.len()
    }

    /// The character before the suffix of this many bytes, and the first character of that suffix.
    pub fn around(&self, bytes: usize) -> (Option<char>, Option<char>) {
        let (before, suffix) = self.text.split_at(self.text.len() - bytes);
        (before.chars().next_back(), suffix.chars().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_overlaps_are_found() {
        let texts = ["abababab", "xaxbxaxb", "aaaa", "tiếng Việt tiếng", "👨‍👩‍👧👨‍👩‍👧 ok 👨‍👩"];
        for text in texts {
            let tail = Tail::new(text, 100);
            for start in text.char_indices().map(|(at, _)| at) {
                let read = format!("{}ab", &text[start..]);
                let mut cursor = tail.cursor();
                for (at, c) in read.char_indices() {
                    let found = tail.step(&mut cursor, c);
                    let prefix = &read[..at + c.len_utf8()];
                    assert_eq!(found, text.ends_with(prefix), "{prefix:?} in {text:?}");
                    let count = text.char_indices().filter(|&(i, _)| text[i..].starts_with(prefix)).count();
                    assert_eq!(tail.occurrences(&cursor), count, "{prefix:?} in {text:?}");
                }
            }
        }
    }

    #[test]
    fn the_tail_starts_at_a_character() {
        assert_eq!(Tail::new("tiếng", 3).text, "ếng");
        assert_eq!(Tail::new("tiếng", 9).text, "tiếng");
    }
}
