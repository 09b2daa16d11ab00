use super::*;
use common::TestServer;
use hardneg::client::{MineRequest, ScoreBatch};
use hardneg::config::{Config, Limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn wait(millis: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: millis / 1000, nanos: (millis % 1000) as i32 * 1_000_000 })
}

/// A pool of capacity 65,536 whose flow begins with its first sample.
fn coupled(mined_per_reported: f64, error_buffer: f64, max_wait_millis: i64) -> pb::PoolSpec {
    let flow =
        pb::Flow { mined_per_reported, error_buffer, min_reported: 1, max_wait: wait(max_wait_millis) };
    pb::PoolSpec { flow: Some(flow), ..plain(1 << 16) }
}

async fn report(client: &Client, pool: &str, first: u64, rows: u64) -> Result<pb::ScoreAck, Error> {
    let ids: Vec<u64> = (first..first + rows).collect();
    client.report(pool, &ids, &vec![1.0; rows as usize]).await
}

async fn flow_of(client: &Client, pool: &str) -> pb::FlowStats {
    figures(client, pool).await.flow.expect("a flow")
}

/// A client that does not retry a refused call.
async fn impatient(server: &TestServer) -> Client {
    server.client_with(hardneg::client::ClientOptions { retries: 0, ..Default::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ratio_holds_with_many_on_both_sides_and_nobody_hangs() {
    const SIDES: u64 = 4;
    let server = TestServer::start().await;
    let client = server.client().await;
    // The pool has more samples than a request asks for before it gets its flow. Otherwise two things would count as mined or reported that
    // are not: reports that pass before the flow begins, and samples that a request was let through for and the pool did not have.
    const BEFORE: u64 = 1_000;
    client.create_pool("p", plain(1 << 16)).await.unwrap();
    report(&client, "p", 1_000_000, BEFORE).await.unwrap();
    client.update_pool("p", coupled(2.0, 512.0, 60_000), &["spec.flow"], None).await.unwrap();
    let begun = Instant::now();
    let done = Arc::new(AtomicBool::new(false));
    let mut reporters = Vec::new();
    let mut miners = Vec::new();
    for side in 0..SIDES {
        let (reporter, miner, done) = (server.client().await, server.client().await, done.clone());
        reporters.push(tokio::spawn(async move {
            for i in 0..100 {
                report(&reporter, "p", side * 100_000 + i * 64, 64).await.unwrap();
            }
        }));
        miners.push(tokio::spawn(async move {
            let mut mined = 0;
            // Some reports are large, some are small.
            for i in 0.. {
                let size = if i % 10 == side { 480 } else { 16 };
                let request = MineRequest::new("p", size).wait(0, Duration::from_secs(3));
                let batch = miner.mine(request).await.unwrap();
                mined += batch.len() as u64;
                if batch.info.timed_out {
                    assert!(done.load(Ordering::Relaxed), "while there were reports");
                    break;
                }
            }
            mined
        }));
    }
    let mut total = 0;
    let (mut lowest, mut highest) = (0.0f64, 0.0f64);
    while miners.iter().any(|task| !task.is_finished()) {
        let balance = flow_of(&client, "p").await.balance;
        (lowest, highest) = (lowest.min(balance), highest.max(balance));
        assert!(balance.abs() <= 512.0, "{balance}");
        assert!(begun.elapsed() < Duration::from_secs(50), "somebody hangs at {balance}");
        done.store(reporters.iter().all(tokio::task::JoinHandle::is_finished), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for task in reporters {
        task.await.unwrap();
    }
    for task in miners {
        total += task.await.unwrap();
    }
    let stats = figures(&client, "p").await;
    let flow = stats.flow.unwrap();
    assert_eq!(stats.served_hard + stats.served_background, total);
    assert_eq!(flow.balance, 2.0 * (stats.reported_rows - BEFORE) as f64 - total as f64);
    assert!(flow.balance.abs() <= 512.0 && stats.reported_rows == BEFORE + 25_600, "{stats:?}");
    assert!(flow.report_waits + flow.mine_waits > 0, "nobody had to wait: this test sees nothing");
    assert_eq!((flow.report_timeouts, flow.mine_timeouts), (0, SIDES), "{lowest} to {highest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_waits_too_long_is_refused_and_may_be_sent_again() {
    let server = TestServer::start().await;
    let client = impatient(&server).await;
    client.create_pool("p", coupled(1.0, 100.0, 50)).await.unwrap();
    let batch = |sequence: u64, first: u64, rows: u64| pb::ReportScoresRequest {
        batch: Some(pb::ScoreBatch {
            pool: "pools/p".into(),
            worker_id: "w".into(),
            worker_epoch: 1,
            sequence,
            ids: Some(hardneg::proto::columns::encode_ids(
                (first..first + rows).collect::<Vec<u64>>(),
                pb::ColumnEncoding::LittleEndian,
            )),
            scores: Some(hardneg::proto::columns::encode_floats(
                vec![1.0; rows as usize],
                pb::ColumnEncoding::LittleEndian,
            )),
            ..Default::default()
        }),
    };
    let sent = async |request| -> Result<pb::ScoreAck, Error> {
        Ok(client.mining_service().report_scores(request).await?.into_inner().ack.unwrap())
    };
    sent(batch(1, 0, 101)).await.unwrap();
    assert_eq!(flow_of(&client, "p").await.balance, 100.0);
    let before = sizes(&client, "p").await;
    let begun = Instant::now();
    let status = client.mining_service().report_scores(batch(2, 500, 50)).await.unwrap_err();
    assert!(begun.elapsed() >= Duration::from_millis(50));
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert!(details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
    assert_eq!(
        told(Err::<(), Error>(status.into())),
        (Code::ResourceExhausted, "LIMIT_REACHED".into(), String::new())
    );
    assert_eq!(sizes(&client, "p").await, before, "nothing was applied");
    // A resend of an applied batch does not wait: it gets the status DUPLICATE at once.
    assert_eq!(sent(batch(1, 0, 101)).await.unwrap().status(), pb::AckStatus::Duplicate);
    assert_eq!(client.mine(MineRequest::new("p", 60)).await.unwrap().len(), 60);
    assert_eq!(
        sent(batch(2, 500, 50)).await.unwrap().status(),
        pb::AckStatus::Applied,
        "the resend is no duplicate"
    );
    let flow = flow_of(&client, "p").await;
    assert_eq!((flow.balance, flow.report_waits, flow.report_timeouts), (90.0, 1, 1));
    assert_eq!(figures(&client, "p").await.rejected_batches, 1);

    // In a stream only this batch fails, and the stream goes on.
    let messages = [(3, 900, 50), (4, 950, 5)]
        .map(|(sequence, first, rows)| pb::StreamScoresRequest { batch: batch(sequence, first, rows).batch });
    let mut acks =
        client.mining_service().stream_scores(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let refused = acks.message().await.unwrap().unwrap().ack.unwrap();
    assert_eq!(refused.error.unwrap().code, i32::from(Code::ResourceExhausted));
    assert_eq!(acks.message().await.unwrap().unwrap().ack.unwrap().status(), pb::AckStatus::Applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mine_that_waits_too_long_gets_what_the_balance_allows() {
    let server = TestServer::start().await;
    let client = impatient(&server).await;
    client.create_pool("p", coupled(1.0, 100.0, 50)).await.unwrap();
    let request = || MineRequest::new("p", 150);
    let early = client.mine(request()).await.unwrap();
    assert!(early.info.timed_out && early.is_empty(), "mining has not begun");
    report(&client, "p", 0, 51).await.unwrap();
    // 50 + 100 may be mined; after the wait the request gets a part of its samples. With random_fraction 0 there are 51.
    assert_eq!(client.mine(MineRequest::new("p", 40)).await.unwrap().len(), 40);
    report(&client, "p", 1000, 60).await.unwrap();
    let begun = Instant::now();
    let part = client.mine(MineRequest::new("p", 111).wait(0, Duration::from_millis(200))).await.unwrap();
    assert_eq!((part.len(), part.info.timed_out), (111, false), "70 + 100 are enough");
    let part = client.mine(MineRequest::new("p", 100).wait(0, Duration::from_millis(200))).await.unwrap();
    assert_eq!((part.len(), part.info.shortfall_count, part.info.timed_out), (59, 41, true));
    assert!(begun.elapsed() >= Duration::from_millis(200), "the request's own timeout");
    assert_eq!(flow_of(&client, "p").await.balance, -100.0);
    for shortfall in [pb::Shortfall::Fill, pb::Shortfall::Short] {
        let nothing = client.mine(MineRequest::new("p", 8).shortfall(shortfall)).await.unwrap();
        assert_eq!((nothing.len(), nothing.info.shortfall_count, nothing.info.timed_out), (0, 8, true));
    }
    let error = client.mine(MineRequest::new("p", 8).shortfall(pb::Shortfall::Error)).await;
    assert_eq!(told(error), (Code::FailedPrecondition, "FLOW".into(), String::new()));
    let looked = client.mine(MineRequest::new("p", 8).dry_run(true)).await.unwrap();
    assert_eq!(
        (looked.len(), looked.info.timed_out),
        (8, false),
        "a look counts nothing and waits for nothing"
    );
    let flow = flow_of(&client, "p").await;
    assert_eq!((flow.balance, flow.mine_waits, flow.mine_timeouts), (-100.0, 5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_counts_as_a_whole() {
    let server = TestServer::start().await;
    let client = impatient(&server).await;
    client.create_pool("p", coupled(1.0, 100.0, 50)).await.unwrap();
    report(&client, "p", 0, 101).await.unwrap();
    let share = |number, rank| pb::MineBatchRequest {
        pool: "pools/p".into(),
        batch_size: 30,
        round: Some(pb::Round { number, rank, world_size: 3, run_id: String::new() }),
        ..Default::default()
    };
    let mined = async |number, rank| -> pb::MinedBatch {
        let answer = client.mining_service().mine_batch(share(number, rank)).await.unwrap();
        answer.into_inner().batch.unwrap()
    };
    for rank in 0..3 {
        assert_eq!(mined(0, rank).await.shortfall_count, 0);
    }
    assert_eq!(flow_of(&client, "p").await.balance, 10.0);
    report(&client, "p", 500, 31).await.unwrap();
    mined(1, 0).await;
    // 51 may be mined: 17 per rank, and all ranks of the round get the same response.
    for rank in 0..3 {
        let part = mined(2, rank).await;
        assert_eq!((part.shortfall_count, part.timed_out), (13, true), "{part:?}");
    }
    assert_eq!(flow_of(&client, "p").await.balance, -100.0);
    let too_large = pb::MineBatchRequest { batch_size: 67, ..share(9, 0) };
    let wrong = client.mining_service().mine_batch(too_large).await.map_err(Error::from);
    assert_invalid(wrong, "round.world_size");
}

#[tokio::test]
async fn what_would_wait_for_ever_is_refused() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let limits = pb::ServeLimits { max_serves: 1, ..Default::default() };
    let served_once = pb::PoolSpec { serve_limits: Some(limits), ..coupled(1.5, 100.0, 1) };
    for (field, spec) in [
        ("mined_per_reported", coupled(0.0, 10.0, 1)),
        ("mined_per_reported", coupled(-1.0, 10.0, 1)),
        ("mined_per_reported", coupled(f64::NAN, 10.0, 1)),
        ("mined_per_reported", coupled(f64::INFINITY, 10.0, 1)),
        ("error_buffer", coupled(0.1, 0.9, 1)),
        ("error_buffer", coupled(8.0, 7.9, 1)),
        ("error_buffer", coupled(1.0, f64::NAN, 1)),
        ("error_buffer", coupled(1.0, f64::INFINITY, 1)),
        ("mined_per_reported", served_once),
        ("max_wait", coupled(1.0, 1.0, 301_000)),
        ("max_wait", coupled(1.0, 1.0, -1_000)),
    ] {
        assert_invalid(client.create_pool("p", spec).await, &format!("pool.spec.flow.{field}"));
    }
    let spec = coupled(2.0, 100.0, 1);
    let (pool, created) = client.create_pool("p", spec.clone()).await.unwrap();
    assert!(created);
    assert_eq!(pool.spec.unwrap().flow, spec.flow);
    assert!(!client.create_pool("p", spec).await.unwrap().1, "the same spec again");
    assert_invalid(client.mine(MineRequest::new("p", 201)).await, "batch_size");
    assert_invalid(report(&client, "p", 0, 101).await, "batch.ids");
    assert_eq!(figures(&client, "p").await.reported_rows, 0);
    assert_eq!(flow_of(&client, "p").await, pb::FlowStats::default());
    client.create_pool("free", plain(10)).await.unwrap();
    assert_eq!(figures(&client, "free").await.flow, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pool_wakes_all_who_wait() {
    let server = TestServer::start().await;
    let client = impatient(&server).await;
    client.create_pool("p", coupled(1.0, 10.0, 60_000)).await.unwrap();
    report(&client, "p", 0, 11).await.unwrap();
    let mut waiting = Vec::new();
    for i in 0..3 {
        let reporter = client.clone();
        waiting.push(tokio::spawn(async move { report(&reporter, "p", 100 * i, 5).await.map(|_| ()) }));
    }
    client.create_pool("q", coupled(1.0, 10.0, 60_000)).await.unwrap();
    for _ in 0..3 {
        let miner = client.clone();
        waiting.push(tokio::spawn(async move { miner.mine(MineRequest::new("q", 5)).await.map(|_| ()) }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(waiting.iter().all(|task| !task.is_finished()));
    client.delete_pool("p", false).await.unwrap();
    client.delete_pool("q", false).await.unwrap();
    let begun = Instant::now();
    for task in waiting {
        assert_eq!(told(task.await.unwrap()).0, Code::NotFound);
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flow_changes_live_and_lets_those_go_on_who_can() {
    let server = TestServer::start().await;
    let client = impatient(&server).await;
    client.create_pool("p", coupled(1.0, 10.0, 60_000)).await.unwrap();
    report(&client, "p", 0, 11).await.unwrap();
    let update = async |flow| {
        let spec = pb::PoolSpec { flow, ..Default::default() };
        client.update_pool("p", spec, &["spec.flow"], None).await
    };
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { report(&client, "p", 100, 15).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    assert_invalid(update(coupled(20.0, 10.0, 1).flow).await, "pool.spec.flow.error_buffer");
    assert!(!waiting.is_finished());
    let pool = update(coupled(1.0, 30.0, 60_000).flow).await.unwrap();
    assert_eq!(pool.spec.unwrap().flow.unwrap().error_buffer, 30.0);
    waiting.await.unwrap().unwrap();
    assert_eq!(flow_of(&client, "p").await.balance, 25.0);
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { report(&client, "p", 200, 50).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    update(None).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(figures(&client, "p").await.flow, None);
    report(&client, "p", 300, 5_000).await.unwrap();
    update(coupled(1.0, 10.0, 50).flow).await.unwrap();
    assert_eq!(client.mine(MineRequest::new("p", 10)).await.unwrap().len(), 10, "begun, with a balance of 0");
    assert_eq!(flow_of(&client, "p").await.balance, -10.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_mine_is_not_starved_by_small_ones() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", coupled(1.0, 100.0, 30_000)).await.unwrap();
    report(&client, "p", 0, 1).await.unwrap();
    assert_eq!(client.mine(MineRequest::new("p", 100).random_fraction(0.0)).await.unwrap().len(), 1);
    report(&client, "p", 1000, 101).await.unwrap();
    // 200 may be mined. After 5 were mined, the large request for 200 has to wait.
    assert_eq!(client.mine(MineRequest::new("p", 5)).await.unwrap().len(), 5);
    let large = {
        let client = client.clone();
        tokio::spawn(async move { client.mine(MineRequest::new("p", 200)).await.unwrap() })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let small: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.mine(MineRequest::new("p", 1)).await.unwrap() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        !large.is_finished() && small.iter().all(|task| !task.is_finished()),
        "small ones queue behind it"
    );
    report(&client, "p", 2000, 5).await.unwrap();
    assert!(!large.await.unwrap().info.timed_out);
    report(&client, "p", 3000, 8).await.unwrap();
    for task in small {
        assert!(!task.await.unwrap().info.timed_out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_hold_places() {
    let limits = Limits { max_waiting_mines: 1, ..Limits::default() };
    let server = TestServer::start_with(Config { limits, ..Config::default() }).await;
    let client = impatient(&server).await;
    client.create_pool("p", coupled(1.0, 10.0, 1_000)).await.unwrap();
    let first = {
        let client = client.clone();
        tokio::spawn(async move { client.mine(MineRequest::new("p", 5)).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = told(client.mine(MineRequest::new("p", 5)).await);
    assert_eq!(refused, (Code::ResourceExhausted, "LIMIT_REACHED".into(), String::new()));
    // A cancelled request leaves the queue.
    first.abort();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let batch = ScoreBatch::new("p", &[1, 2], &[1.0, 2.0]).unwrap();
    let second = {
        let client = client.clone();
        tokio::spawn(async move { client.mine(MineRequest::new("p", 5)).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.report_batch(batch).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_that_are_gone_do_not_hold_reports_up_for_ever() {
    let server = TestServer::start().await;
    let client = impatient(&server).await;
    client.create_pool("p", coupled(1.0, 100.0, 20_000)).await.unwrap();
    report(&client, "p", 0, 101).await.unwrap();
    assert_eq!(flow_of(&client, "p").await.balance, 100.0);
    client.remove("p", &(0..101).collect::<Vec<u64>>()).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { report(&client, "p", 1_000, 50).await }
    });
    while flow_of(&client, "p").await.report_waits == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // The pool has no samples to mine; the difference lets the report pass.
    let batch = client.mine(MineRequest::new("p", 32)).await.unwrap();
    assert!(batch.is_empty() && !waiting.is_finished(), "{batch:?}");
    assert_eq!(flow_of(&client, "p").await.balance, 68.0);
    client.mine(MineRequest::new("p", 32)).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(flow_of(&client, "p").await.balance, 100.0, "50 were made up for, and reported");
    assert_eq!(client.mine(MineRequest::new("p", 50)).await.unwrap().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_caller_goes_away_stops_waiting() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let options = hardneg::client::ClientOptions {
        retries: 0,
        timeout: Duration::from_millis(200),
        ..Default::default()
    };
    let hasty = server.client_with(options).await;
    client.create_pool("p", coupled(1.0, 100.0, 60_000)).await.unwrap();
    report(&client, "p", 0, 101).await.unwrap();
    let refused = report(&hasty, "p", 200, 10).await.unwrap_err();
    assert!(matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled), "{refused}");
    // It leaves the queue once the server has heard, long before its own time is over; then what is mined is not its.
    let begun = Instant::now();
    while !common::http::get(server.http_address, "/metrics")
        .await
        .body
        .contains("\nhardneg_waiting_mines 0.0\n")
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "it still waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.mine(MineRequest::new("p", 50)).await.unwrap().len(), 50);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((flow_of(&client, "p").await.balance, figures(&client, "p").await.reported_rows), (50.0, 101));
}
