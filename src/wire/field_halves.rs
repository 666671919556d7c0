//! Joins the halves of surrogate pairs that a provider splits over two deltas in a field that the engine does not know
//! (`reasoning_details[].text`).

use serde_json::{Map, Value, json};

use super::json::{Halved, Step};
use super::surrogates::PendingSurrogates;
use super::text::{Halves, Text};

/// What stands for half of a surrogate pair.
const HALF: char = char::REPLACEMENT_CHARACTER;

/// The high halves that wait for the next delta of the same field of the same choice.
#[derive(Debug, Default)]
pub struct FieldHalves(PendingSurrogates<(u32, Path)>);

/// The way to a text that later deltas are appended to.
type Path = Vec<MergedStep>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum MergedStep {
    Field(String),
    /// The entry of a list with this `index`. Entries without one are not merged.
    Index(u64),
}

impl FieldHalves {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a half of this choice waits.
    pub fn has(&self, choice: u32) -> bool {
        self.0.has(|(of, _)| *of == choice)
    }

    /// The choices have moved.
    pub fn move_choices(&mut self, move_choice: impl Fn(&mut u32)) {
        self.0.move_parts(|(choice, _)| move_choice(choice));
    }

    /// Joins the texts in the fields of one delta with the halves that wait, and keeps the high halves that they end with.
    /// `halved`: the texts with halves. `is_appended`: whether the text of a field with this name is appended to that of the
    /// deltas before.
    pub fn join(
        &mut self,
        choice: u32,
        fields: &mut Map<String, Value>,
        halved: Vec<Halved>,
        is_appended: impl Fn(&str) -> bool,
    ) {
        let merged = |text: Halved| Some((merged_path(fields, &text.path, &is_appended)?, text.halves));
        let mut texts: Vec<(Path, Halves)> = halved.into_iter().filter_map(merged).collect();
        for (_, path) in self.0.parts().filter(|(of, _)| *of == choice) {
            if !texts.iter().any(|(known, _)| known == path) {
                texts.push((path.clone(), Halves::default()));
            }
        }
        for (path, halves) in texts {
            let Some(text) = find(fields, &path) else { continue };
            let Some(whole) = without_halves(text, halves) else { continue };
            let whole = Text { text: whole.to_owned().into(), halves };
            *text = self.0.join((choice, path), &whole).into_owned();
        }
    }

    /// The fields of the texts of a choice whose other half did not arrive, each with U+FFFD for it.
    pub fn take(&mut self, choice: u32) -> Vec<Map<String, Value>> {
        let ended = self.0.take_all(|(of, _)| *of == choice);
        let fields = ended.into_iter().map(|(_, path)| {
            let value =
                path.into_iter().rev().fold(Value::from(HALF.to_string()), |mut value, step| match step {
                    MergedStep::Field(name) => json!({ name: value }),
                    MergedStep::Index(index) => {
                        value["index"] = index.into();
                        json!([value])
                    }
                });
            match value {
                Value::Object(fields) => fields,
                _ => Map::new(),
            }
        });
        fields.collect()
    }
}

/// The path by the indexes of entries; `None` if no other delta adds to this text.
fn merged_path(
    fields: &Map<String, Value>,
    path: &[Step],
    is_appended: &impl Fn(&str) -> bool,
) -> Option<Path> {
    let Some((Step::Field(first), rest)) = path.split_first() else { return None };
    let mut merged = vec![MergedStep::Field(first.clone())];
    let mut value = fields.get(first)?;
    let mut last = first;
    for step in rest {
        match step {
            Step::Field(name) => {
                value = value.get(name)?;
                merged.push(MergedStep::Field(name.clone()));
                last = name;
            }
            Step::Entry(at) => {
                value = value.get(at)?;
                merged.push(MergedStep::Index(value.get("index")?.as_u64()?));
            }
        }
    }
    is_appended(last).then_some(merged)
}

fn find<'f>(fields: &'f mut Map<String, Value>, path: &Path) -> Option<&'f mut String> {
    let (MergedStep::Field(first), rest) = path.split_first()? else { return None };
    let mut value = fields.get_mut(first)?;
    for step in rest {
        value = match step {
            MergedStep::Field(name) => value.get_mut(name)?,
            MergedStep::Index(index) => {
                let is_entry =
                    |entry: &&mut Value| entry.get("index").and_then(Value::as_u64) == Some(*index);
                value.as_array_mut()?.iter_mut().find(is_entry)?
            }
        };
    }
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// The text without what stands for its halves; `None` if this is another text.
fn without_halves(text: &str, halves: Halves) -> Option<&str> {
    let text = if halves.low.is_some() { text.strip_prefix(HALF)? } else { text };
    if halves.high.is_some() { text.strip_suffix(HALF) } else { Some(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::value_and_halves;

    /// The deltas after they were joined, and what was left.
    fn joined(deltas: &[&str]) -> (Vec<Value>, Vec<Map<String, Value>>) {
        let mut halves = FieldHalves::default();
        let join = |delta: &&str| {
            let (value, halved) = value_and_halves(delta, 10_000).unwrap().unwrap();
            let Value::Object(mut fields) = value else { panic!("no object") };
            halves.join(0, &mut fields, halved, |name| name != "id");
            Value::from(fields)
        };
        let joined = deltas.iter().map(join).collect();
        (joined, halves.take(0))
    }

    #[test]
    fn halves_of_two_deltas_are_joined_in_any_field_that_is_appended_to() {
        let (deltas, rest) = joined(&[
            r#"{"d":[{"index":7,"text":"a\ud83d","id":"x\ud83d"},{"index":8,"text":"c"}],"n":{"s":"\ud83d"}}"#,
            r#"{"d":[{"index":8,"text":"d"},{"index":7,"text":"\ude00b"}],"n":{"s":"\ude00"}}"#,
        ]);
        assert_eq!(
            deltas[0],
            json!({ "d": [{ "index": 7, "text": "a", "id": "x\u{FFFD}" }, { "index": 8, "text": "c" }], "n": { "s": "" } })
        );
        assert_eq!(
            deltas[1],
            json!({ "d": [{ "index": 8, "text": "d" }, { "index": 7, "text": "😀b" }], "n": { "s": "😀" } })
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn a_half_without_the_other_one_is_replaced() {
        let (deltas, rest) =
            joined(&[r#"{"d":[{"index":1,"text":"a\ud83d"}]}"#, r#"{"d":[{"index":1,"text":"b"}]}"#]);
        assert_eq!(deltas[1], json!({ "d": [{ "index": 1, "text": "\u{FFFD}b" }] }));
        assert!(rest.is_empty());
        let (_, rest) = joined(&[r#"{"d":[{"index":1,"text":"a\ud83d"}]}"#, r#"{"other":"b"}"#]);
        assert_eq!(Value::from(rest), json!([{ "d": [{ "text": "\u{FFFD}", "index": 1 }] }]));
        let (deltas, rest) = joined(&[r#"{"d":["a\ud83d"]}"#, r#"{"d":["\ude00b"]}"#]);
        assert_eq!(
            deltas,
            [json!({ "d": ["a\u{FFFD}"] }), json!({ "d": ["\u{FFFD}b"] })],
            "entries are not merged"
        );
        assert!(rest.is_empty());
    }
}
