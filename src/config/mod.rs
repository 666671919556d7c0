//! Options: every default and every validation, and the only place for either. The policies define what can
//! be configured (`Backoff`, breaker and bucket options); this module defines the defaults and the bounds.

mod authority;
mod breaker;
mod call;
mod certificates;
mod client;
mod continuation;
mod cost;
pub mod defaults;
mod endpoint;
mod first_endpoint_extras;
mod headers;
mod hedge;
mod proxy;
mod rate_limit;
pub mod reader;
mod recovery;
mod retry;
mod routing;
mod secret;
mod suggest;
#[cfg(test)]
mod tests;

pub use breaker::{BreakerChoice, breaker};
pub use call::CallConfig;
pub use client::ClientConfig;
pub use continuation::{Continuation, ProbeOptions, chat_preset, messages_preset, repeats_turn};
pub use cost::{Cost, unpriced_model};
pub use endpoint::{Endpoint, SendSessionId, base_url};
pub use first_endpoint_extras::FirstEndpointExtras;
pub use headers::headers;
pub use hedge::Hedge;
pub use proxy::ProxyConfig;
pub use rate_limit::RateLimit;
pub use recovery::{Buffered, Mode, Recovery};
pub use retry::{RetryConfig, decisions};
pub use secret::{Secret, api_key};
pub use suggest::did_you_mean;
