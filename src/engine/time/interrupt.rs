//! A race between work that is polled for every delta and a rare interruption.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::task::{ArcWake, waker};

/// Runs `work` until it or `interrupt` completes; `interrupt` wins if both are ready. `interrupt` is polled only
/// when it has woken the task: polling it (two cancellation tokens, a timer) takes locks that all calls
/// share. Pass both pinned (`pin!`): a future that is moved into another one occupies its size twice.
pub async fn unless_interrupted<T>(interrupt: impl Future<Output = T>, work: impl Future<Output = T>) -> T {
    let flag = Arc::new(WakeFlag { woken: AtomicBool::new(true), task: Mutex::default() });
    let flag_waker = waker(Arc::clone(&flag));
    let (mut interrupt, mut work) = (pin!(interrupt), pin!(work));
    let mut registered: Option<Waker> = None;
    poll_fn(|context| {
        if registered.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            registered = Some(context.waker().clone());
            // Before the flag is read: a wake-up between the two wakes this task again.
            flag.task().clone_from(&registered);
        }
        if flag.woken.load(Ordering::Acquire)
            && flag.woken.swap(false, Ordering::AcqRel)
            && let Poll::Ready(output) = interrupt.as_mut().poll(&mut Context::from_waker(&flag_waker))
        {
            return Poll::Ready(output);
        }
        work.as_mut().poll(context)
    })
    .await
}

struct WakeFlag {
    woken: AtomicBool,
    /// The task to wake.
    task: Mutex<Option<Waker>>,
}

impl WakeFlag {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ArcWake for WakeFlag {
    fn wake_by_ref(flag: &Arc<Self>) {
        flag.woken.store(true, Ordering::Release);
        if let Some(task) = &*flag.task() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // These tests use tokio's paused clock.
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn finished_work_ends_the_race() {
        assert_eq!(unless_interrupted(std::future::pending(), async { 1 }).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_wins_over_work_that_is_ready_too() {
        assert_eq!(unless_interrupted(async { 1 }, async { 2 }).await, 1);
        let (sender, receiver) = oneshot::channel();
        let work = async {
            sleep(MS).await;
            // Both are ready at the next poll.
            sender.send(1).unwrap();
            tokio::task::yield_now().await;
            2
        };
        assert_eq!(unless_interrupted(async { receiver.await.unwrap() }, work).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_is_polled_only_when_it_has_woken_the_task() {
        let mut polls = 0;
        let interrupt = poll_fn(|_| {
            polls += 1;
            Poll::<()>::Pending
        });
        let work = async {
            for _ in 0..10 {
                sleep(MS).await;
            }
        };
        unless_interrupted(interrupt, work).await;
        assert_eq!(polls, 1);
    }
}
