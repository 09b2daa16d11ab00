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
    /// Of an id outside the hard store that does not rest.
    awake_probability: f64,
    /// Members that rest.
    resting: f64,
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
            awake_probability: awake_probability(census, size, probability),
            resting: census.leased_background as f64,
        }
    }

    /// Members that do not rest, at least one.
    pub(super) fn awake(&self) -> f64 {
        (self.size - self.resting).max(1.0)
    }

    /// The probability that a sample which is not hard, but could be drawn now, is in R.
    pub(super) fn probability_of(&self, row: &Row) -> f64 {
        if row.hard_key.is_some() { self.probability } else { self.awake_probability }
    }

    /// N, or its estimate |R|/p.
    pub(in crate::pool) fn distinct(&self) -> f64 {
        self.size / self.probability
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

/// Who is outside the hard store can rest only if it was in R: those that do not rest are in R less often than p. With N_o ids
/// outside and l of them at rest, (p N_o - l)/(N_o - l).
fn awake_probability(census: &Census, size: f64, probability: f64) -> f64 {
    let resting = census.leased_outside as f64;
    if resting == 0.0 {
        return probability;
    }
    let members = (size - probability * census.hard as f64 - resting).max(1.0);
    let outside = (size / probability - census.hard as f64 - resting).max(1.0);
    (members / outside).min(probability)
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
            background: BackgroundCount::Sampled { salt: 1, threshold: Some(1 << 61), counts: vec![100, 50] },
            floor: None,
        };
        // p is 1/8, N 1,200; outside are 1,000, of which 125 in R.
        let outside = Row::unreported(1);
        assert_eq!(Background::of(&census(0)).probability_of(&outside), 0.125);
        let rested = census(25);
        let background = Background::of(&rested);
        assert!((background.probability_of(&outside) - 100.0 / 975.0).abs() < 1e-12);
        let hard = Row { hard_key: Some(crate::store::key::Key(1)), ..outside };
        assert_eq!(background.probability_of(&hard), 0.125);
        // More than there can be: still a probability.
        assert!(Background::of(&census(10_000)).probability_of(&outside) > 0.0);
    }
}
