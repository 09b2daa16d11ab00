//! The rule by which a pool sets samples aside, with all defaults and ranges.

/// Maximum of [`QuarantineRule::capacity`].
pub const CAPACITY_MAX: u64 = 1 << 20;

/// A sample is set aside after `reports` consecutive rows above the quantile `quantile` of the raw scores of the pool.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct QuarantineRule {
    /// The quantile of the raw scores, in [0.5, 1). If lower is harder, rows below the quantile 1 - `quantile` count.
    pub quantile: f64,
    /// The number of consecutive rows, 2 ..= 65,535.
    pub reports: u32,
    /// Maximum number of samples that are set aside at a time, over all partitions, 1 ..= [`CAPACITY_MAX`]. Each partition has room for its
    /// share s plus 6 sqrt(s).
    pub capacity: u64,
}

impl Default for QuarantineRule {
    fn default() -> Self {
        Self { quantile: 0.99, reports: 5, capacity: 1 << 16 }
    }
}

impl QuarantineRule {
    /// The checks of the ranges: whether each holds, the name of the field, and the error if not.
    pub(crate) fn checks(&self) -> [(bool, &'static str, String); 3] {
        [
            (
                (0.5..1.0).contains(&self.quantile),
                "quarantine.quantile",
                format!("{} is not in 0.5..1", self.quantile),
            ),
            (
                (2..=65_535).contains(&self.reports),
                "quarantine.reports",
                format!("{} is not in 2..=65535", self.reports),
            ),
            (
                (1..=CAPACITY_MAX).contains(&self.capacity),
                "quarantine.capacity",
                format!("{} is not in 1..={CAPACITY_MAX}", self.capacity),
            ),
        ]
    }

    /// The quantile of the raw scores that is the threshold.
    pub(crate) fn of_scores(&self, lower_is_harder: bool) -> f64 {
        if lower_is_harder { 1.0 - self.quantile } else { self.quantile }
    }
}
