//! Reads samples of a partition.

use super::{Partition, ServePenalty};
use crate::hard::buckets::Buckets;
use crate::hash::placement_hash;
use crate::key::Key;
use crate::op::Sender;
use crate::place::{Place, ordered_score};
use crate::row::{Head, Headed, Row, ScanPage, Span};

impl Partition {
    /// Whether a report of this sender was applied, or is so old that it is taken for a resend. False for sequence 0, which is no resend.
    #[must_use]
    pub fn has_applied(&self, sender: &Sender) -> bool {
        self.dedupe.has(sender)
    }

    /// The member of a bucket of the census.
    #[must_use]
    pub fn hard_at(&self, handle: u32, ordinal: u32) -> Option<Row> {
        let slot = self.hard.buckets.member(handle, ordinal)?;
        Some(Row { leased: self.hard.buckets.rests_at(handle, ordinal), ..self.hard_row(slot) })
    }

    /// A sample of the hard store, with `leased` not set.
    fn hard_row(&self, slot: u32) -> Row {
        let row = self.hard.slots.row(slot);
        let member = self.serving().and_then(|serving| serving.position(row.id));
        Row { own_key: self.own_key(member, row.hard_key), ..row }
    }

    /// [`Row::own_key`] of a sample of the hard store whose key is `key`. `member`: its position in the serving background.
    #[inline]
    pub(super) fn own_key(&self, member: Option<usize>, key: Option<Key>) -> Option<Key> {
        let lower = self.hard.lower_is_harder;
        let own = self.serving().zip(member).and_then(|(serving, at)| serving.own_place(at, lower));
        match own {
            None => key,
            Some(own) => {
                let is_below = self.floor().is_some_and(|floor| own.compare(&floor).is_lt());
                (!is_below).then_some(own.key)
            }
        }
    }

    /// Prefetches the list entry in which `hard_at` finds the slot.
    pub fn prefetch_member(&self, handle: u32, ordinal: u32) {
        self.hard.buckets.prefetch_member(handle, ordinal);
    }

    /// Prefetches the slot that `hard_at` will read.
    pub fn prefetch_hard(&self, handle: u32, ordinal: u32) {
        if let Some(slot) = self.hard.buckets.member(handle, ordinal) {
            self.hard.slots.prefetch(slot);
        }
    }

    /// Prefetches the index line of an id.
    pub fn prefetch(&self, id: u64) {
        self.hard.prefetch_line(placement_hash(id));
    }

    /// Prefetches what a serve of an id will touch first.
    pub(super) fn prefetch_serve(&self, id: u64) {
        self.prefetch(id);
        if let Some(background) = &self.background {
            background.samples().for_each(|sample| _ = sample.prefetch(id));
        }
    }

    /// The id of a member of the serving background. In a dense space the ordinal is the id.
    #[must_use]
    pub fn background_id(&self, ordinal: u64) -> Option<u64> {
        match self.serving() {
            Some(serving) => serving.id_at(ordinal),
            None => (ordinal < self.dense_ids()).then_some(ordinal),
        }
    }

    /// A member of the serving background, as [`Self::row`] returns it. Its position is known, which saves lookups.
    #[must_use]
    pub fn background_at(&self, ordinal: u64) -> Option<Row> {
        let Some(serving) = self.serving() else {
            return self.background_id(ordinal).and_then(|id| self.row(id));
        };
        let id = serving.id_at(ordinal)?;
        let (at, leased) = (ordinal as usize, self.leases.contains(id));
        Some(match self.hard.find(placement_hash(id), id) {
            None => Row { leased, ..serving.row_at(at) },
            Some(slot) => {
                let row = self.hard.slots.row(slot);
                Row { leased, own_key: self.own_key(Some(at), row.hard_key), ..row }
            }
        })
    }

    /// A stored sample, as the hard store has it if it does. Ids of a dense space that are not stored are rows without a score.
    #[must_use]
    pub fn row(&self, id: u64) -> Option<Row> {
        match self.hard.find(placement_hash(id), id) {
            Some(slot) => Some(Row { leased: self.leases.contains(id), ..self.hard_row(slot) }),
            None => self.row_outside(id),
        }
    }

    /// A sample that is not in the hard store.
    pub(super) fn row_outside(&self, id: u64) -> Option<Row> {
        let leased = self.leases.contains(id);
        if let Some(background) = &self.background {
            let row = background.samples().find_map(|sample| sample.row(id))?;
            return Some(Row { leased, ..row });
        }
        (id < self.dense_ids() && !self.removed.contains(id)).then(|| Row {
            serves: self.unstored_serves.get(&id).copied().unwrap_or(0),
            leased,
            ..Row::unreported(id)
        })
    }

