//! The simulator on real sockets.

mod connection;
mod cuts;
mod shape;
mod support;
