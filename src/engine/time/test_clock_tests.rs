use super::super::clock;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_sleep_ends_exactly_when_its_clock_has_advanced_far_enough() {
    let test = TestClock::install();
    let (started, epoch) = (clock::instant(), clock::now());
    let waits = [3, 1, 2].map(|seconds| {
        tokio::spawn(bind(clock::sleep(seconds * SECOND).map(move |()| clock::instant()).boxed()))
    });
    while test.activity().sleeping < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(test.until_next(), Some(SECOND));
    test.advance(SECOND - Duration::from_millis(1));
    tokio::task::yield_now().await;
    assert!(waits.iter().all(|wait| !wait.is_finished()));
    test.advance(Duration::from_millis(1));
    while test.activity().calls > 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(waits.iter().filter(|wait| wait.is_finished()).count(), 1);
    test.advance(10 * SECOND);
    for wait in waits {
        wait.await.unwrap();
    }
    assert_eq!((clock::instant() - started, clock::now() - epoch), (11 * SECOND, 11_000));
    assert_eq!((test.activity().calls, test.activity().sleeping, test.until_next()), (0, 0, None));
    test.release();
    assert!(installed().is_none());
}

#[tokio::test]
async fn a_timeout_and_a_dropped_sleep_leave_no_timer_behind() {
    let test = TestClock::install();
    let call = bind(clock::timeout(SECOND, std::future::pending::<()>()).boxed());
    let call = tokio::spawn(call);
    while test.until_next().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(test.activity().sleeping, 0);
    test.advance(SECOND);
    assert!(call.await.unwrap().is_err());
    let dropped = tokio::spawn(bind(clock::sleep(SECOND).boxed()));
    while test.until_next().is_none() {
        tokio::task::yield_now().await;
    }
    dropped.abort();
    let _ = dropped.await;
    assert_eq!((test.until_next(), test.activity().sleeping), (None, 0));
    test.release();
}

#[tokio::test(start_paused = true)]
async fn a_sleep_on_a_released_clock_continues_in_real_time() {
    let test = TestClock::install();
    let call = tokio::spawn(bind(clock::sleep(5 * SECOND).boxed()));
    while test.until_next().is_none() {
        tokio::task::yield_now().await;
    }
    test.advance(2 * SECOND);
    test.release();
    let before = Instant::now();
    call.await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 3);
}
