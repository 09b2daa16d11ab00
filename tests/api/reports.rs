use super::*;
use bytes::Bytes;
use common::TestServer;
use hardneg::client::{MineRequest, ScoreBatch};
use pb::pool_spec::Background;
use pb::{float_column, id_column};

fn u64_le(bytes: &'static [u8]) -> Option<pb::IdColumn> {
    Some(pb::IdColumn { encoding: Some(id_column::Encoding::U64Le(Bytes::from_static(bytes))) })
}

fn u64s(values: Vec<u64>) -> Option<pb::IdColumn> {
    Some(pb::IdColumn { encoding: Some(id_column::Encoding::U64s(pb::U64s { values })) })
}

fn strings(values: &[&str]) -> Option<pb::IdColumn> {
    let values = values.iter().map(|s| (*s).to_owned()).collect();
    Some(pb::IdColumn { encoding: Some(id_column::Encoding::Strings(pb::Strings { values })) })
}

fn floats(values: Vec<f32>) -> Option<pb::FloatColumn> {
    let encoding = Some(float_column::Encoding::Floats(pb::Floats { values }));
    Some(pb::FloatColumn { encoding, present: Bytes::new() })
}

async fn send(client: &Client, batch: pb::ScoreBatch) -> Result<pb::ScoreAck, Error> {
    let request = pb::ReportScoresRequest { batch: Some(batch) };
    Ok(client.mining_service().report_scores(request).await?.into_inner().ack.unwrap())
}

/// A valid batch, which the cases below make invalid.
fn good() -> pb::ScoreBatch {
    pb::ScoreBatch {
        pool: "pools/p".into(),
        ids: u64s(vec![1, 2]),
        scores: floats(vec![0.5, 1.5]),
        ..Default::default()
    }
}

#[tokio::test]
async fn both_encodings_say_the_same() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(100)).await.unwrap();
    let extremes = [0, 1, 7, u64::MAX];
    for encoding in [pb::ColumnEncoding::Packed, pb::ColumnEncoding::LittleEndian] {
        let ids = Ids::U64(extremes.to_vec());
        let batch = ScoreBatch::with_encoding("p", ids, vec![0.25, 1.0, 2.0, 3.0], encoding).unwrap();
        client.report_batch(batch).await.unwrap();
        let top = MineRequest::new("p", 4).strategy(pb::Strategy::Top).random_fraction(0.0);
        let batch = client.mine(top.encoding(encoding)).await.unwrap();
        assert_eq!(integers(&batch.ids), [u64::MAX, 7, 1, 0]);
        assert_eq!(batch.scores, [3.0, 2.0, 1.0, 0.25]);
    }
}

