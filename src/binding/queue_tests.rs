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
    Scene { queue: Queue::new(now, true), now: now + 10 * GAP, counted: vec![0; 100] }
}

impl Scene {
    fn push(&mut self, call: usize, record: Record) -> bool {
        let mut batch = Batch::default();
        batch.push(call as u32, record, "x");
        let ends = matches!(record, Record::End);
        self.queue.push(&mut batch, &mut self.counted[call], ends, || self.now).1
    }

    fn take(&mut self) -> (usize, Next) {
        let (batch, next, _) = self.queue.take(Batch::default(), || self.now);
        (batch.words.len() / WORDS, next)
    }

    /// What is pushed, and then taken at once.
    fn wakes(&mut self, call: usize, record: Record) -> bool {
        let wakes = self.push(call, record);
        wakes && self.take().1 == Next::Woken
    }
}

#[test]
fn the_first_record_wakes_and_no_other_does_until_it_is_taken() {
    let mut scene = scene();
    assert!(scene.push(1, PIECE));
    assert!(!scene.push(2, PIECE));
    assert!(!scene.push(1, PIECE));
    assert_eq!(scene.take(), (3, Next::Woken));
    assert!(scene.push(1, PIECE));
}

#[test]
fn a_lone_caller_is_always_woken_for() {
    let mut scene = scene();
    for call in 0..50 {
        assert!(scene.wakes(call, PIECE));
        scene.now += GAP / 20;
        assert!(scene.wakes(call, Record::End));
    }
}

#[test]
fn while_many_calls_stream_it_comes_by_itself_and_is_not_woken() {
    let mut scene = scene();
    let pace = Duration::from_millis(PACE_MS.into());
    let (mut woken, mut taken, mut due) = (0, 0, None);
    // Fifty deltas a millisecond, of a hundred calls, for fifty paces.
    for step in 0..5000 {
        if scene.push(step % 100, PIECE) {
            woken += 1;
            due = Some(scene.now);
        }
        if due.is_some_and(|due| scene.now >= due) {
            let (records, next) = scene.take();
            taken += records;
            due = (next == Next::Paced).then(|| scene.now + pace);
        }
        scene.now += GAP / 50;
    }
    assert!(woken < 5, "woken {woken} times");
    assert!(taken > 4800, "{taken} records");
    // When it is calm it comes once or twice more, and is woken again.
    let mut idle = 0;
    while scene.take().1 == Next::Paced {
        scene.now += pace;
        idle += 1;
    }
    assert!(idle <= 2, "came {idle} times for nothing");
    scene.now += pace;
    assert!(scene.wakes(1, PIECE));
    assert!(scene.wakes(1, PIECE));
}

#[test]
fn it_may_come_sooner_than_it_was_asked_to() {
    let mut scene = scene();
    for call in 0..100 {
        scene.push(call, PIECE);
    }
    scene.take();
    assert!(scene.push(0, PIECE));
    assert_eq!(scene.take(), (1, Next::Paced));
    // A moment later nothing has come: that says nothing of the load.
    scene.now += GAP / 10;
    assert_eq!(scene.take(), (0, Next::Paced));
    assert!(!scene.push(0, PIECE));
}

#[test]
fn a_batch_is_bounded_and_the_rest_is_more() {
    let mut scene = scene();
    for _ in 0..MAX_RECORDS + 1 {
        scene.push(1, PIECE);
    }
    assert_eq!(scene.take(), (MAX_RECORDS, Next::AtOnce));
    // It comes by itself: nothing wakes it meanwhile.
    assert!(!scene.push(1, PIECE));
    assert_eq!(scene.take(), (2, Next::Woken));
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
