//! A seeded batch is a function of the state of the store: a store that replayed the log of another, and a store that was loaded from its
//! images, draw the same batches.

use super::tests::context_of;
use super::*;
use crate::model::balance::Balance;
use crate::model::policy::Policy;
use crate::model::policy::{Normalization, Window};
use crate::store::Store;
use crate::store::recorded::store_and_copies;

fn policies() -> Vec<Policy> {
    let all = [Strategy::Top, Strategy::Proportional, Strategy::Rank, Strategy::Uniform, Strategy::Stalest];
    let plain = all.into_iter().flat_map(|strategy| {
        [0.0, 0.3].map(|random_fraction| Policy { strategy, random_fraction, ..Policy::default() })
    });
    let window = |window| Policy { windows: vec![window], ..Policy::default() };
    let special = [
        window(Window::Score { min: 5.0, max: 30.0 }),
        Policy {
            balance: Balance { max_per_group: 2, ..Balance::default() },
            normalization: Normalization::Mean,
            beta: 0.5,
            ..Policy::default()
        },
    ];
    plain.chain(special).collect()
}

#[tokio::test]
async fn a_seed_draws_the_same_batch_from_a_replayed_log_and_from_an_image() {
    let (store, copies) = store_and_copies();
    let mut last = Vec::new();
    for policy in policies() {
        for seed in 0..20 {
            let draw =
                async |store: &dyn Store| mine(context_of(store, 64, policy.clone(), seed)).await.unwrap();
            let batch = draw(&*store).await;
            assert_eq!(batch.columns.ids.len(), 64);
            // Batches are compared as debug text, because NaN does not equal itself.
            let expected = format!("{batch:?}");
            for copy in &copies {
                assert_eq!(format!("{:?}", draw(&**copy).await), expected, "{policy:?}, seed {seed}");
            }
            if policy.strategy == Strategy::Proportional {
                assert_ne!(batch.columns.ids, last, "another seed draws another batch");
                last = batch.columns.ids;
            }
        }
    }
}
