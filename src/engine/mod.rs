//! One logical call from admission to the last piece. The only place that sleeps.

pub mod admission;
mod answer;
mod attempt;
pub mod breaker;
mod call;
mod client;
pub mod clock;
pub mod event;
pub mod limiter;
mod request;
mod route;
pub mod sink;
mod turn;

pub use answer::Answer;
pub use client::{Call, Client};

#[cfg(test)]
mod tests;