#[tokio::test]
async fn a_bad_batch_names_its_column_and_changes_nothing() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(100)).await.unwrap();
    client
        .create_pool("keys", pb::PoolSpec { id_kind: pb::IdKind::String.into(), ..plain(100) })
        .await
        .unwrap();
    send(&client, good()).await.unwrap();
    let before = sizes(&client, "p").await;
    let ragged = pb::FloatColumn {
        encoding: Some(float_column::Encoding::F32Le(Bytes::from_static(&[0; 7]))),
        present: Bytes::new(),
    };
    let bitmap = pb::FloatColumn { present: Bytes::from_static(&[3, 1]), ..floats(vec![1.0, 2.0]).unwrap() };
    let long_key = "k".repeat(257);
    let cases = [
        ("batch.pool", pb::ScoreBatch { pool: "p".into(), ..good() }),
        ("batch.pool", pb::ScoreBatch { pool: "pools/a/b".into(), ..good() }),
        ("batch.ids", pb::ScoreBatch { ids: None, ..good() }),
        ("batch.ids", pb::ScoreBatch { ids: Some(pb::IdColumn { encoding: None }), ..good() }),
        ("batch.ids", pb::ScoreBatch { ids: u64_le(&[0; 15]), ..good() }),
        ("batch.ids", pb::ScoreBatch { ids: strings(&["a", "b"]), ..good() }),
        ("batch.scores", pb::ScoreBatch { scores: None, ..good() }),
        ("batch.scores", pb::ScoreBatch { scores: Some(ragged), ..good() }),
        ("batch.scores", pb::ScoreBatch { scores: Some(bitmap), ..good() }),
        ("batch.scores", pb::ScoreBatch { scores: floats(vec![1.0; 3]), ..good() }),
        ("batch.scores", pb::ScoreBatch { scores: floats(vec![]), ..good() }),
        ("batch.payloads", pb::ScoreBatch { payloads: vec![Bytes::new()], ..good() }),
        ("batch.payloads[1]", pb::ScoreBatch { payloads: vec![Bytes::new(), "x".into()], ..good() }),
        ("batch.worker_id", pb::ScoreBatch { worker_id: "w".repeat(129), ..good() }),
        // 10 MB in one batch.
        (
            "batch.ids",
            pb::ScoreBatch { ids: u64s(vec![1; 900_000]), scores: floats(vec![1.0; 900_000]), ..good() },
        ),
        ("batch.strata", pb::ScoreBatch { strata: vec![1], ..good() }),
        ("batch.groups", pb::ScoreBatch { groups: u64s(vec![1, 2, 3]), ..good() }),
        ("batch.ids.strings.values[1]", keyed(strings(&["a", ""]))),
        ("batch.ids.strings.values[0]", keyed(strings(&[&long_key, "b"]))),
        ("batch.ids", keyed(u64s(vec![1, 2]))),
    ];
    for (field, batch) in cases {
        assert_invalid(send(&client, batch).await, field);
    }
    assert_eq!(
        told(send(&client, pb::ScoreBatch { pool: "pools/none".into(), ..good() }).await).1,
        "POOL_NOT_FOUND"
    );
    let missing = client.mining_service().report_scores(pb::ReportScoresRequest { batch: None }).await;
    assert_invalid(missing.map_err(Error::from), "batch");
    for (field, anchored) in [
        ("batch.anchors", pb::ScoreBatch { anchors: u64s(vec![1, 2]), ..good() }),
        ("batch.positive_scores", pb::ScoreBatch { positive_scores: floats(vec![1.0, 2.0]), ..good() }),
    ] {
        assert_invalid(send(&client, anchored).await, field);
    }
    assert_eq!(sizes(&client, "p").await, before);
    assert!(figures(&client, "p").await.rejected_batches >= 12);
    // Above the largest message size the transport refuses the call, and the connection stays open.
    let huge = pb::ScoreBatch { ids: u64s(vec![1; 3 << 20]), ..good() };
    let mut wide = client.mining_service().max_encoding_message_size(usize::MAX);
    let refused = wide.report_scores(pb::ReportScoresRequest { batch: Some(huge) }).await;
    assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    send(&client, good()).await.unwrap();
}

fn keyed(ids: Option<pb::IdColumn>) -> pb::ScoreBatch {
    pb::ScoreBatch { pool: "pools/keys".into(), ids, ..good() }
}

#[tokio::test]
async fn what_becomes_of_each_row_is_counted() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let spec = pb::PoolSpec { background: Some(Background::BackgroundSize(16)), shards: 1, ..plain(4) };
    client.create_pool("p", spec).await.unwrap();
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let ack = client.report("p", &[1, 2, 3, 4, 5, 1], &[9.0, nan, inf, -inf, 3.0, 2.0]).await.unwrap();
    let counts = ack.counts.unwrap();
    assert_eq!((counts.inserted, counts.non_finite, counts.coalesced), (2, 3, 1));
    assert_eq!(ack.floor_log2, None, "there is room");
    let ack = client.report("p", &[1, 6, 7, 8, 9], &[4.0, 8.0, 8.0, 1e-6, 8.0]).await.unwrap();
    let counts = ack.counts.unwrap();
    assert_eq!(counts.updated, 1);
    let floor = ack.floor_log2.expect("full");
    assert!((floor - 4.001_f32.log2()).abs() < 1e-4, "4 is the easiest left: {floor}");
    // Each row has one outcome, and the outcomes sum to the number of rows.
    let stats = figures(&client, "p").await;
    let c = stats.counts.unwrap();
    let sum = c.inserted + c.updated + c.background_only + c.dropped + c.non_finite + c.coalesced + c.stale;
    assert_eq!((sum + c.out_of_range, stats.reported_rows, stats.reported_batches), (11, 11, 2));
    assert_eq!(stats.sizes.unwrap().hard, 4);
    assert_eq!(c.inserted - stats.evicted, 4, "what came in and did not stay was pushed out");

    let dense = pb::PoolSpec { background: Some(Background::DenseIds(10)), ..plain(4) };
    client.create_pool("dense", dense).await.unwrap();
    let counts =
        client.report("dense", &[3, 9, 10, u64::MAX], &[1.0, nan, 1.0, nan]).await.unwrap().counts.unwrap();
    assert_eq!((counts.inserted, counts.out_of_range, counts.non_finite), (1, 1, 2));
    let empty = client.report("p", &[], &[]).await.unwrap();
    assert_eq!(empty.counts.unwrap(), pb::ReportCounts::default());
    let absent = pb::FloatColumn { present: Bytes::from_static(&[0b01]), ..floats(vec![1.0, 7.0]).unwrap() };
    let ack = send(&client, pb::ScoreBatch { scores: Some(absent), ..good() }).await.unwrap();
    assert_eq!(ack.counts.unwrap().non_finite, 1, "an absent score is none");
}

