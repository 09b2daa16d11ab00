//! Curricula, the control arm, and batch sizes from positives.

use super::*;
use common::TestServer;
use pb::{Curriculum, MiningPolicy, NegativeRatio, Schedule, ScheduleShape};

fn by_steps(capacity: u64) -> pb::PoolSpec {
    let half_life = Some(pb::decay::HalfLife::HalfLifeSteps(1e6));
    pb::PoolSpec { decay: Some(pb::Decay { half_life, max_step_jump: 0 }), ..plain(capacity) }
}

async fn filled(client: &Client, pool: &str, spec: pb::PoolSpec) {
    client.create_pool(pool, spec).await.unwrap();
    let ids: Vec<u64> = (0..200).collect();
    let scores: Vec<f32> = ids.iter().map(|id| (id + 1) as f32).collect();
    client.report(pool, &ids, &scores).await.unwrap();
}

fn schedule(from: f64, to: f64, begin_step: u64, end_step: u64) -> Option<Schedule> {
    Some(Schedule { shape: ScheduleShape::Linear.into(), from, to, begin_step, end_step })
}

fn root(from: f64, to: f64, begin_step: u64, end_step: u64) -> Option<Schedule> {
    Some(Schedule { shape: ScheduleShape::Sqrt.into(), from, to, begin_step, end_step })
}

fn of(curriculum: Curriculum) -> Option<MiningPolicy> {
    Some(MiningPolicy { curriculum: Some(curriculum), ..Default::default() })
}

fn request(policy: Option<MiningPolicy>, step: Option<u64>) -> pb::MineBatchRequest {
    pb::MineBatchRequest { pool: "pools/p".into(), batch_size: 16, policy, step, ..Default::default() }
}

async fn mined(client: &Client, request: pb::MineBatchRequest) -> Result<pb::MinedBatch, Error> {
    Ok(client.mining_service().mine_batch(request).await?.into_inner().batch.expect("a batch"))
}

#[tokio::test]
async fn a_policy_changes_with_the_step_and_the_batch_shows_it() {
    let server = TestServer::start().await;
    let client = server.client().await;
    filled(&client, "p", plain(1000)).await;
    let curriculum = Curriculum {
        warmup_steps: 100,
        alpha: schedule(0.0, 2.0, 100, 300),
        random_fraction: root(1.0, 0.0, 100, 300),
        beta: root(0.4, 1.0, 100, 300),
        quantile_min: schedule(0.0, 0.5, 100, 300),
        quantile_max: schedule(0.8, 1.0, 100, 300),
    };
    let at = async |step| mined(&client, request(of(curriculum), Some(step))).await.unwrap();
    let warm = at(99).await;
    let policy = warm.policy.clone().unwrap();
    assert!(warm.warmup && !warm.control && policy.windows.is_empty());
    assert_eq!((policy.strategy(), policy.random_fraction), (pb::Strategy::Uniform, Some(1.0)));
    assert_eq!((warm.background_count, warm.estimand()), (16, pb::Estimand::All));
    let half = at(200).await;
    let policy = half.policy.clone().unwrap();
    assert!(!half.warmup && policy.curriculum.is_none());
    let near = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 1e-9;
    assert!(near(policy.alpha, 1.0), "{policy:?}");
    assert!(near(policy.random_fraction, 0.5f64.sqrt()));
    assert!(near(policy.beta, (0.16f64 + 0.84 * 0.5).sqrt()));
    let Some(pb::window::Kind::Quantile(window)) = &policy.windows[0].kind else { panic!("{policy:?}") };
    assert!(near(Some(window.min), 0.25) && near(window.max, 0.9));
    let late = at(1_000_000).await;
    let policy = late.policy.unwrap();
    assert_eq!((policy.alpha, policy.random_fraction, policy.beta), (Some(2.0), Some(0.0), Some(1.0)));
    assert_eq!(late.hard_count, 16);
    let Some(pb::id_column::Encoding::U64s(ids)) = late.ids.unwrap().encoding else { panic!("integers") };
    assert!(ids.values.iter().all(|id| *id >= 99), "the window holds: {ids:?}");
    // Two windows, the request's and the scheduled one.
    let narrow = MiningPolicy {
        windows: vec![pb::Window {
            kind: Some(pb::window::Kind::Rank(pb::RankWindow { min: 0, max: Some(120) })),
        }],
        ..of(curriculum).unwrap()
    };
    assert_eq!(
        mined(&client, request(Some(narrow), Some(200))).await.unwrap().policy.unwrap().windows.len(),
        2
    );
}

