//! A limiter that calls wait for: two buckets (requests, model tokens), first in, first out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use crate::config::RateLimit;
use crate::engine::clock;
use crate::error::{Error, Kind, Result};
use crate::policy::plan::Crowded;
use crate::policy::token_bucket::Bucket;
use crate::store::Slot;
use crate::wire::limits::Limits;

pub struct Buckets {
    pub requests: Bucket,
    /// Model tokens a minute, where that is limited.
    pub tokens: Option<Bucket>,
}

impl Buckets {
    /// How long until both have enough.
    fn time_until(&self, requests: f64, tokens: f64, now: f64) -> Result<Duration> {
        let mut wait = Duration::ZERO;
        let both = [(Some(&self.requests), requests, "requests"), (self.tokens.as_ref(), tokens, "tokens")];
        for (bucket, amount, what) in both {
            let Some(bucket) = bucket else { continue };
            let Some(until) = bucket.time_until(amount, now) else {
                let capacity = bucket.effective_capacity();
                let message = format!(
                    "the call needs {amount} {what} of a limiter that holds at most {capacity}: it can never pass"
                );
                return Err(Error::new(Kind::NeverFits, message));
            };
            wait = wait.max(until);
        }
        Ok(wait)
    }

    /// How long one call that needs so many tokens stays behind another one, where both are empty.
    fn time_between(&self, tokens: f64) -> Duration {
        let both = [(Some(&self.requests), 1.0), (self.tokens.as_ref(), tokens)];
        let waits = both.into_iter().filter_map(|(bucket, amount)| Some(bucket?.time_for(amount)));
        waits.max().unwrap_or_default()
    }
}

