//! The lanes of a race: members that share a bound of their rate, of which it proposes uniformly.

use hashbrown::HashMap;

use super::Field;
use crate::sampler::flat::background::Background;
use crate::sampler::flat::mass::Mass;
use crate::store::Address;

/// A set of members that share a bound: those of a bucket, or the background of a partition.
pub(super) struct Lane {
    pub(super) partition: u16,
    /// The bucket; `None`: the background of the partition.
    pub(super) bucket: Option<u32>,
    pub(super) tier: usize,
    pub(super) remaining: u64,
    /// Upper bound of the rate of each member.
    pub(super) bound: f64,
    /// A sparse Fisher-Yates shuffle: the ordinal at each index where it is not the index itself.
    pub(super) moved: HashMap<u64, u64>,
}

impl Lane {
    fn ordinal(&self, index: u64) -> u64 {
        self.moved.get(&index).copied().unwrap_or(index)
    }

    pub(super) fn address(&self, index: u64) -> Address {
        let ordinal = self.ordinal(index);
        match self.bucket {
            Some(bucket) => Address::Hard { partition: self.partition, bucket, ordinal: ordinal as u32 },
            None => Background::address(self.partition, ordinal),
        }
    }

    pub(super) fn remove(&mut self, index: u64) {
        self.remaining -= 1;
        let last = self.ordinal(self.remaining);
        self.moved.remove(&self.remaining);
        if index != self.remaining {
            self.moved.insert(index, last);
        }
    }
}

/// A lane for each bucket of the hard store that the rank windows and the cut leave.
pub(super) fn hard_lanes(field: &Field<'_>, mass: &Mass, cut: f64) -> Vec<Lane> {
    let mut lanes = Vec::with_capacity(field.census.buckets.len() + 16);
    for (bucket, &tier) in field.census.buckets.iter().zip(&field.tiers.of_bucket) {
        let tier = tier as usize;
        let high = field.tiers.offset(bucket.high);
        let bound = mass.bound(high, tier);
        let first = field.tiers.list[tier].rank;
        let outside =
            first >= field.filter.ranks.1 || first + field.tiers.list[tier].count <= field.filter.ranks.0;
        if bound > 0.0 && bound >= cut && !outside {
            lanes.push(Lane {
                partition: bucket.partition,
                bucket: Some(bucket.bucket),
                tier,
                remaining: u64::from(bucket.count),
                bound,
                moved: HashMap::new(),
            });
        }
    }
    lanes
}
