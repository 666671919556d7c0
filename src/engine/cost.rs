//! The money of calls: reserved before an attempt, counted while its answer comes ([`super::bill`]), and
//! settled after it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::attempt::Progress;
use super::bill::{Bill, Meter, Open, Price, cap_error, is_refusal};
use super::call::Running;
use super::clock;
use super::event::Event;
use crate::config::{ClientConfig, Cost, defaults as d, unpriced};
use crate::error::Result;
use crate::policy::estimate::{self, Lengths, Ratios, Tally};
use crate::policy::ledger::{self, Ledger, Limits, Pico};
use crate::store::Slot;

/// What the calls of a client share.
#[derive(Default)]
pub struct Costs {
    pub(super) ledger: Slot<Ledger>,
    ratios: Slot<Ratios>,
    lengths: Slot<Lengths>,
    /// When the client was made, in milliseconds since the epoch.
    since: u64,
}

fn limits(config: &ClientConfig) -> Limits {
    config.cost.clone().unwrap_or_default().limits
}

impl Costs {
    pub fn new() -> Arc<Self> {
        Arc::new(Costs { since: clock::now(), ..Costs::default() })
    }

    /// Whether cheaper models go first by now.
    pub(super) fn is_soft(&self, config: &ClientConfig) -> bool {
        self.ledger.update(|ledger| ledger.is_soft(&limits(config), clock::now()))
    }

    /// What was spent in the window that is now, as JSON.
    pub(super) fn report(&self, config: &ClientConfig) -> Value {
        let limits = limits(config);
        self.ledger.update(|ledger| {
            let period = ledger.period(limits.window, clock::now());
            let line = |line: &ledger::Line| json!({ "spentUsd": ledger::usd(line.spent), "reservedUsd": ledger::usd(line.reserved) });
            let lines = |lines: &std::collections::BTreeMap<String, ledger::Line>| -> Value {
                lines.iter().map(|(name, of)| (name.clone(), line(of))).collect::<serde_json::Map<_, _>>().into()
            };
            json!({
                "window": limits.window,
                "since": period.since.max(if limits.window == ledger::Window::Total { self.since } else { 0 }),
                "spentUsd": ledger::usd(period.total.spent),
                "reservedUsd": ledger::usd(period.total.reserved),
                "capUsd": limits.hard_cap.map(ledger::usd),
                "byTenant": lines(&period.tenants),
                "byModel": lines(&period.models),
            })
        })
    }
}

/// What one call has cost.
#[derive(Default)]
pub(super) struct Tab {
    /// What the caller's own messages come to; reckoned when it is first needed.
    prompt: Option<Tally>,
    spent: Pico,
    /// An attempt was made of which nobody knows the price.
    unknown: bool,
}

impl Tab {
    /// Goes on from what earlier attempts have cost.
    pub fn restore(&mut self, usd: Option<f64>) {
        match usd {
            Some(usd) => self.spent = ledger::pico(usd.clamp(0.0, 1e6)),
            None => self.unknown = true,
        }
    }

    /// In USD; `None` where the price of a model is not known.
    pub fn usd(&self) -> Option<f64> {
        (!self.unknown).then(|| ledger::usd(self.spent))
    }
}

/// The bound of an attempt.
struct Bound {
    price: Price,
    prompt: u64,
    /// The most tokens of the answer; `None` where nobody knows.
    output: Option<u64>,
    /// The caller has said how long the answer may be.
    said: bool,
}

impl Bound {
    fn most(&self) -> Pico {
        match self.output {
            Some(output) => self.price.times(self.prompt, output),
            None if self.price.output == 0 => self.price.times(self.prompt, 0),
            None => Pico::MAX,
        }
    }

    /// The least that has to fit: all of it, or where the bound is large only because nobody said how
    /// long the answer may be, the prompt and the beginning of an answer.
    fn least(&self) -> Pico {
        if self.said {
            self.most()
        } else {
            self.price.times(self.prompt, d::MIN_OUTPUT_TOKENS).min(self.most())
        }
    }
}

