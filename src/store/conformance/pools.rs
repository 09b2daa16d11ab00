//! Tests of engines: pools are created, attached, updated, listed and dropped.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::{MAX_POOLS, engines, flat, samples};
use crate::store::anchored::{AnchorBatch, AnchorStoreSpec, Margins};
use crate::store::engine::{Engine, EngineError, PoolHandle};
use crate::store::key::Hardness;
use crate::store::record::{
    FIRST_REVISION, NewPool, POOL_NAME_BYTES_MAX, PoolRecord, RECORD_BYTES_MAX, RecordPage, StoreSpecs,
};
use crate::store::{ReportBatch, StoreError};

fn pool(name: &str, uid: u64) -> NewPool {
    flat(name, uid, samples(64, 2))
}

fn anchored(name: &str, uid: u64) -> NewPool {
    let anchors = AnchorStoreSpec {
        negatives_per_anchor: 4,
        max_anchors: 64,
        max_positives_per_anchor: 8,
        max_vetoes_per_anchor: 8,
        max_pairs: 64,
        margins: Margins { absolute: Some(0.5), relative: None },
        partitions: 2,
        hardness: Hardness::default(),
        named: false,
        workers: 8,
    };
    let pool = pool(name, uid);
    NewPool { specs: StoreSpecs { anchors: Some(anchors), ..pool.specs.clone() }, ..pool }
}

/// Reports one id.
async fn report(pool: &PoolHandle, id: u64) -> Result<(), StoreError> {
    let batch = ReportBatch { ids: vec![id], scores: vec![1.0], decay_units: 1 << 40, ..Default::default() };
    pool.samples.apply(batch).await.map(|_| ())
}

async fn is_stored(pool: &PoolHandle, id: u64) -> bool {
    pool.samples.get(&[id]).await.unwrap()[0].is_some()
}

#[tokio::test]
async fn a_pool_is_found_again_as_it_was_created() {
    for (engine_name, engine) in engines() {
        for new in [pool("flat", 1), anchored("anchored", 2)] {
            let created = engine.create(new.clone(), MAX_POOLS).await.unwrap();
            assert_eq!(created.record, PoolRecord::from(new.clone()), "{engine_name}");
            assert_eq!(created.record.revision, FIRST_REVISION);
            assert_eq!(created.anchors.is_some(), new.specs.anchors.is_some(), "{engine_name}");
            for uid in [None, Some(new.uid)] {
                let attached = engine.attach(&new.name, uid).await.unwrap().unwrap();
                assert_eq!(attached.record, created.record, "{engine_name}");
                assert_eq!(attached.anchors.is_some(), created.anchors.is_some(), "{engine_name}");
            }
        }
        assert!(engine.attach("other", None).await.unwrap().is_none(), "{engine_name}");
        assert!(engine.attach("other", Some(1)).await.unwrap().is_none(), "{engine_name}");
        let other = engine.attach("flat", Some(2)).await;
        let differs = EngineError::UidDiffers { name: "flat".into(), wanted: 2, present: 1 };
        assert_eq!(format!("{:?}", other.unwrap_err()), format!("{differs:?}"), "{engine_name}");
    }
}

#[tokio::test]
async fn changes_through_one_handle_are_seen_through_every_other() {
    for (engine_name, engine) in engines() {
        let created = engine.create(anchored("p", 1), MAX_POOLS).await.unwrap();
        let before = engine.attach("p", None).await.unwrap().unwrap();
        report(&created, 7).await.unwrap();
        let batch = AnchorBatch {
            anchors: vec![3],
            ids: vec![9],
            scores: vec![1.0],
            decay_units: 1 << 40,
            ..Default::default()
        };
        before.anchors.as_ref().unwrap().apply(batch).await.unwrap();
        let after = engine.attach("p", Some(1)).await.unwrap().unwrap();
        for handle in [created, before, after] {
            assert!(is_stored(&handle, 7).await, "{engine_name}");
            let rows = handle.anchors.unwrap().fetch(&[3]).await.unwrap();
            assert_eq!(rows.negatives.iter().map(|row| row.id).collect::<Vec<_>>(), [9], "{engine_name}");
        }
    }
}

