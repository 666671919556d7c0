//! The cost that is reserved for one attempt, and counted while its answer arrives.

use std::sync::Arc;

use serde_json::Value;

use super::context::CallContext;
use super::estimate::{is_counted, prompt_upper_bound};
use super::route::CallRoute;
use crate::engine::shared::costs::{self, Costs, Price};
use crate::engine::shared::event::Event;
use crate::engine::time::clock;
use crate::error::{CostCap, Error, Kind, Result};
use crate::policy::estimate::TokenCount;
use crate::policy::ledger::{self, CapExceeded, Ledger, Limits, PicoUsd, Reservation};
use crate::wire::chat;

/// The cost reserved for one attempt. Dropped without a settlement (an aborted future, a panic), it charges what
/// was sent and received, and refunds the rest.
#[derive(Default)]
pub struct CostReservation(Option<OpenReservation>);

pub(super) struct OpenReservation {
    pub costs: Arc<Costs>,
    pub limits: Limits,
    pub reservation: Reservation,
    pub price: Option<Price>,
    /// The upper bound of the prompt in tokens, if it was estimated.
    pub prompt: Option<u64>,
    /// The prompt is the caller's, not that of a continuation.
    pub is_original_prompt: bool,
    pub meter: Meter,
    pub was_sent: bool,
    pub received: TokenCount,
}

/// When an answer is cut off because of its cost.
#[derive(Clone, Copy)]
pub(super) enum Meter {
    Off,
    /// All of `max_tokens` is reserved: this many tokens. Only a provider that ignores `max_tokens` sends twice as
    /// many.
    Full(u64),
    /// Less than the bound of the answer is reserved: the ledger is asked for more, up to this amount.
    Reduced(PicoUsd),
}

/// What an attempt has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    Cost(PicoUsd),
    /// The model has no price, and the attempt was not free.
    Unknown,
}

impl CostReservation {
    pub(super) fn new(open: OpenReservation) -> Self {
        CostReservation(Some(open))
    }

    /// [`super::permit::Permit::mark_sent`].
    pub(super) fn mark_sent(&mut self) {
        if let Some(open) = &mut self.0 {
            open.was_sent = true;
        }
    }

    /// Counts the content of a chunk.
    ///
    /// # Errors
    /// [`Kind::CostCap`] if the reservation is exhausted and cannot grow.
    pub fn count(&mut self, chunk: &chat::Chunk<'_>) -> Result<()> {
        let Some(open) = self.priced() else { return Ok(()) };
        for delta in chunk.choices.iter().flatten().filter_map(|choice| choice.delta.as_ref()) {
            let reasoning = delta.reasoning_content.as_ref().or(delta.reasoning.as_ref());
            for text in [delta.content.as_ref(), reasoning, delta.refusal.as_ref()].into_iter().flatten() {
                open.received.add_text(&text.text);
            }
            for (name, arguments) in delta.tool_calls.iter().flatten().map(chat::ToolCall::name_and_arguments)
            {
                for text in [name, arguments.map(|text| &*text.text)].into_iter().flatten() {
                    open.received.add_text(text);
                }
            }
        }
        open.check()
    }

    /// [`CostReservation::count`] for the text of an event in another dialect.
    pub fn count_text(&mut self, text: &str) -> Result<()> {
        let Some(open) = self.priced() else { return Ok(()) };
        open.received.add_text(text);
        open.check()
    }

    fn priced(&mut self) -> Option<&mut OpenReservation> {
        self.0.as_mut().filter(|open| open.price.is_some())
    }

    /// Settles the cost ([`super::permit::Permit::settle_cost`]).
    pub fn settle(
        mut self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        status: Option<u16>,
        is_complete: bool,
        usage: Option<&Value>,
    ) -> Option<Settlement> {
        let mut open = self.0.take()?;
        let model = &route.model;
        let is_free = !open.was_sent || (is_rejection(status) && open.received == TokenCount::default());
        let Some(price) = open.price else {
            open.settle(0);
            return (!is_free).then_some(Settlement::Unknown);
        };
        if !is_free && usage.is_none() && open.prompt.is_none() {
            open.prompt = Some(prompt_upper_bound(ctx, model, None));
        }
        let cost = match usage.and_then(|usage| price.of_usage(usage)) {
            _ if is_free => 0,
            Some(cost) if is_complete => cost,
            // Usage that is reported before the end may be incomplete.
            Some(cost) => cost.max(open.charge()),
            None => open.charge(),
        };
        ctx.client.metrics.charge(&route.endpoint.config.name, model, ledger::pico_to_usd(cost));
        let is_original_prompt = open.is_original_prompt;
        open.settle(cost);
        if is_original_prompt {
            learn_ratio(ctx, model, usage);
        }
        report_soft_limit(ctx);
        Some(Settlement::Cost(cost))
    }
}

