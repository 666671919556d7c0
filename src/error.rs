//! The one error type of the crate. Its [`Kind`] says what happened, [`Kind::code`] is the stable
//! string that JavaScript sees, and everything else is data: callers never parse a message.

mod figures;
mod local_resource;
mod truncate;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub use figures::{CostCap, LimitScope, TimeBreakdown};
pub use local_resource::LocalResource;
use serde::{Deserialize, Serialize};
pub use truncate::truncate;

/// How much of a response body an error keeps, in bytes.
pub const BODY_LIMIT: usize = 2048;

/// The [`AttemptRecord::outcome`] of an attempt that lost a hedge race: the other attempt received its first
/// token first.
pub const HEDGE_LOST: &str = "hedge-lost";

pub type Result<T> = std::result::Result<T, Error>;

/// An error. Its data is boxed, so that the error does not make a `Result` larger.
#[derive(Clone, Debug)]
pub struct Error(Box<ErrorData>);

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(ErrorData {
            kind,
            message: message.into(),
            status: None,
            provider_message: None,
            provider_code: None,
            provider_type: None,
            param: None,
            request_id: None,
            retry_after: None,
            should_retry: None,
            is_unexplained: false,
            headers: Vec::new(),
            body: None,
            partial: None,
            snapshot: None,
            attempts: Vec::new(),
            time_breakdown: None,
            cost_cap: None,
            scope: None,
            cause: None,
        }))
    }

    /// A rejection by a limit of the whole client.
    pub fn rejected(kind: Kind, message: impl Into<String>) -> Self {
        let mut error = Error::new(kind, message);
        error.scope = Some(LimitScope::Client);
        error
    }

    /// An invalid argument: its name, its value, and what is accepted.
    pub fn invalid(name: &str, value: impl fmt::Display, accepted: &str) -> Self {
        Error::new(Kind::InvalidArgument, format!("{name}: got {value}; accepted: {accepted}"))
    }

    pub fn local_resource(resource: LocalResource) -> Self {
        Error::new(Kind::LocalResource(resource), resource.message())
    }

    pub fn timeout(phase: Phase, limit: Duration) -> Self {
        let what = match phase {
            Phase::Connect => "no connection",
            Phase::FirstToken => "no first token",
            Phase::Idle => "no bytes received",
            Phase::Throughput => "too few tokens received",
            Phase::Attempt => "the attempt did not finish",
            Phase::Total => "the call did not finish",
            Phase::Queue => "not admitted",
            Phase::Paused => "nothing was read of the paused answer",
        };
        Error::new(Kind::Timeout(phase), format!("{what} within {} ms", limit.as_millis()))
    }

    /// What a call keeps of its answer is larger than `maxAnswerBytes`.
    pub fn answer_too_large(limit: usize) -> Self {
        Error::new(
            Kind::AnswerTooLarge,
            format!("the answer takes more than {limit} bytes of memory (maxAnswerBytes)"),
        )
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
    type Target = ErrorData;

    fn deref(&self) -> &ErrorData {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut ErrorData {
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

/// The data of an [`Error`].
#[derive(Clone, Debug)]
pub struct ErrorData {
    pub kind: Kind,
    pub message: String,
    pub status: Option<u16>,
    /// The provider's own `error.message` or what it calls that, if its error is JSON, and its `error.code`,
    /// `error.type` and `error.param`.
    pub provider_message: Option<String>,
    pub provider_code: Option<String>,
    pub provider_type: Option<String>,
    pub param: Option<String>,
    pub request_id: Option<String>,
    /// How long the server, a breaker or a limiter asks the caller to wait.
    pub retry_after: Option<Duration>,
    /// The value of `x-should-retry`, if the server sent it.
    pub should_retry: Option<bool>,
    /// The provider answered 200 with a document that names an error, but neither a status nor a cause that is known. It is
    /// probably the same each time, so the route is tried at most once more.
    pub is_unexplained: bool,
    /// The response headers that callers may see, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The start of the response body, at most [`BODY_LIMIT`] bytes.
    pub body: Option<String>,
    /// The text received for the first choice.
    pub partial: Option<String>,
    /// The JSON snapshot from which the call can be resumed.
    pub snapshot: Option<String>,
    pub attempts: Vec<AttemptRecord>,
    /// Set if the call's deadline passed.
    pub time_breakdown: Option<TimeBreakdown>,
    pub cost_cap: Option<CostCap>,
    /// Whose limit rejected the call, if one of the caller's own limits did.
    pub scope: Option<LimitScope>,
    pub cause: Option<Error>,
}

/// What happened. Each kind has one JavaScript class ([`Kind::class`]) and one stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The provider rejected the request: 400, 404, 422 and other 4xx.
    InvalidRequest,
    /// 400 with a code that says the prompt exceeds the model's context.
    ContextLength,
    /// The provider's content filter rejected the request.
    ContentFiltered,
    /// 401 and 403.
    Authentication,
    /// 429.
    RateLimit,
    /// 429 or 402 with a code that says the quota is exhausted: waiting does not help.
    QuotaExhausted,
    /// 408, 5xx, and errors inside a stream that match no other kind.
    Server,
    /// A redirect. The key never follows one.
    Redirect,
    Timeout(Phase),
    Connection(ConnectionFailure),
    /// This machine refuses what the call needs.
    LocalResource(LocalResource),
    /// The breaker of every remaining route is open.
    CircuitOpen,
    /// The stream ended before the answer was complete, after some of it had been delivered.
    Interrupted,
    /// The stream ended before the answer was complete, and nothing had been delivered.
    Truncated,
    /// The response violates the protocol: HTML, JSON instead of a stream, broken events.
    Malformed,
    /// The answer is complete and has no content.
    EmptyAnswer,
    /// A continuation does not match what was already delivered.
    ContinuationMismatch,
    /// Part of a response exceeds its limit: a line, the head.
    ResponseTooLarge,
    /// What a call keeps of its answer exceeds the limit (`maxAnswerBytes`).
    AnswerTooLarge,
    RetriesExhausted,
    /// The client's queue is full.
    QueueFull,
    /// The request needs more than the limiter's capacity, so it can never be admitted.
    NeverFits,
    CostCap,
    /// The caller aborted the call, or `close()` did.
    Aborted,
    /// The client is closed.
    Closed,
    /// An argument or an option has the wrong type or form.
    InvalidArgument,
    /// A number is out of range.
    OutOfRange,
    /// A bug in this package.
    Internal,
}

impl Kind {
    /// The stable code that JavaScript callers compare against.
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
            Kind::LocalResource(_) => "LOCAL_RESOURCE",
            Kind::CircuitOpen => "CIRCUIT_OPEN",
            Kind::Interrupted => "STREAM_INTERRUPTED",
            Kind::Truncated => "STREAM_TRUNCATED",
            Kind::Malformed => "MALFORMED_RESPONSE",
            Kind::EmptyAnswer => "EMPTY_ANSWER",
            Kind::ContinuationMismatch => "CONTINUATION_MISMATCH",
            Kind::ResponseTooLarge => "RESPONSE_TOO_LARGE",
            Kind::AnswerTooLarge => "ANSWER_TOO_LARGE",
            Kind::RetriesExhausted => "RETRIES_EXHAUSTED",
            Kind::QueueFull => "QUEUE_FULL",
            Kind::NeverFits => "RATE_LIMIT_NEVER_FITS",
            Kind::CostCap => "COST_CAP",
            Kind::Aborted => "ABORTED",
            Kind::Closed => "CLIENT_CLOSED",
            Kind::InvalidArgument | Kind::OutOfRange => "INVALID_ARGUMENT",
            Kind::Internal => "INTERNAL",
        }
    }

    /// The JavaScript class of this kind.
    /// Of a timeout: which stage exceeded its limit.
    pub fn phase(self) -> Option<Phase> {
        match self {
            Kind::Timeout(phase) => Some(phase),
            _ => None,
        }
    }

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
            Kind::Malformed
            | Kind::EmptyAnswer
            | Kind::ContinuationMismatch
            | Kind::ResponseTooLarge
            | Kind::AnswerTooLarge => "MalformedResponseError",
            Kind::RetriesExhausted => "RetriesExhaustedError",
            Kind::QueueFull | Kind::NeverFits => "QueueFullError",
            Kind::CostCap => "CostCapError",
            Kind::InvalidArgument => "TypeError",
            Kind::OutOfRange => "RangeError",
            Kind::Aborted | Kind::Closed | Kind::Internal | Kind::LocalResource(_) => "HolySheepError",
        }
    }
}

