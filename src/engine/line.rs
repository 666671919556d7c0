//! The line before a route. Attempts are let through in the order in which they came, and none before the
//! pause is over that the provider has asked any of them for. Where nothing is paused and nobody waits, it
//! costs two atomic reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::clock;
use crate::config::defaults as d;

#[derive(Default)]
pub struct Line {
    /// In nanoseconds since the epoch; 0 when there was no pause.
    paused_until: AtomicU64,
    /// How long the provider said that this pause is, in milliseconds.
    said: AtomicU64,
    /// Other routes go first until then, in milliseconds since the epoch.
    rests_until: AtomicU64,
    length: AtomicUsize,
    next: AtomicU64,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<u64, Arc<Notify>>,
    turn: Option<u64>,
}

/// A pause that a provider has asked for.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// What is left of it.
    pub left: Duration,
    /// What the provider has said.
    pub said: Duration,
}

impl Line {
    /// The provider has asked for a pause: nothing is sent until it is over. At most
    /// [`d::MAX_PAUSE`] of it holds for all calls.
    pub fn pause_for(&self, asked: Duration) {
        let until = clock::nanos() + asked.min(d::MAX_PAUSE).as_nanos() as u64;
        if self.paused_until.fetch_max(until, Ordering::Relaxed) < until {
            let ms = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
            self.said.store(ms, Ordering::Relaxed);
        }
    }

    /// The pause that is under way.
    pub fn pause(&self) -> Option<Pause> {
        let until = self.paused_until.load(Ordering::Relaxed);
        if until == 0 {
            return None;
        }
        let left = until.checked_sub(clock::nanos()).filter(|left| *left > 0)?;
        let said = Duration::from_millis(self.said.load(Ordering::Relaxed));
        Some(Pause { left: Duration::from_nanos(left), said })
    }

    /// The route was limited, and nobody said for how long: others go first for a while.
    pub fn rest_for(&self, rest: Duration) {
        self.rests_until.fetch_max(clock::now() + rest.as_millis() as u64, Ordering::Relaxed);
    }

    pub fn rests(&self) -> bool {
        let until = self.rests_until.load(Ordering::Relaxed);
        until != 0 && until > clock::now()
    }

    /// How many wait, the one whose turn it is among them.
    pub fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Nothing is paused, and nobody waits.
    pub fn is_free(&self) -> bool {
        self.length() == 0 && self.pause().is_none()
    }

    /// A place in the order of arrival. It is kept by entering again with the same one.
    pub fn ticket(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits for the turn of this ticket. Dropping the future leaves the line; dropping the turn hands it on.
    pub async fn enter(self: &Arc<Self>, ticket: u64) -> Turn {
        let notify = Arc::new(Notify::new());
        let turn = {
            let mut queue = self.queue();
            self.length.fetch_add(1, Ordering::Relaxed);
            queue.waiting.insert(ticket, Arc::clone(&notify));
            let is_first = *queue.turn.get_or_insert(ticket) == ticket;
            (Turn { line: Arc::clone(self), ticket }, is_first)
        };
        let (turn, is_first) = turn;
        if !is_first {
            notify.notified().await;
        }
        turn
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a line, and the turn once that has come.
pub struct Turn {
    line: Arc<Line>,
    ticket: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.line.queue();
        queue.waiting.remove(&self.ticket);
        self.line.length.fetch_sub(1, Ordering::Relaxed);
        if queue.turn == Some(self.ticket) {
            queue.turn = queue.waiting.first_key_value().map(|(ticket, next)| {
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
    async fn a_turn_goes_to_the_lowest_ticket_and_one_that_gives_up_leaves_the_line() {
        let line = Arc::new(Line::default());
        let tickets: Vec<u64> = (0..4).map(|_| line.ticket()).collect();
        let first = line.enter(tickets[1]).await;
        let mut last = pin!(line.enter(tickets[3]));
        assert!(poll!(last.as_mut()).is_pending());
        let mut early = pin!(line.enter(tickets[0]));
        assert!(poll!(early.as_mut()).is_pending());
        {
            let mut gone = pin!(line.enter(tickets[2]));
            assert!(poll!(gone.as_mut()).is_pending());
            assert_eq!(line.length(), 4);
        }
        drop(first);
        assert!(poll!(last.as_mut()).is_pending());
        drop(early.await);
        drop(last.await);
        assert!(line.is_free());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_came_to_one_that_gave_up_is_handed_on() {
        let line = Arc::new(Line::default());
        let first = line.enter(line.ticket()).await;
        let mut last = {
            let mut gone = Box::pin(line.enter(line.ticket()));
            assert!(poll!(gone.as_mut()).is_pending());
            let mut last = Box::pin(line.enter(line.ticket()));
            assert!(poll!(last.as_mut()).is_pending());
            drop(first);
            last
        };
        assert!(poll!(last.as_mut()).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_holds_and_is_told_as_it_was_said() {
        let line = Line::default();
        assert!(line.pause().is_none());
        line.pause_for(Duration::from_secs(10));
        line.pause_for(Duration::from_secs(5));
        clock::sleep(Duration::from_secs(4)).await;
        let pause = line.pause().unwrap();
        assert_eq!((pause.left.as_secs(), pause.said.as_secs(), line.is_free()), (6, 10, false));
        clock::sleep(pause.left).await;
        assert!(line.is_free());
    }
}
