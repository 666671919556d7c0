use super::*;
use crate::policy::classify::{Verdict, is_retryable_status};

fn table(rows: &[(&str, Decision)]) -> Table {
    let mut table = Table::default();
    for (name, decision) in rows {
        assert!(Table::knows(name), "{name}");
        table.insert(name, decision.clone());
    }
    table
}

fn after(ms: &[u64]) -> Decision {
    Decision::After(ms.iter().map(|ms| Duration::from_millis(*ms)).collect())
}

fn error(kind: Kind, status: impl Into<Option<u16>>) -> Error {
    let mut error = Error::new(kind, "");
    error.status = status.into();
    error
}

const RESET: Kind = Kind::Connection(ConnectionFailure::Reset);

#[test]
fn the_most_exact_name_wins_whatever_the_order_of_the_rows() {
    let rows = [
        ("5xx", Decision::Never),
        ("SERVER_ERROR", Decision::Fallback),
        ("503", after(&[1])),
        ("connection", Decision::Never),
        ("ECONNRESET", Decision::Retry),
    ];
    for rows in [rows.to_vec(), rows.iter().rev().cloned().collect()] {
        let table = table(&rows);
        assert_eq!(table.of(&error(Kind::Server, 503)), Some(&after(&[1])));
        assert_eq!(table.of(&error(Kind::Server, 500)), Some(&Decision::Fallback));
        assert_eq!(table.of(&error(Kind::Server, None)), Some(&Decision::Fallback), "inside a stream");
        assert_eq!(table.of(&error(RESET, None)), Some(&Decision::Retry));
        assert_eq!(
            table.of(&error(Kind::Connection(ConnectionFailure::Closed), None)),
            Some(&Decision::Retry)
        );
        assert_eq!(table.of(&error(Kind::Connection(ConnectionFailure::Tls), None)), Some(&Decision::Never));
        assert_eq!(table.of(&error(Kind::RateLimit, 429)), None);
    }
}

#[test]
fn every_class_has_its_failures() {
    for (class, kind, status) in [
        ("connection", Kind::Connection(ConnectionFailure::NotFound), None),
        ("connection", Kind::Connection(ConnectionFailure::Other), None),
        ("timeout", Kind::Timeout(Phase::FirstToken), None),
        ("rate-limit", Kind::RateLimit, Some(429)),
        ("rate-limit", Kind::RateLimit, None),
        ("quota", Kind::QuotaExhausted, Some(402)),
        ("auth", Kind::Authentication, Some(403)),
        ("context-length", Kind::ContextLength, Some(400)),
        ("content-filter", Kind::ContentFiltered, Some(400)),
        ("4xx", Kind::InvalidRequest, Some(418)),
        ("5xx", Kind::Server, Some(529)),
    ] {
        let table = table(&[(class, Decision::Never)]);
        assert_eq!(table.of(&error(kind, status)), Some(&Decision::Never), "{class}");
    }
}

#[test]
fn a_cause_that_no_status_tells_goes_by_itself_alone() {
    let table = table(&[("429", Decision::Retry), ("4xx", Decision::Retry), ("402", Decision::Never)]);
    assert_eq!(table.of(&error(Kind::QuotaExhausted, 429)), None);
    assert_eq!(table.of(&error(Kind::ContextLength, 400)), None);
    assert_eq!(table.of(&error(Kind::ContentFiltered, 400)), None);
    assert_eq!(table.of(&error(Kind::RateLimit, 429)), Some(&Decision::Retry));
}

#[test]
fn the_end_of_the_calls_own_time_is_not_up_to_a_table() {
    let table = table(&[("TIMEOUT", Decision::Retry), ("timeout", Decision::Retry)]);
    assert_eq!(table.of(&error(Kind::Timeout(Phase::Idle), None)), Some(&Decision::Retry));
    assert_eq!(table.of(&error(Kind::Timeout(Phase::Total), None)), None);
    assert_eq!(table.of(&error(Kind::Timeout(Phase::Queue), None)), None);
    assert_eq!(table.of(&error(Kind::Aborted, None)), None);
}

