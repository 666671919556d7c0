//! The caller's retry decisions: a table from statuses, error codes and failure classes to decisions. A
//! failure without a row follows the default classification in [`super::classify`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::classify::{Classification, NODE_CODES, NextRoute, classify, is_retryable_code};
use crate::error::{ConnectionFailure, Error, Kind, Phase};

/// How the client reacts to a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Retry with the configured backoff.
    Retry,
    /// Fail the call.
    Never,
    /// Fall back to the next route.
    Fallback,
    /// Retry, with the n-th of these delays before the n-th retry; the last one repeats. Jitter and the
    /// limits of the backoff do not apply. Never empty.
    Delays(Arc<[Duration]>),
    /// Retry once after each of these delays, then fail the call. Never empty.
    FiniteDelays(Arc<[Duration]>),
}

/// Kinds that are more specific than any status. A failure of these kinds matches by its code only.
/// Otherwise a row for 429 would retry with a key whose quota is exhausted.
const SPECIFIC_KINDS: [Kind; 3] = [Kind::QuotaExhausted, Kind::ContextLength, Kind::ContentFiltered];

/// Kinds that cover several statuses. The status is more specific than the code.
const BROAD_KINDS: [Kind; 4] = [Kind::Server, Kind::InvalidRequest, Kind::Authentication, Kind::RateLimit];

/// The other kinds that a table may decide.
const OTHER_KINDS: [Kind; 15] = [
    Kind::Redirect,
    Kind::Timeout(Phase::Idle),
    Kind::Connection(ConnectionFailure::Refused),
    Kind::Connection(ConnectionFailure::Reset),
    Kind::Connection(ConnectionFailure::NotFound),
    Kind::Connection(ConnectionFailure::Unreachable),
    Kind::Connection(ConnectionFailure::Tls),
    Kind::Connection(ConnectionFailure::Other),
    Kind::Interrupted,
    Kind::Truncated,
    Kind::Malformed,
    Kind::EmptyAnswer,
    Kind::ContinuationMismatch,
    Kind::ResponseTooLarge,
    Kind::AnswerTooLarge,
];

/// Kinds that end a call. No table can change them, whatever status they carry.
const FINAL_KINDS: [Kind; 9] = [
    Kind::CircuitOpen,
    Kind::RetriesExhausted,
    Kind::QueueFull,
    Kind::NeverFits,
    Kind::CostCap,
    Kind::Aborted,
    Kind::Closed,
    Kind::InvalidArgument,
    Kind::Internal,
];

/// The names of the failure classes, besides `4xx` and `5xx`.
pub const CLASS_NAMES: [&str; 7] =
    ["connection", "timeout", "rate-limit", "quota", "auth", "context-length", "content-filter"];

/// Every kind that a table may decide.
fn decidable_kinds() -> impl Iterator<Item = Kind> {
    SPECIFIC_KINDS.into_iter().chain(BROAD_KINDS).chain(OTHER_KINDS)
}

/// The name of the class of a failure with this code or status.
fn class_name(code: &str, status: Option<u16>) -> Option<&'static str> {
    let is = |kind: Kind| kind.code() == code;
    Some(match code {
        _ if is(Kind::QuotaExhausted) || code == "insufficient_quota" => "quota",
        _ if is(Kind::ContextLength) => "context-length",
        _ if is(Kind::ContentFiltered) => "content-filter",
        _ if is(Kind::Authentication) => "auth",
        _ if is(Kind::RateLimit) => "rate-limit",
        _ if is(Kind::Timeout(Phase::Idle)) || code.ends_with("TIMEDOUT") || code.ends_with("_TIMEOUT") => {
            "timeout"
        }
        _ if is(Kind::Connection(ConnectionFailure::Tls))
            || is(Kind::Connection(ConnectionFailure::Other)) =>
        {
            "connection"
        }
        _ if NODE_CODES.contains(&code) => "connection",
        _ => match status {
            Some(401 | 403) => "auth",
            Some(402) => "quota",
            Some(429) => "rate-limit",
            _ => return None,
        },
    })
}

/// The names that a row for this failure may have, the most specific first.
fn row_names(code: &str, status: Option<u16>) -> impl Iterator<Item = Cow<'static, str>> + use<> {
    let is_specific = SPECIFIC_KINDS.iter().any(|kind| kind.code() == code) || code == "insufficient_quota";
    let is_broad = BROAD_KINDS.iter().any(|kind| kind.code() == code);
    let status = status.filter(|status| !is_specific && (400..600).contains(status));
    let code_name = (!code.is_empty()).then(|| Cow::Owned(code.to_owned()));
    let status_name = status.map(|status| Cow::Owned(status.to_string()));
    let (first, second) = if is_broad { (status_name, code_name) } else { (code_name, status_name) };
    let status_range = status.map(|status| Cow::Borrowed(if status < 500 { "4xx" } else { "5xx" }));
    let class = class_name(code, status).map(Cow::Borrowed);
    [first, second, class, status_range].into_iter().flatten()
}

/// The caller's decisions, by the name of the failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionTable(Vec<(String, Decision)>);