    /// The `n` samples of the hard store with the highest places after `penalty` is subtracted from their keys, with these places, the
    /// hardest first. Samples that rest are left out, and samples with a key below that of `floor`. Reads whole leaves until `scan_limit`
    /// rows are read.
    #[must_use]
    pub fn top(
        &self,
        n: usize,
        penalty: ServePenalty,
        scan_limit: usize,
        floor: Option<Place>,
    ) -> Vec<(Place, Row)> {
        if n == 0 {
            return Vec::new();
        }
        let lower = self.hard.lower_is_harder;
        // Hashes are needed only between samples of one key and score.
        let rank = |slot: u32| self.hard.slots.place(slot, lower).rank;
        let mut best: Vec<(Key, u32, u32)> = Vec::new();
        let harder = |a: &(Key, u32, u32), b: &(Key, u32, u32)| {
            let by_score = || b.1.cmp(&a.1).then_with(|| rank(b.2).cmp(&rank(a.2)));
            b.0.serial_cmp(a.0).then_with(by_score)
        };
        let place = |(key, _, slot): (Key, u32, u32)| Place { key, rank: rank(slot) };
        let mut read = 0;
        self.hard.buckets.descend(|leaf, highest| {
            if floor.is_some_and(|floor| highest.compare(&floor).is_lt()) {
                return false;
            }
            if best.len() >= n {
                best.select_nth_unstable_by(n - 1, harder);
                best.truncate(n);
                if highest.compare(&place(best[n - 1])).is_lt() {
                    return false;
                }
            }
            // Rows below the floor count as read, so that the limit ends at the same leaf whatever the floor.
            if read >= n.max(scan_limit) {
                return false;
            }
            let mut ahead = self.hard.buckets.active_members(leaf).skip(16);
            for slot in self.hard.buckets.active_members(leaf) {
                if let Some(next) = ahead.next() {
                    self.hard.slots.prefetch(next);
                }
                let s = self.hard.slots.get(slot);
                let key = s.key.plus(-penalty.units(self.hard.slots.serves(slot)));
                read += 1;
                if floor.is_none_or(|floor| key.since(floor.key) >= 0) {
                    best.push((key, ordered_score(s.score, lower), slot));
                }
            }
            true
        });
        if best.len() > n {
            best.select_nth_unstable_by(n - 1, harder);
            best.truncate(n);
        }
        best.sort_unstable_by(harder);
        best.into_iter().map(|found| (place(found), self.hard_row(found.2))).collect()
    }

    /// At least the `n` hardest samples, those that rest included, in whole leaves.
    #[must_use]
    pub fn head(&self, n: usize) -> Head {
        let lower = self.hard.lower_is_harder;
        let mut head = Head::default();
        self.hard.buckets.descend(|leaf, highest| {
            if head.samples.len() >= n {
                head.below = Some(highest);
                return false;
            }
            let active = self.hard.buckets.active_members(leaf).count();
            let mut ahead = self.hard.buckets.members(leaf).skip(16);
            for (ordinal, slot) in self.hard.buckets.members(leaf).enumerate() {
                if let Some(next) = ahead.next() {
                    self.hard.slots.prefetch(next);
                }
                head.samples.push(Headed {
                    standing: self.hard.slots.place(slot, lower).standing(),
                    handle: Buckets::handle_of(leaf),
                    ordinal: ordinal as u32,
                    rests: ordinal >= active,
                });
            }
            true
        });
        head
    }

    /// A page of at least `limit` samples of the hard store below a place (`None`: from the hardest on), in whole leaves, the hardest
    /// first.
    #[must_use]
    pub fn scan(&self, below: Option<Place>, limit: usize) -> ScanPage {
        let mut page = ScanPage::default();
        let mut is_last = true;
        self.hard.buckets.descend(|leaf, highest| {
            if page.rows.len() >= limit {
                page.below = Some(highest);
                is_last = false;
                return false;
            }
            // Operations since the last page may have joined this leaf with one that was read.
            let resting_from = self.hard.buckets.active_members(leaf).count();
            for (position, slot) in self.hard.buckets.members(leaf).enumerate() {
                let place = || self.hard.slots.place(slot, self.hard.lower_is_harder);
                if below.is_none_or(|below| place().compare(&below).is_le()) {
                    page.rows.push(Row { leased: position >= resting_from, ..self.hard_row(slot) });
                }
            }
            true
        });
        if is_last {
            page.below = None;
        }
        page
    }

    /// The leaves that hold keys from `low` to `high`, the hardest first.
    #[must_use]
    pub fn spans(&self, low: Key, high: Key) -> Vec<Span> {
        let mut spans = Vec::new();
        self.hard.buckets.descend_between(low, high, |leaf, low, high| {
            spans.push(Span { low, high, members: self.hard.buckets.leaf_len(leaf) });
        });
        spans
    }

    /// The places of all samples in the leaves that overlap `low` to `high`, in no order.
    #[must_use]
    pub fn places(&self, low: Place, high: Place) -> Vec<Place> {
        let mut places = Vec::new();
        self.hard.buckets.descend_between(low.key, high.key, |leaf, lowest, highest| {
            if highest.compare(&low).is_ge() && lowest.compare(&high).is_le() {
                let members = self.hard.buckets.members(leaf);
                places.extend(members.map(|slot| self.hard.slots.place(slot, self.hard.lower_is_harder)));
            }
        });
        places
    }

    /// The samples of the hard store that belong to a stratum other than 0, the hardest first.
    #[must_use]
    pub fn of_stratum(&self, stratum: u32) -> Vec<Row> {
        let mut slots: Vec<u32> = self.hard.strata.members(stratum).collect();
        slots.sort_by_cached_key(|slot| self.hard.slots.get(*slot).id);
        let mut placed: Vec<(Place, u32)> = slots
            .into_iter()
            .map(|slot| (self.hard.slots.place(slot, self.hard.lower_is_harder), slot))
            .collect();
        placed.sort_by(|a, b| b.0.compare(&a.0));
        let row = |(_, slot): (Place, u32)| {
            let row = self.hard_row(slot);
            Row { leased: self.leases.contains(row.id), ..row }
        };
        placed.into_iter().map(row).collect()
    }
}
