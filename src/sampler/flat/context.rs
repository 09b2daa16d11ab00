//! What a draw depends on.

use std::collections::HashSet;

use crate::model::moment;
use crate::model::policy::Policy;
use crate::store::key::{Hardness, Key};
use crate::store::{ServeMark, ServePenalty, Store};

/// Everything that a draw depends on.
pub(crate) struct MineContext<'a> {
    pub(crate) store: &'a dyn Store,
    /// The policy, with all defaults filled in.
    pub(crate) policy: Policy,
    pub(crate) batch_size: usize,
    /// The size of the request, before the flow reduced it to `batch_size`.
    pub(crate) requested: usize,
    /// Ids that must not be served.
    pub(crate) excluded: HashSet<u64>,
    pub(crate) seed: u64,
    pub(crate) clock: DrawClock,
    pub(crate) pool: PoolTraits,
    pub(crate) serving: Serving,
    /// Maximum number of rows that a pass over the store may read.
    pub(crate) scan_limit: usize,
    /// Maximum number of stored strata that the policy may have limits on.
    pub(crate) strata_limit: usize,
    /// Called before samples are marked as served. Until then the draw has changed nothing, and may be dropped.
    pub(crate) marking: &'a (dyn Fn() + Sync),
    /// What the round of the batch needs; `None`: the batch is not of a round.
    pub(crate) ranks: Option<Ranks>,
}

/// The time of a draw, by the clock of the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrawClock {
    /// The decay clock D(t), as a key.
    pub(crate) now: Key,
    /// The present stamp.
    pub(crate) stamp: u32,
    /// Whether stamps are steps rather than milliseconds.
    pub(crate) by_steps: bool,
}

impl DrawClock {
    /// The age of a report with this stamp: seconds, or steps.
    pub(crate) fn age(&self, stamp: u32) -> f64 {
        moment::age(self.stamp, stamp, self.by_steps)
    }
}

/// What the spec of a pool says about its rows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PoolTraits {
    /// Whether the lower of two scores is the harder one.
    pub(crate) lower_is_harder: bool,
    /// Whether the pool has string keys.
    pub(crate) named: bool,
    /// Whether the batch gets the payloads of its samples.
    pub(crate) payloads: bool,
}

/// How serves count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    /// What earlier serves take from a weight.
    pub(crate) penalty: ServePenalty,
    /// What this serve leaves on a sample.
    pub(crate) mark: ServeMark,
}

/// What a round needs of its draw: a size that is a multiple of the number of ranks, and rows in order of hardness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranks {
    pub(crate) count: usize,
    pub(crate) hardness: Hardness,
    /// Key units that a weight loses per second, or per step.
    pub(crate) units_per_age: f64,
}

impl MineContext<'_> {
    /// The largest size up to `size` that the ranks can share equally.
    pub(super) fn shareable(&self, size: usize) -> usize {
        size - size % self.ranks.map_or(1, |ranks| ranks.count.max(1))
    }
}
