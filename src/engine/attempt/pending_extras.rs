//! Unknown fields that wait for a generated chunk.

use serde_json::{Map, Value};

/// Fields of chunks that are not delivered as they came: the next generated chunk takes them along.
#[derive(Debug, Default)]
pub(super) struct PendingExtras {
    pub chunk: Map<String, Value>,
    /// The fields of each choice, `logprobs` too.
    pub choices: Vec<(u32, Map<String, Value>)>,
    /// How much JSON these came in, in bytes.
    pub size: usize,
}

impl PendingExtras {
    /// The choices have moved.
    pub fn move_choices(&mut self, move_choice: impl Fn(&mut u32)) {
        self.choices.iter_mut().for_each(|(index, _)| move_choice(index));
    }

    /// The fields of a choice.
    pub fn choice(&mut self, index: u32) -> &mut Map<String, Value> {
        let known = self.choices.iter().position(|(known, _)| *known == index);
        let at = known.unwrap_or_else(|| {
            self.choices.push((index, Map::new()));
            self.choices.len() - 1
        });
        &mut self.choices[at].1
    }

    /// Adds the `logprobs` of one chunk.
    pub fn add_logprobs(&mut self, index: u32, logprobs: Map<String, Value>) {
        let all = self.choice(index).entry("logprobs").or_insert_with(|| Value::Object(Map::new()));
        for (name, value) in logprobs {
            match (&mut all[&*name], value) {
                (Value::Array(entries), Value::Array(more)) => entries.extend(more),
                (Value::Null, value) => all[&*name] = value,
                _ => {}
            }
        }
    }
}
