//! Estimates include ids that are no longer reported: only mined samples are reported again, for thousands of
//! batches, and the estimates stay those of all ids (docs/methods.md 4.2).

use hardneg::client::{Client, ScoreBatch};
use hardneg::proto::v1 as pb;

use super::common::TestServer;
use super::{ids, mine, spec, uniforms};

const IDS: u64 = 20_000;
const BACKGROUND: u64 = 2_000;
const BATCHES: u64 = 3_000;
/// The limit in standard errors. A correct figure of one pool exceeds it about twice in a million.
const LIMIT: f64 = 5.0;

/// Ids of the upper half are harder.
fn score(id: u64) -> f32 {
    if id < IDS / 2 { 0.5 } else { 2.0 + (id % 100) as f32 / 100.0 }
}

/// Number of batches of a pool that may be labelled CLOSED_LOOP by chance.
const BY_CHANCE_MAX: u64 = 200;

/// Repeatedly mines 256 samples and reports them, together with `organic` random ids.
///
/// A look at a background is four standard errors off by its salt alone once in 16,000 times, and a background is looked at by every batch
/// for as long as it serves, which may be all of them. So where too many batches of a pool say CLOSED_LOOP another pool is tried, whose salt
/// is another: by chance both hardly ever do, and where draws depend on the background both always do.
async fn mine_and_report(organic: usize) {
    let server = TestServer::start().await;
    let client = server.client().await;
    let mut said = Vec::new();
    for pool in ["first", "second"] {
        said.push(closed_loops(&client, pool, organic).await);
        if said.last().is_some_and(|said| *said <= BY_CHANCE_MAX) {
            return;
        }
    }
    panic!("{said:?} batches of two pools say CLOSED_LOOP");
}

/// How many batches of a pool say CLOSED_LOOP.
async fn closed_loops(client: &Client, pool: &str, organic: usize) -> u64 {
    let rotation = pb::BackgroundRotation { after_reports: 20_000, disabled: false };
    let spec = pb::PoolSpec { background_rotation: Some(rotation), ..spec(1_000, BACKGROUND, 1) };
    client.create_pool(pool, spec).await.expect("created");
    let all: Vec<u64> = (0..IDS).collect();
    let scores: Vec<f32> = all.iter().map(|id| score(*id)).collect();
    client.report(pool, &all, &scores).await.expect("reported");
    let mut uniform = uniforms(organic as u64);
    let (mut easy, mut of) = (0.0, 0.0);
    let mut by_chance = 0;
    // N is estimated from 2,000 members, and so is the share of the easy half: all batches share them until they are renewed.
    let of_count = IDS as f64 / (BACKGROUND as f64).sqrt();
    let of_share = (0.25 / BACKGROUND as f64).sqrt();
    for round in 0..BATCHES {
        let request = mine(pool, 256, pb::Strategy::Proportional, 1.0, 0.5, round).dry_run(false);
        let batch = client.mine(request).await.expect("mined");
        if batch.estimand != pb::Estimand::All {
            let reasons: Vec<_> = batch.info.approximations().collect();
            assert_eq!(reasons, [pb::Approximation::ClosedLoop]);
            by_chance += 1;
        }
        let distinct = batch.info.sizes.as_ref().expect("sizes").distinct;
        assert!(
            (distinct - IDS as f64).abs() < LIMIT * of_count,
            "batch {round}: {distinct} ids estimated of {IDS}"
        );
        for (id, weight) in ids(&batch).iter().zip(&batch.importance_weights) {
            of += f64::from(*weight);
            easy += if *id < IDS / 2 { f64::from(*weight) } else { 0.0 };
        }
        let mut again: Vec<u64> = ids(&batch).to_vec();
        again.extend((0..organic).map(|_| (uniform() * IDS as f64) as u64));
        let scores: Vec<f32> = again.iter().map(|id| score(*id)).collect();
        client
            .report_batch(ScoreBatch::new(pool, &again, &scores).expect("columns"))
            .await
            .expect("reported");
    }
    let share = easy / of;
    assert!((share - 0.5).abs() < LIMIT * of_share, "{share} of the ids are of the easy half");
    let generations = client.pool_stats(pool).await.expect("stats").background_generations;
    if organic == 256 {
        assert!(
            generations > 3,
            "{generations}: where all ids are reported in time the background is renewed"
        );
    }
    if organic == 0 {
        assert!(generations <= 2, "{generations}: where only mined ids are reported none can take over");
    }
    by_chance
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_mined_ids_is_reported() {
    mine_and_report(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_other_ids_are_reported() {
    mine_and_report(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn some_other_ids_are_reported() {
    mine_and_report(64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_other_ids_are_reported_as_are_mined() {
    mine_and_report(256).await;
}
