//! What changes a partition: operations, with everything they depend on inside, and their replies.

use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

use crate::counters::counters;
use crate::hash::placement_hash;
use crate::key::{Hardness, Key};
use crate::row::Served;

/// An operation with its place in the partition's order.
#[derive(Clone, Debug)]
pub struct Op {
    /// Place in the pool's order of operations; grows from one operation of a partition to its next.
    pub position: u64,
    /// What is to be done.
    pub change: Change,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Change {
    /// Scores were reported.
    Report {
        /// Columns that hold this partition's rows, and perhaps others'.
        rows: Arc<Columns>,
        /// Which of them are this partition's. They apply one by one, in order: an id may occur twice.
        range: Range<usize>,
        /// How they are applied.
        terms: Terms,
        /// Whose report it is: one that this partition has applied before is a resend, and does nothing. `None`: it is applied.
        sender: Option<Sender>,
    },
    /// Samples were served.
    Serve {
        /// Samples, each of which is marked if it may be served.
        drawn: Vec<Drawn>,
        /// How they are marked.
        mark: ServeMark,
    },
    /// Leases end before their time.
    Release {
        /// Samples.
        ids: Vec<u64>,
    },
    /// Leases that are over end, and samples that no row reported for too long are removed. What is known of these goes but that they
    /// are trusted; a record in quarantine stays until it is released.
    Expire {
        /// Unix milliseconds.
        now_millis: u64,
        /// The oldest stamp that lives, serial arithmetic mod 2^32; `None`: samples live for ever.
        oldest_stamp: Option<u32>,
    },
    /// Samples go from everywhere.
    Remove {
        /// Samples.
        ids: Vec<u64>,
    },
    /// Samples are set aside by hand: they leave hard store and background, and their rows refresh a record until they are released.
    SetAside {
        /// Samples.
        ids: Vec<u64>,
        /// Samples that this partition sets aside at a time, at most.
        capacity: u64,
        /// D now, in key units.
        decay_units: u64,
        /// Unix milliseconds.
        now_millis: u64,
    },
    /// Samples that were set aside are put back as they were.
    ReleaseQuarantined {
        /// Samples.
        ids: Vec<u64>,
        /// Rows never set them aside again, until they are removed.
        trust: bool,
    },
    /// Ids are blocked: what is stored of them goes, and their rows do nothing until they are unblocked.
    Block {
        /// Ids.
        ids: Vec<u64>,
        /// Their string keys in a pool of names, or empty.
        names: Vec<Arc<str>>,
    },
    /// Ids are blocked no more. As after a removal, the next row of one brings it back.
    Unblock {
        /// Ids.
        ids: Vec<u64>,
    },
    /// All samples go, with their leases, serves, streaks and records. What stays is what is no sample: which reports were applied (they
    /// were, and a resend must not bring them back), the fold, and which ids somebody trusts or blocks (that is about the ids, and says
    /// what is to become of their next rows).
    Clear,
    /// Keys below a floor are lifted to it (what is that old ranks by its score alone).
    Fold {
        /// D less [`crate::key::FOLD_BELOW_UNITS`], in key units.
        floor_units: u64,
    },
}

impl Change {
    /// Rows (or ids) that it is made of.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Report { range, .. } => range.len(),
            Self::Serve { drawn, .. } => drawn.len(),
            Self::Release { ids }
            | Self::Remove { ids }
            | Self::SetAside { ids, .. }
            | Self::ReleaseQuarantined { ids, .. }
            | Self::Block { ids, .. }
            | Self::Unblock { ids } => ids.len(),
            Self::Expire { .. } | Self::Fold { .. } | Self::Clear => 0,
        }
    }
}

/// Reported rows: columns of equal length, scores finite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Placement hashes of the ids.
    pub hashes: Vec<u64>,
    /// Sample ids.
    pub ids: Vec<u64>,
    /// Keys as of this report.
    pub keys: Vec<Key>,
    /// The scores that are stored.
    pub scores: Vec<f32>,
    /// The scores as reported, where those that are stored are others (less a reference), or empty. The quarantine compares these.
    pub raw_scores: Vec<f32>,
    /// String keys, or empty.
    pub names: Vec<Arc<str>>,
    /// Payloads, or empty. Each owns its bytes: a slice of a message would keep all of that alive.
    pub payloads: Vec<Bytes>,
    /// Strata, or empty.
    pub strata: Vec<u32>,
    /// Groups, or empty.
    pub groups: Vec<u64>,
}

