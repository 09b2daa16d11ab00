use super::*;
use common::TestServer;
use hardneg::config::{Config, Limits};
use pb::decay::HalfLife;
use pb::pool_spec::{Background, SampleTtl};
use std::time::Duration;
use tonic::Request;

#[tokio::test]
async fn a_pool_is_created_once_listed_changed_and_deleted() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let (pool, created) = client.create_pool("faces", pb::PoolSpec::default()).await.unwrap();
    assert!(created);
    let spec = pool.spec.clone().unwrap();
    assert_eq!((pool.name.as_str(), spec.capacity), ("pools/faces", 1 << 20));
    assert_eq!(spec.background, Some(Background::BackgroundSize(65_536)));
    assert_eq!(spec.hardness.unwrap().offset, 0.001, "as written");
    let half_life = spec.decay.unwrap().half_life.unwrap();
    assert_eq!(half_life, HalfLife::HalfLifeTime(prost_types::Duration { seconds: 3600, nanos: 0 }));

    // Create it again with the same spec, and with the spec of the response: both are the same.
    for again in [pb::PoolSpec::default(), spec.clone()] {
        let (same, created) = client.create_pool("faces", again).await.unwrap();
        assert!(!created);
        assert_eq!(same, pool);
    }
    let other = client.create_pool("faces", pb::PoolSpec { capacity: 5, ..Default::default() }).await;
    let error = other.unwrap_err();
    assert_eq!((error.code(), error.reason().unwrap().as_str()), (Code::AlreadyExists, "POOL_EXISTS"));
    assert!(error.to_string().contains("spec.capacity"), "{error}");

    let slower = pb::Decay { half_life: Some(HalfLife::HalfLifeTime(seconds(60))), max_step_jump: 0 };
    let change = pb::PoolSpec { decay: Some(slower), capacity: 77, ..Default::default() };
    let changed = client.update_pool("faces", change.clone(), &["spec.decay"], None).await.unwrap();
    let now = changed.spec.unwrap();
    assert_eq!((now.decay, now.capacity), (Some(slower), 1 << 20), "only what the mask names");
    assert_ne!(changed.etag, pool.etag);
    assert_invalid(
        client.update_pool("faces", change.clone(), &["spec.capacity"], None).await,
        "update_mask.paths[0]",
    );
    assert_invalid(client.update_pool("faces", change, &[], None).await, "update_mask");
    let by_steps = pb::PoolSpec {
        decay: Some(pb::Decay { half_life: Some(HalfLife::HalfLifeSteps(10.0)), max_step_jump: 0 }),
        ..Default::default()
    };
    assert_invalid(client.update_pool("faces", by_steps, &["spec.decay"], None).await, "pool.spec.decay");

    let mut service = client.pool_service();
    let stale =
        pb::DeletePoolRequest { name: "pools/faces".into(), etag: pool.etag.clone(), ..Default::default() };
    assert_eq!(service.delete_pool(stale).await.unwrap_err().code(), Code::Aborted);
    client.delete_pool("faces", false).await.unwrap();
    assert_eq!(told(client.delete_pool("faces", false).await).1, "POOL_NOT_FOUND");
    client.delete_pool("faces", true).await.unwrap();
    assert_eq!(told(client.get_pool("faces").await).0, Code::NotFound);
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

#[tokio::test]
async fn pages_hold_every_pool_once() {
    let server = TestServer::start().await;
    let client = server.client().await;
    for i in (0..7).rev() {
        client.create_pool(format!("p{i}"), plain(10)).await.unwrap();
    }
    let (mut names, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = pb::ListPoolsRequest { page_size: 3, page_token };
        let page = client.pool_service().list_pools(request).await.unwrap().into_inner();
        assert!(page.pools.len() <= 3);
        names.extend(page.pools.into_iter().map(|pool| pool.name));
        (page_token, pages) = (page.next_page_token, pages + 1);
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, (0..7).map(|i| format!("pools/p{i}")).collect::<Vec<_>>());
    assert_eq!(pages, 3);
    let negative = pb::ListPoolsRequest { page_size: -1, page_token: String::new() };
    assert_eq!(client.pool_service().list_pools(negative).await.unwrap_err().code(), Code::InvalidArgument);
}

