//! In which order the endpoints of one model are tried. Looking spends nothing: neither a place in a
//! breaker nor tokens of a limiter.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::outcomes::History;

/// How many first-token latencies of a route are remembered (document 004).
const LATENCIES: usize = 100;

/// The shares of health and latency in a score (document 004).
const HEALTH_SHARE: f64 = 0.7;
const LATENCY_SHARE: f64 = 0.3;

/// In this time a route that is not used is forgiven half of what its score lacks. Without it a
/// route that once did badly would never get the calls by which it could do better.
const FORGIVEN_HALF: Duration = Duration::from_secs(10);

/// How the endpoints of one model are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// As they are given. A later one is used only while those before it are down.
    #[default]
    Ordered,
    /// At random, each in proportion to its weight.
    Weighted,
    /// The best score first: [`score`]. Among equals the one that was not used for longest, so that
    /// each becomes known.
    Score,
    /// The one with the fewest attempts under way; among equals the one with the greater weight.
    LeastBusy,
}

/// What a route has shown: its last 10 outcomes and its last 100 first-token latencies.
#[derive(Clone, Debug, Default)]
pub struct Record {
    outcomes: History,
    latencies_ms: VecDeque<u64>,
    /// Milliseconds since the epoch.
    last_used: u64,
}

impl Record {
    /// An attempt, or a probe, has ended.
    pub fn ended(&mut self, success: bool, now: u64) {
        self.outcomes.push(success);
        self.last_used = now;
    }

    /// A first token has come after this time.
    pub fn first_token(&mut self, ms: u64) {
        if self.latencies_ms.len() == LATENCIES {
            self.latencies_ms.pop_front();
        }
        self.latencies_ms.push_back(ms);
    }

    /// Share of successes among the last 10 outcomes, 0 to 100; 100 when there was none.
    pub fn health(&self) -> f64 {
        self.outcomes.score()
    }

    /// The median of the remembered latencies, in milliseconds: one slow answer says little.
    pub fn latency_ms(&self) -> Option<u64> {
        median(self.latencies_ms.iter().copied())
    }

    /// What a score is made of.
    pub fn shown(&self, now: u64) -> Shown {
        let idle = Duration::from_millis(now.saturating_sub(self.last_used));
        Shown { health: self.health(), latency_ms: self.latency_ms(), idle }
    }
}

/// What a route has shown, in short.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// 0 to 100.
    pub health: f64,
    pub latency_ms: Option<u64>,
    /// How long ago it last showed something.
    pub idle: Duration,
}

impl Default for Shown {
    /// Nothing yet.
    fn default() -> Self {
        Shown { health: 100.0, latency_ms: None, idle: Duration::ZERO }
    }
}

/// The lower one of the two in the middle where their number is even.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

/// 0.7 × health + 0.3 × latency score, both 0 to 100 (document 004). The latency score is 100 for the
/// fastest route and falls with the ratio to it: twice as slow has 50. (The document's `100 − ms` is 0
/// for every model call.) A latency that is not known yet counts as the fastest.
pub fn score(health: f64, latency_ms: Option<u64>, fastest_ms: Option<u64>) -> f64 {
    let latency_score = match (latency_ms, fastest_ms) {
        (Some(own), Some(fastest)) if own > fastest => 100.0 * fastest as f64 / own as f64,
        _ => 100.0,
    };
    HEALTH_SHARE * health.clamp(0.0, 100.0) + LATENCY_SHARE * latency_score
}

/// The [`score`] of each of these routes, in their order.
pub fn scores(routes: &[Shown]) -> Vec<f64> {
    let fastest = routes.iter().filter_map(|shown| shown.latency_ms).min();
    routes.iter().map(|shown| score(shown.health, shown.latency_ms, fastest)).collect()
}

/// One endpoint of a model, as it stands now.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub weight: f64,
    /// Attempts under way.
    pub in_flight: usize,
    /// Looked at by [`Strategy::Score`] alone.
    pub shown: Shown,
    /// Its breaker is no longer closed, and would let a call through: the one that finds out.
    pub due: bool,
    /// Its limiter would let a call pass at once.
    pub free: bool,
}

