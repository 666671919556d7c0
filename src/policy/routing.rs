//! Routing: the order in which the endpoints of one model are tried. Ordering reads state only. It takes
//! neither a probe slot of a circuit breaker nor tokens of a rate limiter.

use std::cmp::{Ordering, Reverse};
use std::collections::VecDeque;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::outcomes::OutcomeHistory;

/// First-token latencies kept per route (HolySheep tutorial 004).
const LATENCY_SAMPLES: usize = 100;

/// The weights of health and latency in a score (HolySheep tutorial 004).
const HEALTH_WEIGHT: f64 = 0.7;
const LATENCY_WEIGHT: f64 = 0.3;

/// An idle route regains half of what its score lacks in this time. Otherwise a route with a bad score
/// would never get the calls that could improve it.
const RECOVERY_HALF_LIFE: Duration = Duration::from_secs(10);

/// How the endpoints of one model are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// As configured. A later endpoint is used only while those before it are down.
    #[default]
    Ordered,
    /// At random, in proportion to the weights.
    Weighted,
    /// The best [`score`] first. Among equal scores the route that was idle longest goes first, so that
    /// every route is measured.
    Score,
    /// The fewest attempts in flight first. Among equals the greater weight goes first.
    LeastBusy,
}

/// The recent performance of a route: its last 10 outcomes and its last 100 first-token latencies.
#[derive(Clone, Debug, Default)]
pub struct RouteStats {
    outcomes: OutcomeHistory,
    latencies_ms: VecDeque<u64>,
    /// Milliseconds since the epoch.
    last_used: u64,
}

impl RouteStats {
    /// Records the outcome of an attempt or of a health probe.
    pub fn record_outcome(&mut self, success: bool, now: u64) {
        self.outcomes.push(success);
        self.last_used = now;
    }

    /// Records the time to the first token, in milliseconds.
    pub fn record_first_token(&mut self, ms: u64) {
        if self.latencies_ms.len() == LATENCY_SAMPLES {
            self.latencies_ms.pop_front();
        }
        self.latencies_ms.push_back(ms);
    }

    /// The share of successes among the last 10 outcomes, 0 to 100; 100 without any outcome.
    pub fn health(&self) -> f64 {
        self.outcomes.score()
    }

    /// The median of the recorded latencies in milliseconds. A single slow answer hardly changes it.
    pub fn latency_ms(&self) -> Option<u64> {
        median(self.latencies_ms.iter().copied())
    }

    /// The inputs of a score.
    pub fn snapshot(&self, now: u64) -> RouteSnapshot {
        let idle = Duration::from_millis(now.saturating_sub(self.last_used));
        RouteSnapshot { health: self.health(), latency_ms: self.latency_ms(), idle }
    }
}

/// The performance of a route at one moment: the inputs of a score.
#[derive(Clone, Copy, Debug)]
pub struct RouteSnapshot {
    /// 0 to 100.
    pub health: f64,
    pub latency_ms: Option<u64>,
    /// The time since the last recorded outcome.
    pub idle: Duration,
}

impl Default for RouteSnapshot {
    /// A route that was never used.
    fn default() -> Self {
        RouteSnapshot { health: 100.0, latency_ms: None, idle: Duration::ZERO }
    }
}

/// The current state of one endpoint of a model.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub weight: f64,
    /// Attempts in flight.
    pub in_flight: usize,
    /// Used by [`Strategy::Score`] only.
    pub snapshot: RouteSnapshot,
    /// Its breaker is not closed and would admit a probe.
    pub probe_due: bool,
    /// Its rate limiter would admit a call now.
    pub has_capacity: bool,
}

