//! Chunks of one stream mostly differ in nothing but the text of one string: the rest is the same, byte
//! for byte. A [`Template`] remembers a chunk that was read, and reads the next one by comparing its
//! bytes. JSON knows no context, so this is exact: where what stands before and after a string is the
//! same, and the string is one without escapes, everything else reads the same too. Whatever differs in
//! more goes the long way, through serde_json.

use std::borrow::Cow;
use std::ops::Range;

use super::chat::{Choice, Chunk, Delta, Text};

/// Where a text stands in the chunk, as long as that can be counted so. Every open stream has eight of them.
type Place = Option<Span>;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    length: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.length as usize
    }
}

/// How often in a row a template may fail before no more is made: some providers send something new
/// with each chunk.
const MAX_MISSES: u32 = 16;

/// Reads the chunks of one stream.
#[derive(Debug, Default)]
pub struct Template {
    /// What the last chunk was, up to its text and from there on, the quotes included.
    before: String,
    after: String,
    /// The length of its text.
    length: usize,
    misses: u32,
    shape: Shape,
}

/// What a chunk has beside its text. The places are those in the chunk that was remembered.
#[derive(Debug, Default)]
struct Shape {
    id: Place,
    created: Option<u64>,
    model: Place,
    system_fingerprint: Place,
    service_tier: Place,
    object: Place,
    index: u32,
    reasoning_content: Place,
    reasoning: Place,
    refusal: Place,
}

impl Template {
    /// The chunk, where it is like the one before.
    pub fn read<'a>(&self, data: &'a str) -> Option<Chunk<'a>> {
        if self.before.is_empty() {
            return None;
        }
        let rest = data.strip_prefix(self.before.as_str())?;
        let content = rest.strip_suffix(self.after.as_str())?;
        if !is_plain(content.as_bytes()) {
            return None;
        }
        let from = self.before.len();
        let text = |place: &Place| {
            let place = place.as_ref()?.range();
            // What stands behind the text has moved with its length.
            let at = if place.start < from { place.start } else { place.start + content.len() - self.length };
            data.get(at..at + place.len()).map(|text| Text(Cow::Borrowed(text)))
        };
        let shape = &self.shape;
        Some(Chunk {
            id: text(&shape.id),
            created: shape.created,
            model: text(&shape.model),
            system_fingerprint: text(&shape.system_fingerprint),
            service_tier: text(&shape.service_tier),
            choices: Some(vec![Choice {
                index: shape.index,
                delta: Some(Delta {
                    content: Some(Text(Cow::Borrowed(content))),
                    reasoning_content: text(&shape.reasoning_content),
                    reasoning: text(&shape.reasoning),
                    refusal: text(&shape.refusal),
                    ..Delta::default()
                }),
                ..Choice::default()
            }]),
            object: text(&shape.object),
            repeats: true,
            ..Chunk::default()
        })
    }

    /// Remembers a chunk that was read the long way, where it has what a template needs.
    pub fn remember(&mut self, data: &str, chunk: &Chunk<'_>) {
        if self.misses > MAX_MISSES {
            return;
        }
        self.misses += 1;
        self.before.clear();
        let Some((shape, content)) = shape(data, chunk) else { return };
        self.before.push_str(&data[..content.start]);
        self.after.clear();
        self.after.push_str(&data[content.end..]);
        self.length = content.len();
        self.shape = shape;
    }

    /// A chunk was like the one before.
    pub fn fits(&mut self) {
        self.misses = 0;
    }
}

fn shape(data: &str, chunk: &Chunk<'_>) -> Option<(Shape, Range<usize>)> {
    let Chunk { id, created, model, system_fingerprint, service_tier, choices, usage, error, object, .. } =
        chunk;
    let [choice] = choices.as_deref()? else { return None };
    let Choice { index, delta, finish_reason, logprobs } = choice;
    let Delta { content, reasoning_content, reasoning, refusal, tool_calls, function_call } =
        delta.as_ref()?;
    let rare = finish_reason.is_some()
        || [usage, error, logprobs].iter().any(|raw| raw.is_some())
        || tool_calls.is_some()
        || function_call.is_some();
    // An empty text may be borrowed from anywhere.
    let content = place(data, content).ok()??.range();
    if content.is_empty() {
        return None;
    }
    let quoted = |at: usize| data.as_bytes().get(at) == Some(&b'"');
    if rare || content.start == 0 || !quoted(content.start - 1) || !quoted(content.end) {
        return None;
    }
    let shape = Shape {
        id: place(data, id).ok()?,
        created: *created,
        model: place(data, model).ok()?,
        system_fingerprint: place(data, system_fingerprint).ok()?,
        service_tier: place(data, service_tier).ok()?,
        object: place(data, object).ok()?,
        index: *index,
        reasoning_content: place(data, reasoning_content).ok()?,
        reasoning: place(data, reasoning).ok()?,
        refusal: place(data, refusal).ok()?,
    };
    Some((shape, content))
}

/// Where a text stands in `data`. An error where it was made anew, from escapes or parts.
fn place(data: &str, text: &Option<Text<'_>>) -> Result<Place, ()> {
    let Some(text) = text else { return Ok(None) };
    let Cow::Borrowed(text) = &text.0 else { return Err(()) };
    let start = (text.as_ptr() as usize).checked_sub(data.as_ptr() as usize).ok_or(())?;
    if start + text.len() > data.len() {
        return Err(());
    }
    let count = |bytes: usize| u32::try_from(bytes).map_err(drop);
    Ok(Some(Span { start: count(start)?, length: count(text.len())? }))
}

/// The inside of a JSON string without an escape.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| !matches!(byte, b'"' | b'\\' | ..0x20))
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
