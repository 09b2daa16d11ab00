//! Tests of the put-once store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::engines;
use crate::store::put_once::{NAME_BYTES_MAX, PutOnce, PutOnceLimits, Space, Term};

fn put_onces(limits: PutOnceLimits) -> Vec<(&'static str, Arc<dyn PutOnce>)> {
    engines().into_iter().map(|(name, engine)| (name, engine.open_put_once(limits))).collect()
}

const LIMITS: PutOnceLimits = PutOnceLimits { reply_bytes: 1 << 20, round_bytes: 1 << 20 };

fn term(now_millis: u64, ttl_millis: u64) -> Term {
    Term { now_millis, ttl: Duration::from_millis(ttl_millis) }
}

#[tokio::test]
async fn the_first_writer_of_a_name_wins_until_its_time_is_over() {
    for (engine, once) in put_onces(LIMITS) {
        let put = async |name: &'static str, bytes: &'static str, now_millis| {
            once.put_once(Space::Replies, name.as_bytes(), bytes.into(), term(now_millis, 100)).await.unwrap()
        };
        assert_eq!(put("a", "first", 0).await, "first", "{engine}");
        assert_eq!(put("a", "second", 50).await, "first", "{engine}");
        assert_eq!(put("b", "other", 50).await, "other", "{engine}");
        let get = async |space, now_millis| once.get(space, b"a", now_millis).await.unwrap();
        assert_eq!(get(Space::Replies, 99).await, Some(Bytes::from("first")), "{engine}");
        assert_eq!(get(Space::Rounds, 99).await, None, "{engine}: each space has its own names");
        assert_eq!(
            get(Space::Replies, 100).await,
            None,
            "{engine}: a later writer does not prolong an entry"
        );
        assert_eq!(put("a", "third", 100).await, "third", "{engine}");
        once.forget(Space::Rounds, &[b"a".to_vec()]).await.unwrap();
        assert_eq!(put("a", "fourth", 100).await, "third", "{engine}");
        once.forget(Space::Replies, &[b"a".to_vec(), b"none".to_vec()]).await.unwrap();
        assert_eq!(put("a", "fourth", 100).await, "fourth", "{engine}");
        let long = vec![7; NAME_BYTES_MAX + 1];
        let refused = once.put_once(Space::Replies, &long, Bytes::new(), term(0, 1)).await;
        assert!(refused.is_err(), "{engine}: the length of a name is bounded");
    }
}

#[tokio::test]
async fn every_put_once_store_of_an_engine_has_the_same_entries() {
    for (name, engine) in engines() {
        let first = engine.open_put_once(LIMITS);
        first.put_once(Space::Rounds, b"a", "first".into(), term(0, 10)).await.unwrap();
        let second = engine.open_put_once(PutOnceLimits { reply_bytes: 0, round_bytes: 0 });
        let read = second.put_once(Space::Rounds, b"a", "second".into(), term(0, 10)).await.unwrap();
        assert_eq!(read, "first", "{name}");
    }
}

#[tokio::test]
async fn concurrent_writers_all_read_the_bytes_of_one_winner() {
    for (engine, once) in put_onces(LIMITS) {
        let writers = (0..64_u8).map(|writer| {
            let once = once.clone();
            tokio::spawn(async move {
                once.put_once(Space::Rounds, b"round", vec![writer; 9].into(), term(0, 1_000)).await.unwrap()
            })
        });
        let mut read = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            read.push(writer.await.unwrap());
        }
        assert!(read.iter().all(|bytes| *bytes == read[0]), "{engine}");
        assert_eq!(once.get(Space::Rounds, b"round", 0).await.unwrap(), Some(read[0].clone()), "{engine}");
    }
}

#[tokio::test]
async fn a_space_of_zero_bytes_keeps_nothing_and_any_other_keeps_its_newest_entry() {
    for (engine, once) in put_onces(PutOnceLimits { reply_bytes: 0, round_bytes: 10 }) {
        let put = async |space, name: &'static [u8], bytes: usize| {
            once.put_once(space, name, vec![1; bytes].into(), term(0, 10)).await.unwrap();
        };
        put(Space::Replies, b"a", 1).await;
        assert_eq!(once.get(Space::Replies, b"a", 0).await.unwrap(), None, "{engine}");
        put(Space::Rounds, b"a", 4).await;
        put(Space::Rounds, b"b", 4).await;
        put(Space::Rounds, b"c", 4_000).await;
        let is_kept = async |name: &'static [u8]| once.get(Space::Rounds, name, 0).await.unwrap().is_some();
        assert_eq!(
            (is_kept(b"a").await, is_kept(b"b").await, is_kept(b"c").await),
            (false, false, true),
            "{engine}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every engine remembers the same entries at all times.
    #[test]
    fn every_engine_remembers_alike(
        calls in proptest::collection::vec((0_u8..8, any::<bool>(), 0_u8..6, 0_usize..40, 0_u64..30, 0_u64..60), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let all = put_onces(PutOnceLimits { reply_bytes: 100, round_bytes: 60 });
            let mut now_millis = 0;
            for (i, (call, is_round, name, len, pause, ttl)) in calls.into_iter().enumerate() {
                now_millis += pause;
                let space = if is_round { Space::Rounds } else { Space::Replies };
                let mut answers = Vec::new();
                for (_, once) in &all {
                    answers.push(match call {
                        0..=3 => {
                            let bytes = Bytes::from(vec![i as u8; len]);
                            Some(once.put_once(space, &[name], bytes, term(now_millis, ttl)).await.unwrap())
                        }
                        4 => {
                            once.forget(space, &[vec![name]]).await.unwrap();
                            None
                        }
                        5 => {
                            once.expire(now_millis).await.unwrap();
                            None
                        }
                        _ => once.get(space, &[name], now_millis).await.unwrap(),
                    });
                }
                for answer in &answers {
                    assert_eq!(answer, &answers[0], "call {i}");
                }
            }
        });
    }
}
