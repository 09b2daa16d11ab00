//! The masses of ranks (docs/methods.md 5.2): exact for the hardest samples, by tier below.
//!
//! The hardest samples are read in order. The first [`EXACT`] ranks have each their own mass; below, each mass is for ranks of which the last
//! is at most [`RATIO`] times the first. Ties, which nothing but a hash orders, share the mean mass of their ranks. All other samples have the
//! mean mass of the ranks of their tier of the census.

use super::tiers::Tiers;
use crate::store::place::Standing;
use crate::store::{Address, Headed};

/// About the number of samples that are read in order. With more, the distribution of a pool of 1 to 10 million comes no nearer to the formula
/// than the tiers of the ratio allow: a total variation of .007 at alpha 1.
pub(super) const HEAD: usize = 16_384;
/// Ranks that have each their own mass.
const EXACT: u64 = 256;
/// The maximal ratio of the last rank to the first rank of one mass.
const RATIO: f64 = 1.09;
/// Ranks up to this, and no more ranks than this, are summed one by one. Beyond, the Euler-Maclaurin formula has a relative error below 1e-5.
const SUMMED_RANKS: u64 = 64;

/// Samples of one mass: ties, or neighbours in the order.
#[derive(Debug)]
pub(super) struct RankTier {
    /// The rank of the first, from 0.
    pub(super) rank: u64,
    /// Number of samples, resting ones included.
    pub(super) count: u64,
    /// The samples that do not rest.
    pub(super) addresses: Vec<Address>,
    pub(super) mass: f64,
    /// The lowest standing of a sample of the tier.
    last: Standing,
}

/// The masses of all ranks.
#[derive(Debug)]
pub(super) struct RankMasses {
    /// The hardest samples, the hardest first.
    pub(super) head: Vec<RankTier>,
    /// Number of samples in `head`.
    pub(super) head_len: u64,
    /// The mass of the samples of each tier of the census that are not in the head.
    below: Vec<f64>,
    /// The mean mass of all samples of each tier of the census.
    whole: Vec<f64>,
    alpha: f64,
    lower_is_harder: bool,
}

impl RankMasses {
    pub(super) fn of(head: &[Headed], tiers: &Tiers, alpha: f64, lower_is_harder: bool) -> Self {
        let mut masses = Self {
            head: Vec::new(),
            head_len: head.len() as u64,
            below: Vec::with_capacity(tiers.list.len()),
            whole: Vec::with_capacity(tiers.list.len()),
            alpha,
            lower_is_harder,
        };
        for tier in &tiers.list {
            let end = tier.rank + tier.count;
            masses.whole.push(masses.mean(tier.rank, end));
            masses.below.push(masses.mean(tier.rank.max(masses.head_len.min(end - 1)), end));
        }
        for ties in head.chunk_by(|a, b| a.standing == b.standing) {
            masses.push(ties);
        }
        let means: Vec<f64> =
            masses.head.iter().map(|tier| masses.mean(tier.rank, tier.rank + tier.count)).collect();
        masses.head.iter_mut().zip(means).for_each(|(tier, mass)| tier.mass = mass);
        masses
    }

    /// Appends ties to the last tier of the head if its ranks stay near enough, else as a tier of their own.
    fn push(&mut self, ties: &[Headed]) {
        let count = ties.len() as u64;
        let addresses = ties.iter().filter_map(|headed| headed.address);
        let Some(first) = ties.first() else {
            return;
        };
        let rank = self.head.last().map_or(0, |tier| tier.rank + tier.count);
        let joins =
            |tier: &RankTier| tier.rank >= EXACT && (rank + count) as f64 <= RATIO * (tier.rank + 1) as f64;
        match self.head.last_mut().filter(|tier| joins(tier)) {
            Some(tier) => {
                tier.count += count;
                tier.addresses.extend(addresses);
                tier.last = first.standing;
            }
            None => self.head.push(RankTier {
                rank,
                count,
                addresses: addresses.collect(),
                mass: 0.0,
                last: first.standing,
            }),
        }
    }

    /// The mean mass of the ranks first+1 ..= end, where ranks count from 1.
    fn mean(&self, first: u64, end: u64) -> f64 {
        rank_mass(first, end, self.alpha) / (end - first).max(1) as f64
    }

    /// The index in the head of a sample of this standing, or of one directly above it; `None`: it is below the head.
    pub(super) fn find(&self, standing: Standing) -> Option<usize> {
        let at = self.head.partition_point(|tier| tier.last.compare(&standing).is_gt());
        (at < self.head.len()).then_some(at)
    }

    /// The mass of a sample of the census' tier `tier` that is below the head.
    pub(super) fn below(&self, tier: usize) -> f64 {
        self.below[tier]
    }

    /// The mean mass of a tier of the census.
    pub(super) fn whole(&self, tier: usize) -> f64 {
        self.whole[tier]
    }

    pub(super) fn lower_is_harder(&self) -> bool {
        self.lower_is_harder
    }
}

