//! The tokio runtime that all calls share.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::error::{Error, LocalResource, Result};

/// How many threads wait for the system at once: for name lookups and files. More wait for a thread.
const MAX_BLOCKING_THREADS: usize = 16;
/// In effect forever: a thread that may block exists for as long as the runtime does. tokio panics if it needs one, has none
/// and can start none; with one it queues.
const KEEP_ALIVE: Duration = Duration::from_secs(u32::MAX as u64);
/// How often a start that lacks a thread is tried again.
const TRIES: usize = 3;
/// How long the system may count a thread that has ended.
const RELEASE: Duration = Duration::from_millis(2);
/// How many calls start in a row before other tasks have their turn.
const MAX_STARTS: usize = 8;
const NAME: &str = "holysheep";

/// The runtime of the process. It starts at first use and outlives every JavaScript environment. (napi's own
/// runtime starts its threads at `require` and is gone after the last environment closes.) From then on no call needs a
/// new thread.
///
/// # Errors
/// [`crate::error::Kind::LocalResource`], if a thread or a descriptor is missing. The next call tries again.
pub(super) fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = start().map_err(|error| {
        Error::local_resource(LocalResource::of(&error).unwrap_or(LocalResource::Threads))
    })?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Spawns tasks in the order of these calls: each task is polled once, which is when it enters its queues,
/// before the next one is. (Tasks given to `tokio::spawn` race for their first poll.)
pub(super) fn spawn_in_order(runtime: &'static Runtime, task: BoxFuture<'static, ()>) {
    static TASKS: OnceLock<UnboundedSender<BoxFuture<'static, ()>>> = OnceLock::new();
    let tasks = TASKS.get_or_init(|| {
        // Bounded by the caller: one task for each call that JavaScript has started.
        let (sender, mut tasks) = unbounded_channel::<BoxFuture<'static, ()>>();
        runtime.spawn(async move {
            let mut in_turn = 0;
            while let Some(mut task) = tasks.recv().await {
                // Without `unconstrained`, a burst would use up this task's cooperative budget: a free lock would
                // return `Pending`, and its call would lose its position in the queue.
                if futures::poll!(tokio::task::unconstrained(&mut task)).is_pending() {
                    tokio::spawn(task);
                }
                // The calls that stream already have their turn before the rest of a burst.
                in_turn = (in_turn + 1) % MAX_STARTS;
                if in_turn == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        sender
    });
    // The receiver lives as long as the process.
    let _ = tasks.send(task);
}

/// Starts the runtime, with one worker if there are not enough threads for more.
fn start() -> io::Result<Runtime> {
    // Calls wait for the network. More threads would only take the cores from JavaScript.
    let most = thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
    // A failed start of the runtime leaves its descriptors open, so it is not tried in vain.
    let (startable, refused) = startable_threads(most + 1);
    let workers = match startable {
        0 | 1 => return Err(refused.unwrap_or_else(|| io::ErrorKind::WouldBlock.into())),
        count if count > most => most,
        _ => 1,
    };
    let mut tries = 0..TRIES;
    loop {
        if refused.is_some() || tries.start > 0 {
            thread::sleep(RELEASE);
        }
        match start_with(workers) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries.next().is_some() => {}
            result => return result,
        }
    }
}

/// # Errors
/// `WouldBlock` if a thread cannot start.
fn start_with(workers: usize) -> io::Result<Runtime> {
    let gate = Gate::default();
    let at_gate = gate.clone();
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(workers)
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_keep_alive(KEEP_ALIVE)
        .thread_name(NAME)
        .on_thread_start(move || at_gate.pass())
        .enable_all();
    // tokio panics if a worker cannot start, for example because another process was faster, and then waits for the
    // workers before it, which never end: unless it is in another runtime, where it may not block, and they end at the
    // gate.
    let outer = Builder::new_current_thread().build()?;
    let built = catch_unwind(AssertUnwindSafe(|| outer.block_on(async { builder.build() })));
    gate.open(matches!(built, Ok(Ok(_))));
    let runtime = built.unwrap_or_else(|_| Err(io::ErrorKind::WouldBlock.into()))?;
    match catch_unwind(AssertUnwindSafe(|| runtime.spawn_blocking(|| ()))) {
        Ok(_) => Ok(runtime),
        Err(_) => {
            runtime.shutdown_background();
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
}

/// How many threads the system allows to start, up to `count`, and why it does not allow more.
fn startable_threads(count: usize) -> (usize, Option<io::Error>) {
    let mut threads = Vec::with_capacity(count);
    let mut refused = None;
    while threads.len() < count && refused.is_none() {
        let (end, ended) = mpsc::channel::<()>();
        // Lives until its sender is dropped.
        match thread::Builder::new().name(NAME.into()).spawn(move || ended.recv().is_err()) {
            Ok(thread) => threads.push((thread, end)),
            Err(error) => refused = Some(error),
        }
    }
    let startable = threads.len();
    for (thread, end) in threads {
        drop(end);
        // It does not panic.
        let _ = thread.join();
    }
    (startable, refused)
}

/// Holds the threads of a runtime back until it is known whether all of them have started.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Option<bool>>, Condvar)>);

impl Gate {
    /// Lets the threads run, or end.
    fn open(&self, may_run: bool) {
        let (state, opened) = &*self.0;
        *state.lock().unwrap_or_else(PoisonError::into_inner) = Some(may_run);
        opened.notify_all();
    }

    /// Waits until the gate is open. Ends the thread, by a panic that is not reported, if it may not run.
    fn pass(&self) {
        let (state, opened) = &*self.0;
        let mut may_run = state.lock().unwrap_or_else(PoisonError::into_inner);
        while may_run.is_none() {
            may_run = opened.wait(may_run).unwrap_or_else(PoisonError::into_inner);
        }
        if *may_run == Some(false) {
            drop(may_run);
            resume_unwind(Box::new(()));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn in_a_burst_of_starts_other_tasks_have_their_turn() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let runtime: &'static Runtime = Box::leak(Box::new(runtime));
        let (order, ran) = mpsc::channel();
        let (all_are_queued, gate) = mpsc::channel();
        let other = order.clone();
        // The only worker waits until the burst is complete.
        let first = async move {
            gate.recv().unwrap();
            tokio::spawn(async move { other.send("other").unwrap() });
        };
        spawn_in_order(runtime, first.boxed());
        for _ in 0..100 {
            let order = order.clone();
            spawn_in_order(runtime, async move { order.send("start").unwrap() }.boxed());
        }
        all_are_queued.send(()).unwrap();
        let before = ran.iter().position(|name| name == "other").unwrap();
        assert!(before <= MAX_STARTS, "{before} calls started before");
    }

    #[test]
    fn threads_that_may_not_run_end_at_the_gate() {
        let gate = Gate::default();
        let waiting = gate.clone();
        let thread = thread::spawn(move || waiting.pass());
        gate.open(false);
        assert!(thread.join().is_err());
        gate.open(true);
        gate.pass();
    }
}
