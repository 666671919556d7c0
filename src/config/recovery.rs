//! The `recovery` option: how a broken answer is recovered.

use serde_json::Value;

use super::defaults;
use super::reader::{Reader, describe};
use crate::error::{Error, Result};
use crate::session::prompts::Style;
use crate::session::splice::{Assurance, MIN_OVERLAP};

/// What happens when a stream breaks after deltas were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Requests the rest and removes duplicate text. The default.
    Continue,
    /// Requests the answer again; the consumer discards the text so far.
    Restart,
    /// Fails the call; the error has the partial answer.
    Fail,
}

/// What happens when a stream breaks of which nothing was delivered, because the caller waits for the complete answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buffered {
    /// A provider that continues the assistant turn continues it; elsewhere the answer is requested again. The default.
    #[default]
    Auto,
    /// The answer is requested again.
    Restart,
    /// What was received is continued as if it had been delivered.
    Continue,
}

/// How a call recovers from a break.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    pub mode: Mode,
    /// How the rest is requested first; `None`, the default, is the order of [`Style::ALL`].
    pub style: Option<Style>,
    /// What must vouch for a continuation before it is delivered. `verified` by default.
    pub assurance: Assurance,
    pub buffered: Buffered,
    /// The maximum number of recoveries of one answer; the break after the last one fails the call. 5 by
    /// default.
    pub max_recoveries: u32,
    /// The minimum overlap to treat as a repeat, in code points; a shorter one is left in. 16 by default.
    pub min_overlap: usize,
    /// The most that is kept for a recovery, in bytes of memory: beyond it the answer goes on without one. 8 MiB by
    /// default.
    pub max_bytes: usize,
    /// Events that are not JSON are ignored; otherwise one is a break. False by default.
    pub skip_malformed: bool,
}

impl Default for Recovery {
    fn default() -> Self {
        Recovery {
            mode: Mode::Continue,
            style: None,
            assurance: Assurance::Verified,
            buffered: Buffered::Auto,
            max_recoveries: defaults::MAX_RECOVERIES,
            min_overlap: MIN_OVERLAP,
            max_bytes: defaults::MAX_RECOVERY,
            skip_malformed: false,
        }
    }
}

const MODES: &[(&str, Mode)] =
    &[("continue", Mode::Continue), ("restart", Mode::Restart), ("fail", Mode::Fail)];
const STYLES: &[(&str, Option<Style>)] = &[
    ("auto", None),
    ("anchored", Some(Style::Anchored)),
    ("dialog", Some(Style::Dialog)),
    ("system", Some(Style::System)),
    ("repeat", Some(Style::Repeat)),
];
const ASSURANCES: &[(&str, Assurance)] =
    &[("native", Assurance::Native), ("verified", Assurance::Verified), ("any", Assurance::Any)];
const BUFFERED: &[(&str, Buffered)] =
    &[("auto", Buffered::Auto), ("restart", Buffered::Restart), ("continue", Buffered::Continue)];
const ON_MALFORMED: &[(&str, bool)] = &[("recover", false), ("skip", true)];

impl Recovery {
    /// These settings, overridden by the options in `value`; `false` is [`Mode::Fail`]. `path` is their name.
    ///
    /// # Errors
    /// An invalid or unknown option.
    pub fn with(&self, path: &str, value: &Value) -> Result<Recovery> {
        let mut recovery = self.clone();
        match value {
            Value::Bool(false) => recovery.mode = Mode::Fail,
            Value::Object(_) => {
                let mut reader = Reader::new(path, value)?;
                recovery.mode = reader.one_of("mode", MODES)?.unwrap_or(recovery.mode);
                recovery.style = reader.one_of("style", STYLES)?.unwrap_or(recovery.style);
                recovery.assurance = reader.one_of("assurance", ASSURANCES)?.unwrap_or(recovery.assurance);
                recovery.buffered = reader.one_of("buffered", BUFFERED)?.unwrap_or(recovery.buffered);
                if let Some(max) = reader.integer("maxRecoveries", 0, 1000)? {
                    recovery.max_recoveries = max as u32;
                }
                if let Some(min) = reader.integer("minOverlap", 1, 1000)? {
                    recovery.min_overlap = min as usize;
                }
                if let Some(max) = reader.integer("maxBytes", 0, defaults::MAX_MAX_ANSWER as u64)? {
                    recovery.max_bytes = max as usize;
                }
                recovery.skip_malformed =
                    reader.one_of("onMalformed", ON_MALFORMED)?.unwrap_or(recovery.skip_malformed);
                reader.finish()?;
            }
            other => return Err(Error::invalid(path, describe(other), "an object or false")),
        }
        Ok(recovery)
    }
}
