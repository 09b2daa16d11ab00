//! The state machine: operations begin, go on step by step, and reply with their last step.

mod background;
mod census;
mod clear;
mod expiry;
#[cfg(test)]
mod expiry_tests;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod naive_quarantine;
mod quarantine;
#[cfg(test)]
mod quarantine_tests;
mod read;
#[cfg(test)]
mod renewal_tests;
mod repeats;
mod report;
mod serve;
mod split;
#[cfg(test)]
mod split_tests;
#[cfg(test)]
pub(crate) mod tests;

use roaring::RoaringTreemap;
use std::collections::VecDeque;

use crate::background::{Background, Sample, WITNESS};
use crate::dedupe::Dedupe;
use crate::expiry::Expiry;
use crate::hard::Hard;
use crate::hard::slots::Slot;
use crate::hash::placement_hash;
use crate::id_map::IdMap;
use crate::key::{Hardness, Key};
use crate::leases::Leases;
use crate::op::{
    ApplyCounts, BlockCounts, Change, Op, ReleaseCounts, Reply, ScoreUpdate, Sender, SetAsideCounts,
};
use crate::place::ordered_score;
use crate::quarantine::Quarantine;
use crate::spec::{BackgroundSpec, PartitionSpec};
use crate::totals::Totals;
use expiry::Sweep;
pub(crate) use repeats::Repeats;
use report::Batch;
pub use split::HalfLimits;

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
    /// Samples that are set aside, suspects, and ids that are trusted or blocked.
    pub(crate) quarantine: Quarantine,
    /// When to look at each sample, in a pool whose samples live for a time.
    pub(crate) expiry: Option<Expiry>,
    /// Some report had strata or groups.
    pub(crate) has_attributes: bool,
    /// The floor of the last fold, in key units: no key is below.
    pub(crate) folded_units: Option<u64>,
    /// What operations did.
    pub(crate) totals: Totals,
}

/// An operation under way.
#[derive(Debug)]
pub struct Job {
    op: Op,
    /// Rows done.
    done: usize,
    /// Members of the background that a fold has looked at.
    members: usize,
    /// What is due under its horizon.
    sweep: Sweep,
    /// It is a report that was applied before. As no other operation runs before its last step, what is so at its begin stays so.
    is_resend: bool,
    /// Which rows of a report repeat an id.
    repeats: Repeats,
    reply: Reply,
}

impl Job {
    /// Rows done so far.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }
}

