//! The transport against real sockets.

mod certificates;
mod connections;
mod http2;
mod urls;
