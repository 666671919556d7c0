//! Concurrent calls under a cost cap.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::cost::{capped, spent_and_reserved, with_max_tokens, with_usage};
use super::harness::{Harness, TestCall};
use super::scripted_provider::{connection_refused, stream, unavailable};
use crate::policy::ledger::{Ledger, Limits, Window};
use crate::store::SharedState;

/// Runs random calls concurrently. At no moment has the window spent and reserved more than its cap, and in
/// the end nothing is reserved.
#[tokio::test(start_paused = true)]
async fn concurrent_calls_never_exceed_the_cap() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let cap = rng.random_range(50..2_000) as f64;
        let mut options = capped(cap);
        options["maxRetries"] = json!(2);
        options["recovery"] = json!({ "mode": "continue" });
        options["retry"] = json!({ "baseDelayMs": 5 });
        let replies = (0..400).map(|_| {
            let deltas = rng.random_range(0..30);
            let body = (0..deltas).fold(stream(), |reply, _| {
                let reply = if rng.random_bool(0.3) { reply.wait(rng.random_range(1..20)) } else { reply };
                reply.delta(&"word ".repeat(rng.random_range(1..3)))
            });
            match rng.random_range(0..6) {
                0 => unavailable(),
                1 => connection_refused(),
                2 => body.reset(),
                // Within the `max_tokens` below.
                3 => with_usage(body, rng.random_range(1..9), rng.random_range(0..20)),
                4 => body.wait(1_000),
                _ => body.finish().done(),
            }
        });
        let harness = Arc::new(Harness::new(options, replies.collect()));
        let calls = (0..60).map(|_| {
            let cancel = CancellationToken::new();
            let abort_after = rng.random_bool(0.3).then(|| rng.random_range(0..100));
            let call = if rng.random_bool(0.5) {
                with_max_tokens(rng.random_range(20..60))
            } else {
                TestCall::default()
            };
            let call = TestCall { delay_ms: rng.random_range(0..200), cancel: cancel.clone(), ..call };
            let harness = &harness;
            async move {
                let abort = async {
                    match abort_after {
                        Some(ms) => {
                            sleep(Duration::from_millis(ms)).await;
                            cancel.cancel();
                        }
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = harness.run(call) => {}
                    () = abort => {}
                }
            }
        });
        let calls = futures::future::join_all(calls);
        let watch = async {
            loop {
                let (spent, reserved) = spent_and_reserved(&harness);
                assert!(spent + reserved <= cap + 1e-3, "{seed}: {spent} + {reserved} of {cap}");
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = calls => {}
            () = watch => {}
        }
        let (spent, reserved) = spent_and_reserved(&harness);
        assert!(
            spent > 0.0 && spent <= cap + 1e-3 && reserved == 0.0,
            "{seed}: {spent}, {reserved} of {cap}"
        );
    }
}

/// The same invariant for the ledger alone, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn concurrent_reservations_from_many_threads_never_exceed_the_cap() {
    let limits = Limits { window: Window::Total, hard_cap: Some(1_000), tenant_cap: None, soft_limit: None };
    let ledger: SharedState<Ledger> = SharedState::default();
    let tasks = (0..64).map(|seed| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            for _ in 0..200 {
                let amount = rng.random_range(1..100);
                let reservation =
                    ledger.update(|ledger| ledger.reserve(&limits, None, "m", (amount, amount), 0));
                tokio::task::yield_now().await;
                let Ok(reservation) = reservation else { continue };
                let cost = if rng.random_bool(0.02) { amount } else { 0 };
                ledger.update(|ledger| {
                    let total = ledger.period(Window::Total, 0).total;
                    assert!(total.spent + total.reserved <= 1_000);
                    ledger.settle(reservation, cost);
                });
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
    ledger.update(|ledger| assert_eq!(ledger.period(Window::Total, 0).total.reserved, 0));
}
