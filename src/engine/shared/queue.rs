//! The queue of a route. Attempts leave it in order of arrival, and none before the end of a cooldown that the provider
//! requested (`retry-after`). Without a cooldown or waiters it costs two atomic reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::defaults;
use crate::engine::time::clock;

#[derive(Default)]
pub struct RouteQueue {
    /// In nanoseconds since the epoch; 0 without a cooldown.
    cooldown_until: AtomicU64,
    /// The length of that cooldown as requested, in milliseconds.
    requested_ms: AtomicU64,
    /// Other routes are preferred until then, in milliseconds since the epoch.
    deprioritized_until: AtomicU64,
    len: AtomicUsize,
    next_ticket: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    by_ticket: BTreeMap<u64, Arc<Notify>>,
    turn: Option<u64>,
}

/// A pause requested by the provider of a route.
#[derive(Clone, Copy, Debug)]
pub struct Cooldown {
    pub left: Duration,
    /// The full length, as requested.
    pub requested: Duration,
}

impl RouteQueue {
    /// Starts a cooldown that the provider requested: nothing is sent until it ends. At most [`defaults::MAX_COOLDOWN`] of it
    /// applies to all calls.
    pub fn cool_down(&self, requested: Duration) {
        let until = clock::nanos() + requested.min(defaults::MAX_COOLDOWN).as_nanos() as u64;
        if self.cooldown_until.fetch_max(until, Ordering::Relaxed) < until {
            let ms = u64::try_from(requested.as_millis()).unwrap_or(u64::MAX);
            self.requested_ms.store(ms, Ordering::Relaxed);
        }
    }

    /// The current cooldown, if any.
    pub fn cooldown(&self) -> Option<Cooldown> {
        let until = self.cooldown_until.load(Ordering::Relaxed);
        if until == 0 {
            return None;
        }
        let left = until.checked_sub(clock::nanos()).filter(|left| *left > 0)?;
        let requested = Duration::from_millis(self.requested_ms.load(Ordering::Relaxed));
        Some(Cooldown { left: Duration::from_nanos(left), requested })
    }

    /// Deprioritizes the route after a rate limit without a stated duration: other routes are preferred for a while.
    pub fn deprioritize(&self, period: Duration) {
        self.deprioritized_until.fetch_max(clock::now() + period.as_millis() as u64, Ordering::Relaxed);
    }

    pub fn is_deprioritized(&self) -> bool {
        let until = self.deprioritized_until.load(Ordering::Relaxed);
        until != 0 && until > clock::now()
    }

    /// The number of waiting attempts, including the one whose turn it is.
    pub fn waiting(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is neither a cooldown nor a waiter.
    pub fn is_free(&self) -> bool {
        self.waiting() == 0 && self.cooldown().is_none()
    }

    /// A position in the order of arrival. An attempt that waits again with the same ticket keeps its position.
    pub fn take_ticket(&self) -> u64 {
        self.next_ticket.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for the turn of a ticket. Dropping the future leaves the queue; dropping the guard passes the turn on.
    pub async fn acquire(self: &Arc<Self>, ticket: u64) -> QueueGuard {
        let notify = Arc::new(Notify::new());
        let (guard, is_first) = {
            let mut waiters = self.waiters();
            self.len.fetch_add(1, Ordering::Relaxed);
            waiters.by_ticket.insert(ticket, Arc::clone(&notify));
            let is_first = *waiters.turn.get_or_insert(ticket) == ticket;
            (QueueGuard { queue: Arc::clone(self), ticket }, is_first)
        };
        if !is_first {
            notify.notified().await;
        }
        guard
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A position in the queue, and the turn once [`RouteQueue::acquire`] has returned it.
pub struct QueueGuard {
    queue: Arc<RouteQueue>,
    ticket: u64,
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        let mut waiters = self.queue.waiters();
        waiters.by_ticket.remove(&self.ticket);
        self.queue.len.fetch_sub(1, Ordering::Relaxed);
        if waiters.turn == Some(self.ticket) {
            waiters.turn = waiters.by_ticket.first_key_value().map(|(ticket, next)| {
                next.notify_one();
                *ticket
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_turn_goes_to_the_lowest_ticket_and_a_canceled_waiter_leaves_the_queue() {
        let queue = Arc::new(RouteQueue::default());
        let tickets: Vec<u64> = (0..4).map(|_| queue.take_ticket()).collect();
        let first = queue.acquire(tickets[1]).await;
        let mut last = pin!(queue.acquire(tickets[3]));
        assert!(poll!(last.as_mut()).is_pending());
        let mut early = pin!(queue.acquire(tickets[0]));
        assert!(poll!(early.as_mut()).is_pending());
        {
            let mut gone = pin!(queue.acquire(tickets[2]));
            assert!(poll!(gone.as_mut()).is_pending());
            assert_eq!(queue.waiting(), 4);
        }
        drop(first);
        assert!(poll!(last.as_mut()).is_pending());
        drop(early.await);
        drop(last.await);
        assert!(queue.is_free());
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_of_a_canceled_waiter_is_passed_on() {
        let queue = Arc::new(RouteQueue::default());
        let first = queue.acquire(queue.take_ticket()).await;
        let mut last = {
            let mut gone = Box::pin(queue.acquire(queue.take_ticket()));
            assert!(poll!(gone.as_mut()).is_pending());
            let mut last = Box::pin(queue.acquire(queue.take_ticket()));
            assert!(poll!(last.as_mut()).is_pending());
            drop(first);
            last
        };
        assert!(poll!(last.as_mut()).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_cooldown_holds_and_is_reported_as_requested() {
        let queue = RouteQueue::default();
        assert!(queue.cooldown().is_none());
        queue.cool_down(Duration::from_secs(10));
        queue.cool_down(Duration::from_secs(5));
        clock::sleep(Duration::from_secs(4)).await;
        let cooldown = queue.cooldown().unwrap();
        assert_eq!((cooldown.left.as_secs(), cooldown.requested.as_secs(), queue.is_free()), (6, 10, false));
        clock::sleep(cooldown.left).await;
        assert!(queue.is_free());
    }
}
