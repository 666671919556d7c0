//! Limits how many attempts run at once, and how many may wait.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::queue_slot::QueueSlot;
use crate::error::{Error, Kind, Result};

/// A bounded number of slots with a bounded queue before them, first in, first out.
pub struct ConcurrencyLimit {
    slots: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
    max_queue: usize,
}

impl ConcurrencyLimit {
    pub fn new(max_concurrent: Option<usize>, max_queue: usize) -> Self {
        ConcurrencyLimit {
            slots: max_concurrent.map(|slots| Arc::new(Semaphore::new(slots))),
            waiting: AtomicUsize::new(0),
            max_queue,
        }
    }

    /// Waits for a slot; `None` if there is no limit. Dropping the future leaves the queue. `on_wait` is called once if
    /// there is a wait.
    ///
    /// # Errors
    /// [`Kind::QueueFull`].
    pub async fn acquire(&self, on_wait: impl FnOnce()) -> Result<Option<OwnedSemaphorePermit>> {
        let Some(slots) = &self.slots else { return Ok(None) };
        if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            return Ok(Some(slot));
        }
        let Some(_waiting) = QueueSlot::take(&self.waiting, self.max_queue) else {
            let message = format!("{} calls are already waiting for a slot", self.max_queue);
            return Err(Error::rejected(Kind::QueueFull, message));
        };
        on_wait();
        let slot = Arc::clone(slots).acquire_owned().await;
        slot.map(Some).map_err(|_| Error::new(Kind::Closed, "the client was closed"))
    }

    /// [`ConcurrencyLimit::acquire`] without a wait. The outer `None` means that no slot is free.
    pub fn try_acquire(&self) -> Option<Option<OwnedSemaphorePermit>> {
        match &self.slots {
            None => Some(None),
            Some(slots) => Arc::clone(slots).try_acquire_owned().ok().map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_an_error_and_a_canceled_call_leaves_it() {
        let limit = ConcurrencyLimit::new(Some(1), 1);
        let first = limit.acquire(|| ()).await.unwrap();
        {
            let mut second = std::pin::pin!(limit.acquire(|| ()));
            assert!(futures::poll!(second.as_mut()).is_pending());
            let third = limit.acquire(|| ()).await;
            assert_eq!(third.unwrap_err().kind, Kind::QueueFull);
        }
        let mut fourth = std::pin::pin!(limit.acquire(|| ()));
        assert!(futures::poll!(fourth.as_mut()).is_pending());
        drop(first);
        assert!(fourth.await.unwrap().is_some());
    }
}
