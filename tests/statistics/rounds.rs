//! Statistical claims about rounds, over the real gRPC API (docs/methods.md 7.2, 7.3 and 11.2).
//!
//! Correct code exceeds a limit in about one run in a million (z of 5), times the number of means compared, which each test states.
//! Each test also has a wrong method that must fail.

use super::*;

fn means(n: usize) -> Vec<Mean> {
    (0..n).map(|_| Mean::default()).collect()
}

async fn create(client: &Client, pool: &str, capacity: u64, background: u64, scores: &[f32]) {
    let spec = pb::PoolSpec {
        capacity,
        background: Some(pb::pool_spec::Background::BackgroundSize(background)),
        shards: 4,
        decay: Some(pb::Decay { half_life: Some(pb::decay::HalfLife::Disabled(true)), max_step_jump: 0 }),
        ..Default::default()
    };
    client.create_pool(pool, spec).await.expect("created");
    let ids: Vec<u64> = (0..scores.len() as u64).collect();
    client.report(pool, &ids, scores).await.expect("reported");
}

/// One rank's ids and weights.
async fn share(
    client: &Client,
    pool: &str,
    size: u32,
    round: (u64, u32, u32),
    random_fraction: f64,
) -> (Vec<u64>, Vec<f32>) {
    let (number, rank, world_size) = round;
    let request = pb::MineBatchRequest {
        pool: format!("pools/{pool}"),
        batch_size: size,
        policy: Some(pb::MiningPolicy { random_fraction: Some(random_fraction), ..Default::default() }),
        round: Some(pb::Round { number, rank, world_size, run_id: String::new() }),
        ..Default::default()
    };
    let answer = client.mining_service().mine_batch(request).await.expect("mined");
    let batch = answer.into_inner().batch.expect("a batch");
    let ids = match batch.ids.expect("ids").encoding {
        Some(pb::id_column::Encoding::U64s(ids)) => ids.values,
        other => panic!("{other:?}"),
    };
    let weights = match batch.importance_weights.expect("weights").encoding {
        Some(pb::float_column::Encoding::Floats(floats)) => floats.values,
        other => panic!("{other:?}"),
    };
    (ids, weights)
}

/// docs/methods.md 7.2 for rounds: the average over data-parallel ranks is unbiased over pools of different salts. Four means, and those of
/// one rank alone, are compared: about five false alarms in a million runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_mean_over_ranks_is_unbiased_over_pools() {
    const RANKS: u32 = 4;
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores = heavy_tailed(1200);
    let truth = (0..1200).map(|id| f(id, scores[id as usize])).sum::<f64>() / 1200.0;
    let fractions = [0.1, 0.25, 0.5, 1.0];
    let mut averages = means(fractions.len());
    let (mut one_rank, mut by_hardness) = (means(fractions.len()), Mean::default());
    for i in 0..320 {
        let pool = format!("pool-{i}");
        create(&client, &pool, 250, 160, &scores).await;
        for (number, random_fraction) in fractions.into_iter().enumerate() {
            let mut of_ranks = Vec::new();
            let mut rows: Vec<(u64, f32)> = Vec::new();
            for rank in 0..RANKS {
                let (ids, weights) =
                    share(&client, &pool, 16, (number as u64, rank, RANKS), random_fraction).await;
                let weighted =
                    ids.iter().zip(&weights).map(|(&id, &w)| f64::from(w) * f(id, scores[id as usize]));
                of_ranks.push(weighted.sum::<f64>() / ids.len() as f64);
                rows.extend(ids.into_iter().zip(weights));
            }
            averages[number].add(of_ranks.iter().sum::<f64>() / f64::from(RANKS));
            one_rank[number].add(of_ranks[1]);
            if number == 1 {
                // The samples that rank 1 would get if shares were contiguous: the second quarter in order of hardness.
                rows.sort_by(|a, b| scores[b.0 as usize].total_cmp(&scores[a.0 as usize]));
                let block = &rows[16..32];
                let weighted = block.iter().map(|&(id, w)| f64::from(w) * f(id, scores[id as usize]));
                by_hardness.add(weighted.sum::<f64>() / 16.0);
            }
        }
        client.delete_pool(&pool, false).await.expect("deleted");
    }
    for averages in [&averages, &one_rank] {
        for (random_fraction, mean) in fractions.iter().zip(averages) {
            let z = mean.z(truth);
            assert!(
                z.abs() < Z_LIMIT,
                "random_fraction {random_fraction}: {} +- {}, truth {truth}",
                mean.mean(),
                mean.error()
            );
        }
    }
    let z = by_hardness.z(truth);
    assert!(
        z.abs() > 2.0 * Z_LIMIT,
        "a rank with a contiguous block passes with z {z}: this test sees nothing"
    );
}

/// No rank gets harder samples than another: compares each rank's mean log-hardness with the round's, over 400 rounds. Eight means are
/// compared, which are not independent: about four false alarms in a million runs.
#[tokio::test(flavor = "multi_thread")]
async fn every_rank_has_it_equally_hard() {
    const RANKS: usize = 8;
    const SIZE: usize = 8;
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores = heavy_tailed(5000);
    create(&client, "p", 2000, 1000, &scores).await;
    let mut dealt = means(RANKS);
    let mut blocks = means(RANKS);
    let mut in_turn = means(RANKS);
    for number in 0..400 {
        let mut hardness: Vec<Vec<f64>> = Vec::new();
        for rank in 0..RANKS {
            let (ids, _) = share(&client, "p", SIZE as u32, (number, rank as u32, RANKS as u32), 0.25).await;
            hardness.push(ids.iter().map(|&id| f64::from(scores[id as usize]).log2()).collect());
        }
        let mut all: Vec<f64> = hardness.iter().flatten().copied().collect();
        all.sort_by(|a, b| b.total_cmp(a));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let of_round = mean(&all);
        for rank in 0..RANKS {
            dealt[rank].add(mean(&hardness[rank]) - of_round);
            // Deal the same samples in wrong ways: in contiguous blocks, and always in the same order of ranks.
            blocks[rank].add(mean(&all[rank * SIZE..(rank + 1) * SIZE]) - of_round);
            let turns: Vec<f64> = all.iter().skip(rank).step_by(RANKS).copied().collect();
            in_turn[rank].add(mean(&turns) - of_round);
        }
    }
    let worst = |means: &[Mean]| means.iter().map(|mean| mean.z(0.0).abs()).fold(0.0, f64::max);
    assert!(worst(&dealt) < Z_LIMIT, "z {}", worst(&dealt));
    assert!(worst(&blocks) > 2.0 * Z_LIMIT, "contiguous blocks pass with z {}", worst(&blocks));
    assert!(
        worst(&in_turn) > 2.0 * Z_LIMIT,
        "dealing without permutations passes with z {}",
        worst(&in_turn)
    );
    // Because of the stripes, the shares of a round differ far less than random shares would.
    let spread = dealt.iter().map(|mean| mean.squares / mean.n).sum::<f64>() / RANKS as f64;
    let unstriped = blocks.iter().map(|mean| mean.squares / mean.n).sum::<f64>() / RANKS as f64;
    assert!(spread < unstriped / 20.0, "{spread} against {unstriped}");
}
