//! When JavaScript is woken, when it polls, and how large a batch grows.

use super::*;
use crate::binding::batch::RecordKind;

const DELTA: RecordKind = RecordKind::Delta;

struct Scene {
    queue: Queue,
    now: Instant,
    counted_in: Vec<u64>,
}

impl Scene {
    #[allow(clippy::disallowed_methods)] // An arbitrary start for simulated time.
    fn new() -> Self {
        let now = Instant::now();
        Scene { queue: Queue::new(now, true), now: now + 10 * WINDOW, counted_in: vec![0; 100] }
    }

    fn push(&mut self, call: usize, kind: RecordKind) -> bool {
        let mut batch = Batch::default();
        batch.push(call as u32, kind, "x");
        let is_last = matches!(kind, RecordKind::End);
        self.queue.push(&mut batch, &mut self.counted_in[call], is_last, || self.now).1
    }

    fn take(&mut self) -> (usize, NextTake) {
        let (batch, next, _) = self.queue.take(Batch::default(), || self.now);
        (batch.record_count(), next)
    }

    /// Whether a record wakes JavaScript, and so will the next one after it is taken.
    fn wakes(&mut self, call: usize, kind: RecordKind) -> bool {
        let wakes = self.push(call, kind);
        wakes && self.take().1 == NextTake::OnWake
    }
}

#[test]
fn only_the_first_record_of_a_batch_wakes() {
    let mut scene = Scene::new();
    assert!(scene.push(1, DELTA));
    assert!(!scene.push(2, DELTA));
    assert!(!scene.push(1, DELTA));
    assert_eq!(scene.take(), (3, NextTake::OnWake));
    assert!(scene.push(1, DELTA));
}

#[test]
fn calls_in_sequence_wake_for_every_record() {
    let mut scene = Scene::new();
    for call in 0..50 {
        assert!(scene.wakes(call, DELTA));
        scene.now += WINDOW / 20;
        assert!(scene.wakes(call, RecordKind::End));
    }
}

#[test]
fn javascript_polls_while_many_calls_stream() {
    let mut scene = Scene::new();
    let interval = Duration::from_millis(POLL_INTERVAL_MS.into());
    let (mut wakes, mut taken, mut due) = (0, 0, None);
    // Fifty deltas a millisecond, from a hundred calls, for fifty intervals.
    for step in 0..5000 {
        if scene.push(step % 100, DELTA) {
            wakes += 1;
            due = Some(scene.now);
        }
        if due.is_some_and(|due| scene.now >= due) {
            let (records, next) = scene.take();
            taken += records;
            due = (next == NextTake::OnTimer).then(|| scene.now + interval);
        }
        scene.now += WINDOW / 50;
    }
    assert!(wakes < 5, "woken {wakes} times");
    assert!(taken > 4800, "{taken} records");
    // Once idle, it polls once or twice more, and then waits to be woken.
    let mut idle_polls = 0;
    while scene.take().1 == NextTake::OnTimer {
        scene.now += interval;
        idle_polls += 1;
    }
    assert!(idle_polls <= 2, "{idle_polls} polls without records");
    scene.now += interval;
    assert!(scene.wakes(1, DELTA));
    assert!(scene.wakes(1, DELTA));
}

#[test]
fn an_early_poll_does_not_lower_the_load() {
    let mut scene = Scene::new();
    for call in 0..100 {
        scene.push(call, DELTA);
    }
    scene.take();
    assert!(scene.push(0, DELTA));
    assert_eq!(scene.take(), (1, NextTake::OnTimer));
    // A tenth of a window without records says nothing about the load.
    scene.now += WINDOW / 10;
    assert_eq!(scene.take(), (0, NextTake::OnTimer));
    assert!(!scene.push(0, DELTA));
}

#[test]
fn a_full_batch_is_followed_by_another() {
    let mut scene = Scene::new();
    for _ in 0..MAX_RECORDS + 1 {
        scene.push(1, DELTA);
    }
    assert_eq!(scene.take(), (MAX_RECORDS, NextTake::Immediate));
    // JavaScript polls again, so nothing wakes it in between.
    assert!(!scene.push(1, DELTA));
    assert_eq!(scene.take(), (2, NextTake::OnWake));
}
