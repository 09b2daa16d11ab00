//! Noise quarantine (METHODS 8, DECISIONS 23): a sample whose raw score stays above the pool's running quantile in so many
//! consecutive reports is set aside, never served, and listed until it is released.
//!
//! The way of a batch: [`Quarantine::screen`] takes the rows of samples in quarantine out before the store sees them and
//! notes who is above the quantile; [`Quarantine::settle`] counts streaks once the store has the batch. `flow.rs` takes
//! those set aside out of the store before the batch is acknowledged; `gate.rs` sees to it that no report of before brings
//! one back.
//!
//! Per row it costs a hash and a look into tables of the few that are suspected; a pool that never had the rule has empty
//! tables and is not looked at.

mod flow;
mod gate;
#[cfg(test)]
mod order_tests;
mod quantile;
mod screen;
mod streaks;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use super::clock::Moment;
use crate::store::Row;
use crate::store::hash::placement_hash;
pub use flow::QuarantinePage;
use gate::{Gate, Passage};
pub use quantile::ROWS_MIN;
use quantile::{RunningQuantile, Sampled};
use streaks::{IdMap, IdSet, Streak, Streaks};

/// Parts of the tables, each with its own lock.
const SHARDS: usize = 16;
/// Streaks remembered of a pool, some 30 MB; beyond, those not reported for longest are forgotten.
pub const STREAKS_MAX: usize = 1 << 20;
/// Samples that are never set aside again, of a pool.
pub const TRUSTED_MAX: u64 = 1 << 20;
/// Largest `capacity`.
pub const CAPACITY_MAX: u64 = 1 << 20;

/// When a sample is set aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuarantineRule {
    /// Above this quantile of the raw scores (below 1 - it where lower is harder). [0.5, 1).
    pub quantile: f64,
    /// In so many consecutive reports. 2 ..= 65,535.
    pub reports: u32,
    /// Samples set aside at a time. 1 ..= [`CAPACITY_MAX`].
    pub capacity: u64,
}

impl Default for QuarantineRule {
    fn default() -> Self {
        Self { quantile: 0.99, reports: 5, capacity: 1 << 16 }
    }
}

impl QuarantineRule {
    /// The ranges: whether each holds, the field below `quarantine`, and what is wrong otherwise.
    pub(super) fn checks(&self) -> [(bool, &'static str, String); 3] {
        [
            (
                (0.5..1.0).contains(&self.quantile),
                "quarantine.quantile",
                format!("{} is not in 0.5..1", self.quantile),
            ),
            (
                (2..=65_535).contains(&self.reports),
                "quarantine.reports",
                format!("{} is not in 2..=65535", self.reports),
            ),
            (
                (1..=CAPACITY_MAX).contains(&self.capacity),
                "quarantine.capacity",
                format!("{} is not in 1..={CAPACITY_MAX}", self.capacity),
            ),
        ]
    }
}

/// A sample in quarantine.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// Its id, or the hash of its name.
    pub id: u64,
    /// Its string key, in a pool of names.
    pub name: Option<Arc<str>>,
    /// Raw score as last reported.
    pub score: f32,
    /// What a release stores: the score less its reference.
    pub stored_score: f32,
    /// The quantile when it was set aside.
    pub threshold: f32,
    /// Reports that made it suspect.
    pub reports: u32,
    /// When it was set aside.
    pub time: SystemTime,
    /// The pool's clock at the last report.
    pub moment: Moment,
    /// Of the last report.
    pub model_version: u32,
    /// As last reported.
    pub payload: Option<Bytes>,
    /// Its stratum.
    pub stratum: u32,
    /// Its group; 0: none.
    pub group: u64,
}

impl Quarantined {
    fn attached_bytes(&self) -> usize {
        self.name.as_ref().map_or(0, |name| name.len() + 16) + self.payload.as_ref().map_or(0, Bytes::len)
    }
}

/// A row that concerns the quarantine: the last of its id in the batch.
#[derive(Debug)]
struct Concerned {
    id: u64,
    raw: f32,
    stored: f32,
    name: Option<Arc<str>>,
    payload: Option<Bytes>,
    /// `None`: the report had none.
    stratum: Option<u32>,
    group: Option<u64>,
}

/// What [`Quarantine::screen`] saw in a batch.
#[derive(Debug, Default)]
pub(super) struct Screened {
    /// Rows taken out: of samples in quarantine.
    held: Vec<Concerned>,
    /// Rows left in that begin, continue or end a streak.
    watched: Vec<Concerned>,
    /// Rows taken out whose id a later row of the batch has.
    coalesced: u64,
    sampled: Option<Sampled>,
    /// The quantile that the batch is held against.
    threshold: Option<f32>,
}

/// When and by which model a batch was scored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) moment: Moment,
    pub(super) refuse_stale: bool,
    pub(super) model_version: u32,
}