#[test]
fn a_decision_says_where_else_may_be_asked_and_leaves_the_breaker_as_it_was() {
    let of = |kind, decision: Decision| {
        let class = decision.apply(classify(&error(kind, None)), kind);
        (class.retry, class.next_route)
    };
    assert!(of(Kind::InvalidRequest, Decision::Retry).0);
    assert_eq!(of(Kind::Server, Decision::Never), (false, NextRoute::Never));
    assert_eq!(of(Kind::Server, Decision::Fallback), (false, NextRoute::Allowed));
    assert_eq!(of(Kind::ContentFiltered, Decision::Fallback), (false, NextRoute::Allowed));
    assert_eq!(of(Kind::QuotaExhausted, Decision::Fallback), (false, NextRoute::OtherKey));
    assert_eq!(of(Kind::ContextLength, Decision::Fallback), (false, NextRoute::LargerContext));
    assert_eq!(of(Kind::Authentication, Decision::Fallback), (false, NextRoute::OtherEndpoint));
    let class = Decision::Never.apply(classify(&error(Kind::RateLimit, 429)), Kind::RateLimit);
    assert_eq!((class.breaker, class.cools), (Verdict::Ignored, true));
}

#[test]
fn names_that_stand_for_nothing_are_unknown() {
    for name in ["", "399", "600", "+429", "0429", "3xx", "econnreset", "ABORTED", "Timeout", "network"] {
        assert!(!Table::knows(name), "{name}");
    }
    for name in ["400", "599", "EPIPE", "UND_ERR_SOCKET", "STREAM_TRUNCATED", "REDIRECTED", "ERR_TLS"] {
        assert!(Table::knows(name), "{name}");
    }
}

#[test]
fn without_a_row_a_code_is_decided_as_the_engine_decides() {
    let none = Table::default();
    for status in 400..600 {
        let retry = none.decide(&status.to_string(), None) == Decision::Retry;
        assert_eq!(retry, is_retryable_status(status), "{status}");
    }
    for code in NODE_CODES {
        assert_eq!(none.decide(code, None), Decision::Retry, "{code}");
    }
    for kind in kinds() {
        let class = classify(&error(kind, None));
        assert_eq!(none.decide(kind.code(), None) == Decision::Retry, class.retry, "{kind:?}");
    }
    assert_eq!(none.decide("QUOTA_EXHAUSTED", Some(429)), Decision::Fallback);
    assert_eq!(none.decide("insufficient_quota", Some(429)), Decision::Fallback);
    for kind in OUTSIDE {
        assert_eq!(none.decide(kind.code(), Some(503)), Decision::Never, "{kind:?}");
        assert_eq!(table(&[("503", Decision::Retry)]).of_code(kind.code(), Some(503)), None, "{kind:?}");
    }
    assert_eq!(none.of_code("503", None), None);
    assert_eq!(none.decide("200", None), Decision::Never);
    assert_eq!(none.decide("", None), Decision::Never);
    let table = table(&[("408", after(&[1_000, 2_000])), ("connection", Decision::Never)]);
    assert_eq!(table.decide("408", None), after(&[1_000, 2_000]));
    assert_eq!(table.decide("SERVER_ERROR", Some(408)), after(&[1_000, 2_000]));
    assert_eq!(table.decide("EPIPE", None), Decision::Never);
}

/// `docs/retries.md` holds the default table; each of its rows is the one in force, and none is missing.
#[test]
fn the_documented_default_table_is_the_one_in_force() {
    let text = include_str!("../../docs/retries.md");
    let (_, rest) = text.split_once("<!-- default decisions -->").unwrap();
    let (rows, _) = rest.split_once("<!-- end of default decisions -->").unwrap();
    let mut documented = std::collections::BTreeMap::new();
    for row in rows.lines().filter(|row| row.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for name in cells[1].split(',').map(|name| name.trim().trim_matches('`')) {
            let decision = match cells[2] {
                "retry" => Decision::Retry,
                "never" => Decision::Never,
                "fallback" => Decision::Fallback,
                other => panic!("{other}"),
            };
            assert!(documented.insert(name.to_owned(), decision).is_none(), "{name} stands there twice");
        }
    }
    for (name, decision) in &documented {
        match name.as_str() {
            "4xx" | "5xx" => {}
            _ => assert_eq!(Table::default().decide(name, None), *decision, "{name}"),
        }
    }
    for status in 400..600u16 {
        let hundreds = if status < 500 { "4xx" } else { "5xx" };
        let decision = documented.get(&status.to_string()).unwrap_or(&documented[hundreds]);
        assert_eq!(Table::default().decide(&status.to_string(), None), *decision, "{status}");
    }
    // The rest of them are statuses by another name.
    for kind in kinds().filter(|kind| !WIDE.contains(kind)) {
        assert!(documented.contains_key(kind.code()), "{kind:?}");
    }
    for code in NODE_CODES {
        assert!(documented.contains_key(code), "{code}");
    }
}