impl DecisionTable {
    /// Whether a row may have this name: a status, a class or an error code.
    pub fn is_valid_name(name: &str) -> bool {
        // `+429` and `0429` would parse too.
        let status = name.len() == 3 && name.parse().is_ok_and(|status: u16| (400..600).contains(&status));
        status
            || matches!(name, "4xx" | "5xx")
            || CLASS_NAMES.contains(&name)
            || NODE_CODES.contains(&name)
            || decidable_kinds().any(|kind| kind.code() == name)
    }

    /// Adds a row, or replaces the one with this name.
    pub fn insert(&mut self, name: &str, decision: Decision) {
        self.0.retain(|(existing, _)| existing != name);
        self.0.push((name.to_owned(), decision));
    }

    fn row(&self, code: &str, status: Option<u16>) -> Option<&Decision> {
        row_names(code, status)
            .find_map(|name| self.0.iter().find(|(row, _)| *row == name))
            .map(|(_, decision)| decision)
    }

    /// The decision for a failed attempt. `None` if the table has no row for it, or if no table can change
    /// it: the call's own deadline, its abort, its queues.
    pub fn decision_for(&self, error: &Error) -> Option<&Decision> {
        let is_decidable = match error.kind {
            Kind::Timeout(phase) => !matches!(phase, Phase::Total | Phase::Queue | Phase::Paused),
            // Each kind of connection failure has its own code.
            Kind::Connection(_) => true,
            kind => decidable_kinds().any(|known| known == kind),
        };
        self.row(error.code(), error.status).filter(|_| is_decidable)
    }

    /// The decision for a failure that is given by its code (this package's, Node's, or a status as text)
    /// and optionally its status. `None` if the table has no row for it. For helpers outside the engine.
    pub fn decision_for_code(&self, code: &str, status: Option<u16>) -> Option<&Decision> {
        let (code, status) = code_and_status(code, status);
        self.row(code, status).filter(|_| !FINAL_KINDS.iter().any(|kind| kind.code() == code))
    }

    /// [`DecisionTable::decision_for_code`], or the default decision.
    pub fn decide(&self, code: &str, status: Option<u16>) -> Decision {
        let (code, status) = code_and_status(code, status);
        self.decision_for_code(code, status).cloned().unwrap_or_else(|| default_decision(code, status))
    }
}

/// Separates a status that is given as a code.
fn code_and_status(code: &str, status: Option<u16>) -> (&str, Option<u16>) {
    match code.parse() {
        Ok(number) => ("", Some(number)),
        Err(_) => (code, status),
    }
}

/// The default decision for a code and a status.
fn default_decision(code: &str, status: Option<u16>) -> Decision {
    let named = decidable_kinds().chain(FINAL_KINDS).find(|kind| kind.code() == code);
    let kind = named.or(match status {
        _ if code == "insufficient_quota" => Some(Kind::QuotaExhausted),
        Some(status) => kind_of(status),
        None => None,
    });
    match kind {
        Some(kind) => {
            let mut error = Error::new(kind, "");
            error.status = status;
            let class = classify(&error);
            match class.next_route {
                _ if FINAL_KINDS.contains(&kind) => Decision::Never,
                _ if class.retryable => Decision::Retry,
                NextRoute::Never => Decision::Never,
                _ => Decision::Fallback,
            }
        }
        // Node's codes have no kind.
        None if is_retryable_code(code) => Decision::Retry,
        None => Decision::Never,
    }
}

/// The kind of an error response of which only the status is known.
fn kind_of(status: u16) -> Option<Kind> {
    Some(match status {
        300..400 => Kind::Redirect,
        401 | 403 => Kind::Authentication,
        402 => Kind::QuotaExhausted,
        429 => Kind::RateLimit,
        408 | 500..600 => Kind::Server,
        400..500 => Kind::InvalidRequest,
        _ => return None,
    })
}

impl Decision {
    /// The decision after this many attempts: [`Decision::FiniteDelays`] becomes [`Decision::Never`] once
    /// its delays are used up.
    pub fn at_attempt(&self, attempts: usize) -> &Decision {
        match self {
            Decision::FiniteDelays(delays) if attempts > delays.len() => &Decision::Never,
            other => other,
        }
    }

    /// The classification of a failure with this decision. What the breaker records does not change.
    pub fn apply(&self, class: Classification, kind: Kind) -> Classification {
        let next_route = match kind {
            Kind::QuotaExhausted => NextRoute::OtherKey,
            Kind::Authentication => NextRoute::OtherEndpoint,
            Kind::ContextLength => NextRoute::LargerContext,
            _ => NextRoute::Any,
        };
        match self {
            Decision::Retry | Decision::Delays(_) | Decision::FiniteDelays(_) => {
                Classification { retryable: true, next_route, ..class }
            }
            Decision::Fallback => Classification { retryable: false, next_route, ..class },
            Decision::Never => Classification { retryable: false, next_route: NextRoute::Never, ..class },
        }
    }
}

#[cfg(test)]
#[path = "decisions_tests.rs"]
mod tests;
