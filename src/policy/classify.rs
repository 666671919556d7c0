//! What a failure means: whether the same route is tried again, what the breaker learns, and
//! whether another route may be tried. One table, for the engine and for JavaScript's
//! `isRetryable`.

use crate::error::{ConnectionFailure, Error, Kind, Phase};

/// What the breaker of a route learns from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The service failed.
    Failure,
    /// The service is alive: it has looked at the request and refused it.
    Success,
    /// Nothing is known about the service.
    Ignored,
}

/// Which other routes may be tried after this failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRoute {
    /// Any.
    Allowed,
    /// Only one at another endpoint: this one refuses the key.
    OtherEndpoint,
    /// Only one with another key, wherever it is: this one has no money.
    OtherKey,
    /// Only another model, and none whose context is known to be no larger.
    LargerContext,
    /// None: the request itself is refused, or the call is over.
    Never,
}

/// The meaning of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Another attempt on the same route may succeed.
    pub retry: bool,
    /// What the breaker is told.
    pub breaker: Verdict,
    /// The route is to rest, for as long as the server asks where it does.
    pub cools: bool,
    /// What may be tried where this route is left.
    pub next_route: NextRoute,
}

/// Whether a request that got this HTTP status may succeed when sent again: 408, 429, 500, 502,
/// 503, 504, 520–524 (Cloudflare) and 529 (Anthropic: overloaded); no other.
pub fn is_retryable_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 520..=524 | 529)
}

/// The codes of Node's connection errors and of undici's timeouts and broken sockets.
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

/// Whether an error with this code may be tried again: HTTP statuses as text, the codes of Node's
/// connection errors, of undici's timeouts and broken sockets, and this package's own. Compared
/// exactly; an unknown code may not.
pub fn is_retryable_code(code: &str) -> bool {
    if let Ok(status) = code.parse() {
        return is_retryable_status(status);
    }
    let ours = [
        Kind::RateLimit,
        Kind::Server,
        Kind::Timeout(Phase::Idle),
        Kind::Connection(ConnectionFailure::Other),
        Kind::Interrupted,
        Kind::Truncated,
        Kind::Malformed,
    ];
    ours.iter().any(|kind| kind.code() == code) || NODE_CODES.contains(&code)
}

