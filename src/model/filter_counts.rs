//! Numbers of candidates that each filter refused. docs/methods.md 5.3 has the order of the filters.

use serde::{Deserialize, Serialize};

macro_rules! filters {
    ($($(#[$doc:meta])* $reason:ident $field:ident),* $(,)?) => {
        /// The filters, in the order in which they are applied.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $reason,)* }

        /// Numbers of refused candidates, each counted at the first filter that refused it.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct FilterCounts {
            $($(#[$doc])* pub $field: u64,)*
            /// Negatives from the background that passed filters on scores because they have no score for the anchor. No filter refused
            /// them.
            pub unscored_passed: u64,
        }

        impl FilterCounts {
            /// Counts a candidate that a filter refused.
            pub fn count(&mut self, reason: Reason) {
                match reason {
                    $(Reason::$reason => self.$field += 1,)*
                }
            }

            /// Adds other counts.
            pub fn add(&mut self, more: &Self) {
                $(self.$field += more.$field;)*
                self.unscored_passed += more.unscored_passed;
            }

            /// The counts of the filters, each with its name.
            pub fn by_filter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }
    };
}

filters! {
    /// The request excludes the id.
    Excluded excluded,
    /// The sample is the anchor itself, in a pool whose anchors are samples.
    AnchorItself anchor_itself,
    /// The sample is a positive of the anchor.
    KnownPositive known_positives,
    /// The sample is vetoed for the anchor.
    Vetoed vetoed,
    /// The sample has the label of the anchor.
    SameLabel same_label,
    /// The sample is under a lease.
    Leased leased,
    /// The sample was served max_serves times since its last report.
    MaxServes max_serves,
    /// The model version is outside a window.
    ModelVersion model_version,
    /// The age is outside a window.
    Age age,
    /// The score is outside a window.
    Score score,
    /// The score is within a margin of the positive score, or the strategy does not admit it.
    PositiveAware positive_aware,
    /// The rank is outside a rank or quantile window, or outside the range of a negative policy.
    Rank rank,
    /// Places that the background would have filled, but for filters that cannot judge a sample without a score for the anchor.
    Unscored unscored,
    /// The stratum of the sample was full.
    Stratum stratum,
    /// The group of the sample was full.
    Group group,
}
