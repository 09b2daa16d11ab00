use super::*;
use common::TestServer;
use hardneg::client::{MineRequest, ScoreBatch};
use pb::SamplePlace::{Background, Hard, Nowhere, Quarantine};

fn steps() -> Option<pb::Decay> {
    Some(pb::Decay { half_life: Some(pb::decay::HalfLife::HalfLifeSteps(10.0)), max_step_jump: 0 })
}

#[tokio::test]
async fn a_sample_tells_where_it_is_and_what_is_stored() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let spec = pb::PoolSpec {
        decay: steps(),
        shards: 1,
        background: Some(pb::pool_spec::Background::BackgroundSize(100)),
        quarantine: Some(pb::Quarantine { quantile: 0.9, reports: 2, capacity: 10 }),
        ..plain(50)
    };
    client.create_pool("p", spec).await.unwrap();
    let ids: Vec<u64> = (100..2_100).collect();
    let scores: Vec<f32> = ids.iter().map(|id| (id % 100) as f32 * 0.01).collect();
    client.report_batch(ScoreBatch::new("p", &ids, &scores).unwrap().step(1)).await.unwrap();
    for step in [2, 3] {
        let batch = ScoreBatch::new("p", &[1, 2], &[7.0, if step == 2 { 8.0 } else { 0.5 }]).unwrap();
        client.report_batch(batch.step(step).model_version(step as u32)).await.unwrap();
    }
    client.report_batch(ScoreBatch::new("p", &[3], &[4.0]).unwrap().step(23)).await.unwrap();
    let only = MineRequest::new("p", 1).strategy(pb::Strategy::Top).random_fraction(0.0);
    assert_eq!(integers(&client.mine(only).await.unwrap().ids), [3]);

    let samples = client.get_samples("p", Ids::U64(vec![3, 1, 99, 3, 2])).await.unwrap();
    let places: Vec<_> = samples.iter().map(pb::Sample::place).collect();
    assert_eq!(places[..4], [Hard, Quarantine, Nowhere, Hard]);
    assert_eq!(samples[0], samples[3], "in the order of the request");
    let hard = &samples[0];
    assert_eq!((hard.score, hard.age, hard.serves, hard.model_version), (Some(4.0), Some(0.0), 1, 0));
    // Weights are scores + 0.001, to 2^-10 octave.
    assert!((hard.weight_log2.unwrap() - 4.001f32.log2()).abs() < 0.002, "{hard:?}");
    let set_aside = &samples[1];
    assert_eq!((set_aside.score, set_aside.age, set_aside.model_version), (Some(7.0), Some(20.0), 3));
    assert_eq!((set_aside.weight_log2, set_aside.in_background), (None, false));
    assert_eq!(samples[2], pb::Sample { place: Nowhere.into(), ..Default::default() });

    // Two half-lives later the weight of sample 2 is a quarter.
    let old = &samples[4];
    if old.place() == Hard {
        assert!((old.weight_log2.unwrap() - (0.501f32.log2() - 2.0)).abs() < 0.002, "{old:?}");
    }
    // Look up all ids: the number in each place must match the pool's sizes.
    let all: Vec<u64> = (1..=3).chain(100..2_100).collect();
    let samples = client.get_samples("p", Ids::U64(all)).await.unwrap();
    let sizes = figures(&client, "p").await.sizes.unwrap();
    let count = |what: &dyn Fn(&pb::Sample) -> bool| samples.iter().filter(|s| what(s)).count() as u64;
    assert_eq!(count(&|s| s.place() == Hard), sizes.hard);
    assert_eq!(count(&|s| s.in_background), sizes.background);
    assert!(count(&|s| s.place() == Background && s.in_background) > 0);
    assert_eq!(count(&|s| s.place() == Nowhere && s.score.is_some()), 0);
}

#[tokio::test]
async fn dense_ids_string_keys_and_wrong_requests() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let background = Some(pb::pool_spec::Background::DenseIds(10));
    client.create_pool("dense", pb::PoolSpec { background, ..plain(4) }).await.unwrap();
    client.report("dense", &[3], &[1.0]).await.unwrap();
    client.remove("dense", &[5]).await.unwrap();
    let samples = client.get_samples("dense", Ids::U64(vec![3, 4, 5, 10])).await.unwrap();
    let told: Vec<_> =
        samples.iter().map(|s| (s.place(), s.score, s.in_background, s.age.is_some())).collect();
    let expected = [
        (Hard, Some(1.0), true, true),
        (Background, None, true, false),
        (Nowhere, None, false, false),
        (Nowhere, None, false, false),
    ];
    assert_eq!(told, expected);

    let spec = pb::PoolSpec { id_kind: pb::IdKind::String.into(), ..plain(10) };
    client.create_pool("keys", spec).await.unwrap();
    client.report_keys("keys", ["a", "b"], &[1.0, 2.0]).await.unwrap();
    let keys = |keys: &[&str]| Ids::Keys(keys.iter().map(|k| (*k).to_owned()).collect());
    let samples = client.get_samples("keys", keys(&["b", "c", "a"])).await.unwrap();
    let scores: Vec<_> = samples.iter().map(|s| s.score).collect();
    assert_eq!(scores, [Some(2.0), None, Some(1.0)]);

    assert_invalid(client.get_samples("keys", Ids::U64(vec![1])).await, "ids");
    assert_invalid(client.get_samples("dense", keys(&["a"])).await, "ids");
    assert_invalid(client.get_samples("dense", Ids::U64(vec![1; 65_537])).await, "ids");
    assert_eq!(told_code(client.get_samples("none", Ids::U64(vec![1])).await), Code::NotFound);
    let missing = pb::GetSamplesRequest { pool: "pools/dense".into(), ..Default::default() };
    let status = client.mining_service().get_samples(missing).await.unwrap_err();
    assert_invalid::<()>(Err(status.into()), "ids");
    assert!(client.get_samples("dense", Ids::U64(vec![])).await.unwrap().is_empty());
}

fn told_code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    told(result).0
}