#[tokio::test]
async fn a_resend_is_counted_once() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(100)).await.unwrap();
    let numbered = |worker: &str, worker_epoch, sequence| pb::ScoreBatch {
        worker_id: worker.into(),
        worker_epoch,
        sequence,
        ..good()
    };
    let status = async |batch| send(&client, batch).await.unwrap().status();
    assert_eq!(status(numbered("w", 1, 1)).await, pb::AckStatus::Applied);
    let resend = send(&client, numbered("w", 1, 1)).await.unwrap();
    assert_eq!(resend.status(), pb::AckStatus::Duplicate);
    assert_eq!(resend.counts.unwrap(), pb::ReportCounts { duplicate: 2, ..Default::default() }, "both rows");
    assert_eq!(status(numbered("w", 2, 1)).await, pb::AckStatus::Applied, "a restarted worker");
    assert_eq!(status(numbered("v", 1, 1)).await, pb::AckStatus::Applied, "another worker");
    assert_eq!(status(numbered("w", 1, 0)).await, pb::AckStatus::Applied, "0 is never a resend");
    assert_eq!(status(numbered("w", 1, 0)).await, pb::AckStatus::Applied);
    // A refused batch is not recorded: when it is corrected and sent again with the same sequence, it is applied.
    let bad = pb::ScoreBatch { scores: floats(vec![1.0]), ..numbered("w", 1, 2) };
    assert_invalid(send(&client, bad).await, "batch.scores");
    assert_eq!(status(numbered("w", 1, 2)).await, pb::AckStatus::Applied);
    let stats = figures(&client, "p").await;
    assert_eq!((stats.reported_batches, stats.duplicate_batches), (6, 1));
    assert_eq!((stats.reported_rows, stats.counts.unwrap().duplicate), (12, 2), "each row once");
    // A resend is also detected for a batch of which no row could be stored, and its rows count once.
    for expected in [pb::AckStatus::Applied, pb::AckStatus::Duplicate] {
        let batch = pb::ScoreBatch { scores: floats(vec![f32::NAN; 2]), ..numbered("w", 1, 3) };
        let ack = send(&client, batch).await.unwrap();
        let counts = ack.counts.unwrap();
        assert_eq!((ack.status(), counts.non_finite + counts.duplicate), (expected, 2), "{counts:?}");
    }
    let stats = figures(&client, "p").await;
    assert_eq!((stats.reported_rows, stats.counts.unwrap().non_finite, stats.duplicate_batches), (14, 2, 2));
}

#[tokio::test]
async fn rows_of_one_sample_apply_in_order_under_every_rule() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let rules = [
        (pb::ScoreUpdateRule::Last, 0.0, 4.0),
        (pb::ScoreUpdateRule::Max, 0.0, 8.0),
        // The score is 8, then the mean of 8 and 2, then the mean of that and 4.
        (pb::ScoreUpdateRule::Ema, 0.5, 4.5),
    ];
    for (rule, ema_weight, expected) in rules {
        let update = pb::ScoreUpdate { rule: rule.into(), ema_weight };
        for (pool, batches) in
            [("one", vec![vec![8.0, 2.0, 4.0]]), ("three", vec![vec![8.0], vec![2.0], vec![4.0]])]
        {
            let pool = format!("{pool}-{}", rule as i32);
            client
                .create_pool(&pool, pb::PoolSpec { score_update: Some(update), ..plain(10) })
                .await
                .unwrap();
            let mut counts = pb::ReportCounts::default();
            for scores in &batches {
                let ack = client.report(&pool, &vec![7; scores.len()], scores).await.unwrap().counts.unwrap();
                counts.inserted += ack.inserted;
                counts.updated += ack.updated;
                counts.coalesced += ack.coalesced;
            }
            let repeats = 3 - batches.len() as u64;
            assert_eq!((counts.inserted, counts.updated, counts.coalesced), (1, 2 - repeats, repeats));
            let batch = client.mine(MineRequest::new(&pool, 1).random_fraction(0.0)).await.unwrap();
            assert_eq!(batch.scores, [expected], "{rule:?} in {} batches", batches.len());
        }
    }
}

