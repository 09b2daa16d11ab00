//! Training runs of pools that age by steps: a second run of a script, resumes, two runs at the same time.

use super::*;
use common::TestServer;
use hardneg::client::{ClientOptions, MineRequest, ScoreBatch, ScoreStreamOptions};
use std::time::{Duration, Instant};

const HALF_LIFE: f64 = 500.0;

/// A pool that ages by steps.
fn by_steps(capacity: u64) -> pb::PoolSpec {
    let half_life = Some(pb::decay::HalfLife::HalfLifeSteps(HALF_LIFE));
    pb::PoolSpec { decay: Some(pb::Decay { half_life, max_step_jump: 10_000 }), ..plain(capacity) }
}

/// A new process of a training: a separate client, in this run.
async fn process(server: &TestServer, run_id: &str) -> Client {
    server.client_with(ClientOptions { run_id: Some(run_id.to_owned()), ..ClientOptions::default() }).await
}

/// Reports ids with score 1 at a step.
async fn report(
    client: &Client,
    step: u64,
    ids: impl IntoIterator<Item = u64>,
) -> Result<pb::ScoreAck, Error> {
    let ids: Vec<u64> = ids.into_iter().collect();
    let scores = vec![1.0; ids.len()];
    client.report_batch(ScoreBatch::new("p", &ids, &scores)?.step(step)).await
}

async fn run_of(client: &Client) -> pb::Run {
    let run = client.get_pool("p").await.unwrap().run.expect("a run");
    assert_eq!(figures(client, "p").await.run.as_ref(), Some(&run), "both say the same");
    run
}

fn run(run_id: &str, first_step: u64, step: u64, tick: u64) -> pb::Run {
    pb::Run { run_id: run_id.into(), first_step, step, tick }
}

/// Asserts FAILED_PRECONDITION with this reason, and returns its metadata.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, reason: &str) -> Vec<(String, String)> {
    let error = result.expect_err("a refusal");
    assert_eq!(
        (error.code(), error.reason().as_deref()),
        (Code::FailedPrecondition, Some(reason)),
        "{error}"
    );
    let info = tonic_types::StatusExt::get_details_error_info(error.status().unwrap()).unwrap();
    let mut metadata: Vec<(String, String)> = info.metadata.into_iter().collect();
    metadata.sort();
    metadata
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Ids and ages of all stored samples, the oldest report first.
async fn stalest(client: &Client, n: u32) -> Vec<(u64, f32)> {
    let fields = pb::BatchFields { ages: true, ..Default::default() };
    let request =
        MineRequest::new("p", n).strategy(pb::Strategy::Stalest).random_fraction(0.0).fields(fields);
    let batch = client.mine(request).await.unwrap();
    integers(&batch.ids).iter().copied().zip(batch.ages).collect()
}

#[tokio::test]
async fn the_same_training_twice_is_mined_twice() {
    let server = TestServer::start().await;
    let mut told = Vec::new();
    for (turn, run_id) in ["first", "second"].into_iter().enumerate() {
        let client = process(&server, run_id).await;
        let (pool, created) = client.create_pool("p", by_steps(1_000)).await.unwrap();
        told.push((created, pool.run));
        let mut stream = client.score_stream(ScoreStreamOptions::default());
        for step in 1..=100 {
            // Half of the ids are reported in both runs.
            let ids: Vec<u64> = (0..32).map(|i| (500 * turn as u64 + 32 * step + i) % 4_000).collect();
            let batch = ScoreBatch::new("p", &ids, &[1.0 + turn as f32; 32]).unwrap();
            stream.send(batch.step(step)).await.unwrap();
        }
        let summary = stream.finish().await.unwrap();
        assert_eq!((summary.rejected, summary.stale, summary.counts.stale), (0, 0, 0), "{summary:?}");
        // The hardest samples were reported in this run, so they are not older than the run.
        let fields = pb::BatchFields { ages: true, scores: true, ..Default::default() };
        let top = MineRequest::new("p", 256).strategy(pb::Strategy::Top).random_fraction(0.0).fields(fields);
        let batch = client.mine(top).await.unwrap();
        assert_eq!(batch.len(), 256);
        assert!(batch.scores.iter().all(|score| *score == 1.0 + turn as f32), "{:?}", batch.scores);
        assert!(batch.ages.iter().all(|age| *age < 100.0), "{:?}", batch.ages);
        assert_eq!(run_of(&client).await, run(run_id, 1, 100, 99 * (turn as u64 + 1)));
    }
    assert_eq!(told, [(true, None), (false, Some(run("first", 1, 100, 99)))]);
}

