//! Choices with a `message` or a `text` in place of the `delta`: what of it is new.
//!
//! Providers send parts in it, the whole answer so far, or after the deltas the whole answer once more (MiniMax does). What
//! comes decides which, once for each text.

use std::iter;

use super::deliver::{Delivery, Flow};
use super::part::Part;
use crate::engine::shared::sink::DeliveryMode;
use crate::wire::chat::{self, Source};

/// How much white space at an end of the text is ignored when it is compared with a message, in bytes.
const MAX_MARGIN: usize = 1024;

impl Delivery<'_> {
    /// Whether this update repeats what came in deltas: only what is new in it counts.
    pub(super) fn is_summary(&mut self, index: u32, update: &chat::Choice<'_>) -> bool {
        let is_empty = |delta: &chat::Delta<'_>| delta.is_empty() && delta.others.is_empty();
        if update.source == Source::Delta || update.delta.as_ref().is_none_or(is_empty) {
            return false;
        }
        // A continuation begins with the text of earlier attempts. A finish reason alone is nothing that could be repeated:
        // some providers send one in every chunk.
        let has_begun = (self.began_before || !self.continuation.is_active)
            && self.transcript.journal.choice(index).is_some_and(|choice| !choice.is_empty());
        self.messages.get_or_insert_default().is_summary(index, has_begun)
    }

    /// What is new in the text of an update that has it in place of the delta.
    pub(super) fn new_part<'t>(
        &mut self,
        index: u32,
        part: Part,
        update: &chat::Choice<'_>,
        text: &'t str,
    ) -> std::borrow::Cow<'t, str> {
        let is_summary = self.is_summary(index, update);
        let Some(choice) = self.transcript.journal.choice(index) else { return text.into() };
        let received = match part {
            Part::Reasoning => &choice.reasoning,
            Part::Refusal => &choice.refusal,
            _ => &choice.text,
        };
        match update.source {
            Source::Delta => text.into(),
            _ if is_summary => new_in_summary(received, text, update.is_whole).into(),
            // Completions without chat send parts.
            Source::Text => text.into(),
            Source::Message => {
                let (repeats, new) =
                    self.messages.get_or_insert_default().text((index, part)).new_part(received, text);
                if repeats == 0 {
                    return new.into();
                }
                // Each was the text so far, which has not changed since.
                iter::repeat_n(received.as_str(), repeats).chain([new]).collect::<String>().into()
            }
        }
    }

    /// Fails if what is new in a message cannot be known any more, because the text was released.
    pub(super) fn check_comparable(&mut self, index: u32, update: &chat::Choice<'_>) -> Flow {
        let needs_text = match update.source {
            Source::Delta => false,
            Source::Message => !(self.is_summary(index, update) && update.is_whole),
            Source::Text => self.is_summary(index, update) && !update.is_whole,
        };
        if needs_text && self.transcript.journal.is_released() { Err(self.too_large()) } else { Ok(()) }
    }

    /// Whether an unknown field of a summary has come before.
    pub(super) fn has_field(&mut self, index: u32, name: &str) -> bool {
        let is_kept = self.consumer.mode == DeliveryMode::Nothing;
        let Some(choice) = self.transcript.journal.choice(index) else { return false };
        if is_kept { choice.message_extra.contains_key(name) } else { choice.has_noted(name) }
    }
}

/// What is new in the text of a message that follows deltas. A whole answer that differs is the same answer in another form:
/// without its thinking, or with other white space.
fn new_in_summary<'t>(received: &str, message: &'t str, is_whole: bool) -> &'t str {
    if received.is_empty() {
        return message;
    }
    if let Some(rest) = message.strip_prefix(received) {
        return rest;
    }
    let (trimmed, margin) = (message.trim(), margin(received));
    if let Some(rest) = message.trim_start().strip_prefix(&received[margin..]) {
        return rest;
    }
    let is_repeated = trimmed.len() * 2 >= received.len() && received[margin..].starts_with(trimmed);
    if is_whole || is_repeated { "" } else { message }
}

/// The length of the white space at the beginning of a text, as far as it is ignored.
fn margin(text: &str) -> usize {
    let mut end = 0;
    for c in text.chars().take_while(|c| c.is_whitespace()) {
        if end + c.len_utf8() > MAX_MARGIN {
            break;
        }
        end += c.len_utf8();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_only_what_the_deltas_lacked() {
        for (received, message, is_whole, new) in [
            ("Hello", "Hello", true, ""),
            ("Hello", "Hello world", true, " world"),
            ("Hello world\n", "Hello world", true, ""),
            ("\n\nHello", "Hello", true, ""),
            ("\n\nHello", "Hello world", true, " world"),
            ("\n\nHello", "Hello", false, ""),
            ("<think>x</think>Hello", "Hello", true, ""),
            ("", "Hello", true, "Hello"),
            ("Hello", " world", false, " world"),
        ] {
            assert_eq!(new_in_summary(received, message, is_whole), new, "{received:?} {message:?}");
        }
    }
}
