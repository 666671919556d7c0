//! Measures the throughput of an answer, if the caller sets a minimum.

use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use super::deliver::Delivery;
use crate::engine::time::clock;
use crate::error::{Error, Kind, Phase, Result};
use crate::policy::estimate::TokenCount;
use crate::policy::throughput::{Throughput, WINDOW};
use crate::wire::chat;

impl Delivery<'_> {
    /// Counts tokens that have arrived, at least one for each text that is not empty: a delta is a token or more.
    pub(super) fn count_tokens<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        let Some(tokens) = &mut self.new_tokens else { return };
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            let mut count = TokenCount::default();
            count.add_text(text);
            *tokens += count.whole_tokens().max(1);
        }
    }

    /// The tokens that have arrived, and when the first one came; `None` if the throughput is not measured, before the first
    /// token, and after the last finish reason, where only the usage is awaited.
    pub(super) fn take_tokens(&mut self) -> Option<(u64, Instant)> {
        let first_token = self.progress.first_token?;
        let tokens = mem::take(self.new_tokens.as_mut()?);
        (!self.transcript.journal.is_complete()).then_some((tokens, first_token))
    }

    /// [`Delivery::count_tokens`] for the choices of a chunk.
    pub(super) fn count_tokens_of(&mut self, choices: &[chat::Choice<'_>]) {
        if self.new_tokens.is_none() {
            return;
        }
        for delta in choices.iter().filter_map(|choice| choice.delta.as_ref()) {
            let reasoning = delta.reasoning_content.as_ref().or(delta.reasoning.as_ref());
            let texts = [delta.content.as_ref(), reasoning, delta.refusal.as_ref()];
            self.count_tokens(texts.into_iter().flatten().map(|text| &*text.text));
            for (name, arguments) in delta.tool_calls.iter().flatten().map(chat::ToolCall::name_and_arguments)
            {
                self.count_tokens([name, arguments.map(|text| &*text.text)].into_iter().flatten());
            }
        }
    }
}

/// The throughput of an answer from its first token on.
pub(super) struct Meter {
    throughput: Throughput,
    first_token: Instant,
    min: f64,
}

impl Meter {
    /// Counts the tokens that [`Delivery::take_tokens`] returns, and checks the throughput if that is due.
    ///
    /// # Errors
    /// A timeout of the phase [`Phase::Throughput`] if too few tokens came over a whole window.
    pub fn measure(meter: &mut Option<Box<Self>>, min: f64, tokens: Option<(u64, Instant)>) -> Result<()> {
        let Some((tokens, first_token)) = tokens else {
            *meter = None;
            return Ok(());
        };
        let meter = meter.get_or_insert_with(|| Box::new(Meter::new(min, first_token)));
        meter.throughput.add(tokens);
        let at = clock::instant().saturating_duration_since(first_token);
        meter.throughput.advance(at).map_or(Ok(()), |rate| Err(meter.too_slow(rate)))
    }

    fn new(min: f64, first_token: Instant) -> Self {
        Meter { throughput: Throughput::new(min), first_token, min }
    }

    /// When the next check is due.
    pub fn next_check(&self) -> Instant {
        self.first_token + self.throughput.next_check()
    }

    /// The consumer did not read for so long.
    pub fn exclude(&mut self, pause: Duration) {
        self.throughput.exclude(pause);
    }

    fn too_slow(&self, rate: f64) -> Error {
        let (min, seconds) = (self.min, WINDOW.as_secs());
        let message = format!(
            "the answer crawls: {rate:.1} tokens per second over the last {seconds} s, less than {min} (minTokensPerSecond)"
        );
        Error::new(Kind::Timeout(Phase::Throughput), message)
    }
}