/// The order in which the candidates are tried, as indexes. Those whose limiter has no room now come
/// after those whose has, whatever the strategy.
pub fn order(strategy: Strategy, candidates: &[Candidate], rng: &mut dyn Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let by_weight = |index: &usize| Reverse(Ordered(candidates[*index].weight));
    match strategy {
        Strategy::Ordered => {}
        Strategy::Weighted => {
            // Exponential clocks: the one with rate w rings first with a chance in proportion to w, and
            // so on among the rest (Efraimidis and Spirakis, 2006).
            let rings: Vec<f64> = candidates
                .iter()
                .map(|candidate| -(1.0 - rng.random::<f64>()).ln() / candidate.weight.max(f64::MIN_POSITIVE))
                .collect();
            order.sort_by_key(|index| Ordered(rings[*index]));
        }
        Strategy::Score => {
            let shown: Vec<Shown> = candidates.iter().map(|candidate| candidate.shown).collect();
            let scores: Vec<f64> = scores(&shown)
                .into_iter()
                .zip(&shown)
                .map(|(score, shown)| {
                    let lacks = 100.0 - score;
                    let halves = shown.idle.as_secs_f64() / FORGIVEN_HALF.as_secs_f64();
                    100.0 - lacks * 0.5_f64.powf(halves)
                })
                .collect();
            // A route that is due for its probe would not be chosen for its score; the breaker lets
            // only the one call through.
            order.sort_by_key(|index| {
                let Candidate { due, shown, .. } = &candidates[*index];
                (!due, Reverse(Ordered(scores[*index])), Reverse(shown.idle))
            });
        }
        Strategy::LeastBusy => {
            order.sort_by_key(|index| (candidates[*index].in_flight, by_weight(index)));
        }
    }
    order.sort_by_key(|index| !candidates[*index].free);
    order
}

