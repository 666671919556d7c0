//! What a call knows of an answer that its provider keeps.

use crate::engine::admission::CostReservation;
use crate::error::{Error, Kind};
use crate::policy::plan::RouteId;

/// After this many requests in a row that brought nothing the provider is no longer asked for the rest.
pub(super) const MAX_FRUITLESS: u32 = 2;

/// What a call knows of the answer that a provider keeps.
#[derive(Default)]
pub(super) struct KeptAnswer {
    /// The route whose provider has it.
    pub route: Option<RouteId>,
    /// The position when the last attempt started.
    pub started_after: Option<u64>,
    /// How many requests in a row for the rest brought nothing.
    pub fruitless: u32,
    /// The provider has refused to send the rest.
    pub is_refused: bool,
    /// What is reserved for the answer, between two attempts that read it.
    pub cost: Option<Box<CostReservation>>,
}

impl KeptAnswer {
    pub fn keep_cost(&mut self, cost: Option<Box<CostReservation>>) {
        self.cost = cost.or(self.cost.take());
    }
}

/// Whether the provider refuses to send the rest of a stream: it is gone, too old, or another key's.
pub(super) fn is_refusal(error: &Error) -> bool {
    let is_temporary = matches!(error.status, Some(408 | 425 | 429));
    error.status.is_some_and(|status| (400..500).contains(&status)) && !is_temporary
        || error.kind == Kind::Redirect
}
