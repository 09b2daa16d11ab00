//! The draws of anchored pools, in process.

use super::negatives::NegativesRequest;
use super::policy::{NegativePolicy, NegativeStrategy};
use super::spec::AnchoredSpec;
use crate::pool::admission::Patience;
use crate::pool::clock::TimeSource;
use crate::pool::core::Pool;
use crate::pool::registry::Registry;
use crate::pool::report::{Ids, Report};
use crate::pool::spec::{Limits, PoolSpec};
use crate::store::naive::NaiveEngine;
use std::sync::Arc;

/// Anchors 0..`anchors` with eight negatives each, of 512 ids.
async fn pool(anchors: u64) -> Arc<Pool> {
    let limits = Limits::default();
    let registry = Registry::new(Arc::new(NaiveEngine), limits.clone(), TimeSource::monotonic());
    let spec = PoolSpec { anchored: Some(AnchoredSpec::defaults(&limits)), ..PoolSpec::defaults(&limits) };
    let (pool, _) = registry.create("p", spec).await.unwrap();
    let rows = anchors * 8;
    pool.report(Report {
        anchors: Some(Ids::U64((0..rows).map(|row| row / 8).collect())),
        ids: Ids::U64((0..rows).map(|row| row * 2_654_435_761 % 512).collect()),
        scores: (0..rows).map(|row| 0.1 + (row % 101) as f32 / 100.0).collect(),
        ..Report::default()
    })
    .await
    .unwrap();
    pool
}

/// What an anchor gets, and what is counted of it, is the same whatever other anchors it is asked with: a draw that has ended
/// does not go on while others read the background.
#[tokio::test]
async fn an_anchors_draw_ends_when_it_has_ended() {
    let pool = pool(32).await;
    let excluded: Vec<u64> = (0..256).collect();
    for random_fraction in [0.0, 0.5] {
        let request = |anchors: std::ops::Range<u64>| NegativesRequest {
            anchors: Ids::U64(anchors.collect()),
            num_negatives: 12,
            policy: NegativePolicy {
                strategy: NegativeStrategy::Proportional,
                random_fraction,
                ..NegativePolicy::default()
            },
            exclude: Ids::U64(excluded.clone()),
            seed: Some(5),
        };
        let one = pool.mine_negatives(request(0..1), Patience::Refuse).await.unwrap();
        let all = pool.mine_negatives(request(0..32), Patience::Refuse).await.unwrap();
        assert_eq!(one.ids, all.ids[..all.offsets[1] as usize]);
        // Half of the background is excluded: about as many proposals fail as succeed, own negatives apart.
        let background = all.count_from(crate::pool::batch::Source::Background) as f64;
        let failed = all.filtered.excluded as f64;
        assert!(failed < 1.7 * background + 32.0 * 6.0, "{failed} proposals failed for {background} rows");
    }
}