/// Which timeout expired: one stage of an attempt, or the whole call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Name lookup, TCP and TLS.
    Connect,
    /// From sending the request to the first text, reasoning, refusal or tool call.
    FirstToken,
    /// Between two reads from the socket.
    Idle,
    /// The answer crawls: `minTokensPerSecond`.
    Throughput,
    /// One attempt, from its start to the end of the answer.
    Attempt,
    /// The deadline of the whole call.
    Total,
    /// In the queue, before admission: `acquire({ timeoutMs })`.
    Queue,
    /// The call is paused, because its consumer reads nothing: `maxPausedMs`.
    Paused,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::FirstToken => "first-token",
            Phase::Idle => "idle",
            Phase::Throughput => "throughput",
            Phase::Attempt => "attempt",
            Phase::Total => "total",
            Phase::Queue => "queue",
            Phase::Paused => "paused",
        }
    }
}

/// How a connection failed. The codes are Node's own, because callers compare against those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFailure {
    Refused,
    Reset,
    NotFound,
    Unreachable,
    Tls,
    /// The server closed the connection before it responded.
    Closed,
    Other,
}

impl ConnectionFailure {
    pub fn code(self) -> &'static str {
        match self {
            ConnectionFailure::Refused => "ECONNREFUSED",
            ConnectionFailure::Reset => "ECONNRESET",
            ConnectionFailure::NotFound => "ENOTFOUND",
            ConnectionFailure::Unreachable => "EHOSTUNREACH",
            ConnectionFailure::Tls => "ERR_TLS",
            ConnectionFailure::Closed => "ECONNRESET",
            ConnectionFailure::Other => "ECONNFAILED",
        }
    }
}

/// One attempt and how it ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AttemptRecord {
    /// 1-based.
    pub attempt: u32,
    pub endpoint: String,
    pub model: String,
    /// The provider's request id if it sent one, otherwise ours.
    pub request_id: String,
    /// `complete`, [`HEDGE_LOST`], or the code of the error that ended the attempt.
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What happened, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long the call waited before this attempt.
    pub wait_ms: u64,
    pub duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// How many text deltas this attempt delivered.
    pub deltas: u64,
}

impl AttemptRecord {
    /// Whether the attempt was canceled because it lost a hedge race. It did not fail.
    pub fn lost_hedge_race(&self) -> bool {
        self.outcome == HEDGE_LOST
    }
}
