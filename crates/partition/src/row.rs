//! The results of reading a partition: rows, the census, strata, pages and statistics.

use bytes::Bytes;
use std::sync::Arc;

use crate::key::Key;
use crate::place::{Place, Standing};

/// A sample as stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The id of the sample.
    pub id: u64,
    /// Its key without serve penalty, if it is in the hard store.
    pub hard_key: Option<Key>,
    /// The own key (docs/methods.md 4.3). For a member of the serving background: the key that it would have if it had never been served as
    /// a member. For all others: `hard_key`. `None`: the sample is not in the hard store, or would not be by this key.
    pub own_key: Option<Key>,
    /// Raw score; NaN for a dense id that was never reported.
    pub score: f32,
    /// Stamp of the last report; `None` for a dense id that was never reported or is not kept.
    pub stamp: Option<u32>,
    /// Model version of the last report.
    pub model_version: u32,
    /// Serves since the last report.
    pub serves: u16,
    /// The sample rests under a lease.
    pub leased: bool,
    /// The stratum of the last report that had strata.
    pub stratum: u32,
    /// Its group; 0: none.
    pub group: u64,
}

impl Row {
    /// The row of an id of a dense space that was never reported.
    #[must_use]
    pub fn unreported(id: u64) -> Self {
        Self {
            id,
            hard_key: None,
            own_key: None,
            score: f32::NAN,
            stamp: None,
            model_version: 0,
            serves: 0,
            leased: false,
            stratum: 0,
            group: 0,
        }
    }

    /// The place of the sample in the order of the hard store, if it is there.
    #[must_use]
    pub fn place(&self, lower_is_harder: bool) -> Option<Place> {
        self.hard_key.map(|key| Place::of(key, self.score, self.id, lower_is_harder))
    }
}

/// What a serve returns of a sample: its serve count, name and payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Serves since the last report, this one included unless it was a dry run.
    pub serves: u16,
    /// The string key of a `named` pool.
    pub name: Option<Arc<str>>,
    /// The payload, if any.
    pub payload: Option<Bytes>,
}

/// One entry of the census: the samples in a part of the key range. Ordinals 0..count address them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// An opaque handle of the bucket. It is valid until the next operation.
    pub handle: u32,
    /// Lowest key that a member may have.
    pub low: Key,
    /// Highest key that a member may have, inclusive.
    pub high: Key,
    /// Members that do not rest: ordinals 0..count.
    pub count: u32,
    /// Members that rest: ordinals count..count + resting.
    pub resting: u32,
    /// The offsets of the keys of the members that do not rest above `low`.
    pub offsets: Offsets,
}

/// Sums over the offsets of some keys above a lowest one, in key units. They give the mean and the variance of the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// The sum of the offsets. A bucket of 2^32 members of 32 octaves has less than 2^53.
    pub sum: u64,
    /// The sum of the squares of the offsets, saturated: 4 million members of a range of 32 octaves may have more.
    pub squares: u64,
}

impl Offsets {
    /// Adds an offset.
    #[inline]
    pub fn add(&mut self, offset: u64) {
        self.sum += offset;
        self.squares += offset * offset;
    }

    /// Takes an offset out that was added.
    #[inline]
    pub fn take(&mut self, offset: u64) {
        self.sum -= offset;
        self.squares -= offset * offset;
    }

    /// The sums of the same `members` keys above another lowest one, which is `by` lower.
    #[must_use]
    pub fn above_lower(self, by: u64, members: u32) -> Self {
        let members = u64::from(members);
        Self {
            sum: self.sum + by * members,
            squares: self
                .squares
                .saturating_add((2 * by).saturating_mul(self.sum))
                .saturating_add((by * by).saturating_mul(members)),
        }
    }

    /// The sums of the same `members` keys above another lowest one, which is `by` higher and not above any of them.
    #[must_use]
    pub fn above_higher(self, by: u64, members: u32) -> Self {
        let sum = self.sum - by * u64::from(members);
        // Sum of (x - by)^2 = sum of x^2 - 2 by sum of (x - by) - n by^2.
        Self { sum, squares: self.squares - 2 * by * sum - by * by * u64::from(members) }
    }

    /// The sums over two sets of keys above the same lowest one.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, squares: self.squares.saturating_add(other.squares) }
    }
}

/// The hardest samples of a partition.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The samples, in order of leaves, the hardest leaf first, and in no order within a leaf.
    pub samples: Vec<Headed>,
    /// The highest place that a sample outside may have; `None`: there is none outside.
    pub below: Option<Place>,
}

/// One of the hardest samples.
#[derive(Clone, Copy, Debug)]
pub struct Headed {
    /// What ranks the sample.
    pub standing: Standing,
    /// Handle of its leaf, as in [`Bucket::handle`].
    pub handle: u32,
    /// Its ordinal in the leaf.
    pub ordinal: u32,
    /// Whether it rests.
    pub rests: bool,
}

