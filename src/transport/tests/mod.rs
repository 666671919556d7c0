//! The transport against real sockets.

mod certificates;
mod connections;
mod urls;
