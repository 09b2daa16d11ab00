//! Tests of partitions with different p: the estimates of many batches of one store, compared with their conditional expectation (sum over
//! H of f + sum over R_s outside H of f/p_s) / N (docs/methods.md 7.2). The backgrounds have few members, so that the p differ much.

use super::tests::{context_of, policy};
use super::*;
use crate::model::batch::Estimand;
use crate::store::key::Hardness;
use crate::store::naive::NaiveStore;
use crate::store::{Address, BackgroundCount, BackgroundSpec, ReportBatch, StoreSpec};
use crate::store::{ServePenalty, Store};

const IDS: u64 = 1200;

/// Scores within a factor of 4, so that nothing is truncated and H is all of S.
fn score(id: u64) -> f32 {
    1.0 + (id * 7919 % 1000) as f32 * 0.003
}

/// A function whose mean differs much between partitions, so that the test sees a wrong p of a partition.
fn f(id: u64) -> f64 {
    let partition = crate::store::layout::partition_of(crate::store::hash::placement_hash(id), 4);
    f64::from(score(id)) + if partition == 0 { 12.0 } else { 0.0 }
}

async fn store(salt_seed: u64) -> NaiveStore {
    let spec = StoreSpec {
        capacity: 240,
        partitions: 4,
        background: BackgroundSpec::Sampled { size: 64 },
        hardness: Hardness::default(),
        named: false,
        salt_seed,
        workers: 64,
    };
    let store = NaiveStore::new(spec);
    let ids: Vec<u64> = (0..IDS).collect();
    let scores = ids.iter().map(|id| score(*id)).collect();
    store.apply(ReportBatch { ids, scores, decay_units: 1 << 42, ..ReportBatch::default() }).await.unwrap();
    store
}

/// The members of R, each with its p, and N.
async fn background(store: &NaiveStore) -> (HashMap<u64, f64>, f64) {
    let census = store.census().await.unwrap();
    let BackgroundCount::Sampled(partitions) = &census.background else { panic!("sampled") };
    let mut members = HashMap::new();
    for (number, partition) in partitions.iter().enumerate() {
        let address = |ordinal| Address::Background { partition: number as u16, ordinal };
        let addresses: Vec<Address> = (0..partition.members).map(address).collect();
        for row in store.fetch(&addresses).await.unwrap().into_iter().flatten() {
            members.insert(row.id, partition.probability());
        }
    }
    (members, census.background.distinct())
}

#[tokio::test]
async fn each_partition_weighs_by_its_own_p() {
    // Find a salt under which p of the first partition is far from the others, so that one p for all would be clearly wrong.
    let mut salt = 0;
    let (store, members, distinct) = loop {
        let store = store(salt).await;
        let (members, distinct) = background(&store).await;
        let first = members.iter().find(|(id, _)| f(**id) > 12.0).map_or(0.0, |(_, p)| *p);
        if (first * distinct / members.len() as f64 - 1.0).abs() > 0.4 {
            break (store, members, distinct);
        }
        salt += 1;
    };
    let mean_p = members.len() as f64 / distinct;
    for (strategy, epsilon) in [
        (Strategy::Proportional, 0.25),
        (Strategy::Proportional, 1.0),
        (Strategy::Top, 0.25),
        (Strategy::Top, 0.6),
    ] {
        let hard: Vec<u64> = match strategy {
            _ if epsilon == 1.0 => Vec::new(),
            Strategy::Top => {
                let n = 40 - (40.0 * epsilon) as usize;
                store
                    .top(n, ServePenalty::default(), 1 << 20)
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| row.id)
                    .collect()
            }
            _ => store
                .top(1 << 20, ServePenalty::default(), 1 << 20)
                .await
                .unwrap()
                .iter()
                .map(|row| row.id)
                .collect(),
        };
        let conditional = |p_of: &dyn Fn(f64) -> f64| {
            let outside = members.iter().filter(|(id, _)| !hard.contains(id));
            let outside: f64 = outside.map(|(id, p)| f(*id) / p_of(*p)).sum();
            (hard.iter().map(|id| f(*id)).sum::<f64>() + outside) / distinct
        };
        let (right, wrong) = (conditional(&|p| p), conditional(&|_| mean_p));
        let (mut sum, mut squares, draws) = (0.0, 0.0, 6000.0);
        for seed in 0..draws as u64 {
            let batch = mine(context_of(&store, 40, policy(strategy, 1.0, epsilon), seed)).await.unwrap();
            assert_eq!(batch.draw.estimand, Estimand::All);
            let weights = batch.columns.importance_weights.as_ref().unwrap();
            let weighted =
                batch.columns.ids.iter().zip(weights).map(|(id, w)| f64::from(*w) * f(*id)).sum::<f64>();
            let estimate = weighted / batch.columns.ids.len() as f64;
            sum += estimate;
            squares += estimate * estimate;
        }
        let mean: f64 = sum / draws;
        let error = ((squares / draws - mean * mean) / draws).sqrt();
        // 4 standard errors: a right formula fails one of 4,000 configurations. 0.2 % more, as pi is conditional on the last arrival.
        let slack = 4.0 * error + 0.002 * right;
        assert!(
            (mean - right).abs() < slack,
            "{strategy:?} {epsilon}: {mean} +- {error}, conditional {right}"
        );
        assert!(
            (wrong - right).abs() > 2.0 * slack,
            "{strategy:?} {epsilon}: the test would also accept one p for all, {wrong}"
        );
    }
}
