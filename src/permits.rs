//! A bounded number of permits for something, and how many of them are taken.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A permit, until it is dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

/// So many permits, shared by all clones.
#[derive(Clone, Debug)]
pub struct Permits {
    free: Arc<Semaphore>,
    max: usize,
}

impl Permits {
    /// `max` free permits.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(max)), max }
    }

    /// A permit, if there is one now.
    #[must_use]
    pub fn try_take(&self) -> Option<Permit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// A permit, when there is one; those who wait are served in order.
    pub async fn take(&self) -> Option<Permit> {
        // Never closed, so there will be one.
        self.free.clone().acquire_owned().await.ok()
    }

    /// For what polls.
    #[must_use]
    pub fn semaphore(&self) -> Arc<Semaphore> {
        self.free.clone()
    }

    /// Permits in all.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Permits taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }
}
