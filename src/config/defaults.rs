//! Every default of the package, once. `types/` and the README are tested against [`list`].

use std::time::Duration;

use serde_json::{Value, json};

use crate::policy::ledger::Window;

pub const BASE_URL: &str = "https://api.holysheep.ai/v1";
/// The window of a cost cap.
pub const COST_WINDOW: Window = Window::Day;
/// The least answer for which a call is let in, in tokens, where its bound is reduced to what is left.
pub const MIN_OUTPUT_TOKENS: u64 = 16;

pub const MODEL: &str = "gpt-4.1";
pub const VALIDATE_MODEL: bool = false;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(60);
/// The same on the last route left: giving up early gains nothing where there is nowhere else to go.
pub const FIRST_TOKEN_TIMEOUT_LAST_ROUTE: Duration = Duration::from_secs(120);
/// The head of an answer that is not streamed comes when all of it is written.
pub const WHOLE_ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
pub const ROTATE_ENDPOINTS: bool = false;
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a finished answer is read on for its usage and to keep the connection.
pub const DRAIN: Duration = Duration::from_secs(1);

pub const REQUIRE_FINISH_REASON: bool = true;

pub const MAX_RETRIES: u32 = 3;
pub const BASE_DELAY: Duration = Duration::from_secs(1);
pub const MAX_DELAY: Duration = Duration::from_secs(60);
pub const MULTIPLIER: f64 = 2.0;
/// A retry that the deadline leaves less time than this, or than a tenth of it, is not made.
pub const MIN_ATTEMPT: Duration = Duration::from_millis(250);
pub const MIN_DELAY: Duration = Duration::ZERO;
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// How long a provider can keep all calls from a route by the pause that it asks one for.
pub const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How long a route comes after the others when it was limited and nobody said for how long.
pub const LIMITED_REST: Duration = Duration::from_secs(1);
/// How long a key without quota is not asked where there is another route; then one call asks.
pub const QUOTA_REST: Duration = Duration::from_secs(60);
/// The wait after a reset connection, where `retry.connectionReset` asks for one of its own.
pub const RESET_MIN_DELAY: Duration = Duration::from_secs(1);
pub const RESET_MAX_DELAY: Duration = Duration::from_secs(3);

/// The retry budget: Finagle's defaults, but for the window's name.
pub const BUDGET_RATIO: f64 = 0.2;
pub const BUDGET_MIN_PER_SECOND: f64 = 10.0;
pub const BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// How many tenants' retry budgets a client keeps; the least recently used one is dropped first.
pub const MAX_TENANTS: usize = 1024;

/// How often one answer is taken up again after a break.
pub const MAX_RECOVERIES: u32 = 5;
/// The longest tool call that is buffered until it is complete, in bytes.
pub const MAX_TOOL_CALL: usize = 256 * 1024;

pub const MAX_QUEUE: usize = 1000;

pub const WEIGHT: f64 = 1.0;
/// How long a probe of an endpoint may take, where the interval of the probes is no shorter.
pub const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// How many events outside of calls are kept for the next one; the oldest go first.
pub const MAX_UNTOLD: usize = 100;

pub const FAILURE_THRESHOLD: u32 = 5;
pub const BREAKER_TIMEOUT: Duration = Duration::from_secs(60);
pub const HALF_OPEN_MAX_CALLS: u32 = 1;
pub const SUCCESS_THRESHOLD: u32 = 1;
pub const ERROR_RATE_WINDOW: Duration = Duration::from_secs(30);
pub const MINIMUM_CALLS: u32 = 10;

pub const CAPACITY: f64 = 100.0;
pub const REFILL_RATE: f64 = 10.0;

/// The largest line of an event stream, in bytes.
pub const MAX_LINE: usize = 1024 * 1024;
/// The longest answer in one piece that is passed on, in bytes.
pub const MAX_WHOLE: usize = 64 * 1024 * 1024;
/// How many bytes before its first token are kept of an answer that races with another.
pub const MAX_PEEK: usize = 256 * 1024;
/// How many first-token times of a model are needed before their 95th percentile means something.
pub const HEDGE_MINIMUM_CALLS: u64 = 20;
/// The share of first-token times after which a hedge is due.
pub const HEDGE_QUANTILE: f64 = 0.95;
/// How long the body of an error is waited for: what it says is not worth holding up a retry.
pub const ERROR_BODY_TIME: Duration = Duration::from_secs(5);
/// What is read of the body of an error, in bytes.
pub const MAX_ERROR_BODY: usize = 64 * 1024;

/// The defaults by the names of their options, as JavaScript sees them.
pub fn list() -> Value {
    let ms = |duration: Duration| duration.as_millis() as u64;
    json!({
        "baseUrl": BASE_URL,
        "model": MODEL,
        "validateModel": VALIDATE_MODEL,
        "connectTimeoutMs": ms(CONNECT_TIMEOUT),
        "firstTokenTimeoutMs": ms(FIRST_TOKEN_TIMEOUT),
        "wholeAnswerTimeoutMs": ms(WHOLE_ANSWER_TIMEOUT),
        "idleTimeoutMs": ms(IDLE_TIMEOUT),
        "rotateEndpoints": ROTATE_ENDPOINTS,
        "hedge": false,
        "hedging": { "afterMs": "p95" },
        "maxRetries": MAX_RETRIES,
        "requireFinishReason": REQUIRE_FINISH_REASON,
        "coalesce": false,
        "toolCalls": "buffer",
        "recovery": {
            "mode": "continue",
            "style": "dialog",
            "maxRecoveries": MAX_RECOVERIES,
            "minOverlap": crate::session::splice::MIN_OVERLAP,
            "onMalformed": "recover",
        },
        "maxQueue": MAX_QUEUE,
        "routing": "ordered",
        "retry": {
            "backoff": "exponential",
            "baseDelayMs": ms(BASE_DELAY),
            "minDelayMs": ms(MIN_DELAY),
            "maxDelayMs": ms(MAX_DELAY),
            "multiplier": MULTIPLIER,
            "jitter": "full",
            "maxRetryAfterMs": ms(MAX_RETRY_AFTER),
        },
        "connectionReset": {
            "minDelayMs": ms(RESET_MIN_DELAY),
            "maxDelayMs": ms(RESET_MAX_DELAY),
        },
        "retryBudget": {
            "ratio": BUDGET_RATIO,
            "minPerSecond": BUDGET_MIN_PER_SECOND,
            "windowMs": ms(BUDGET_WINDOW),
        },
        "circuitBreaker": {
            "failureThreshold": FAILURE_THRESHOLD,
            "openMs": ms(BREAKER_TIMEOUT),
            "halfOpenMaxCalls": HALF_OPEN_MAX_CALLS,
            "successThreshold": SUCCESS_THRESHOLD,
            "windowMs": ms(ERROR_RATE_WINDOW),
            "minimumCalls": MINIMUM_CALLS,
        },
        "endpoint": { "weight": WEIGHT },
        "cost": { "window": COST_WINDOW.as_str() },
        "rateLimit": {
            "capacity": CAPACITY,
            "refillRate": REFILL_RATE,
            "maxQueue": MAX_QUEUE,
            "adapt": false,
        },
    })
}