/// What this error means. `should_retry` (the header `x-should-retry`) overrides `retry` for
/// answers with a status of 400 and more, and `Some(false)` for a malformed answer.
pub fn classify(error: &Error) -> Class {
    use NextRoute::{Allowed, LargerContext, Never, OtherEndpoint, OtherKey};
    use Verdict::{Failure, Ignored, Success};

    let class = |retry, breaker, next_route| Class { retry, breaker, cools: false, next_route };
    let mut class = match error.kind {
        // The model, or the path, is not there: it may be elsewhere.
        Kind::InvalidRequest if matches!(error.status, Some(404 | 405 | 410)) => {
            class(false, Success, Allowed)
        }
        Kind::InvalidRequest | Kind::ContentFiltered => class(false, Success, Never),
        Kind::ContextLength => class(false, Success, LargerContext),
        Kind::Authentication => class(false, Success, OtherEndpoint),
        Kind::QuotaExhausted => Class { cools: true, ..class(false, Ignored, OtherKey) },
        Kind::RateLimit => Class { cools: true, ..class(true, Ignored, Allowed) },
        Kind::Server => class(error.status.is_none_or(is_retryable_status), Failure, Allowed),
        // The proxy that sent it is not the service.
        Kind::Redirect => class(false, Ignored, Allowed),
        Kind::Timeout(Phase::Connect | Phase::FirstToken | Phase::Idle | Phase::Attempt) => {
            class(true, Failure, Allowed)
        }
        // An attempt that was under way when the call's time ran out is as silent as any other.
        Kind::Timeout(Phase::Total) => class(false, Failure, Never),
        Kind::Timeout(Phase::Queue) => class(false, Ignored, Never),
        Kind::Connection(ConnectionFailure::Tls) => class(false, Failure, Allowed),
        Kind::Connection(_) | Kind::Interrupted | Kind::Truncated => class(true, Failure, Allowed),
        Kind::Malformed => class(error.should_retry != Some(false), Failure, Allowed),
        // The service is alive; only what it said does not fit.
        Kind::ContinuationMismatch => class(true, Success, Allowed),
        // It would be as large the next time.
        Kind::ResponseTooLarge => class(false, Ignored, Allowed),
        // Their attempts have been counted one by one.
        Kind::CircuitOpen | Kind::RetriesExhausted => class(false, Ignored, Allowed),
        Kind::QueueFull
        | Kind::NeverFits
        | Kind::CostCap
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
        class.retry = should_retry;
    }
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind, status: Option<u16>) -> Class {
        let mut error = Error::new(kind, "");
        error.status = status;
        classify(&error)
    }

    #[test]
    fn statuses_retry_as_the_documents_say() {
        let retried: Vec<u16> = (100..600).filter(|status| is_retryable_status(*status)).collect();
        assert_eq!(retried, [408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529]);
        for status in retried {
            assert!(is_retryable_code(&status.to_string()));
            let kind = if status == 429 { Kind::RateLimit } else { Kind::Server };
            assert!(of(kind, Some(status)).retry);
        }
        assert!(!of(Kind::Server, Some(501)).retry);
        assert!(of(Kind::Server, None).retry, "an error inside a stream");
    }

    #[test]
    fn a_client_error_proves_that_the_service_is_alive_and_goes_nowhere_else() {
        for (kind, status) in
            [(Kind::InvalidRequest, 400), (Kind::InvalidRequest, 422), (Kind::ContentFiltered, 400)]
        {
            let class = of(kind, Some(status));
            assert_eq!(
                (class.retry, class.breaker, class.next_route),
                (false, Verdict::Success, NextRoute::Never)
            );
        }
        assert_eq!(of(Kind::InvalidRequest, Some(404)).next_route, NextRoute::Allowed);
        let class = of(Kind::Authentication, Some(401));
        assert_eq!(
            (class.retry, class.breaker, class.next_route),
            (false, Verdict::Success, NextRoute::OtherEndpoint)
        );
        let class = of(Kind::ContextLength, Some(400));
        assert_eq!(
            (class.retry, class.breaker, class.next_route),
            (false, Verdict::Success, NextRoute::LargerContext)
        );
    }

    #[test]
    fn a_rate_limit_cools_the_route_and_is_no_failure() {
        let class = of(Kind::RateLimit, Some(429));
        assert_eq!((class.retry, class.cools, class.breaker), (true, true, Verdict::Ignored));
        let class = of(Kind::QuotaExhausted, Some(429));
        assert_eq!((class.retry, class.next_route), (false, NextRoute::OtherKey));
    }

    #[test]
    fn silence_and_broken_streams_are_failures_that_retry() {
        for kind in [
            Kind::Timeout(Phase::Connect),
            Kind::Timeout(Phase::FirstToken),
            Kind::Timeout(Phase::Idle),
            Kind::Connection(ConnectionFailure::Reset),
            Kind::Connection(ConnectionFailure::NotFound),
            Kind::Interrupted,
            Kind::Truncated,
            Kind::Malformed,
        ] {
            let class = of(kind, None);
            assert_eq!((class.retry, class.breaker), (true, Verdict::Failure), "{kind:?}");
        }
        assert!(!of(Kind::Connection(ConnectionFailure::Tls), None).retry);
        assert!(!of(Kind::Timeout(Phase::Total), None).retry);
    }

    #[test]
    fn the_server_has_the_last_word_on_retries() {
        let mut error = Error::new(Kind::Server, "").with_status(503);
        error.should_retry = Some(false);
        assert!(!classify(&error).retry);
        let mut error = Error::new(Kind::InvalidRequest, "").with_status(409);
        assert!(!classify(&error).retry);
        error.should_retry = Some(true);
        assert!(classify(&error).retry);
    }

    #[test]
    fn a_page_instead_of_a_stream_is_left_for_another_route() {
        let mut error = Error::new(Kind::Malformed, "").with_status(200);
        error.should_retry = Some(false);
        let class = classify(&error);
        assert_eq!((class.retry, class.next_route), (false, NextRoute::Allowed));
    }

    #[test]
    fn what_the_caller_did_tells_the_breaker_nothing() {
        for kind in [Kind::Aborted, Kind::Closed, Kind::Timeout(Phase::Queue), Kind::CostCap] {
            let class = of(kind, None);
            assert_eq!(
                (class.retry, class.breaker, class.next_route),
                (false, Verdict::Ignored, NextRoute::Never)
            );
        }
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
