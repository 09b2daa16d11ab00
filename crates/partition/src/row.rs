//! What is read of a partition.

use bytes::Bytes;
use std::sync::Arc;

use crate::key::Key;
use crate::place::Place;

/// A sample as stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The sample.
    pub id: u64,
    /// Its key without serve penalty, if it is in the hard store.
    pub hard_key: Option<Key>,
    /// The key by which it stands for itself in estimates (docs/methods.md 4.3): of a member of the serving background that it would have
    /// if it had never been served as one, of all others `hard_key`. `None`: it is not in the hard store, or by that key would not be.
    pub own_key: Option<Key>,
    /// Raw score; NaN for a dense id that was never reported.
    pub score: f32,
    /// Stamp of the last report; `None` for a dense id that was never reported or is not kept.
    pub stamp: Option<u32>,
    /// Model version of the last report.
    pub model_version: u32,
    /// Serves since the last report.
    pub serves: u16,
    /// It rests under a lease.
    pub leased: bool,
    /// Its stratum.
    pub stratum: u32,
    /// Its group; 0: none.
    pub group: u64,
}

impl Row {
    /// A dense id that was never reported.
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

    /// Its place in the order of the hard store, if it is there.
    #[must_use]
    pub fn place(&self, lower_is_harder: bool) -> Option<Place> {
        self.hard_key.map(|key| Place::of(key, self.score, self.id, lower_is_harder))
    }
}

/// A served sample's attachments and its serve count, this serve included.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Serves since the last report, this one included unless it was a dry run.
    pub serves: u16,
    /// The string key of a `named` pool.
    pub name: Option<Arc<str>>,
    /// The payload, if any.
    pub payload: Option<Bytes>,
}

/// Members of a part of the key range. Ordinals 0..count address them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The partition's name for it; opaque, and good for as long as nothing is applied.
    pub handle: u32,
    /// Lowest key that a member may have.
    pub low: Key,
    /// Highest key that a member may have, inclusive.
    pub high: Key,
    /// Members that do not rest: ordinals 0..count.
    pub count: u32,
    /// Members under a lease: the ordinals after those.
    pub resting: u32,
}

/// A partition counted: its hard store bucket by bucket, and its background.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Census {
    /// Occupied buckets, the hardest first; at most 1,500.
    pub buckets: Vec<Bucket>,
    /// Samples in the hard store, resting ones included.
    pub hard: u64,
    /// Samples under a lease, of either source.
    pub leased: u64,
    /// The serving background.
    pub background: BackgroundCount,
    /// The place that a new sample must be above; `None` while there is room.
    pub floor: Option<Place>,
}

/// The serving background of a partition as counted.
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
    /// Members under a lease.
    pub leased: u64,
    /// Samples under a lease that did not stand for themselves when it started: outside the hard store, or by their own keys (dense: 0).
    pub leased_outside: u64,
    /// Those of these that are still members.
    pub leased_outside_members: u64,
    /// Members that are in the hard store (dense: 0).
    pub in_hard: u64,
    /// Those of these that stand for themselves ([`Row::own_key`]).
    pub own: u64,
}

/// Samples of one stratum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StratumCount {
    /// The stratum.
    pub stratum: u32,
    /// Of the hard store.
    pub hard: u64,
    /// Of the serving background, members of the hard store included (dense: 0, it is not known).
    pub background: u64,
}

/// Members of the hard store between two places, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// No member is below.
    pub low: Place,
    /// No member is above.
    pub high: Place,
    /// Members, resting ones included.
    pub members: u32,
}

/// A page of the hard store, the hardest parts first.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    /// Members, in no order within a part.
    pub rows: Vec<Row>,
    /// Where to go on: everything below is yet to come. `None` at the end.
    pub below: Option<Place>,
}

/// Sizes and costs of a partition now.
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
    /// Background generations so far, the one that fills included.
    pub generations: u64,
    /// Living members of the witness that decides when the next generation takes over.
    pub witness: u64,
    /// Those of them that the generation that fills has not seen.
    pub witness_pending: u64,
    /// About how many ids live: by the witness, which only reports keep alive that answer no serve, and by the serving background. In a
    /// pool with a time to live no generation takes over while the first is below 9/10 of the second (docs/methods.md 4.4).
    pub distinct: (u64, u64),
    /// Processes of workers whose reports are remembered.
    pub workers: u64,
    /// Samples that are set aside.
    pub quarantined: u64,
    /// Samples that were to be set aside while there was no room, since the partition was made.
    pub quarantine_overflows: u64,
    /// Samples with rows above the threshold in a row.
    pub streaks: u64,
    /// Ids that rows never set aside.
    pub trusted: u64,
    /// Ids that are blocked.
    pub blocked: u64,
    /// As in [`Census::floor`].
    pub floor: Option<Place>,
    /// Bytes of the index, of slots with their side columns, of buckets, and of the background with all else.
    pub memory_bytes: [usize; 4],
}
