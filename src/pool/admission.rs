//! How many mining calls are at work, or waiting for a pool to fill, over all pools of a server.

use std::time::Duration;

use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::permits::{Permit, Permits};

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

/// The permits there are.
#[derive(Debug)]
pub(super) struct Admission {
    mining: Permits,
    waiting: Permits,
}

/// Permits taken at one moment.
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
            mining: Permits::new(limits.max_inflight_mines),
            waiting: Permits::new(limits.max_waiting_mines),
        }
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        Occupancy { mining: self.mining.taken(), waiting: self.waiting.taken() }
    }

    /// A permit to mine in, until it is dropped.
    ///
    /// # Errors
    /// `Exhausted` where the caller has no patience.
    pub(super) async fn mine(&self, patience: Patience) -> Result<Permit, PoolError> {
        let permit = match patience {
            Patience::Refuse => self.mining.try_take(),
            Patience::Queue => self.mining.take().await,
        };
        permit.ok_or_else(|| exhausted("max_inflight_mines", self.mining.max()))
    }

    /// A permit to wait in for a pool to fill.
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
