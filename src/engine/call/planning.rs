//! The inputs of a call's plan: its routes in order, its settings, and what a failure means.

use std::sync::Arc;
use std::time::Duration;

use crate::config::defaults;
use crate::engine::admission::{CallContext, CallRoute, Routes, cool_down, estimated_tokens};
use crate::engine::time::clock;
use crate::error::{ConnectionFailure, Error, Kind};
use crate::policy::backoff::RetryDelays;
use crate::policy::classify::classify;
use crate::policy::deadline;
use crate::policy::decisions::Decision;
use crate::policy::interruption::{Interruption, Silence, interruption};
use crate::policy::plan::{Failure, Plan, Route, RouteId, Settings};
use crate::policy::routing;

/// The plan of a call over its routes.
pub(super) fn plan(ctx: &CallContext<'_>, routes: &Routes) -> Plan {
    let options = &ctx.request.options;
    let now = clock::now();
    let planned = order(ctx, routes).into_iter().map(|id| {
        let call_route = &routes[id];
        let endpoint = call_route.endpoint_index;
        let route = Route {
            id,
            endpoint,
            model: call_route.model_index,
            key: ctx.client.key_id(endpoint),
            context_tokens: ctx.client.config.catalogue.context_tokens(&call_route.model),
        };
        // Rounded up: a fraction of a millisecond waits a full one.
        let left = call_route.state.queue.cooldown();
        let left = left.map(|cooldown| cooldown.left.as_nanos().div_ceil(1_000_000) as u64);
        (route, left.map(|left| now + left))
    });
    let settings = Settings {
        max_retries: if options.single_attempt { 0 } else { options.max_retries },
        backoff: options.retry.backoff.clone(),
        max_retry_after: options.retry.max_retry_after,
        max_wait_before_fallback: match options.is_mirrored {
            true => Duration::ZERO,
            false => options.retry.max_wait_before_fallback,
        },
        min_attempt_time: deadline::min_attempt_time(options.total_timeout, defaults::MIN_ATTEMPT_TIME),
    };
    Plan::new(settings, planned.take(if options.single_attempt { 1 } else { usize::MAX }).collect())
        .with_rotation(options.rotate_endpoints)
}

/// The routes model by model, the endpoints of each model in the order of the routing strategy.
fn order(ctx: &CallContext<'_>, routes: &Routes) -> Vec<RouteId> {
    let endpoints = ctx.client.endpoints.len();
    if endpoints == 1 {
        return routes.iter().map(|route| route.id).collect();
    }
    let strategy = ctx.client.config.routing;
    let in_order = routes.by_model(endpoints).flat_map(|routes| {
        let candidates: Vec<_> = routes
            .iter()
            .map(|route| route.endpoint.candidate(&route.state, strategy, estimated_tokens(ctx, route)))
            .collect();
        let order = routing::order(strategy, &candidates, &mut rand::rng());
        order.into_iter().map(|index| routes[index].id)
    });
    in_order.collect()
}

/// What a failure means for the plan; its route starts to cool down. `attempt` is the number of the attempt in this
/// call, from 0; `again` means that an attempt of this call has failed with the same code before.
pub(super) fn failure(
    ctx: &CallContext<'_>,
    route: &CallRoute,
    error: &Error,
    attempt: usize,
    again: bool,
    silence: Silence,
) -> Failure {
    let retry = &ctx.request.options.retry;
    let decision = retry.decisions.decision_for(error).map(|row| row.at_attempt(attempt));
    let mut class = classify(error);
    class.retryable &= !(error.is_unexplained && again);
    let class = decision.map_or(class, |decision| decision.apply(class, error.kind));
    cool_down(ctx, route, error, class.cools_down);
    // A decision of the caller takes precedence.
    let is_decided = decision.is_some() || ctx.request.options.is_mirrored;
    let interruption = interruption(error, silence).filter(|_| !is_decided);
    let has_stalled = matches!(interruption, Some(Interruption::Stalled { .. }));
    Failure {
        class,
        retry_after: error.retry_after,
        // Another route is tried first.
        timed_out: has_stalled || matches!(error.kind, Kind::Timeout(_) | Kind::EmptyAnswer),
        rate_limited: class.cools_down && decision.is_none(),
        interruption,
        retry_delays: match decision {
            Some(Decision::Delays(waits) | Decision::FiniteDelays(waits)) => {
                Some(RetryDelays::Schedule(Arc::clone(waits)))
            }
            _ if is_reset(error) => retry.connection_reset.clone().map(RetryDelays::Uniform),
            _ => None,
        },
    }
}

/// ECONNRESET, before an answer or in the middle of it.
fn is_reset(error: &Error) -> bool {
    matches!(error.kind, Kind::Connection(ConnectionFailure::Reset | ConnectionFailure::Closed))
}