#[tokio::test]
async fn steps_refuse_what_is_stale_and_what_jumps() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let decay = pb::Decay { half_life: Some(pb::decay::HalfLife::HalfLifeSteps(10.0)), max_step_jump: 100 };
    client.create_pool("p", pb::PoolSpec { decay: Some(decay), ..plain(10) }).await.unwrap();
    let at =
        async |step, id| client.report_batch(ScoreBatch::new("p", &[id], &[1.0]).unwrap().step(step)).await;
    at(50, 1).await.unwrap();
    assert_invalid(at(151, 1).await, "batch.step");
    assert_invalid(at(0, 1).await, "batch.step");
    let Err(Error::Stale { ack }) = at(40, 1).await else { panic!("all of its rows were stale") };
    assert_eq!((ack.counts.unwrap().stale, ack.pool_uid != 0), (1, true));
    assert_eq!(at(40, 2).await.unwrap().counts.unwrap().inserted, 1, "an old step of a new id keeps its own");
    assert_eq!(figures(&client, "p").await.run.map(|run| (run.step, run.tick)), Some((50, 0)));
    let fields = pb::BatchFields { ages: true, scores: true, ..Default::default() };
    let oldest = MineRequest::new("p", 2).strategy(pb::Strategy::Stalest).random_fraction(0.0).fields(fields);
    let batch = client.mine(oldest).await.unwrap();
    assert_eq!((integers(&batch.ids), batch.ages.as_slice()), ([2, 1].as_slice(), [10.0, 0.0].as_slice()));
}

#[tokio::test]
async fn scores_are_updated_as_the_pool_says() {
    let server = TestServer::start().await;
    let client = server.client().await;
    for (rule, expected) in
        [(pb::ScoreUpdateRule::Last, 1.0), (pb::ScoreUpdateRule::Max, 4.0), (pb::ScoreUpdateRule::Ema, 1.75)]
    {
        let pool = format!("{rule:?}").to_lowercase();
        let score_update = Some(pb::ScoreUpdate { rule: rule.into(), ema_weight: 0.75 });
        client.create_pool(&pool, pb::PoolSpec { score_update, ..plain(10) }).await.unwrap();
        for score in [4.0, 1.0] {
            client.report(&pool, &[1], &[score]).await.unwrap();
        }
        assert_eq!(client.mine(MineRequest::new(&pool, 1)).await.unwrap().scores, [expected]);
    }
}

#[tokio::test]
async fn removed_samples_are_gone_from_both_sources() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(100)).await.unwrap();
    client.report("p", &[1, 2, 3], &[1.0, 2.0, 3.0]).await.unwrap();
    assert_eq!(client.remove("p", &[2, 77, 3]).await.unwrap(), 2);
    for epsilon in [0.0, 0.5, 1.0] {
        let batch = client.mine(MineRequest::new("p", 10).random_fraction(epsilon)).await.unwrap();
        assert_eq!(integers(&batch.ids), [1]);
    }
    client.report("p", &[2], &[5.0]).await.unwrap();
    assert_eq!(client.mine(MineRequest::new("p", 10)).await.unwrap().len(), 2, "a report brings it back");
    assert_invalid(client.remove_ids("p", Ids::Keys(vec!["a".into()])).await, "ids");

    let dense = pb::PoolSpec { background: Some(Background::DenseIds(5)), ..plain(4) };
    client.create_pool("dense", dense).await.unwrap();
    assert_eq!(client.remove("dense", &[0, 1, 2, 3, 9]).await.unwrap(), 4);
    let batch = client.mine(MineRequest::new("dense", 10).random_fraction(1.0)).await.unwrap();
    assert_eq!(integers(&batch.ids), [4]);
    assert!(batch.scores[0].is_nan(), "never reported");
}

