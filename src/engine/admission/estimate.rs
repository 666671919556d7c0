//! How many tokens an attempt needs: an estimate for the limiters, and an upper bound for the cost cap.

use super::context::CallContext;
use super::limits::limiters;
use super::route::CallRoute;
use crate::engine::shared::limiter::Limiter;
use crate::policy::estimate::{self, TokenCount};

/// The tokens that an attempt on a route is likely to need, for its limiters; 0 without limiters. An answer without
/// `max_tokens` counts as the longest recent answer of its model or, before the first one, as the catalogue's limit,
/// but never as more than the limiters hold.
pub fn estimated_tokens(ctx: &CallContext<'_>, route: &CallRoute) -> f64 {
    let limiters = limiters(ctx.client, &route.endpoint);
    if route.needs_no_tokens || limiters.iter().all(Option::is_none) {
        return 0.0;
    }
    let (model, request) = (&route.model, ctx.request);
    let tally = prompt(ctx, model, None);
    let prompt = match is_counted(ctx, model) {
        true => tally.estimate() as f64,
        false => ctx.client.costs.ratios.update(|ratios| ratios.estimate(model, &tally)),
    };
    let choices = request.chat.choices() as f64;
    if let Some(max_tokens) = request.chat.max_tokens() {
        return prompt + max_tokens as f64 * choices;
    }
    let recent = ctx.client.costs.lengths.update(|lengths| lengths.estimate(model));
    let limit = || ctx.client.config.catalogue.max_output_tokens(model).map(|limit| limit as f64);
    let answer = recent.or_else(limit).unwrap_or(0.0);
    // The caller has not asked for that many, so it does not justify a rejection.
    let capacities = limiters.into_iter().flatten().filter_map(|limiter| Limiter::token_capacity(limiter));
    let capacity = capacities.fold(f64::INFINITY, f64::min);
    (prompt + answer * choices).min(capacity).max(prompt)
}

/// An upper bound of the prompt in tokens, with `messages` in place of the caller's own.
pub(super) fn prompt_upper_bound(ctx: &CallContext<'_>, model: &str, messages: Option<&str>) -> u64 {
    let tally = prompt(ctx, model, messages);
    match is_counted(ctx, model) {
        true => tally.upper_bound(),
        false => ctx.client.costs.ratios.update(|ratios| ratios.upper_bound(model, &tally)),
    }
}

/// Whether the caller has counted the tokens of the prompt for this model.
pub(super) fn is_counted(ctx: &CallContext<'_>, model: &str) -> bool {
    ctx.request.options.prompt_tokens.contains_key(model)
}

fn prompt(ctx: &CallContext<'_>, model: &str, messages: Option<&str>) -> TokenCount {
    let prompt = *ctx.prompt();
    let tally =
        ctx.request.options.prompt_tokens.get(model).map_or(prompt, |count| prompt.with_text_tokens(*count));
    match messages {
        None => tally,
        Some(messages) => {
            let longer = estimate::prompt_tokens(messages, ctx.request.chat.prompt_fields());
            tally.with_growth(&prompt, &longer)
        }
    }
}
