//! What is done about a failure where the caller says so: a table from statuses, codes and classes
//! of failures to decisions. A failure without a row is decided by [`super::classify`], which is the
//! default table.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::classify::{Class, NODE_CODES, NextRoute, classify, is_retryable_code};
use crate::error::{ConnectionFailure, Error, Kind, Phase};

/// What is done about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Another attempt, with the configured backoff.
    Retry,
    /// The call fails now.
    Never,
    /// Not this route again; the next one.
    Fallback,
    /// Another attempt, with the n-th of these waits before the n-th retry; the last one repeats.
    /// Neither jitter nor the backoff's limits apply. Never empty.
    After(Arc<[Duration]>),
    /// The same, and no attempt after the one that follows the last of these waits.
    Only(Arc<[Duration]>),
}

/// Causes that a status does not tell: a refusal with one of these codes goes by it alone, or a row
/// for 429 would retry a key that has no money.
const CAUSES: [Kind; 3] = [Kind::QuotaExhausted, Kind::ContextLength, Kind::ContentFiltered];

/// Codes that stand for several statuses: the status is the more exact.
const WIDE: [Kind; 4] = [Kind::Server, Kind::InvalidRequest, Kind::Authentication, Kind::RateLimit];

/// Our other codes about which something can be decided.
const NARROW: [Kind; 13] = [
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
    Kind::ContinuationMismatch,
    Kind::ResponseTooLarge,
];

/// Our codes about which nothing can be decided: ends of a call, whatever status came before them.
const OUTSIDE: [Kind; 9] = [
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

/// The names of classes that a row may have beside `4xx` and `5xx`.
pub const CLASSES: [&str; 7] =
    ["connection", "timeout", "rate-limit", "quota", "auth", "context-length", "content-filter"];

fn kinds() -> impl Iterator<Item = Kind> {
    CAUSES.into_iter().chain(WIDE).chain(NARROW)
}

/// The class of a failure with this code or status.
fn family(code: &str, status: Option<u16>) -> Option<&'static str> {
    let of = |kind: Kind| kind.code() == code;
    Some(match code {
        _ if of(Kind::QuotaExhausted) || code == "insufficient_quota" => "quota",
        _ if of(Kind::ContextLength) => "context-length",
        _ if of(Kind::ContentFiltered) => "content-filter",
        _ if of(Kind::Authentication) => "auth",
        _ if of(Kind::RateLimit) => "rate-limit",
        _ if of(Kind::Timeout(Phase::Idle)) || code.ends_with("TIMEDOUT") || code.ends_with("_TIMEOUT") => {
            "timeout"
        }
        _ if of(Kind::Connection(ConnectionFailure::Tls))
            || of(Kind::Connection(ConnectionFailure::Other)) =>
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

/// What a row for this failure may be called, the most exact name first.
fn names(code: &str, status: Option<u16>) -> impl Iterator<Item = Cow<'static, str>> + use<> {
    let cause = CAUSES.iter().any(|kind| kind.code() == code) || code == "insufficient_quota";
    let wide = WIDE.iter().any(|kind| kind.code() == code);
    let status = status.filter(|status| !cause && (400..600).contains(status));
    let code_ = (!code.is_empty()).then(|| Cow::Owned(code.to_owned()));
    let number = status.map(|status| Cow::Owned(status.to_string()));
    let (first, second) = if wide { (number, code_) } else { (code_, number) };
    let hundreds = status.map(|status| Cow::Borrowed(if status < 500 { "4xx" } else { "5xx" }));
    let class = family(code, status).map(Cow::Borrowed);
    [first, second, class, hundreds].into_iter().flatten()
}

/// Decisions of the caller's by the names of failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(Vec<(String, Decision)>);

impl Table {
    /// Whether a row may have this name.
    pub fn knows(name: &str) -> bool {
        // `+429` and `0429` parse as well.
        let status = name.len() == 3 && name.parse().is_ok_and(|status: u16| (400..600).contains(&status));
        status
            || matches!(name, "4xx" | "5xx")
            || CLASSES.contains(&name)
            || NODE_CODES.contains(&name)
            || kinds().any(|kind| kind.code() == name)
    }

    /// Sets the row of this name.
    pub fn insert(&mut self, name: &str, decision: Decision) {
        self.0.retain(|(have, _)| have != name);
        self.0.push((name.to_owned(), decision));
    }

    fn row(&self, code: &str, status: Option<u16>) -> Option<&Decision> {
        names(code, status)
            .find_map(|name| self.0.iter().find(|(have, _)| *have == name))
            .map(|(_, decision)| decision)
    }

    /// What the table says of a failure of an attempt; `None` where it has no row, and for what no
    /// table can change: the end of the call's own time, its abort, its queues.
    pub fn of(&self, error: &Error) -> Option<&Decision> {
        let open = match error.kind {
            Kind::Timeout(phase) => !matches!(phase, Phase::Total | Phase::Queue),
            // Every way a connection fails has a code of its own.
            Kind::Connection(_) => true,
            kind => kinds().any(|known| known == kind),
        };
        self.row(error.code(), error.status).filter(|_| open)
    }

    /// What the table says of a failure that is known by its code (ours, Node's, or a status as text)
    /// and perhaps its status; `None` where it has no row. For helpers outside of the engine.
    pub fn of_code(&self, code: &str, status: Option<u16>) -> Option<&Decision> {
        let (code, status) = code_and_status(code, status);
        self.row(code, status).filter(|_| !OUTSIDE.iter().any(|kind| kind.code() == code))
    }

    /// [`Table::of_code`], or the default.
    pub fn decide(&self, code: &str, status: Option<u16>) -> Decision {
        let (code, status) = code_and_status(code, status);
        self.of_code(code, status).cloned().unwrap_or_else(|| default(code, status))
    }
}

/// A code may be a status as text.
fn code_and_status(code: &str, status: Option<u16>) -> (&str, Option<u16>) {
    match code.parse() {
        Ok(number) => ("", Some(number)),
        Err(_) => (code, status),
    }
}

/// The default decision about a code and a status.
fn default(code: &str, status: Option<u16>) -> Decision {
    let named = kinds().chain(OUTSIDE).find(|kind| kind.code() == code);
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
                _ if OUTSIDE.contains(&kind) => Decision::Never,
                _ if class.retry => Decision::Retry,
                NextRoute::Never => Decision::Never,
                _ => Decision::Fallback,
            }
        }
        // Node's own.
        None if is_retryable_code(code) => Decision::Retry,
        None => Decision::Never,
    }
}

/// What a refusal with this status and nothing else is, as [`crate::error::Kind`] says.
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
    /// What it comes to after so many attempts.
    pub fn after(&self, attempts: usize) -> &Decision {
        match self {
            Decision::Only(waits) if attempts > waits.len() => &Decision::Never,
            other => other,
        }
    }

    /// The meaning of a failure after this decision about it. What its breaker learns stays.
    pub fn apply(&self, class: Class, kind: Kind) -> Class {
        let next_route = match kind {
            Kind::QuotaExhausted => NextRoute::OtherKey,
            Kind::Authentication => NextRoute::OtherEndpoint,
            Kind::ContextLength => NextRoute::LargerContext,
            _ => NextRoute::Allowed,
        };
        match self {
            Decision::Retry | Decision::After(_) | Decision::Only(_) => {
                Class { retry: true, next_route, ..class }
            }
            Decision::Fallback => Class { retry: false, next_route, ..class },
            Decision::Never => Class { retry: false, next_route: NextRoute::Never, ..class },
        }
    }
}

#[cfg(test)]
#[path = "decisions_tests.rs"]
mod tests;
