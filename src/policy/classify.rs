//! The classification of failures: whether the same route is retried, what the circuit breaker records,
//! and which other routes may be tried. The engine and JavaScript's `isRetryable` share this table.

use super::circuit_breaker::Outcome;
use crate::error::{ConnectionFailure, Error, Kind, Phase};

/// Which other routes may be tried after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRoute {
    /// Any other route.
    Any,
    /// Only a route to another endpoint: this one rejects the key.
    OtherEndpoint,
    /// Only a route with another key, at any endpoint: the quota of this key is exhausted.
    OtherKey,
    /// Only another model, unless its context window is known to be no larger.
    LargerContext,
    /// None: the request itself is rejected, or the call has ended.
    Never,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    /// Another attempt on the same route may succeed.
    pub retryable: bool,
    /// What the circuit breaker of the route records.
    pub breaker: Outcome,
    /// The route cools down, for as long as the server asks if it does.
    pub cools_down: bool,
    /// Which other routes may be tried instead.
    pub next_route: NextRoute,
}

/// Whether a request that failed with this HTTP status is retryable: 408, 429, 500, 502, 503, 504,
/// 520–524 (Cloudflare) and 529 (Anthropic: overloaded).
pub fn is_retryable_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 520..=524 | 529)
}

/// The codes of Node's connection errors and of undici's timeouts and socket errors.
pub const NODE_CODES: [&str; 18] = [
    "ECONNRESET",
    "ECONNREFUSED",
    "ECONNABORTED",
    "ETIMEDOUT",
    "ESOCKETTIMEDOUT",
    "ENOTFOUND",
    "EAI_AGAIN",
    "EPIPE",
    "EHOSTUNREACH",
    "EHOSTDOWN",
    "ENETUNREACH",
    "ENETDOWN",
    "ENETRESET",
    "UND_ERR_CONNECT_TIMEOUT",
    "UND_ERR_HEADERS_TIMEOUT",
    "UND_ERR_BODY_TIMEOUT",
    "UND_ERR_SOCKET",
    "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
];

/// Whether an error with this code is retryable. Accepts HTTP statuses as text, [`NODE_CODES`] and this
/// package's own codes, compared exactly. An unknown code is not retryable.
pub fn is_retryable_code(code: &str) -> bool {
    if let Ok(status) = code.parse() {
        return is_retryable_status(status);
    }
    let retryable_kinds = [
        Kind::RateLimit,
        Kind::Server,
        Kind::Timeout(Phase::Idle),
        Kind::Connection(ConnectionFailure::Other),
        Kind::Interrupted,
        Kind::Truncated,
        Kind::Malformed,
        Kind::EmptyAnswer,
    ];
    retryable_kinds.iter().any(|kind| kind.code() == code) || NODE_CODES.contains(&code)
}