#[tokio::test]
async fn the_step_is_the_requests_else_the_pools_else_an_error() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let curriculum = Curriculum { alpha: schedule(0.0, 1.0, 0, 100), ..Default::default() };
    filled(&client, "p", plain(1000)).await;
    assert_invalid(mined(&client, request(of(curriculum), None)).await, "step");
    let mut in_round = request(of(curriculum), None);
    in_round.round = Some(pb::Round { world_size: 1, ..Default::default() });
    assert_invalid(mined(&client, in_round).await, "step");
    client.create_pool("steps", by_steps(1000)).await.unwrap();
    let steps = |step| pb::MineBatchRequest { pool: "pools/steps".into(), ..request(of(curriculum), step) };
    assert_invalid(mined(&client, steps(None)).await, "step");
    let batch = hardneg::client::ScoreBatch::new("steps", &[1, 2], &[1.0, 2.0]).unwrap().step(40);
    client.report_batch(batch).await.unwrap();
    let alpha = async |step| mined(&client, steps(step)).await.unwrap().policy.unwrap().alpha.unwrap();
    assert_eq!((alpha(None).await, alpha(Some(70)).await), (0.4, 0.7));
    // The curriculum of a pool: a constant in a request overrides it, and an empty curriculum switches it off.
    let default_policy = of(curriculum);
    let spec = pb::PoolSpec { default_policy: default_policy.clone(), ..by_steps(1000) };
    let created = client.create_pool("own", spec.clone()).await.unwrap();
    assert!(created.1);
    assert_eq!(created.0.spec.unwrap().default_policy.unwrap().curriculum, Some(curriculum));
    assert!(!client.create_pool("own", spec).await.unwrap().1, "the same spec again");
    let own = |policy, step| pb::MineBatchRequest { pool: "pools/own".into(), ..request(policy, step) };
    let alpha =
        async |policy, step| mined(&client, own(policy, step)).await.unwrap().policy.unwrap().alpha.unwrap();
    assert_eq!(alpha(None, Some(25)).await, 0.25);
    let constant = MiningPolicy { alpha: Some(3.0), ..Default::default() };
    assert_eq!(alpha(Some(constant), Some(25)).await, 3.0);
    assert_eq!(alpha(of(Curriculum::default()), None).await, 1.0);
    assert_eq!(
        alpha(of(Curriculum { alpha: schedule(5.0, 5.0, 0, 1), ..Default::default() }), Some(0)).await,
        5.0
    );
}

#[tokio::test]
async fn a_wrong_curriculum_names_its_field() {
    let server = TestServer::start().await;
    let client = server.client().await;
    filled(&client, "p", plain(1000)).await;
    let none = Curriculum::default;
    let cases = [
        ("alpha.to", Curriculum { alpha: schedule(0.0, 16.5, 0, 1), ..none() }),
        ("alpha.from", Curriculum { alpha: schedule(-0.1, 1.0, 0, 1), ..none() }),
        ("random_fraction.to", Curriculum { random_fraction: schedule(0.0, 1.5, 0, 1), ..none() }),
        ("random_fraction.from", Curriculum { random_fraction: schedule(f64::NAN, 1.0, 0, 1), ..none() }),
        ("beta.from", Curriculum { beta: root(-1.0, 1.0, 0, 1), ..none() }),
        ("beta.end_step", Curriculum { beta: root(0.0, 1.0, 5, 5), ..none() }),
        (
            "beta.shape",
            Curriculum { beta: Some(Schedule { shape: 9, ..root(0.0, 1.0, 0, 1).unwrap() }), ..none() },
        ),
        ("quantile_min.to", Curriculum { quantile_min: schedule(0.0, f64::INFINITY, 0, 1), ..none() }),
        ("quantile_min", Curriculum { quantile_min: schedule(0.0, 1.0, 0, 10), ..none() }),
        ("quantile_max", Curriculum { quantile_max: schedule(1.0, 0.0, 0, 10), ..none() }),
        (
            "quantile_max",
            Curriculum {
                quantile_min: root(0.0, 0.9, 0, 1000),
                quantile_max: schedule(0.1, 1.0, 0, 1000),
                ..none()
            },
        ),
    ];
    for (field, curriculum) in cases {
        let wrong = mined(&client, request(of(curriculum), Some(1))).await;
        assert_invalid(wrong, &format!("policy.curriculum.{field}"));
        let spec = pb::PoolSpec { default_policy: of(curriculum), ..plain(10) };
        let field = format!("pool.spec.default_policy.curriculum.{field}");
        assert_invalid(client.create_pool("never", spec).await, &field);
    }
    let both = MiningPolicy {
        beta: Some(1.0),
        ..of(Curriculum { beta: schedule(0.0, 1.0, 0, 1), ..none() }).unwrap()
    };
    assert_invalid(mined(&client, request(Some(both), Some(1))).await, "policy.curriculum.beta");
}

