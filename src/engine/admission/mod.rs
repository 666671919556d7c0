//! May this attempt run now?
//!
//! [`try_admit`] checks a route without waiting: cost cap, quota of the key, cooldown, rate limit, breaker. It yields a
//! [`Permit`], or a [`Rejected`] that says whether another route may be tried or the call fails. [`wait_for_capacity`]
//! completes a permit: it waits in the queue of the route for what was not available immediately, and for a concurrency
//! slot. Dropping a [`Permit`] returns everything.

mod admit;
mod capacity;
mod context;
mod cooldown;
mod cost;
mod cost_reservation;
mod estimate;
mod limits;
mod permit;
mod route;

pub use admit::{Rejected, try_admit, try_admit_hedge, would_admit};
pub use capacity::{cooling_down, wait_for_capacity};
pub use context::{CallContext, EventEmitter};
pub use cooldown::{cool_down, restore_quota};
pub use cost_reservation::{CostReservation, Settlement, is_rejection};
pub use estimate::estimated_tokens;
pub use permit::{Admission, Permit};
pub use route::{CallRoute, Routes};
