//! How many candidates each filter turned away (docs/methods.md 5.3 has their order).

use serde::{Deserialize, Serialize};

macro_rules! filters {
    ($($(#[$doc:meta])* $reason:ident $field:ident),* $(,)?) => {
        /// A filter, in the order in which they are applied.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $reason,)* }

        /// Candidates turned away, by the first filter that did.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct FilterCounts {
            $($(#[$doc])* pub $field: u64,)*
            /// Background negatives that a score filter passed, having no score for the anchor: turned away by none.
            pub unscored_passed: u64,
        }

        impl FilterCounts {
            /// Counts a candidate that a filter turned away.
            pub fn count(&mut self, reason: Reason) {
                match reason {
                    $(Reason::$reason => self.$field += 1,)*
                }
            }

            /// Adds the counts of another look.
            pub fn add(&mut self, more: &Self) {
                $(self.$field += more.$field;)*
                self.unscored_passed += more.unscored_passed;
            }

            /// The counts by name, those of filters only.
            pub fn by_filter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }
    };
}

filters! {
    /// exclude_ids of the request.
    Excluded excluded,
    /// Known positives of the anchor.
    KnownPositive known_positives,
    /// Vetoed for the anchor.
    Vetoed vetoed,
    /// Under a lease.
    Leased leased,
    /// Served max_serves times.
    MaxServes max_serves,
    /// Model version window.
    ModelVersion model_version,
    /// Age window.
    Age age,
    /// Score window.
    Score score,
    /// Margins below the positive, and the window of SEMI_HARD.
    PositiveAware positive_aware,
    /// Rank and quantile windows.
    Rank rank,
    /// A stratum was full.
    Stratum stratum,
    /// A group was full.
    Group group,
}
