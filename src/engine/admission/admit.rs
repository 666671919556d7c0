//! The checks before an attempt that do not wait.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::context::CallContext;
use super::cost::check_cost;
use super::estimate::estimated_tokens;
use super::limits::{LimitReservations, limiters};
use super::permit::Permit;
use super::route::CallRoute;
use crate::engine::shared::breaker::{BreakerPermit, SharedBreaker};
use crate::error::{Error, Kind};
use crate::policy::plan::RouteUnavailable;

/// Why an attempt was not admitted.
pub enum Rejected {
    /// Another route may be tried, or this one later. The error is that of the call if no route is left.
    Route(RouteUnavailable, Option<Error>),
    /// The breaker of the route is open; a probe is due after this time.
    CircuitOpen(Duration),
    /// The call fails.
    Call(Error),
}

impl Rejected {
    /// What an error before an attempt means. `committed`: the consumer has part of an answer.
    pub fn from_error(error: Error, route: &CallRoute, committed: bool) -> Self {
        match error.kind {
            Kind::QueueFull | Kind::NeverFits => Rejected::Route(RouteUnavailable::Rejected, Some(error)),
            // A cheaper model may fit.
            Kind::CostCap if !committed => Rejected::Route(RouteUnavailable::Rejected, Some(error)),
            // The cooldown became longer during the wait.
            Kind::RateLimit => {
                let left = route.state.queue.cooldown().map_or(Duration::ZERO, |cooldown| cooldown.left);
                Rejected::Route(RouteUnavailable::RetryAfter(left), None)
            }
            _ => Rejected::Call(error),
        }
    }
}

/// Admits an attempt on the route that is due, as far as that is possible without a wait. `will_wait`: no other route
/// can be tried sooner, so the call waits in the queue of this one, and neither a cooldown nor the limits reject it
/// here. The client's own limiter applies to all routes, so it does not justify another one.
pub fn try_admit(
    ctx: &CallContext<'_>,
    route: &CallRoute,
    committed: bool,
    will_wait: bool,
) -> Result<Box<Permit>, Rejected> {
    check_cost(ctx, route, committed).map_err(|error| Rejected::from_error(error, route, committed))?;
    if has_another_key(ctx, route) && !route.endpoint.try_quota() {
        return Err(Rejected::Route(RouteUnavailable::Rejected, None));
    }
    let limits = if will_wait { [None, None] } else { reserve_limits(ctx, route)? };
    let breaker = acquire_breaker(ctx, route).map_err(Rejected::CircuitOpen)?;
    Ok(Box::new(Permit::new(&route.endpoint, breaker, limits, None)))
}

/// What the limiters grant now. If the client's own has no capacity, nothing is taken from either.
fn reserve_limits(ctx: &CallContext<'_>, route: &CallRoute) -> Result<LimitReservations, Rejected> {
    let queue = &route.state.queue;
    if let Some(cooldown) = queue.cooldown() {
        return Err(Rejected::Route(RouteUnavailable::RetryAfter(cooldown.left), None));
    }
    let waiting = queue.waiting();
    let [client, endpoint] = limiters(ctx.client, &route.endpoint);
    let tokens = estimated_tokens(ctx, route);
    let endpoint = endpoint.map(|limiter| limiter.reserve_now(tokens)).transpose();
    let endpoint = endpoint.map_err(|(reason, error)| Rejected::Route(reason, error))?;
    if waiting > 0 {
        // A millisecond for each waiting attempt: less than any real wait, and more in a longer queue.
        let wait = Duration::from_millis(waiting as u64);
        return Err(Rejected::Route(RouteUnavailable::Wait(wait), None));
    }
    match client {
        None => Ok([None, endpoint]),
        Some(client) => {
            Ok(client.try_reserve(tokens).map_or([None, None], |reservation| [Some(reservation), endpoint]))
        }
    }
}

/// A permit of the route's breaker, or how long it stays open.
fn acquire_breaker(ctx: &CallContext<'_>, route: &CallRoute) -> Result<Option<BreakerPermit>, Duration> {
    let Some(breaker) = &route.state.breaker else { return Ok(None) };
    let (permit, transition) = breaker.acquire().map_err(|denied| denied.retry_after)?;
    ctx.events.circuit(&route.endpoint, &route.model, transition, None);
    Ok(Some(permit))
}

/// Whether the call may use an endpoint whose key is not known to be out of quota.
fn has_another_key(ctx: &CallContext<'_>, route: &CallRoute) -> bool {
    let mut others =
        ctx.client.endpoints.iter().enumerate().filter(|(index, _)| *index != route.endpoint_index);
    !ctx.request.options.single_attempt && others.any(|(_, other)| !other.is_quota_exhausted())
}

/// Whether a route could take a hedge now. Takes nothing.
pub fn would_admit(ctx: &CallContext<'_>, route: &CallRoute, committed: bool) -> bool {
    let tokens = estimated_tokens(ctx, route);
    let key_is_exhausted = has_another_key(ctx, route) && route.endpoint.is_quota_exhausted();
    !key_is_exhausted
        && route.state.queue.is_free()
        && route.state.breaker.as_ref().is_none_or(SharedBreaker::would_admit)
        && limiters(ctx.client, &route.endpoint)
            .into_iter()
            .flatten()
            .all(|limiter| limiter.would_admit(1.0, tokens))
        && check_cost(ctx, route, committed).is_ok()
}

/// Admits a hedge on a route now, or not at all. `slot` is its concurrency slot.
pub fn try_admit_hedge(
    ctx: &CallContext<'_>,
    route: &CallRoute,
    slot: Option<OwnedSemaphorePermit>,
) -> Option<Box<Permit>> {
    let tokens = estimated_tokens(ctx, route);
    let mut limits = [None, None];
    for (limiter, reservation) in limiters(ctx.client, &route.endpoint).into_iter().zip(&mut limits) {
        if let Some(limiter) = limiter {
            *reservation = Some(limiter.try_reserve(tokens)?);
        }
    }
    let breaker = acquire_breaker(ctx, route).ok()?;
    Some(Box::new(Permit::new(&route.endpoint, breaker, limits, slot)))
}
