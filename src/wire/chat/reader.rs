//! Reads the events of one stream.

use super::chunk::{StreamEvent, read};
use super::template::Template;
use crate::error::Result;

/// Reads the events of one stream.
#[derive(Debug, Default)]
pub struct Reader {
    template: Template,
}

impl Reader {
    /// Reads one event as [`read`] does, and faster if it resembles the one before.
    ///
    /// # Errors
    /// Those of [`read`].
    pub fn read<'a>(&mut self, event: Option<&str>, data: &'a str) -> Result<StreamEvent<'a>> {
        let data = data.trim_ascii();
        if event.is_some() {
            return read(event, data);
        }
        if let Some(chunk) = self.template.read(data) {
            self.template.record_hit();
            return Ok(StreamEvent::Chunk(chunk));
        }
        let event = read(event, data)?;
        if let StreamEvent::Chunk(chunk) = &event {
            self.template.learn(data, chunk);
        }
        Ok(event)
    }
}
