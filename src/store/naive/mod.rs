//! The simplest store that keeps the promises of the trait: sorted maps behind one lock. Tests of the sampler run on it, and other stores
//! are compared with it.

mod rows;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::hash::placement_hash;
use super::key::Key;
use super::layout::partition_of;
use super::naive_quarantine::{Suspects, Verdict};
use super::{
    Address, Applied, ApplyCounts, BackgroundCount, BackgroundSpec, BucketCount, Census, Cursor, Drawn,
    Headed, Level, Offsets, PartitionBackground, Place, ReportBatch, Row, ScanPage, Sender, ServeMark,
    ServePenalty, Served, Source, Store, StoreError, StoreSpec, StoreStats, StratumCount, Totals, WORN_UNTIL,
};

/// Buckets of 1/8 octave.
const BUCKET_BITS: u32 = 13;

/// A pool as maps. Keys must not wrap, and the background has one generation only.
pub struct NaiveStore {
    pub(in crate::store) spec: StoreSpec,
    pub(in crate::store) state: Mutex<NaiveState>,
}

#[derive(Default)]
pub(in crate::store) struct NaiveState {
    pub(in crate::store) hard: BTreeMap<u64, Entry>,
    pub(in crate::store) background: BTreeMap<u64, Entry>,
    /// The smallest background hash that each partition has ever refused; none while its p is 1.
    pub(in crate::store) thresholds: BTreeMap<u16, u64>,
    pub(in crate::store) removed: HashSet<u64>,
    /// The end of the lease of each leased id, Unix milliseconds.
    pub(in crate::store) leases: HashMap<u64, u64>,
    /// The leased ids that were outside the hard store when their lease started.
    pub(in crate::store) outside: HashSet<u64>,
    /// The own keys of the members of the background, and whether the last serve of each is owed to the background (docs/methods.md 4.3).
    pub(in crate::store) own: HashMap<u64, (Key, bool)>,
    /// All batches that each partition has applied; none is forgotten.
    pub(in crate::store) applied: HashSet<(u16, Sender)>,
    pub(in crate::store) suspects: Suspects,
    pub(in crate::store) totals: Totals,
    pub(in crate::store) position: u64,
}

#[derive(Clone)]
pub(in crate::store) struct Entry {
    pub(in crate::store) row: Row,
    pub(in crate::store) name: Option<Arc<str>>,
    pub(in crate::store) payload: Option<Bytes>,
}

/// The outcome of storing a sample.
pub(in crate::store) struct Stored {
    is_update: bool,
    kept: bool,
    in_background: bool,
    /// Another sample was evicted for it.
    pub(in crate::store) evicted: bool,
}

impl NaiveStore {
    /// An empty store.
    pub fn new(spec: StoreSpec) -> Self {
        Self { spec, state: Mutex::default() }
    }

    pub(in crate::store) fn partition(&self, id: u64) -> u16 {
        partition_of(placement_hash(id), self.spec.partitions) as u16
    }

    fn salt(&self) -> u64 {
        self.spec.salt_seed
    }

    fn buckets(&self, state: &NaiveState) -> BTreeMap<(u16, u32), Vec<u64>> {
        let mut buckets: BTreeMap<(u16, u32), Vec<u64>> = BTreeMap::new();
        for (id, entry) in &state.hard {
            if let Some(key) = entry.row.hard_key {
                let place = (self.partition(*id), key.0 >> BUCKET_BITS);
                buckets.entry(place).or_default().push(*id);
            }
        }
        for members in buckets.values_mut() {
            members.sort_by_key(|id| (state.leases.contains_key(id), *id));
        }
        buckets
    }

    /// The census of the background of one partition. All partitions have the same salt.
    fn partition_background(&self, state: &NaiveState, number: u16) -> PartitionBackground {
        let of = |ids: &mut dyn Iterator<Item = &u64>| {
            ids.filter(|id| self.partition(**id) == number).count() as u64
        };
        let is_member = |id: &&u64| state.background.contains_key(*id);
        let outside = || state.outside.iter().filter(|id| state.leases.contains_key(id));
        PartitionBackground {
            salt: self.salt(),
            threshold: state.thresholds.get(&number).copied(),
            members: of(&mut state.background.keys()),
            resting_members: of(&mut state.leases.keys().filter(is_member)),
            hard: of(&mut state.hard.keys()),
            leased: of(&mut state.leases.keys()),
            resting_outside: of(&mut outside()),
            resting_outside_members: of(&mut outside().filter(is_member)),
            in_hard: of(&mut state.hard.keys().filter(is_member)),
            own: of(&mut state.hard.keys().filter(is_member)),
        }
    }

    fn place(&self, row: &Row) -> Place {
        row.place(self.spec.hardness.lower_is_harder).unwrap_or_default()
    }

