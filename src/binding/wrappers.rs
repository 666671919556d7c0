//! What the wrapper classes in `src/js/systems` need besides calls.

use napi_derive::napi;

use crate::engine::{RouteSnapshot, RouteStats, Style, continuation, scores};

/// The messages of a request that asks for the rest of `partial`, as JSON. `messages` is the caller's JSON
/// array. With `system`, one system message that quotes the end of `partial` is appended, otherwise a dialog.
#[napi(catch_unwind)]
pub fn continuation_messages(messages: String, partial: String, system: Option<bool>) -> String {
    let style = if system == Some(true) { Style::System } else { Style::Dialog };
    continuation(&messages, &partial, style).messages
}

/// The latencies of a set of endpoints, and the scores by which routing orders them.
#[napi]
pub struct NativeScores {
    endpoints: Vec<RouteStats>,
}

#[napi]
impl NativeScores {
    #[napi(constructor, catch_unwind)]
    pub fn new(endpoints: u32) -> Self {
        NativeScores { endpoints: vec![RouteStats::default(); endpoints as usize] }
    }

    /// Records a latency in milliseconds, rounded to a whole number.
    #[napi(catch_unwind)]
    pub fn record_latency(&mut self, endpoint: u32, ms: f64) {
        if let Some(record) = self.endpoints.get_mut(endpoint as usize) {
            record.record_first_token(ms.round() as u64);
        }
    }

    /// The score of each endpoint. The caller supplies each endpoint's health, from 0 to 100.
    #[napi(catch_unwind)]
    pub fn scores(&self, health: Vec<f64>) -> Vec<f64> {
        let snapshot = |(record, health): (&RouteStats, f64)| RouteSnapshot {
            health,
            latency_ms: record.latency_ms(),
            ..RouteSnapshot::default()
        };
        scores(&self.endpoints.iter().zip(health).map(snapshot).collect::<Vec<_>>())
    }
}
