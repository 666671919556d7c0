//! The only place that knows napi: options in, pieces and errors out. One file a class.

mod breaker;
mod client;
mod errors;
pub mod helpers;
mod hub;
mod limiter;
mod simulator;

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

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
