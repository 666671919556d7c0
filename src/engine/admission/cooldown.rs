//! What a failure or an answer says about a route beyond the attempt itself.

use super::context::CallContext;
use super::route::CallRoute;
use crate::config::defaults;
use crate::engine::shared::endpoint::EndpointState;
use crate::error::{Error, Kind};

/// Pauses a route for all calls, for as long as its provider requested. A route that was rate limited without a stated
/// duration is deprioritized for a while. A key whose quota is exhausted is paused at every endpoint that uses it.
pub fn cool_down(ctx: &CallContext<'_>, route: &CallRoute, error: &Error, rate_limited: bool) {
    match error.retry_after {
        Some(requested) => route.state.queue.cool_down(requested),
        None if rate_limited && error.kind != Kind::QuotaExhausted => {
            route.state.queue.deprioritize(defaults::DEPRIORITIZATION_TIME);
        }
        None => {}
    }
    if error.kind == Kind::QuotaExhausted {
        ctx.client
            .endpoints_with_same_key(route.endpoint_index)
            .for_each(EndpointState::mark_quota_exhausted);
    }
}

/// The route has answered, so its key has quota.
pub fn restore_quota(ctx: &CallContext<'_>, route: &CallRoute) {
    if route.endpoint.restore_quota() {
        ctx.client.endpoints_with_same_key(route.endpoint_index).for_each(|endpoint| {
            endpoint.restore_quota();
        });
    }
}