/// What became of the rows that concerned the quarantine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// Of samples in quarantine.
    pub(super) quarantined: u64,
    /// Of samples in quarantine, older than what is known.
    pub(super) stale: u64,
    pub(super) coalesced: u64,
    /// To be taken out of the store.
    pub(super) set_aside: Vec<u64>,
}

/// The quarantine of a pool.
#[derive(Debug)]
pub(super) struct Quarantine {
    gate: Gate,
    /// It has had a rule, so that its tables may hold something.
    is_used: AtomicBool,
    quantile: RunningQuantile,
    shards: [RwLock<Shard>; SHARDS],
    /// Records, trusted ids, and bytes attached to records, of all shards.
    held: AtomicU64,
    trusted: AtomicU64,
    attached_bytes: AtomicUsize,
    overflows: AtomicU64,
    streaks_half_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    records: IdMap<Quarantined>,
    streaks: Streaks,
    trusted: IdSet,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self {
            gate: Gate::default(),
            is_used: AtomicBool::new(false),
            quantile: RunningQuantile::default(),
            shards: Default::default(),
            held: AtomicU64::new(0),
            trusted: AtomicU64::new(0),
            attached_bytes: AtomicUsize::new(0),
            overflows: AtomicU64::new(0),
            streaks_half_max: STREAKS_MAX / SHARDS / 2,
        }
    }
}

fn shard_of(hash: u64) -> usize {
    // Not the bits that the maps within a shard go by.
    (hash >> 32) as usize % SHARDS
}

impl Quarantine {
    fn shard(&self, id: u64) -> &RwLock<Shard> {
        &self.shards[shard_of(placement_hash(id))]
    }

    /// Takes over a rule; without one, streaks and quantile are forgotten and what is set aside stays.
    pub(super) fn configure(&self, rule: Option<&QuarantineRule>) {
        if rule.is_some() {
            self.is_used.store(true, Ordering::Release);
            return;
        }
        if self.is_used.load(Ordering::Acquire) {
            self.quantile.clear();
            for shard in &self.shards {
                shard.write().streaks = Streaks::default();
            }
        }
    }