#[tokio::test]
async fn ranks_must_agree_on_the_step_and_a_stream_advances_it() {
    let server = TestServer::start().await;
    let client = server.client().await;
    filled(&client, "p", plain(1000)).await;
    let curriculum = Curriculum { alpha: schedule(0.0, 1.0, 0, 100), ..Default::default() };
    let round = |rank| Some(pb::Round { rank, world_size: 2, ..Default::default() });
    let rank =
        |rank, step| pb::MineBatchRequest { round: round(rank), ..request(of(curriculum), Some(step)) };
    mined(&client, rank(0, 10)).await.unwrap();
    let error = mined(&client, rank(1, 11)).await.unwrap_err();
    assert!(error.to_string().contains("another step"), "{error}");
    assert_eq!(told(Err::<(), _>(error)).1, "ROUND_MISMATCH");
    mined(&client, rank(1, 10)).await.unwrap();
    let start =
        pb::StreamBatchesStart { request: Some(request(of(curriculum), Some(50))), max_outstanding: 3 };
    let first = pb::StreamBatchesRequest { message: Some(pb::stream_batches_request::Message::Start(start)) };
    let mut stream =
        client.mining_service().stream_batches(tokio_stream::iter([first])).await.unwrap().into_inner();
    for alpha in [0.5, 0.51, 0.52] {
        let batch = stream.message().await.unwrap().unwrap().batch.unwrap();
        assert_eq!(batch.policy.unwrap().alpha, Some(alpha));
    }
}

#[tokio::test]
async fn the_control_arm_is_uniform_fixed_and_live() {
    let server = TestServer::start().await;
    let client = server.client().await;
    filled(&client, "p", pb::PoolSpec { control_fraction: 0.3, ..plain(1000) }).await;
    let narrow = MiningPolicy {
        strategy: pb::Strategy::Top.into(),
        random_fraction: Some(0.0),
        windows: vec![pb::Window {
            kind: Some(pb::window::Kind::Rank(pb::RankWindow { min: 0, max: Some(20) })),
        }],
        ..Default::default()
    };
    let mut arm = Vec::new();
    for number in 0..100 {
        let round = |rank| Some(pb::Round { number, rank, world_size: 2, run_id: "run".into() });
        let rank = |rank| pb::MineBatchRequest {
            batch_size: 5,
            round: round(rank),
            ..request(Some(narrow.clone()), None)
        };
        let batches = [mined(&client, rank(0)).await.unwrap(), mined(&client, rank(1)).await.unwrap()];
        assert_eq!(batches[0].control, batches[1].control);
        for batch in &batches {
            let policy = batch.policy.as_ref().unwrap();
            assert_eq!(policy.random_fraction, Some(f64::from(u8::from(batch.control))));
            assert_eq!(
                (batch.background_count > 0, policy.windows.is_empty()),
                (batch.control, batch.control)
            );
            assert_eq!(batch.estimand() == pb::Estimand::All, batch.control, "a uniform batch has weights");
        }
        arm.push(batches[0].control);
    }
    let controls = arm.iter().filter(|control| **control).count();
    // The choice is a hash of fixed names, so it is the same in every run of the test.
    assert!((15..45).contains(&controls), "{controls}");
    assert_eq!(figures(&client, "p").await.control_batches, controls as u64);
    // The same rounds are chosen after the pool was created again under its name, for every rank.
    client.delete_pool("p", false).await.unwrap();
    filled(&client, "p", pb::PoolSpec { control_fraction: 0.3, ..plain(1000) }).await;
    for (number, control) in arm.iter().enumerate() {
        let round = Some(pb::Round { number: number as u64, rank: 2, world_size: 3, run_id: "run".into() });
        let batch = mined(&client, pb::MineBatchRequest { round, ..request(None, None) }).await.unwrap();
        assert_eq!(batch.control, *control);
    }
    assert!(!mined(&client, request(None, None)).await.unwrap().control, "not a round");
    let update = async |control_fraction| {
        let spec = pb::PoolSpec { control_fraction, ..Default::default() };
        client.update_pool("p", spec, &["spec.control_fraction"], None).await
    };
    assert_invalid(update(1.5).await, "pool.spec.control_fraction");
    assert_invalid(update(f64::NAN).await, "pool.spec.control_fraction");
    assert_eq!(update(1.0).await.unwrap().spec.unwrap().control_fraction, 1.0);
    let round = Some(pb::Round { number: 1_000, rank: 0, world_size: 1, run_id: "run".into() });
    assert!(mined(&client, pb::MineBatchRequest { round, ..request(None, None) }).await.unwrap().control);
    assert!(!mined(&client, request(None, None)).await.unwrap().control, "never without a round");
}

