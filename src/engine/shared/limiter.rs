//! A rate limiter that calls wait for: two token buckets (requests, model tokens), first in, first out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::queue_slot::QueueSlot;
use crate::config::RateLimit;
use crate::engine::time::clock;
use crate::error::{Error, Kind, Result};
use crate::policy::plan::RouteUnavailable;
use crate::policy::token_bucket::Bucket;
use crate::store::SharedState;
use crate::wire::limits::Limits;

pub struct Limiter {
    buckets: SharedState<Buckets>,
    /// Held by the call whose turn it is; tokio's mutex is fair.
    turn: Mutex<()>,
    changed: Notify,
    waiting: AtomicUsize,
    max_queue: AtomicUsize,
    adapt_to_headers: bool,
}

impl Limiter {
    pub fn new(options: &RateLimit) -> Arc<Self> {
        let now = clock::now_exact();
        Arc::new(Limiter {
            buckets: SharedState::new(Buckets {
                requests: Bucket::new(options.capacity, options.refill_per_second, now),
                tokens: options.tokens_per_minute.map(|rate| Bucket::new(rate, rate / 60.0, now)),
            }),
            turn: Mutex::new(()),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            max_queue: AtomicUsize::new(options.max_queue),
            adapt_to_headers: options.adapt_to_headers,
        })
    }

    /// Updates the buckets, and wakes the waiting call to check again.
    pub fn update<R>(&self, decide: impl FnOnce(&mut Buckets) -> R) -> R {
        let result = self.buckets.update(decide);
        self.changed.notify_one();
        result
    }

    /// The number of waiting calls.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether a call that needs these amounts would be admitted now. Takes nothing.
    pub fn would_admit(&self, requests: f64, tokens: f64) -> bool {
        let now = clock::now_exact();
        let until = || self.buckets.update(|buckets| buckets.time_until(requests, tokens, now));
        self.waiting() == 0 && until().is_ok_and(|wait| wait.is_zero())
    }

    /// Takes the amounts now or not at all. Never overtakes a waiting call.
    pub fn try_acquire(&self, requests: f64) -> bool {
        self.waiting() == 0 && self.take(requests, 0.0).is_ok_and(|wait| wait.is_none())
    }

    /// Takes from both buckets, or returns the wait until both have enough.
    fn take(&self, requests: f64, tokens: f64) -> Result<Option<Duration>> {
        let now = clock::now_exact();
        self.buckets.update(|buckets| {
            let wait = buckets.time_until(requests, tokens, now)?;
            if !wait.is_zero() {
                return Ok(Some(wait));
            }
            buckets.requests.try_take(requests, now);
            if let Some(bucket) = &mut buckets.tokens {
                bucket.try_take(tokens, now);
            }
            Ok(None)
        })
    }

    /// Waits for its turn and until both buckets have enough. Dropping the future leaves the queue. `on_wait` is called
    /// once if there is a wait.
    ///
    /// # Errors
    /// [`Kind::QueueFull`], [`Kind::NeverFits`].
    pub async fn acquire(&self, requests: f64, tokens: f64, on_wait: impl FnOnce()) -> Result<()> {
        if self.waiting() == 0 {
            if self.take(requests, tokens)?.is_none() {
                return Ok(());
            }
        } else {
            // A call that can never be admitted fails now, not after its wait.
            self.buckets.update(|buckets| buckets.time_until(requests, tokens, clock::now_exact()))?;
        }
        let _slot = self.queue_slot()?;
        on_wait();
        self.wait(requests, tokens).await
    }

