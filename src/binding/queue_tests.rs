//! When JavaScript is woken, and what a batch holds.

use super::*;

const PIECE: Record = Record::Piece;

struct Scene {
    queue: Queue,
    now: Instant,
    counted: Vec<u64>,
}

#[allow(clippy::disallowed_methods)] // A beginning, from which the tests count on.
fn scene() -> Scene {
    let now = Instant::now();
    Scene { queue: Queue::new(now), now: now + 10 * GAP, counted: vec![0; 100] }
}

impl Scene {
    fn push(&mut self, call: usize, record: Record) -> Wake {
        let mut batch = Batch::default();
        batch.push(call as u32, record, "x");
        let ends = matches!(record, Record::End);
        self.queue.push(&mut batch, &mut self.counted[call], ends, || self.now).1
    }

    fn take(&mut self) -> usize {
        self.queue.take(Batch::default()).0.words.len() / WORDS
    }

    /// What is pushed, and then taken at once.
    fn wake(&mut self, call: usize, record: Record) -> Wake {
        let wake = self.push(call, record);
        self.take();
        wake
    }
}

#[test]
fn the_first_record_wakes_at_once_and_no_other_does_until_it_is_taken() {
    let mut scene = scene();
    assert_eq!(scene.push(1, PIECE), Wake::Now);
    assert_eq!(scene.push(2, PIECE), Wake::No);
    assert_eq!(scene.push(1, PIECE), Wake::No);
    assert_eq!(scene.take(), 3);
}

#[test]
fn a_lone_caller_never_waits() {
    let mut scene = scene();
    for call in 0..50 {
        assert_eq!(scene.wake(call, PIECE), Wake::Now);
        scene.now += GAP / 20;
        assert_eq!(scene.wake(call, Record::End), Wake::Now);
    }
}

#[test]
fn while_many_calls_stream_it_is_woken_once_in_a_gap() {
    let mut scene = scene();
    let mut woken = 0;
    let gaps = 50;
    for step in 0..gaps * 50 {
        match scene.push(step % 100, PIECE) {
            Wake::Now => {
                woken += 1;
                scene.take();
            }
            Wake::Later | Wake::No => {}
        }
        scene.now += GAP / 50;
        // As the pacer does.
        if scene.queue.armed && scene.now >= scene.queue.due() {
            scene.queue.wakes(scene.now);
            woken += 1;
            scene.take();
        }
    }
    assert!((gaps - 2..gaps + 5).contains(&woken), "{woken} times in {gaps} gaps");
    // And at once again when it is calm.
    scene.take();
    scene.now += 100 * GAP;
    assert_eq!(scene.wake(1, PIECE), Wake::Now);
    assert_eq!(scene.wake(1, PIECE), Wake::Now);
}

#[test]
fn a_batch_is_bounded_and_the_rest_is_more() {
    let mut scene = scene();
    for _ in 0..MAX_RECORDS + 1 {
        scene.push(1, PIECE);
    }
    let (batch, more, taken) = scene.queue.take(Batch::default());
    assert_eq!((batch.words.len() / WORDS, more, taken), (MAX_RECORDS, true, 1));
    // It comes by itself: nothing wakes it meanwhile.
    assert_eq!(scene.push(1, PIECE), Wake::No);
    let (batch, more, taken) = scene.queue.take(batch);
    assert_eq!((batch.words.len() / WORDS, more, taken), (2, false, 2));
}

#[test]
fn long_text_goes_as_a_string_of_its_own_and_short_text_joined() {
    let mut batch = Batch::default();
    let texts = ["a", "exactly 13 ch", "tiếng", "a text that is long: 🐑🐑", "", "twelve chars"];
    for text in texts {
        batch.push(7, PIECE, text);
    }
    assert_eq!(batch.text, "atiếngtwelve chars");
    assert!(batch.non_ascii);
    assert_eq!(batch.own().collect::<Vec<_>>(), ["exactly 13 ch", "a text that is long: 🐑🐑"]);
    let kinds: Vec<_> = batch.words.chunks(WORDS).map(|record| (record[1] & OWN != 0, record[2])).collect();
    assert_eq!(kinds, [(false, 1), (true, 13), (false, 5), (true, 29), (false, 0), (false, 12)]);
}