#[tokio::test]
async fn a_batch_size_may_come_from_the_positives() {
    let server = TestServer::start().await;
    let client = server.client().await;
    filled(&client, "p", plain(1000)).await;
    let ratio = |positives, negatives_per_positive, min_size| pb::MineBatchRequest {
        batch_size: 0,
        negative_ratio: Some(NegativeRatio { positives, negatives_per_positive, min_size }),
        ..request(None, None)
    };
    for (request, size) in [
        (ratio(10, 0.0, 0), 30),
        (ratio(7, 1.5, 0), 11),
        (ratio(30, 0.1, 0), 3),
        (ratio(0, 0.0, 0), 0),
        (ratio(0, 3.0, 8), 8),
        (ratio(5, 3.0, 8), 15),
    ] {
        let batch = mined(&client, request).await.unwrap();
        assert_eq!(batch.hard_count + batch.background_count, size);
    }
    let both = pb::MineBatchRequest { batch_size: 4, ..ratio(1, 3.0, 0) };
    for (field, request) in [
        ("negative_ratio", both),
        ("negative_ratio", ratio(30_000, 3.0, 0)),
        ("negative_ratio", ratio(0, 3.0, 70_000)),
        ("negative_ratio.negatives_per_positive", ratio(1, -1.0, 0)),
        ("negative_ratio.negatives_per_positive", ratio(1, f64::NAN, 0)),
        ("batch_size", pb::MineBatchRequest { negative_ratio: None, ..ratio(1, 1.0, 0) }),
    ] {
        assert_invalid(mined(&client, request).await, field);
    }
    // No positives give no negatives, whatever the strategy and the shortfall rule; in a round every rank needs a sample.
    for strategy in
        [pb::Strategy::Top, pb::Strategy::Proportional, pb::Strategy::Uniform, pb::Strategy::Stalest]
    {
        for shortfall in [pb::Shortfall::Fill, pb::Shortfall::Short, pb::Shortfall::Error] {
            for share in [0.0, 0.25, 1.0] {
                let policy = MiningPolicy {
                    strategy: strategy.into(),
                    shortfall: shortfall.into(),
                    random_fraction: Some(share),
                    ..Default::default()
                };
                let none = pb::MineBatchRequest { policy: Some(policy), ..ratio(0, 3.0, 0) };
                let batch =
                    mined(&client, pb::MineBatchRequest { request_id: "none".into(), ..none }).await.unwrap();
                assert_eq!((batch.hard_count, batch.background_count, batch.shortfall_count), (0, 0, 0));
                assert!(!batch.realized_random_fraction.is_nan());
            }
        }
    }
    let round = Some(pb::Round { rank: 0, world_size: 2, ..Default::default() });
    assert_invalid(
        mined(&client, pb::MineBatchRequest { round, ..ratio(0, 3.0, 0) }).await,
        "negative_ratio",
    );
    // In a round the sizes must agree, however they were given.
    let round = |rank| Some(pb::Round { rank, world_size: 2, ..Default::default() });
    mined(&client, pb::MineBatchRequest { round: round(0), ..ratio(4, 3.0, 0) }).await.unwrap();
    mined(&client, pb::MineBatchRequest { round: round(1), batch_size: 12, ..request(None, None) })
        .await
        .unwrap();
    let other = mined(&client, pb::MineBatchRequest { round: round(1), ..ratio(5, 3.0, 0) }).await;
    assert_eq!(told(other).1, "ROUND_MISMATCH");
}
