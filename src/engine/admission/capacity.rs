//! The wait for capacity: in the queue of the route for the end of a cooldown and for the rate limits, then for a
//! concurrency slot.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::context::CallContext;
use super::estimate::estimated_tokens;
use super::limits::{LimitReservations, Limiters, limiters};
use super::permit::Permit;
use super::route::CallRoute;
use crate::config::defaults as d;
use crate::engine::shared::limiter::{LimitReservation, Limiter};
use crate::engine::shared::queue::{Cooldown, RouteQueue};
use crate::engine::time::clock;
use crate::error::{Error, Kind, Result};

/// The rate limits, and a concurrency slot.
type Capacity = (LimitReservations, Option<OwnedSemaphorePermit>);

/// Completes a permit: waits for the rate limits and for a slot. Dropping the future leaves every queue and returns
/// what was taken. `has_other_routes`: the call can use another route.
///
/// # Errors
/// [`Kind::QueueFull`], [`Kind::NeverFits`], [`Kind::RateLimit`] if the route has no capacity after all and the plan must
/// decide again.
pub async fn wait_for_capacity(
    ctx: &CallContext<'_>,
    route: &mut CallRoute,
    has_other_routes: bool,
    permit: &mut Permit,
) -> Result<()> {
    let queue = Arc::clone(&route.state.queue);
    // A call that its provider rejected keeps its position ahead of later arrivals.
    let ticket = *route.ticket.get_or_insert_with(|| queue.take_ticket());
    let limits = permit.take_limits();
    let (limits, slot) = find_capacity(ctx, route, has_other_routes, &queue, ticket, limits).await?;
    permit.set_capacity(limits, slot);
    Ok(())
}

async fn find_capacity(
    ctx: &CallContext<'_>,
    route: &mut CallRoute,
    has_other_routes: bool,
    queue: &Arc<RouteQueue>,
    ticket: u64,
    limits: LimitReservations,
) -> Result<Capacity> {
    let mut tokens = estimated_tokens(ctx, route);
    let mut was_admitted = mem::take(&mut route.was_admitted);
    let limiters = limiters(ctx.client, &route.endpoint);
    if queue.is_free() {
        let is_complete = limiters
            .iter()
            .zip(&limits)
            .all(|(limiter, reservation)| limiter.is_none() || reservation.is_some());
        let reserved = if is_complete {
            Some(limits)
        } else {
            drop(limits);
            reserve_at_once(&limiters, tokens, Limiter::try_reserve)
        };
        if let Some(reserved) = reserved {
            if let Some(capacity) = find_slot(ctx, queue, &limiters, tokens, reserved).await? {
                return Ok(capacity);
            }
            was_admitted = true;
            // Another route may have capacity now; if none has, the plan returns here.
            if has_other_routes && queue.cooldown().is_none() {
                route.was_admitted = true;
                return Err(Error::new(Kind::RateLimit, "the rate limit of the route is reached"));
            }
        }
    } else {
        drop(limits);
    }
    let mut slots = [None, None];
    for (limiter, slot) in limiters.iter().zip(&mut slots) {
        if let Some(limiter) = limiter {
            match limiter.enter_queue(tokens) {
                // It was admitted before.
                Err(error) if was_admitted && error.kind == Kind::QueueFull => {}
                entered => *slot = Some(entered?),
            }
        }
    }
    match queue.cooldown() {
        None if limiters.iter().any(Option::is_some) => ctx.events.wait(Duration::ZERO, "rate-limit"),
        cooldown => {
            ctx.events.wait(cooldown.map_or(Duration::ZERO, |cooldown| cooldown.left), "retry-after");
        }
    }
    let _guard = queue.acquire(ticket).await;
    loop {
        while let Some(cooldown) = queue.cooldown() {
            if is_too_long(ctx, &cooldown) {
                return Err(cooling_down(&cooldown));
            }
            clock::sleep(cooldown.left).await;
        }
        let reserved = match reserve(&limiters, tokens).await {
            // The provider has reported a lower limit in the meantime, and the estimate of an answer without
            // `max_tokens` is bounded by the limit.
            Err(error) if error.kind == Kind::NeverFits && estimated_tokens(ctx, route) < tokens => {
                tokens = estimated_tokens(ctx, route);
                continue;
            }
            reserved => reserved?,
        };
        if queue.cooldown().is_none()
            && let Some(capacity) = find_slot(ctx, queue, &limiters, tokens, reserved).await?
        {
            return Ok(capacity);
        }
    }
}

/// A concurrency slot. Calls that wait for one return their rate limits in the meantime, because otherwise all would
/// be sent in one burst. `None` if the limits are exhausted afterwards, or the provider has requested a pause.
async fn find_slot(
    ctx: &CallContext<'_>,
    queue: &RouteQueue,
    limiters: &Limiters<'_>,
    tokens: f64,
    limits: LimitReservations,
) -> Result<Option<Capacity>> {
    let concurrency = &ctx.client.concurrency;
    let (limits, slot) = match concurrency.try_acquire() {
        Some(slot) => (Some(limits), slot),
        None => {
            drop(limits);
            let slot = concurrency.acquire(|| ctx.events.wait(Duration::ZERO, "queue")).await?;
            (reserve_at_once(limiters, tokens, Limiter::try_reserve_first), slot)
        }
    };
    Ok(limits.filter(|_| queue.cooldown().is_none()).map(|limits| (limits, slot)))
}

fn reserve_at_once(
    limiters: &Limiters<'_>,
    tokens: f64,
    take: impl Fn(&Arc<Limiter>, f64) -> Option<LimitReservation>,
) -> Option<LimitReservations> {
    let mut reserved = [None, None];
    for (limiter, reserved) in limiters.iter().zip(&mut reserved) {
        if let Some(limiter) = limiter {
            *reserved = Some(take(limiter, tokens)?);
        }
    }
    Some(reserved)
}

async fn reserve(limiters: &Limiters<'_>, tokens: f64) -> Result<LimitReservations> {
    let mut reserved = [None, None];
    for (limiter, reserved) in limiters.iter().zip(&mut reserved) {
        if let Some(limiter) = limiter {
            *reserved = Some(limiter.reserve(tokens).await?);
        }
    }
    Ok(reserved)
}

fn is_too_long(ctx: &CallContext<'_>, cooldown: &Cooldown) -> bool {
    let past_deadline = ctx.remaining().is_some_and(|remaining| cooldown.left >= remaining);
    past_deadline || cooldown.left > ctx.request.options.retry.max_retry_after
}

/// The error of a call that does not wait for a cooldown requested of another call.
pub fn cooling_down(cooldown: &Cooldown) -> Error {
    // Of a longer pause only the first part is a cooldown.
    let passed = cooldown.requested.min(d::MAX_COOLDOWN).saturating_sub(cooldown.left);
    let left = cooldown.requested.saturating_sub(passed);
    let (requested, left_ms) = (cooldown.requested.as_millis(), left.as_millis());
    let message = format!("the provider requested a pause of {requested} ms; {left_ms} ms are left");
    Error::new(Kind::RateLimit, message).with_status(429).with_retry_after(Some(left))
}
