//! Limits the number of mining calls that run, or wait for a pool to fill, over all pools of a server.

use std::time::Duration;

use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::permits::{Permit, Permits};

/// The retry delay of a refused call. A mine takes about a millisecond, and a queue of mines some tens of milliseconds.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// What happens to a mining call when all permits to mine are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It is refused with a retry delay, because a unary call must not wait in a queue that its caller cannot see.
    Refuse,
    /// It waits, so that a stream is slowed down and does not break.
    Queue,
}

/// The permits to mine and to wait.
#[derive(Debug)]
pub(super) struct Admission {
    mining: Permits,
    waiting: Permits,
}

/// Numbers of permits taken at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Mining calls that run.
    pub mining: usize,
    /// Mining calls that wait.
    pub waiting: usize,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            mining: Permits::new(limits.max_inflight_mines),
            waiting: Permits::new(limits.max_waiting_mines),
        }
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        Occupancy { mining: self.mining.taken(), waiting: self.waiting.taken() }
    }

    /// A permit to mine. Dropping it returns it.
    ///
    /// # Errors
    /// `Exhausted` if no permit is free and the caller does not wait.
    pub(super) async fn mine(&self, patience: Patience) -> Result<Permit, PoolError> {
        let permit = match patience {
            Patience::Refuse => self.mining.try_take(),
            Patience::Queue => self.mining.take().await,
        };
        permit.ok_or_else(|| exhausted("max_inflight_mines", self.mining.max()))
    }

    /// A permit to wait.
    ///
    /// # Errors
    /// `Exhausted`.
    pub(super) fn wait(&self) -> Result<Permit, PoolError> {
        self.waiting.try_take().ok_or_else(|| exhausted("max_waiting_mines", self.waiting.max()))
    }
}

fn exhausted(limit: &'static str, max: usize) -> PoolError {
    PoolError::Exhausted {
        what: format!("all {max} of {limit} are in use"),
        limit,
        retry_after: Some(RETRY_AFTER),
    }
}
