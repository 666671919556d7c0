//! Where the beginning of a continuation occurs in the tail of what was delivered.

/// The last characters of the delivered text, with its suffixes in sorted order: all places where a
/// text occurs are one range, and each further character narrows it by a binary search.
#[derive(Default)]
pub(super) struct Tail {
    text: String,
    suffixes: Vec<u32>,
}

/// How far one reading of the continuation has got in a [`Tail`].
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
    low: usize,
    high: usize,
    /// What was read so far, in bytes and in code points.
    pub bytes: usize,
    pub points: usize,
    first: Option<char>,
    /// It is more than one character over and over: padding and rules (`|-----|`) are no evidence.
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

    /// Reads one character. True when what was read is a suffix of the tail: an overlap.
    pub fn step(&self, cursor: &mut Cursor, c: char) -> bool {
        let mut buffer = [0; 4];
        let wanted = c.encode_utf8(&mut buffer).as_bytes();
        let rest = |&at: &u32| &self.text.as_bytes()[at as usize + cursor.bytes..];
        let places = &self.suffixes[cursor.low..cursor.high];
        let low = places.partition_point(|at| rest(at) < wanted);
        let count = places[low..].partition_point(|at| rest(at).starts_with(wanted));
        *cursor = Cursor {
            low: cursor.low + low,
            high: cursor.low + low + count,
            bytes: cursor.bytes + wanted.len(),
            points: cursor.points + 1,
            first: cursor.first.or(Some(c)),
            varied: cursor.varied || cursor.first.is_some_and(|first| first != c),
        };
        self.is_suffix(cursor)
    }

    /// In how many places what was read occurs.
    pub fn places(&self, cursor: &Cursor) -> usize {
        cursor.high - cursor.low
    }

    /// What was read occurs, and the tail goes on after it: more has to be seen.
    pub fn is_open(&self, cursor: &Cursor) -> bool {
        self.places(cursor) > usize::from(self.is_suffix(cursor))
    }

    /// The shorter of two texts with the same beginning is sorted first.
    fn is_suffix(&self, cursor: &Cursor) -> bool {
        cursor.low < cursor.high && self.suffixes[cursor.low] as usize + cursor.bytes == self.text.len()
    }

    /// The character before a suffix of this many bytes, and the suffix's first.
    pub fn around(&self, bytes: usize) -> (Option<char>, Option<char>) {
        let (before, suffix) = self.text.split_at(self.text.len() - bytes);
        (before.chars().next_back(), suffix.chars().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_overlap_is_found_and_nothing_else() {
        let texts = ["abababab", "xaxbxaxb", "aaaa", "tiếng Việt tiếng", "👨‍👩‍👧👨‍👩‍👧 ok 👨‍👩"];
        for text in texts {
            let tail = Tail::new(text, 100);
            for begin in text.char_indices().map(|(at, _)| at) {
                let read = format!("{}ab", &text[begin..]);
                let mut cursor = tail.cursor();
                for (at, c) in read.char_indices() {
                    let found = tail.step(&mut cursor, c);
                    let prefix = &read[..at + c.len_utf8()];
                    assert_eq!(found, text.ends_with(prefix), "{prefix:?} in {text:?}");
                    let count = text.char_indices().filter(|&(i, _)| text[i..].starts_with(prefix)).count();
                    assert_eq!(tail.places(&cursor), count, "{prefix:?} in {text:?}");
                }
            }
        }
    }

    #[test]
    fn the_tail_is_cut_by_characters() {
        assert_eq!(Tail::new("tiếng", 3).text, "ếng");
        assert_eq!(Tail::new("tiếng", 9).text, "tiếng");
    }
}
