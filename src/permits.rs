//! A bounded number of permits to do something, and the number of permits that are taken.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A permit. Dropping it returns it.
pub(crate) type Permit = OwnedSemaphorePermit;

/// A bounded number of permits, shared by all clones.
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

    /// Takes a permit if one is free; `None` if not.
    #[must_use]
    pub fn try_take(&self) -> Option<Permit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// Takes a permit, and waits until one is free. Callers that wait get permits in order.
    pub async fn take(&self) -> Option<Permit> {
        // The semaphore is never closed, so there is always a permit in the end.
        self.free.clone().acquire_owned().await.ok()
    }

    /// The semaphore itself, for callers that poll it.
    #[must_use]
    pub fn semaphore(&self) -> Arc<Semaphore> {
        self.free.clone()
    }

    /// Maximum number of permits.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Number of permits that are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }
}
