use super::*;
use common::TestServer;
use hardneg::client::{BatchStreamOptions, ClientOptions, MineRequest, ScoreBatch, ScoreStreamOptions};
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

fn message(sequence: u64, ids: &[u64]) -> pb::StreamScoresRequest {
    use hardneg::proto::columns::{encode_floats, encode_ids};
    let encoding = pb::ColumnEncoding::LittleEndian;
    pb::StreamScoresRequest {
        batch: Some(pb::ScoreBatch {
            pool: "pools/p".into(),
            worker_id: "w".into(),
            worker_epoch: 1,
            sequence,
            ids: Some(encode_ids(ids.to_vec(), encoding)),
            scores: Some(encode_floats(vec![1.0; ids.len()], encoding)),
            ..Default::default()
        }),
    }
}

#[tokio::test]
async fn acks_come_in_order_and_a_bad_batch_fails_alone() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(1000)).await.unwrap();
    let mut messages: Vec<_> = (1..=5).map(|i| message(i, &[i, i + 100])).collect();
    messages[1].batch.as_mut().unwrap().scores = None;
    messages[2].batch.as_mut().unwrap().pool = "pools/none".into();
    messages.push(pb::StreamScoresRequest { batch: None });
    messages.push(message(5, &[5, 105]));
    let mut acks =
        client.mining_service().stream_scores(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    let mut errors = Vec::new();
    while let Some(answer) = acks.message().await.unwrap() {
        let ack = answer.ack.unwrap();
        assert_eq!(ack.status() == pb::AckStatus::Rejected, ack.error.is_some());
        seen.push((ack.sequence, ack.status()));
        errors.extend(ack.error);
    }
    use pb::AckStatus::{Applied, Duplicate, Rejected};
    let expected = [
        (1, Applied),
        (2, Rejected),
        (3, Rejected),
        (4, Applied),
        (5, Applied),
        (0, Rejected),
        (5, Duplicate),
    ];
    assert_eq!(seen, expected);
    assert!(errors[0].message.contains("batch.scores"), "{}", errors[0].message);
    assert_eq!(errors[1].code, i32::from(Code::NotFound));
    assert!(errors.iter().all(|e| !e.details.is_empty()), "with google.rpc details");
    assert_eq!(figures(&client, "p").await.sizes.unwrap().hard, 6);
}

