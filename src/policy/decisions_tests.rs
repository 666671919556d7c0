use super::*;
use crate::policy::circuit_breaker::Outcome;
use crate::policy::classify::is_retryable_status;

fn table(rows: &[(&str, Decision)]) -> DecisionTable {
    let mut table = DecisionTable::default();
    for (name, decision) in rows {
        assert!(DecisionTable::is_valid_name(name), "{name}");
        table.insert(name, decision.clone());
    }
    table
}

fn delays(ms: &[u64]) -> Decision {
    Decision::Delays(ms.iter().map(|ms| Duration::from_millis(*ms)).collect())
}

fn error(kind: Kind, status: impl Into<Option<u16>>) -> Error {
    let mut error = Error::new(kind, "");
    error.status = status.into();
    error
}

const RESET: Kind = Kind::Connection(ConnectionFailure::Reset);

#[test]
fn the_most_specific_name_wins_in_any_order_of_the_rows() {
    let rows = [
        ("5xx", Decision::Never),
        ("SERVER_ERROR", Decision::Fallback),
        ("503", delays(&[1])),
        ("connection", Decision::Never),
        ("ECONNRESET", Decision::Retry),
    ];
    for rows in [rows.to_vec(), rows.iter().rev().cloned().collect()] {
        let table = table(&rows);
        assert_eq!(table.decision_for(&error(Kind::Server, 503)), Some(&delays(&[1])));
        assert_eq!(table.decision_for(&error(Kind::Server, 500)), Some(&Decision::Fallback));
        assert_eq!(
            table.decision_for(&error(Kind::Server, None)),
            Some(&Decision::Fallback),
            "inside a stream"
        );
        assert_eq!(table.decision_for(&error(RESET, None)), Some(&Decision::Retry));
        assert_eq!(
            table.decision_for(&error(Kind::Connection(ConnectionFailure::Closed), None)),
            Some(&Decision::Retry)
        );
        assert_eq!(
            table.decision_for(&error(Kind::Connection(ConnectionFailure::Tls), None)),
            Some(&Decision::Never)
        );
        assert_eq!(table.decision_for(&error(Kind::RateLimit, 429)), None);
    }
}

#[test]
fn every_class_matches_its_failures() {
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
        assert_eq!(table.decision_for(&error(kind, status)), Some(&Decision::Never), "{class}");
    }
}

#[test]
fn a_kind_more_specific_than_its_status_matches_by_code_only() {
    let table = table(&[("429", Decision::Retry), ("4xx", Decision::Retry), ("402", Decision::Never)]);
    assert_eq!(table.decision_for(&error(Kind::QuotaExhausted, 429)), None);
    assert_eq!(table.decision_for(&error(Kind::ContextLength, 400)), None);
    assert_eq!(table.decision_for(&error(Kind::ContentFiltered, 400)), None);
    assert_eq!(table.decision_for(&error(Kind::RateLimit, 429)), Some(&Decision::Retry));
}

#[test]
fn no_table_decides_the_end_of_the_call() {
    let table = table(&[("TIMEOUT", Decision::Retry), ("timeout", Decision::Retry)]);
    assert_eq!(table.decision_for(&error(Kind::Timeout(Phase::Idle), None)), Some(&Decision::Retry));
    assert_eq!(table.decision_for(&error(Kind::Timeout(Phase::Total), None)), None);
    assert_eq!(table.decision_for(&error(Kind::Timeout(Phase::Queue), None)), None);
    assert_eq!(table.decision_for(&error(Kind::Aborted, None)), None);
}

