//! Samples go into the quarantine and out of it while others report and mine.

use super::*;

/// Reports of all samples by eight workers at a time: none that was on its way when another set a sample aside may bring it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_brings_back_what_was_set_aside() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let rule = pb::Quarantine { quantile: 0.9, reports: 2, capacity: 10_000 };
    client.create_pool("p", pb::PoolSpec { quarantine: Some(rule), ..plain(10_000) }).await.unwrap();
    crowd(&client, "p").await;
    for round in 0..30u64 {
        let noisy: Vec<u64> = (100_000 + round * 50..100_050 + round * 50).collect();
        let reports = (0..8).map(|_| {
            let (client, noisy) = (client.clone(), noisy.clone());
            tokio::spawn(async move {
                for _ in 0..3 {
                    // Above what the rounds before made of the quantile.
                    client.report("p", &noisy, &[100.0 + round as f32; 50]).await.unwrap();
                }
            })
        });
        for report in reports.collect::<Vec<_>>() {
            report.await.unwrap();
        }
        let held: HashSet<u64> = held(&client, "p").await.into_iter().collect();
        assert_eq!(held.len() as u64, 50 * (round + 1));
        let back: Vec<_> = served(&client, "p").await.intersection(&held).copied().collect();
        assert!(back.is_empty(), "round {round}: {back:?}");
    }
}

/// Eight reporters against releases, removals, setting aside and blocking at random: a sample that nobody removes is at every moment in
/// one place, and nobody is both listed and served.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_lost_or_in_two_places_while_all_go_in_and_out() {
    const IDS: u64 = 400;
    let server = TestServer::start().await;
    let client = server.client().await;
    let rule = pb::Quarantine { quantile: 0.9, reports: 2, capacity: 10_000 };
    let spec = pb::PoolSpec { quarantine: Some(rule), shards: 4, ..plain(100_000) };
    client.create_pool("p", spec).await.unwrap();
    crowd(&client, "p").await;
    // Those below IDS are never removed or blocked, those above are.
    let all: Vec<u64> = (0..2 * IDS).collect();
    client.report("p", &all, &vec![99.5; all.len()]).await.unwrap();
    let random = |seed: u64, round: u64| hardneg::store::hash::background_hash(round, seed);
    let mut tasks = tokio::task::JoinSet::new();
    for reporter in 0..8 {
        let client = client.clone();
        tasks.spawn(async move {
            for round in 0..60 {
                let first = random(reporter, round) % (2 * IDS);
                let ids: Vec<u64> = (0..100).map(|i| (first + i * 7) % (2 * IDS)).collect();
                client.report("p", &ids, &[99.5 + (round % 3) as f32; 100]).await.unwrap();
            }
        });
    }
    for other in 8..11 {
        let client = client.clone();
        tasks.spawn(async move {
            for round in 0..80 {
                let first = random(other, round) % IDS;
                let kept = Ids::U64((0..20).map(|i| (first + i) % IDS).collect());
                let doomed: Vec<u64> = (0..20).map(|i| IDS + (first + i) % IDS).collect();
                match random(other, round + 1_000) % 6 {
                    0 => _ = client.release_quarantined("p", Some(kept), false).await.unwrap(),
                    1 => _ = client.release_quarantined("p", None, false).await.unwrap(),
                    2 => _ = client.quarantine_samples("p", kept).await.unwrap(),
                    3 => _ = client.remove("p", &doomed).await.unwrap(),
                    4 => _ = client.block_samples("p", Ids::U64(doomed)).await.unwrap(),
                    _ => _ = client.unblock_samples("p", Ids::U64(doomed)).await.unwrap(),
                }
            }
        });
    }
    let looks = {
        let client = client.clone();
        tokio::spawn(async move {
            for look in 0..60 {
                for (id, sample) in
                    client.get_samples("p", Ids::U64((0..IDS).collect())).await.unwrap().iter().enumerate()
                {
                    let place = sample.place();
                    let is_somewhere = place == pb::SamplePlace::Hard || place == pb::SamplePlace::Quarantine;
                    assert!(is_somewhere, "look {look}: sample {id} is {place:?}");
                }
            }
        })
    };
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    looks.await.unwrap();
    let held: HashSet<u64> = held(&client, "p").await.into_iter().collect();
    let blocked: HashSet<u64> =
        client.list_blocked("p").await.unwrap().iter().map(|sample| sample.id).collect();
    let served = served(&client, "p").await;
    assert!(held.is_disjoint(&served) && blocked.is_disjoint(&served) && blocked.is_disjoint(&held));
    let lost: Vec<u64> = (0..IDS).filter(|id| !held.contains(id) && !served.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