/// Scores with equal weights (clamped, floored) are counted in the ack, in the statistics and in the metrics, but not those of a resend or of
/// rows that did not reach the store.
#[tokio::test]
async fn scores_whose_weights_do_not_tell_them_apart_are_told() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let hardness = |function: pb::HardnessFunction, temperature| {
        Some(pb::Hardness { function: function.into(), temperature, ..Default::default() })
    };
    let power = hardness(pb::HardnessFunction::Power, 0.0);
    let exponential = hardness(pb::HardnessFunction::Exponential, 0.001);
    let scores = [-3.0, -0.5, 0.0, 0.25, f32::NAN, 5.0];
    let cases = [("power", power, (0, 2)), ("exponential", exponential, (2, 0))];
    for (pool, hardness, expected) in cases {
        client.create_pool(pool, pb::PoolSpec { hardness, ..plain(10) }).await.unwrap();
        let batch = pb::ScoreBatch {
            pool: format!("pools/{pool}"),
            worker_id: "w".into(),
            worker_epoch: 1,
            sequence: 1,
            ids: u64s((0..6).collect()),
            scores: floats(scores.to_vec()),
            ..Default::default()
        };
        let ack = send(&client, batch.clone()).await.unwrap();
        assert_eq!((ack.clamped, ack.floored), expected, "{pool}");
        let resent = send(&client, batch).await.unwrap();
        assert_eq!((resent.status(), resent.clamped, resent.floored), (pb::AckStatus::Duplicate, 0, 0));
        let figures = figures(&client, pool).await;
        assert_eq!((figures.clamped, figures.floored), expected, "{pool}");
    }
    let of_anchors = pb::PoolSpec {
        kind: pb::PoolKind::Anchored.into(),
        anchored: Some(pb::AnchoredSpec { negatives_per_anchor: 4, ..Default::default() }),
        ..Default::default()
    };
    client.create_pool("anchored", of_anchors).await.unwrap();
    let batch = pb::ScoreBatch {
        pool: "pools/anchored".into(),
        ids: u64s((0..6).collect()),
        anchors: u64s(vec![1; 6]),
        scores: floats(scores.to_vec()),
        ..Default::default()
    };
    let ack = send(&client, batch).await.unwrap();
    assert_eq!((ack.clamped, ack.floored), (0, 2));
    assert_eq!(figures(&client, "anchored").await.floored, 2);
}

#[tokio::test]
async fn what_is_stored_is_the_score_less_its_reference() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(100)).await.unwrap();
    let floats = |values: &[f32]| {
        hardneg::proto::columns::encode_floats(values.to_vec(), pb::ColumnEncoding::LittleEndian)
    };
    let send = async |pool: &str, references: pb::FloatColumn| {
        let batch = pb::ScoreBatch {
            pool: format!("pools/{pool}"),
            ids: Some(Ids::U64(vec![1, 2, 3, 4, 5]).into_column(pb::ColumnEncoding::Packed)),
            scores: Some(floats(&[5.0, 5.0, 5.0, 5.0, f32::NAN])),
            reference_scores: Some(references),
            ..Default::default()
        };
        let request = pb::ReportScoresRequest { batch: Some(batch) };
        let answer = client.mining_service().report_scores(request).await.map_err(Error::from)?;
        Ok::<_, Error>(answer.into_inner().ack.unwrap().counts.unwrap())
    };
    // Row 3 has no reference; row 4's is NaN; row 5 has no score.
    let some = pb::FloatColumn {
        present: Bytes::from_static(&[0b1_1011]),
        ..floats(&[1.0, 4.5, 99.0, f32::NAN, 0.0])
    };
    let counts = send("p", some).await.unwrap();
    assert_eq!((counts.inserted, counts.non_finite), (3, 2));
    let batch = client.mine(MineRequest::new("p", 3).strategy(pb::Strategy::Top).random_fraction(0.0));
    let batch = batch.await.unwrap();
    assert_eq!((integers(&batch.ids), &batch.scores[..]), ([3, 1, 2].as_slice(), [5.0, 4.0, 0.5].as_slice()));
    assert_invalid(send("p", floats(&[1.0; 4])).await, "batch.reference_scores");
    assert_invalid(send("p", floats(&[])).await, "batch.reference_scores");
    assert_invalid(send("p", pb::FloatColumn::default()).await, "batch.reference_scores");
    let short = pb::FloatColumn { present: Bytes::from_static(&[1, 1]), ..floats(&[1.0; 5]) };
    assert_invalid(send("p", short).await, "batch.reference_scores");
    for (pool, function, refused) in [
        ("power", pb::HardnessFunction::Power, true),
        ("exponential", pb::HardnessFunction::Exponential, false),
    ] {
        let hardness =
            pb::Hardness { function: function.into(), lower_is_harder: true, ..Default::default() };
        client.create_pool(pool, pb::PoolSpec { hardness: Some(hardness), ..plain(10) }).await.unwrap();
        let sent = send(pool, floats(&[1.0; 5])).await;
        if refused {
            assert_invalid(sent, "batch.reference_scores");
            assert_eq!(sizes(&client, pool).await.0.hard, 0);
        } else {
            assert_eq!(sent.unwrap().inserted, 4);
        }
    }
}
