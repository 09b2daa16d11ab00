//! Operations, which change a partition and carry everything that their effect depends on, and their replies.

use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

use crate::counters::counters;
use crate::hash::placement_hash;
use crate::key::{Hardness, Key};
use crate::row::Served;

/// A change with its position in the log of operations.
#[derive(Clone, Debug)]
pub struct Op {
    /// Position in the pool's log of operations. Grows from one operation of a partition to its next.
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
        /// The rows that are this partition's. They apply one by one, in order: an id may occur twice.
        range: Range<usize>,
        /// How the rows are applied.
        terms: Terms,
        /// Who sent the report. A report that this partition has applied before is a resend and changes nothing. `None`: it is applied.
        sender: Option<Sender>,
    },
    /// Samples were served.
    Serve {
        /// The samples. Each is marked as served unless it may not be served.
        drawn: Vec<Drawn>,
        /// How the samples are marked.
        mark: ServeMark,
    },
    /// Ends leases before their time.
    Release {
        /// The ids of the samples.
        ids: Vec<u64>,
    },
    /// Ends leases that have run out, and removes samples that no row reported since `oldest_stamp`. A removed sample stays trusted if it
    /// was; everything else about it is forgotten. A record in quarantine does not expire.
    Expire {
        /// Unix milliseconds.
        now_millis: u64,
        /// Samples with older stamps are removed, by serial arithmetic mod 2^32. `None`: samples do not expire.
        oldest_stamp: Option<u32>,
    },
    /// Removes samples from hard store, background, witness and quarantine.
    Remove {
        /// The ids of the samples.
        ids: Vec<u64>,
    },
    /// Sets samples aside by hand: they leave hard store and background, and later rows update only their record until they are released.
    SetAside {
        /// The ids of the samples.
        ids: Vec<u64>,
        /// The number of samples that this partition has set aside at a time, at most.
        capacity: u64,
        /// D now, in key units.
        decay_units: u64,
        /// Unix milliseconds.
        now_millis: u64,
    },
    /// Puts samples that were set aside back as they were.
    ReleaseQuarantined {
        /// The ids of the samples.
        ids: Vec<u64>,
        /// Trusts the samples: no row sets them aside again until they are removed.
        trust: bool,
    },
    /// Blocks ids: what is stored of them is removed, and their rows are ignored until they are unblocked.
    Block {
        /// The ids to block.
        ids: Vec<u64>,
        /// The string keys of the ids in a `named` pool, or empty.
        names: Vec<Arc<str>>,
    },
    /// Unblocks ids. The next row of an id stores it again, as after a removal.
    Unblock {
        /// The ids to unblock.
        ids: Vec<u64>,
    },
    /// Removes all samples with their leases, serves, streaks and records. Kept are the reports that were applied (a resend must not bring
    /// samples back), the fold, and which ids are trusted or blocked (that decides about their next rows).
    Clear,
    /// Lifts keys below a floor to the floor. Samples that old are then ordered by their scores alone.
    Fold {
        /// D less [`crate::key::FOLD_BELOW_UNITS`], in key units.
        floor_units: u64,
    },
}

impl Change {
    /// The number of rows or ids in the change.
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
    /// The scores as reported, where a reference was subtracted from the stored ones; else empty. The quarantine compares these.
    pub raw_scores: Vec<f32>,
    /// String keys, or empty.
    pub names: Vec<Arc<str>>,
    /// Payloads, or empty. Each owns its bytes: a slice of a message would keep the whole message in memory.
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
    /// A new generation of the background begins to fill once this partition has applied so many rows since the last one took over;
    /// `u64::MAX`: never.
    pub renew_after_rows: u64,
    /// When a row sets its sample aside. `None`: no row does, and all streaks are forgotten.
    pub quarantine: Option<QuarantineTerms>,
    /// Samples with older stamps, by serial arithmetic mod 2^32, are removed before the rows apply. A report whose own `stamp` is older is
    /// `stale` as a whole. `None`: samples do not expire, and the partition keeps no queue of expiry times.
    pub oldest_stamp: Option<u32>,
    /// Faults that the host found in the rows, to be counted with them.
    pub faults: RowFaults,
}

/// Faults that the host found in the rows of a report. Each row is counted in one partition only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowFaults {
    /// Rows without a finite score. They are not in the columns.
    pub non_finite: u64,
    /// Rows whose id is outside the dense id space. They are not in the columns.
    pub out_of_range: u64,
    /// Keys whose log2 weight was clamped.
    pub clamped: u64,
    /// Scores below [`Hardness::floor_score`].
    pub floored: u64,
}

impl RowFaults {
    /// The faults as counts of a report.
    pub(crate) fn counts(&self) -> ApplyCounts {
        let Self { non_finite, out_of_range, clamped, floored } = *self;
        ApplyCounts { non_finite, out_of_range, clamped, floored, ..ApplyCounts::default() }
    }

    /// The number of rows that are not in the columns.
    pub(crate) fn rows(&self) -> u64 {
        self.non_finite + self.out_of_range
    }
}

/// When a row sets its sample aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuarantineTerms {
    /// A row with a harder raw score extends the streak of its sample. `None`: the threshold is not known yet; streaks neither grow nor
    /// end.
    pub threshold: Option<f32>,
    /// The length of a streak that sets its sample aside, in rows. At least 1.
    pub reports: u32,
    /// The number of samples that this partition has set aside at a time, at most.
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