/// Specs with a size that is out of range, each with the field that the error names.
fn specs_of_wrong_sizes() -> Vec<(&'static str, pb::PoolSpec)> {
    let none = pb::PoolSpec::default;
    vec![
        ("capacity", pb::PoolSpec { capacity: 1 << 40, ..none() }),
        ("background_size", pb::PoolSpec { background: Some(Background::BackgroundSize(3)), ..none() }),
        (
            "background_size",
            pb::PoolSpec { background: Some(Background::BackgroundSize(u64::MAX)), ..none() },
        ),
        ("dense_ids", pb::PoolSpec { background: Some(Background::DenseIds(0)), ..none() }),
        (
            "dense_ids",
            pb::PoolSpec {
                background: Some(Background::DenseIds(9)),
                id_kind: pb::IdKind::String.into(),
                ..none()
            },
        ),
        ("shards", pb::PoolSpec { shards: 257, ..none() }),
        ("id_kind", pb::PoolSpec { id_kind: 77, ..none() }),
        ("max_payload_bytes", pb::PoolSpec { max_payload_bytes: 4097, ..none() }),
    ]
}

/// Specs with a number out of range in a rule of the pool, each with the field that the error names.
fn specs_of_wrong_rules() -> Vec<(&'static str, pb::PoolSpec)> {
    let decay = |half_life| Some(pb::Decay { half_life: Some(half_life), max_step_jump: 0 });
    let hardness = |function: pb::HardnessFunction, offset, temperature| {
        Some(pb::Hardness { function: function.into(), offset, temperature, ..Default::default() })
    };
    let limits =
        |serve_penalty, max_serves| Some(pb::ServeLimits { serve_penalty, max_serves, ..Default::default() });
    let none = pb::PoolSpec::default;
    vec![
        (
            "decay.half_life_time",
            pb::PoolSpec { decay: decay(HalfLife::HalfLifeTime(seconds(-5))), ..none() },
        ),
        ("decay.half_life_time", pb::PoolSpec { decay: decay(HalfLife::HalfLifeTime(seconds(0))), ..none() }),
        ("decay.half_life_steps", pb::PoolSpec { decay: decay(HalfLife::HalfLifeSteps(-1.0)), ..none() }),
        ("decay.half_life_steps", pb::PoolSpec { decay: decay(HalfLife::HalfLifeSteps(f64::NAN)), ..none() }),
        (
            "hardness.offset",
            pb::PoolSpec { hardness: hardness(pb::HardnessFunction::Power, -1.0, 0.0), ..none() },
        ),
        (
            "hardness.temperature",
            pb::PoolSpec {
                hardness: hardness(pb::HardnessFunction::Exponential, 0.0, f64::INFINITY),
                ..none()
            },
        ),
        (
            "score_update.ema_weight",
            pb::PoolSpec {
                score_update: Some(pb::ScoreUpdate {
                    rule: pb::ScoreUpdateRule::Ema.into(),
                    ema_weight: 1.5,
                }),
                ..none()
            },
        ),
        ("serve_limits.serve_penalty", pb::PoolSpec { serve_limits: limits(2.0, 0), ..none() }),
        ("serve_limits.max_serves", pb::PoolSpec { serve_limits: limits(0.0, 65_535), ..none() }),
        ("serve_limits.max_serves", pb::PoolSpec { serve_limits: limits(0.0, u32::MAX), ..none() }),
        (
            "sample_ttl_time",
            pb::PoolSpec { sample_ttl: Some(SampleTtl::SampleTtlTime(seconds(0))), ..none() },
        ),
        (
            "sample_ttl_time",
            pb::PoolSpec { sample_ttl: Some(SampleTtl::SampleTtlTime(seconds(-5))), ..none() },
        ),
        (
            "sample_ttl_time",
            pb::PoolSpec { sample_ttl: Some(SampleTtl::SampleTtlTime(seconds(400 * 86_400))), ..none() },
        ),
        ("sample_ttl_steps", pb::PoolSpec { sample_ttl: Some(SampleTtl::SampleTtlSteps(10)), ..none() }),
        (
            "default_policy.alpha",
            pb::PoolSpec {
                default_policy: Some(pb::MiningPolicy { alpha: Some(-0.5), ..Default::default() }),
                ..none()
            },
        ),
    ]
}

#[tokio::test]
async fn a_wrong_spec_names_its_field() {
    let server = TestServer::start().await;
    let client = server.client().await;
    for (field, spec) in specs_of_wrong_sizes().into_iter().chain(specs_of_wrong_rules()) {
        assert_invalid(client.create_pool("bad", spec).await, &format!("pool.spec.{field}"));
    }
    let durable = pb::PoolSpec { durability: pb::Durability::Sync.into(), ..pb::PoolSpec::default() };
    let (code, _, field) = told(client.create_pool("bad", durable).await);
    assert_eq!(code, Code::Unimplemented);
    assert!(field.starts_with("pool.spec."), "{field}");
    assert!(client.list_pools().await.unwrap().is_empty(), "nothing was created");
}