impl Drop for CostReservation {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let cost = open.charge();
            open.settle(cost);
        }
    }
}

impl OpenReservation {
    /// Fails if the received tokens cost more than is reserved, and no more can be reserved.
    fn check(&mut self) -> Result<()> {
        let exceeded = match self.meter {
            Meter::Off => return Ok(()),
            Meter::Full(tokens) if self.received.estimate() / 2 <= tokens => return Ok(()),
            Meter::Full(_) => {
                let (tenant, needed) = (self.reservation.tenant(), self.upper_bound());
                let fits =
                    |ledger: &mut Ledger| ledger.check(&self.limits, tenant, PicoUsd::MAX, clock::now());
                match self.costs.ledger.update(fits) {
                    Ok(()) => return Ok(()),
                    Err(exceeded) => CapExceeded { needed, ..exceeded },
                }
            }
            Meter::Reduced(bound) => {
                // Beyond this the next token would not be covered.
                if self.upper_bound() < self.reservation.amount() || self.reservation.amount() >= bound {
                    return Ok(());
                }
                let more = bound - self.reservation.amount();
                let (reservation, limits) = (&mut self.reservation, &self.limits);
                match self.costs.ledger.update(|ledger| ledger.grow(limits, reservation, more)) {
                    Ok(()) => return Ok(()),
                    Err(exceeded) => exceeded,
                }
            }
        };
        let mut error = cost_cap_error(&exceeded, &self.limits);
        error.message = format!("the answer was cut off: {}", error.message);
        Err(error)
    }

    /// An upper bound for what was sent and received.
    fn upper_bound(&self) -> PicoUsd {
        let prompt = self.prompt.filter(|_| self.was_sent).unwrap_or(0);
        self.price.map_or(0, |price| price.times(prompt, self.received.upper_bound()))
    }

    /// The charge for an attempt without a usage report: never more than was reserved for it.
    fn charge(&self) -> PicoUsd {
        match self.meter {
            Meter::Off => self.upper_bound(),
            Meter::Full(_) | Meter::Reduced(_) => self.upper_bound().min(self.reservation.amount()),
        }
    }

    fn settle(self, cost: PicoUsd) {
        self.costs.ledger.update(|ledger| ledger.settle(self.reservation, cost));
    }
}

/// Whether the response means that no work was done, so that nothing is billed.
pub fn is_rejection(status: Option<u16>) -> bool {
    status.is_some_and(|status| (300..500).contains(&status) && !matches!(status, 408 | 499))
}

pub(super) fn cost_cap_error(exceeded: &CapExceeded, limits: &Limits) -> Error {
    let usd = ledger::pico_to_usd;
    let cap = CostCap {
        cap_usd: usd(exceeded.cap),
        spent_usd: usd(exceeded.spent),
        reserved_usd: usd(exceeded.reserved),
        needed_usd: usd(exceeded.needed),
        window: limits.window.as_str(),
    };
    let per = match limits.window {
        ledger::Window::Total => String::new(),
        window => format!(" a {}", window.as_str()),
    };
    let message = format!(
        "the call needs up to {} USD, but {} of the cap of {} USD{per} are spent and {} reserved by calls in flight",
        cap.needed_usd, cap.spent_usd, cap.cap_usd, cap.reserved_usd
    );
    let mut error = Error::new(Kind::CostCap, message);
    error.cost_cap = Some(cap);
    error.scope = Some(exceeded.scope);
    error
}

/// Corrects the estimate of prompts by the provider's count.
fn learn_ratio(ctx: &CallContext<'_>, model: &str, usage: Option<&Value>) {
    let actual = usage.and_then(|usage| usage.get("prompt_tokens")?.as_u64());
    if let (Some(estimated), Some(actual), false) = (ctx.known_prompt(), actual, is_counted(ctx, model)) {
        ctx.client.costs.ratios.update(|ratios| ratios.observe(model, estimated, actual));
    }
}

fn report_soft_limit(ctx: &CallContext<'_>) {
    let limits = costs::limits(&ctx.client.config);
    let reached =
        ctx.client.costs.ledger.update(|ledger| ledger.take_soft_limit_notice(&limits, clock::now()));
    if let (Some((since, spent)), Some(limit)) = (reached, limits.soft_limit) {
        ctx.events.emit(Event::SoftLimit {
            call: ctx.events.call.clone(),
            request_id: ctx.events.last_request(),
            window: limits.window.as_str(),
            since,
            soft_limit_usd: ledger::pico_to_usd(limit),
            spent_usd: ledger::pico_to_usd(spent),
        });
    }
}
