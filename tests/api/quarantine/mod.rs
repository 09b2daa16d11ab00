//! Samples that are kept out of draws: by the rule of a pool, or on request.

mod by_hand;
mod concurrent;
mod rule;

use super::*;
use bytes::Bytes;
use common::TestServer;
use hardneg::client::{MineRequest, ScoreBatch};
use std::collections::HashSet;

fn rule() -> Option<pb::Quarantine> {
    Some(pb::Quarantine { quantile: 0.9, reports: 3, capacity: 100 })
}

/// 2,000 samples from 1,000 on with scores 0 to 99: the quantile 0.9 is about 90.
async fn crowd(client: &Client, pool: &str) {
    let ids: Vec<u64> = (1_000..3_000).collect();
    let scores: Vec<f32> = ids.iter().map(|id| (id % 100) as f32).collect();
    client.report(pool, &ids, &scores).await.unwrap();
}

async fn held(client: &Client, pool: &str) -> Vec<u64> {
    client.list_quarantined(pool).await.unwrap().iter().map(|sample| sample.id).collect()
}

/// Everything that either source may serve, without marking it.
async fn served(client: &Client, pool: &str) -> HashSet<u64> {
    let mut all = HashSet::new();
    for epsilon in [0.0, 1.0] {
        let request = MineRequest::new(pool, 20_000).random_fraction(epsilon).dry_run(true);
        let batch = client.mine(request.strategy(pb::Strategy::Uniform)).await.unwrap();
        all.extend(integers(&batch.ids).iter().copied());
    }
    all
}