/// A number as a key to sort by.
#[derive(Clone, Copy, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
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
        Candidate { weight: 1.0, in_flight: 0, shown: Shown::default(), due: false, free: true }
    }

    /// A route that was used just now: its share of successes in tenths, and its latency.
    fn used(successes: usize, latency_ms: u64) -> Candidate {
        let mut record = Record::default();
        (0..10).for_each(|index| record.ended(index < successes, T));
        record.first_token(latency_ms);
        Candidate { shown: record.shown(T), ..candidate() }
    }

    fn order_of(strategy: Strategy, candidates: &[Candidate]) -> Vec<usize> {
        order(strategy, candidates, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn ordered_keeps_the_order_whatever_the_routes_have_shown() {
        let candidates = [used(0, 900), candidate(), used(10, 1)];
        assert_eq!(order_of(Strategy::Ordered, &candidates), [0, 1, 2]);
    }

    #[test]
    fn the_score_is_seven_tenths_health_and_three_tenths_latency() {
        assert_eq!(score(100.0, Some(400), Some(400)), 100.0);
        assert_eq!(score(100.0, Some(800), Some(400)), 85.0);
        assert_eq!(score(50.0, Some(1_600), Some(400)), 42.5);
        assert_eq!(score(0.0, Some(400), Some(400)), 30.0);
        assert_eq!(score(100.0, None, Some(400)), 100.0, "not known yet");
        assert_eq!(score(100.0, Some(0), Some(0)), 100.0);
    }

    #[test]
    fn the_best_score_goes_first() {
        let candidates = [used(10, 1_000), used(8, 100), used(10, 110)];
        assert_eq!(order_of(Strategy::Score, &candidates), [2, 1, 0]);
        assert_eq!(order_of(Strategy::Score, &[candidate(), candidate()]), [0, 1], "equals as given");
        let unknown = Shown { idle: Duration::from_secs(60), ..Shown::default() };
        let candidates = [used(10, 400), Candidate { shown: unknown, ..candidate() }];
        assert_eq!(
            order_of(Strategy::Score, &candidates),
            [1, 0],
            "one that is not known yet before an equal"
        );
    }

    #[test]
    fn a_route_whose_breaker_is_due_for_a_probe_goes_first_whatever_its_score() {
        let due = Candidate { due: true, ..used(0, 900) };
        assert_eq!(order_of(Strategy::Score, &[used(10, 100), due]), [1, 0]);
    }

    #[test]
    fn a_route_that_did_badly_is_tried_again_after_a_while_without_calls() {
        let candidates = [used(10, 200), used(5, 100)];
        let mut rng = StdRng::seed_from_u64(1);
        let mut first_after = |ms: u64| {
            let mut candidates = candidates.clone();
            candidates[1].shown.idle = Duration::from_millis(ms);
            order(Strategy::Score, &candidates, &mut rng)[0]
        };
        assert_eq!((first_after(0), first_after(10_000), first_after(20_000)), (0, 0, 1));
    }

    #[test]
    fn the_latency_is_the_median_of_the_last_hundred() {
        let mut record = Record::default();
        assert_eq!(record.latency_ms(), None);
        (0..100).for_each(|_| record.first_token(9_000));
        (0..51).for_each(|_| record.first_token(10));
        assert_eq!((record.latency_ms(), record.latencies_ms.len()), (Some(10), 100));
    }

    #[test]
    fn the_least_busy_goes_first_and_among_equals_the_one_with_the_greater_weight() {
        let busy = |in_flight, weight| Candidate { in_flight, weight, ..candidate() };
        let candidates = [busy(2, 9.0), busy(1, 1.0), busy(1, 2.0), busy(0, 0.1)];
        assert_eq!(order_of(Strategy::LeastBusy, &candidates), [3, 2, 1, 0]);
        assert_eq!(order_of(Strategy::LeastBusy, &[candidate(), candidate()]), [0, 1]);
    }

    #[test]
    fn a_route_whose_limiter_has_no_room_comes_after_those_that_have() {
        let full = Candidate { free: false, ..candidate() };
        let candidates = [full.clone(), candidate(), full, candidate()];
        for strategy in [Strategy::Ordered, Strategy::Score, Strategy::LeastBusy] {
            assert_eq!(order_of(strategy, &candidates), [1, 3, 0, 2]);
        }
    }

    #[test]
    fn weights_are_the_odds_of_going_first_and_second() {
        let candidates = [6.0, 3.0, 1.0].map(|weight| Candidate { weight, ..candidate() });
        let mut rng = StdRng::seed_from_u64(7);
        let mut counts = [[0_u32; 3]; 3];
        let draws = 20_000;
        for _ in 0..draws {
            for (place, index) in order(Strategy::Weighted, &candidates, &mut rng).into_iter().enumerate() {
                counts[place][index] += 1;
            }
        }
        let share = |place: usize, index: usize| f64::from(counts[place][index]) / f64::from(draws);
        for (index, expected) in [0.6, 0.3, 0.1].into_iter().enumerate() {
            assert!((share(0, index) - expected).abs() < 0.02, "{counts:?}");
        }
        // Second is 1 when 0 was first (3 of the 4 that are left), or when 2 was (3 of 9).
        assert!((share(1, 1) - (0.6 * 0.75 + 0.1 * 3.0 / 9.0)).abs() < 0.02, "{counts:?}");
    }

    proptest! {
        #[test]
        fn every_route_is_in_the_order_once(
            given in prop::collection::vec((0.001..1e6_f64, 0..5_usize, any::<bool>(), any::<bool>()), 0..12),
            seed in any::<u64>(),
        ) {
            let candidates: Vec<Candidate> = given
                .into_iter()
                .map(|(weight, in_flight, due, free)| Candidate { weight, in_flight, due, free, ..candidate() })
                .collect();
            for strategy in [Strategy::Ordered, Strategy::Weighted, Strategy::Score, Strategy::LeastBusy] {
                let mut order = order(strategy, &candidates, &mut StdRng::seed_from_u64(seed));
                order.sort_unstable();
                prop_assert!(order.into_iter().eq(0..candidates.len()));
            }
        }
    }
}
