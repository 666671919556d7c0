//! Snapshots. Any JSON is a snapshot within its bounds or an error; a snapshot survives serialization, and a journal
//! continues from its text.
//!
//! Input: JSON.
#![no_main]

use holysheep::error::Kind;
use holysheep::session::snapshot::{Snapshot, VERSION};
use libfuzzer_sys::fuzz_target;

/// Counting on from a snapshot cannot overflow.
const MAX_COUNT: usize = 1_000_000_000;

fuzz_target!(|input: &[u8]| {
    let Ok(json) = std::str::from_utf8(input) else { return };
    let mut snapshot = match Snapshot::parse(json) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            assert_eq!(error.kind, Kind::InvalidArgument);
            assert!(error.message.starts_with("snapshot"), "{}", error.message);
            assert!(error.message.len() < 1_000, "{} bytes of message", error.message.len());
            return;
        }
    };
    assert_eq!(snapshot.version, VERSION);
    assert!(!snapshot.session_id.is_empty());
    assert!(snapshot.segments.iter().all(|segment| segment.characters <= MAX_COUNT));

    let written = snapshot.json();
    let read = Snapshot::parse(&written).expect("a snapshot can be read again");
    assert_eq!(read.json(), written);
    assert_eq!(read.answer.text, snapshot.answer.text);
    assert_eq!(read.has_content(), snapshot.has_content());
    // An escape makes a character six times as long, and a missing field gets its default.
    assert!(written.len() <= 6 * json.len() + 4_096, "{} bytes of {}", written.len(), json.len());

    for choices in [0, 1, 3, usize::MAX] {
        let journal = snapshot.journal(choices);
        assert_eq!(journal.first_choice().text, snapshot.answer.text);
        assert_eq!(journal.identity, snapshot.answer.identity);
    }

    // The segment in progress has the text that the others do not have.
    let written: usize = snapshot.segments.iter().map(|segment| segment.characters).sum();
    let all = snapshot.answer.text.chars().count();
    snapshot.writer = Some(("endpoint".into(), "model".into()));
    let segments = Snapshot::parse(&snapshot.json()).expect("a snapshot can be read again").segments;
    let counted: usize = segments.iter().map(|segment| segment.characters).sum();
    assert_eq!(counted, written.max(all));
});
