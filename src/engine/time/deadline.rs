//! A deadline for the hot path, which is polled once for each delta.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, Sleep};

use super::clock::{self, Elapsed};
use super::test_clock::installed;

/// How late a timer may fire and still be on time.
const ON_TIME: Duration = Duration::from_millis(20);
/// The longest grace after a late timer.
const MAX_GRACE: Duration = Duration::from_secs(1);

/// A limit on how long a peer may be silent. It moves with every delta and is rarely reached. Its timer is reset only when it
/// fires too early or would fire too late; until then it is not polled.
///
/// A process that was frozen (SIGSTOP, Lambda) wakes up with an expired timer, and sees what arrived meanwhile only
/// afterwards. If the timer fires late, it is therefore re-armed once, for as long as it was late.
pub struct Deadline {
    timer: Timer,
    /// When the timer fires.
    at: Instant,
    /// The task that the timer wakes.
    waker: Option<Waker>,
    polled: Instant,
    grace: Option<Grace>,
}

/// More time than was set.
struct Grace {
    set: Instant,
    until: Instant,
}

enum Timer {
    Real(Pin<Box<Sleep>>),
    Test(BoxFuture<'static, ()>),
}

impl Deadline {
    #[allow(clippy::disallowed_methods)] // The one timer that is reset in place.
    pub fn new(first: Instant) -> Self {
        let timer = match installed() {
            None => Timer::Real(Box::pin(tokio::time::sleep_until(first))),
            Some(_) => Timer::Test(clock::sleep_until(first).boxed()),
        };
        Deadline { timer, at: first, waker: None, polled: clock::instant(), grace: None }
    }

    /// Ready at `until`.
    pub fn poll(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let now = clock::instant();
        let last_polled = std::mem::replace(&mut self.polled, now);
        let set = until;
        let grace = self.grace.as_ref().filter(|grace| grace.set == set);
        let mut until = grace.map_or(set, |grace| grace.until);
        let known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if known && until >= self.at && now < self.at {
            return Poll::Pending;
        }
        if until < self.at {
            self.reset(until);
        }
        loop {
            let polled = match &mut self.timer {
                Timer::Real(timer) => timer.as_mut().poll(context),
                Timer::Test(timer) => timer.as_mut().poll(context).map(|()| {
                    // Like a real timer it may be polled again, for a later deadline.
                    *timer = poll_fn(|_| Poll::Ready(())).boxed();
                }),
            };
            if polled.is_pending() {
                self.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            if self.at < until {
                self.reset(until);
                continue;
            }
            let late = now.saturating_duration_since(last_polled.max(until));
            if late <= ON_TIME || until != set || installed().is_some() {
                return Poll::Ready(());
            }
            until = now + late.min(MAX_GRACE);
            self.grace = Some(Grace { set, until });
            self.reset(until);
        }
    }

    fn reset(&mut self, at: Instant) {
        self.at = at;
        match &mut self.timer {
            Timer::Real(timer) => timer.as_mut().reset(at),
            Timer::Test(timer) => *timer = clock::sleep_until(at).boxed(),
        }
        self.waker = None;
    }
}

/// Runs a future that waits for a peer, up to `at`: like [`clock::timeout_at`], with the grace of a [`Deadline`].
pub async fn unless_silent_until<F: Future>(at: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut deadline = Deadline::new(at);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => deadline.poll(at, context).map(|()| Err(Elapsed)),
    })
    .await
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // These tests use tokio's paused clock.
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Polls once, as the task that was woken by the timer does.
    async fn poll_now(deadline: &mut Deadline, until: Instant) -> bool {
        poll_fn(|context| Poll::Ready(deadline.poll(until, context).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_frozen_gets_as_much_time_again_once() {
        let began = Instant::now();
        let until = began + 100 * MS;
        let mut deadline = Deadline::new(until);
        assert!(!poll_now(&mut deadline, until).await);
        tokio::time::advance(600 * MS).await;
        assert!(!poll_now(&mut deadline, until).await, "500 ms late");
        poll_fn(|context| deadline.poll(until, context)).await;
        assert_eq!(began.elapsed(), 1_100 * MS);
        // It was frozen again, and nothing has arrived since the first time.
        tokio::time::advance(600 * MS).await;
        assert!(poll_now(&mut deadline, until).await);
        // Something has arrived, so the deadline is another one.
        let until = Instant::now() + 100 * MS;
        assert!(!poll_now(&mut deadline, until).await);
        tokio::time::advance(30_000 * MS).await;
        let woken = Instant::now();
        poll_fn(|context| deadline.poll(until, context)).await;
        assert_eq!(woken.elapsed(), MAX_GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_moved_while_its_timer_ran_has_the_grace_too() {
        let began = Instant::now();
        let mut deadline = Deadline::new(began + 100 * MS);
        assert!(!poll_now(&mut deadline, began + 100 * MS).await);
        tokio::time::advance(50 * MS).await;
        let moved = began + 150 * MS;
        assert!(!poll_now(&mut deadline, moved).await);
        tokio::time::advance(500 * MS).await;
        assert!(!poll_now(&mut deadline, moved).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_on_time_has_no_grace() {
        let began = Instant::now();
        assert!(unless_silent_until(began + 100 * MS, std::future::pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), 100 * MS);
        assert_eq!(unless_silent_until(began + 200 * MS, async { 1 }).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_can_be_moved_later_and_earlier() {
        let began = Instant::now();
        let mut deadline = Deadline::new(began + 10 * MS);
        // Moved before it is reached: the first setting does not end it.
        poll_fn(|context| deadline.poll(began + 25 * MS, context)).await;
        assert_eq!(began.elapsed(), 25 * MS);
        let early = timeout(MS, poll_fn(|context| deadline.poll(began + 90 * MS, context))).await;
        assert!(early.is_err());
        poll_fn(|context| deadline.poll(began + 40 * MS, context)).await;
        assert_eq!(began.elapsed(), 40 * MS);
        // A deadline in the past is reached immediately.
        poll_fn(|context| deadline.poll(began, context)).await;
        assert_eq!(began.elapsed(), 40 * MS);
    }
}