/// The order in which to try the candidates, as indexes. With any strategy, candidates without rate limit
/// capacity come last.
pub fn order(strategy: Strategy, candidates: &[Candidate], rng: &mut dyn Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    match strategy {
        Strategy::Ordered => {}
        Strategy::Weighted => {
            // Exponential clocks: the probability that the clock with rate w rings first is in proportion
            // to w, and likewise among the rest (Efraimidis and Spirakis, 2006).
            let ring_times: Vec<f64> = candidates
                .iter()
                .map(|candidate| -(1.0 - rng.random::<f64>()).ln() / candidate.weight.max(f64::MIN_POSITIVE))
                .collect();
            order.sort_by_key(|index| TotalOrder(ring_times[*index]));
        }
        Strategy::Score => {
            let snapshots: Vec<RouteSnapshot> =
                candidates.iter().map(|candidate| candidate.snapshot).collect();
            let scores: Vec<f64> = scores(&snapshots)
                .into_iter()
                .zip(&snapshots)
                .map(|(score, snapshot)| {
                    let half_lives = snapshot.idle.as_secs_f64() / RECOVERY_HALF_LIFE.as_secs_f64();
                    let deficit = 100.0 - score;
                    100.0 - deficit * 0.5_f64.powf(half_lives)
                })
                .collect();
            // Its score alone would never get a route the probe that it is due for. The breaker admits
            // only that one call.
            order.sort_by_key(|index| {
                let Candidate { probe_due, snapshot, .. } = &candidates[*index];
                (!probe_due, Reverse(TotalOrder(scores[*index])), Reverse(snapshot.idle))
            });
        }
        Strategy::LeastBusy => order.sort_by_key(|index| {
            let Candidate { in_flight, weight, .. } = &candidates[*index];
            (*in_flight, Reverse(TotalOrder(*weight)))
        }),
    }
    order.sort_by_key(|index| !candidates[*index].has_capacity);
    order
}

/// The [`score`] of each of these routes, in their order.
pub fn scores(routes: &[RouteSnapshot]) -> Vec<f64> {
    let fastest = routes.iter().filter_map(|route| route.latency_ms).min();
    routes.iter().map(|route| score(route.health, route.latency_ms, fastest)).collect()
}

/// 0.7 × health + 0.3 × latency score, both 0 to 100 (HolySheep tutorial 004). The latency score is 100 for the
/// fastest route and falls with the ratio to it: a route that is twice as slow scores 50. (The tutorial's
/// `100 − ms` is 0 for every model call.) An unknown latency counts as the fastest.
pub fn score(health: f64, latency_ms: Option<u64>, fastest_ms: Option<u64>) -> f64 {
    let latency_score = match (latency_ms, fastest_ms) {
        (Some(latency), Some(fastest)) if latency > fastest => 100.0 * fastest as f64 / latency as f64,
        _ => 100.0,
    };
    HEALTH_WEIGHT * health.clamp(0.0, 100.0) + LATENCY_WEIGHT * latency_score
}

/// The lower of the two middle values if their number is even.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

/// A float as a sort key.
#[derive(Clone, Copy, PartialEq)]
struct TotalOrder(f64);

impl Eq for TotalOrder {}

