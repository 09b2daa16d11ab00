//! The background as the sampler sees it (docs/methods.md 4.1).

use crate::store::hash::placement_hash;
use crate::store::layout::partition_of;
use crate::store::{Address, BackgroundCount, Census, PartitionBackground, Row};

/// The serving generations: who is in them, how many, and how many ids they stand for.
pub(crate) struct Background<'a> {
    count: &'a BackgroundCount,
    /// |R|.
    pub(crate) size: f64,
    /// N, or its estimate: the sum of |R_s|/p_s.
    distinct: f64,
    /// Of ids that do not rest the probability to be in R is this times p: of any, and of one that does not stand for itself.
    awake: f64,
    awake_outside: f64,
    /// Members that rest.
    resting: f64,
    /// There are resting members in the hard store.
    hard_rests: bool,
}

/// The members of R that one partition has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BackgroundLane {
    /// The partition.
    pub(crate) partition: u16,
    /// Ordinals 0..members address them. Dense ordinals are ids, removed ones included.
    pub(crate) members: u64,
    /// Of the ids of the whole pool the share that one member stands for: (1/p_s)/N.
    pub(crate) share: f64,
}

impl<'a> Background<'a> {
    pub(crate) fn of(census: &'a Census) -> Self {
        let count = &census.background;
        let (size, distinct) = (count.members() as f64, count.distinct());
        let mut background =
            Self { count, size, distinct, awake: 1.0, awake_outside: 1.0, resting: 0.0, hard_rests: false };
        match count {
            BackgroundCount::Dense { .. } => background.resting = census.leased as f64,
            BackgroundCount::Sampled(partitions) => background.rest(partitions),
        }
        background
    }

    /// What leases do to it.
    fn rest(&mut self, partitions: &[PartitionBackground]) {
        let sum = |of: fn(&PartitionBackground) -> f64| partitions.iter().map(of).sum::<f64>();
        self.resting = sum(|p| p.leased_members as f64);
        self.hard_rests = self.resting > sum(|p| p.leased_outside_members as f64);
        self.awake = awake_share(
            sum(|p| (p.members as f64 - p.leased_members as f64) / p.probability()),
            self.distinct - sum(|p| p.leased as f64),
            sum(|p| p.leased as f64),
        );
        self.awake_outside = awake_share(
            sum(|p| {
                (p.members as f64 - p.leased_outside_members as f64) / p.probability() - p.standing() as f64
            }),
            self.distinct - sum(|p| (p.standing() + p.leased_outside) as f64),
            sum(|p| p.leased_outside as f64),
        );
    }

    /// Members that do not rest, at least one.
    pub(crate) fn awake(&self) -> f64 {
        (self.size - self.resting).max(1.0)
    }

    /// What the background has of the id's partition; `None`: every id is a member.
    fn partition_of(&self, id: u64) -> Option<&PartitionBackground> {
        match self.count {
            BackgroundCount::Sampled(partitions) => partitions.get(usize::from(self.partition_number(id))),
            BackgroundCount::Dense { .. } => None,
        }
    }

    /// The partition whose members an id would be among.
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

    /// Whether every id is a member.
    pub(crate) fn is_whole(&self) -> bool {
        match self.count {
            BackgroundCount::Sampled(partitions) => partitions.iter().all(|p| p.threshold.is_none()),
            BackgroundCount::Dense { .. } => true,
        }
    }

    /// |R|/N: p, where all partitions have the same.
    pub(crate) fn mean_probability(&self) -> f64 {
        if self.size > 0.0 { self.size / self.distinct } else { 1.0 }
    }

    /// The probability that a sample which can be drawn only as a member of R, and does not rest, is in R. `alone`: nothing is
    /// drawn but from R.
    pub(crate) fn probability_of(&self, row: &Row, alone: bool) -> f64 {
        let awake = match row.own_key {
            _ if alone => self.awake,
            Some(_) => 1.0,
            None => self.awake_outside,
        };
        self.probability(row.id) * awake
    }

    /// Whether that is exact. Of the samples in the hard store that rest nobody knows which were served as members of R, and so
    /// how many of those that could not have been served otherwise are left in it.
    pub(crate) fn is_exact_for(&self, row: &Row, alone: bool) -> bool {
        alone || row.own_key.is_none() || !self.hard_rests || self.probability(row.id) >= 1.0
    }

