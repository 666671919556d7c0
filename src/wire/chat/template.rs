//! The chunks of a stream mostly differ in the text of one string; every other byte is the same. A
//! [`Template`] remembers a chunk, and reads the next one by comparing its bytes. JSON has no context, so
//! this is exact: if the bytes before and after a string are the same, and the string has no escapes,
//! everything else reads the same too. A chunk that differs in anything else goes through serde_json.

use std::borrow::Cow;
use std::ops::Range;

use super::chunk::{Choice, Chunk, Delta, TextChunk};
use crate::wire::text::Text;

/// The position of a text in its chunk. 32 bits keep it small: every open stream has eight of them.
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

/// After this many misses in a row no more templates are made: some providers send something new with
/// each chunk.
const MAX_MISSES: u32 = 16;

/// Reads the chunks of one stream that differ from the chunk before in their text alone.
#[derive(Debug, Default)]
pub struct Template {
    /// The bytes of the last chunk before and after its text, including the quotes.
    before: String,
    after: String,
    /// The length of its text.
    length: usize,
    misses: u32,
    shape: Shape,
}

/// The other fields of a chunk. The spans are positions in the chunk that the template was made of.
#[derive(Debug, Default)]
struct Shape {
    id: Option<Span>,
    created: Option<u64>,
    model: Option<Span>,
    system_fingerprint: Option<Span>,
    service_tier: Option<Span>,
    object: Option<Span>,
    index: u32,
    reasoning_content: Option<Span>,
    reasoning: Option<Span>,
    refusal: Option<Span>,
}

impl Template {
    /// The chunk, if nothing but its text differs from the chunk before.
    pub fn read<'a>(&self, data: &'a str) -> Option<Chunk<'a>> {
        let content = self.content(data)?;
        let from = self.before.len();
        let text = |span: &Option<Span>| {
            let span = span.as_ref()?.range();
            // Everything behind the text has moved by the difference in its length.
            let at = if span.start < from { span.start } else { span.start + content.len() - self.length };
            data.get(at..at + span.len()).map(|text| Text::new(Cow::Borrowed(text)))
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
                    content: Some(Text::new(Cow::Borrowed(content))),
                    reasoning_content: text(&shape.reasoning_content),
                    reasoning: text(&shape.reasoning),
                    refusal: text(&shape.refusal),
                    ..Delta::default()
                }),
                ..Choice::default()
            }]),
            object: text(&shape.object),
            only_text_changed: true,
            ..Chunk::default()
        })
    }

    /// The text of the chunk, if nothing else differs from the chunk before and it has no other text. Never empty.
    pub fn read_text<'a>(&self, data: &'a str) -> Option<TextChunk<'a>> {
        let Shape { index, reasoning_content: None, reasoning: None, refusal: None, .. } = self.shape else {
            return None;
        };
        self.content(data).filter(|content| !content.is_empty()).map(|content| TextChunk { index, content })
    }

    fn content<'a>(&self, data: &'a str) -> Option<&'a str> {
        if self.before.is_empty() {
            return None;
        }
        let rest = data.strip_prefix(self.before.as_str())?;
        let content = rest.strip_suffix(self.after.as_str())?;
        is_plain(content.as_bytes()).then_some(content)
    }

    /// Makes a template of a chunk that serde_json has read, if its shape allows one.
    pub fn learn(&mut self, data: &str, chunk: &Chunk<'_>) {
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

    /// The template has matched: the misses are counted from zero again.
    pub fn record_hit(&mut self) {
        self.misses = 0;
    }
}

fn shape(data: &str, chunk: &Chunk<'_>) -> Option<(Shape, Range<usize>)> {
    let Chunk {
        id,
        created,
        model,
        system_fingerprint,
        service_tier,
        choices,
        usage,
        x_groq,
        error,
        object,
        must_rebuild,
        ..
    } = chunk;
    let [choice] = choices.as_deref()? else { return None };
    let Choice { index, delta, finish_reason, logprobs, usage: of_choice, error: choice_error, .. } = choice;
    let Delta {
        content,
        reasoning_content,
        reasoning,
        refusal,
        tool_calls,
        function_call,
        error: of_delta,
        has_other,
        others: _,
    } = delta.as_ref()?;
    let rare = finish_reason.is_some()
        || *must_rebuild
        || *has_other
        || [usage, x_groq, error, logprobs, of_choice, choice_error, of_delta]
            .iter()
            .any(|raw| raw.is_some())
        || tool_calls.is_some()
        || function_call.is_some();
    // An empty text may borrow from anywhere.
    let content = span(data, content).ok()??.range();
    if content.is_empty() {
        return None;
    }
    let quoted = |at: usize| data.as_bytes().get(at) == Some(&b'"');
    if rare || content.start == 0 || !quoted(content.start - 1) || !quoted(content.end) {
        return None;
    }
    let shape = Shape {
        id: span(data, id).ok()?,
        created: *created,
        model: span(data, model).ok()?,
        system_fingerprint: span(data, system_fingerprint).ok()?,
        service_tier: span(data, service_tier).ok()?,
        object: span(data, object).ok()?,
        index: *index,
        reasoning_content: span(data, reasoning_content).ok()?,
        reasoning: span(data, reasoning).ok()?,
        refusal: span(data, refusal).ok()?,
    };
    Some((shape, content))
}

/// The position of a text in `data`. An error if the text is a copy, made from escapes or parts.
fn span(data: &str, text: &Option<Text<'_>>) -> Result<Option<Span>, ()> {
    let Some(text) = text else { return Ok(None) };
    let Cow::Borrowed(text) = &text.text else { return Err(()) };
    let start = (text.as_ptr() as usize).checked_sub(data.as_ptr() as usize).ok_or(())?;
    if start + text.len() > data.len() {
        return Err(());
    }
    let count = |bytes: usize| u32::try_from(bytes).map_err(drop);
    Ok(Some(Span { start: count(start)?, length: count(text.len())? }))
}

/// Whether these bytes are the inside of a JSON string without escapes.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| !matches!(byte, b'"' | b'\\' | ..0x20))
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