    fn background_ids(&self, state: &NaiveState) -> Vec<Vec<u64>> {
        let mut lanes = vec![Vec::new(); self.spec.partitions];
        for id in state.background.keys() {
            lanes[self.partition(*id) as usize].push(*id);
        }
        lanes
    }
}

/// What a report adds to the totals. Resent rows add nothing.
fn totals_of(counts: &ApplyCounts, stamp: u32) -> Totals {
    let counted = ApplyCounts { duplicate: 0, ..*counts };
    Totals {
        reported: counted.rows(),
        non_finite: counts.non_finite,
        out_of_range: counts.out_of_range,
        stale: counts.stale,
        quarantined: counts.quarantined,
        blocked: counts.blocked,
        set_aside: counts.set_aside,
        evicted: counts.evicted,
        clamped: counts.clamped,
        floored: counts.floored,
        latest_stamp: (counted.rows() > 0).then_some(stamp),
        ..Totals::default()
    }
}

/// Whether a stamp is before another, in serial arithmetic.
fn is_before(stamp: u32, other: u32) -> bool {
    (stamp.wrapping_sub(other) as i32) < 0
}

impl NaiveState {
    pub(in crate::store) fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        // Both maps hold the same data of an id, but only the first counts serves.
        self.hard.get_mut(&id).or(self.background.get_mut(&id))
    }

    /// The row of a sample. This store has no floor, so no own key is below it.
    pub(in crate::store) fn row(&self, id: u64) -> Option<Row> {
        let row = self.hard.get(&id).or(self.background.get(&id)).map(|e| e.row)?;
        let own = self.own.get(&id).filter(|_| self.background.contains_key(&id)).map(|(key, _)| *key);
        let own_key = row.hard_key.map(|key| own.unwrap_or(key));
        Some(Row { leased: self.leases.contains_key(&id), own_key, ..row })
    }
}

