//! The background in a draw: its members, and for how many ids each stands (docs/methods.md 4.1).

use crate::sampler::mixture::Point;
use crate::store::hash::placement_hash;
use crate::store::layout::partition_of;
use crate::store::{Address, BackgroundCount, Census, PartitionBackground};

/// The serving generations of all partitions, as the census counted them.
pub(crate) struct Background<'a> {
    count: &'a BackgroundCount,
    /// |R|.
    pub(crate) size: f64,
    /// N: the number of distinct ids, or the estimate of it, the sum of |R_s|/p_s.
    distinct: f64,
    /// The probability that an id that does not rest is in R, divided by p: of any such id.
    awake: f64,
    /// The same for ids that do not stand for themselves.
    awake_outside: f64,
    /// Number of members that rest.
    resting: f64,
}

/// The members of R in one partition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BackgroundLane {
    /// Number of the partition.
    pub(crate) partition: u16,
    /// Number of members; ordinals 0..members address them. In a dense id space ordinals are ids, removed ids included.
    pub(crate) members: u64,
    /// The share of all ids of the pool that one member stands for: (1/p_s)/N.
    pub(crate) share: f64,
}

impl<'a> Background<'a> {
    pub(crate) fn of(census: &'a Census) -> Self {
        let count = &census.background;
        let (size, distinct) = (count.members() as f64, count.distinct());
        let mut background = Self { count, size, distinct, awake: 1.0, awake_outside: 1.0, resting: 0.0 };
        match count {
            BackgroundCount::Dense { .. } => background.resting = census.leased as f64,
            BackgroundCount::Sampled(partitions) => background.rest(partitions),
        }
        background
    }

    /// Computes the corrections for samples that rest from the counts of the partitions.
    fn rest(&mut self, partitions: &[PartitionBackground]) {
        let sum = |of: fn(&PartitionBackground) -> f64| partitions.iter().map(of).sum::<f64>();
        self.resting = sum(|p| p.resting_members as f64);
        self.awake = awake_share(
            sum(|p| (p.members as f64 - p.resting_members as f64) / p.probability()),
            self.distinct - sum(|p| p.leased as f64),
            sum(|p| p.leased as f64),
        );
        self.awake_outside = awake_share(
            sum(|p| {
                (p.members as f64 - p.resting_outside_members as f64) / p.probability() - p.standing() as f64
            }),
            self.distinct - sum(|p| (p.standing() + p.resting_outside) as f64),
            sum(|p| p.resting_outside as f64),
        );
    }

    /// Number of members that do not rest; at least 1.
    pub(crate) fn awake(&self) -> f64 {
        (self.size - self.resting).max(1.0)
    }

    /// The counts of the partition of an id; `None` for a dense id space, where every id is a member.
    fn partition_of(&self, id: u64) -> Option<&PartitionBackground> {
        match self.count {
            BackgroundCount::Sampled(partitions) => partitions.get(usize::from(self.partition_number(id))),
            BackgroundCount::Dense { .. } => None,
        }
    }

    /// The number of the partition of an id.
    pub(crate) fn partition_number(&self, id: u64) -> u16 {
        match self.count {
            BackgroundCount::Sampled(partitions) => partition_of(placement_hash(id), partitions.len()) as u16,
            BackgroundCount::Dense { .. } => 0,
        }
    }

    /// p: the probability that an id is a member.
    pub(crate) fn probability(&self, id: u64) -> f64 {
        self.partition_of(id).map_or(1.0, PartitionBackground::probability)
    }

    /// |R|/N. It is p if all partitions have the same p.
    pub(crate) fn mean_probability(&self) -> f64 {
        if self.size > 0.0 { self.size / self.distinct } else { 1.0 }
    }

    /// The probability that a sample is in R, if it can be drawn only as a member of R and does not rest. `alone`: the whole batch is drawn
    /// from R.
    ///
    /// A member of the hard store below the cut rests only if it was drawn from R, as those outside it do, so the ratio of these holds for it.
    pub(crate) fn probability_of(&self, id: u64, alone: bool) -> f64 {
        self.probability(id) * if alone { self.awake } else { self.awake_outside }
    }

    /// N: the number of distinct ids, or the estimate of it.
    pub(crate) fn distinct(&self) -> f64 {
        self.distinct
    }