#[tokio::test]
async fn creating_a_taken_name_or_uid_fails_with_the_record_of_the_pool_that_has_it() {
    for (engine_name, engine) in engines() {
        let first = engine.create(pool("a", 1), MAX_POOLS).await.unwrap();
        report(&first, 7).await.unwrap();
        engine.update("a", 1, FIRST_REVISION, "changed".into()).await.unwrap();
        // The second case is the same in an engine that is full.
        for (second, max_pools) in [(pool("a", 2), MAX_POOLS), (pool("a", 2), 1), (pool("b", 1), MAX_POOLS)] {
            let Err(EngineError::Exists(record)) = engine.create(second, max_pools).await else {
                panic!("{engine_name}: two pools of one name or uid");
            };
            let told = (record.name.as_str(), record.uid, record.revision, &record.bytes[..]);
            assert_eq!(told, ("a", 1, FIRST_REVISION + 1, &b"changed"[..]), "{engine_name}");
        }
        assert!(is_stored(&first, 7).await, "{engine_name}");
        assert_eq!(engine.list(None, 10).await.unwrap().records.len(), 1, "{engine_name}");
    }
}

#[tokio::test]
async fn there_are_never_more_pools_than_the_caller_allows() {
    for (engine_name, engine) in engines() {
        for uid in 1..=3 {
            engine.create(pool(&format!("p{uid}"), uid), 3).await.unwrap();
        }
        let full = engine.create(pool("p4", 4), 3).await.unwrap_err();
        assert!(matches!(full, EngineError::TooManyPools { max_pools: 3 }), "{engine_name}: {full}");
        assert!(engine.attach("p4", None).await.unwrap().is_none(), "{engine_name}");
        engine.drop_pool("p2", 2, None).await.unwrap();
        engine.create(pool("p4", 4), 3).await.unwrap();
    }
}

#[tokio::test]
async fn a_field_out_of_range_is_refused_and_named() {
    for (engine_name, engine) in engines() {
        let long = "n".repeat(POOL_NAME_BYTES_MAX + 1);
        let large = Bytes::from(vec![0; RECORD_BYTES_MAX + 1]);
        for (bad, field) in [
            (pool("", 1), "name"),
            (pool(&long, 1), "name"),
            (pool("p", 0), "uid"),
            (NewPool { bytes: large.clone(), ..pool("p", 1) }, "bytes"),
        ] {
            let Err(EngineError::Invalid(why)) = engine.create(bad, MAX_POOLS).await else {
                panic!("{engine_name}: {field} is out of range");
            };
            assert!(why.starts_with(field), "{engine_name}: {why}");
        }
        assert_eq!(engine.list(None, 10).await.unwrap(), RecordPage::default(), "{engine_name}");
        let most = NewPool { bytes: large.slice(1..), ..pool(&long[1..], 1) };
        engine.create(most, MAX_POOLS).await.unwrap();
        let refused = engine.update(&long[1..], 1, FIRST_REVISION, large).await;
        assert!(matches!(refused, Err(EngineError::Invalid(_))), "{engine_name}");
    }
}

#[tokio::test]
async fn an_update_needs_the_present_uid_and_revision() {
    for (engine_name, engine) in engines() {
        engine.create(pool("p", 1), MAX_POOLS).await.unwrap();
        let before = engine.attach("p", None).await.unwrap().unwrap();
        let updated = engine.update("p", 1, FIRST_REVISION, "second".into()).await.unwrap();
        assert_eq!(
            (updated.revision, &updated.bytes[..]),
            (FIRST_REVISION + 1, &b"second"[..]),
            "{engine_name}"
        );
        assert_eq!(
            updated,
            PoolRecord { revision: 2, bytes: "second".into(), ..before.record },
            "{engine_name}"
        );
        let late = engine.update("p", 1, FIRST_REVISION, "late".into()).await.unwrap_err();
        let differs = EngineError::RevisionDiffers { name: "p".into(), wanted: 1, present: 2 };
        assert_eq!(format!("{late:?}"), format!("{differs:?}"), "{engine_name}");
        for (name, uid, revision, what) in [
            ("q", 1, 2, "NotFound"),
            ("p", 9, 2, "UidDiffers"),
            ("p", 9, 1, "UidDiffers"),
            ("p", 1, 3, "Revision"),
        ] {
            let refused = engine.update(name, uid, revision, "other".into()).await.unwrap_err();
            assert!(format!("{refused:?}").starts_with(what), "{engine_name}: {refused:?}");
        }
        assert_eq!(engine.attach("p", None).await.unwrap().unwrap().record, updated, "{engine_name}");
        assert_eq!(engine.list(None, 10).await.unwrap().records, [updated], "{engine_name}");
    }
}

