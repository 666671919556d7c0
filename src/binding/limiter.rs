//! The limiter of `RateLimitedClient`, by hand and before every attempt: one bucket.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use napi_derive::napi;
use serde_json::json;

use super::errors::{OrThrow, parse};
use super::hub::NativeHub;
use super::outlet::Told;
use super::runtime;
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
    /// `beside` are options that stood beside the client's: they come first, and errors name them so.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: String, beside: String) -> napi::Result<Self> {
        let (mut options, beside) = (parse(&options)?, parse(&beside)?);
        RateLimit::read("", &beside).or_throw()?;
        if let (Some(all), serde_json::Value::Object(beside)) = (options.as_object_mut(), beside) {
            all.extend(beside.into_iter().filter(|(_, given)| !given.is_null()));
        }
        let options = RateLimit::read("rateLimit", &options).or_throw()?;
        Ok(NativeLimiter { limiter: Limiter::new(&options) })
    }

    #[napi(getter)]
    pub fn tokens(&self) -> f64 {
        self.limiter.update(|buckets| buckets.requests.tokens)
    }

    #[napi(setter)]
    pub fn set_tokens(&mut self, tokens: f64) {
        self.limiter.update(|buckets| buckets.requests.tokens = tokens.min(buckets.requests.capacity));
    }

    #[napi(getter)]
    pub fn capacity(&self) -> f64 {
        self.limiter.update(|buckets| buckets.requests.capacity)
    }

    #[napi(getter)]
    pub fn refill_rate(&self) -> f64 {
        self.limiter.update(|buckets| buckets.requests.refill_per_second)
    }

    #[napi(getter)]
    pub fn last_refill(&self) -> f64 {
        self.limiter.update(|buckets| buckets.requests.last_refill)
    }

    #[napi(setter)]
    pub fn set_last_refill(&mut self, at: f64) {
        self.limiter.update(|buckets| buckets.requests.last_refill = at);
    }

    /// `capacity` or `refillRate`.
    #[napi(catch_unwind)]
    pub fn set_option(&mut self, name: String, value: String) -> napi::Result<()> {
        let checked = RateLimit::read("", &json!({ name.as_str(): parse(&value)? })).or_throw()?;
        let now = clock::now_exact();
        self.limiter.update(|buckets| {
            let bucket = &mut buckets.requests;
            bucket.refill(now);
            match name.as_str() {
                "capacity" => bucket.capacity = checked.capacity,
                "refillRate" => bucket.refill_per_second = checked.refill_per_second,
                _ => {}
            }
            bucket.tokens = bucket.tokens.min(bucket.capacity);
        });
        Ok(())
    }

    #[napi]
    pub fn refill(&self) {
        self.limiter.update(|buckets| buckets.requests.refill(clock::now_exact()));
    }

    /// Takes one token at once, or none.
    #[napi]
    pub fn try_acquire(&self) -> bool {
        self.limiter.try_acquire(1.0)
    }

    #[napi(getter)]
    pub fn waiting(&self) -> u32 {
        self.limiter.waiting() as u32
    }

    /// Waits in the queue; ends like a call, with the id that this returns.
    #[napi(catch_unwind)]
    pub fn acquire(&self, hub: &NativeHub, tokens: f64, timeout_ms: Option<f64>) -> napi::Result<u32> {
        let outlet = hub.hub.open(Told::default());
        let (id, state) = (outlet.id, Arc::clone(&outlet.state));
        let limiter = Arc::clone(&self.limiter);
        // Past what a duration can hold is for ever.
        let timeout = timeout_ms.and_then(|ms| Duration::try_from_secs_f64(ms.max(0.0) / 1000.0).ok());
        let mut wait = Box::pin(async move {
            let wait = limiter.acquire(tokens, 0.0, || ());
            let waited = clock::timeout(timeout.unwrap_or(Duration::MAX), wait).await;
            waited.unwrap_or_else(|_| Err(Error::timeout(Phase::Queue, timeout.unwrap_or_default())))
        });
        // It takes its place in the queue here and now: `acquireToken()`, which comes next, must not
        // push in.
        let early = {
            let _context = runtime().enter();
            (&mut wait).now_or_never()
        };
        let run = async move {
            let result = match early {
                Some(result) => result,
                None => tokio::select! {
                    biased;
                    () = outlet.state.cancel.cancelled() => Err(Error::new(Kind::Aborted, "the wait was aborted")),
                    result = wait => result,
                },
            };
            outlet.end(result.map(|()| "null".to_owned()));
        };
        state.park(bind(run.boxed()));
        Ok(id)
    }
}
