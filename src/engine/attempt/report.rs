//! The reports of an attempt's outcome to what the calls of a client share.

use std::collections::BTreeMap;

use crate::engine::admission::{Admission, CallContext, CallRoute, restore_quota};
use crate::engine::shared::event::Event;
use crate::engine::time::clock;
use crate::policy::circuit_breaker::Outcome;

/// The answer is settled: reports its success, and returns what other attempts may wait for. Its usage may still come.
pub(super) fn report_success(
    ctx: &CallContext<'_>,
    route: &CallRoute,
    admission: &mut Admission,
    request_id: &str,
) {
    admission.answered();
    report(ctx, route, admission, Outcome::Success, request_id);
}

/// Reports that the call has its answer, which took `attempts` attempts. `headers` are those of an answer without a token.
pub fn report_completion(
    ctx: &CallContext<'_>,
    request_id: Option<String>,
    endpoint: &str,
    model: &str,
    attempts: u32,
    after_retry: bool,
    headers: BTreeMap<String, String>,
) {
    ctx.events.emit(Event::Complete {
        call: ctx.events.call.clone(),
        request_id,
        attempts,
        after_retry,
        endpoint: endpoint.to_owned(),
        model: model.to_owned(),
        duration_ms: clock::instant().saturating_duration_since(ctx.started).as_millis() as u64,
        headers,
    });
}

/// Reports an outcome to the breaker and the statistics of the route.
pub(super) fn report(
    ctx: &CallContext<'_>,
    route: &CallRoute,
    admission: &mut Admission,
    outcome: Outcome,
    request_id: &str,
) {
    if outcome != Outcome::Ignored {
        let success = outcome == Outcome::Success;
        route.state.stats.update(|stats| stats.record_outcome(success, clock::now()));
    }
    if outcome == Outcome::Success {
        restore_quota(ctx, route);
    }
    let transition = admission.report(outcome);
    ctx.events.circuit(&route.endpoint, &route.model, transition, Some(request_id));
}
