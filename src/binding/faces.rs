//! What the documents' helpers need of the engine beside calls.

use napi_derive::napi;

use crate::engine::{RouteSnapshot, RouteStats, Style, continuation, scores};

/// The messages of a request that asks for the rest of `partial`, as JSON. `messages` is the JSON array
/// of the caller's. `system`: one system message is added, which quotes the end, and not a dialog.
#[napi]
pub fn continuation_messages(messages: String, partial: String, system: Option<bool>) -> String {
    let style = if system == Some(true) { Style::System } else { Style::Dialog };
    continuation(&messages, &partial, style).messages
}

/// The latencies of some endpoints, and the scores by which routing orders them.
#[napi]
pub struct NativeScores {
    endpoints: Vec<RouteStats>,
}

#[napi]
impl NativeScores {
    #[napi(constructor)]
    pub fn new(endpoints: u32) -> Self {
        NativeScores { endpoints: vec![RouteStats::default(); endpoints as usize] }
    }

    /// Remembers a latency in milliseconds, to the nearest whole one.
    #[napi]
    pub fn record_latency(&mut self, endpoint: u32, ms: f64) {
        if let Some(record) = self.endpoints.get_mut(endpoint as usize) {
            record.record_first_token(ms.round() as u64);
        }
    }

    /// The score of each endpoint, whose health (0 to 100) is the caller's to know.
    #[napi]
    pub fn scores(&self, health: Vec<f64>) -> Vec<f64> {
        let shown = |(record, health): (&RouteStats, f64)| RouteSnapshot {
            health,
            latency_ms: record.latency_ms(),
            ..RouteSnapshot::default()
        };
        scores(&self.endpoints.iter().zip(health).map(shown).collect::<Vec<_>>())
    }
}