/// The sum of r^-alpha over the ranks first+1 ..= last, where ranks count from 1.
pub(crate) fn rank_mass(first: u64, last: u64, alpha: f64) -> f64 {
    let f = |r: f64| r.powf(-alpha);
    let summed_to = if last - first <= SUMMED_RANKS { last } else { SUMMED_RANKS.max(first) };
    let head: f64 = (first + 1..=summed_to).map(|r| f(r as f64)).sum();
    if last == summed_to {
        return head;
    }
    let (a, b) = (summed_to as f64, last as f64);
    let integral = if (alpha - 1.0).abs() < 1e-9 {
        (b / a).ln()
    } else {
        (b.powf(1.0 - alpha) - a.powf(1.0 - alpha)) / (1.0 - alpha)
    };
    let slope = |r: f64| -alpha * r.powf(-alpha - 1.0);
    head + integral + (f(b) - f(a)) / 2.0 + (slope(b) - slope(a)) / 12.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::flat::tiers::Tier;
    use crate::store::key::Key;

    fn headed(key: u32, ordinal: u32) -> Headed {
        let standing = Standing { key: Key(key), score: 7 };
        Headed { standing, address: Some(Address::Hard { partition: 0, bucket: 0, ordinal }) }
    }

    /// Tiers of 8,192 samples each, as leaves of one partition may be.
    fn tiers(n: u64) -> Tiers {
        let tier = |i: u64| Tier {
            low: -(i as i64) - 1,
            high: -(i as i64) - 1,
            count: (n - 8192 * i).min(8192),
            active: (n - 8192 * i).min(8192),
            rank: 8192 * i,
            keys: Default::default(),
        };
        let list = (0..n.div_ceil(8192)).map(tier).collect();
        Tiers { list, of_bucket: Vec::new(), reference: Key(0) }
    }

    /// The total variation is at most .008 for alpha .5 to 2 (docs/methods.md 5.2).
    #[test]
    fn the_masses_are_those_of_the_formula() {
        let n: u64 = 1_000_000;
        let head: Vec<Headed> = (0..20_000).map(|i| headed(1_000_000 - i, i)).collect();
        for alpha in [0.0, 0.5, 1.0, 2.0] {
            let masses = RankMasses::of(&head, &tiers(n), alpha, false);
            let law = |rank: u64| (rank as f64).powf(-alpha);
            let of_rank = |rank: u64| match head.get(rank as usize - 1) {
                Some(headed) => masses.head[masses.find(headed.standing).unwrap()].mass,
                None => masses.below((rank as usize - 1) / 8192),
            };
            assert!((1..=EXACT).all(|rank| (of_rank(rank) / law(rank) - 1.0).abs() < 1e-9), "alpha {alpha}");
            let sum: f64 = (1..=n).map(law).sum();
            let total: f64 = (1..=n).map(of_rank).sum();
            assert!((total / sum - 1.0).abs() < 1e-4, "alpha {alpha}: {total} of {sum}");
            let apart: f64 = (1..=n).map(|rank| (law(rank) - of_rank(rank)).abs()).sum();
            assert!(apart / 2.0 / sum < 0.008, "alpha {alpha}: {}", apart / 2.0 / sum);
        }
    }

    #[test]
    fn ties_share_the_mean_mass_of_their_ranks() {
        // The hardest alone, then 3 ties, then 1,000 ties, then one.
        let keys = [(9, 1), (8, 3), (7, 1_000), (6, 1)];
        let head: Vec<Headed> =
            keys.iter().flat_map(|(key, n)| (0..*n).map(|ordinal| headed(*key, ordinal))).collect();
        let masses = RankMasses::of(&head, &tiers(1_005), 1.0, false);
        let found: Vec<(u64, u64)> = masses.head.iter().map(|tier| (tier.rank, tier.count)).collect();
        assert_eq!(found, [(0, 1), (1, 3), (4, 1_000), (1_004, 1)]);
        assert!((masses.head[1].mass - (1.0 / 2.0 + 1.0 / 3.0 + 1.0 / 4.0) / 3.0).abs() < 1e-12);
        assert_eq!(masses.find(headed(7, 0).standing), Some(2));
        assert_eq!(masses.find(headed(5, 0).standing), None);
        // A sample that has come since stands with the next one below it.
        assert_eq!(masses.find(headed(10, 0).standing), Some(0));
    }

    #[test]
    fn rank_mass_agrees_with_the_plain_sum() {
        for alpha in [0.0, 0.5, 1.0, 1.0 + 1e-7, 2.0, 16.0] {
            for (first, last) in [(0, 1), (0, 64), (0, 65), (10, 3000), (64, 65), (5000, 90_000)] {
                let plain: f64 = (first + 1..=last).map(|r| (r as f64).powf(-alpha)).sum();
                let fast = rank_mass(first, last, alpha);
                assert!(
                    (fast - plain).abs() <= 1e-5 * plain,
                    "alpha {alpha} ranks {first}..{last}: {fast} {plain}"
                );
            }
        }
    }
}