    /// Whether the background is a dense id space, whose unreported ids are of stratum 0.
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self.count, BackgroundCount::Dense { .. })
    }

    /// Whether a stored sample is in R.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.count.contains(id)
    }

    /// The share of all ids of the pool that a member stands for: (1/p_s)/N. A member arrives with c times this rate, so that every id is
    /// equally likely to be drawn, whichever its partition.
    pub(crate) fn share_of(&self, id: u64) -> f64 {
        1.0 / (self.probability(id) * self.distinct)
    }

    /// As [`Self::share_of`], and 0 for a sample that is no member.
    pub(crate) fn share_if_member(&self, id: u64) -> f64 {
        match self.partition_of(id) {
            Some(partition) if partition.contains(id) => 1.0 / (partition.probability() * self.distinct),
            None if self.contains(id) => 1.0 / self.distinct,
            _ => 0.0,
        }
    }

    /// The lanes that members are drawn from: one per partition, or one for a dense id space.
    pub(crate) fn lanes(&self) -> Vec<BackgroundLane> {
        match self.count {
            BackgroundCount::Sampled(partitions) => partitions
                .iter()
                .enumerate()
                .map(|(number, partition)| BackgroundLane {
                    partition: number as u16,
                    members: partition.members,
                    share: 1.0 / (partition.probability() * self.distinct),
                })
                .collect(),
            BackgroundCount::Dense { ids, .. } => {
                vec![BackgroundLane { partition: 0, members: *ids, share: 1.0 / self.distinct }]
            }
        }
    }

    /// The members that do not rest, by the share of all ids that each stands for.
    pub(crate) fn awake_by_share(&self) -> Vec<Point> {
        match self.count {
            BackgroundCount::Sampled(partitions) => partitions
                .iter()
                .map(|partition| Point {
                    weight: partition.members.saturating_sub(partition.resting_members) as f64,
                    mass: 1.0 / (partition.probability() * self.distinct),
                })
                .collect(),
            BackgroundCount::Dense { .. } => {
                vec![Point { weight: self.size - self.resting, mass: 1.0 / self.distinct }]
            }
        }
    }

    /// The share of the hard store that is in R.
    pub(crate) fn overlap(&self) -> f64 {
        match self.count {
            BackgroundCount::Sampled(partitions) => {
                let sum = |of: fn(&PartitionBackground) -> u64| partitions.iter().map(of).sum::<u64>() as f64;
                sum(|p| p.in_hard) / sum(|p| p.hard).max(1.0)
            }
            BackgroundCount::Dense { .. } => 1.0,
        }
    }

    /// The address of the `ordinal`-th member of a lane.
    pub(crate) fn address(partition: u16, ordinal: u64) -> Address {
        Address::Background { partition, ordinal }
    }
}

/// Non-members seen before we assume that the generation rotated.
const NON_MEMBERS_MIN: usize = 4;

/// Whether another generation serves than the one that was counted: of the rows that were read, more are non-members (`non_members`) than
/// members of the counted R. A few non-members are normal, because reports add ids to R while others leave it.
pub(crate) fn is_overtaken(non_members: usize, members: usize) -> bool {
    non_members >= NON_MEMBERS_MIN && non_members > members
}

/// The factor by which ids without a lease are less often in R than p. An id that can be drawn only as a member of R can have a lease only
/// if it was in R, so leases take ids out of R only. `members`: number of ids that the members without a lease stand for; `ids`: number of
/// ids without a lease.
fn awake_share(members: f64, ids: f64, resting: f64) -> f64 {
    if resting == 0.0 {
        return 1.0;
    }
    (members.max(1.0) / ids.max(1.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(partitions: Vec<PartitionBackground>) -> Census {
        Census {
            buckets: Vec::new(),
            hard: partitions.iter().map(|p| p.hard).sum(),
            leased: partitions.iter().map(|p| p.leased).sum(),
            background: BackgroundCount::Sampled(partitions),
            floor: None,
        }
    }

    /// p is 1/8: 150 members stand for 1,200 ids.
    fn one(resting_outside: u64, resting_outside_members: u64) -> PartitionBackground {
        PartitionBackground {
            salt: 1,
            threshold: Some(1 << 61),
            members: 150,
            hard: 200,
            leased: resting_outside,
            resting_members: resting_outside_members,
            resting_outside,
            resting_outside_members,
            // An eighth of the hard store is in R.
            in_hard: 25,
            own: 25,
        }
    }

    #[test]
    fn leases_make_the_other_members_stand_for_more_ids() {
        let probability = |census: &Census, alone| Background::of(census).probability_of(1, alone);
        assert_eq!(probability(&census(vec![one(0, 0)]), false), 0.125);
        // 1,000 ids are outside the hard store, 125 of them in R; 25 of these are under a lease.
        let rested = census(vec![one(25, 25)]);
        assert!((probability(&rested, false) - 100.0 / 975.0).abs() < 1e-12);
        // If all samples are drawn from R, the 25 leased ids are among all 1,200.
        assert!((probability(&rested, true) - 125.0 / 1_175.0).abs() < 1e-12);
        // 10 of the 25 have left R since, so R lacks only 15 members.
        let left = census(vec![one(25, 15)]);
        assert!((probability(&left, false) - 110.0 / 975.0).abs() < 1e-12);
        // With counts that cannot be, the result is a probability all the same.
        assert!(probability(&census(vec![one(10_000, 100)]), false) > 0.0);
    }

    #[test]
    fn each_partition_has_its_own_p() {
        let thin = PartitionBackground { threshold: Some(1 << 60), members: 50, ..one(0, 0) };
        let census = census(vec![one(0, 0), thin]);
        let background = Background::of(&census);
        // 150 x 8 and 50 x 16.
        assert_eq!((background.size, background.distinct()), (200.0, 2000.0));
        let lanes = background.lanes();
        assert_eq!(lanes.iter().map(|l| l.share * 2000.0).collect::<Vec<_>>(), [8.0, 16.0]);
        let shares: f64 = lanes.iter().map(|l| l.share * l.members as f64).sum();
        assert!((shares - 1.0).abs() < 1e-12);
        for id in 0..100 {
            let lane = &lanes[partition_of(placement_hash(id), 2)];
            assert_eq!(background.share_of(id), lane.share);
        }
    }
}
