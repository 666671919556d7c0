//! Snapshots. Any JSON is a snapshot within its bounds or an error that says so; a snapshot comes back from its own JSON
//! as it was, and the journal goes on with the text that it has.
//!
//! Input: JSON.
#![no_main]

use holysheep::error::Kind;
use holysheep::session::snapshot::{Snapshot, VERSION};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// What is counted on from a snapshot stays far from any overflow.
const MAX_COUNT: usize = 1_000_000_000;

fuzz_target!(|input: &[u8]| {
    let Ok(json) = std::str::from_utf8(input) else { return };
    let mut snapshot = match Snapshot::parse(json) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            assert_eq!(error.kind, Kind::Invalid);
            assert!(error.message.starts_with("snapshot"), "{}", error.message);
            assert!(error.message.len() < 1_000, "{} bytes of message", error.message.len());
            return;
        }
    };
    assert_eq!(snapshot.version, VERSION);
    assert!(!snapshot.session_id.is_empty());
    assert!(snapshot.parts.iter().all(|part| part.characters <= MAX_COUNT));

    let written = snapshot.json();
    let again = Snapshot::parse(&written).expect("a snapshot can be read again");
    assert!(alike(&tree(&again.json()), &tree(&written)), "{written}");
    assert_eq!(again.answer.text, snapshot.answer.text);
    assert_eq!(again.has_begun(), snapshot.has_begun());
    // Escapes make a text six times as long, and a field that is not given has its default.
    assert!(written.len() <= 6 * json.len() + 4_096, "{} bytes of {}", written.len(), json.len());

    for choices in [0, 1, 3, usize::MAX] {
        let journal = snapshot.journal(choices);
        assert_eq!(journal.first().text, snapshot.answer.text);
        assert_eq!(journal.identity, snapshot.answer.identity);
    }

    // The part that is under way has what the others have not.
    let written: usize = snapshot.parts.iter().map(|part| part.characters).sum();
    let all = snapshot.answer.text.chars().count();
    snapshot.writer = Some(("endpoint".into(), "model".into()));
    let parts = Snapshot::parse(&snapshot.json()).expect("a snapshot can be read again").parts;
    let counted: usize = parts.iter().map(|part| part.characters).sum();
    assert_eq!(counted, written.max(all));
});

fn tree(json: &str) -> Value {
    serde_json::from_str(json).expect("a snapshot is JSON")
}

/// The same, but for the last digits of fractions: serde_json reads them a little off without its `float_roundtrip`.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(ones), Value::Array(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| alike(one, other))
        }
        (Value::Object(ones), Value::Object(others)) => {
            let mut both = ones.iter().zip(others);
            ones.len() == others.len() && both.all(|((a, one), (b, other))| a == b && alike(one, other))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap_or_default(), other.as_f64().unwrap_or_default());
            one == other || (one - other).abs() <= 1e-14 * one.abs()
        }
        _ => one == other,
    }
}
