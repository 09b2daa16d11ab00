//! Selects samples from a set that the caller supplies: nothing is stored, and no pool takes part (docs/methods.md 15).

use xxhash_rust::xxh3::xxh3_64;

use super::admission::Patience;
use super::registry::Registry;
use crate::model::batch::Estimand;
use crate::model::error::PoolError;
use crate::model::policy::{Policy, Strategy};
use crate::model::report::Ids;
use crate::model::selection::{SelectRequest, Selection};
use crate::sampler::flat::Draws;
use crate::sampler::select::{Drawn, Set};
use crate::sampler::weights;

/// A set of more rows is drawn from in a thread of its own, so that the draw, which never waits, does not keep others from theirs.
const ROWS_MAX_IN_PLACE: usize = 4096;

impl Registry {
    /// Selects samples from the set of the request.
    ///
    /// # Errors
    /// `Invalid` naming the field; `Exhausted` while the server mines all that it may at once.
    pub async fn select(&self, request: SelectRequest) -> Result<Selection, PoolError> {
        let violations = request.violations();
        if !violations.is_empty() {
            return Err(PoolError::Invalid(violations));
        }
        let permit = self.server.admission.mine(Patience::Refuse).await?;
        if request.scores.len() <= ROWS_MAX_IN_PLACE {
            return Ok(select(&request));
        }
        let selecting = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            select(&request)
        });
        selecting.await.map_err(|_| PoolError::Internal("selection"))
    }
}

/// The finite rows of a set.
struct Finite {
    /// Their indices in the request.
    rows: Vec<u32>,
    scores: Vec<f32>,
    ids: Vec<u64>,
}

impl Finite {
    fn of(request: &SelectRequest) -> Self {
        let mut finite = Self { rows: Vec::new(), scores: Vec::new(), ids: Vec::new() };
        for (row, score) in request.scores.iter().enumerate() {
            let score = score - request.reference_scores.get(row).copied().unwrap_or(0.0);
            if !score.is_finite() {
                continue;
            }
            finite.rows.push(row as u32);
            finite.scores.push(score);
            finite.ids.push(match &request.ids {
                Ids::U64(ids) => ids.get(row).copied().unwrap_or(row as u64),
                Ids::Names(names) => names.get(row).map_or(row as u64, |name| xxh3_64(name.as_bytes())),
            });
        }
        finite
    }
}

fn select(request: &SelectRequest) -> Selection {
    let finite = Finite::of(request);
    let set = Set {
        scores: &finite.scores,
        ids: &finite.ids,
        hardness: request.hardness,
        strategy: request.strategy,
        alpha: request.alpha,
    };
    let seed = request.seed.unwrap_or_else(rand::random);
    let mut draws = Draws::new(seed);
    let count = if finite.rows.is_empty() { 0 } else { request.batch_size as usize };
    let Drawn { rows, expected } = match (request.strategy, request.replacement) {
        (Strategy::Top, _) => set.top(count),
        (_, true) => set.draw_with_replacement(count, &mut draws),
        (_, false) => set.draw(count, &mut draws),
    };
    let importance_weights = expected.as_ref().map(|expected| {
        let population = finite.rows.len() as f64;
        let weights: Vec<f64> =
            expected.iter().map(|expected| weights::weight(rows.len(), population, *expected)).collect();
        let policy = Policy { beta: request.beta, normalization: request.normalization, ..Policy::default() };
        weights::finish(&weights, &policy)
    });
    Selection {
        estimand: if expected.is_some() { Estimand::All } else { Estimand::None },
        inclusion_probabilities: expected.map(|expected| expected.iter().map(|e| *e as f32).collect()),
        rows: rows.iter().map(|row| finite.rows[*row as usize]).collect(),
        importance_weights,
        seed,
        non_finite: (request.scores.len() - finite.rows.len()) as u32,
    }
}
