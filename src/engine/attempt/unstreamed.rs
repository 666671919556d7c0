//! An answer that is not streamed: read completely, and delivered unchanged.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;

use super::deliver::Delivery;
use crate::config::defaults;
use crate::engine::time::{clock, unless_silent_until};
use crate::error::{BODY_LIMIT, Error, Kind, Phase, Result};
use crate::transport::Body;
use crate::wire::dialect::Dialect;
use crate::wire::{json, provider_error};

/// Reads the body and delivers it. The caller completes the delivery.
///
/// # Errors
/// [`Kind::ResponseTooLarge`] beyond [`defaults::MAX_WHOLE_ANSWER`] bytes, [`Kind::Malformed`], and those that the
/// document itself reports.
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
        if read.len() + bytes.len() > defaults::MAX_WHOLE_ANSWER {
            let message = format!("the answer is longer than {} bytes", defaults::MAX_WHOLE_ANSWER);
            return Err(Error::new(Kind::ResponseTooLarge, message));
        }
        read.extend_from_slice(&bytes);
    }
    let parsed = std::str::from_utf8(&read).ok().and_then(|text| Some((text, json::value(text)?)));
    let Some((text, value)): Option<(&str, Value)> = parsed else {
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
    let identity = &mut delivery.transcript.journal.identity;
    identity.id = value["id"].as_str().map(str::to_owned);
    identity.model = value["model"].as_str().map(str::to_owned);
    delivery.deliver(text);
    delivery.finish_events(ending);
    Ok(())
}
