//! How many candidates each filter turned away (METHODS 4 has their order).

/// Candidates turned away, by the first filter that did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterCounts {
    /// exclude_ids of the request.
    pub excluded: u64,
    /// Known positives of the anchor.
    pub known_positives: u64,
    /// Vetoed for the anchor.
    pub vetoed: u64,
    /// Under a lease.
    pub leased: u64,
    /// Served max_serves times.
    pub max_serves: u64,
    /// Model version window.
    pub model_version: u64,
    /// Age window.
    pub age: u64,
    /// Score window.
    pub score: u64,
    /// Margins below the positive, and the window of SEMI_HARD.
    pub positive_aware: u64,
    /// Rank and quantile windows.
    pub rank: u64,
    /// A stratum was full.
    pub stratum: u64,
    /// A group was full.
    pub group: u64,
    /// Background negatives that a score filter passed, having no score for the anchor: turned away by none.
    pub unscored_passed: u64,
}