/// The penalty on keys of samples that were served since their last report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServePenalty {
    /// Key units per serve; 0: none.
    pub units_per_serve: u32,
    /// At most this many units in all (8 octaves).
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

    /// What it was made with.
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

    /// Begins an operation; the one before is completed. Whether a report is a resend is decided here.
    #[must_use]
    pub fn begin(&self, op: Op) -> Job {
        let reply = match &op.change {
            Change::Report { .. } => Reply::Reported(ApplyCounts::default()),
            Change::Serve { drawn, .. } => Reply::Served(Vec::with_capacity(drawn.len())),
            Change::Release { .. } => Reply::Released(0),
            Change::Remove { .. } => Reply::Removed(0),
            Change::SetAside { .. } => Reply::SetAside(SetAsideCounts::default()),
            Change::ReleaseQuarantined { .. } => Reply::ReleasedQuarantined(ReleaseCounts::default()),
            Change::Block { .. } => Reply::Blocked(BlockCounts::default()),
            Change::Unblock { .. } => Reply::Unblocked(0),
            Change::Clear => Reply::Cleared(0),
            Change::Expire { .. } | Change::Fold { .. } => Reply::Done,
        };
        let is_resend = match &op.change {
            Change::Report { sender: Some(sender), .. } => self.dedupe.has(sender),
            _ => false,
        };
        let repeats = match &op.change {
            Change::Report { rows, range, .. } if !is_resend => {
                Repeats::of(&rows.hashes[range.clone()], &rows.ids[range.clone()])
            }
            _ => Repeats::default(),
        };
        Job { op, done: 0, members: 0, sweep: Sweep::default(), is_resend, repeats, reply }
    }

    /// Goes on with an operation for at most `rows` rows (at least one); the reply comes with the last step. Where it is
    /// divided makes no difference to the state. Reads may run between two steps, other operations and [`Self::save`] may not.
    ///
    /// A resend is done with its first step: its rows are counted as duplicate, and none is looked at. It changes the position, and its
    /// worker was heard, so that a worker is not forgotten while it asks for an answer. Nothing else changes.
    pub fn step(&mut self, job: &mut Job, rows: usize) -> Option<Reply> {
        let rows = rows.max(1);
        let from = job.done;
        let is_done = match (&job.op.change, &mut job.reply) {
            (Change::Report { range, sender, terms, .. }, Reply::Reported(counts)) if job.is_resend => {
                // Whatever else was found in its rows was counted before.
                counts.duplicate = range.len() as u64 + terms.faults.rows();
                job.done = range.len();
                self.remember(*sender);
                true
            }
            (Change::Report { rows: columns, range, terms, sender }, Reply::Reported(counts)) => {
                let looked = match job.sweep.is_done {
                    true => 0,
                    false => self.sweep_before_rows(terms.oldest_stamp, rows, &mut job.sweep),
                };
                let more = if job.sweep.is_done { rows - looked } else { 0 };
                let to = from.saturating_add(more).min(range.len());
                let batch = Batch { rows: columns, first: range.start, repeats: &job.repeats, terms };
                self.report(&batch, range.start + from..range.start + to, counts);
                job.done = to;
                let is_done = job.sweep.is_done && to == range.len();
                if is_done {
                    counts.add(&terms.faults.counts());
                    self.remember(*sender);
                }
                is_done
            }
            (Change::Serve { drawn, mark }, Reply::Served(served)) => {
                let to = from.saturating_add(rows).min(drawn.len());
                drawn[from..to].iter().for_each(|drawn| self.prefetch_serve(drawn.id));
                served.extend(drawn[from..to].iter().map(|drawn| self.serve(*drawn, *mark)));
                job.done = to;
                to == drawn.len()
            }
            (Change::Release { ids }, Reply::Released(released)) => {
                let to = from.saturating_add(rows).min(ids.len());
                *released += ids[from..to].iter().filter(|id| self.release(**id)).count() as u64;
                job.done = to;
                to == ids.len()
            }
            (Change::Remove { ids }, Reply::Removed(removed)) => {
                let to = from.saturating_add(rows).min(ids.len());
                *removed += ids[from..to].iter().filter(|id| self.remove(**id)).count() as u64;
                job.done = to;
                let is_done = to == ids.len();
                if is_done {
                    self.end_removal();
                }
                is_done
            }
            (Change::SetAside { ids, capacity, decay_units, now_millis }, Reply::SetAside(counts)) => {
                let to = from.saturating_add(rows).min(ids.len());
                for id in &ids[from..to] {
                    self.set_aside(*id, *capacity, *decay_units, *now_millis, counts);
                }
                job.done = to;
                let is_done = to == ids.len();
                if is_done {
                    self.end_removal();
                }
                is_done
            }
            (Change::ReleaseQuarantined { ids, trust }, Reply::ReleasedQuarantined(counts)) => {
                let to = from.saturating_add(rows).min(ids.len());
                ids[from..to].iter().for_each(|id| self.release_quarantined(*id, *trust, counts));
                job.done = to;
                to == ids.len()
            }
            (Change::Block { ids, names }, Reply::Blocked(counts)) => {
                let to = from.saturating_add(rows).min(ids.len());
                (from..to).for_each(|at| self.block(ids[at], names.get(at), counts));
                job.done = to;
                let is_done = to == ids.len();
                if is_done {
                    self.end_removal();
                }
                is_done
            }
            (Change::Unblock { ids }, Reply::Unblocked(unblocked)) => {
                let to = from.saturating_add(rows).min(ids.len());
                *unblocked += ids[from..to].iter().filter(|id| self.quarantine.unblock(**id)).count() as u64;
                job.done = to;
                to == ids.len()
            }
            (Change::Clear, Reply::Cleared(cleared)) => {
                let taken = self.clear_some(rows, cleared);
                job.done += taken;
                let is_done = taken < rows;
                if is_done {
                    self.end_clear();
                }
                is_done
            }
            (Change::Expire { now_millis, oldest_stamp }, _) => {
                let ended = (0..rows).take_while(|_| self.expire_one(*now_millis)).count();
                // Once all leases that are over have ended.
                let looked = self.sweep_alone(*oldest_stamp, rows - ended, &mut job.sweep);
                job.done += ended + looked;
                ended + looked < rows
            }
            (Change::Fold { floor_units }, _) => {
                self.folded_units = Some(*floor_units);
                let floor = Key::of_clock(*floor_units);
                let lifted = (0..rows).take_while(|_| self.lift_one(floor)).count();
                // Once none of the hard store is below: those of its step are counted, and own keys follow.
                let (members, most) = (job.members, rows - lifted);
                let followed = self.background.as_mut().map_or(0, |b| b.lift(floor, members, most));
                job.members += followed;
                job.done += lifted + followed;
                followed < most
            }
            // `begin` made the reply of the change.
            _ => true,
        };
        if self.hard.is_full() {
            // So that whoever asks for the floor need not look for it.
            self.hard.lowest();
        }
        if !is_done {
            return None;
        }
        self.trim_expiry();
        self.position = job.op.position;
        self.totals.count(&job.op.change, &job.reply);
        Some(std::mem::replace(&mut job.reply, Reply::Done))
    }

    /// What it has done since it was made.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Applies a whole operation.
    pub fn apply(&mut self, op: Op) -> Reply {
        let mut job = self.begin(op);
        loop {
            if let Some(reply) = self.step(&mut job, usize::MAX) {
                return reply;
            }
        }
    }

    /// After a report, be it a resend: the sender's next resend of it does nothing.
    fn remember(&mut self, sender: Option<Sender>) {
        if let Some(sender) = sender {
            self.dedupe.enter(&sender);
        }
    }

    /// Lifts the lowest sample to `floor`, if it is below; whether it was.
    fn lift_one(&mut self, floor: Key) -> bool {
        let Some((_, slot)) = self.hard.lowest().filter(|(lowest, _)| lowest.key.since(floor) < 0) else {
            return false;
        };
        let Slot { id, score, stamp, .. } = *self.hard.slots.get(slot);
        self.hard.reprioritise(slot, placement_hash(id), floor, score, stamp);
        if self.leases.contains(id) {
            self.hard.rest(slot);
        }
        true
    }

    /// Removes an id from everywhere, and forgets all that is known of it but that it is blocked; whether it was anywhere.
    fn remove(&mut self, id: u64) -> bool {
        let was_set_aside = self.quarantine.forget(id);
        self.take_out(id) | was_set_aside
    }

    /// Takes an id out of hard store and background, and ends its lease; whether it was in one of them.
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

    /// The serving generation.
    pub(crate) fn serving(&self) -> Option<&Sample> {
        self.background.as_ref().map(|background| &background.serving)
    }

    /// Samples of the witness, at most.
    #[must_use]
    pub fn witness_size() -> usize {
        WITNESS
    }
}
