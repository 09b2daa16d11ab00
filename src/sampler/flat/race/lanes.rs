//! The lanes of a race: members that share a bound of their rate, of which it proposes uniformly.

use hashbrown::HashMap;

use super::Field;
use crate::sampler::flat::background::Background;
use crate::sampler::flat::mass::{Band, Mass};
use crate::store::Address;

/// Where the members of a lane are.
pub(super) enum Members<'a> {
    /// In a bucket of the census.
    Bucket(u32),
    /// At these addresses.
    Listed(&'a [Address]),
    /// In the background of a partition.
    Background,
}

/// A set of members that share a bound: those of a bucket, of a tier of the head of RANK, or the background of a partition.
pub(super) struct Lane<'a> {
    pub(super) partition: u16,
    members: Members<'a>,
    /// The band that hard members belong to.
    pub(super) band: Band,
    pub(super) remaining: u64,
    /// Upper bound of the rate of each member.
    pub(super) bound: f64,
    /// A sparse Fisher-Yates shuffle: the ordinal at each index where it is not the index itself.
    moved: HashMap<u64, u64>,
}

impl<'a> Lane<'a> {
    pub(super) fn new(partition: u16, members: Members<'a>, band: Band, remaining: u64, bound: f64) -> Self {
        Self { partition, members, band, remaining, bound, moved: HashMap::new() }
    }

    pub(super) fn is_background(&self) -> bool {
        matches!(self.members, Members::Background)
    }

    fn ordinal(&self, index: u64) -> u64 {
        self.moved.get(&index).copied().unwrap_or(index)
    }

    pub(super) fn address(&self, index: u64) -> Address {
        let ordinal = self.ordinal(index);
        match &self.members {
            Members::Bucket(bucket) => {
                Address::Hard { partition: self.partition, bucket: *bucket, ordinal: ordinal as u32 }
            }
            Members::Listed(addresses) => addresses[ordinal as usize],
            Members::Background => Background::address(self.partition, ordinal),
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

/// A lane for each bucket of the hard store, and each tier of the head of RANK, that the rank window and the cut leave.
pub(super) fn hard_lanes<'a>(field: &Field<'_>, mass: &'a Mass, cut: f64) -> Vec<Lane<'a>> {
    let (first, end) = field.filter.ranks;
    let is_inside = |rank: u64, count: u64| rank < end && rank + count > first;
    let is_wanted = |bound: f64| bound > 0.0 && bound >= cut;
    let mut lanes = Vec::with_capacity(field.census.buckets.len() + 16);
    let head = mass.ranks().map_or(&[][..], |ranks| &ranks.head);
    for (at, tier) in head.iter().enumerate() {
        if is_wanted(tier.mass) && is_inside(tier.rank, tier.count) && !tier.addresses.is_empty() {
            let members = Members::Listed(&tier.addresses);
            lanes.push(Lane::new(0, members, Band::Head(at), tier.addresses.len() as u64, tier.mass));
        }
    }
    let head_len = mass.ranks().map_or(0, |ranks| ranks.head_len);
    for (bucket, &tier) in field.census.buckets.iter().zip(&field.tiers.of_bucket) {
        let at = tier as usize;
        let tier = &field.tiers.list[at];
        let bound = mass.bound(field.tiers.offset(bucket.high), at);
        let in_head = tier.rank + tier.count <= head_len;
        if is_wanted(bound) && is_inside(tier.rank, tier.count) && !in_head {
            let members = Members::Bucket(bucket.bucket);
            lanes.push(Lane::new(bucket.partition, members, Band::Census(at), bucket.count.into(), bound));
        }
    }
    lanes
}
