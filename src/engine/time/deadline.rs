//! A deadline for the hot path, which is polled once for each delta.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, Sleep};

use super::clock;
use super::test_clock::installed;

/// A deadline that moves with every delta and is seldom reached. Its timer is reset only when it fires too
/// early or would fire too late; until then it is not polled.
pub struct Deadline {
    timer: Timer,
    /// When the timer fires.
    at: Instant,
    /// The task that the timer waker.
    waker: Option<Waker>,
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
        Deadline { timer, at: first, waker: None }
    }

    /// Ready at `until`.
    pub fn poll(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if known && until >= self.at && clock::instant() < self.at {
            return Poll::Pending;
        }
        if until < self.at {
            self.reset(until);
        }
        loop {
            let polled = match &mut self.timer {
                Timer::Real(timer) => timer.as_mut().poll(context),
                Timer::Test(timer) => timer.as_mut().poll(context),
            };
            if polled.is_pending() {
                self.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            if self.at >= until {
                return Poll::Ready(());
            }
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

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // These tests use tokio's paused clock.
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

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
