//! The rates at which samples arrive (docs/methods.md 6.1), and the source that a sample owes its serve to (docs/methods.md 4.3).

use super::{Arrival, Race};
use crate::model::filter_counts::Reason;
use crate::store::{Row, Source};

impl Race<'_> {
    /// r_i of a row whose u_i is `hard_mass`.
    pub(in crate::sampler::flat) fn rate(&self, row: &Row, hard_mass: f64) -> f64 {
        if self.background_rate == 0.0 {
            return hard_mass;
        }
        hard_mass + self.background_rate * self.field.background.share_if_member(row.id)
    }

    /// u_i by the own key of a row whose u_i is `hard_mass`: what u_i would be if the row were not in R. For a row that is filtered or not
    /// in the hard store both are 0.
    pub(super) fn own_mass(&self, row: &Row, hard_mass: f64) -> f64 {
        if hard_mass <= 0.0 || row.own_key == row.hard_key {
            return hard_mass;
        }
        self.hard_mass(&Row { hard_key: row.own_key, ..*row })
    }

    /// The source that a row owes its serve to. A row of H that arrives more often than it would outside R owes the excess of its serves to
    /// the background. So reports after serves write its own key as often as they write the keys of like ids outside R.
    pub(super) fn owed_to(&mut self, from_background: bool, hard_mass: f64, own_mass: f64) -> Source {
        if from_background || (own_mass < hard_mass && self.draws.unit() * hard_mass >= own_mass) {
            Source::Background
        } else {
            Source::Hard
        }
    }

    /// Whether an arrival of a batch stands for itself. If nothing is drawn from R, or something from the reserve (`in_reserve`), every sample
    /// of the hard store does.
    pub(in crate::sampler::flat) fn stands(&self, arrival: &Arrival, in_reserve: bool) -> bool {
        if in_reserve && self.met_the_reserve(&arrival.row) {
            let hard_mass = self.hard_mass(&arrival.row);
            return hard_mass > 0.0 && self.own_mass(&arrival.row, hard_mass) > 0.0;
        }
        arrival.hard_mass > 0.0 && (arrival.own_mass > 0.0 || self.background_rate == 0.0)
    }

    /// u_i; 0 if a filter refuses the row or the hard store does not have it.
    pub(super) fn hard_mass(&self, row: &Row) -> f64 {
        self.judge_mass(row).unwrap_or(0.0)
    }

    /// u_i, or the filter that refuses the row.
    pub(super) fn judge_mass(&self, row: &Row) -> Result<f64, Reason> {
        let Some(mass) = self.mass else {
            return Ok(0.0);
        };
        let Some(band) = mass.band(row, self.field.tiers) else {
            return Ok(0.0);
        };
        if let Some(reason) = self.field.filter.refuses_hard(row) {
            return Err(reason);
        }
        let u = mass.of(band, row.serves, self.field.penalty);
        Ok(if u < self.cut { 0.0 } else { u })
    }
}
