//! How a server refills its rate limit, inferred from its headers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// With fewer missing tokens the rounding of the headers dominates the quotient.
const MIN_MISSING: f64 = 4.0;

/// How a server refills its rate limit.
///
/// A token bucket is full again sooner if less was taken: the missing tokens divided by the time until the
/// reset are its rate, however many are missing. A fixed window resets at one moment, however many are missing.
/// Two samples with different numbers of missing tokens distinguish the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ServerRefill {
    /// The first sample: the missing tokens, and their quotient with the time until the reset.
    first_sample: Option<(f64, f64)>,
    /// Tokens per millisecond, if the server has a token bucket.
    rate: Option<f64>,
}

impl ServerRefill {
    /// Takes a sample from the headers of a response.
    pub(super) fn observe(&mut self, limit: f64, remaining: f64, reset: Duration) {
        let (missing, ms) = (limit - remaining, reset.as_secs_f64() * 1e3);
        if missing < MIN_MISSING || ms <= 0.0 {
            return;
        }
        let quotient = missing / ms;
        let Some((first_missing, first_quotient)) = self.first_sample else {
            self.first_sample = Some((missing, quotient));
            return;
        };
        if missing.max(first_missing) < 2.0 * missing.min(first_missing) {
            return;
        }
        let is_bucket = (0.75..1.33).contains(&(quotient / first_quotient));
        // Rounding matters less for the sample with more missing tokens.
        let rate = if missing > first_missing { quotient } else { first_quotient };
        self.rate = is_bucket.then_some(rate);
        if !is_bucket {
            self.first_sample = Some((missing, quotient));
        }
    }

    /// Tokens per millisecond, if the server is known to have a token bucket.
    pub(super) fn rate_per_ms(&self) -> Option<f64> {
        self.rate
    }
}
