//! The position in a stream that its provider keeps, by the numbers of its events: what was delivered, what was read, and
//! what a repeated or a missing number means.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::codec::{Admission, MAX_ID, StreamPosition};

/// From how many rising numbers on they are relied upon. Some relays give each event the same number.
const RELIABLE: u32 = 3;

/// More events than any stream has.
const MAX_NUMBER: u64 = 1_000_000_000;

/// What is known of one stream, over all requests that read it.
#[derive(Default)]
pub(super) struct KeptStream {
    /// The request asks the provider to keep the stream, and nothing has shown that it does not.
    is_kept: bool,
    id: Option<String>,
    delivered: Option<u64>,
    /// The number of the last event that was read, whether it was delivered or not.
    read: Option<u64>,
    /// How many numbers were higher than the one before.
    rising: u32,
    /// The stream is read from a later position on, as asked for: numbers up to it are repeated.
    is_reattached: bool,
    /// Where an event was missing: after this number.
    hole_after: Option<Option<u64>>,
    /// The provider has not got the missing event either: its numbers have holes.
    has_holes: bool,
}

#[derive(Deserialize)]
struct Numbered<'a> {
    #[serde(borrow, default)]
    sequence_number: Option<&'a RawValue>,
}

impl KeptStream {
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// The provider does not keep the stream, or what follows is not that stream.
    pub fn give_up(&mut self) {
        self.is_kept = false;
    }

    /// Takes the id of the response from its first event.
    pub fn identify(&mut self, id: Option<&str>) {
        if self.is_kept && self.id.is_none() {
            // A longer one is nobody's id, and an address must not grow without limit.
            self.id = id.filter(|id| !id.is_empty() && id.len() <= MAX_ID).map(str::to_owned);
        }
    }

    /// The number of an event that was delivered; `None` if it has none, and then the position is unknown.
    pub fn delivered(&mut self, number: Option<u64>) {
        let number = number.filter(|number| *number <= MAX_NUMBER);
        self.is_kept &= number.is_some();
        self.delivered = number;
    }

    /// Continues from a position of an earlier process.
    pub fn restore(&mut self, position: StreamPosition) {
        self.is_kept = true;
        self.id = Some(position.id);
        self.delivered = position.after;
    }

    pub fn position(&self) -> Option<StreamPosition> {
        let id = self.id.clone().filter(|_| self.is_kept)?;
        Some(StreamPosition { id, after: self.delivered })
    }

    /// The next events are those after the position.
    pub fn reattach(&mut self) {
        self.is_reattached = true;
        self.read = self.delivered;
    }

    /// Whether an event is read. One without a number always is.
    pub fn admit(&mut self, data: &str) -> Admission {
        if !self.is_kept {
            return Admission::New;
        }
        let numbered = serde_json::from_str::<Numbered<'_>>(data).ok();
        let Some(number) = numbered
            .and_then(|event| event.sequence_number)
            .and_then(number_of)
            .filter(|number| *number <= MAX_NUMBER)
        else {
            return Admission::New;
        };
        let is_reliable = self.is_reattached || self.rising >= RELIABLE;
        match self.read {
            Some(read) if number <= read && is_reliable => return Admission::Repeated,
            // Numbers that do not rise are no position.
            Some(read) if number <= read => self.is_kept = false,
            Some(read) if number > read + 1 && is_reliable && !self.has_holes => {
                if self.hole_after != Some(self.read) {
                    self.hole_after = Some(self.read);
                    return Admission::Missing(read + 1, number - 1);
                }
                self.has_holes = true;
            }
            _ => {}
        }
        self.rising = self.rising.saturating_add(1);
        self.read = Some(number);
        Admission::New
    }
}

/// A sequence number, which some relays send as a string.
pub(super) fn number_of(raw: &RawValue) -> Option<u64> {
    raw.get().trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: &str) -> KeptStream {
        let mut stream = KeptStream::default();
        stream.keep();
        stream.identify(Some(id));
        stream
    }

    fn admit(stream: &mut KeptStream, number: u64) -> Admission {
        stream.admit(&format!(r#"{{"type":"x","sequence_number":{number}}}"#))
    }

    #[test]
    fn an_event_that_was_read_is_not_read_again() {
        let mut stream = kept("r");
        assert!((0..4).all(|number| admit(&mut stream, number) == Admission::New));
        assert_eq!(admit(&mut stream, 3), Admission::Repeated);
        stream.delivered(Some(2));
        stream.reattach();
        assert_eq!(stream.position(), Some(StreamPosition { id: "r".into(), after: Some(2) }));
        assert_eq!([2, 3, 3, 4].map(|number| admit(&mut stream, number)), {
            use Admission::{New, Repeated};
            [Repeated, New, Repeated, New]
        });
    }

    #[test]
    fn a_missing_event_is_asked_for_once() {
        let mut stream = kept("r");
        assert!((0..4).all(|number| admit(&mut stream, number) == Admission::New));
        stream.delivered(Some(3));
        assert_eq!(admit(&mut stream, 6), Admission::Missing(4, 5));
        stream.reattach();
        assert_eq!(admit(&mut stream, 6), Admission::New, "the provider has not got it either");
        assert_eq!(admit(&mut stream, 9), Admission::New, "its numbers have holes");
    }

    #[test]
    fn numbers_that_do_not_rise_are_no_position() {
        let mut stream = kept("r");
        assert!((0..5).all(|_| admit(&mut stream, 0) == Admission::New));
        assert_eq!(stream.position(), None);
        let mut stream = kept("r");
        stream.delivered(None);
        assert_eq!(stream.position(), None, "an event without a number");
        assert_eq!(kept("").position(), None, "no id");
        assert_eq!(kept(&"x".repeat(MAX_ID + 1)).position(), None);
    }

    #[test]
    fn a_stream_that_is_not_kept_has_no_position_and_every_event_is_new() {
        let mut stream = KeptStream::default();
        stream.identify(Some("r"));
        assert!((0..5).chain(0..5).all(|number| admit(&mut stream, number) == Admission::New));
        assert_eq!(stream.position(), None);
    }
}
