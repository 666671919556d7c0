//! Events of a call, as data.

use std::collections::BTreeMap;

use serde::Serialize;

/// An event of a call. `call` is the id of the call. `request_id` is our id (`x-client-request-id`) of the attempt that
/// the event is about, or of the previous attempt if the event occurs between two.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// An attempt starts.
    Attempt {
        call: String,
        attempt: u32,
        endpoint: String,
        model: String,
        request_id: String,
        reason: &'static str,
    },
    /// The first token of an attempt has arrived.
    FirstToken {
        call: String,
        attempt: u32,
        endpoint: String,
        model: String,
        request_id: String,
        first_token_ms: u64,
        /// The response headers, without cookies and hop-by-hop headers.
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
        /// The provider's id of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        provider_request_id: Option<String>,
        code: &'static str,
        /// Of a timeout: which stage exceeded its limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        message: String,
        duration_ms: u64,
    },
    /// An attempt was canceled because the attempt racing it received its first token first.
    HedgeLost {
        call: String,
        attempt: u32,
        endpoint: String,
        model: String,
        request_id: String,
        /// Whether the hedge lost, rather than the original attempt.
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
    /// A retry, hedge or recovery is skipped because the retry budget of the client or of the call's tenant is
    /// exhausted.
    RetryBudget {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        budget: &'static str,
    },
    /// The call fails over to another endpoint or model.
    Fallback {
        call: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        endpoint: String,
        model: String,
        from_endpoint: String,
        from_model: String,
    },
    /// The answer was interrupted after part of it had been received, and is recovered.
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
    /// The answer has outgrown what is kept to continue it (`recovery.maxBytes`): it goes on, and is not recovered if it is
    /// interrupted.
    RecoveryDisabled { call: String, request_id: String, max_bytes: usize },
    /// A breaker has changed state, in this call or through an earlier probe.
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
    /// A usage report that its request cannot have caused is not counted: the attempt is charged by what was sent and
    /// received.
    ImplausibleUsage {
        call: String,
        attempt: u32,
        endpoint: String,
        model: String,
        request_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt_tokens: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        completion_tokens: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        total_tokens: Option<f64>,
        max_prompt_tokens: u64,
        max_completion_tokens: u64,
    },
    /// The soft cost limit is reached; reported once per window.
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
        /// Whether an earlier attempt failed; for the counters.
        #[serde(skip)]
        after_retry: bool,
        endpoint: String,
        model: String,
        duration_ms: u64,
        /// The response headers of an answer without a token, for which there is no [`Event::FirstToken`].
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// The call has failed.
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
