//! Two waits for the hot path, which is polled once for each piece: what seldom happens is not asked
//! for each time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::task::{ArcWake, waker};
use tokio::time::{Instant, Sleep};

use super::clock;
use super::test_clock::followed;

/// Runs `work` until it is done or `frame` is, which then goes first. The frame is polled only when it
/// has woken us: polling it (two cancellation tokens, a timer) takes locks that all calls share. Both are
/// best handed on pinned (`pin!`): a future that is moved into another one takes its room twice.
pub async fn within<T>(frame: impl Future<Output = T>, work: impl Future<Output = T>) -> T {
    let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: Mutex::default() });
    let ring = waker(Arc::clone(&bell));
    let (mut frame, mut work) = (pin!(frame), pin!(work));
    let mut known: Option<Waker> = None;
    poll_fn(|context| {
        if known.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            known = Some(context.waker().clone());
            // Before the look at the bell: a ring between the two wakes this task again.
            bell.task().clone_from(&known);
        }
        if bell.rung.load(Ordering::Acquire)
            && bell.rung.swap(false, Ordering::AcqRel)
            && let Poll::Ready(over) = frame.as_mut().poll(&mut Context::from_waker(&ring))
        {
            return Poll::Ready(over);
        }
        work.as_mut().poll(context)
    })
    .await
}

struct Bell {
    rung: AtomicBool,
    /// Whom it wakes, for as long as it rings.
    task: Mutex<Option<Waker>>,
}

impl Bell {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ArcWake for Bell {
    fn wake_by_ref(bell: &Arc<Self>) {
        bell.rung.store(true, Ordering::Release);
        if let Some(task) = &*bell.task() {
            task.wake_by_ref();
        }
    }
}

/// A deadline that is put off for each piece and seldom reached. The timer behind it is set anew only
/// when it goes off too early, or would go off too late; until then it is not looked at.
pub struct Deadline {
    timer: Timer,
    /// When the timer goes off, and whom it wakes then.
    at: Instant,
    wakes: Option<Waker>,
}

enum Timer {
    Real(Pin<Box<Sleep>>),
    /// On a test clock.
    Followed(BoxFuture<'static, ()>),
}

impl Deadline {
    #[allow(clippy::disallowed_methods)] // A timer that can be set anew; a test clock has its own.
    pub fn new(first: Instant) -> Self {
        let timer = match followed() {
            None => Timer::Real(Box::pin(tokio::time::sleep_until(first))),
            Some(_) => Timer::Followed(clock::sleep_until(first).boxed()),
        };
        Deadline { timer, at: first, wakes: None }
    }

    /// Ready when it is `until`.
    pub fn poll(&mut self, until: Instant, context: &mut Context<'_>) -> Poll<()> {
        let known = self.wakes.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if known && until >= self.at && clock::instant() < self.at {
            return Poll::Pending;
        }
        if until < self.at {
            self.set(until);
        }
        loop {
            let polled = match &mut self.timer {
                Timer::Real(timer) => timer.as_mut().poll(context),
                Timer::Followed(timer) => timer.as_mut().poll(context),
            };
            if polled.is_pending() {
                self.wakes = Some(context.waker().clone());
                return Poll::Pending;
            }
            if self.at >= until {
                return Poll::Ready(());
            }
            self.set(until);
        }
    }

    fn set(&mut self, at: Instant) {
        self.at = at;
        match &mut self.timer {
            Timer::Real(timer) => timer.as_mut().reset(at),
            Timer::Followed(timer) => *timer = clock::sleep_until(at).boxed(),
        }
        self.wakes = None;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Their time is tokio's, paused.
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::{sleep, timeout};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_ends_the_wait() {
        assert_eq!(within(std::future::pending(), async { 1 }).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_is_over_goes_first() {
        assert_eq!(within(async { 1 }, async { 2 }).await, 1);
        let (sender, over) = oneshot::channel();
        let work = async {
            sleep(MS).await;
            // Both are ready at the next poll.
            sender.send(1).unwrap();
            tokio::task::yield_now().await;
            2
        };
        assert_eq!(within(async { over.await.unwrap() }, work).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_is_polled_only_when_it_has_rung() {
        let mut polls = 0;
        let frame = poll_fn(|_| {
            polls += 1;
            Poll::<()>::Pending
        });
        let work = async {
            for _ in 0..10 {
                sleep(MS).await;
            }
        };
        within(frame, work).await;
        assert_eq!(polls, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_can_be_put_off_and_drawn_near() {
        let began = Instant::now();
        let mut deadline = Deadline::new(began + 10 * MS);
        // It is put off before it is reached: what was set first does not end it.
        poll_fn(|context| deadline.poll(began + 25 * MS, context)).await;
        assert_eq!(began.elapsed(), 25 * MS);
        let early = timeout(MS, poll_fn(|context| deadline.poll(began + 90 * MS, context))).await;
        assert!(early.is_err());
        poll_fn(|context| deadline.poll(began + 40 * MS, context)).await;
        assert_eq!(began.elapsed(), 40 * MS);
        // One that has passed is reached at once.
        poll_fn(|context| deadline.poll(began, context)).await;
        assert_eq!(began.elapsed(), 40 * MS);
    }
}