impl Columns {
    /// Plain rows, reported when the decay clock stood at `decay_units`.
    #[must_use]
    pub fn plain(ids: Vec<u64>, scores: Vec<f32>, hardness: &Hardness, decay_units: u64) -> Self {
        Self {
            hashes: ids.iter().map(|id| placement_hash(*id)).collect(),
            keys: scores.iter().map(|score| hardness.key(*score, decay_units).0).collect(),
            ids,
            scores,
            ..Self::default()
        }
    }
}

/// How reported rows are applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// D(t) when reported, in key units (docs/methods.md 2.2).
    pub decay_units: u64,
    /// Report time in the pool's clock (the pool chooses the unit), serial arithmetic mod 2^32.
    pub stamp: u32,
    /// A row whose stored stamp is later than `stamp` is `stale` and ignored (step pools).
    pub refuse_stale: bool,
    /// Version of the model that scored the rows.
    pub model_version: u32,
    /// Re-report rule.
    pub update: ScoreUpdate,
    /// Rows that this partition applies to a serving background before a new generation of it begins to fill; `u64::MAX`: never.
    pub renew_after_rows: u64,
    /// When a row sets its sample aside; `None`: no row does, and streaks are forgotten.
    pub quarantine: Option<QuarantineTerms>,
    /// The oldest stamp that lives, serial arithmetic mod 2^32: what is older is removed before the rows apply, and a report whose own
    /// `stamp` is older is `stale` as a whole. `None`: samples live for ever, and when they were last reported is not looked after.
    pub oldest_stamp: Option<u32>,
    /// What was found in the rows before they came here, counted with them.
    pub faults: RowFaults,
}

/// What whoever hands rows over found in them. Each row of a report counts in one partition only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowFaults {
    /// Rows without a finite score, that are not handed over.
    pub non_finite: u64,
    /// Rows outside a dense id space, that are not handed over.
    pub out_of_range: u64,
    /// Keys whose log2 weight was clamped.
    pub clamped: u64,
    /// Scores below [`Hardness::floor_score`].
    pub floored: u64,
}

impl RowFaults {
    /// Counts them.
    pub(crate) fn counts(&self) -> ApplyCounts {
        let Self { non_finite, out_of_range, clamped, floored } = *self;
        ApplyCounts { non_finite, out_of_range, clamped, floored, ..ApplyCounts::default() }
    }

    /// Rows that are not handed over.
    pub(crate) fn rows(&self) -> u64 {
        self.non_finite + self.out_of_range
    }
}

/// When a row sets its sample aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuarantineTerms {
    /// A raw score that is harder than this is suspect. `None`: it is not known yet; streaks neither go on nor end.
    pub threshold: Option<f32>,
    /// Suspect rows of a sample in a row that set it aside. At least 1.
    pub reports: u32,
    /// Samples that this partition sets aside at a time, at most.
    pub capacity: u64,
    /// Unix milliseconds.
    pub now_millis: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            decay_units: 0,
            stamp: 0,
            refuse_stale: false,
            model_version: 0,
            update: ScoreUpdate::Last,
            renew_after_rows: u64::MAX,
            quarantine: None,
            faults: RowFaults::default(),
            oldest_stamp: None,
        }
    }
}

/// Whose report it is, and which of theirs.
///
/// The partition remembers the highest sequence of each epoch of a worker, and which of the 1,023 before that it has applied. A
/// sequence further back is taken for a resend. A worker may begin at any number and leave numbers out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sender {
    /// xxh3-128 of the worker's name.
    pub worker: u128,
    /// Which process of the worker: each counts its sequences for itself.
    pub epoch: u64,
    /// Number of the report among those of the process. 0: it has none, and is applied whenever it comes.
    pub sequence: u64,
}

/// What a re-report does to the stored score.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum ScoreUpdate {
    /// The new score replaces the old.
    #[default]
    Last,
    /// The harder of the two; key and stamp are those of this report.
    Max,
    /// `weight` x new + (1 - `weight`) x old, then keyed as of this report.
    Ema {
        /// In (0, 1].
        weight: f32,
    },
}

/// Where a sample is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The hard store.
    Hard,
    /// The background.
    Background,
}

