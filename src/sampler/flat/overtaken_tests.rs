//! Tests of draws during which reports change the background: the census and the rows at its addresses do not agree.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::tests::{context_of, policy, pool, scores};
use super::*;
use crate::model::policy::Window;
use crate::store::Store;
use crate::store::naive::NaiveStore;
use crate::store::place::Place;
use crate::store::wrapped::Wrapped;
use crate::store::{BackgroundSpec, Census, StoreError};

const SAMPLED: BackgroundSpec = BackgroundSpec::Sampled { size: 100 };

/// A store that answers the first `old_censuses` censuses from `counted`, and all other calls from `stored`.
struct Changing {
    counted: NaiveStore,
    stored: NaiveStore,
    censuses: AtomicUsize,
    old_censuses: usize,
}

impl Changing {
    async fn new(counted_salt: u64, stored_salt: u64, counted: usize, stored: usize, old: usize) -> Self {
        let scores = scores(600);
        let store = async |n: usize, salt| pool(scores[..n].to_vec(), 150, SAMPLED, salt).await.store;
        Self {
            counted: store(counted, counted_salt).await,
            stored: store(stored, stored_salt).await,
            censuses: AtomicUsize::new(0),
            old_censuses: old,
        }
    }
}

#[async_trait]
impl Wrapped for Changing {
    fn inner(&self) -> &dyn Store {
        &self.stored
    }

    async fn census(&self) -> Result<Census, StoreError> {
        let old = self.censuses.fetch_add(1, Ordering::Relaxed) < self.old_censuses;
        if old { self.counted.census().await } else { self.stored.census().await }
    }
}

fn assert_sound(batch: &MinedBatch, about: &str) {
    let weights = batch.columns.importance_weights.as_ref().expect("weighted");
    let inclusion = batch.columns.inclusion_probabilities.as_ref().expect("weighted");
    assert!(weights.iter().all(|w| w.is_finite() && *w > 0.0), "{about}: {weights:?}");
    assert!(inclusion.iter().all(|p| *p > 0.0 && *p <= 1.0), "{about}: {inclusion:?}");
}

#[tokio::test]
async fn weights_are_finite_when_the_background_changes_during_a_draw() {
    // In the first case another generation serves. In the second the census counted members whose hashes are above the threshold now.
    let all = usize::MAX;
    for (counted_salt, stored_salt, counted, stored) in [(1, 2, 600, 600), (1, 1, 600, 250)] {
        for strategy in [Strategy::Proportional, Strategy::Rank, Strategy::Uniform, Strategy::Top] {
            for random_fraction in [0.25, 1.0] {
                for seed in 0..20 {
                    let store = Changing::new(counted_salt, stored_salt, counted, stored, all).await;
                    let policy = policy(strategy, 1.0, random_fraction);
                    let batch = mine(context_of(&store, 40, policy, seed)).await.unwrap();
                    assert_sound(&batch, &format!("{strategy:?} {random_fraction} {seed}"));
                    assert!(!batch.columns.ids.is_empty());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_draw_whose_background_was_replaced_begins_again_and_keeps_its_mixture() {
    let (mut random, mut of, mut again) = (0, 0, 0);
    for seed in 0..200 {
        let store = Changing::new(1, 2, 600, 600, 1).await;
        let batch =
            mine(context_of(&store, 40, policy(Strategy::Proportional, 1.0, 0.5), seed)).await.unwrap();
        assert_sound(&batch, "a replaced background");
        random += batch.columns.sources.iter().filter(|source| **source == Source::Background).count();
        of += batch.columns.ids.len();
        again += usize::from(store.censuses.load(Ordering::Relaxed) == 2);
    }
    // One in six members of the new background is in the old one, so nearly all draws notice the replacement.
    assert!(again > 180, "{again}");
    let share = random as f64 / of as f64;
    // With 8,000 samples 0.03 is more than five standard errors.
    assert!((share - 0.5).abs() < 0.03, "{share}");
}

/// A store that has shrunk since its census: there is no sample at any rank.
struct Shrunk(Changing);

#[async_trait]
impl Wrapped for Shrunk {
    fn inner(&self) -> &dyn Store {
        self.0.inner()
    }

    async fn at_ranks(&self, ranks: &[u64]) -> Result<Vec<Option<Place>>, StoreError> {
        Ok(vec![None; ranks.len()])
    }
}

#[tokio::test]
async fn a_rank_window_past_the_end_of_a_store_that_has_shrunk_admits_nothing() {
    let store = Shrunk(Changing::new(1, 1, 600, 600, 0).await);
    for (min, served) in [(10, 0), (0, 40)] {
        let mut windowed = policy(Strategy::Uniform, 1.0, 0.0);
        windowed.windows = vec![Window::Rank { min, max: u64::MAX }];
        let batch = mine(context_of(&store, 40, windowed, 1)).await.unwrap();
        assert_eq!(batch.columns.ids.len(), served, "from rank {min}");
    }
}
