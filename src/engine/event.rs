//! What the engine reports while a call runs, as data.

use std::collections::BTreeMap;

use serde::Serialize;

/// One event of a call. `call` is the id of the call. `request_id` is our id of the attempt that the
/// event is about (`x-client-request-id`), or of the one before it where it comes between two.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// An attempt begins.
    Attempt {
        call: String,
        attempt: u32,
        endpoint: String,
        model: String,
        request_id: String,
        reason: &'static str,
    },
    /// The first token of an attempt has come.
    FirstToken {
        call: String,
        attempt: u32,
        endpoint: String,
        model: String,
        request_id: String,
        first_token_ms: u64,
        /// What the response's head says of the request and of limits.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// An attempt has failed.
    AttemptFailed {
        call: String,
        attempt: u32,
        endpoint: String,
        model: String,
        request_id: String,
        /// The name of the error's class in JavaScript.
        class: &'static str,
        /// The provider's own id of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        provider_request_id: Option<String>,
        code: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        message: String,
        duration_ms: u64,
    },
    /// An attempt was given up: another one, which ran beside it, had its first token first.
    HedgeLost {
        call: String,
        attempt: u32,
        endpoint: String,
        model: String,
        request_id: String,
        /// The hedge itself has lost; otherwise the attempt that it was begun for.
        hedge: bool,
        duration_ms: u64,
    },
    /// The call waits before the next attempt.
    Wait {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        ms: u64,
        reason: &'static str,
    },
    /// A retry, hedge or recovery that was due is not made: the budget of the client, or of the call's
    /// `tenant`, is used up.
    RetryBudget {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        budget: &'static str,
    },
    /// The call goes on with another endpoint or model.
    Fallback {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        endpoint: String,
        model: String,
        from_endpoint: String,
        from_model: String,
    },
    /// The answer broke off after something had been received, and is taken up again.
    Recovery {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        count: u32,
        received: usize,
        endpoint: String,
        model: String,
        wait_ms: u64,
    },
    /// A breaker has changed: in this call, or by a probe before it.
    Circuit {
        #[serde(skip_serializing_if = "Option::is_none")]
        call: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        endpoint: String,
        model: String,
        from: &'static str,
        to: &'static str,
    },
    /// The soft limit of the cost is reached: told once a window.
    SoftLimit {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        window: &'static str,
        since: u64,
        soft_limit_usd: f64,
        spent_usd: f64,
    },
    /// The answer is complete.
    Complete {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        attempts: u32,
        /// An attempt has failed before; for the counters.
        #[serde(skip)]
        after_retry: bool,
        endpoint: String,
        model: String,
        duration_ms: u64,
    },
    /// The call has failed for good.
    Failed {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        attempts: u32,
        code: &'static str,
        message: String,
        duration_ms: u64,
    },
}