/// A sample that is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The sample.
    pub id: u64,
    /// What it owes the serve to. `Background`: the answer does not write its own key (docs/methods.md 4.3).
    pub source: Source,
}

impl Drawn {
    /// Samples drawn from one source.
    #[must_use]
    pub fn all(ids: &[u64], source: Source) -> Vec<Self> {
        ids.iter().map(|id| Self { id: *id, source }).collect()
    }
}

/// How to mark served samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServeMark {
    /// Count the serve. False: look only.
    pub count: bool,
    /// Refuse a sample that has been served this often since its last report. `u16::MAX`: no limit.
    pub max_serves: u16,
    /// The sample rests until then, Unix milliseconds; with `count` only.
    pub lease_until: Option<u64>,
}

/// What became of the rows of a report; sums to its rows, those in [`RowFaults`] included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyCounts {
    /// New in the hard store.
    pub inserted: u64,
    /// Known in the hard store, updated.
    pub updated: u64,
    /// Not in the hard store, kept in a background generation.
    pub background_only: u64,
    /// Below the floor and outside the background.
    pub dropped: u64,
    /// Its id stands in an earlier row of the report. It is applied as any other.
    pub coalesced: u64,
    /// Older than what is stored, or than what lives ([`Terms::oldest_stamp`]).
    pub stale: u64,
    /// Of a report that was applied before: nothing was done.
    pub duplicate: u64,
    /// Of a sample that is set aside, or that the row set aside.
    pub quarantined: u64,
    /// Of a blocked id.
    pub blocked: u64,
    /// Without a finite score, so that they did not come here ([`RowFaults`]).
    pub non_finite: u64,
    /// Outside a dense id space, so that they did not come here.
    pub out_of_range: u64,
    /// (Not part of the sum.) Samples that a row set aside.
    pub set_aside: u64,
    /// (Not part of the sum.) Entries that harder ones pushed out.
    pub evicted: u64,
    /// (Not part of the sum.) Keys whose log2 weight was clamped.
    pub clamped: u64,
    /// (Not part of the sum.) Scores below [`Hardness::floor_score`].
    pub floored: u64,
}

counters!(ApplyCounts {
    inserted,
    updated,
    background_only,
    dropped,
    coalesced,
    stale,
    duplicate,
    quarantined,
    blocked,
    non_finite,
    out_of_range,
    set_aside,
    evicted,
    clamped,
    floored,
});

impl ApplyCounts {
    /// Rows of the report, whatever became of them.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.inserted
            + self.updated
            + self.background_only
            + self.dropped
            + self.coalesced
            + self.stale
            + self.duplicate
            + self.quarantined
            + self.blocked
            + self.non_finite
            + self.out_of_range
    }

    /// Adds those of another partition.
    pub fn add(&mut self, more: &Self) {
        self.add_numbers(more);
    }
}

/// What became of samples that were to be set aside by hand. Those that were set aside before are in none of the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAsideCounts {
    /// Set aside now.
    pub set_aside: u64,
    /// Stored nowhere.
    pub absent: u64,
    /// Left where they were, for there was no room.
    pub refused: u64,
}

/// What became of samples that were to be released. Those that were not set aside are in none of the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleaseCounts {
    /// Put back.
    pub released: u64,
    /// Left where they were, for no more ids can be trusted.
    pub refused: u64,
    /// Others that the released pushed out of the hard store.
    pub evicted: u64,
}

/// What became of ids that were to be blocked. Those that were blocked before are in none of the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// Blocked now.
    pub blocked: u64,
    /// Of these, stored or set aside.
    pub removed: u64,
    /// Left as they were, for no more ids can be blocked.
    pub refused: u64,
}

/// What an operation did; it comes with its last step.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Of a report.
    Reported(ApplyCounts),
    /// Of a serve, one an id; `None`: refused by `max_serves` or a lease, or gone.
    Served(Vec<Option<Served>>),
    /// Of a release: leases that ended.
    Released(u64),
    /// Of a removal: samples that were stored.
    Removed(u64),
    /// Of setting aside by hand.
    SetAside(SetAsideCounts),
    /// Of a release from quarantine.
    ReleasedQuarantined(ReleaseCounts),
    /// Of blocking.
    Blocked(BlockCounts),
    /// Of unblocking: ids that were blocked.
    Unblocked(u64),
    /// Of clearing: samples that were stored or set aside.
    Cleared(u64),
    /// Of all else.
    Done,
}
