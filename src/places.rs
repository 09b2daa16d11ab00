//! A bounded number of places for something, and how many of them are taken.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A place, until it is dropped.
pub type Place = OwnedSemaphorePermit;

/// So many places, shared by all clones.
#[derive(Clone, Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    max: usize,
}

impl Places {
    /// `max` free places.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), max }
    }

    /// A place, if there is one now.
    #[must_use]
    pub fn try_take(&self) -> Option<Place> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// A place, when there is one; those who wait are served in order.
    pub async fn take(&self) -> Option<Place> {
        // Never closed, so there will be one.
        self.free.clone().acquire_owned().await.ok()
    }

    /// For what polls.
    #[must_use]
    pub fn semaphore(&self) -> Arc<Semaphore> {
        self.free.clone()
    }

    /// Places in all.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Places taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }
}
