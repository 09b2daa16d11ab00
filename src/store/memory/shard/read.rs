//! What is read of a shard, and how its samples are marked as served.

use super::{Shard, UNSTORED_SERVES};
use crate::store::hash::placement_hash;
use crate::store::key::Key;
use crate::store::memory::background::Sample;
use crate::store::memory::slots::{Attachment, VACANT};
use crate::store::{Row, ServeMark, Served};

impl Shard {
    /// Which shard this is.
    pub(in crate::store::memory) fn number(&self) -> usize {
        self.number
    }

    /// Ids of the dense space that were removed here.
    pub(in crate::store::memory) fn removed(&self) -> u64 {
        self.removed.len()
    }

    /// Members of the serving generation.
    pub(in crate::store::memory) fn background_len(&self) -> usize {
        self.samples.first().map_or(0, Sample::len)
    }

    /// The member of a bucket.
    pub(in crate::store::memory) fn hard_at(&self, bucket: u32, ordinal: u32) -> Option<Row> {
        let slot = self.buckets.member(bucket, ordinal)?;
        Some(Row { leased: self.buckets.rests_at(bucket, ordinal), ..self.slots.row(slot) })
    }

    /// Starts loading what `hard_at` will read.
    pub(in crate::store::memory) fn prefetch_hard(&self, bucket: u32, ordinal: u32) {
        if let Some(slot) = self.buckets.member(bucket, ordinal) {
            self.slots.prefetch(slot);
        }
    }

    /// The id of a background member.
    pub(in crate::store::memory) fn background_id(&self, ordinal: u64) -> Option<u64> {
        if self.shared.dense_ids > 0 {
            return (ordinal < self.shared.dense_ids).then_some(ordinal);
        }
        self.samples.first()?.id_at(ordinal)
    }

    /// Starts loading the index line of an id.
    pub(in crate::store::memory) fn prefetch_id(&self, id: u64) {
        self.index.prefetch(placement_hash(id));
    }

    /// A sample as stored, the hard store first. Ids of a dense space that are stored nowhere are rows without a score.
    pub(in crate::store::memory) fn row(&self, id: u64) -> Option<Row> {
        let leased = self.leases.contains(id);
        if let Some(slot) = self.find(placement_hash(id), id) {
            return Some(Row { leased, ..self.slots.row(slot) });
        }
        if let Some(row) = self.samples.iter().find_map(|s| s.row(id)) {
            return Some(Row { leased, ..row });
        }
        (id < self.shared.dense_ids && !self.removed.contains(id)).then(|| Row {
            serves: self.unstored_serves.get(&id).copied().unwrap_or(0),
            leased,
            ..Row::unreported(id)
        })
    }

    /// Marks a sample as served.
    pub(in crate::store::memory) fn serve(&mut self, id: u64, mark: ServeMark) -> Option<Served> {
        let row = self.row(id)?;
        if (row.leased && mark.count) || row.serves >= mark.max_serves {
            return None;
        }
        let slot = self.find(placement_hash(id), id);
        let attachment: Option<&Attachment> = match slot {
            Some(slot) => self.slots.attachment(slot),
            None => self.samples.iter().find_map(|s| s.attachment(id)),
        };
        let (name, payload) = attachment.map_or((None, None), |a| (a.name.clone(), a.payload.clone()));
        let mut serves = row.serves;
        if mark.count {
            let mut kept = None;
            for sample in &mut self.samples {
                kept = sample.count_serve(id).or(kept);
            }
            serves = match slot {
                Some(slot) => self.slots.count_serve(slot),
                None => kept.unwrap_or_else(|| self.count_unstored(id)),
            };
            if let Some(until) = mark.lease_until {
                self.start_lease(id, slot, until);
            }
        }
        Some(Served { serves, name, payload })
    }

    fn count_unstored(&mut self, id: u64) -> u16 {
        let serves = self.unstored_serves.entry(id).or_insert(0);
        if *serves == 0 {
            self.unstored_order.push_back(id);
        }
        *serves = serves.saturating_add(1);
        let serves = *serves;
        while self.unstored_order.len() > UNSTORED_SERVES / self.shared.shards {
            if let Some(oldest) = self.unstored_order.pop_front() {
                self.unstored_serves.remove(&oldest);
            }
        }
        serves
    }

    /// Rows of slots `from..`, about `limit` of them, and the slot to go on from.
    pub(in crate::store::memory) fn scan(&self, from: u32, limit: usize) -> (Vec<Row>, Option<u32>) {
        let end = self.slots.touched().min(from.saturating_add(limit as u32));
        let rows = (from..end)
            .filter(|slot| self.slots.get(*slot).position != VACANT)
            .map(|slot| {
                let row = self.slots.row(slot);
                Row { leased: self.leases.contains(row.id), ..row }
            })
            .collect();
        (rows, (end < self.slots.touched()).then_some(end))
    }

    /// Visits (key, serves, id, slot) of the members of a bucket that do not rest.
    pub(in crate::store::memory) fn visit(&self, leaf: u32, mut visit: impl FnMut(Key, u16, u64, u32)) {
        let mut ahead = self.buckets.active_members(leaf).skip(16);
        for slot in self.buckets.active_members(leaf) {
            if let Some(next) = ahead.next() {
                self.slots.prefetch(next);
            }
            let s = self.slots.get(slot);
            visit(s.key, self.slots.serves(slot), s.id, slot);
        }
    }

    pub(in crate::store::memory) fn slot_row(&self, slot: u32) -> Row {
        self.slots.row(slot)
    }
}
