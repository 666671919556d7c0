//! The native part of `RateLimitedClient`'s limiter: one set of buckets, standalone or built into the client.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use napi_derive::napi;
use serde_json::{Value, json};

use super::errors::{OrThrow, parse_json};
use super::event_channel::{ChannelOptions, EventChannel};
use super::native_hub::NativeHub;
use super::runtime::runtime;
use crate::config::RateLimit;
use crate::engine::clock;
use crate::engine::limiter::Limiter;
use crate::engine::test_clock::bind;
use crate::error::{Error, Kind, Phase};

#[napi]
pub struct NativeLimiter {
    pub(super) limiter: Arc<Limiter>,
}

#[napi]
impl NativeLimiter {
    /// `options` is the client's `rateLimit`. `topLevel` has limiter options from the top level of the client's
    /// options: they take precedence, and errors name them without the prefix `rateLimit`.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: String, top_level: String) -> napi::Result<Self> {
        let (mut options, top_level) = (parse_json(&options)?, parse_json(&top_level)?);
        RateLimit::read("", &top_level).or_throw()?;
        if let (Some(options), Value::Object(top_level)) = (options.as_object_mut(), top_level) {
            options.extend(top_level.into_iter().filter(|(_, value)| !value.is_null()));
        }
        let options = RateLimit::read("rateLimit", &options).or_throw()?;
        Ok(NativeLimiter { limiter: Limiter::new(&options) })
    }

    #[napi(getter, catch_unwind)]
    pub fn tokens(&self) -> f64 {
        self.limiter.update(|buckets| buckets.requests.tokens)
    }

    #[napi(setter, catch_unwind)]
    pub fn set_tokens(&mut self, tokens: f64) {
        self.limiter.update(|buckets| buckets.requests.tokens = tokens.min(buckets.requests.capacity));
    }

    #[napi(getter, catch_unwind)]
    pub fn capacity(&self) -> f64 {
        self.limiter.update(|buckets| buckets.requests.capacity)
    }

    #[napi(getter, catch_unwind)]
    pub fn refill_rate(&self) -> f64 {
        self.limiter.update(|buckets| buckets.requests.refill_per_second)
    }

    #[napi(getter, catch_unwind)]
    pub fn last_refill(&self) -> f64 {
        self.limiter.update(|buckets| buckets.requests.last_refill)
    }

    #[napi(setter, catch_unwind)]
    pub fn set_last_refill(&mut self, at: f64) {
        self.limiter.update(|buckets| buckets.requests.last_refill = at);
    }

    /// Sets `capacity` or `refillRate`.
    #[napi(catch_unwind)]
    pub fn set_option(&mut self, name: String, value: String) -> napi::Result<()> {
        let options = RateLimit::read("", &json!({ name.as_str(): parse_json(&value)? })).or_throw()?;
        let now = clock::now_exact();
        self.limiter.update(|buckets| {
            let bucket = &mut buckets.requests;
            bucket.refill(now);
            match name.as_str() {
                "capacity" => bucket.capacity = options.capacity,
                "refillRate" => bucket.refill_per_second = options.refill_per_second,
                _ => {}
            }
            bucket.tokens = bucket.tokens.min(bucket.capacity);
        });
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn refill(&self) {
        self.limiter.update(|buckets| buckets.requests.refill(clock::now_exact()));
    }

    /// Takes one token if one is available now.
    #[napi(catch_unwind)]
    pub fn try_acquire(&self) -> bool {
        self.limiter.try_acquire(1.0)
    }

    #[napi(getter, catch_unwind)]
    pub fn waiting(&self) -> u32 {
        self.limiter.waiting() as u32
    }

    /// Waits in the queue for tokens. Ends like a call, and returns its id.
    #[napi(catch_unwind)]
    pub fn acquire(&self, hub: &NativeHub, tokens: f64, timeout_ms: Option<f64>) -> napi::Result<u32> {
        let runtime = runtime().or_throw()?;
        let channel = EventChannel::open(&hub.hub, ChannelOptions::default());
        let (id, state) = (channel.id, Arc::clone(&channel.state));
        let limiter = Arc::clone(&self.limiter);
        // A time that a duration cannot hold means no timeout.
        let timeout = timeout_ms.and_then(|ms| Duration::try_from_secs_f64(ms.max(0.0) / 1000.0).ok());
        let mut acquire = Box::pin(async move {
            let acquire = limiter.acquire(tokens, 0.0, || ());
            let result = clock::timeout(timeout.unwrap_or(Duration::MAX), acquire).await;
            result.unwrap_or_else(|_| Err(Error::timeout(Phase::Queue, timeout.unwrap_or_default())))
        });
        // Enters the queue now, so that a later `acquireToken()` cannot overtake it.
        let immediate = {
            let _context = runtime.enter();
            (&mut acquire).now_or_never()
        };
        let task = async move {
            let result = match immediate {
                Some(result) => result,
                None => tokio::select! {
                    biased;
                    () = channel.state.cancel.cancelled() => Err(Error::new(Kind::Aborted, "the wait for the rate limit was aborted")),
                    result = acquire => result,
                },
            };
            channel.end(result.map(|()| "null".to_owned()));
        };
        state.park(runtime, bind(task.boxed()));
        Ok(id)
    }
}
