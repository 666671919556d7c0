//! The retry plan of one call: which route to try next, and when. It nests the retry loop inside the
//! fallback over routes, as a pure state machine. The engine reports what happened and carries out the
//! [`Step`] that it gets back.
//!
//! The routes of one model are replicas. The first try of each is immediate and free. After that,
//! retries rotate among them with backoff, up to `max_retries` in all. When the retries are used up, or
//! no route of the model can be used, the plan moves to the next model, which starts with a fresh first
//! try and fresh retries.
//!
//! `types` holds the values that the engine exchanges with a plan, `selection` decides on the next route, `transitions`
//! and `hedging` process what the engine reports.

mod hedging;
mod kept_answer;
mod route_state;
mod selection;
mod transitions;
mod types;

pub use selection::Plan;
pub use types::{Failure, Reason, Route, RouteId, RouteUnavailable, Settings, Step, Stop};

#[cfg(test)]
mod tests;