    /// N, or its estimate.
    pub(crate) fn distinct(&self) -> f64 {
        self.distinct
    }

    /// Whether it is a whole id space, whose unreported ids are of stratum 0.
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self.count, BackgroundCount::Dense { .. })
    }

    /// Whether a stored sample is in R.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.count.contains(id)
    }

    /// Of the ids of the whole pool the share that a member stands for: (1/p_s)/N. The rate at which it arrives is c times this, so
    /// that every id is drawn alike, whichever partition it is of.
    pub(crate) fn share_of(&self, id: u64) -> f64 {
        1.0 / (self.probability(id) * self.distinct)
    }

    /// The same of a sample that may be no member: 0 then.
    pub(crate) fn share_if_member(&self, id: u64) -> f64 {
        match self.partition_of(id) {
            Some(partition) if partition.contains(id) => 1.0 / (partition.probability() * self.distinct),
            None if self.contains(id) => 1.0 / self.distinct,
            _ => 0.0,
        }
    }

    /// The partitions that members are drawn from.
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

    /// Where the `ordinal`-th member of a lane is.
    pub(crate) fn address(partition: u16, ordinal: u64) -> Address {
        Address::Background { partition, ordinal }
    }
}

/// Non-members seen before we assume that the generation rotated.
const STRANGERS_MIN: usize = 4;

/// Whether most of the counted R has gone, as members and strangers that were met tell: another generation serves. A few strangers
/// are normal: ids come to R while others have left it.
pub(crate) fn is_overtaken(strangers: usize, members: usize) -> bool {
    strangers >= STRANGERS_MIN && strangers > members
}

/// Who is drawn only as a member of R can rest only if it was in R: those that do not rest are in R less often than p, by this
/// factor. `members`: ids that the members left stand for; `ids`: ids that do not rest.
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
    fn one(leased_outside: u64, leased_outside_members: u64) -> PartitionBackground {
        PartitionBackground {
            salt: 1,
            threshold: Some(1 << 61),
            members: 150,
            hard: 200,
            leased: leased_outside,
            leased_members: leased_outside_members,
            leased_outside,
            leased_outside_members,
            // An eighth of the hard store is in R.
            in_hard: 25,
            own: 25,
        }
    }

    #[test]
    fn what_rests_makes_the_others_stand_for_more() {
        let outside = Row::unreported(1);
        let key = Some(crate::store::key::Key(1));
        let hard = Row { hard_key: key, own_key: key, ..outside };
        let probability = |census: &Census, row, alone| Background::of(census).probability_of(row, alone);
        assert_eq!(probability(&census(vec![one(0, 0)]), &outside, false), 0.125);
        // Outside are 1,000, of which 125 in R; 25 rest.
        let rested = census(vec![one(25, 25)]);
        assert!((probability(&rested, &outside, false) - 100.0 / 975.0).abs() < 1e-12);
        assert_eq!(probability(&rested, &hard, false), 0.125);
        // Where all are drawn from R, the 25 that rest are of all 1,200.
        assert!((probability(&rested, &hard, true) - 125.0 / 1_175.0).abs() < 1e-12);
        // 10 of the 25 have left R since: it has none of theirs to miss.
        let left = census(vec![one(25, 15)]);
        assert!((probability(&left, &outside, false) - 110.0 / 975.0).abs() < 1e-12);
        // More than there can be: still a probability.
        assert!(probability(&census(vec![one(10_000, 100)]), &outside, false) > 0.0);
    }

    #[test]
    fn what_of_the_hard_store_rests_leaves_a_guess() {
        let of_hard = PartitionBackground {
            leased: 30,
            leased_members: 5,
            leased_outside: 0,
            leased_outside_members: 0,
            ..one(0, 0)
        };
        let (outside, some) = (Row::unreported(1), census(vec![of_hard]));
        let background = Background::of(&some);
        let key = Some(crate::store::key::Key(1));
        let hard = Row { hard_key: key, own_key: key, ..outside };
        assert!(background.is_exact_for(&outside, false) && background.is_exact_for(&hard, true));
        assert!(!background.is_exact_for(&hard, false));
        let whole = census(vec![PartitionBackground { threshold: None, ..of_hard }]);
        assert!(Background::of(&whole).is_exact_for(&hard, false));
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
