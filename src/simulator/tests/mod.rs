//! The simulator on real sockets.

mod connection;
mod cuts;
mod encrypted;
mod shape;
mod support;