#[tokio::test]
async fn a_wrong_name_of_a_pool_is_refused() {
    let server = TestServer::start().await;
    let client = server.client().await;
    for name in ["", "a/b", "pools/a", "A", "-a", "a b", "..", &"x".repeat(64), &"y".repeat(100_000)] {
        let request = pb::CreatePoolRequest { pool_id: name.into(), pool: None };
        let status = client.pool_service().create_pool(Request::new(request)).await.unwrap_err();
        assert_invalid::<()>(Err(status.into()), "pool_id");
    }
    let bare = pb::GetPoolRequest { name: "faces".into(), pool_uid: 0 };
    let status = client.pool_service().get_pool(bare).await.unwrap_err();
    assert_invalid::<()>(Err(status.into()), "name");
    assert!(client.list_pools().await.unwrap().is_empty(), "nothing was created");
}

#[tokio::test]
async fn there_are_no_more_pools_than_the_limit() {
    let limits = Limits { max_pools: 2, ..Limits::default() };
    let server = TestServer::start_with(Config { limits, ..Config::default() }).await;
    let client = server.client().await;
    client.create_pool("a", plain(10)).await.unwrap();
    client.create_pool("b", plain(10)).await.unwrap();
    assert_eq!(told(client.create_pool("c", plain(10)).await).0, Code::ResourceExhausted);
    client.create_pool("b", plain(10)).await.expect("it exists");
    client.delete_pool("a", false).await.unwrap();
    client.create_pool("c", plain(10)).await.unwrap();
}

#[tokio::test]
async fn a_handle_of_a_pool_does_not_reach_its_successor() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let (first, _) = client.create_pool("run", plain(10)).await.unwrap();
    client.delete_pool("run", false).await.unwrap();
    let (second, _) = client.create_pool("run", plain(10)).await.unwrap();
    assert_ne!(first.uid, second.uid);
    let old = hardneg::client::ScoreBatch::new("run", &[1], &[1.0]).unwrap().pool_uid(first.uid);
    let (code, reason, _) = told(client.report_batch(old).await);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "POOL_RECREATED"));
    let request = hardneg::client::MineRequest::new("run", 1).pool_uid(first.uid);
    assert_eq!(told(client.mine(request).await).1, "POOL_RECREATED");
}

#[tokio::test]
async fn the_administration_of_a_pool_does_not_reach_its_successor() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let (old, _) = client.create_pool("run", plain(10)).await.unwrap();
    client.delete_pool(&old, false).await.unwrap();
    let (new, _) = client.create_pool("run", plain(10)).await.unwrap();
    client.report(&new, &[1, 2], &[1.0, 2.0]).await.unwrap();

    fn refused<T>(call: &str, outcome: Result<T, Error>, uids: [u64; 2]) {
        let error = outcome.err().unwrap_or_else(|| panic!("{call} reached the new pool"));
        let told = (error.code(), error.reason().unwrap());
        assert_eq!(told, (Code::FailedPrecondition, "POOL_RECREATED".to_owned()), "{call}");
        assert!(uids.iter().all(|uid| error.to_string().contains(&uid.to_string())), "{call}: {error}");
    }
    let uids = [old.uid, new.uid];
    let slower = pb::Decay { half_life: Some(HalfLife::HalfLifeTime(seconds(60))), max_step_jump: 0 };
    let change = pb::PoolSpec { decay: Some(slower), ..Default::default() };
    refused("GetPool", client.get_pool(&old).await, uids);
    refused("UpdatePool", client.update_pool(&old, change, &["spec.decay"], None).await, uids);
    refused("GetPoolStats", client.pool_stats(&old).await, uids);
    refused("WatchPoolStats", client.watch_pool_stats(&old, Duration::from_secs(1)).await, uids);
    refused("ListQuarantined", client.list_quarantined(&old).await, uids);
    refused("ReleaseQuarantined", client.release_quarantined(&old, None, false).await, uids);
    refused("RemoveSamples", client.remove(&old, &[1]).await, uids);
    refused("ReleaseLease", client.release_lease(&old, Ids::U64(vec![1])).await, uids);
    refused("GetSamples", client.get_samples(&old, Ids::U64(vec![1])).await, uids);
    for allow_missing in [false, true] {
        refused("DeletePool", client.delete_pool(&old, allow_missing).await, uids);
    }

    assert_eq!(client.get_pool(&new).await.unwrap(), new, "nothing of it changed");
    assert_eq!(client.pool_stats(&new).await.unwrap().sizes.unwrap().hard, 2);
    client.delete_pool(&new, false).await.unwrap();
    for gone in [&old, &new] {
        assert_eq!(told(client.delete_pool(gone, false).await).1, "POOL_NOT_FOUND");
        client.delete_pool(gone, true).await.unwrap();
    }
}

