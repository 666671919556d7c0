//! The simulator on real sockets.

mod connection;
mod cuts;
mod encrypted;
mod formats;
mod shape;
mod support;
