//! Time: the clock, the test clock that can stand in for it, and the timers of the hot path.
//!
//! This is the only module that reads the time or sleeps; everything above goes through [`clock`].

#[allow(clippy::disallowed_methods)] // It reads both clocks once.
mod anchor;
#[allow(clippy::disallowed_methods)] // The only place that sleeps.
pub mod clock;
mod deadline;
#[allow(clippy::disallowed_methods)] // It observes the runtime in real time.
mod idle_probe;
mod interrupt;
#[allow(clippy::disallowed_methods)] // It stands in for time.
pub mod test_clock;

pub use deadline::{Deadline, unless_silent_until};
pub use idle_probe::IdleProbe;
pub use interrupt::unless_interrupted;