impl Running<'_> {
    fn own_prompt(&mut self) -> Tally {
        let request = &self.call.request;
        *self
            .tab
            .prompt
            .get_or_insert_with(|| estimate::prompt(request.messages(), request.beside_messages()))
    }

    /// What the prompt comes to for a model, with `messages` in place of the caller's own.
    fn prompt(&mut self, model: &str, messages: Option<&str>) -> Tally {
        let own = self.own_prompt();
        let counted = self.call.options.prompt_tokens.get(model);
        let tally = counted.map_or(own, |count| own.counted(*count));
        match messages {
            None => tally,
            Some(messages) => {
                let longer = estimate::prompt(messages, self.call.request.beside_messages());
                tally.extended(&own, &longer)
            }
        }
    }

    /// The tokens that an attempt is likely to need, for the limiters of its route. An answer of which
    /// nobody has said how long it may be counts as the longest of its model lately, and before there was
    /// one as the catalogue's limit, but never for more than the limiters hold.
    pub(super) fn estimated(&mut self, place: usize) -> f64 {
        let route = &self.routes[place];
        if self.client.limiter.is_none() && route.endpoint.limiter.is_none() {
            return 0.0;
        }
        let model = route.model.clone();
        let tally = self.prompt(&model, None);
        let prompt = match self.call.options.prompt_tokens.contains_key(&model) {
            true => tally.likely() as f64,
            false => self.client.costs.ratios.update(|ratios| ratios.likely(&model, &tally)),
        };
        let choices = self.call.request.choices() as f64;
        match self.call.request.max_tokens() {
            Some(most) => prompt + most as f64 * choices,
            None => {
                let seen = self.client.costs.lengths.update(|lengths| lengths.likely(&model));
                let limit = || self.client.config.catalogue.max_output_tokens(&model);
                let answer = seen.or_else(|| limit().map(|limit| limit as f64)).unwrap_or(0.0);
                // Nobody has said that it will be that long: no reason for it never to pass.
                let limiters = self.limiters(&self.routes[place].endpoint);
                let holds = limiters.iter().flatten().filter_map(|limiter| limiter.token_capacity());
                let holds = holds.fold(f64::INFINITY, f64::min);
                (prompt + answer * choices).min(holds).max(prompt)
            }
        }
    }

    fn most_of_prompt(&mut self, model: &str, messages: Option<&str>) -> u64 {
        let tally = self.prompt(model, messages);
        match self.call.options.prompt_tokens.contains_key(model) {
            true => tally.most(),
            false => self.client.costs.ratios.update(|ratios| ratios.most(model, &tally)),
        }
    }

    /// The bound of an attempt on a route; `None` where nothing is capped.
    fn bound(&mut self, place: usize, messages: Option<&str>, rest: Option<u64>) -> Result<Option<Bound>> {
        let config = &self.client.config;
        if config.cost.is_none() {
            return Ok(None);
        }
        let model = self.routes[place].model.clone();
        let Some(price) = Price::of(config, &model) else {
            return match config.cost.as_ref().is_some_and(Cost::is_capped) {
                true => Err(unpriced("request.model", &model)),
                false => Ok(None),
            };
        };
        let said = rest.or(self.call.request.max_tokens());
        let choices = self.call.request.choices() as u64;
        let output = said.or(config.catalogue.max_output_tokens(&model));
        let output = output.map(|tokens| tokens.saturating_mul(choices));
        let prompt = self.most_of_prompt(&model, messages);
        Ok(Some(Bound { price, prompt, output, said: said.is_some() }))
    }

    /// Refuses an attempt that does not fit now, before it waits for a place.
    pub(super) fn check_cost(&mut self, place: usize) -> Result<()> {
        let Some(bound) = self.bound(place, None, None)? else { return Ok(()) };
        let limits = limits(&self.client.config);
        // What is asked for after a break may be less than at the beginning.
        let least = if self.committed { 1 } else { bound.least() };
        let key = self.call.options.tenant.as_deref();
        let fits = |ledger: &mut Ledger| ledger.fits(&limits, key, least, clock::now());
        self.client.costs.ledger.update(fits).map_err(|refusal| cap_error(&refusal, &limits))
    }

    /// Reserves what an attempt may cost.
    pub(super) fn open_bill(
        &mut self,
        place: usize,
        messages: Option<&str>,
        rest: Option<u64>,
    ) -> Result<Bill> {
        let bound = self.bound(place, messages, rest)?;
        let model = self.routes[place].model.clone();
        let price = Price::of(&self.client.config, &model);
        let prompt = match (&bound, messages) {
            (Some(bound), _) => Some(bound.prompt),
            (None, Some(_)) if price.is_some() => Some(self.most_of_prompt(&model, messages)),
            // Reckoned when it is needed: for an attempt that brings no usage.
            _ => None,
        };
        let limits = limits(&self.client.config);
        let key = self.call.options.tenant.as_deref();
        let capped = limits.caps(key);
        let range = match &bound {
            None => (0, 0),
            // Where there is no cap, what nobody can bound is not reserved.
            Some(bound) if !capped && bound.output.is_none() => (bound.least(), bound.least()),
            Some(bound) => (bound.least(), bound.most()),
        };
        let reserve = |ledger: &mut Ledger| ledger.reserve(&limits, key, &model, range, clock::now());
        let reservation =
            self.client.costs.ledger.update(reserve).map_err(|refusal| cap_error(&refusal, &limits))?;
        let meter = match &bound {
            Some(bound) if capped => match bound.output {
                Some(output) if bound.said => Meter::Full(output),
                _ => Meter::Reduced(bound.most()),
            },
            _ => Meter::Off,
        };
        Ok(Bill(Some(Open {
            costs: Arc::clone(&self.client.costs),
            limits,
            reservation,
            price,
            prompt,
            own: messages.is_none(),
            meter,
            sent: false,
            received: Tally::default(),
        })))
    }

    /// Settles an attempt that is over: by its usage, or by what was sent and received.
    pub(super) fn settle_bill(&mut self, place: usize, progress: &mut Progress) {
        let Some(mut open) = progress.bill.0.take() else { return };
        let model = self.routes[place].model.clone();
        let (usage, own) = (self.journal.usage.clone(), open.own);
        let nothing = !open.sent || (is_refusal(progress.status) && open.received == Tally::default());
        let Some(price) = open.price else {
            self.tab.unknown |= !nothing;
            return open.settle(0);
        };
        if !nothing && usage.is_none() && open.prompt.is_none() {
            open.prompt = Some(self.most_of_prompt(&model, None));
        }
        let cost = match usage.as_ref().and_then(|usage| price.usage(usage)) {
            _ if nothing => 0,
            Some(cost) if progress.complete => cost,
            // Usage that came before the end may not be all.
            Some(cost) => cost.max(open.charge()),
            None => open.charge(),
        };
        self.tab.spent = self.tab.spent.saturating_add(cost);
        let endpoint = &self.routes[place].endpoint.config.name;
        self.client.metrics.charge(endpoint, &model, ledger::usd(cost));
        open.settle(cost);
        if own {
            self.learn_ratio(&model, usage.as_ref());
        }
        self.tell_soft_limit();
    }

    /// Corrects the rule by what the provider has counted, where the prompt was reckoned.
    fn learn_ratio(&mut self, model: &str, usage: Option<&Value>) {
        let counted = self.call.options.prompt_tokens.contains_key(model);
        let prompt = usage.and_then(|usage| usage.get("prompt_tokens")?.as_u64());
        if let (Some(reckoned), Some(actual), false) = (&self.tab.prompt, prompt, counted) {
            self.client.costs.ratios.update(|ratios| ratios.observe(model, reckoned, actual));
        }
    }

    /// Remembers how long a whole answer was that could be as long as it liked.
    pub(super) fn learn_length(&self, place: usize) {
        let tokens = self.journal.usage.as_ref().and_then(|usage| usage.get("completion_tokens")?.as_u64());
        if let (Some(tokens), None) = (tokens, self.call.request.max_tokens()) {
            let each = tokens.div_ceil(self.call.request.choices().max(1) as u64);
            self.client.costs.lengths.update(|lengths| lengths.observe(&self.routes[place].model, each));
        }
    }

    fn tell_soft_limit(&self) {
        let limits = limits(&self.client.config);
        let told = self.client.costs.ledger.update(|ledger| ledger.tell_soft(&limits, clock::now()));
        if let (Some((since, spent)), Some(limit)) = (told, limits.soft_limit) {
            self.emit(Event::SoftLimit {
                call: self.id.clone(),
                request_id: self.previous_request(),
                window: limits.window.as_str(),
                since,
                soft_limit_usd: ledger::usd(limit),
                spent_usd: ledger::usd(spent),
            });
        }
    }
}

/// The models of a call in the order in which they are tried: as they are named, and past the soft
/// limit the cheapest first. Those without a price come last.
pub(super) fn in_order(models: &mut [String], costs: &Costs, config: &ClientConfig) {
    if config.cost.as_ref().is_some_and(|cost| cost.limits.soft_limit.is_some()) && costs.is_soft(config) {
        models.sort_by_key(|model| Price::of(config, model).map_or(Pico::MAX, |price| price.times(1, 1)));
    }
}
