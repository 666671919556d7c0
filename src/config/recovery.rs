//! How a broken answer is taken up again.

use serde_json::Value;

use super::defaults as d;
use super::reader::{Reader, show};
use crate::error::{Error, Result};
use crate::session::prompts::Style;
use crate::session::splice::MIN_OVERLAP;

/// What happens when a stream breaks after deltas were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The provider is asked for the rest.
    Continue,
    /// The answer begins anew; the consumer is told to drop what it has.
    Restart,
    /// The call fails with what was received.
    Fail,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    pub mode: Mode,
    pub style: Style,
    pub max: u32,
    /// The shortest overlap that is treated as a repeat, in code points.
    pub min_overlap: usize,
    /// An event that is no JSON is passed over.
    pub skip_malformed: bool,
}

impl Default for Recovery {
    fn default() -> Self {
        Recovery {
            mode: Mode::Continue,
            style: Style::Dialog,
            max: d::MAX_RECOVERIES,
            min_overlap: MIN_OVERLAP,
            skip_malformed: false,
        }
    }
}

const MODES: &[(&str, Mode)] =
    &[("continue", Mode::Continue), ("restart", Mode::Restart), ("fail", Mode::Fail)];
const STYLES: &[(&str, Style)] = &[
    ("dialog", Style::Dialog),
    ("anchored", Style::Anchored),
    ("system", Style::System),
    ("prefill", Style::Prefill),
];
const ON_MALFORMED: &[(&str, bool)] = &[("recover", false), ("skip", true)];

impl Recovery {
    /// These options with those of `value` on top; `false` turns recovery off.
    pub fn with(&self, path: &str, value: &Value) -> Result<Recovery> {
        let mut recovery = self.clone();
        match value {
            Value::Bool(false) => recovery.mode = Mode::Fail,
            Value::Object(_) => {
                let mut reader = Reader::new(path, value)?;
                recovery.mode = reader.choice("mode", MODES)?.unwrap_or(recovery.mode);
                recovery.style = reader.choice("style", STYLES)?.unwrap_or(recovery.style);
                if let Some(max) = reader.whole("maxRecoveries", 0, 1000)? {
                    recovery.max = max as u32;
                }
                if let Some(min) = reader.whole("minOverlap", 1, 1000)? {
                    recovery.min_overlap = min as usize;
                }
                recovery.skip_malformed =
                    reader.choice("onMalformed", ON_MALFORMED)?.unwrap_or(recovery.skip_malformed);
                reader.finish()?;
            }
            other => return Err(Error::invalid(path, show(other), "an object or false")),
        }
        Ok(recovery)
    }
}
