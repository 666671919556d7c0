//! The engine in virtual time: a scripted provider instead of sockets, and a clock that jumps.

mod aborts;
mod budgets;
mod cost;
mod deadlines;
mod decisions;
mod dialects;
mod extras;
mod fallbacks;
mod health;
mod hedging;
mod hedging_spends;
mod limits;
mod malformed;
mod metrics;
mod pauses;
mod provider;
mod recovery;
mod refusals;
mod retries;
mod room;
mod routing;
mod streams;
mod support;
mod timeouts;
mod tool_calls;
