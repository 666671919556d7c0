//! The tokio runtime that all calls share.

use std::sync::OnceLock;

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How many threads may block at the same time: in a lookup of a host name, of which there is one for each name, and while
/// certificates are loaded. More work waits.
const MAX_BLOCKING_THREADS: usize = 16;

/// The runtime of the process. It starts at first use and outlives every JavaScript environment. (napi's own
/// runtime starts its threads at `require` and is gone after the last environment closes.)
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        // Calls wait for the network. More threads would only take the cores from JavaScript.
        let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        Builder::new_multi_thread()
            .worker_threads(workers)
            .max_blocking_threads(MAX_BLOCKING_THREADS)
            .thread_name("holysheep")
            .enable_all()
            .build()
            // Without threads there is no fallback. The panic is caught at the boundary and becomes a
            // JavaScript error.
            .expect("the tokio runtime starts")
    })
}

/// Spawns tasks in the order of these calls: each task is polled once, which is when it enters its queues,
/// before the next one is. (Tasks given to `tokio::spawn` race for their first poll.)
pub(super) fn spawn_in_order(task: BoxFuture<'static, ()>) {
    static TASKS: OnceLock<UnboundedSender<BoxFuture<'static, ()>>> = OnceLock::new();
    let tasks = TASKS.get_or_init(|| {
        // Bounded by the caller: one task for each call that JavaScript has started.
        let (sender, mut tasks) = unbounded_channel::<BoxFuture<'static, ()>>();
        runtime().spawn(async move {
            while let Some(mut task) = tasks.recv().await {
                // Without `unconstrained`, a burst would use up this task's cooperative budget: a free lock would
                // return `Pending`, and its call would lose its position in the queue.
                if futures::poll!(tokio::task::unconstrained(&mut task)).is_pending() {
                    tokio::spawn(task);
                }
            }
        });
        sender
    });
    // The receiver lives as long as the process.
    let _ = tasks.send(task);
}