#[tokio::test]
async fn a_resume_from_an_older_step_needs_a_run_id_and_ages_nothing() {
    let server = TestServer::start().await;
    let client = process(&server, "").await;
    client.create_pool("p", by_steps(100)).await.unwrap();
    for step in [2_000, 3_000, 4_000] {
        report(&client, step, [step]).await.unwrap();
    }
    let before = client.get_samples("p", Ids::U64(vec![2_000, 3_000, 4_000])).await.unwrap();
    // Without a new run_id, and with a step more than a half-life behind, the report is refused.
    let resumed = process(&server, "").await;
    let behind = report(&resumed, 3_499, [1]).await;
    assert!(behind.as_ref().unwrap_err().to_string().contains("needs a new run_id"));
    let both = pairs(&[("current_run_id", ""), ("highest_step", "4000"), ("step", "3499")]);
    assert_eq!(refused(behind, "STEP_BEHIND"), both);
    // With a step that is less behind, rows are stale one by one, and the ack counts them. Half of the rows is not more than half.
    let Err(Error::Stale { ack }) = report(&resumed, 3_500, [4_000, 3_000, 4_000]).await else {
        panic!("two of three rows are older than what is stored")
    };
    let counts = ack.counts.unwrap();
    assert_eq!((ack.status, counts.stale, counts.updated), (pb::AckStatus::Stale.into(), 2, 1));
    let half = report(&resumed, 3_400, [4_000, 1]).await.unwrap();
    assert_eq!((half.status(), half.counts.unwrap().stale), (pb::AckStatus::Applied, 1));
    assert_eq!(run_of(&client).await, run("", 2_000, 4_000, 2_000));
    // With a new run_id the training goes on, and no sample ages because of the change.
    let resumed = process(&server, "resumed").await;
    let ack = report(&resumed, 2_500, [2_000]).await.unwrap();
    assert_eq!((ack.status(), ack.counts.unwrap().updated), (pb::AckStatus::Applied, 1));
    let after = client.get_samples("p", Ids::U64(vec![2_000, 3_000, 4_000])).await.unwrap();
    let weight =
        |samples: &[pb::Sample], at: usize| (samples[at].weight_log2.unwrap(), samples[at].age.unwrap());
    assert_eq!(weight(&after, 2), weight(&before, 2));
    assert_eq!((weight(&after, 0), weight(&after, 1).1), (weight(&before, 2), 500.0));
    assert_eq!(run_of(&client).await, run("resumed", 2_500, 2_500, 2_000));
    report(&resumed, 3_000, [9]).await.unwrap();
    let aged = client.get_samples("p", Ids::U64(vec![4_000])).await.unwrap();
    let (then, now) = (weight(&before, 2), weight(&aged, 0));
    assert_eq!(now.1 - then.1, HALF_LIFE);
    assert!((then.0 - now.0 - 1.0).abs() < 1e-3, "one half-life: {then:?}, {now:?}");
}

#[tokio::test]
async fn of_two_runs_at_once_the_first_is_told_that_it_has_ended() {
    let server = TestServer::start().await;
    let (old, new) = (process(&server, "old").await, process(&server, "new").await);
    old.create_pool("p", by_steps(100)).await.unwrap();
    report(&old, 10, [1]).await.unwrap();
    report(&new, 1, [2]).await.unwrap();
    let both = pairs(&[("current_run_id", "new"), ("run_id", "old")]);
    let ended = report(&old, 11, [1]).await;
    let text = ended.as_ref().unwrap_err().to_string();
    assert!(text.contains("run `old` has ended") && text.contains("is `new`"), "{text}");
    assert_eq!(refused(ended, "RUN_ENDED"), both);
    // A stream goes on, and each of its batches is refused; so is another process of the ended run.
    let mut stream = process(&server, "old").await.score_stream(ScoreStreamOptions::default());
    for step in [12, 13] {
        let sent = stream.send(ScoreBatch::new("p", &[1], &[1.0]).unwrap().step(step)).await.unwrap();
        assert_eq!(refused(sent.await, "RUN_ENDED"), both);
    }
    let summary = stream.finish().await.unwrap();
    assert_eq!((summary.rejected, summary.reconnects), (2, 0), "it is not tried again");
    // The error for a report without run_id names the current run.
    let unnamed = report(&process(&server, "").await, 1, [3]).await;
    assert_eq!(refused(unnamed, "RUN_MISSING"), pairs(&[("current_run_id", "new")]));
    assert_eq!(run_of(&new).await, run("new", 1, 1, 0));
    let stats = figures(&new, "p").await;
    assert_eq!((stats.sizes.unwrap().hard, stats.rejected_batches), (2, 4));
    // An ended run gets no share of a round either.
    let round = |run_id: &str| pb::Round { number: 1, rank: 0, world_size: 1, run_id: run_id.into() };
    let share = async |run_id| new.mine(MineRequest::new("p", 1).round(round(run_id))).await;
    assert_eq!(refused(share("old").await.map(|_| ()), "RUN_ENDED"), both);
    for run_id in ["new", "unseen", ""] {
        share(run_id).await.unwrap();
    }
    assert_eq!(run_of(&new).await.run_id, "new", "mining begins no run");
}

