//! Tests of the client against a server that fails on purpose.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;
use tonic::Code;

use super::{
    fake::{Fake, serve},
    *,
};

async fn client_of(fake: &Arc<Fake>, options: ClientOptions) -> Client {
    Client::connect_with(serve(fake).await, options).await.unwrap()
}

fn batch(number: u64) -> ScoreBatch {
    ScoreBatch::new("p", &[number, number + 1], &[0.5, 1.5]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_loses_and_doubles_nothing() {
    let fake = Arc::new(Fake { acks_per_stream: 7, ..Default::default() });
    let client = client_of(&fake, ClientOptions::default()).await;
    let mut stream = client.score_stream(ScoreStreamOptions { window: 4, ..Default::default() });
    let mut pending = Vec::new();
    for number in 0..40 {
        let batch = if number == 20 { batch(number).model_version(13) } else { batch(number) };
        pending.push(stream.send(batch).await.unwrap());
    }
    for (number, ack) in pending.into_iter().enumerate() {
        let expected = number as u64 + 1;
        assert_eq!(ack.sequence(), expected);
        match ack.await {
            Ok(ack) => assert_eq!(ack.sequence, expected),
            Err(error) => {
                assert_eq!(expected, 21);
                assert_eq!(error.to_string(), "batch 21 was rejected: INVALID_ARGUMENT: unlucky");
            }
        }
    }
    let summary = stream.finish().await.unwrap();
    assert_eq!((summary.batches, summary.rejected), (40, 1));
    assert!(summary.reconnects >= 4, "{summary:?}");
    assert_eq!(fake.applied.lock().len(), 40);
    assert_eq!(summary.counts.inserted + 2 * summary.duplicates, 2 * 39, "{summary:?}");
    assert_eq!(summary.duplicates, fake.duplicates.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_names_its_run_and_is_an_error_when_it_is_stale() {
    let fake = Arc::new(Fake { acks_per_stream: 100, ..Default::default() });
    let run_id = || fake.last.lock().as_ref().unwrap().run_id.clone();
    let options = ClientOptions { run_id: Some("a".into()), ..Default::default() };
    let client = client_of(&fake, options).await;
    client.report_batch(batch(1)).await.unwrap();
    assert_eq!(run_id(), "a");
    client.report_batch(batch(1).run_id("b")).await.unwrap();
    assert_eq!(run_id(), "b");
    let stale = client.report_batch(batch(1).model_version(14)).await.unwrap_err();
    assert_eq!(stale.code(), Code::FailedPrecondition);
    assert!(stale.to_string().contains("2 of its rows are older"), "{stale}");
    let Error::Stale { ack } = stale else { panic!("{stale}") };
    assert_eq!(ack.counts.unwrap().stale, 2);
    let mut stream = client.score_stream(ScoreStreamOptions::default());
    let sent = stream.send(batch(2).model_version(14)).await.unwrap();
    assert!(matches!(sent.await, Err(Error::Stale { .. })));
    stream.send(batch(3)).await.unwrap().await.unwrap();
    assert_eq!(run_id(), "a");
    let summary = stream.finish().await.unwrap();
    assert_eq!((summary.batches, summary.stale, summary.rejected, summary.counts.stale), (2, 1, 0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_bounds_what_is_unacknowledged() {
    // A server that acknowledges nothing: the first stream stays open without an ack.
    let fake = Arc::new(Fake::default());
    let client = client_of(&fake, ClientOptions::default()).await;
    let mut stream =
        client.score_stream(ScoreStreamOptions { window: 2, give_up_after: Duration::from_millis(300) });
    let mut accepted = 0;
    let failure = loop {
        match stream.send(batch(accepted)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted <= 4, "the window, one slot, and one under way");
    };
    assert_eq!(failure.code(), Code::Unavailable, "{failure}");
    assert!(stream.finish().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_retried_under_one_sequence() {
    let fake = Arc::new(Fake { away: AtomicU32::new(2), ..Default::default() });
    let client = client_of(&fake, ClientOptions::default()).await;
    // In a task of its own: the futures are Send.
    let task = tokio::spawn(async move { client.report("p", &[1, 2], &[0.5, 0.6]).await });
    let ack = task.await.unwrap().unwrap();
    assert_eq!(ack.status(), pb::AckStatus::Duplicate);
    assert_eq!(fake.applied.lock().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_is_finite() {
    let options = ClientOptions { timeout: Duration::from_millis(100), ..Default::default() };
    let client = client_of(&Arc::default(), options).await;
    let error = client.mine(MineRequest::new("p", 0)).await.unwrap_err();
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{error}");
    let error = client.mine(MineRequest::new("p", 1)).await.unwrap_err();
    assert!(error.is_unavailable());
    assert_eq!(error.to_string(), "UNAVAILABLE: away");

    // A port that nobody listens on.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::connect(address.to_string()).await.unwrap_err();
    assert!(error.is_unavailable());
    assert!(error.to_string().contains("onnection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_mined_on_credit_and_through_breaks() {
    let fake = Arc::new(Fake { batches_per_stream: 5, ..Default::default() });
    let client = client_of(&fake, ClientOptions::default()).await;
    let options = BatchStreamOptions { max_outstanding: 3, ..Default::default() };
    let round = pb::Round { number: 100, rank: 1, world_size: 2, ..Default::default() };
    let request = MineRequest::new("p", 1).round(round).step(7);
    let mut stream = client.batch_stream(request, options).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fake.credits.load(Ordering::Relaxed), 3, "no more than asked for");
    for expected in 0..12 {
        let batch = stream.next().await.unwrap();
        assert_eq!(batch.ids, Ids::U64(vec![expected]));
    }
    // Cut after five and ten batches: round and step went on from there.
    let last = fake.last_mine.lock().clone().unwrap();
    assert_eq!((last.round.unwrap().number, last.step), (110, Some(17)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mined_round_is_retried() {
    let fake = Arc::new(Fake { away: AtomicU32::new(2), ..Default::default() });
    let client = client_of(&fake, ClientOptions::default()).await;
    let round = pb::Round { number: 1, rank: 0, world_size: 2, ..Default::default() };
    let batch = client.mine(MineRequest::new("p", 2).round(round)).await.unwrap();
    assert_eq!(batch.len(), 1);
    assert_eq!(fake.last_mine.lock().clone().unwrap().request_id, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anchors_and_leases_have_their_calls() {
    let fake = Arc::new(Fake::default());
    let client = client_of(&fake, ClientOptions::default()).await;
    let ids = |numbers: &[u64]| Ids::U64(numbers.to_vec());
    let request = NegativesRequest::new("p", ids(&[7, 9]), 1).relative_margin(0.05);
    let negatives = client.mine_negatives(request).await.unwrap();
    assert_eq!((negatives.len(), negatives.rows(1)), (2, 1..2));
    assert_eq!(negatives.ids, ids(&[7, 9]));
    let added = client.add_positives("p", ids(&[7, 7]), ids(&[1, 2]), &[0.5, f32::NAN]).await.unwrap();
    assert_eq!((added.added_count, added.removed_count), (2, 1), "one byte of presence");
    let added = client.add_positives("p", ids(&[7]), ids(&[1]), &[]).await.unwrap();
    assert_eq!((added.added_count, added.removed_count), (1, 0));
    assert_eq!(client.reject_negatives("p", ids(&[7]), ids(&[3])).await.unwrap().added_count, 1);
    assert_eq!(client.release_lease("p", ids(&[1, 2, 3])).await.unwrap(), 3);
    let error = client.reject_negatives("p", ids(&[7]), ids(&[3, 4])).await.unwrap_err();
    assert_eq!(error.to_string(), "`negatives` has 2 rows, `anchors` 1");
    assert_eq!(error.code(), Code::InvalidArgument);
}