#[async_trait]
impl Store for NaiveStore {
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut counts = ApplyCounts::default();
        let (mut earlier, mut entered) = (HashSet::new(), HashSet::new());
        // A partition that has no rows of the batch, or has applied it before, does nothing.
        let sender = batch.sender.filter(|sender| sender.sequence != 0);
        let rows = batch.ids.iter().map(|id| self.partition(*id));
        let at_work: HashSet<u16> = rows
            .filter(|partition| sender.is_none_or(|sender| !state.applied.contains(&(*partition, sender))))
            .collect();
        self.remove_older(state, batch.oldest_stamp, |partition| at_work.contains(&partition));
        let is_dead = batch
            .oldest_stamp
            .filter(|_| !self.is_dense_space())
            .is_some_and(|oldest| is_before(batch.stamp, oldest));
        for (i, &id) in batch.ids.iter().enumerate() {
            // A partition without rows of the batch does not remember its sender.
            let applied = batch.sender.filter(|sender| sender.sequence != 0);
            if let Some(sender) = applied.map(|sender| (self.partition(id), sender)) {
                if state.applied.contains(&sender) {
                    counts.duplicate += 1;
                    continue;
                }
                entered.insert(sender);
            }
            if is_dead {
                counts.stale += 1;
                continue;
            }
            let is_repeat = !earlier.insert(id);
            let verdict = self.judge(state, &batch, i, &mut counts);
            if let Verdict::Done = verdict {
                continue;
            }
            let old = state.row(id);
            let stale = old
                .and_then(|o| o.stamp)
                .is_some_and(|s| batch.refuse_stale && (s.wrapping_sub(batch.stamp) as i32) > 0);
            if stale {
                counts.stale += 1;
                continue;
            }
            let score = self.updated(batch.update, old.map(|old| old.score), batch.scores[i]);
            let (key, clamped) = self.spec.hardness.key(score, batch.decay_units);
            counts.clamped += u64::from(clamped);
            counts.floored += u64::from(batch.scores[i] < self.spec.hardness.floor_score());
            let entry = self.entry_of(state, &batch, i, score, key);
            let Stored { is_update: updated, kept, in_background, evicted } = self.store(state, entry, key);
            counts.evicted += u64::from(evicted);
            if let Verdict::Count(streak) = verdict {
                state.suspects.count(id, batch.stamp, streak);
            }
            match (updated, kept, in_background) {
                _ if is_repeat => counts.coalesced += 1,
                (true, _, _) => counts.updated += 1,
                (_, true, _) => counts.inserted += 1,
                (_, _, true) => counts.background_only += 1,
                _ => counts.dropped += 1,
            }
        }
        self.count_unusable(state, &batch, &mut counts, &mut entered);
        state.applied.extend(entered);
        state.totals.add(&totals_of(&counts, batch.stamp));
        state.position += 1;
        Ok(Applied { counts, floor: None, position: state.position })
    }

    async fn census(&self) -> Result<Census, StoreError> {
        let state = self.state.lock();
        let mut buckets: Vec<BucketCount> = self
            .buckets(&state)
            .into_iter()
            .map(|((partition, bucket), members)| {
                let resting = members.iter().filter(|id| state.leases.contains_key(id)).count() as u32;
                let low = Key(bucket << BUCKET_BITS);
                let mut offsets = Offsets::default();
                let active = members.iter().filter(|id| !state.leases.contains_key(id));
                let keys = active.filter_map(|id| state.row(*id)?.hard_key);
                keys.for_each(|key| offsets.add(key.since(low) as u64));
                BucketCount {
                    partition,
                    bucket,
                    low,
                    high: Key((bucket << BUCKET_BITS) | ((1 << BUCKET_BITS) - 1)),
                    count: members.len() as u32 - resting,
                    resting,
                    offsets,
                }
            })
            .collect();
        buckets.reverse();
        let background = match self.spec.background {
            BackgroundSpec::Dense { ids } => {
                BackgroundCount::Dense { ids, removed: state.removed.len() as u64 }
            }
            BackgroundSpec::Sampled { .. } => BackgroundCount::Sampled(
                (0..self.spec.partitions as u16)
                    .map(|number| self.partition_background(&state, number))
                    .collect(),
            ),
        };
        Ok(Census {
            buckets,
            hard: state.hard.len() as u64,
            leased: state.leases.len() as u64,
            background,
            floor: None,
        })
    }

    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        let state = self.state.lock();
        let buckets = self.buckets(&state);
        let lanes = self.background_ids(&state);
        Ok(addresses
            .iter()
            .map(|address| match *address {
                Address::Hard { partition, bucket, ordinal } => {
                    let id = *buckets.get(&(partition, bucket))?.get(ordinal as usize)?;
                    state.row(id)
                }
                Address::Background { partition, ordinal } => match self.spec.background {
                    BackgroundSpec::Sampled { .. } => {
                        state.row(*lanes[partition as usize].get(ordinal as usize)?)
                    }
                    BackgroundSpec::Dense { ids } => {
                        let leased = state.leases.contains_key(&ordinal);
                        let never = Row { leased, ..Row::unreported(ordinal) };
                        let there = ordinal < ids && !state.removed.contains(&ordinal);
                        there.then(|| state.row(ordinal).unwrap_or(never))
                    }
                },
            })
            .collect())
    }

    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError> {
        let state = self.state.lock();
        Ok(ids.iter().map(|id| state.row(*id)).collect())
    }

    async fn top(&self, n: usize, penalty: ServePenalty, _: usize) -> Result<Vec<Row>, StoreError> {
        let state = self.state.lock();
        let mut rows: Vec<Row> = state.hard.keys().filter_map(|id| state.row(*id)).collect();
        rows.retain(|row| !row.leased);
        let place = |r: &Row| self.place(r).moved(-penalty.units(r.serves));
        rows.sort_by(|a, b| place(b).compare(&place(a)));
        rows.truncate(n);
        Ok(rows)
    }

    async fn head(&self, n: usize) -> Result<Vec<Headed>, StoreError> {
        let state = self.state.lock();
        let mut samples = Vec::new();
        for ((partition, bucket), members) in self.buckets(&state) {
            for (ordinal, id) in members.iter().enumerate() {
                let address = Address::Hard { partition, bucket, ordinal: ordinal as u32 };
                let rests = state.leases.contains_key(id);
                let standing = self.place(&state.hard[id].row).standing();
                samples.push(Headed { standing, address: (!rests).then_some(address) });
            }
        }
        samples.sort_by(|a, b| b.standing.compare(&a.standing));
        if let Some(below) = samples.get(n).map(|first| first.standing) {
            samples.retain(|sample| sample.standing.compare(&below).is_gt());
        }
        Ok(samples)
    }

    async fn at_ranks(&self, ranks: &[u64]) -> Result<Vec<Option<Place>>, StoreError> {
        let state = self.state.lock();
        let mut places: Vec<Place> = state.hard.values().map(|e| self.place(&e.row)).collect();
        places.sort_by(|a, b| b.compare(a));
        Ok(ranks.iter().map(|rank| places.get(*rank as usize).copied()).collect())
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<ScanPage, StoreError> {
        let state = self.state.lock();
        let mut rows: Vec<Row> = state.hard.keys().filter_map(|id| state.row(*id)).collect();
        rows.retain(|row| cursor.below.is_none_or(|below| self.place(row).compare(&below).is_lt()));
        rows.sort_by(|a, b| self.place(b).compare(&self.place(a)));
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let below = rows.last().map(|row| self.place(row)).filter(|_| has_more);
        Ok(ScanPage { next: below.map(|below| Cursor { partition: 0, below: Some(below) }), rows })
    }

    async fn serve(&self, drawn: &[Drawn], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
        let mut state = self.state.lock();
        let served: Vec<Option<Served>> = drawn
            .iter()
            .map(|Drawn { id, source }| {
                if mark.count && state.leases.contains_key(id) {
                    return None;
                }
                let Some(entry) = state.entry(*id) else {
                    let dense = matches!(self.spec.background, BackgroundSpec::Dense { ids } if *id < ids);
                    let there = dense && !state.removed.contains(id);
                    let rest = mark.rests_until(1).filter(|_| there && mark.count);
                    state.leases.extend(rest.map(|until| (*id, until)));
                    return there.then_some(Served { serves: 1, name: None, payload: None });
                };
                entry.row.serves += u16::from(mark.count);
                let is_hard = entry.row.hard_key.is_some();
                let served = Served {
                    serves: entry.row.serves,
                    name: entry.name.clone(),
                    payload: entry.payload.clone(),
                };
                let is_by_chance = state.thresholds.contains_key(&self.partition(*id));
                if let Some(own) = state.own.get_mut(id).filter(|_| mark.count && is_by_chance) {
                    own.1 = *source == Source::Background || !is_hard;
                }
                if let Some(until) = mark.rests_until(served.serves).filter(|_| mark.count) {
                    state.leases.insert(*id, until);
                    let outside = !state.hard.contains_key(id);
                    if outside {
                        state.outside.insert(*id)
                    } else {
                        state.outside.remove(id)
                    };
                }
                Some(served)
            })
            .collect();
        for (drawn, _) in drawn.iter().zip(&served).filter(|(_, served)| mark.count && served.is_some()) {
            match drawn.source {
                Source::Hard => state.totals.served_hard += 1,
                Source::Background => state.totals.served_background += 1,
            }
        }
        Ok(served)
    }

    async fn expire(&self, now_millis: u64, oldest_stamp: Option<u32>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.leases.retain(|_, end| *end > now_millis);
        self.remove_older(&mut state, oldest_stamp, |_| true);
        Ok(())
    }

    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        let is_leased =
            |id: &&u64, leases: &HashMap<u64, u64>| leases.get(id).is_some_and(|end| *end != WORN_UNTIL);
        let leased: Vec<&u64> = ids.iter().filter(|id| is_leased(id, &state.leases)).collect();
        Ok(leased.into_iter().filter(|id| state.leases.remove(id).is_some()).count() as u64)
    }

    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError> {
        Ok(self.state.lock().applied.iter().any(|(_, applied)| applied == sender))
    }

    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError> {
        let state = self.state.lock();
        Ok(ids.iter().map(|id| state.leases.get(id).copied().filter(|end| *end != WORN_UNTIL)).collect())
    }

    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError> {
        let state = self.state.lock();
        let rows = state.hard.keys().filter_map(|id| state.row(*id));
        Ok(rows.filter(|row| strata.contains(&row.stratum)).collect())
    }

    async fn strata(&self, most: usize) -> Result<Vec<StratumCount>, StoreError> {
        let state = self.state.lock();
        let mut strata: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
        for (source, rows) in [&state.hard, &state.background].into_iter().enumerate() {
            for entry in rows.values() {
                strata.entry(entry.row.stratum).or_default()[source] += 1;
            }
        }
        let count =
            |(stratum, [hard, background]): (u32, [u64; 2])| StratumCount { stratum, hard, background };
        Ok(strata.into_iter().map(count).take(most.saturating_add(1)).collect())
    }

    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError> {
        let mut state = self.state.lock();
        let mut removed = 0;
        for id in ids {
            let was_stored = self.take_out(&mut state, *id);
            removed += u64::from(state.suspects.forget(*id) || was_stored);
        }
        state.totals.removed += removed;
        state.position += 1;
        Ok((removed, state.position))
    }

    async fn level(&self) -> Result<Level, StoreError> {
        let census = self.census().await?;
        let totals = self.totals().await?;
        Ok(Level {
            hard: census.hard,
            floor: census.floor,
            reported: totals.reported,
            served: totals.served(),
        })
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.state.lock().totals)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let census = self.census().await?;
        let totals = self.totals().await?;
        let state = self.state.lock();
        let worn = state.leases.values().filter(|end| **end == WORN_UNTIL).count() as u64;
        Ok(StoreStats {
            hard: census.hard,
            background: census.background.members(),
            distinct: census.background.distinct(),
            loop_ratio: census.background.loop_ratio(),
            leased: census.leased - worn,
            worn,
            quarantine: state.suspects.sizes(),
            totals,
            ..StoreStats::default()
        })
    }
}