/// The census of a partition: a histogram of its hard store by key, and counts of its background.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// Occupied buckets, the hardest first; at most 1,500.
    pub buckets: Vec<Bucket>,
    /// Samples in the hard store, resting ones included.
    pub hard: u64,
    /// Samples that rest, in the hard store or not: those under a lease, and those served `max_serves` times.
    pub leased: u64,
    /// The serving background.
    pub background: BackgroundCount,
    /// The admission threshold: the place that a new sample must be above to enter the hard store. `None` while there is room.
    pub floor: Option<Place>,
}

/// Counts of the serving background of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackgroundCount {
    /// Salt of the serving generation. Of a dense id space: 0.
    pub salt: u64,
    /// 2^64 x p; `None` while every reported id is a member (p = 1).
    pub threshold: Option<u64>,
    /// Members; ordinals 0..members address them. Of a dense id space: 0, for every id is one.
    pub members: u64,
    /// Ids of a dense space that were removed.
    pub removed: u64,
    /// Members that rest.
    pub leased: u64,
    /// Samples that rest and had no own key when they began to: they were outside the hard store, or would have been by their own keys
    /// (dense: 0).
    pub resting_outside: u64,
    /// The part of `resting_outside` that are still members.
    pub resting_outside_members: u64,
    /// Members that are in the hard store (dense: 0).
    pub in_hard: u64,
    /// The part of `in_hard` that have an own key ([`Row::own_key`]).
    pub own: u64,
}

/// The number of samples of one stratum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StratumCount {
    /// The number of the stratum.
    pub stratum: u32,
    /// Samples in the hard store.
    pub hard: u64,
    /// Members of the serving background, including those in the hard store (dense: 0, the number is not known).
    pub background: u64,
}

impl StratumCount {
    /// The sums of two lists of counts, each in order of stratum: those of the first `most` strata and of one more, if there are so many.
    #[must_use]
    pub fn merged(
        a: impl IntoIterator<Item = Self>,
        b: impl IntoIterator<Item = Self>,
        most: usize,
    ) -> Vec<Self> {
        let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
        let mut merged: Vec<Self> = Vec::new();
        while merged.len() <= most {
            let is_from_a = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => x.stratum <= y.stratum,
                (x, _) => x.is_some(),
            };
            let Some(next) = (if is_from_a { a.next() } else { b.next() }) else { break };
            let same = b.next_if(|other| is_from_a && other.stratum == next.stratum);
            let (hard, background) = same.map_or((0, 0), |other| (other.hard, other.background));
            merged.push(Self { hard: next.hard + hard, background: next.background + background, ..next });
        }
        merged
    }
}

/// Members of the hard store between two places, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lowest place that a member may have.
    pub low: Place,
    /// The highest place that a member may have.
    pub high: Place,
    /// Members, resting ones included.
    pub members: u32,
}

/// A page of the hard store: whole leaves, the hardest first.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    /// The samples, in no order within a leaf.
    pub rows: Vec<Row>,
    /// Where the next page begins: it has the samples below this place. `None`: this page is the last.
    pub below: Option<Place>,
}

/// Sizes of a partition, and the memory that it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartitionStats {
    /// Samples in the hard store.
    pub hard: u64,
    /// Members of the serving background (dense: 0).
    pub background: u64,
    /// 2^64 x p of the serving background; `None` while p is 1.
    pub threshold: Option<u64>,
    /// As in [`BackgroundCount::in_hard`].
    pub in_hard: u64,
    /// As in [`BackgroundCount::own`].
    pub own: u64,
    /// Ids of a dense space that were removed.
    pub removed: u64,
    /// Samples under a lease.
    pub leased: u64,
    /// Samples that were served `max_serves` times, and rest until they are reported.
    pub worn: u64,
    /// Background generations that began so far, including the one that fills.
    pub generations: u64,
    /// Living members of the witness that decides when the next generation takes over.
    pub witness: u64,
    /// Members of the witness that were not reported since the generation that fills began.
    pub witness_pending: u64,
    /// Two estimates of the number of ids: from the witness, whose members are never served, and from the serving background. In a pool
    /// with a time to live no generation takes over while the first is below 9/10 of the second (docs/methods.md 4.4).
    pub distinct: (u64, u64),
    /// Processes of workers whose reports are remembered.
    pub workers: u64,
    /// Samples that are set aside.
    pub quarantined: u64,
    /// Samples that a row would have set aside while the quarantine was full, since the partition was created.
    pub quarantine_overflows: u64,
    /// Samples with a streak: their latest rows were above the threshold.
    pub streaks: u64,
    /// Ids that rows never set aside.
    pub trusted: u64,
    /// Ids that are blocked.
    pub blocked: u64,
    /// As in [`Census::floor`].
    pub floor: Option<Place>,
    /// Bytes of memory: the index, the slots with their side columns, the buckets, and the background with everything else.
    pub memory_bytes: [usize; 4],
}
