//! What a draw sees first: the census, and the highest of a shard.

use super::MemoryStore;
use super::leases::LeasedMembers;
use super::shard::Shard;
use crate::store::key::Key;
use crate::store::{BackgroundCount, BackgroundSpec, BucketCount, Census, Row, ServePenalty};

impl MemoryStore {
    /// A census, unless a shard turned out to be in a later generation of the background than the others.
    pub(super) fn count_once(&self) -> Option<Census> {
        let generations = self.generations();
        let mut overtaken = false;
        let mut of_shards = vec![Vec::new(); self.cells.len()];
        let mut counts = vec![0; self.cells.len()];
        let (mut hard, mut removed, mut leased) = (0, 0, 0);
        let mut resting = LeasedMembers::default();
        self.each_of(0..self.cells.len(), |number, shard| {
            let buckets = &mut of_shards[number];
            buckets.reserve(128);
            if self.shared.dense_ids == 0 {
                overtaken |= !shard.follow(&generations);
            }
            shard.buckets.descend(|bucket, leaf| {
                hard += u64::from(leaf.len());
                buckets.push(BucketCount {
                    partition: number as u16,
                    bucket,
                    low: leaf.low,
                    high: leaf.high(),
                    count: leaf.active(),
                    resting: leaf.len() - leaf.active(),
                });
                true
            });
            counts[number] = shard.background_len() as u32;
            removed += shard.removed();
            leased += shard.leased() as u64;
            let of_shard = shard.leased_members();
            resting.members += of_shard.members;
            resting.outside += of_shard.outside;
            resting.outside_ever += of_shard.outside_ever;
        });
        if overtaken {
            return None;
        }
        let background = match self.spec.background {
            BackgroundSpec::Dense { ids } => BackgroundCount::Dense { ids, removed },
            BackgroundSpec::Sampled { .. } => BackgroundCount::Sampled {
                salt: generations.serving.salt,
                threshold: generations.serving.threshold(),
                counts,
            },
        };
        // In order of the shards, whichever was free first: the same seed draws the same batch.
        let (buckets, floor) = (of_shards.concat(), self.shared.floor());
        Some(Census {
            buckets,
            hard,
            leased,
            leased_background: resting.members,
            leased_outside: resting.outside_ever,
            leased_outside_background: resting.outside,
            background,
            floor,
        })
    }
}

/// The n highest of a shard by key less penalty. A bucket is read only if its highest key could still be among them.
pub(super) fn top_of(
    shard: &Shard,
    n: usize,
    penalty: ServePenalty,
    scan_limit: usize,
) -> Vec<(Key, u64, Row)> {
    let mut best: Vec<(Key, u64, u32)> = Vec::new();
    let order = |a: &(Key, u64, u32), b: &(Key, u64, u32)| b.0.serial_cmp(a.0).then(a.1.cmp(&b.1));
    let mut read = 0;
    shard.buckets.descend(|bucket, leaf| {
        if best.len() >= n {
            best.select_nth_unstable_by(n - 1, order);
            best.truncate(n);
            if leaf.high().since(best[n - 1].0) < 0 || read >= scan_limit {
                return false;
            }
        }
        shard.visit(bucket, |key, serves, id, slot| {
            best.push((key.plus(-penalty.units(serves)), id, slot));
        });
        read += leaf.active() as usize;
        true
    });
    if best.len() > n {
        best.select_nth_unstable_by(n - 1, order);
        best.truncate(n);
    }
    best.into_iter().map(|(key, id, slot)| (key, id, shard.slot_row(slot))).collect()
}
