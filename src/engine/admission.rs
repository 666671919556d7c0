//! How many attempts run at once, and how many may wait for it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limiter::Place;
use crate::error::{Error, Kind, Result};

/// A bounded number of places and a bounded queue before them, first in, first out.
pub struct Admission {
    places: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
    max_queue: usize,
}

impl Admission {
    pub fn new(max_concurrent: Option<usize>, max_queue: usize) -> Self {
        Admission {
            places: max_concurrent.map(|places| Arc::new(Semaphore::new(places))),
            waiting: AtomicUsize::new(0),
            max_queue,
        }
    }

    /// Waits for a place. Dropping the future leaves the queue. `on_wait` is called once if there is
    /// a wait.
    pub async fn enter(&self, on_wait: impl FnOnce()) -> Result<Option<OwnedSemaphorePermit>> {
        let Some(places) = &self.places else { return Ok(None) };
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Ok(Some(place));
        }
        let Some(_waiting) = Place::take(&self.waiting, self.max_queue) else {
            let message = format!("{} calls wait for a place already", self.max_queue);
            return Err(Error::new(Kind::QueueFull, message));
        };
        on_wait();
        let place = Arc::clone(places).acquire_owned().await;
        place.map(Some).map_err(|_| Error::new(Kind::Closed, "the client was closed"))
    }

    /// [`Admission::enter`] without a wait. The outer `None` says that no place is free.
    pub fn try_enter(&self) -> Option<Option<OwnedSemaphorePermit>> {
        match &self.places {
            None => Some(None),
            Some(places) => Arc::clone(places).try_acquire_owned().ok().map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_an_error_and_a_call_that_gives_up_leaves_it() {
        let admission = Admission::new(Some(1), 1);
        let first = admission.enter(|| ()).await.unwrap();
        {
            let mut second = std::pin::pin!(admission.enter(|| ()));
            assert!(futures::poll!(second.as_mut()).is_pending());
            let third = admission.enter(|| ()).await;
            assert_eq!(third.unwrap_err().kind, Kind::QueueFull);
        }
        let mut fourth = std::pin::pin!(admission.enter(|| ()));
        assert!(futures::poll!(fourth.as_mut()).is_pending());
        drop(first);
        assert!(fourth.await.unwrap().is_some());
    }
}