/// Classifies an error. `should_retry` (the header `x-should-retry`) overrides `retryable` for responses
/// with a status of 400 or more. For a malformed response only `Some(false)` does.
pub fn classify(error: &Error) -> Classification {
    use NextRoute::{Any, LargerContext, Never, OtherEndpoint, OtherKey};
    use Outcome::{Failure, Ignored, Success};

    let class =
        |retryable, breaker, next_route| Classification { retryable, breaker, cools_down: false, next_route };
    let mut class = match error.kind {
        // The endpoint does not have the model or the path. Another one may.
        Kind::InvalidRequest if matches!(error.status, Some(404 | 405 | 410)) => class(false, Success, Any),
        Kind::InvalidRequest | Kind::ContentFiltered => class(false, Success, Never),
        Kind::ContextLength => class(false, Success, LargerContext),
        Kind::Authentication => class(false, Success, OtherEndpoint),
        Kind::QuotaExhausted => Classification { cools_down: true, ..class(false, Ignored, OtherKey) },
        Kind::RateLimit => Classification { cools_down: true, ..class(true, Ignored, Any) },
        Kind::Server => class(error.status.is_none_or(is_retryable_status), Failure, Any),
        // A proxy sent it, not the service.
        Kind::Redirect => class(false, Ignored, Any),
        Kind::Timeout(
            Phase::Connect | Phase::FirstToken | Phase::Idle | Phase::Throughput | Phase::Attempt,
        ) => class(true, Failure, Any),
        // The attempt in flight at the deadline has timed out like any other.
        Kind::Timeout(Phase::Total) => class(false, Failure, Never),
        // The caller's own time.
        Kind::Timeout(Phase::Queue | Phase::Paused) => class(false, Ignored, Never),
        Kind::Connection(ConnectionFailure::Tls) => class(false, Failure, Any),
        Kind::Connection(_) | Kind::Interrupted | Kind::Truncated => class(true, Failure, Any),
        Kind::Malformed => class(error.should_retry != Some(false), Failure, Any),
        // Asked once more; the engine counts.
        Kind::EmptyAnswer => class(true, Ignored, Any),
        // The service works; only its continuation does not match.
        Kind::ContinuationMismatch => class(true, Success, Any),
        // The transport has waited for it already. Any other route needs the same.
        Kind::LocalResource(_) => class(false, Ignored, Never),
        // It would be as large again.
        Kind::ResponseTooLarge => class(false, Ignored, Any),
        // Each of their attempts was recorded on its own.
        Kind::CircuitOpen | Kind::RetriesExhausted => class(false, Ignored, Any),
        Kind::QueueFull
        | Kind::NeverFits
        | Kind::CostCap
        | Kind::AnswerTooLarge
        | Kind::Aborted
        | Kind::Closed
        | Kind::InvalidArgument
        | Kind::OutOfRange
        | Kind::Internal => class(false, Ignored, Never),
    };
    if let Some(should_retry) = error.should_retry
        && error.status.is_some_and(|status| status >= 400)
        && !matches!(error.kind, Kind::Aborted | Kind::Closed | Kind::Internal | Kind::RetriesExhausted)
    {
        class.retryable = should_retry;
    }
    class
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LocalResource;

    fn classified(kind: Kind, status: Option<u16>) -> Classification {
        let mut error = Error::new(kind, "");
        error.status = status;
        classify(&error)
    }

    #[test]
    fn the_tutorials_statuses_are_retryable() {
        let retried: Vec<u16> = (100..600).filter(|status| is_retryable_status(*status)).collect();
        assert_eq!(retried, [408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529]);
        for status in retried {
            assert!(is_retryable_code(&status.to_string()));
            let kind = if status == 429 { Kind::RateLimit } else { Kind::Server };
            assert!(classified(kind, Some(status)).retryable);
        }
        assert!(!classified(Kind::Server, Some(501)).retryable);
        assert!(classified(Kind::Server, None).retryable, "an error inside a stream");
    }

    #[test]
    fn a_client_error_is_a_success_for_the_breaker_and_tries_no_other_route() {
        for (kind, status) in
            [(Kind::InvalidRequest, 400), (Kind::InvalidRequest, 422), (Kind::ContentFiltered, 400)]
        {
            let class = classified(kind, Some(status));
            assert_eq!(
                (class.retryable, class.breaker, class.next_route),
                (false, Outcome::Success, NextRoute::Never)
            );
        }
        assert_eq!(classified(Kind::InvalidRequest, Some(404)).next_route, NextRoute::Any);
        let class = classified(Kind::Authentication, Some(401));
        assert_eq!(
            (class.retryable, class.breaker, class.next_route),
            (false, Outcome::Success, NextRoute::OtherEndpoint)
        );
        let class = classified(Kind::ContextLength, Some(400));
        assert_eq!(
            (class.retryable, class.breaker, class.next_route),
            (false, Outcome::Success, NextRoute::LargerContext)
        );
    }

    #[test]
    fn a_rate_limit_cools_the_route_down_and_is_not_a_failure() {
        let class = classified(Kind::RateLimit, Some(429));
        assert_eq!((class.retryable, class.cools_down, class.breaker), (true, true, Outcome::Ignored));
        let class = classified(Kind::QuotaExhausted, Some(429));
        assert_eq!((class.retryable, class.next_route), (false, NextRoute::OtherKey));
    }

    #[test]
    fn timeouts_and_interrupted_streams_are_retryable_failures() {
        for kind in [
            Kind::Timeout(Phase::Connect),
            Kind::Timeout(Phase::FirstToken),
            Kind::Timeout(Phase::Idle),
            Kind::Timeout(Phase::Throughput),
            Kind::Connection(ConnectionFailure::Reset),
            Kind::Connection(ConnectionFailure::NotFound),
            Kind::Interrupted,
            Kind::Truncated,
            Kind::Malformed,
        ] {
            let class = classified(kind, None);
            assert_eq!((class.retryable, class.breaker), (true, Outcome::Failure), "{kind:?}");
        }
        assert!(!classified(Kind::Connection(ConnectionFailure::Tls), None).retryable);
        assert!(!classified(Kind::Timeout(Phase::Total), None).retryable);
    }

    #[test]
    fn x_should_retry_overrides_the_status() {
        let mut error = Error::new(Kind::Server, "").with_status(503);
        error.should_retry = Some(false);
        assert!(!classify(&error).retryable);
        let mut error = Error::new(Kind::InvalidRequest, "").with_status(409);
        assert!(!classify(&error).retryable);
        error.should_retry = Some(true);
        assert!(classify(&error).retryable);
    }

    #[test]
    fn a_page_instead_of_a_stream_goes_to_another_route() {
        let mut error = Error::new(Kind::Malformed, "").with_status(200);
        error.should_retry = Some(false);
        let class = classify(&error);
        assert_eq!((class.retryable, class.next_route), (false, NextRoute::Any));
    }

    #[test]
    fn what_the_caller_causes_is_ignored_by_the_breaker() {
        for kind in [
            Kind::Aborted,
            Kind::Closed,
            Kind::Timeout(Phase::Queue),
            Kind::Timeout(Phase::Paused),
            Kind::CostCap,
        ] {
            let class = classified(kind, None);
            assert_eq!(
                (class.retryable, class.breaker, class.next_route),
                (false, Outcome::Ignored, NextRoute::Never)
            );
        }
    }

    #[test]
    fn what_this_machine_lacks_blames_nobody() {
        for resource in [LocalResource::Descriptors, LocalResource::Ports, LocalResource::Threads] {
            let class = classify(&Error::local_resource(resource));
            let expected = Classification {
                retryable: false,
                breaker: Outcome::Ignored,
                cools_down: false,
                next_route: NextRoute::Never,
            };
            assert_eq!(class, expected);
        }
        assert!(!is_retryable_code("LOCAL_RESOURCE"));
    }

    #[test]
    fn codes_are_compared_as_text() {
        for code in ["ECONNRESET", "ETIMEDOUT", "ENOTFOUND", "ECONNREFUSED", "EPIPE", "EAI_AGAIN", "429"] {
            assert!(is_retryable_code(code), "{code}");
        }
        for code in ["UND_ERR_SOCKET", "RATE_LIMITED", "SERVER_ERROR", "TIMEOUT", "STREAM_TRUNCATED"] {
            assert!(is_retryable_code(code), "{code}");
        }
        for code in [
            "",
            "200",
            "401",
            "4290",
            "99999",
            "econnreset",
            "UND_ERR_INVALID_ARG",
            "AUTH_FAILED",
            "ABORTED",
            "QUOTA_EXHAUSTED",
            "ERR_TLS",
            "CIRCUIT_OPEN",
        ] {
            assert!(!is_retryable_code(code), "{code}");
        }
    }
}
