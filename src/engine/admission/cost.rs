//! The cost of an attempt before it is made: whether it fits under the cap, and its reservation.

use std::sync::Arc;

use super::context::CallContext;
use super::cost_reservation::{CostReservation, Meter, OpenReservation, cost_cap_error};
use super::estimate::prompt_upper_bound;
use super::route::CallRoute;
use crate::config::{Cost, defaults, unpriced_model};
use crate::engine::shared::costs::{Price, limits};
use crate::engine::time::clock;
use crate::error::Result;
use crate::policy::ledger::{Ledger, PicoUsd};

/// Fails if an attempt on this route does not fit under the cap now, before it waits.
///
/// # Errors
/// [`crate::error::Kind::CostCap`]; a model without a price under a cap.
pub(super) fn check_cost(ctx: &CallContext<'_>, route: &CallRoute, committed: bool) -> Result<()> {
    if route.needs_no_tokens {
        return Ok(());
    }
    let Some(bound) = cost_bound(ctx, route, None, None)? else { return Ok(()) };
    let limits = limits(&ctx.client.config);
    // A continuation may need less than the whole answer.
    let needed = if committed { 1 } else { bound.minimum() };
    let fits = |ledger: &mut Ledger| ledger.check(&limits, ctx.request.tenant(), needed, clock::now());
    ctx.client.costs.ledger.update(fits).map_err(|exceeded| cost_cap_error(&exceeded, &limits))
}

/// [`super::permit::Permit::reserve_cost`].
pub(super) fn reserve_cost(
    ctx: &CallContext<'_>,
    route: &CallRoute,
    messages: Option<&str>,
    max_tokens: Option<u64>,
) -> Result<CostReservation> {
    let (client, model) = (ctx.client, &route.model);
    let bound = cost_bound(ctx, route, messages, max_tokens)?;
    let price = Price::of(&client.config, model);
    let prompt = match (&bound, messages) {
        (Some(bound), _) => Some(bound.prompt),
        (None, Some(_)) if price.is_some() => Some(prompt_upper_bound(ctx, model, messages)),
        // Estimated when it is needed: for an attempt without a usage report.
        _ => None,
    };
    let limits = limits(&client.config);
    let tenant = ctx.request.tenant();
    let is_capped = limits.is_capped(tenant);
    let range = match &bound {
        None => (0, 0),
        // Without a cap, an unbounded answer is not reserved for.
        Some(bound) if !is_capped && bound.output.is_none() => (bound.minimum(), bound.minimum()),
        Some(bound) => (bound.minimum(), bound.maximum()),
    };
    let reserve = |ledger: &mut Ledger| ledger.reserve(&limits, tenant, model, range, clock::now());
    let reservation =
        client.costs.ledger.update(reserve).map_err(|exceeded| cost_cap_error(&exceeded, &limits))?;
    let meter = match &bound {
        Some(bound) if is_capped => match bound.output {
            Some(output) if bound.has_max_tokens => Meter::Full(output),
            _ => Meter::Reduced(bound.maximum()),
        },
        _ => Meter::Off,
    };
    Ok(CostReservation::new(OpenReservation {
        costs: Arc::clone(&client.costs),
        limits,
        reservation,
        price,
        prompt,
        is_original_prompt: messages.is_none(),
        meter,
        was_sent: false,
        received: Default::default(),
    }))
}

/// The upper bound of the cost of an attempt.
struct CostBound {
    price: Price,
    /// Tokens of the prompt.
    prompt: u64,
    /// The maximum number of tokens of the answer; `None` without a limit.
    output: Option<u64>,
    /// The caller has limited the length of the answer.
    has_max_tokens: bool,
}

impl CostBound {
    fn maximum(&self) -> PicoUsd {
        match self.output {
            Some(output) => self.price.times(self.prompt, output),
            None if self.price.output == 0 => self.price.times(self.prompt, 0),
            None => PicoUsd::MAX,
        }
    }

    /// What must fit: all of it or, without `max_tokens`, which alone makes the bound high, the prompt and the start of
    /// an answer.
    fn minimum(&self) -> PicoUsd {
        if self.has_max_tokens {
            self.maximum()
        } else {
            self.price.times(self.prompt, defaults::MIN_OUTPUT_TOKENS).min(self.maximum())
        }
    }
}

/// The bound of an attempt on a route; `None` if costs are not configured.
fn cost_bound(
    ctx: &CallContext<'_>,
    route: &CallRoute,
    messages: Option<&str>,
    max_tokens: Option<u64>,
) -> Result<Option<CostBound>> {
    let (config, model) = (&ctx.client.config, &route.model);
    if config.cost.is_none() {
        return Ok(None);
    }
    let Some(price) = Price::of(config, model) else {
        return match config.cost.as_ref().is_some_and(Cost::is_capped) {
            true => Err(unpriced_model("request.model", model)),
            false => Ok(None),
        };
    };
    let max_tokens = max_tokens.or(ctx.request.chat.max_tokens());
    let choices = ctx.request.chat.choices() as u64;
    let output = max_tokens.or(config.catalogue.max_output_tokens(model));
    let output = output.map(|tokens| tokens.saturating_mul(choices));
    let prompt = prompt_upper_bound(ctx, model, messages);
    Ok(Some(CostBound { price, prompt, output, has_max_tokens: max_tokens.is_some() }))
}
