//! The effect of a reported row on its sample.

use std::collections::HashSet;

use super::{Entry, NaiveState, NaiveStore, Stored, is_before};
use crate::store::hash::background_hash;
use crate::store::key::Key;
use crate::store::{ApplyCounts, BackgroundSpec, ReportBatch, Row, ScoreUpdate, Sender};

impl NaiveStore {
    /// The score of a sample after a report, by the update rule.
    pub(in crate::store) fn updated(&self, update: ScoreUpdate, old: Option<f32>, score: f32) -> f32 {
        let Some(old) = old else { return score };
        match update {
            ScoreUpdate::Last => score,
            ScoreUpdate::Max => {
                let harder = self.spec.hardness.log2_weight(old) > self.spec.hardness.log2_weight(score);
                if harder { old } else { score }
            }
            ScoreUpdate::Ema { weight } => weight * score + (1.0 - weight) * old,
        }
    }

    /// The entry of a sample in the hard store after a row.
    pub(super) fn entry_of(
        &self,
        state: &mut NaiveState,
        batch: &ReportBatch,
        i: usize,
        score: f32,
        key: Key,
    ) -> Entry {
        let id = batch.ids[i];
        let known = state.entry(id).cloned();
        let old = state.row(id);
        let payload = batch.payloads.get(i).filter(|p| !p.is_empty()).cloned();
        Entry {
            row: Row {
                id,
                hard_key: Some(key),
                own_key: None,
                score,
                stamp: Some(batch.stamp),
                model_version: batch.model_version,
                serves: 0,
                leased: false,
                stratum: batch.strata.get(i).copied().unwrap_or(old.map_or(0, |o| o.stratum)),
                group: batch.groups.get(i).copied().unwrap_or(old.map_or(0, |o| o.group)),
            },
            name: batch.names.get(i).cloned(),
            payload: payload.or(known.and_then(|k| k.payload)),
        }
    }

    /// Stores a sample in the background and the hard store, and evicts what exceeds their sizes.
    pub(in crate::store) fn store(&self, state: &mut NaiveState, entry: Entry, key: Key) -> Stored {
        let id = entry.row.id;
        state.removed.remove(&id);
        state.leases.remove(&id);
        let mut in_background = true;
        if let BackgroundSpec::Sampled { size } = self.spec.background {
            let hash = background_hash(id, self.salt());
            let partition = self.partition(id);
            in_background = state.thresholds.get(&partition).is_none_or(|t| hash < *t);
            if in_background {
                let mut entry = entry.clone();
                entry.row.hard_key = None;
                let own = state.own.entry(id).or_insert((key, false));
                if !state.background.contains_key(&id) || !own.1 {
                    *own = (key, false);
                }
                own.1 = false;
                state.background.insert(id, entry);
                let members: Vec<u64> =
                    state.background.keys().copied().filter(|id| self.partition(*id) == partition).collect();
                if members.len() > size.div_ceil(self.spec.partitions) {
                    let highest = members.into_iter().max_by_key(|id| background_hash(*id, self.salt()));
                    if let Some(highest) = highest {
                        state.background.remove(&highest);
                        state.thresholds.insert(partition, background_hash(highest, self.salt()));
                        in_background = highest != id;
                    }
                }
            }
        }
        let is_update = state.hard.insert(id, entry).is_some();
        let (mut kept, mut evicted) = (true, false);
        if state.hard.len() > self.spec.capacity {
            let lowest = state.hard.iter().min_by(|a, b| self.place(&a.1.row).compare(&self.place(&b.1.row)));
            if let Some(lowest) = lowest.map(|l| *l.0) {
                state.hard.remove(&lowest);
                kept = lowest != id;
                evicted = kept;
            }
        }
        Stored { is_update, kept, in_background, evicted }
    }

    pub(super) fn is_dense_space(&self) -> bool {
        matches!(self.spec.background, BackgroundSpec::Dense { .. })
    }

    /// Removes the samples whose stamp is before the horizon, in the partitions that `of` selects.
    pub(super) fn remove_older(
        &self,
        state: &mut NaiveState,
        oldest_stamp: Option<u32>,
        of: impl Fn(u16) -> bool,
    ) {
        let Some(oldest) = oldest_stamp.filter(|_| !self.is_dense_space()) else { return };
        let stored: HashSet<u64> = state.hard.keys().chain(state.background.keys()).copied().collect();
        for id in stored.into_iter().filter(|id| of(self.partition(*id))) {
            let stamp = state.row(id).and_then(|row| row.stamp);
            if stamp.is_some_and(|stamp| is_before(stamp, oldest)) {
                self.take_out(state, id);
                state.suspects.end_streak(id);
                state.totals.expired += 1;
            }
        }
    }

    /// Counts the rows that were left out of the columns. The partition of the sender knows whether it has counted them before.
    pub(super) fn count_unusable(
        &self,
        state: &mut NaiveState,
        batch: &ReportBatch,
        counts: &mut ApplyCounts,
        entered: &mut HashSet<(u16, Sender)>,
    ) {
        let unusable = batch.non_finite + batch.out_of_range;
        let home = batch.sender.map_or(0, |sender| sender.worker as u64 ^ sender.epoch);
        let sender = batch.sender.filter(|sender| sender.sequence != 0);
        let at_home = sender.map(|sender| (self.partition(home), sender));
        if at_home.is_some_and(|sender| state.applied.contains(&sender)) {
            counts.duplicate += unusable;
        } else {
            (counts.non_finite, counts.out_of_range) = (batch.non_finite, batch.out_of_range);
            entered.extend(at_home.filter(|_| unusable > 0));
            if unusable > 0 && batch.quarantine.is_none() {
                self.forget_streaks(state, self.partition(home));
            }
        }
    }

    /// Removes a sample from the hard store and the background; returns whether it was in one of them.
    pub(in crate::store) fn take_out(&self, state: &mut NaiveState, id: u64) -> bool {
        state.leases.remove(&id);
        let hard = state.hard.remove(&id).is_some();
        let background = state.background.remove(&id).is_some();
        state.own.remove(&id);
        let dense = matches!(self.spec.background, BackgroundSpec::Dense { ids } if id < ids)
            && state.removed.insert(id);
        hard || background || dense
    }
}
