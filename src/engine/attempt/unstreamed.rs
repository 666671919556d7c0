//! An answer that is not streamed: read completely, and delivered unchanged.

use std::time::Duration;

use super::deliver::Delivery;
use crate::engine::shared::redaction::label;
use crate::engine::time::{clock, unless_silent_until};
use crate::error::{BODY_LIMIT, Error, Kind, Phase, Result};
use crate::session::journal::MAX_LABEL;
use crate::transport::Body;
use crate::wire::dialect::Dialect;
use crate::wire::json::{self, TooLarge};
use crate::wire::provider_error;
use futures::StreamExt;

/// Reads the body and delivers it. The caller completes the delivery.
///
/// # Errors
/// [`Kind::AnswerTooLarge`] beyond the limit of an answer, [`Kind::Malformed`], and those that the document itself
/// reports.
pub(super) async fn read_unstreamed(
    delivery: &mut Delivery<'_>,
    dialect: Dialect,
    mut body: Body,
    idle_timeout: Duration,
) -> Result<()> {
    let mut read = Vec::new();
    loop {
        let Ok(bytes) = unless_silent_until(clock::instant() + idle_timeout, body.next()).await else {
            return Err(Error::timeout(Phase::Idle, idle_timeout));
        };
        let Some(bytes) = bytes.transpose()? else { break };
        let max = delivery.transcript.max_size();
        if read.len() + bytes.len() > max {
            return Err(Error::answer_too_large(max));
        }
        read.extend_from_slice(&bytes);
    }
    let max = delivery.transcript.max_size();
    let parsed = match std::str::from_utf8(&read) {
        Ok(text) => json::value_within(text, max)
            .map_err(|TooLarge| Error::answer_too_large(max))?
            .map(|value| (text, value)),
        Err(_) => None,
    };
    let Some((text, value)) = parsed else {
        read.truncate(BODY_LIMIT);
        let status = delivery.progress.status.unwrap_or(200);
        let text = String::from_utf8_lossy(&read);
        let error = provider_error::from_text(&text, status, &|_| None, clock::now());
        let mut error = error.unwrap_or_else(|| Error::new(Kind::Malformed, "the body is empty"));
        error.request_id.clone_from(&delivery.progress.request_id);
        if error.kind == Kind::Malformed && read.trim_ascii_start().starts_with(b"{") {
            // The document is cut off.
            error.should_retry = None;
        }
        return Err(error);
    };
    let ending = dialect.read_unstreamed(&value).map_err(|mut error| {
        error.request_id = delivery.progress.request_id.clone();
        error.is_unexplained = provider_error::is_unexplained(&error);
        error
    })?;
    delivery.begin_answer();
    let redactor = delivery.consumer.redactor;
    let field = |name: &str| value[name].as_str().map(|text| label(text, MAX_LABEL, redactor));
    let identity = &mut delivery.transcript.journal.identity;
    (identity.id, identity.model) = (field("id"), field("model"));
    delivery.deliver(text);
    delivery.finish_events(ending);
    Ok(())
}
