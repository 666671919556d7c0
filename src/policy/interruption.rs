//! Attempts that ended without a verdict of the provider: it broke off, stalled or closed the connection. One that was
//! silent for long before its end is a stall, whatever ended it: the timeout would have come to the same.

use std::time::Duration;

use crate::error::{ConnectionFailure, Error, Kind, Phase};

/// A silence is long if it lasted this share of the timeout that would have ended it, within these bounds.
const LONG_SHARE: u32 = 4;
const MIN_LONG: Duration = Duration::from_secs(1);
const MAX_LONG: Duration = Duration::from_secs(15);
/// A route that has stalled gets this share of a timeout in its next attempt at the same place, and no less than this, unless
/// the timeout itself is shorter.
const PATIENCE_SHARE: u32 = 6;
const MIN_PATIENCE: Duration = Duration::from_secs(5);

/// How an attempt ended without a verdict of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// It broke off, or was closed.
    Broken,
    /// It was silent for long.
    Stalled {
        silence: Duration,
        /// How long the route may be silent at this place in all, over its attempts. What follows after the whole of it is one
        /// more attempt with a short timeout.
        allowance: Duration,
    },
}

/// What was heard from the provider before an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// How long nothing had been heard.
    pub lasted: Duration,
    /// The timeout of this silence.
    pub limit: Duration,
    /// No part of the answer has arrived in this call.
    pub at_start: bool,
    /// The answer is streamed. One that is not is silent until it is complete.
    pub is_streamed: bool,
}

/// How an attempt with this error ended; `None` if the provider said what is wrong.
pub fn interruption(error: &Error, silence: Silence) -> Option<Interruption> {
    let Silence { lasted, limit, at_start, is_streamed } = silence;
    // At the start a model may think; within an answer a silence is never good.
    let allowance = if at_start { limit } else { Duration::ZERO };
    let stalled = Interruption::Stalled { silence: lasted, allowance };
    let is_long = is_streamed && lasted >= (limit / LONG_SHARE).clamp(MIN_LONG, MAX_LONG);
    match error.kind {
        Kind::Timeout(Phase::FirstToken | Phase::Idle) => Some(stalled),
        Kind::Timeout(Phase::Attempt | Phase::Throughput)
        | Kind::Connection(ConnectionFailure::Reset | ConnectionFailure::Closed | ConnectionFailure::Other)
        | Kind::Interrupted
        | Kind::Truncated
        | Kind::Malformed => Some(if is_long { stalled } else { Interruption::Broken }),
        // An error in the middle of a stream.
        Kind::Server if error.status.is_none_or(|status| status < 400) => {
            Some(if is_long { stalled } else { Interruption::Broken })
        }
        // A gateway that has waited for the provider.
        Kind::Server if is_long && matches!(error.status, Some(408 | 504 | 522 | 524)) => Some(stalled),
        _ => None,
    }
}

/// The timeout of an attempt on a route that has stalled at the same place: a part of the usual one. `left` is what is left
/// of the time for which the route may be silent there.
pub fn timeout_after_stall(limit: Duration, left: Duration) -> Duration {
    (limit / PATIENCE_SHARE).max(MIN_PATIENCE).max(left).min(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ended(kind: Kind, lasted: u32, limit: u32) -> Option<Interruption> {
        let silence =
            Silence { lasted: SECOND * lasted, limit: SECOND * limit, at_start: false, is_streamed: true };
        interruption(&Error::new(kind, ""), silence)
    }

    fn stalled(silence: u32) -> Option<Interruption> {
        Some(Interruption::Stalled { silence: SECOND * silence, allowance: Duration::ZERO })
    }

    #[test]
    fn a_timeout_is_a_stall_and_a_close_after_a_long_silence_is_one_too() {
        assert_eq!(ended(Kind::Timeout(Phase::Idle), 60, 60), stalled(60));
        assert_eq!(ended(Kind::Timeout(Phase::FirstToken), 0, 60), stalled(0));
        for kind in
            [Kind::Truncated, Kind::Connection(ConnectionFailure::Reset), Kind::Interrupted, Kind::Malformed]
        {
            assert_eq!(ended(kind, 14, 60), Some(Interruption::Broken), "{kind:?}");
            assert_eq!(ended(kind, 15, 60), stalled(15), "{kind:?}");
            assert_eq!(ended(kind, 15, 600), stalled(15), "{kind:?}");
            assert_eq!(ended(kind, 0, 1), Some(Interruption::Broken), "{kind:?}");
            assert_eq!(ended(kind, 1, 1), stalled(1), "{kind:?}");
        }
    }

    #[test]
    fn a_verdict_of_the_provider_is_no_interruption() {
        for kind in [
            Kind::RateLimit,
            Kind::InvalidRequest,
            Kind::Timeout(Phase::Connect),
            Kind::Timeout(Phase::Total),
            Kind::Connection(ConnectionFailure::Refused),
            Kind::Connection(ConnectionFailure::NotFound),
            Kind::EmptyAnswer,
            Kind::ContinuationMismatch,
        ] {
            assert_eq!(ended(kind, 60, 60), None, "{kind:?}");
        }
    }

    #[test]
    fn a_gateway_that_has_waited_for_its_provider_reports_a_stall() {
        let with_status = |status, lasted| {
            let silence =
                Silence { lasted: SECOND * lasted, limit: SECOND * 60, at_start: false, is_streamed: true };
            interruption(&Error::new(Kind::Server, "").with_status(status), silence)
        };
        assert_eq!((with_status(504, 30), with_status(524, 100)), (stalled(30), stalled(100)));
        assert_eq!((with_status(504, 1), with_status(503, 30)), (None, None));
        assert_eq!(with_status(200, 1), Some(Interruption::Broken), "an error event in a stream");
    }

    #[test]
    fn the_allowance_is_the_timeout_before_the_answer_and_nothing_within_it() {
        let silence =
            |at_start| Silence { lasted: SECOND * 5, limit: SECOND * 5, at_start, is_streamed: true };
        let error = Error::timeout(Phase::FirstToken, SECOND * 5);
        let allowance = |at_start| match interruption(&error, silence(at_start)) {
            Some(Interruption::Stalled { allowance, .. }) => allowance,
            other => panic!("{other:?}"),
        };
        assert_eq!((allowance(true), allowance(false)), (SECOND * 5, Duration::ZERO));
    }

    #[test]
    fn a_route_that_has_stalled_gets_a_part_of_the_timeout() {
        let after = |limit: u32, left: u32| timeout_after_stall(SECOND * limit, SECOND * left).as_secs();
        assert_eq!([after(30, 0), after(60, 0), after(120, 0), after(3, 0)], [5, 10, 20, 3]);
        assert_eq!(after(120, 90), 90, "what is left of the allowance");
    }

    proptest! {
        #[test]
        fn no_timeout_grows(limit in 1..1_000_000u64, left in 0..1_000_000u64) {
            let limit = Duration::from_millis(limit);
            let after = timeout_after_stall(limit, Duration::from_millis(left));
            prop_assert!(after <= limit && !after.is_zero());
            prop_assert!(after >= MIN_PATIENCE.min(limit));
        }
    }
}
