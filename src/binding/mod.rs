//! The only place that knows napi: options in, deltas and errors out. One file a class.

mod breaker;
mod client;
mod clock;
mod errors;
pub mod faces;
pub mod helpers;
mod hub;
mod limiter;
pub mod network;
mod outlet;
mod queue;
mod simulator;

use std::sync::OnceLock;

use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// The runtime of the process: started at the first use, never torn down with one JS environment.
/// (napi's own starts its threads at `require` and is lost after the last environment closes.)
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("holysheep")
            .enable_all()
            .build()
            // Without threads there is nothing that could be done instead; the panic is caught at
            // the boundary and becomes a JavaScript error.
            .expect("the tokio runtime starts")
    })
}

/// Starts a task in the order of the calls: each is polled once, which is when it takes its place in
/// the queues, before the next one is. (Tasks that are spawned at once race for their first poll.)
fn start_in_order(task: BoxFuture<'static, ()>) {
    static STARTER: OnceLock<UnboundedSender<BoxFuture<'static, ()>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, mut tasks) = unbounded_channel::<BoxFuture<'static, ()>>();
        runtime().spawn(async move {
            while let Some(mut task) = tasks.recv().await {
                // With tokio's budget every hundredth lock would pretend to be taken, and its call
                // would lose its place in the queue.
                if futures::poll!(tokio::task::unconstrained(&mut task)).is_pending() {
                    tokio::spawn(task);
                }
            }
        });
        sender
    });
    // The receiver lives as long as the runtime, which is as long as the process.
    let _ = starter.send(task);
}