#[tokio::test]
async fn a_drop_needs_the_present_uid_and_the_revision_if_given() {
    for (engine_name, engine) in engines() {
        let old = engine.create(pool("p", 1), MAX_POOLS).await.unwrap();
        report(&old, 7).await.unwrap();
        engine.update("p", 1, 1, "second".into()).await.unwrap();
        for (name, uid, revision, what) in [
            ("q", 1, None, "NotFound"),
            ("p", 9, None, "UidDiffers"),
            ("p", 9, Some(2), "UidDiffers"),
            ("p", 1, Some(1), "RevisionDiffers"),
        ] {
            let refused = engine.drop_pool(name, uid, revision).await.unwrap_err();
            assert!(format!("{refused:?}").starts_with(what), "{engine_name}: {refused:?}");
        }
        assert!(is_stored(&engine.attach("p", Some(1)).await.unwrap().unwrap(), 7).await, "{engine_name}");
        engine.drop_pool("p", 1, Some(2)).await.unwrap();
        assert!(engine.attach("p", None).await.unwrap().is_none(), "{engine_name}");

        let new = engine.create(pool("p", 2), MAX_POOLS).await.unwrap();
        assert_eq!(new.record.revision, FIRST_REVISION, "{engine_name}");
        assert!(!is_stored(&new, 7).await, "{engine_name}: the stores of a new pool are empty");
        // A host may refuse calls through an old handle or not, but no new handle may see their effect.
        let _ = report(&old, 8).await;
        assert!(
            !is_stored(&new, 8).await,
            "{engine_name}: a report through the old handle is in the new pool"
        );
        let old_uid = engine.drop_pool("p", 1, None).await.unwrap_err();
        assert!(matches!(old_uid, EngineError::UidDiffers { wanted: 1, present: 2, .. }), "{engine_name}");
        assert_eq!(engine.attach("p", None).await.unwrap().unwrap().record.uid, 2, "{engine_name}");
        engine.drop_pool("p", 2, None).await.unwrap();
    }
}

#[tokio::test]
async fn pages_are_in_order_of_names_and_miss_no_pool_that_stays() {
    for (engine_name, engine) in engines() {
        for (i, name) in ["d", "a", "zz", "c", "b", "a-b", "e", "ä"].into_iter().enumerate() {
            engine.create(pool(name, i as u64 + 1), MAX_POOLS).await.unwrap();
        }
        let (mut names, mut after) = (Vec::new(), None::<String>);
        for page in 0.. {
            let RecordPage { records, has_more } = engine.list(after.as_deref(), 3).await.unwrap();
            assert!(records.len() == 3 || !has_more, "{engine_name}");
            names.extend(records.into_iter().map(|record| record.name));
            if !has_more {
                break;
            }
            after = names.last().cloned();
            if page == 0 {
                // Drop the pool that the next page begins after, and create one that would have been on the first page.
                let last = engine.attach(&names[2], None).await.unwrap().unwrap().record;
                engine.drop_pool(&last.name, last.uid, None).await.unwrap();
                engine.create(pool("aa", 100), MAX_POOLS).await.unwrap();
            }
        }
        assert_eq!(names, ["a", "a-b", "b", "c", "d", "e", "zz", "ä"], "{engine_name}");
        let exactly = engine.list(Some("e"), 2).await.unwrap();
        assert!(!exactly.has_more && exactly.records.len() == 2, "{engine_name}");
        let none = engine.list(None, 0).await.unwrap();
        assert!(none.has_more && none.records.is_empty(), "{engine_name}");
    }
}