#[tokio::test]
async fn what_is_refused_begins_no_run_and_raises_no_step() {
    let server = TestServer::start().await;
    let client = process(&server, "a").await;
    client.create_pool("p", by_steps(100)).await.unwrap();
    let spoiled = |run_id: &str, step| {
        let batch = ScoreBatch::new("p", &[1], &[1.0]).unwrap().step(step).run_id(run_id);
        batch.payloads(vec!["payload".into()])
    };
    assert_invalid(client.report_batch(spoiled("a", 5)).await, "batch.payloads[0]");
    assert_eq!(client.get_pool("p").await.unwrap().run, None);
    report(&client, 10, [1]).await.unwrap();
    assert_invalid(client.report_batch(spoiled("b", 5)).await, "batch.payloads[0]");
    assert_invalid(client.report_batch(spoiled("a", 20)).await, "batch.payloads[0]");
    assert_invalid(report(&client, 10_011, [1]).await, "batch.step");
    assert_eq!(run_of(&client).await, run("a", 10, 10, 0));
    report(&client, 11, [1]).await.expect("run a goes on");
    for (run_id, problem) in [("x".repeat(129), "129 bytes, over 128"), ("a\u{1b}[2J".into(), "control")] {
        let batch = ScoreBatch::new("p", &[1], &[1.0]).unwrap().step(12).run_id(run_id.clone());
        let refused = client.report_batch(batch).await;
        assert!(refused.as_ref().unwrap_err().to_string().contains(problem));
        assert_invalid(refused, "batch.run_id");
        let round = pb::Round { number: 1, rank: 0, world_size: 1, run_id };
        assert_invalid(client.mine(MineRequest::new("p", 1).round(round)).await.map(|_| ()), "round.run_id");
    }
}

