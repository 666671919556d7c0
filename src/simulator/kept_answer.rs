//! The answers to requests for a kept response: the document, the rest of its stream, or why there is none.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::answer::{self, AnswerContext, complete, fixed_reply};
use super::bodies;
use super::dialect::{Dialect, Event};
use super::event_stream::EventStream;
use super::kept_responses::KeptResponse;
use super::plan::{BodySource, Plan};
use super::rng;
use super::scenario::{Kept, Scenario};
use super::wire_format::Format;

/// A request for a kept response: its id, and whether it is canceled.
pub(super) fn requested<'p>(method: &str, path: &'p str) -> Option<(&'p str, bool)> {
    let (_, rest) = path.split_once("/responses/")?;
    match (method, rest.split_once('/')) {
        ("GET", None) if rest != "input_tokens" => Some((rest, false)),
        ("POST", Some((id, "cancel"))) => Some((id, true)),
        _ => None,
    }
}

/// The answer to a cancellation: the response as it is then.
pub(super) fn canceled(id: &str, response: Option<Value>) -> Plan {
    response.map_or_else(|| not_found(id), |whole| answer::json(200, Bytes::from(whole.to_string())))
}

/// The answer of `scenario` to a request for a response, or for the rest of its stream.
pub(super) fn plan(
    scenario: &Arc<Scenario>,
    (id, path): (&str, &str),
    found: Option<KeptResponse>,
    context: &AnswerContext<'_>,
) -> Plan {
    let mut rng = rng::of_answer(scenario.seed.unwrap_or(context.seed), context.index);
    let request_id = format!("req_{:016x}{:016x}", rng.next_u64(), rng.next_u64());
    let plan = kept(scenario, id, path, found);
    let is_refused = plan.head.status >= 400;
    let plan = fixed_reply(scenario, context.model).unwrap_or(plan);
    complete(plan, scenario, context, is_refused, request_id)
}

fn kept(scenario: &Arc<Scenario>, id: &str, path: &str, found: Option<KeptResponse>) -> Plan {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let pairs = || query.split('&').filter_map(|pair| pair.split_once('='));
    let Some(found) = found.filter(|found| found.kept != Kept::No) else { return not_found(id) };
    if !pairs().any(|pair| pair == ("stream", "true")) {
        return answer::json(200, Bytes::from(found.whole.to_string()));
    }
    let after = pairs().find(|(name, _)| *name == "starting_after").map(|(_, number)| number.parse::<u64>());
    let after = match after.transpose() {
        Ok(after) => after,
        Err(_) => {
            let message = "Invalid type for 'starting_after': expected an integer.";
            return answer::bad_request(message, Some("starting_after"), Some("invalid_type"));
        }
    };
    if found.kept != Kept::Stream || !found.is_streamed {
        let message = match found.is_streamed {
            true => "This response can no longer be streamed because it is more than 5 minutes old.",
            false => "This response cannot be streamed because it was not created with stream=true.",
        };
        return answer::bad_request(message, None, None);
    }
    let is_new = |event: &Event| event.data["sequence_number"].as_u64() > after;
    let events = found.events.into_iter().filter(is_new).collect();
    let stream = EventStream::new(Some(Dialect::Responses), Format::Sse, Arc::clone(scenario), events);
    answer::event_stream(scenario, Format::Sse, BodySource::Events(Box::new(stream)))
}

fn not_found(id: &str) -> Plan {
    let message = format!("Response with id '{id}' not found.");
    answer::json(404, bodies::error(&message, "invalid_request_error", None, None))
}
