//! The defaults of options, and the fixed limits of the engine. Each is defined here only; tests compare
//! `types/`, the README and `docs/options.md` with [`list`].

use std::time::Duration;

use serde_json::{Value, json};

use crate::policy::ledger::Window;

pub const BASE_URL: &str = "https://api.holysheep.ai/v1";
pub const MODEL: &str = "gpt-4.1";
pub const VALIDATE_MODEL: bool = false;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub const FIRST_TOKEN_TIMEOUT: Duration = Duration::from_secs(60);
/// The first-token timeout on the last route left. It is longer because there is no other route to try.
pub const FIRST_TOKEN_TIMEOUT_LAST_ROUTE: Duration = Duration::from_secs(120);
/// Replaces the first-token timeout for an answer that is not streamed: its head arrives only when all of it
/// is written.
pub const WHOLE_ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a call may be paused because its consumer reads nothing.
pub const MAX_PAUSED: Duration = Duration::from_secs(600);
/// How long the usage is awaited after the last finish reason.
pub const USAGE_TIMEOUT: Duration = Duration::from_secs(1);
pub const MAX_USAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after the last finish reason an answer is settled, if neither the usage nor its end has come.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long reading continues after the answer, so that the connection can be reused.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to read the body of an error. Its details are not worth a longer delay of the retry.
pub const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);
pub const REQUIRE_FINISH_REASON: bool = true;
pub const ROTATE_ENDPOINTS: bool = false;

pub const MAX_RETRIES: u32 = 3;
pub const BASE_DELAY: Duration = Duration::from_secs(1);
pub const MIN_DELAY: Duration = Duration::ZERO;
pub const MAX_DELAY: Duration = Duration::from_secs(60);
pub const MULTIPLIER: f64 = 2.0;
/// The minimum time before the deadline, or a tenth of the deadline if that is less, in which a retry
/// starts.
pub const MIN_ATTEMPT_TIME: Duration = Duration::from_millis(250);
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// The longest wait for a rate limit that comes before another model.
pub const MAX_WAIT_BEFORE_FALLBACK: Duration = Duration::from_secs(5);
/// The longest time for which one `retry-after` keeps the calls of a client from a route.
pub const MAX_COOLDOWN: Duration = Duration::from_secs(60 * 60);
/// How long a route comes after the others when its provider limits the rate without a `retry-after`.
pub const DEPRIORITIZATION_TIME: Duration = Duration::from_secs(1);
/// How long no call uses a key whose quota is exhausted if there is another route. After that one call
/// tries it.
pub const QUOTA_COOLDOWN: Duration = Duration::from_secs(60);
/// The bounds of the wait after a reset connection, if `retry.connectionReset` is on.
pub const RESET_MIN_DELAY: Duration = Duration::from_secs(1);
/// See [`RESET_MIN_DELAY`].
pub const RESET_MAX_DELAY: Duration = Duration::from_secs(3);

/// The defaults of the retry budget are those of Finagle.
pub const BUDGET_RATIO: f64 = 0.2;
pub const BUDGET_MIN_PER_SECOND: f64 = 10.0;
pub const BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// The maximum number of tenants whose retry budgets a client remembers. The least recently used one is
/// dropped first.
pub const MAX_TENANTS: usize = 1024;

pub const MAX_RECOVERIES: u32 = 5;

/// Waiting attempts, for concurrency and for each limiter.
pub const MAX_QUEUE: usize = 1000;

pub const WEIGHT: f64 = 1.0;
/// How long a probe of an endpoint takes at most; a shorter interval between probes shortens it.
pub const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of events outside of calls that wait for the next call. The oldest is dropped first.
pub const MAX_PENDING_EVENTS: usize = 100;

pub const FAILURE_THRESHOLD: u32 = 5;
pub const BREAKER_TIMEOUT: Duration = Duration::from_secs(60);
pub const HALF_OPEN_MAX_CALLS: u32 = 1;
pub const SUCCESS_THRESHOLD: u32 = 1;
pub const ERROR_RATE_WINDOW: Duration = Duration::from_secs(30);
pub const MINIMUM_CALLS: u32 = 10;

pub const CAPACITY: f64 = 100.0;
/// Requests per second.
pub const REFILL_RATE: f64 = 10.0;

pub const COST_WINDOW: Window = Window::Day;
/// The shortest answer, in tokens, for which a call without `max_tokens` is admitted: the cap must leave room
/// for it.
pub const MIN_OUTPUT_TOKENS: u64 = 16;

/// The number of first-token times of a model from which on their 95th percentile is meaningful.
pub const HEDGE_MINIMUM_CALLS: u64 = 20;
/// The quantile of first-token times after which a hedge starts.
pub const HEDGE_QUANTILE: f64 = 0.95;

/// The largest event of a stream, in bytes. An image in base64 is one event.
pub const MAX_EVENT: usize = 16 * 1024 * 1024;
/// The largest value of `maxEventBytes`.
pub const MAX_MAX_EVENT: usize = 64 * 1024 * 1024;
/// The most that a call keeps of its answer, in bytes of memory, and the largest answer that is one document.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// The largest value of `maxAnswerBytes`: a longer string is more than V8 can hold.
pub const MAX_MAX_ANSWER: usize = 512 * 1024 * 1024;
/// The most that a call keeps of its answer for a recovery, in bytes of memory.
pub const MAX_RECOVERY: usize = 8 * 1024 * 1024;
/// The maximum number of bytes that are buffered of an answer in a race before its first token.
pub const MAX_PEEK: usize = 256 * 1024;
/// The longest tool call that is buffered until it is complete, in bytes.
pub const MAX_TOOL_CALL: usize = 256 * 1024;
/// How much of the body of an error is read, in bytes.
pub const MAX_ERROR_BODY: usize = 64 * 1024;

/// The defaults by the names of their options in JavaScript. `lastRoute` has those that differ on the last route left.
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
        "minTokensPerSecond": false,
        "maxPausedMs": ms(MAX_PAUSED),
        "usageTimeoutMs": ms(USAGE_TIMEOUT),
        "maxEventBytes": MAX_EVENT,
        "maxAnswerBytes": MAX_ANSWER,
        "allowEmptyAnswer": false,
        "rotateEndpoints": ROTATE_ENDPOINTS,
        "continuation": "auto",
        "lastRoute": { "firstTokenTimeoutMs": ms(FIRST_TOKEN_TIMEOUT_LAST_ROUTE) },
        "hedge": false,
        "hedging": { "afterMs": "p95" },
        "maxRetries": MAX_RETRIES,
        "requireFinishReason": REQUIRE_FINISH_REASON,
        "coalesce": false,
        "toolCalls": "buffer",
        "recovery": {
            "mode": "continue",
            "style": "auto",
            "assurance": "verified",
            "buffered": "auto",
            "maxRecoveries": MAX_RECOVERIES,
            "maxBytes": MAX_RECOVERY,
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
            "maxWaitBeforeFallbackMs": ms(MAX_WAIT_BEFORE_FALLBACK),
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