#[tokio::test]
async fn a_resend_of_an_ended_run_is_told_what_became_of_its_batch() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", by_steps(100)).await.unwrap();
    client.create_pool("anchored", anchored()).await.unwrap();
    for (pool, anchors) in [("p", None), ("anchored", Some(vec![7]))] {
        let send = async |run_id: &str, worker_epoch, sequence| {
            let ids = |values: Vec<u64>| pb::IdColumn {
                encoding: Some(pb::id_column::Encoding::U64s(pb::U64s { values })),
            };
            let batch = pb::ScoreBatch {
                pool: format!("pools/{pool}"),
                worker_id: "w".into(),
                worker_epoch,
                sequence,
                run_id: run_id.into(),
                step: 3,
                ids: Some(ids(vec![1])),
                anchors: anchors.clone().map(ids),
                scores: Some(pb::FloatColumn {
                    encoding: Some(pb::float_column::Encoding::Floats(pb::Floats { values: vec![1.0] })),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let request = pb::ReportScoresRequest { batch: Some(batch) };
            let answer = client.mining_service().report_scores(request).await.map_err(Error::from)?;
            Ok::<_, Error>(answer.into_inner().ack.unwrap().status())
        };
        assert_eq!(send("old", 1, 1).await.unwrap(), pb::AckStatus::Applied);
        assert_eq!(send("new", 2, 1).await.unwrap(), pb::AckStatus::Applied);
        assert_eq!(send("old", 1, 1).await.unwrap(), pb::AckStatus::Duplicate, "{pool}: it had been applied");
        refused(send("old", 1, 2).await, "RUN_ENDED");
        assert_eq!(client.get_pool(pool).await.unwrap().run.unwrap().run_id, "new");
    }
}

fn anchored() -> pb::PoolSpec {
    pb::PoolSpec {
        kind: pb::PoolKind::Anchored.into(),
        anchored: Some(pb::AnchoredSpec { negatives_per_anchor: 4, ..Default::default() }),
        capacity: 0,
        ..by_steps(0)
    }
}

#[tokio::test]
async fn a_curriculum_follows_the_requests_step_and_else_the_runs() {
    let server = TestServer::start().await;
    let (old, new) = (process(&server, "old").await, process(&server, "new").await);
    let alpha = pb::Schedule { shape: 0, from: 0.0, to: 1.0, begin_step: 0, end_step: 1_000 };
    let curriculum = pb::Curriculum { alpha: Some(alpha), ..Default::default() };
    let default_policy = Some(pb::MiningPolicy { curriculum: Some(curriculum), ..Default::default() });
    old.create_pool("p", pb::PoolSpec { default_policy, ..by_steps(100) }).await.unwrap();
    let alpha = async |step: Option<u64>| {
        let request = MineRequest::new("p", 1);
        let request = if let Some(step) = step { request.step(step) } else { request };
        old.mine(request).await.unwrap().info.policy.unwrap().alpha.unwrap()
    };
    report(&old, 800, [1]).await.unwrap();
    assert_eq!((alpha(None).await, alpha(Some(300)).await), (0.8, 0.3));
    report(&new, 100, [1]).await.unwrap();
    assert_eq!((alpha(None).await, alpha(Some(300)).await), (0.1, 0.3), "steps of the run, not ticks");
    report(&new, 150, [1]).await.unwrap();
    report(&new, 120, [2]).await.unwrap();
    assert_eq!(alpha(None).await, 0.15, "its highest");
}

#[tokio::test]
async fn ages_go_on_in_ticks_across_a_resume() {
    let server = TestServer::start().await;
    let (old, new) = (process(&server, "old").await, process(&server, "new").await);
    old.create_pool("p", by_steps(100)).await.unwrap();
    for step in [1_000, 1_100, 1_200] {
        report(&old, step, [step]).await.unwrap();
    }
    // From a checkpoint of step 1,050; the worker that is behind reports step 1,049.
    for step in [1_050, 1_049, 1_100] {
        report(&new, step, [10 * step]).await.unwrap();
    }
    let expected =
        [(1_000, 250.0), (1_100, 150.0), (10_490, 51.0), (1_200, 50.0), (10_500, 50.0), (11_000, 0.0)];
    let mut stalest = stalest(&old, 6).await;
    stalest[3..5].sort_by_key(|row| row.0); // as old as each other
    assert_eq!(stalest, expected);
    let window =
        pb::Window { kind: Some(pb::window::Kind::Age(pb::AgeWindow { min: 50.0, max: Some(150.0) })) };
    let policy = pb::MiningPolicy { windows: vec![window], random_fraction: Some(0.0), ..Default::default() };
    let batch = old.mine(MineRequest::new("p", 6).policy(policy)).await.unwrap();
    let mut ids = integers(&batch.ids).to_vec();
    ids.sort_unstable();
    assert_eq!(ids, [1_100, 1_200, 10_490, 10_500]);
    assert_eq!(run_of(&old).await, run("new", 1_050, 1_100, 250));
}

#[tokio::test]
async fn a_pool_that_ages_by_time_knows_no_runs() {
    let server = TestServer::start().await;
    let client = process(&server, "a").await;
    client.create_pool("p", plain(10)).await.unwrap();
    let half_life = Some(pb::decay::HalfLife::HalfLifeTime(prost_types::Duration { seconds: 60, nanos: 0 }));
    let decay = Some(pb::Decay { half_life, max_step_jump: 0 });
    client.create_pool("timed", pb::PoolSpec { decay, ..plain(10) }).await.unwrap();
    for pool in ["p", "timed"] {
        for (run_id, step) in [("a", 9_000), ("b", 1), ("a", 0), ("", 5)] {
            let batch = ScoreBatch::new(pool, &[1], &[1.0]).unwrap().step(step).run_id(run_id);
            assert_eq!(client.report_batch(batch).await.unwrap().status(), pb::AckStatus::Applied);
        }
        assert_eq!(client.get_pool(pool).await.unwrap().run, None);
        assert_eq!(figures(&client, pool).await.run, None);
    }
}

#[tokio::test]
async fn rows_that_can_never_be_stored_do_not_hide_stale_ones() {
    let server = TestServer::start().await;
    let client = process(&server, "a").await;
    client.create_pool("p", by_steps(10)).await.unwrap();
    report(&client, 9, [1]).await.unwrap();
    let batch = ScoreBatch::new("p", &[1, 2, 3], &[1.0, f32::NAN, f32::INFINITY]).unwrap().step(8);
    let Err(Error::Stale { ack }) = client.report_batch(batch).await else { panic!("all else was stale") };
    assert_eq!(ack.counts.map(|counts| (counts.stale, counts.non_finite)), Some((1, 2)));
}

#[tokio::test]
async fn who_is_of_an_ended_run_does_not_wait_for_miners_to_be_told() {
    let server = TestServer::start().await;
    let (old, new) = (process(&server, "old").await, process(&server, "new").await);
    let flow = pb::Flow {
        mined_per_reported: 1.0,
        error_buffer: 4.0,
        min_reported: 1,
        max_wait: Some(prost_types::Duration { seconds: 300, nanos: 0 }),
    };
    old.create_pool("p", pb::PoolSpec { flow: Some(flow), ..by_steps(100) }).await.unwrap();
    report(&old, 1, [1]).await.unwrap();
    report(&new, 1, [2, 3, 4]).await.unwrap();
    let begun = Instant::now();
    refused(report(&old, 2, [5, 6, 7, 8]).await, "RUN_ENDED");
    assert!(begun.elapsed() < Duration::from_secs(60), "it would have waited for 300 s");
    assert_eq!(figures(&new, "p").await.flow.unwrap().report_waits, 0);
}
