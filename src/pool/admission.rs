//! How many mining calls are at work, or waiting for a pool to fill, over all pools of a server.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::PoolError;
use super::spec::Limits;

/// When a refused call may try again: mining takes about a millisecond, a queue of them some tens.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// What happens to a mining call while the server mines all that it may at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Refused with a retry delay: a unary call must not queue where its caller cannot see it.
    Refuse,
    /// It waits: a stream is slowed, not broken.
    Queue,
}

/// The places there are.
#[derive(Debug)]
pub(super) struct Admission {
    mining: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    mines_max: usize,
    waits_max: usize,
}

/// Places taken at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Mining calls at work.
    pub mining: usize,
    /// Calls that wait for a pool to fill.
    pub waiting: usize,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            mining: Arc::new(Semaphore::new(limits.max_inflight_mines)),
            waiting: Arc::new(Semaphore::new(limits.max_waiting_mines)),
            mines_max: limits.max_inflight_mines,
            waits_max: limits.max_waiting_mines,
        }
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        Occupancy {
            mining: self.mines_max - self.mining.available_permits(),
            waiting: self.waits_max - self.waiting.available_permits(),
        }
    }

    /// A place to mine in, until it is dropped.
    ///
    /// # Errors
    /// `Exhausted` where the caller has no patience.
    pub(super) async fn mine(&self, patience: Patience) -> Result<OwnedSemaphorePermit, PoolError> {
        let place = match patience {
            Patience::Refuse => self.mining.clone().try_acquire_owned().ok(),
            Patience::Queue => self.mining.clone().acquire_owned().await.ok(),
        };
        place.ok_or_else(|| exhausted("max_inflight_mines", self.mines_max))
    }

    /// A place to wait in for a pool to fill.
    ///
    /// # Errors
    /// `Exhausted`.
    pub(super) fn wait(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        self.waiting.clone().try_acquire_owned().map_err(|_| exhausted("max_waiting_mines", self.waits_max))
    }
}

fn exhausted(limit: &'static str, max: usize) -> PoolError {
    PoolError::Exhausted {
        what: format!("all {max} places of {limit} are taken"),
        limit,
        retry_after: Some(RETRY_AFTER),
    }
}