/// Makes the same call in 32 concurrent tasks.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    engine: &Arc<dyn Engine>,
    call: impl Fn(Arc<dyn Engine>, u64) -> F,
) -> Vec<T> {
    let tasks: Vec<_> = (1..=32).map(|task| tokio::spawn(call(engine.clone(), task))).collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_concurrent_calls_wins_and_the_others_learn_the_outcome() {
    for (engine_name, engine) in engines() {
        let created = at_once(&engine, async |engine, task| match engine.create(pool("p", task), 1).await {
            Ok(handle) => (true, handle.record),
            Err(EngineError::Exists(record)) => (false, *record),
            Err(error) => panic!("{error}"),
        })
        .await;
        assert_eq!(created.iter().filter(|(won, _)| *won).count(), 1, "{engine_name}");
        let record = engine.attach("p", None).await.unwrap().unwrap().record;
        assert!(created.iter().all(|(_, told)| *told == record), "{engine_name}");

        let uid = record.uid;
        let updated = at_once(&engine, move |engine, task| async move {
            let bytes = Bytes::from(vec![task as u8]);
            match engine.update("p", uid, FIRST_REVISION, bytes.clone()).await {
                Ok(record) => {
                    assert_eq!((record.revision, record.bytes), (2, bytes.clone()));
                    Some(bytes)
                }
                Err(EngineError::RevisionDiffers { wanted: 1, present: 2, .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
        let winners: Vec<Bytes> = updated.into_iter().flatten().collect();
        let record = engine.attach("p", None).await.unwrap().unwrap().record;
        assert_eq!(winners, [record.bytes], "{engine_name}");

        let dropped = at_once(&engine, move |engine, _| async move {
            match engine.drop_pool("p", uid, Some(2)).await {
                Ok(()) => true,
                Err(EngineError::NotFound { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
        assert_eq!(dropped.iter().filter(|won| **won).count(), 1, "{engine_name}");

        // Exactly the maximum number of pools is created, whichever they are.
        let created = at_once(&engine, async |engine, task| {
            engine.create(pool(&format!("p{task}"), task), 5).await.is_ok()
        })
        .await;
        assert_eq!(created.iter().filter(|created| **created).count(), 5, "{engine_name}");
        assert_eq!(engine.list(None, 100).await.unwrap().records.len(), 5, "{engine_name}");
    }
}

/// A call with one of few names and uids, so that calls often concern the same pool.
#[derive(Clone, Debug)]
enum Call {
    Create { name: u8, uid: u64, max_pools: usize },
    Attach { name: u8, uid: Option<u64> },
    Update { name: u8, uid: u64, revision: u64, bytes: u8 },
    Drop { name: u8, uid: u64, revision: Option<u64> },
    List { after: Option<u8>, limit: usize },
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let (name, uid, revision) = (0_u8..4, 1_u64..6, 1_u64..4);
    let call = prop_oneof![
        3 => (name.clone(), uid.clone(), 1_usize..5).prop_map(|(name, uid, max_pools)| Call::Create { name, uid, max_pools }),
        1 => (name.clone(), proptest::option::of(uid.clone())).prop_map(|(name, uid)| Call::Attach { name, uid }),
        3 => (name.clone(), uid.clone(), revision.clone(), any::<u8>())
            .prop_map(|(name, uid, revision, bytes)| Call::Update { name, uid, revision, bytes }),
        1 => (name.clone(), uid, proptest::option::of(revision)).prop_map(|(name, uid, revision)| Call::Drop { name, uid, revision }),
        1 => (proptest::option::of(name), 0_usize..5).prop_map(|(after, limit)| Call::List { after, limit }),
    ];
    proptest::collection::vec(call, 1..80)
}

/// The answer to a call.
async fn answer(engine: &dyn Engine, call: Call) -> String {
    let named = |name: u8| format!("p{name}");
    match call {
        Call::Create { name, uid, max_pools } => {
            format!("{:?}", engine.create(pool(&named(name), uid), max_pools).await)
        }
        Call::Attach { name, uid } => format!("{:?}", engine.attach(&named(name), uid).await),
        Call::Update { name, uid, revision, bytes } => {
            format!("{:?}", engine.update(&named(name), uid, revision, vec![bytes].into()).await)
        }
        Call::Drop { name, uid, revision } => {
            format!("{:?}", engine.drop_pool(&named(name), uid, revision).await)
        }
        Call::List { after, limit } => {
            format!("{:?}", engine.list(after.map(named).as_deref(), limit).await)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every engine gives the same answers to the same calls.
    #[test]
    fn every_engine_answers_alike(calls in calls()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let engines = engines();
            for (i, call) in calls.into_iter().enumerate() {
                let mut first = None;
                for (name, engine) in &engines {
                    let answer = answer(&**engine, call.clone()).await;
                    assert_eq!(first.get_or_insert_with(|| answer.clone()), &answer, "{name}, call {i}: {call:?}");
                }
            }
        });
    }
}
