//! A clock for the tests of applications: it stands until it is told to go on, and what waits on it
//! goes on then. It holds for what is begun on the thread that installed it, which is the thread of one
//! JavaScript environment, and for the calls that begin there; sockets have their own time.

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

/// Somebody has installed one in this process. It never goes back: a call may still follow it.
static USED: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    static OF_TASK: Arc<TestClock>;
}
thread_local! {
    static OF_THREAD: RefCell<Option<Arc<TestClock>>> = const { RefCell::new(None) };
}

/// The clock that this call, or this thread, follows in the place of time.
pub(super) fn followed() -> Option<Arc<TestClock>> {
    if !USED.load(Ordering::Relaxed) {
        return None;
    }
    OF_TASK.try_with(Arc::clone).ok().or_else(|| OF_THREAD.with_borrow(Clone::clone))
}

/// A call that follows the clock of the thread that it is begun on; where that has none, the call.
pub fn following<T: Send + 'static>(call: BoxFuture<'static, T>) -> BoxFuture<'static, T> {
    let Some(clock) = followed() else { return call };
    // Counted from now on: until it is polled first nothing else shows that there is something to wait for.
    clock.update(|state| state.calls += 1);
    let inner = OF_TASK.scope(Arc::clone(&clock), call).boxed();
    Following { clock, inner }.boxed()
}

/// The same for what goes on behind the calls, which nobody waits for.
pub fn in_background(task: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
    match followed() {
        None => task,
        Some(clock) => OF_TASK.scope(clock, task).boxed(),
    }
}

pub struct TestClock {
    /// When it was made.
    started: Instant,
    state: Mutex<State>,
}

struct State {
    /// How far it has gone.
    elapsed: Duration,
    /// Who waits, by when; the number tells those of one time apart.
    timers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    /// Calls that were entered and have not ended, and waits in which nothing but time can happen.
    calls: usize,
    resting: usize,
    /// When a call last did something, in real time.
    active: Instant,
    /// Since when time goes on by itself again.
    released: Option<Instant>,
}

/// What the calls that follow a clock are about.
pub struct Activity {
    pub calls: usize,
    pub resting: usize,
    /// For how long none has done anything, in real time.
    pub quiet: Duration,
}

impl TestClock {
    /// A clock that stands at the present, and that this thread follows from now on.
    pub fn install() -> Arc<Self> {
        // Of the anchors of both the earlier one must be that of real time.
        super::clock::now();
        let now = Instant::now();
        let clock = Arc::new(TestClock {
            started: now,
            state: Mutex::new(State {
                elapsed: Duration::ZERO,
                timers: BTreeMap::new(),
                next: 0,
                calls: 0,
                resting: 0,
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

    /// This thread follows it no more, and those who wait go on in real time.
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

    /// How far it has gone.
    pub fn elapsed(&self) -> Duration {
        self.update(|state| state.elapsed + state.released.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    pub(super) fn instant(&self) -> Instant {
        self.started + self.elapsed()
    }

    /// How long until somebody's wait is over.
    pub fn until_next(&self) -> Option<Duration> {
        self.update(|state| state.timers.keys().next().map(|(at, _)| at.saturating_sub(state.elapsed)))
    }

    /// Goes on by so much. Those whose wait is over then run when this has returned.
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
            resting: state.resting,
            quiet: state.active.elapsed(),
        })
    }

    pub(super) async fn sleep_until(self: &Arc<Self>, at: Instant) {
        self.wait(at.saturating_duration_since(self.started), false).await;
    }

    pub(super) async fn rest(self: &Arc<Self>, wait: Duration) {
        let until = self.elapsed().saturating_add(wait);
        self.wait(until, true).await;
    }

    async fn wait(self: &Arc<Self>, until: Duration, rests: bool) {
        Timer { clock: Arc::clone(self), until, rests, place: None }.await;
        // Released meanwhile: the rest passes as time does.
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
    rests: bool,
    place: Option<u64>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Timer { clock, until, rests, place } = &mut *self;
        clock.update(|state| {
            if state.elapsed >= *until || state.released.is_some() {
                return Poll::Ready(());
            }
            let number = *place.get_or_insert_with(|| {
                state.next += 1;
                state.resting += usize::from(*rests);
                state.next
            });
            state.timers.insert((*until, number), context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        self.clock.update(|state| {
            state.timers.remove(&(self.until, place));
            state.resting -= usize::from(self.rests);
        });
    }
}

/// A call whose doings its clock notices.
struct Following<T> {
    clock: Arc<TestClock>,
    inner: BoxFuture<'static, T>,
}

impl<T> Future for Following<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.clock.update(|state| state.active = Instant::now());
        self.inner.poll_unpin(context)
    }
}

impl<T> Drop for Following<T> {
    fn drop(&mut self) {
        self.clock.update(|state| {
            state.calls -= 1;
            state.active = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_wait_is_over_when_its_clock_has_come_so_far_and_not_before() {
        let test = TestClock::install();
        let (started, epoch) = (clock::instant(), clock::now());
        let waits = [3, 1, 2].map(|seconds| {
            tokio::spawn(following(clock::sleep(seconds * SECOND).map(move |()| clock::instant()).boxed()))
        });
        while test.activity().resting < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(test.until_next(), Some(SECOND));
        test.advance(SECOND - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert!(waits.iter().all(|wait| !wait.is_finished()));
        test.advance(Duration::from_millis(1));
        while test.activity().calls > 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(waits.iter().filter(|wait| wait.is_finished()).count(), 1);
        test.advance(10 * SECOND);
        for wait in waits {
            wait.await.unwrap();
        }
        assert_eq!((clock::instant() - started, clock::now() - epoch), (11 * SECOND, 11_000));
        assert_eq!((test.activity().calls, test.activity().resting, test.until_next()), (0, 0, None));
        test.release();
        assert!(followed().is_none());
    }

    #[tokio::test]
    async fn a_timeout_and_a_dropped_wait_leave_nothing_behind() {
        let test = TestClock::install();
        let call = following(clock::timeout(SECOND, std::future::pending::<()>()).boxed());
        let call = tokio::spawn(call);
        while test.until_next().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(test.activity().resting, 0);
        test.advance(SECOND);
        assert!(call.await.unwrap().is_err());
        let dropped = tokio::spawn(following(clock::sleep(SECOND).boxed()));
        while test.until_next().is_none() {
            tokio::task::yield_now().await;
        }
        dropped.abort();
        let _ = dropped.await;
        assert_eq!((test.until_next(), test.activity().resting), (None, 0));
        test.release();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_on_a_clock_that_is_released_goes_on_in_real_time() {
        let test = TestClock::install();
        let call = tokio::spawn(following(clock::sleep(5 * SECOND).boxed()));
        while test.until_next().is_none() {
            tokio::task::yield_now().await;
        }
        test.advance(2 * SECOND);
        test.release();
        let before = Instant::now();
        call.await.unwrap();
        assert_eq!(before.elapsed().as_secs(), 3);
    }
}