#[tokio::test]
async fn an_empty_stream_ends_without_an_ack() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let mut acks = client.mining_service().stream_scores(tokio_stream::empty()).await.unwrap().into_inner();
    assert!(acks.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_whole_batches() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(1 << 20)).await.unwrap();
    for round in 0..8u64 {
        // A separate connection, which is closed while batches are in transit.
        let doomed = server.client_with(ClientOptions::default()).await;
        let (send, receive) = mpsc::channel(64);
        for i in 0..40u64 {
            let sequence = round * 40 + i;
            let ids: Vec<u64> = (0..1000).map(|j| sequence * 1000 + j).collect();
            let mut batch = message(0, &ids);
            batch.batch.as_mut().unwrap().worker_epoch = round;
            send.try_send(batch).unwrap();
        }
        let mut acks =
            doomed.mining_service().stream_scores(ReceiverStream::new(receive)).await.unwrap().into_inner();
        for _ in 0..round {
            acks.message().await.unwrap();
        }
        drop((acks, send, doomed));
    }
    // Batches that had begun are completed: wait until the counters no longer change.
    let mut last = figures(&client, "p").await;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = figures(&client, "p").await;
        if now == last {
            break;
        }
        last = now;
    }
    let (hard, rows) = (last.sizes.unwrap().hard, last.reported_rows);
    assert!(hard >= 28_000, "what was acknowledged is there: {hard}");
    assert_eq!((hard % 1000, hard), (0, rows), "whole batches only, and every one counted");
    client.report("p", &[1], &[1.0]).await.expect("the server lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_acks_nobody_reads_is_slowed_and_nobody_else() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(1 << 16)).await.unwrap();
    let slow = server.client().await;
    let (send, receive) = mpsc::channel::<pb::StreamScoresRequest>(1);
    let acks = slow.mining_service().stream_scores(ReceiverStream::new(receive)).await.unwrap();
    let ids: Vec<u64> = (0..16_384).collect();
    let mut sent = 0u64;
    // With 200 KB per message and a client that does not read, the HTTP/2 windows fill up and the sender waits.
    for _ in 0..2000 {
        let batch = message(0, &ids);
        if tokio::time::timeout(Duration::from_secs(2), send.send(batch)).await.is_err() {
            break;
        }
        sent += 1;
    }
    // Acks are small, so thousands fit into the window. All batches that the server has read must be applied; unread ones wait at the client.
    let ids: Vec<u64> = (0..100).collect();
    for _ in 0..20 {
        client.report("p", &ids, &[1.0; 100]).await.unwrap();
    }
    let applied = figures(&client, "p").await.reported_batches - 20;
    assert!(
        applied <= sent && sent - applied < 200,
        "{sent} sent, {applied} applied: the rest would be in memory"
    );
    drop(acks);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_stream_reports_and_sums_up() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(100_000)).await.unwrap();
    let mut stream = client.score_stream(ScoreStreamOptions::default());
    for i in 0..50u64 {
        let ids: Vec<u64> = (i * 100..(i + 1) * 100).collect();
        stream.send(ScoreBatch::new("p", &ids, &[1.0; 100]).unwrap()).await.unwrap();
    }
    let summary = stream.finish().await.unwrap();
    assert_eq!((summary.batches, summary.rejected, summary.counts.inserted), (50, 0, 5000));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_mined_on_credit_only() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(1000)).await.unwrap();
    let ids: Vec<u64> = (0..1000).collect();
    client.report("p", &ids, &[1.0; 1000]).await.unwrap();
    let options = BatchStreamOptions { max_outstanding: 3, ..Default::default() };
    let mut stream = client.batch_stream(MineRequest::new("p", 10).seed(5), options).await.unwrap();
    let mined = async || figures(&client, "p").await.mined_batches;
    let mut drawn = HashSet::new();
    for i in 1..=4 {
        let batch = stream.next().await.unwrap();
        assert_eq!((batch.len(), batch.info.seed), (10, 4 + i));
        drawn.insert(integers(&batch.ids).to_vec());
    }
    assert_eq!(drawn.len(), 4, "every batch is another one");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(mined().await, 7, "4 were read, 3 are outstanding");
    drop(stream);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(mined().await, 7);
}

#[tokio::test]
async fn a_stream_of_batches_says_what_is_wrong() {
    use pb::stream_batches_request::Message;
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(10)).await.unwrap();
    let start = |request: Option<pb::MineBatchRequest>, max_outstanding| {
        Some(Message::Start(pb::StreamBatchesStart { request, max_outstanding }))
    };
    let request = pb::MineBatchRequest { pool: "pools/p".into(), batch_size: 1, ..Default::default() };
    let replay = pb::MineBatchRequest { request_id: "r".into(), ..request.clone() };
    let bad_pool = pb::MineBatchRequest { pool: "p".into(), ..request.clone() };
    let bad_size = pb::MineBatchRequest { batch_size: 0, ..request.clone() };
    let cases = [
        (vec![Some(Message::Credits(1))], "start"),
        (vec![None], "start"),
        (vec![start(None, 0)], "start.request"),
        (vec![start(Some(replay), 0)], "start.request.request_id"),
        (vec![start(Some(bad_pool), 0)], "start.request.pool"),
        (vec![start(Some(bad_size), 0)], "start.request.batch_size"),
        (vec![start(Some(request.clone()), 65)], "start.max_outstanding"),
        (vec![start(Some(request.clone()), 1), Some(Message::Credits(5000))], "credits"),
        (vec![start(Some(request.clone()), 1), start(Some(request.clone()), 1)], "start"),
    ];
    for (messages, field) in cases {
        let messages = messages.into_iter().map(|message| pb::StreamBatchesRequest { message });
        let opened =
            client.mining_service().stream_batches(tokio_stream::iter(messages.collect::<Vec<_>>())).await;
        let failed = match opened {
            Err(status) => status,
            Ok(stream) => {
                let mut batches = stream.into_inner();
                loop {
                    match batches.message().await {
                        Err(status) => break status,
                        Ok(batch) => assert!(batch.is_some(), "{field}: ended without an error"),
                    }
                }
            }
        };
        assert_invalid::<()>(Err(failed.into()), field);
    }
    let empty = client.mining_service().stream_batches(tokio_stream::empty()).await;
    assert_invalid(empty.map(|_| ()).map_err(Error::from), "start");
}
