//! The tiers of a census: the buckets of all partitions, joined where their key ranges overlap, in order and with ranks.

use crate::store::{BucketCount, Census, key::Key};

/// Buckets of all partitions whose key ranges overlap. Tiers are disjoint and ordered, the hardest first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tier {
    /// Lowest key, in key units above the reference.
    pub(super) low: i64,
    /// Highest key, inclusive, in key units above the reference.
    pub(super) high: i64,
    /// Number of members, resting ones included.
    pub(super) count: u64,
    /// Members that are not under a lease.
    pub(super) active: u64,
    /// Number of members of all harder tiers, which is the rank of the first member.
    pub(super) rank: u64,
    /// The keys of the active members.
    pub(super) keys: Keys,
}

/// The mean and the spread of some keys, in key units above the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Keys {
    count: f64,
    pub(super) mean: f64,
    /// The sum of the squares of the differences to the mean.
    squares: f64,
}

impl Keys {
    /// The active keys of a bucket whose lowest key is `low` units above the reference.
    fn of(bucket: &BucketCount, low: i64) -> Self {
        let count = f64::from(bucket.count);
        let mean = bucket.offsets.sum as f64 / count.max(1.0);
        let squares = (bucket.offsets.squares as f64 - count * mean * mean).max(0.0);
        Self { count, mean: low as f64 + mean, squares }
    }

    /// The keys of both (Chan, Golub & LeVeque 1979).
    fn with(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count <= 0.0 {
            return self;
        }
        let apart = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + apart * other.count / count,
            squares: self.squares + other.squares + apart * apart * self.count * other.count / count,
        }
    }

    pub(super) fn variance(&self) -> f64 {
        self.squares / self.count.max(1.0)
    }
}

/// The tiers of a census, and the tier of each bucket.
pub(super) struct Tiers {
    /// The tiers, the hardest first.
    pub(super) list: Vec<Tier>,
    /// The index of the tier of each bucket of the census.
    pub(super) of_bucket: Vec<u32>,
    /// The highest key that any member may have. Keys are expressed in units above it, so they are at most 0. Then masses are at most 1,
    /// and they never all underflow, however old the pool is.
    pub(super) reference: Key,
}

impl Tiers {
    pub(super) fn of(census: &Census) -> Self {
        let reference = census
            .buckets
            .iter()
            .map(|b| b.high)
            .reduce(|a, b| if b.since(a) > 0 { b } else { a })
            .unwrap_or_default();
        let range = |b: &BucketCount| (b.low.since(reference), b.high.since(reference));
        let mut order: Vec<u32> = (0..census.buckets.len() as u32).collect();
        order.sort_unstable_by_key(|&i| std::cmp::Reverse(range(&census.buckets[i as usize]).1));
        let mut list: Vec<Tier> = Vec::new();
        let mut of_bucket = vec![0; census.buckets.len()];
        let mut rank = 0;
        for i in order {
            let bucket = &census.buckets[i as usize];
            let (low, high) = range(bucket);
            let (count, active) = (u64::from(bucket.members()), u64::from(bucket.count));
            match list.last_mut() {
                Some(tier) if high >= tier.low => {
                    tier.low = tier.low.min(low);
                    tier.count += count;
                    tier.active += active;
                    tier.keys = tier.keys.with(Keys::of(bucket, low));
                }
                _ => list.push(Tier { low, high, count, active, rank, keys: Keys::of(bucket, low) }),
            }
            of_bucket[i as usize] = list.len() as u32 - 1;
            rank += count;
        }
        Self { list, of_bucket, reference }
    }

    /// The difference of `key` to the reference, in key units.
    pub(super) fn offset(&self, key: Key) -> i64 {
        key.since(self.reference)
    }

    /// The index of the tier that a key is in, or that it is directly above; `None`: it is below all tiers.
    pub(super) fn find(&self, offset: i64) -> Option<usize> {
        let i = self.list.partition_point(|tier| tier.low > offset);
        (i < self.list.len()).then_some(i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{BackgroundCount, Offsets};

    #[test]
    fn overlapping_buckets_of_two_partitions_are_one_tier() {
        let bucket = |partition, low, high, count| BucketCount {
            partition,
            bucket: 0,
            low: Key(low),
            high: Key(high),
            count,
            resting: 1,
            // The first members have the lowest key, the last the highest.
            offsets: Offsets { sum: u64::from(high - low), squares: u64::from(high - low).pow(2) },
        };
        let census = Census {
            buckets: vec![
                bucket(0, 256, 383, 5),
                bucket(0, 0, 127, 2),
                bucket(1, 256, 271, 1),
                bucket(1, 128, 255, 7),
            ],
            hard: 19,
            leased: 4,
            background: BackgroundCount::Dense { ids: 20, removed: 0 },
            floor: None,
        };
        let tiers = Tiers::of(&census);
        assert_eq!(tiers.reference, Key(383));
        let seen: Vec<_> = tiers.list.iter().map(|t| (t.count, t.active, t.rank)).collect();
        assert_eq!(seen, [(8, 6, 0), (8, 7, 8), (3, 2, 16)]);
        assert_eq!(tiers.of_bucket, [0, 2, 0, 1]);
        // Four of five at 256, one at 383, and one at 271.
        let keys = [256.0, 256.0, 256.0, 256.0, 383.0, 271.0_f64].map(|key| key - 383.0);
        let mean = keys.iter().sum::<f64>() / 6.0;
        let variance = keys.iter().map(|key| (key - mean).powi(2)).sum::<f64>() / 6.0;
        let found = tiers.list[0].keys;
        assert!((found.mean - mean).abs() < 1e-9 && (found.variance() - variance).abs() < 1e-9, "{found:?}");
        assert_eq!(tiers.find(tiers.offset(Key(200))), Some(1));
    }
}