impl PartialOrd for TotalOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TotalOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const T: u64 = 1_700_000_000_000;

    fn candidate() -> Candidate {
        Candidate {
            weight: 1.0,
            in_flight: 0,
            snapshot: RouteSnapshot::default(),
            probe_due: false,
            has_capacity: true,
        }
    }

    /// A route that was used just now, with this many successes in 10 attempts.
    fn used(successes: usize, latency_ms: u64) -> Candidate {
        let mut stats = RouteStats::default();
        (0..10).for_each(|index| stats.record_outcome(index < successes, T));
        stats.record_first_token(latency_ms);
        Candidate { snapshot: stats.snapshot(T), ..candidate() }
    }

    fn order_of(strategy: Strategy, candidates: &[Candidate]) -> Vec<usize> {
        order(strategy, candidates, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn ordered_keeps_the_configured_order() {
        let candidates = [used(0, 900), candidate(), used(10, 1)];
        assert_eq!(order_of(Strategy::Ordered, &candidates), [0, 1, 2]);
    }

    #[test]
    fn the_score_is_seven_tenths_health_and_three_tenths_latency() {
        assert_eq!(score(100.0, Some(400), Some(400)), 100.0);
        assert_eq!(score(100.0, Some(800), Some(400)), 85.0);
        assert_eq!(score(50.0, Some(1_600), Some(400)), 42.5);
        assert_eq!(score(0.0, Some(400), Some(400)), 30.0);
        assert_eq!(score(100.0, None, Some(400)), 100.0, "an unknown latency");
        assert_eq!(score(100.0, Some(0), Some(0)), 100.0);
    }

    #[test]
    fn the_best_score_goes_first() {
        let candidates = [used(10, 1_000), used(8, 100), used(10, 110)];
        assert_eq!(order_of(Strategy::Score, &candidates), [2, 1, 0]);
        assert_eq!(
            order_of(Strategy::Score, &[candidate(), candidate()]),
            [0, 1],
            "equal scores keep the configured order"
        );
        let unmeasured = RouteSnapshot { idle: Duration::from_secs(60), ..RouteSnapshot::default() };
        let candidates = [used(10, 400), Candidate { snapshot: unmeasured, ..candidate() }];
        assert_eq!(
            order_of(Strategy::Score, &candidates),
            [1, 0],
            "an unmeasured route before one with the same score"
        );
    }

    #[test]
    fn a_route_that_is_due_for_a_probe_goes_first_with_any_score() {
        let due = Candidate { probe_due: true, ..used(0, 900) };
        assert_eq!(order_of(Strategy::Score, &[used(10, 100), due]), [1, 0]);
    }

    #[test]
    fn an_idle_route_regains_its_score() {
        let candidates = [used(10, 200), used(5, 100)];
        let mut rng = StdRng::seed_from_u64(1);
        let mut first_after = |ms: u64| {
            let mut candidates = candidates.clone();
            candidates[1].snapshot.idle = Duration::from_millis(ms);
            order(Strategy::Score, &candidates, &mut rng)[0]
        };
        assert_eq!((first_after(0), first_after(10_000), first_after(20_000)), (0, 0, 1));
    }

    #[test]
    fn the_latency_is_the_median_of_the_last_hundred() {
        let mut stats = RouteStats::default();
        assert_eq!(stats.latency_ms(), None);
        (0..100).for_each(|_| stats.record_first_token(9_000));
        (0..51).for_each(|_| stats.record_first_token(10));
        assert_eq!((stats.latency_ms(), stats.latencies_ms.len()), (Some(10), 100));
    }

    #[test]
    fn the_least_busy_goes_first_and_among_equals_the_greater_weight() {
        let busy = |in_flight, weight| Candidate { in_flight, weight, ..candidate() };
        let candidates = [busy(2, 9.0), busy(1, 1.0), busy(1, 2.0), busy(0, 0.1)];
        assert_eq!(order_of(Strategy::LeastBusy, &candidates), [3, 2, 1, 0]);
        assert_eq!(order_of(Strategy::LeastBusy, &[candidate(), candidate()]), [0, 1]);
    }

    #[test]
    fn a_route_without_rate_limit_capacity_comes_last() {
        let full = Candidate { has_capacity: false, ..candidate() };
        let candidates = [full.clone(), candidate(), full, candidate()];
        for strategy in [Strategy::Ordered, Strategy::Score, Strategy::LeastBusy] {
            assert_eq!(order_of(strategy, &candidates), [1, 3, 0, 2]);
        }
    }

    #[test]
    fn weights_are_the_odds_of_being_first_and_second() {
        let candidates = [6.0, 3.0, 1.0].map(|weight| Candidate { weight, ..candidate() });
        let mut rng = StdRng::seed_from_u64(7);
        let mut counts = [[0_u32; 3]; 3];
        let draws = 20_000;
        for _ in 0..draws {
            for (position, index) in order(Strategy::Weighted, &candidates, &mut rng).into_iter().enumerate()
            {
                counts[position][index] += 1;
            }
        }
        let share = |position: usize, index: usize| f64::from(counts[position][index]) / f64::from(draws);
        for (index, expected) in [0.6, 0.3, 0.1].into_iter().enumerate() {
            assert!((share(0, index) - expected).abs() < 0.02, "{counts:?}");
        }
        // Route 1 is second after route 0 with a share of 3 of 4, and after route 2 with 3 of 9.
        assert!((share(1, 1) - (0.6 * 0.75 + 0.1 * 3.0 / 9.0)).abs() < 0.02, "{counts:?}");
    }

    proptest! {
        #[test]
        fn every_route_appears_once(
            routes in prop::collection::vec((0.001..1e6_f64, 0..5_usize, any::<bool>(), any::<bool>()), 0..12),
            seed in any::<u64>(),
        ) {
            let candidates: Vec<Candidate> = routes
                .into_iter()
                .map(|(weight, in_flight, probe_due, has_capacity)| Candidate {
                    weight,
                    in_flight,
                    probe_due,
                    has_capacity,
                    ..candidate()
                })
                .collect();
            for strategy in [Strategy::Ordered, Strategy::Weighted, Strategy::Score, Strategy::LeastBusy] {
                let mut order = order(strategy, &candidates, &mut StdRng::seed_from_u64(seed));
                order.sort_unstable();
                prop_assert!(order.into_iter().eq(0..candidates.len()));
            }
        }
    }
}
