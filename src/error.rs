//! The one error type of the crate. Its [`Kind`] says what happened, [`Kind::code`] is the stable
//! string that JavaScript sees, and the rest is data: nothing has to be parsed out of a message.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much of a response body an error keeps, in bytes.
pub const BODY_LIMIT: usize = 2048;

/// The stage of an attempt, or the whole call, whose time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Name lookup, TCP and TLS.
    Connect,
    /// From the request being sent to the first text, reasoning, refusal or tool call.
    FirstToken,
    /// Between two reads of bytes.
    Idle,
    /// One attempt, from its beginning to the end of the answer.
    Attempt,
    /// The deadline of the whole call.
    Total,
    /// Waiting for a place or for tokens before the call, `acquire({ timeoutMs })`.
    Queue,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::FirstToken => "first-token",
            Phase::Idle => "idle",
            Phase::Attempt => "attempt",
            Phase::Total => "total",
            Phase::Queue => "queue",
        }
    }
}

/// How a connection failed. The codes are Node's own, which is what callers compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    Refused,
    Reset,
    NotFound,
    Unreachable,
    Tls,
    /// The server closed the connection before it answered.
    Closed,
    Other,
}

impl Connection {
    pub fn code(self) -> &'static str {
        match self {
            Connection::Refused => "ECONNREFUSED",
            Connection::Reset => "ECONNRESET",
            Connection::NotFound => "ENOTFOUND",
            Connection::Unreachable => "EHOSTUNREACH",
            Connection::Tls => "ERR_TLS",
            Connection::Closed => "ECONNRESET",
            Connection::Other => "ECONNFAILED",
        }
    }
}

/// What happened. Each kind is one JavaScript class (see [`Kind::class`]) and one stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The provider refused the request as it is: 400, 404, 422 and other 4xx.
    InvalidRequest,
    /// 400 with a code that says the prompt is longer than the model's context.
    ContextLength,
    /// The provider's content filter refused the request.
    ContentFiltered,
    /// 401 and 403.
    Authentication,
    /// 429.
    RateLimit,
    /// 429 or 402 with a code that says that no money is left: waiting does not help.
    QuotaExhausted,
    /// 408, 5xx, and errors inside a stream that fit no other kind.
    Server,
    /// A redirect. The key never follows one.
    Redirect,
    Timeout(Phase),
    Connection(Connection),
    /// The breaker of every route that is left is open.
    CircuitOpen,
    /// The stream ended before the answer was complete, after deltas had been delivered.
    Interrupted,
    /// The stream ended before the answer was complete, before anything was delivered.
    Truncated,
    /// What came is not what the protocol promises: HTML, JSON for a stream, broken events.
    Malformed,
    /// A continuation does not fit what was delivered.
    Contradiction,
    /// Something grew past its bound: a line, a response head.
    TooLarge,
    RetriesExhausted,
    /// The queue before the client is full.
    QueueFull,
    /// The request asks for more than the limiter's capacity: it can never pass.
    NeverFits,
    CostCap,
    /// The caller's own abort, or `close()`.
    Aborted,
    /// The client was closed.
    Closed,
    /// An argument or an option is of the wrong type or form.
    Invalid,
    /// A number is outside of its range.
    OutOfRange,
    /// A bug in this package.
    Internal,
}

impl Kind {
    /// The stable code that JavaScript callers compare with.
    pub fn code(self) -> &'static str {
        match self {
            Kind::InvalidRequest => "INVALID_REQUEST",
            Kind::ContextLength => "CONTEXT_LENGTH_EXCEEDED",
            Kind::ContentFiltered => "CONTENT_FILTERED",
            Kind::Authentication => "AUTH_FAILED",
            Kind::RateLimit => "RATE_LIMITED",
            Kind::QuotaExhausted => "QUOTA_EXHAUSTED",
            Kind::Server => "SERVER_ERROR",
            Kind::Redirect => "REDIRECTED",
            Kind::Timeout(_) => "TIMEOUT",
            Kind::Connection(connection) => connection.code(),
            Kind::CircuitOpen => "CIRCUIT_OPEN",
            Kind::Interrupted => "STREAM_INTERRUPTED",
            Kind::Truncated => "STREAM_TRUNCATED",
            Kind::Malformed => "MALFORMED_RESPONSE",
            Kind::Contradiction => "CONTINUATION_MISMATCH",
            Kind::TooLarge => "RESPONSE_TOO_LARGE",
            Kind::RetriesExhausted => "RETRIES_EXHAUSTED",
            Kind::QueueFull => "QUEUE_FULL",
            Kind::NeverFits => "RATE_LIMIT_NEVER_FITS",
            Kind::CostCap => "COST_CAP",
            Kind::Aborted => "ABORTED",
            Kind::Closed => "CLIENT_CLOSED",
            Kind::Invalid | Kind::OutOfRange => "INVALID_ARGUMENT",
            Kind::Internal => "INTERNAL",
        }
    }

    /// The JavaScript class of this kind.
    pub fn class(self) -> &'static str {
        match self {
            Kind::InvalidRequest
            | Kind::ContextLength
            | Kind::ContentFiltered
            | Kind::Server
            | Kind::Redirect => "APIError",
            Kind::Authentication => "AuthenticationError",
            Kind::RateLimit | Kind::QuotaExhausted => "RateLimitError",
            Kind::Timeout(_) => "TimeoutError",
            Kind::Connection(_) => "ConnectionError",
            Kind::CircuitOpen => "CircuitOpenError",
            Kind::Interrupted | Kind::Truncated => "StreamInterruptedError",
            Kind::Malformed | Kind::Contradiction | Kind::TooLarge => "MalformedResponseError",
            Kind::RetriesExhausted => "RetriesExhaustedError",
            Kind::QueueFull | Kind::NeverFits => "QueueFullError",
            Kind::CostCap => "CostCapError",
            Kind::Invalid => "TypeError",
            Kind::OutOfRange => "RangeError",
            Kind::Aborted | Kind::Closed | Kind::Internal => "HolySheepError",
        }
    }
}

