//! How many candidates each filter turned away (METHODS 4 has their order).

/// A filter, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// exclude_ids of the request.
    Excluded,
    /// Known positives of the anchor.
    KnownPositive,
    /// Vetoed for the anchor.
    Vetoed,
    /// Under a lease.
    Leased,
    /// Served max_serves times.
    MaxServes,
    /// Model version window.
    ModelVersion,
    /// Age window.
    Age,
    /// Score window.
    Score,
    /// Margins below the positive, and the window of SEMI_HARD.
    PositiveAware,
    /// Rank and quantile windows.
    Rank,
    /// A stratum was full.
    Stratum,
    /// A group was full.
    Group,
}

impl FilterCounts {
    /// Adds the counts of another look.
    pub fn add(&mut self, more: &Self) {
        self.excluded += more.excluded;
        self.known_positives += more.known_positives;
        self.vetoed += more.vetoed;
        self.leased += more.leased;
        self.max_serves += more.max_serves;
        self.model_version += more.model_version;
        self.age += more.age;
        self.score += more.score;
        self.positive_aware += more.positive_aware;
        self.rank += more.rank;
        self.stratum += more.stratum;
        self.group += more.group;
        self.unscored_passed += more.unscored_passed;
    }

    /// Counts a candidate that a filter turned away.
    pub fn count(&mut self, reason: Reason) {
        *match reason {
            Reason::Excluded => &mut self.excluded,
            Reason::KnownPositive => &mut self.known_positives,
            Reason::Vetoed => &mut self.vetoed,
            Reason::Leased => &mut self.leased,
            Reason::MaxServes => &mut self.max_serves,
            Reason::ModelVersion => &mut self.model_version,
            Reason::Age => &mut self.age,
            Reason::Score => &mut self.score,
            Reason::PositiveAware => &mut self.positive_aware,
            Reason::Rank => &mut self.rank,
            Reason::Stratum => &mut self.stratum,
            Reason::Group => &mut self.group,
        } += 1;
    }
}

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