/// The identity of a report: the worker that sent it, and its sequence number.
///
/// The partition remembers the highest sequence of each epoch of a worker, and which of the 1,023 sequences before that it has applied. An
/// older sequence is taken for a resend. A worker may begin at any number and skip numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sender {
    /// xxh3-128 of the worker's name.
    pub worker: u128,
    /// The process of the worker. Each process counts its own sequences.
    pub epoch: u64,
    /// The number of the report within its process. 0: the report has no number and is applied every time.
    pub sequence: u64,
}

/// What a re-report does to the stored score.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum ScoreUpdate {
    /// The new score replaces the old.
    #[default]
    Last,
    /// The harder of the two scores; key and stamp are those of the new report.
    Max,
    /// `weight` x new + (1 - `weight`) x old. The key is computed from this score as of the new report.
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
    /// The id of the sample.
    pub id: u64,
    /// The source that the serve is due to. `Background`: the answer does not write its own key (docs/methods.md 4.3).
    pub source: Source,
}

impl Drawn {
    /// All of `ids`, drawn from one source.
    #[must_use]
    pub fn all(ids: &[u64], source: Source) -> Vec<Self> {
        ids.iter().map(|id| Self { id: *id, source }).collect()
    }
}

/// How to mark served samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServeMark {
    /// Count the serve. False: only read.
    pub count: bool,
    /// A sample that has been served so many times since its last report is worn: it rests until it is reported. `u16::MAX`: no limit.
    pub max_serves: u16,
    /// The sample is leased until then, Unix milliseconds; with `count` only.
    pub lease_until: Option<u64>,
}

/// The end of the rest of a worn sample: no time ends it, only a report.
pub const WORN_UNTIL: u64 = u64::MAX;

impl ServeMark {
    /// Until when a sample rests that has been served `serves` times now. `None`: it does not rest.
    #[must_use]
    pub fn rests_until(&self, serves: u16) -> Option<u64> {
        let is_worn = self.max_serves != u16::MAX && serves >= self.max_serves;
        if is_worn { Some(WORN_UNTIL) } else { self.lease_until }
    }
}

/// The outcomes of the rows of a report. They sum to its rows, including those in [`RowFaults`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyCounts {
    /// Rows that inserted a sample into the hard store.
    pub inserted: u64,
    /// Rows that updated a sample of the hard store.
    pub updated: u64,
    /// Rows that are stored in a generation of the background only.
    pub background_only: u64,
    /// Rows below the floor and outside the background, which are not stored.
    pub dropped: u64,
    /// Rows whose id is in an earlier row of the report. They are applied as any others.
    pub coalesced: u64,
    /// Rows older than the stored sample, or than [`Terms::oldest_stamp`]. They change nothing.
    pub stale: u64,
    /// Rows of a report that was applied before. They change nothing.
    pub duplicate: u64,
    /// Rows of a sample that was set aside, or that the row set aside.
    pub quarantined: u64,
    /// Rows of blocked ids.
    pub blocked: u64,
    /// Rows without a finite score ([`RowFaults::non_finite`]).
    pub non_finite: u64,
    /// Rows whose id is outside the dense id space ([`RowFaults::out_of_range`]).
    pub out_of_range: u64,
    /// (Not part of the sum.) Samples that a row set aside.
    pub set_aside: u64,
    /// (Not part of the sum.) Samples that harder ones evicted from the hard store.
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
    /// The number of rows, whatever their outcome.
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

    /// Adds the counts of another partition.
    pub fn add(&mut self, more: &Self) {
        self.add_numbers(more);
    }
}

/// The outcomes of setting samples aside by hand. Samples that were already set aside are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAsideCounts {
    /// Samples that were set aside.
    pub set_aside: u64,
    /// Samples that were not stored.
    pub absent: u64,
    /// Samples that were left as they were, because the quarantine was full.
    pub refused: u64,
}

/// The outcomes of releasing samples. Samples that were not set aside are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleaseCounts {
    /// Samples that were put back.
    pub released: u64,
    /// Samples that were left in quarantine, because no more ids can be trusted.
    pub refused: u64,
    /// Other samples that the released ones evicted from the hard store.
    pub evicted: u64,
}

/// The outcomes of blocking ids. Ids that were already blocked are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// Ids that were blocked.
    pub blocked: u64,
    /// Blocked ids whose samples were stored or set aside.
    pub removed: u64,
    /// Ids that were left as they were, because no more ids can be blocked.
    pub refused: u64,
}

/// The result of an operation, which its last step returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The outcomes of the rows of a report.
    Reported(ApplyCounts),
    /// What was served, one entry an id. `None`: the sample rests, or it is not stored any more.
    Served(Vec<Option<Served>>),
    /// The number of leases that a release ended.
    Released(u64),
    /// The number of samples that a removal found and removed.
    Removed(u64),
    /// The outcomes of setting samples aside by hand.
    SetAside(SetAsideCounts),
    /// The outcomes of releasing samples from quarantine.
    ReleasedQuarantined(ReleaseCounts),
    /// The outcomes of blocking ids.
    Blocked(BlockCounts),
    /// The number of ids that were blocked and are not any more.
    Unblocked(u64),
    /// The number of samples that a clear removed, including those that were set aside.
    Cleared(u64),
    /// An expiry or a fold was done.
    Done,
}