    /// A report begins.
    pub(super) async fn enter(&self) -> Passage<'_> {
        self.gate.enter().await
    }

    /// Samples set aside.
    pub(super) fn len(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Samples that were to be set aside while it was full.
    pub(super) fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// The quantile that scores are held against now; `None` before [`ROWS_MIN`] rows.
    pub(super) fn threshold(&self, rule: &QuarantineRule, lower_is_harder: bool) -> Option<f32> {
        self.quantile.at(if lower_is_harder { 1.0 - rule.quantile } else { rule.quantile })
    }

    /// Learns the batch's scores, brings records up to date, counts streaks, and sets aside. The store has applied the batch.
    pub(super) fn settle(
        &self,
        rule: Option<&QuarantineRule>,
        lower_is_harder: bool,
        screened: Screened,
        report: Report,
    ) -> Settled {
        if let Some(sampled) = &screened.sampled {
            self.quantile.learn(sampled);
        }
        let mut settled = Settled { coalesced: screened.coalesced, ..Settled::default() };
        for row in screened.held {
            if self.refresh(row, report) {
                settled.quarantined += 1;
            } else {
                settled.stale += 1;
            }
        }
        let Some((rule, threshold)) = rule.zip(screened.threshold) else {
            return settled;
        };
        for row in screened.watched {
            let is_above = is_above(row.raw, threshold, lower_is_harder);
            let id = row.id;
            if self.count(rule, threshold, is_above, row, report) {
                settled.set_aside.push(id);
            }
        }
        settled
    }

    /// Brings a record up to date; false when the report is older than it.
    fn refresh(&self, row: Concerned, report: Report) -> bool {
        let mut shard = self.shard(row.id).write();
        let Some(record) = shard.records.get_mut(&row.id) else {
            return true;
        };
        if report.refuse_stale && is_later(record.moment.stamp, report.moment.stamp) {
            return false;
        }
        let before = record.attached_bytes();
        record.score = row.raw;
        record.stored_score = row.stored;
        record.moment = report.moment;
        record.model_version = report.model_version;
        record.stratum = row.stratum.unwrap_or(record.stratum);
        record.group = row.group.unwrap_or(record.group);
        if let Some(payload) = row.payload {
            // A slice of the message it came in would keep all of that alive.
            record.payload = Some(Bytes::copy_from_slice(&payload));
        }
        let after = record.attached_bytes();
        self.attached_bytes.fetch_add(after, Ordering::Relaxed);
        self.attached_bytes.fetch_sub(before, Ordering::Relaxed);
        true
    }

    /// Counts a report of a sample that is not in quarantine; true when that set it aside.
    fn count(
        &self,
        rule: &QuarantineRule,
        threshold: f32,
        is_above: bool,
        row: Concerned,
        report: Report,
    ) -> bool {
        let mut shard = self.shard(row.id).write();
        // Set aside by another report meanwhile.
        if shard.records.contains_key(&row.id) {
            return false;
        }
        let old = shard.streaks.get(row.id);
        if report.refuse_stale && old.is_some_and(|old| is_later(old.stamp, report.moment.stamp)) {
            return false;
        }
        if !is_above || shard.trusted.contains(&row.id) {
            shard.streaks.end(row.id);
            return false;
        }
        let streak = Streak {
            reports: old.map_or(1, |old| old.reports.saturating_add(1)),
            stamp: report.moment.stamp,
            refused: old.is_some_and(|old| old.refused),
        };
        if streak.reports < rule.reports {
            shard.streaks.put(row.id, streak, self.streaks_half_max);
            return false;
        }
        let room = |held: u64| (held < rule.capacity).then_some(held + 1);
        if self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_err() {
            if !streak.refused {
                self.overflows.fetch_add(1, Ordering::Relaxed);
            }
            shard.streaks.put(row.id, Streak { refused: true, ..streak }, self.streaks_half_max);
            return false;
        }
        shard.streaks.end(row.id);
        let record = Quarantined {
            id: row.id,
            name: row.name,
            score: row.raw,
            stored_score: row.stored,
            threshold,
            reports: streak.reports,
            time: SystemTime::now(),
            moment: report.moment,
            model_version: report.model_version,
            payload: row.payload.map(|payload| Bytes::copy_from_slice(&payload)),
            stratum: row.stratum.unwrap_or_default(),
            group: row.group.unwrap_or_default(),
        };
        self.attached_bytes.fetch_add(record.attached_bytes(), Ordering::Relaxed);
        shard.records.insert(row.id, record);
        true
    }

    /// Gives a record the attributes that the store has: those of its report, or of one before.
    fn characterise(&self, row: &Row) {
        let mut shard = self.shard(row.id).write();
        if let Some(record) = shard.records.get_mut(&row.id) {
            (record.stratum, record.group) = (row.stratum, row.group);
        }
    }

    /// Gives a record the payload that the store had, where its report brought none.
    fn attach(&self, id: u64, payload: Bytes) {
        let mut shard = self.shard(id).write();
        if let Some(record) = shard.records.get_mut(&id)
            && record.payload.is_none()
        {
            self.attached_bytes.fetch_add(payload.len(), Ordering::Relaxed);
            record.payload = Some(payload);
        }
    }

    /// The record of a sample.
    pub(super) fn get(&self, id: u64) -> Option<Quarantined> {
        if self.len() == 0 {
            return None;
        }
        self.shard(id).read().records.get(&id).cloned()
    }

    /// Takes a sample out of quarantine; whether it was there.
    fn take(&self, id: u64) -> bool {
        let mut shard = self.shard(id).write();
        let Some(record) = shard.records.remove(&id) else {
            return false;
        };
        self.held.fetch_sub(1, Ordering::AcqRel);
        self.attached_bytes.fetch_sub(record.attached_bytes(), Ordering::Relaxed);
        true
    }

    fn trust(&self, id: u64) {
        if self.shard(id).write().trusted.insert(id) {
            self.trusted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets all that is known of a sample; whether it was in quarantine.
    fn forget(&self, id: u64) -> bool {
        let was_held = self.take(id);
        let mut shard = self.shard(id).write();
        shard.streaks.end(id);
        if shard.trusted.remove(&id) {
            self.trusted.fetch_sub(1, Ordering::Relaxed);
        }
        was_held
    }

    /// Up to `limit` samples with ids over `after`, in order of id, and whether more follow.
    pub(super) fn page(&self, mut after: Option<u64>, limit: usize) -> (Vec<Quarantined>, bool) {
        loop {
            let mut ids = self.ids();
            ids.retain(|id| after.is_none_or(|after| *id > after));
            let more = ids.len() > limit;
            if more {
                ids.select_nth_unstable(limit);
                ids.truncate(limit);
            }
            ids.sort_unstable();
            after = ids.last().copied();
            let records: Vec<Quarantined> = ids.into_iter().filter_map(|id| self.get(id)).collect();
            // A page that was released meanwhile is not the end.
            if !more || !records.is_empty() {
                return (records, more);
            }
        }
    }

    fn ids(&self) -> Vec<u64> {
        self.shards
            .iter()
            .flat_map(|shard| shard.read().records.keys().copied().collect::<Vec<_>>())
            .collect()
    }

    /// Bytes of records, streaks, trusted ids and the quantile.
    pub(super) fn memory_bytes(&self) -> u64 {
        if !self.is_used.load(Ordering::Acquire) {
            return 0;
        }
        let tables: usize = self
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.read();
                shard.records.allocation_size()
                    + shard.streaks.memory_bytes()
                    + shard.trusted.allocation_size()
            })
            .sum();
        (tables + self.attached_bytes.load(Ordering::Relaxed) + self.quantile.memory_bytes()) as u64
    }
}

fn is_above(score: f32, threshold: f32, lower_is_harder: bool) -> bool {
    if lower_is_harder { score < threshold } else { score > threshold }
}

/// Whether stamp `a` is later than `b`, in serial arithmetic.
fn is_later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}