    fn queue_slot(&self) -> Result<QueueSlot<'_>> {
        let max = self.max_queue.load(Ordering::Relaxed);
        let full = || {
            Error::rejected(Kind::QueueFull, format!("{max} calls are already waiting for the rate limit"))
        };
        QueueSlot::take(&self.waiting, max).ok_or_else(full)
    }

    async fn wait(&self, requests: f64, tokens: f64) -> Result<()> {
        let _turn = self.turn.lock().await;
        while let Some(wait) = self.take(requests, tokens)? {
            tokio::select! {
                () = clock::sleep(wait) => {}
                () = self.changed.notified() => {}
            }
        }
        Ok(())
    }

    /// A queue slot for a request that waits in the queue of its route.
    ///
    /// # Errors
    /// [`Kind::QueueFull`], [`Kind::NeverFits`].
    pub fn enter_queue(&self, tokens: f64) -> Result<QueueSlot<'_>> {
        self.buckets.update(|buckets| buckets.time_until(1.0, tokens, clock::now_exact()))?;
        self.queue_slot()
    }

    /// Waits for the tokens of a request that has a queue slot and whose turn has come. The reservation is settled when
    /// the attempt ends.
    pub async fn reserve(self: &Arc<Self>, tokens: f64) -> Result<LimitReservation> {
        self.wait(1.0, tokens).await?;
        Ok(LimitReservation::new(self, tokens))
    }

    /// [`Limiter::reserve`] without a wait; never overtakes a waiting call.
    pub fn try_reserve(self: &Arc<Self>, tokens: f64) -> Option<LimitReservation> {
        self.reserve_now(tokens).ok()
    }

    /// [`Limiter::reserve`] without a wait, for an attempt that had its turn and returned its tokens. It goes ahead of
    /// the waiting calls, which arrived later.
    pub fn try_reserve_first(self: &Arc<Self>, tokens: f64) -> Option<LimitReservation> {
        let acquired = self.take(1.0, tokens).is_ok_and(|wait| wait.is_none());
        acquired.then(|| LimitReservation::new(self, tokens))
    }

    /// Like [`Limiter::try_reserve`], but reports why not: the expected wait, or the error if the call is rejected.
    pub fn reserve_now(
        self: &Arc<Self>,
        tokens: f64,
    ) -> std::result::Result<LimitReservation, (RouteUnavailable, Option<Error>)> {
        let ahead = self.waiting();
        let now = clock::now_exact();
        let outcome = match ahead {
            0 => self.take(1.0, tokens),
            _ => self.buckets.update(|buckets| buckets.time_until(1.0, tokens, now)).map(Some),
        };
        let wait = match outcome {
            Ok(None) => return Ok(LimitReservation::new(self, tokens)),
            Ok(Some(wait)) => wait,
            Err(error) => return Err((RouteUnavailable::Rejected, Some(error))),
        };
        if let Err(full) = self.queue_slot() {
            return Err((RouteUnavailable::Rejected, Some(full)));
        }
        // The calls ahead are assumed to need as much as this one.
        let each = self.buckets.update(|buckets| buckets.time_between(tokens));
        Err((RouteUnavailable::Wait(wait.saturating_add(each.saturating_mul(ahead as u32))), None))
    }

    /// The capacity in model tokens, if limited.
    pub fn token_capacity(&self) -> Option<f64> {
        self.buckets.update(|buckets| buckets.tokens.as_ref().map(Bucket::effective_capacity))
    }

    /// Adapts the buckets to the limits in the provider's headers, if enabled.
    pub fn adapt(&self, limits: &Limits) {
        if !self.adapt_to_headers {
            return;
        }
        let now = clock::now_exact();
        self.update(|buckets| {
            for (bucket, window) in
                [(Some(&mut buckets.requests), &limits.requests), (buckets.tokens.as_mut(), &limits.tokens)]
            {
                if let (Some(bucket), Some(window)) = (bucket, window) {
                    bucket.adapt_to_headers(window.limit, window.remaining, window.reset, now);
                }
            }
        });
    }
}

pub struct Buckets {
    pub requests: Bucket,
    /// Model tokens per minute, if limited.
    pub tokens: Option<Bucket>,
}

impl Buckets {
    /// The wait until both buckets have enough.
    ///
    /// # Errors
    /// [`Kind::NeverFits`] if they never will.
    fn time_until(&self, requests: f64, tokens: f64, now: f64) -> Result<Duration> {
        let mut wait = Duration::ZERO;
        let both = [(Some(&self.requests), requests, "requests"), (self.tokens.as_ref(), tokens, "tokens")];
        for (bucket, amount, what) in both {
            let Some(bucket) = bucket else { continue };
            let Some(until) = bucket.time_until(amount, now) else {
                let capacity = bucket.effective_capacity();
                let message = format!(
                    "the call needs {amount} {what}, and the limiter holds at most {capacity}: it can never be admitted"
                );
                return Err(Error::rejected(Kind::NeverFits, message));
            };
            wait = wait.max(until);
        }
        Ok(wait)
    }

    /// The interval between calls of this many tokens each, once both buckets are empty.
    fn time_between(&self, tokens: f64) -> Duration {
        let both = [(Some(&self.requests), 1.0), (self.tokens.as_ref(), tokens)];
        let waits = both.into_iter().filter_map(|(bucket, amount)| Some(bucket?.refill_time(amount)));
        waits.max().unwrap_or_default()
    }
}

/// How much of its reservation an attempt consumed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Consumption {
    /// Nothing: the request was never sent.
    Nothing,
    /// One request and this many tokens.
    Tokens(f64),
    /// One request and an unknown number of tokens, charged as reserved.
    Unknown,
}

/// The tokens taken for one request. Dropping it refunds them, unless they were consumed.
pub struct LimitReservation {
    limiter: Option<Arc<Limiter>>,
    tokens: f64,
    is_consumed: bool,
}

impl LimitReservation {
    fn new(limiter: &Arc<Limiter>, tokens: f64) -> Self {
        LimitReservation { limiter: Some(Arc::clone(limiter)), tokens, is_consumed: false }
    }

    /// The request was answered. Only [`LimitReservation::settle`] corrects the charge from here on.
    pub fn consume(&mut self) {
        self.is_consumed = true;
    }

    /// Refunds what was not consumed, and charges any consumption beyond the reservation.
    pub fn settle(mut self, consumption: Consumption) {
        let used = match consumption {
            // Dropping refunds everything.
            Consumption::Nothing => return,
            Consumption::Tokens(used) => used,
            Consumption::Unknown => self.tokens,
        };
        let Some(limiter) = self.limiter.take() else { return };
        limiter.update(|buckets| {
            if let Some(bucket) = &mut buckets.tokens {
                bucket.adjust(used - self.tokens);
            }
        });
    }
}

impl Drop for LimitReservation {
    fn drop(&mut self) {
        if let Some(limiter) = self.limiter.take().filter(|_| !self.is_consumed) {
            limiter.update(|buckets| {
                buckets.requests.refund(1.0);
                if let Some(bucket) = &mut buckets.tokens {
                    bucket.refund(self.tokens);
                }
            });
        }
    }
}
