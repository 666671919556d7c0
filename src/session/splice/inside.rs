//! Looks for the end of the delivered text inside the beginning of a continuation. A model that begins the sentence or the
//! paragraph again comes to the place where the text ended, often after a small change: what comes before is dropped.

/// How much of the end is looked for, in code points.
const LENGTH: usize = 20;
/// A shorter end says nothing.
const MIN_LENGTH: usize = 12;
/// One edit for so many code points.
const PER_EDIT: usize = 8;
/// The last code points must be the same: the rest follows them.
const EXACT: usize = 6;

/// The place where the delivered text ended in the continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The code points up to it.
    pub points: usize,
    edits: u16,
}

impl Place {
    pub fn is_exact(&self) -> bool {
        self.edits == 0
    }
}

/// An approximate search for a pattern in a text that arrives (P. H. Sellers, The theory and computation of evolutionary
/// distances, 1980): one column of the table of edit distances for each character.
pub(super) struct Inside {
    pattern: Vec<char>,
    column: Vec<u16>,
    /// The last code points of the continuation.
    last: [char; EXACT],
    read: usize,
    place: Option<Place>,
}

impl Inside {
    pub fn new(delivered: &str) -> Self {
        let mut pattern: Vec<char> = delivered.chars().rev().take(LENGTH).collect();
        pattern.reverse();
        let letters = pattern.iter().filter(|c| c.is_alphanumeric()).count();
        if pattern.len() < MIN_LENGTH || 2 * letters < pattern.len() {
            pattern.clear();
        }
        let costs = pattern.iter().scan(0, |sum, &c| {
            *sum += cost(c);
            Some(*sum)
        });
        let column = std::iter::once(0).chain(costs).collect();
        Inside { pattern, column, last: ['\0'; EXACT], read: 0, place: None }
    }

    /// Reads one character of the continuation.
    pub fn read(&mut self, c: char) {
        self.read += 1;
        if self.pattern.is_empty() {
            return;
        }
        self.last.rotate_left(1);
        self.last[EXACT - 1] = c;
        let mut diagonal = 0;
        for (at, &wanted) in self.pattern.iter().enumerate() {
            let above = self.column[at];
            let left = self.column[at + 1];
            let replaced = if is_same(wanted, c) { 0 } else { cost(wanted).max(cost(c)) };
            self.column[at + 1] = (diagonal + replaced).min(left + cost(c)).min(above + cost(wanted));
            diagonal = left;
        }
        let edits = self.column[self.pattern.len()];
        let is_close = usize::from(edits) * PER_EDIT <= self.pattern.len();
        let end = &self.pattern[self.pattern.len() - EXACT..];
        let is_better = self.place.is_none_or(|place| edits < place.edits);
        if is_close && is_better && end == self.last {
            self.place = Some(Place { points: self.read, edits });
        }
    }

    /// The best place so far.
    pub fn place(&self) -> Option<Place> {
        self.place
    }
}

/// What an edit of a character counts. A line that differs in a number is another line.
fn cost(c: char) -> u16 {
    if c.is_numeric() { 1 + (LENGTH / PER_EDIT) as u16 } else { 1 }
}

fn is_same(a: char, b: char) -> bool {
    a == b || (a.is_whitespace() && b.is_whitespace()) || a.to_lowercase().eq(b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(delivered: &str, continuation: &str) -> Option<String> {
        let mut inside = Inside::new(delivered);
        continuation.chars().for_each(|c| inside.read(c));
        inside.place().map(|place| continuation.chars().skip(place.points).collect())
    }

    #[test]
    fn the_end_of_the_text_is_found_after_a_changed_beginning() {
        let delivered = "As the last light fell, the village was lost in";
        assert_eq!(
            place(delivered, "The last light fell and the village was lost in the darkness."),
            Some(" the darkness.".into())
        );
        assert_eq!(place(delivered, "It was dark by then, and nobody was out."), None);
        assert_eq!(place("short", "not so short"), None);
        assert_eq!(place("const value0 = compu", "const value1 = compute(1, 308)"), None);
        assert_eq!(place("const value0 = compu", "konst value0 = compute(0, 9)"), Some("te(0, 9)".into()));
    }
}