#[test]
fn a_decision_sets_the_next_route_and_keeps_the_breaker_outcome() {
    let of = |kind, decision: Decision| {
        let class = decision.apply(classify(&error(kind, None)), kind);
        (class.retryable, class.next_route)
    };
    assert!(of(Kind::InvalidRequest, Decision::Retry).0);
    assert_eq!(of(Kind::Server, Decision::Never), (false, NextRoute::Never));
    assert_eq!(of(Kind::Server, Decision::Fallback), (false, NextRoute::Any));
    assert_eq!(of(Kind::ContentFiltered, Decision::Fallback), (false, NextRoute::Any));
    assert_eq!(of(Kind::QuotaExhausted, Decision::Fallback), (false, NextRoute::OtherKey));
    assert_eq!(of(Kind::ContextLength, Decision::Fallback), (false, NextRoute::LargerContext));
    assert_eq!(of(Kind::Authentication, Decision::Fallback), (false, NextRoute::OtherEndpoint));
    let class = Decision::Never.apply(classify(&error(Kind::RateLimit, 429)), Kind::RateLimit);
    assert_eq!((class.breaker, class.cools_down), (Outcome::Ignored, true));
}

#[test]
fn invalid_names_are_rejected() {
    for name in ["", "399", "600", "+429", "0429", "3xx", "econnreset", "ABORTED", "Timeout", "network"] {
        assert!(!DecisionTable::is_valid_name(name), "{name}");
    }
    for name in ["400", "599", "EPIPE", "UND_ERR_SOCKET", "STREAM_TRUNCATED", "REDIRECTED", "ERR_TLS"] {
        assert!(DecisionTable::is_valid_name(name), "{name}");
    }
}

#[test]
fn without_a_row_a_code_gets_the_default_decision() {
    let empty = DecisionTable::default();
    for status in 400..600 {
        let retry = empty.decide(&status.to_string(), None) == Decision::Retry;
        assert_eq!(retry, is_retryable_status(status), "{status}");
    }
    for code in NODE_CODES {
        assert_eq!(empty.decide(code, None), Decision::Retry, "{code}");
    }
    for kind in decidable_kinds() {
        let class = classify(&error(kind, None));
        assert_eq!(empty.decide(kind.code(), None) == Decision::Retry, class.retryable, "{kind:?}");
    }
    assert_eq!(empty.decide("QUOTA_EXHAUSTED", Some(429)), Decision::Fallback);
    assert_eq!(empty.decide("insufficient_quota", Some(429)), Decision::Fallback);
    for kind in FINAL_KINDS {
        assert_eq!(empty.decide(kind.code(), Some(503)), Decision::Never, "{kind:?}");
        assert_eq!(
            table(&[("503", Decision::Retry)]).decision_for_code(kind.code(), Some(503)),
            None,
            "{kind:?}"
        );
    }
    assert_eq!(empty.decision_for_code("503", None), None);
    assert_eq!(empty.decide("200", None), Decision::Never);
    assert_eq!(empty.decide("", None), Decision::Never);
    let table = table(&[("408", delays(&[1_000, 2_000])), ("connection", Decision::Never)]);
    assert_eq!(table.decide("408", None), delays(&[1_000, 2_000]));
    assert_eq!(table.decide("SERVER_ERROR", Some(408)), delays(&[1_000, 2_000]));
    assert_eq!(table.decide("EPIPE", None), Decision::Never);
}

/// `docs/retries.md` lists the default table completely and correctly.
#[test]
fn the_documented_default_table_is_correct_and_complete() {
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
            assert!(documented.insert(name.to_owned(), decision).is_none(), "{name} is listed twice");
        }
    }
    for (name, decision) in &documented {
        match name.as_str() {
            "4xx" | "5xx" => {}
            _ => assert_eq!(DecisionTable::default().decide(name, None), *decision, "{name}"),
        }
    }
    for status in 400..600u16 {
        let status_range = if status < 500 { "4xx" } else { "5xx" };
        let decision = documented.get(&status.to_string()).unwrap_or(&documented[status_range]);
        assert_eq!(DecisionTable::default().decide(&status.to_string(), None), *decision, "{status}");
    }
    // The broad kinds are covered by their statuses.
    for kind in decidable_kinds().filter(|kind| !BROAD_KINDS.contains(kind)) {
        assert!(documented.contains_key(kind.code()), "{kind:?}");
    }
    for code in NODE_CODES {
        assert!(documented.contains_key(code), "{code}");
    }
}
