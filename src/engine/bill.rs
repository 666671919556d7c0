//! What one attempt has reserved, counted while its answer comes. A [`Bill`] is settled when the attempt
//! is closed; one that is dropped instead (a panic) settles itself, and gives back what was not used.

use std::sync::Arc;

use serde_json::Value;

use super::clock;
use super::cost::Costs;
use crate::config::ClientConfig;
use crate::error::{CostCap, Error, Kind, Result};
use crate::policy::estimate::Tally;
use crate::policy::ledger::{self, Ledger, Limits, Pico, Refusal, Reservation};
use crate::wire::chat;

/// What the price of a model is, for one token.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    input: Pico,
    pub output: Pico,
}

impl Price {
    pub fn of(config: &ClientConfig, model: &str) -> Option<Price> {
        let (input, output) = config.catalogue.price(model)?;
        Some(Price { input: ledger::price_of_token(input), output: ledger::price_of_token(output) })
    }

    pub fn times(self, input: u64, output: u64) -> Pico {
        self.input.saturating_mul(input).saturating_add(self.output.saturating_mul(output))
    }

    /// What this usage costs, where it says enough. Tokens that are only told in total count at the
    /// dearer price.
    pub fn usage(self, usage: &Value) -> Option<Pico> {
        let tokens = |name: &str| usage.get(name).and_then(Value::as_u64);
        match (tokens("prompt_tokens"), tokens("completion_tokens"), tokens("total_tokens")) {
            (Some(input), Some(output), _) => Some(self.times(input, output)),
            (_, _, Some(total)) => Some(self.input.max(self.output).saturating_mul(total)),
            _ => None,
        }
    }
}

/// What one attempt has reserved, and what it has come to so far.
#[derive(Default)]
pub struct Bill(pub(super) Option<Open>);

pub struct Open {
    pub costs: Arc<Costs>,
    pub limits: Limits,
    pub reservation: Reservation,
    pub price: Option<Price>,
    /// The bound of the prompt in tokens, where it was reckoned.
    pub prompt: Option<u64>,
    /// It is the caller's own prompt, not that of a continuation.
    pub own: bool,
    pub meter: Meter,
    /// The request is on its way.
    pub sent: bool,
    pub received: Tally,
}

/// When an answer is cut.
#[derive(Clone, Copy)]
pub enum Meter {
    Off,
    /// All that the request allows is reserved: so many tokens. Only a provider that does not keep to
    /// `max_tokens` comes to twice as much.
    Full(u64),
    /// Less than the bound of the answer is reserved: the ledger is asked for more, up to this amount.
    Reduced(Pico),
}

impl Bill {
    /// The request is on its way: from here on it costs.
    pub fn sent(&mut self) {
        if let Some(open) = &mut self.0 {
            open.sent = true;
        }
    }

    /// Counts what a chunk brings. An error when what is reserved is used up, and nothing is left.
    pub fn count(&mut self, chunk: &chat::Chunk<'_>) -> std::result::Result<(), Error> {
        let Some(open) = self.0.as_mut().filter(|open| open.price.is_some()) else { return Ok(()) };
        for delta in chunk.choices.iter().flatten().filter_map(|choice| choice.delta.as_ref()) {
            let reasoning = delta.reasoning_content.as_ref().or(delta.reasoning.as_ref());
            for text in [delta.content.as_ref(), reasoning, delta.refusal.as_ref()].into_iter().flatten() {
                open.received.text(&text.0);
            }
            for (name, arguments) in delta.tool_calls.iter().flatten().map(chat::ToolCall::said) {
                for text in [name, arguments].into_iter().flatten() {
                    open.received.text(text);
                }
            }
        }
        open.measure()
    }
}

impl Bill {
    /// Counts text that an event in another dialect brings.
    pub fn count_text(&mut self, text: &str) -> std::result::Result<(), Error> {
        let Some(open) = self.0.as_mut().filter(|open| open.price.is_some()) else { return Ok(()) };
        open.received.text(text);
        open.measure()
    }
}

impl Open {
    fn measure(&mut self) -> Result<()> {
        let refusal = match self.meter {
            Meter::Off => return Ok(()),
            Meter::Full(tokens) if self.received.likely() / 2 <= tokens => return Ok(()),
            Meter::Full(_) => {
                let (key, needed) = (self.reservation.tenant(), self.reckoned());
                let refused = |ledger: &mut Ledger| ledger.fits(&self.limits, key, Pico::MAX, clock::now());
                match self.costs.ledger.update(refused) {
                    Ok(()) => return Ok(()),
                    Err(refusal) => Refusal { needed, ..refusal },
                }
            }
            Meter::Reduced(bound) => {
                // The next token would not be covered any more.
                if self.reckoned() < self.reservation.amount() || self.reservation.amount() >= bound {
                    return Ok(());
                }
                let more = bound - self.reservation.amount();
                let (held, limits) = (&mut self.reservation, &self.limits);
                match self.costs.ledger.update(|ledger| ledger.grow(limits, held, more)) {
                    Ok(()) => return Ok(()),
                    Err(refusal) => refusal,
                }
            }
        };
        let mut error = cap_error(&refusal, &self.limits);
        error.message = format!("the answer was cut off: {}", error.message);
        Err(error)
    }

    /// What was sent and received, reckoned high.
    fn reckoned(&self) -> Pico {
        let prompt = self.prompt.filter(|_| self.sent).unwrap_or(0);
        self.price.map_or(0, |price| price.times(prompt, self.received.most()))
    }

    /// What an attempt costs of which no usage is known: never more than was reserved for it.
    pub fn charge(&self) -> Pico {
        match self.meter {
            Meter::Off => self.reckoned(),
            Meter::Full(_) | Meter::Reduced(_) => self.reckoned().min(self.reservation.amount()),
        }
    }

    pub fn settle(self, cost: Pico) {
        self.costs.ledger.update(|ledger| ledger.settle(self.reservation, cost));
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            let cost = open.charge();
            open.settle(cost);
        }
    }
}

/// True for an answer that says that nothing was done, so that nothing is billed.
pub fn is_refusal(status: Option<u16>) -> bool {
    status.is_some_and(|status| (300..500).contains(&status) && !matches!(status, 408 | 499))
}

pub fn cap_error(refusal: &Refusal, limits: &Limits) -> Error {
    let usd = ledger::usd;
    let cap = CostCap {
        cap_usd: usd(refusal.cap),
        spent_usd: usd(refusal.spent),
        reserved_usd: usd(refusal.reserved),
        needed_usd: usd(refusal.needed),
        window: limits.window.as_str(),
    };
    let per = match limits.window {
        ledger::Window::Total => String::new(),
        window => format!(" a {}", window.as_str()),
    };
    let message = format!(
        "it needs up to {} USD of a cap of {} USD{per}, of which {} are spent and {} reserved by calls under way",
        cap.needed_usd, cap.cap_usd, cap.spent_usd, cap.reserved_usd
    );
    let mut error = Error::new(Kind::CostCap, message);
    error.cost_cap = Some(cap);
    error
}
