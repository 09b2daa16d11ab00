//! When a pool sets samples aside, with every default and range.

/// Largest `capacity`.
pub const CAPACITY_MAX: u64 = 1 << 20;

/// When a sample is set aside.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct QuarantineRule {
    /// Above this quantile of the raw scores (below 1 - it where lower is harder). [0.5, 1).
    pub quantile: f64,
    /// In so many rows in a row. 2 ..= 65,535.
    pub reports: u32,
    /// Samples set aside at a time, over all partitions; each has room for its share s and 6 sqrt(s) more. 1 ..= [`CAPACITY_MAX`].
    pub capacity: u64,
}

impl Default for QuarantineRule {
    fn default() -> Self {
        Self { quantile: 0.99, reports: 5, capacity: 1 << 16 }
    }
}

impl QuarantineRule {
    /// The ranges: whether each holds, the field below `quarantine`, and what is wrong otherwise.
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

    /// The quantile of raw scores that is the threshold.
    pub(crate) fn of_scores(&self, lower_is_harder: bool) -> f64 {
        if lower_is_harder { 1.0 - self.quantile } else { self.quantile }
    }
}
