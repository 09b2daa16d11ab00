//! A request to select samples from a set that the caller supplies, and its answer (docs/methods.md 15).

use hardneg_partition::key::{Hardness, HardnessFunction};

use crate::model::batch::{BATCH_SIZE_MAX, Estimand};
use crate::model::error::{Checks, Violation};
use crate::model::hardness;
use crate::model::policy::{ALPHA_MAX, Normalization, Strategy};
use crate::model::report::{Ids, NAME_BYTES_MAX};

/// A set of samples, and how many of it to select by which strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectRequest {
    /// Scores, one for each row of the set. Rows whose score is not finite are left out.
    pub scores: Vec<f32>,
    /// Scores of a reference model, one for each row, which are subtracted; empty: none.
    pub reference_scores: Vec<f32>,
    /// Names of the rows, which the answer repeats and which order equal scores; empty: rows have no names.
    pub ids: Ids,
    /// Number of samples wanted, 1 ..= 65,536.
    pub batch_size: u32,
    /// How samples are chosen: any strategy but STALEST.
    pub strategy: Strategy,
    /// Exponent of PROPORTIONAL and RANK, 0 ..= 16.
    pub alpha: f64,
    /// How a score becomes a weight.
    pub hardness: Hardness,
    /// Whether the draws are independent, so that a sample may be drawn several times.
    pub replacement: bool,
    /// Importance weights are raised to this power, 0 ..= 1.
    pub beta: f64,
    /// How importance weights are scaled.
    pub normalization: Normalization,
    /// Seed of the draw; `None`: the server draws one.
    pub seed: Option<u64>,
}

/// The samples that were selected, as columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Rows of the request, from 0, in the order in which they were drawn; with TOP the hardest first.
    pub rows: Vec<u32>,
    /// The probability that a draw selects the row; with replacement the number of times that it is expected to.
    pub inclusion_probabilities: Option<Vec<f32>>,
    /// w of docs/methods.md 15, after beta and normalization.
    pub importance_weights: Option<Vec<f32>>,
    /// What mean(w f) over the selection estimates: the mean over the set, or nothing.
    pub estimand: Estimand,
    /// The seed of the draw.
    pub seed: u64,
    /// Rows whose score, or score - reference, is not finite.
    pub non_finite: u32,
}

impl SelectRequest {
    /// Checks every range and length.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut bad = Checks::default();
        let rows = self.scores.len();
        bad.check(rows > 0, "scores", "the set has no rows".into());
        for (field, length) in [("ids", self.ids.len()), ("reference_scores", self.reference_scores.len())] {
            bad.check(length == 0 || length == rows, field, format!("{length} rows, but scores have {rows}"));
        }
        if let Ids::Names(names) = &self.ids
            && let Some(i) = names.iter().position(|name| name.len() > NAME_BYTES_MAX)
        {
            bad.check(
                false,
                &format!("ids.strings.values[{i}]"),
                format!("{} bytes, over {NAME_BYTES_MAX}", names[i].len()),
            );
        }
        bad.check(
            (1..=BATCH_SIZE_MAX).contains(&self.batch_size),
            "batch_size",
            format!("{} is not in 1..={BATCH_SIZE_MAX}", self.batch_size),
        );
        bad.check(
            self.strategy != Strategy::Stalest,
            "strategy",
            "STALEST needs the ages of reports, which only a pool has".into(),
        );
        bad.check(
            !(self.replacement && self.strategy == Strategy::Top),
            "replacement",
            "cannot be combined with TOP, which does not draw".into(),
        );
        bad.check(
            (0.0..=ALPHA_MAX).contains(&self.alpha),
            "alpha",
            format!("{} is not in 0..={ALPHA_MAX}", self.alpha),
        );
        bad.check((0.0..=1.0).contains(&self.beta), "beta", format!("{} is not in 0..=1", self.beta));
        hardness::check(&self.hardness, &mut bad);
        let orders_no_differences =
            self.hardness.lower_is_harder && matches!(self.hardness.function, HardnessFunction::Power { .. });
        bad.check(
            self.reference_scores.is_empty() || !orders_no_differences,
            "reference_scores",
            hardness::NO_DIFFERENCES.into(),
        );
        bad.found
    }
}
