//! The state of a partition of samples. `step.rs` applies operations to it.

mod apply;
mod background;
mod census;
mod clear;
mod expiry;
#[cfg(test)]
mod naive;
mod quarantine;
mod read;
mod repeats;
mod serve;
mod split;
mod step;
#[cfg(test)]
pub(crate) mod tests;

use roaring::RoaringTreemap;
use std::collections::VecDeque;

use crate::background::{Background, Sample, WITNESS};
use crate::dedupe::Dedupe;
use crate::expiry::Expiry;
use crate::hard::Hard;
use crate::hash::placement_hash;
use crate::id_map::IdMap;
use crate::key::Hardness;
use crate::leases::Leases;
use crate::op::ScoreUpdate;
use crate::place::ordered_score;
use crate::quarantine::Quarantine;
use crate::spec::{BackgroundSpec, PartitionSpec};
use crate::totals::Totals;
pub(crate) use repeats::Repeats;
pub use split::HalfLimits;
pub use step::Job;

/// One partition of a pool.
#[derive(Debug)]
pub struct Partition {
    pub(crate) spec: PartitionSpec,
    /// Position of the last operation that was completed.
    pub(crate) position: u64,
    pub(crate) hard: Hard,
    /// `None` in a dense id space.
    pub(crate) background: Option<Background>,
    pub(crate) removed: RoaringTreemap,
    pub(crate) unstored_serves: IdMap<u16>,
    pub(crate) unstored_order: VecDeque<u64>,
    pub(crate) leases: Leases,
    /// Reports that were applied, by sender.
    pub(crate) dedupe: Dedupe,
    /// Samples that are set aside, streaks, and ids that are trusted or blocked.
    pub(crate) quarantine: Quarantine,
    /// The queue of expiry times, in a pool with a time to live.
    pub(crate) expiry: Option<Expiry>,
    /// Whether any report had strata or groups.
    pub(crate) has_attributes: bool,
    /// The floor of the last fold, in key units. No key is below it.
    pub(crate) folded_units: Option<u64>,
    /// Counters of what operations did.
    pub(crate) totals: Totals,
}

/// The penalty on the keys of samples that were served since their last report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServePenalty {
    /// Key units per serve. 0: no penalty.
    pub units_per_serve: u32,
    /// The largest penalty, in key units (8 octaves).
    pub units_max: u32,
}

impl ServePenalty {
    /// Units to subtract from a key after `serves` serves.
    #[inline]
    #[must_use]
    pub fn units(&self, serves: u16) -> i64 {
        i64::from((self.units_per_serve.saturating_mul(u32::from(serves))).min(self.units_max))
    }
}

/// The score after a re-report (docs/methods.md 2.3).
#[must_use]
pub fn updated_score(hardness: &Hardness, update: ScoreUpdate, old: f32, new: f32) -> f32 {
    let ordered = |score| ordered_score(score, hardness.lower_is_harder);
    match update {
        ScoreUpdate::Last => new,
        ScoreUpdate::Max if ordered(old) > ordered(new) => old,
        ScoreUpdate::Max => new,
        ScoreUpdate::Ema { weight } => weight * new + (1.0 - weight) * old,
    }
}

impl Partition {
    /// An empty partition.
    #[must_use]
    pub fn new(spec: PartitionSpec) -> Self {
        let (background, members) = match spec.background {
            BackgroundSpec::Sampled { size } => (Some(Background::new(size, &spec)), size),
            BackgroundSpec::Dense { .. } => (None, 0),
        };
        Self {
            position: 0,
            hard: Hard::new(spec.capacity, spec.hardness.lower_is_harder),
            background,
            removed: RoaringTreemap::new(),
            unstored_serves: IdMap::default(),
            unstored_order: VecDeque::new(),
            leases: Leases::new(spec.capacity + members + spec.unstored_serves),
            dedupe: Dedupe::new(spec.workers),
            quarantine: Quarantine::new(spec.quarantine),
            totals: Totals::default(),
            expiry: None,
            has_attributes: false,
            folded_units: None,
            spec,
        }
    }

    /// The spec that the partition was created with.
    #[must_use]
    pub fn spec(&self) -> &PartitionSpec {
        &self.spec
    }

    /// Position of the last operation that was completed.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The floor of the last fold, in key units.
    #[must_use]
    pub fn folded_units(&self) -> Option<u64> {
        self.folded_units
    }

    pub(crate) fn dense_ids(&self) -> u64 {
        self.spec.dense_ids()
    }

    /// Counters of what the partition has done since it was created.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Removes an id from hard store, background and quarantine, and forgets everything about it except that it is blocked. Returns whether
    /// it was stored.
    fn remove(&mut self, id: u64) -> bool {
        let was_set_aside = self.quarantine.forget(id);
        self.take_out(id) | was_set_aside
    }

    /// Takes an id out of hard store and background, and ends its lease. Returns whether it was in one of them.
    fn take_out(&mut self, id: u64) -> bool {
        let hash = placement_hash(id);
        let mut was = false;
        self.leases.end(id);
        if let Some(slot) = self.hard.find(hash, id) {
            self.hard.remove(slot, hash);
            was = true;
        }
        if let Some(background) = &mut self.background {
            was |= background.remove(id);
        }
        if id < self.dense_ids() {
            was = self.removed.insert(id);
        }
        was
    }

    /// The serving generation of the background; `None` in a dense id space.
    pub(crate) fn serving(&self) -> Option<&Sample> {
        self.background.as_ref().map(|background| &background.serving)
    }

    /// The maximal number of members of the witness.
    #[must_use]
    pub fn witness_size() -> usize {
        WITNESS
    }
}
