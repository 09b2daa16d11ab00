//! The background as the sampler sees it (METHODS 6, DECISIONS 6).

use crate::store::hash::background_hash;
use crate::store::{Address, BackgroundCount, Census, Row};

/// The serving generation: who is in it, how many, and how many ids it stands for.
pub(in crate::pool) struct Background<'a> {
    count: &'a BackgroundCount,
    /// |R|.
    pub(in crate::pool) size: f64,
    /// p, the inclusion probability of an id.
    pub(in crate::pool) probability: f64,
    /// Of an id that does not rest: of any, and of one outside the hard store.
    awake: f64,
    awake_outside: f64,
    /// Members that rest.
    resting: f64,
    /// There are resting members in the hard store.
    hard_rests: bool,
}

impl<'a> Background<'a> {
    pub(in crate::pool) fn of(census: &'a Census) -> Self {
        let count = &census.background;
        let (size, probability) = match count {
            BackgroundCount::Sampled { threshold, counts, .. } => (
                counts.iter().map(|&c| u64::from(c)).sum::<u64>() as f64,
                threshold.map_or(1.0, |t| t as f64 / 2f64.powi(64)),
            ),
            BackgroundCount::Dense { ids, removed } => (ids.saturating_sub(*removed) as f64, 1.0),
        };
        Self {
            count,
            size,
            probability,
            awake: awake_probability(
                size,
                size / probability,
                census.leased_background as f64,
                census.leased as f64,
                probability,
            ),
            awake_outside: awake_probability(
                size - probability * census.hard as f64,
                size / probability - census.hard as f64,
                census.leased_outside_background as f64,
                census.leased_outside as f64,
                probability,
            ),
            resting: census.leased_background as f64,
            hard_rests: census.leased_background > census.leased_outside_background,
        }
    }

    /// Members that do not rest, at least one.
    pub(super) fn awake(&self) -> f64 {
        (self.size - self.resting).max(1.0)
    }

    /// The probability that a sample which can be drawn only as a member of R, and does not rest, is in R. `alone`: nothing is
    /// drawn but from R.
    pub(super) fn probability_of(&self, row: &Row, alone: bool) -> f64 {
        match row.hard_key {
            _ if alone => self.awake,
            Some(_) => self.probability,
            None => self.awake_outside,
        }
    }

    /// Whether that is exact. Of the samples in the hard store that rest nobody knows which were served as members of R, and so
    /// how many of those that could not have been served otherwise are left in it.
    pub(super) fn is_exact_for(&self, row: &Row, alone: bool) -> bool {
        alone || self.probability >= 1.0 || row.hard_key.is_none() || !self.hard_rests
    }

    /// N, or its estimate |R|/p.
    pub(in crate::pool) fn distinct(&self) -> f64 {
        self.size / self.probability
    }

    /// Whether it is a whole id space, whose unreported ids are of stratum 0.
    pub(super) fn is_dense(&self) -> bool {
        matches!(self.count, BackgroundCount::Dense { .. })
    }

    /// Whether a stored sample is in R.
    pub(in crate::pool) fn contains(&self, id: u64) -> bool {
        match self.count {
            BackgroundCount::Sampled { salt, threshold, .. } => {
                threshold.is_none_or(|t| background_hash(id, *salt) < t)
            }
            BackgroundCount::Dense { ids, .. } => id < *ids,
        }
    }

    /// The partitions that members are drawn from: (partition, ordinals). Dense ordinals are ids, removed ones included.
    pub(in crate::pool) fn lanes(&self) -> Vec<(u16, u64)> {
        match self.count {
            BackgroundCount::Sampled { counts, .. } => counts
                .iter()
                .enumerate()
                .map(|(partition, &count)| (partition as u16, u64::from(count)))
                .collect(),
            BackgroundCount::Dense { ids, .. } => vec![(0, *ids)],
        }
    }

    /// Where the `ordinal`-th member of a lane is.
    pub(in crate::pool) fn address(partition: u16, ordinal: u64) -> Address {
        Address::Background { partition, ordinal }
    }
}

/// So many strangers are no accident.
const STRANGERS_MIN: usize = 4;

/// Whether most of the counted R has gone, as members and strangers that were met tell: another generation serves. A few strangers
/// are normal: ids come to R while others have left it and are not yet cleared away.
pub(in crate::pool) fn is_overtaken(strangers: usize, members: usize) -> bool {
    strangers >= STRANGERS_MIN && strangers > members
}

/// Who is drawn only as a member of R can rest only if it was in R: those that do not rest are in R less often than p. Of n ids
/// with m members, l of which rest with k of them (still) members: (m - k)/(n - l).
fn awake_probability(members: f64, ids: f64, resting_members: f64, resting: f64, probability: f64) -> f64 {
    if resting == 0.0 {
        return probability;
    }
    ((members - resting_members).max(1.0) / (ids - resting).max(1.0)).min(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_makes_the_others_stand_for_more() {
        let census = |leased_outside| Census {
            buckets: Vec::new(),
            hard: 200,
            leased: leased_outside,
            leased_background: leased_outside,
            leased_outside,
            leased_outside_background: leased_outside,
            background: BackgroundCount::Sampled { salt: 1, threshold: Some(1 << 61), counts: vec![100, 50] },
            floor: None,
        };
        // p is 1/8, N 1,200; outside are 1,000, of which 125 in R.
        let outside = Row::unreported(1);
        assert_eq!(Background::of(&census(0)).probability_of(&outside, false), 0.125);
        let rested = census(25);
        let background = Background::of(&rested);
        assert!((background.probability_of(&outside, false) - 100.0 / 975.0).abs() < 1e-12);
        let hard = Row { hard_key: Some(crate::store::key::Key(1)), ..outside };
        assert_eq!(background.probability_of(&hard, false), 0.125);
        // Where all are drawn from R, the 25 that rest are of all 1,200.
        assert!((background.probability_of(&hard, true) - 125.0 / 1_175.0).abs() < 1e-12);
        // 10 of the 25 have left R since: it has none of theirs to miss.
        let left = Census { leased_background: 15, leased_outside_background: 15, ..census(25) };
        assert!((Background::of(&left).probability_of(&outside, false) - 110.0 / 975.0).abs() < 1e-12);
        // More than there can be: still a probability.
        assert!(Background::of(&census(10_000)).probability_of(&outside, false) > 0.0);
    }

    #[test]
    fn what_of_the_hard_store_rests_leaves_a_guess() {
        let census = Census {
            buckets: Vec::new(),
            hard: 200,
            leased: 30,
            leased_background: 5,
            leased_outside: 0,
            leased_outside_background: 0,
            background: BackgroundCount::Sampled { salt: 1, threshold: Some(1 << 61), counts: vec![150] },
            floor: None,
        };
        let (outside, background) = (Row::unreported(1), Background::of(&census));
        let hard = Row { hard_key: Some(crate::store::key::Key(1)), ..outside };
        assert!(background.is_exact_for(&outside, false) && background.is_exact_for(&hard, true));
        assert!(!background.is_exact_for(&hard, false));
        let whole = BackgroundCount::Sampled { salt: 1, threshold: None, counts: vec![150] };
        assert!(Background::of(&Census { background: whole, ..census.clone() }).is_exact_for(&hard, false));
    }
}
