//! When JavaScript is woken, when it polls, and how large a batch grows.

use super::*;
use crate::binding::batch::RecordKind;

const DELTA: RecordKind = RecordKind::Delta;

struct Scene {
    queue: Queue,
    now: Instant,
    counted_in: Vec<u64>,
    /// The last batch with a record of each call.
    last_batch: Vec<u64>,
}

impl Scene {
    #[allow(clippy::disallowed_methods)] // An arbitrary start for simulated time.
    fn new() -> Self {
        let now = Instant::now();
        Scene {
            queue: Queue::new(now, true),
            now: now + 10 * WINDOW,
            counted_in: vec![0; 100],
            last_batch: vec![0; 100],
        }
    }

    fn push(&mut self, call: usize, kind: RecordKind) -> bool {
        let mut batch = Batch::default();
        batch.push(call as u32, kind, "x");
        if matches!(kind, RecordKind::End) {
            return self
                .queue
                .push_ending(&mut batch, self.last_batch[call], self.counted_in[call], || self.now);
        }
        let (number, wake) = self.queue.push(&mut batch, &mut self.counted_in[call], || self.now);
        self.last_batch[call] = number;
        wake
    }

    fn take(&mut self) -> (usize, NextTake) {
        let taken = self.queue.take(Batch::default(), || self.now);
        (taken.batch.record_count(), taken.next)
    }

    /// The calls of the records in the next batch.
    fn take_calls(&mut self) -> Vec<u32> {
        let taken = self.queue.take(Batch::default(), || self.now);
        taken.batch.words.chunks(WORDS).map(|record| record[0]).collect()
    }

    /// Fills a batch with records of one call.
    fn fill_batch(&mut self, call: usize) {
        for _ in 0..MAX_RECORDS {
            self.push(call, DELTA);
        }
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

#[test]
fn the_deltas_of_living_calls_go_before_the_endings_of_others() {
    let mut scene = Scene::new();
    for call in 10..10 + 2 * MAX_ENDINGS {
        scene.push(call, RecordKind::End);
    }
    scene.push(1, DELTA);
    assert_eq!(scene.take_calls(), [1]);
    // Between two batches of endings, too.
    assert_eq!(scene.take_calls().len(), MAX_ENDINGS);
    scene.push(1, DELTA);
    assert_eq!(scene.take_calls(), [1]);
    assert_eq!(scene.take(), (MAX_ENDINGS, NextTake::OnWake));
}

#[test]
fn an_ending_comes_after_the_deltas_of_its_own_call() {
    let mut scene = Scene::new();
    scene.fill_batch(1);
    scene.push(2, DELTA);
    scene.push(2, RecordKind::End);
    scene.now += 2 * MAX_ENDING_WAIT;
    // Overdue, and still behind the batch that has a record of its call.
    assert_eq!(scene.take_calls()[0], 1);
    assert_eq!(scene.take_calls(), [2]);
    assert_eq!(scene.take_calls(), [2]);
}

#[test]
fn an_ending_waits_for_a_bounded_time_while_others_stream_without_a_pause() {
    let mut scene = Scene::new();
    scene.push(9, RecordKind::End);
    scene.fill_batch(1);
    scene.fill_batch(1);
    scene.fill_batch(1);
    assert_eq!(scene.take_calls()[0], 1);
    scene.now += MAX_ENDING_WAIT;
    for call in 10..10 + MAX_ENDINGS {
        scene.push(call, RecordKind::End);
    }
    assert_eq!(scene.take_calls()[0], 9);
    // Endings that are overdue take turns with deltas.
    assert_eq!(scene.take_calls()[0], 1);
    scene.now += MAX_ENDING_WAIT;
    assert!(scene.take_calls()[0] >= 9);
    assert_eq!(scene.take_calls()[0], 1);
}

#[test]
fn the_id_of_a_detached_call_is_free_once_no_unread_batch_has_a_record_of_it() {
    let mut scene = Scene::new();
    let free = |scene: &mut Scene, id: u32, last_batch| scene.queue.end_detached(id, last_batch, 0);
    assert!(free(&mut scene, 1, 0), "it has no records");
    scene.push(2, DELTA);
    assert!(!free(&mut scene, 2, 1), "its record waits");
    let taken = scene.queue.take(Batch::default(), || scene.now);
    assert_eq!((taken.batch.record_count(), taken.free_ids), (1, vec![]), "JavaScript reads its record");
    assert!(!free(&mut scene, 3, 1));
    let taken = scene.queue.take(Batch::default(), || scene.now);
    assert_eq!(taken.free_ids, [2, 3]);
    assert!(free(&mut scene, 4, 1), "its records have been read");
}
