//! What a call charges to the retry budget: retries on a route, hedges, and every attempt after part of the answer was
//! delivered. The first attempt on another route is free.

use crate::engine::admission::CallContext;
use crate::engine::shared::event::Event;
use crate::engine::time::clock;
use crate::policy::plan::{Plan, Reason, Step, Stop};

/// Charges the attempt that is due. If the budget is exhausted, the plan moves to the first attempt on another route,
/// which is free, or stops.
pub(super) fn charge(ctx: &CallContext<'_>, step: Step, plan: &mut Plan, committed: bool) -> Step {
    let Step::Try { reason, .. } = step else { return step };
    if !is_charged(reason, committed) || try_spend(ctx) {
        return step;
    }
    if committed {
        return Step::Stop(Stop::RetryBudgetExhausted);
    }
    plan.retry_budget_exhausted(clock::now(), ctx.remaining(), &mut rand::rng())
}

/// Spends one retry, or reports which budget is exhausted.
pub(super) fn try_spend(ctx: &CallContext<'_>) -> bool {
    let Err(exhausted) = ctx.client.budget.try_spend(ctx.request.tenant()) else { return true };
    ctx.events.emit(Event::RetryBudget {
        call: ctx.events.call.clone(),
        request_id: ctx.events.last_request(),
        budget: exhausted.as_str(),
    });
    false
}

/// Refunds the charge for an attempt that was not made.
pub(super) fn refund(ctx: &CallContext<'_>, reason: Reason, committed: bool) {
    if is_charged(reason, committed) {
        ctx.client.budget.refund(ctx.request.tenant());
    }
}

fn is_charged(reason: Reason, committed: bool) -> bool {
    matches!(reason, Reason::Retry(_)) || committed
}
