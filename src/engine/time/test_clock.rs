//! A manual clock for the tests of applications: it is frozen until it is advanced, which fires the timers that are
//! due. It applies to everything started on the thread that installed it (the thread of one JavaScript environment) and
//! to the calls that start there. Sockets keep real time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::anchor::anchor;

/// Whether a test clock was ever installed in this process. Never reset: a call may still use one.
static USED: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    static OF_TASK: Arc<TestClock>;
}
thread_local! {
    static OF_THREAD: RefCell<Option<Arc<TestClock>>> = const { RefCell::new(None) };
}

/// The test clock that this task or this thread uses in place of real time.
pub(super) fn installed() -> Option<Arc<TestClock>> {
    if !USED.load(Ordering::Relaxed) {
        return None;
    }
    OF_TASK.try_with(Arc::clone).ok().or_else(|| OF_THREAD.with_borrow(Clone::clone))
}

/// Binds a call to the test clock of the current thread; returns it unchanged if there is none.
pub fn bind<T: Send + 'static>(call: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
    let Some(clock) = installed() else { return call };
    // Counted from now on: before the first poll nothing else shows that there is something to wait for.
    clock.update(|state| state.calls += 1);
    let inner = OF_TASK.scope(Arc::clone(&clock), call).boxed();
    TrackedCall { clock, inner }.boxed()
}

/// Like [`bind`], for background tasks that no one awaits.
pub fn bind_background(task: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
    match installed() {
        None => task,
        Some(clock) => OF_TASK.scope(clock, task).boxed(),
    }
}

pub struct TestClock {
    started: Instant,
    state: Mutex<State>,
}

struct State {
    elapsed: Duration,
    /// Timers by due time; the number distinguishes timers of the same time.
    timers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    /// Calls that have started and not ended.
    calls: usize,
    /// Sleeps that only time can end.
    sleeping: usize,
    /// When a call was last polled, in real time.
    active: Instant,
    /// When real time took over again.
    released: Option<Instant>,
}

/// What the calls of a clock are doing.
pub struct Activity {
    pub calls: usize,
    pub sleeping: usize,
    /// How long no call has been polled, in real time.
    pub quiet: Duration,
    /// When a call was last polled.
    pub active: Instant,
}

impl TestClock {
    /// Installs a clock on this thread, frozen at the present.
    pub fn install() -> Arc<Self> {
        // The anchor of real time must not be later than this clock's start.
        anchor();
        let now = Instant::now();
        let clock = Arc::new(TestClock {
            started: now,
            state: Mutex::new(State {
                elapsed: Duration::ZERO,
                timers: BTreeMap::new(),
                next: 0,
                calls: 0,
                sleeping: 0,
                active: now,
                released: None,
            }),
        });
        USED.store(true, Ordering::Relaxed);
        OF_THREAD.set(Some(Arc::clone(&clock)));
        clock
    }

    fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uninstalls the clock; pending timers continue in real time.
    pub fn release(self: &Arc<Self>) {
        OF_THREAD.with_borrow_mut(|installed| {
            if installed.as_ref().is_some_and(|have| Arc::ptr_eq(have, self)) {
                *installed = None;
            }
        });
        let waiting = self.update(|state| {
            state.released.get_or_insert_with(Instant::now);
            std::mem::take(&mut state.timers)
        });
        waiting.into_values().for_each(Waker::wake);
    }

    /// How far the clock has advanced.
    pub fn elapsed(&self) -> Duration {
        self.update(|state| state.elapsed + state.released.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    pub(super) fn instant(&self) -> Instant {
        self.started + self.elapsed()
    }

    /// The time until the next timer fires.
    pub fn until_next(&self) -> Option<Duration> {
        self.update(|state| state.timers.keys().next().map(|(at, _)| at.saturating_sub(state.elapsed)))
    }

    /// Advances the clock and wakes the timers that are due; they run after this returns.
    pub fn advance(&self, by: Duration) {
        let due = self.update(|state| {
            state.elapsed += by;
            state.active = Instant::now();
            let later = state.timers.split_off(&(state.elapsed + Duration::from_nanos(1), 0));
            std::mem::replace(&mut state.timers, later)
        });
        due.into_values().for_each(Waker::wake);
    }

    pub fn activity(&self) -> Activity {
        self.update(|state| Activity {
            calls: state.calls,
            sleeping: state.sleeping,
            quiet: state.active.elapsed(),
            active: state.active,
        })
    }

    pub(super) async fn sleep_until(self: &Arc<Self>, at: Instant) {
        self.wait(at.saturating_duration_since(self.started), false).await;
    }

    pub(super) async fn sleep(self: &Arc<Self>, wait: Duration) {
        let until = self.elapsed().saturating_add(wait);
        self.wait(until, true).await;
    }

    async fn wait(self: &Arc<Self>, until: Duration, sleeps: bool) {
        Timer { clock: Arc::clone(self), until, sleeps, number: None }.await;
        // The clock was released in the meantime: the remainder passes in real time.
        let left = until.saturating_sub(self.elapsed());
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
    }
}

/// A wait on a test clock.
struct Timer {
    clock: Arc<TestClock>,
    until: Duration,
    sleeps: bool,
    number: Option<u64>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Timer { clock, until, sleeps, number } = &mut *self;
        clock.update(|state| {
            if state.elapsed >= *until || state.released.is_some() {
                return Poll::Ready(());
            }
            let number = *number.get_or_insert_with(|| {
                state.next += 1;
                state.sleeping += usize::from(*sleeps);
                state.next
            });
            state.timers.insert((*until, number), context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        self.clock.update(|state| {
            state.timers.remove(&(self.until, number));
            state.sleeping -= usize::from(self.sleeps);
        });
    }
}

/// A call whose activity its clock records.
struct TrackedCall<T> {
    clock: Arc<TestClock>,
    inner: BoxFuture<'static, T>,
}

impl<T> Future for TrackedCall<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.clock.update(|state| state.active = Instant::now());
        self.inner.poll_unpin(context)
    }
}

impl<T> Drop for TrackedCall<T> {
    fn drop(&mut self) {
        self.clock.update(|state| {
            state.calls -= 1;
            state.active = Instant::now();
        });
    }
}

#[cfg(test)]
#[path = "test_clock_tests.rs"]
mod tests;