/// The outcome of an attempt that was given up because the one beside it had its first token first.
pub const HEDGE_LOST: &str = "hedge-lost";

/// What one attempt was and how it ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptRecord {
    /// 1-based.
    pub attempt: u32,
    pub endpoint: String,
    pub model: String,
    /// The provider's id of the request where it sent one, else ours.
    pub request_id: String,
    /// `complete`, [`HEDGE_LOST`], or the code of the error that ended it.
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// One sentence: what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long the call waited before this attempt.
    pub wait_ms: u64,
    pub duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// Deltas of text that this attempt delivered.
    pub deltas: u64,
}

impl AttemptRecord {
    /// It was given up for the sake of another one, and did not fail.
    pub fn has_lost(&self) -> bool {
        self.outcome == HEDGE_LOST
    }
}

/// What the time of a call went into, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeBreakdown {
    /// Waiting for a place or for the rate limit.
    pub queue_ms: u64,
    /// Waiting between attempts: backoff and `retry-after`.
    pub wait_ms: u64,
    /// In attempts.
    pub attempt_ms: u64,
}

/// The figures of a call that does not fit under a cap, in USD.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CostCap {
    pub cap_usd: f64,
    pub spent_usd: f64,
    /// By calls under way, this one too where it was cut off.
    pub reserved_usd: f64,
    pub needed_usd: f64,
    pub window: &'static str,
}

/// An error. Its data is behind a box, so that a result is as small as its success.
#[derive(Clone, Debug)]
pub struct Error(Box<Data>);

/// What an error says.
#[derive(Clone, Debug)]
pub struct Data {
    pub kind: Kind,
    pub message: String,
    pub status: Option<u16>,
    /// The provider's own `error.code`, `error.type` and `error.param`.
    pub provider_code: Option<String>,
    pub provider_type: Option<String>,
    pub param: Option<String>,
    pub request_id: Option<String>,
    /// How long the server, a breaker or a limiter asks to wait.
    pub retry_after: Option<Duration>,
    /// `x-should-retry`, where the server sent it.
    pub should_retry: Option<bool>,
    /// The response's headers that a caller is told ([`crate::wire::telling`]); names in lower case.
    pub headers: Vec<(String, String)>,
    /// The start of the response's body, at most [`BODY_LIMIT`] bytes.
    pub body: Option<String>,
    /// The text that had been received for the first choice.
    pub partial: Option<String>,
    /// The JSON of what the call can be taken up again from.
    pub snapshot: Option<String>,
    pub attempts: Vec<AttemptRecord>,
    /// What the time of a call went into whose deadline has passed.
    pub time_breakdown: Option<TimeBreakdown>,
    pub cost_cap: Option<CostCap>,
    pub cause: Option<Error>,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Data {
            kind,
            message: message.into(),
            status: None,
            provider_code: None,
            provider_type: None,
            param: None,
            request_id: None,
            retry_after: None,
            should_retry: None,
            headers: Vec::new(),
            body: None,
            partial: None,
            snapshot: None,
            attempts: Vec::new(),
            time_breakdown: None,
            cost_cap: None,
            cause: None,
        }))
    }

    /// A wrong argument: which, what was given, what is accepted.
    pub fn invalid(name: &str, given: impl fmt::Display, accepted: &str) -> Self {
        Error::new(Kind::Invalid, format!("{name}: got {given}; accepted: {accepted}"))
    }

    pub fn timeout(phase: Phase, limit: Duration) -> Self {
        let what = match phase {
            Phase::Connect => "no connection",
            Phase::FirstToken => "no first token",
            Phase::Idle => "no byte received",
            Phase::Attempt => "the attempt was not finished",
            Phase::Total => "the call was not finished",
            Phase::Queue => "no place was free",
        };
        Error::new(Kind::Timeout(phase), format!("{what} within {} ms", limit.as_millis()))
    }

    #[must_use]
    pub fn with_cause(mut self, cause: Error) -> Self {
        self.cause = Some(cause);
        self
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl Deref for Error {
    type Target = Data;

    fn deref(&self) -> &Data {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Data {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// Cuts a text to at most `limit` bytes, on a character's edge.
pub fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_never_halves_a_character() {
        assert_eq!(cut("tiếng", 4), "ti");
        assert_eq!(cut("tiếng", 5), "tiế");
        assert_eq!(cut("ab", 9), "ab");
    }
}