#[tokio::test]
async fn health_and_reflection_are_served() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };

    let server = TestServer::start().await;
    let channel = server.client().await.channel();
    for service in ["", "hardneg.v1.MiningService", "hardneg.v1.PoolService"] {
        let request = HealthCheckRequest { service: service.into() };
        let health = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    }
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(ask))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(
        names.contains(&"hardneg.v1.MiningService") && names.contains(&"hardneg.v1.PoolService"),
        "{names:?}"
    );
}

fn exponential(temperature: f64, half_life: Option<pb::decay::HalfLife>) -> pb::PoolSpec {
    pb::PoolSpec {
        hardness: Some(pb::Hardness {
            function: pb::HardnessFunction::Exponential.into(),
            temperature,
            ..Default::default()
        }),
        decay: Some(pb::Decay { half_life, max_step_jump: 0 }),
        ..plain(1_000)
    }
}

/// A sample loses 0.01 of its score in a step: after 10 steps one of 0.6 is below a fresh one of 0.51 and above one of 0.49.
#[tokio::test]
async fn a_decay_in_units_of_the_score_is_a_half_life() {
    use hardneg::client::MineRequest;
    use hardneg::proto::columns;
    let server = TestServer::start().await;
    let client = server.client().await;
    let spec = exponential(0.05, Some(HalfLife::ScorePerStep(0.01)));
    let half_life = 0.05 * std::f64::consts::LN_2 / 0.01;
    let told = |pool: &pb::Pool| match pool.spec.as_ref().unwrap().decay.as_ref().unwrap().half_life {
        Some(HalfLife::HalfLifeSteps(steps)) => steps,
        other => panic!("{other:?}"),
    };
    let (pool, _) = client.create_pool("p", spec.clone()).await.unwrap();
    assert!((told(&pool) - half_life).abs() < 1e-6);
    // Asked for again, it is the same spec.
    assert!(!client.create_pool("p", spec).await.unwrap().1);
    for (id, score, step) in [(1, 0.6, 1), (2, 0.51, 11), (3, 0.49, 11)] {
        let batch = pb::ScoreBatch {
            pool: "pools/p".into(),
            ids: Some(columns::encode_ids(vec![id], pb::ColumnEncoding::Packed)),
            scores: Some(columns::encode_floats(vec![score], pb::ColumnEncoding::Packed)),
            step,
            ..Default::default()
        };
        client.mining_service().report_scores(pb::ReportScoresRequest { batch: Some(batch) }).await.unwrap();
    }
    let top = MineRequest::new("p", 3).strategy(pb::Strategy::Top).random_fraction(0.0);
    assert_eq!(integers(&client.mine(top).await.unwrap().ids), [2, 1, 3]);
    let in_score = figures(&client, "p").await.half_life_in_score.unwrap();
    assert!((in_score - 0.05 * std::f64::consts::LN_2).abs() < 1e-8, "{in_score}");
    client.create_pool("timed", exponential(0.5, Some(HalfLife::ScorePerSecond(0.001)))).await.unwrap();
    client.create_pool("still", exponential(0.5, Some(HalfLife::Disabled(true)))).await.unwrap();
    assert!(figures(&client, "timed").await.half_life_in_score.is_some());
    assert_eq!(figures(&client, "still").await.half_life_in_score, None);
    let power = pb::Decay { half_life: Some(HalfLife::ScorePerStep(0.01)), max_step_jump: 0 };
    let refused = client.create_pool("power", pb::PoolSpec { decay: Some(power), ..plain(10) }).await;
    assert_invalid(refused, "pool.spec.decay.score_per_step");
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300] {
        let by_step = exponential(0.05, Some(HalfLife::ScorePerStep(rate)));
        assert_invalid(client.create_pool("bad", by_step).await, "pool.spec.decay.score_per_step");
        let by_second = exponential(0.05, Some(HalfLife::ScorePerSecond(rate)));
        assert_invalid(client.create_pool("bad", by_second).await, "pool.spec.decay.score_per_second");
    }
}