pub struct Limiter {
    buckets: Slot<Buckets>,
    /// Held by the one whose turn it is; tokio's mutex serves in the order of arrival.
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
            buckets: Slot::new(Buckets {
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

    /// Runs one decision over the buckets. Whoever waits looks again afterwards.
    pub fn update<R>(&self, decide: impl FnOnce(&mut Buckets) -> R) -> R {
        let result = self.buckets.update(decide);
        self.changed.notify_one();
        result
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether a call that needs so much would pass at once. Looking takes nothing.
    pub fn has_room(&self, requests: f64, tokens: f64) -> bool {
        let now = clock::now_exact();
        let until = || self.buckets.update(|buckets| buckets.time_until(requests, tokens, now));
        self.waiting() == 0 && until().is_ok_and(|wait| wait.is_zero())
    }

    /// Takes at once or not at all; never ahead of those who wait.
    pub fn try_acquire(&self, requests: f64) -> bool {
        self.waiting() == 0 && self.take(requests, 0.0).is_ok_and(|wait| wait.is_none())
    }

    /// Takes from both buckets, or says how long until both have enough.
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

    /// Waits for its turn and for both amounts. Dropping the future leaves the queue.
    /// `on_wait` is called once if there is a wait.
    pub async fn acquire(&self, requests: f64, tokens: f64, on_wait: impl FnOnce()) -> Result<()> {
        if self.waiting() == 0 {
            if self.take(requests, tokens)?.is_none() {
                return Ok(());
            }
        } else {
            // What can never pass does not have to wait in order to hear it.
            self.buckets.update(|buckets| buckets.time_until(requests, tokens, clock::now_exact()))?;
        }
        let _place = self.place()?;
        on_wait();
        self.wait(requests, tokens).await
    }

    /// A place among those who may wait.
    fn place(&self) -> Result<Place<'_>> {
        let max = self.max_queue.load(Ordering::Relaxed);
        let full = || Error::new(Kind::QueueFull, format!("{max} calls wait for the rate limit already"));
        Place::take(&self.waiting, max).ok_or_else(full)
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

    /// A place for a request that waits in the line of its route, unless it can never pass.
    pub fn stand_in_line(&self, tokens: f64) -> Result<Place<'_>> {
        self.buckets.update(|buckets| buckets.time_until(1.0, tokens, clock::now_exact()))?;
        self.place()
    }

    /// Waits for one request that has its place already, and is the first of its line. What is taken is settled
    /// when its attempt is over.
    pub async fn reserve(self: &Arc<Self>, tokens: f64) -> Result<Reserved> {
        self.wait(1.0, tokens).await?;
        Ok(Reserved { limiter: Some(Arc::clone(self)), tokens })
    }

    /// [`Limiter::reserve`] for one that does not wait: at once or not at all, and never ahead of those who wait.
    pub fn try_reserve(self: &Arc<Self>, tokens: f64) -> Option<Reserved> {
        self.reserve_now(tokens).ok()
    }

    /// [`Limiter::try_reserve`] for one that has had its turn and gave it back: those who wait came after it.
    pub fn reserve_again(self: &Arc<Self>, tokens: f64) -> Option<Reserved> {
        let taken = self.take(1.0, tokens).is_ok_and(|wait| wait.is_none());
        taken.then(|| Reserved { limiter: Some(Arc::clone(self)), tokens })
    }

    /// [`Limiter::try_reserve`], or how crowded it is, and the error where it takes no more.
    pub fn reserve_now(
        self: &Arc<Self>,
        tokens: f64,
    ) -> std::result::Result<Reserved, (Crowded, Option<Error>)> {
        let ahead = self.waiting();
        let now = clock::now_exact();
        let taken = match ahead {
            0 => self.take(1.0, tokens),
            _ => self.buckets.update(|buckets| buckets.time_until(1.0, tokens, now)).map(Some),
        };
        let wait = match taken {
            Ok(None) => return Ok(Reserved { limiter: Some(Arc::clone(self)), tokens }),
            Ok(Some(wait)) => wait,
            Err(error) => return Err((Crowded::Never, Some(error))),
        };
        if let Err(full) = self.place() {
            return Err((Crowded::Never, Some(full)));
        }
        // Those ahead are taken to need as much as this one.
        let each = self.buckets.update(|buckets| buckets.time_between(tokens));
        Err((Crowded::For(wait.saturating_add(each.saturating_mul(ahead as u32))), None))
    }

    /// How many model tokens it holds when full, where it counts them.
    pub fn token_capacity(&self) -> Option<f64> {
        self.buckets.update(|buckets| buckets.tokens.as_ref().map(Bucket::effective_capacity))
    }

    /// Follows what the provider says of its own buckets, where that was asked for.
    pub fn follow(&self, limits: &Limits) {
        if !self.adapt_to_headers {
            return;
        }
        let now = clock::now_exact();
        self.update(|buckets| {
            for (bucket, window) in
                [(Some(&mut buckets.requests), &limits.requests), (buckets.tokens.as_mut(), &limits.tokens)]
            {
                if let (Some(bucket), Some(window)) = (bucket, window) {
                    bucket.follow(window.limit, window.remaining, window.reset, now);
                }
            }
        });
    }
}

/// What an attempt has used of what was taken for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Used {
    /// It has not reached the provider.
    Nothing,
    /// A request and so many tokens.
    Tokens(f64),
    /// A request, and nobody knows how many tokens: as many as were taken.
    Unknown,
}

/// What was taken for one request. Dropped, it is given back.
pub struct Reserved {
    limiter: Option<Arc<Limiter>>,
    tokens: f64,
}

impl Reserved {
    /// Gives back what was not used, and charges what was used beyond it.
    pub fn settle(mut self, used: Used) {
        let used = match used {
            // As when it is dropped.
            Used::Nothing => return,
            Used::Tokens(used) => used,
            Used::Unknown => self.tokens,
        };
        let Some(limiter) = self.limiter.take() else { return };
        limiter.update(|buckets| {
            if let Some(bucket) = &mut buckets.tokens {
                bucket.correct(used - self.tokens);
            }
        });
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(limiter) = self.limiter.take() {
            limiter.update(|buckets| {
                buckets.requests.put_back(1.0);
                if let Some(bucket) = &mut buckets.tokens {
                    bucket.put_back(self.tokens);
                }
            });
        }
    }
}

/// One place in a bounded queue, given back when it is dropped.
pub struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    pub fn take(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |have| (have < max).then_some(have + 1))
            .ok()
            .map(|_| Place(count))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
