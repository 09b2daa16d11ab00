//! Tests of the quarantine of a pool against a simple reference implementation.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::*;

use crate::model::limits::Limits;
use crate::model::quarantine::QuarantineRule;
use crate::model::report::{Ids, Report as ScoreReport};
use crate::model::spec::{Decay, PoolSpec};
use crate::pool::Pool;
use crate::pool::calls::quarantine::Blocking;
use crate::pool::calls::samples::SamplePlace;
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::store::key::{Hardness, HardnessFunction};
use crate::store::recorded;

const REPORTS: u32 = 3;
const CAPACITY: u64 = 4;
const IDS: u64 = 12;

fn rule() -> QuarantineRule {
    QuarantineRule { quantile: 0.75, reports: REPORTS, capacity: CAPACITY }
}

fn spec(lower_is_harder: bool) -> PoolSpec {
    let function = HardnessFunction::Exponential { temperature: 10.0 };
    PoolSpec {
        quarantine: Some(rule()),
        // One partition holds just what the rule says.
        shards: 1,
        decay: Decay::Steps { half_life: 10.0, max_step_jump: 1_000 },
        hardness: Hardness { function, lower_is_harder },
        ..PoolSpec::defaults(&Limits::default())
    }
}

async fn pool(spec: PoolSpec) -> Arc<Pool> {
    let registry = Registry::new(recorded::engine(), Limits::default(), TimeSource::Manual(Arc::default()));
    registry.create("noisy", spec).await.unwrap().0
}

fn report(step: u64, rows: &[(u64, f32)]) -> ScoreReport {
    ScoreReport {
        ids: Ids::U64(rows.iter().map(|row| row.0).collect()),
        scores: rows.iter().map(|row| row.1).collect(),
        step,
        ..ScoreReport::default()
    }
}

/// 2,000 other samples with scores 0 to 99, so that the quantile is known and hardly moves.
fn crowd(step: u64) -> ScoreReport {
    report(step, &(0..2_000).map(|i| (1_000 + i, (i % 100) as f32)).collect::<Vec<_>>())
}

#[derive(Clone, Debug)]
enum Change {
    /// So many steps back, and rows.
    Report(u64, Vec<(u64, u8)>),
    SetAside(Vec<u64>),
    Release(Vec<u64>, bool),
    Remove(Vec<u64>),
    Block(Vec<u64>),
    Unblock(Vec<u64>),
}

fn change() -> impl Strategy<Value = Change> {
    let ids = || proptest::collection::vec(0..IDS, 0..4);
    // Half the scores are well above the quantile of about 75, half well below.
    let rows = proptest::collection::vec((0..IDS, prop_oneof![90u8..100, 0u8..50, 90u8..100]), 0..16);
    prop_oneof![
        12 => (prop_oneof![3 => Just(0u64), 1 => 1u64..4], rows).prop_map(|(b, r)| Change::Report(b, r)),
        1 => (ids(), any::<bool>()).prop_map(|(ids, trust)| Change::Release(ids, trust)),
        1 => ids().prop_map(Change::SetAside),
        1 => ids().prop_map(Change::Remove),
        1 => ids().prop_map(Change::Block),
        1 => ids().prop_map(Change::Unblock),
    ]
}

/// What docs/methods.md 12 says, as plainly as can be.
#[derive(Debug, Default)]
struct Model {
    /// Step and score of what is stored.
    stored: HashMap<u64, (u64, f32)>,
    /// Step, score and reports of what is set aside.
    held: BTreeMap<u64, (u64, f32, u32)>,
    streaks: HashMap<u64, (u64, u32)>,
    refused: BTreeSet<u64>,
    trusted: BTreeSet<u64>,
    blocked: BTreeSet<u64>,
    overflows: u64,
}

impl Model {
    /// Counts of (quarantined, stale, coalesced, blocked): each row is a report of its sample.
    fn report(&mut self, step: u64, rows: &[(u64, f32)], is_above: impl Fn(f32) -> bool) -> [u64; 4] {
        let [mut quarantined, mut stale, mut coalesced, mut blocked] = [0; 4];
        for (i, (id, score)) in rows.iter().enumerate() {
            if self.blocked.contains(id) {
                blocked += 1;
            } else if let Some(held) = self.held.get_mut(id) {
                if held.0 > step {
                    stale += 1;
                } else {
                    (held.0, held.1) = (step, *score);
                    quarantined += 1;
                }
            } else if self.stored.get(id).is_some_and(|stored| stored.0 > step) {
                stale += 1;
            } else if self.sets_aside(*id, step, *score, is_above(*score)) {
                quarantined += 1;
            } else {
                self.stored.insert(*id, (step, *score));
                coalesced += u64::from(rows[..i].iter().any(|row| row.0 == *id));
            }
        }
        [quarantined, stale, coalesced, blocked]
    }

    /// Counts a row; whether it sets its sample aside.
    fn sets_aside(&mut self, id: u64, step: u64, score: f32, is_above: bool) -> bool {
        if !is_above || self.trusted.contains(&id) {
            self.streaks.remove(&id);
            self.refused.remove(&id);
            return false;
        }
        let reports = self.streaks.get(&id).map_or(1, |streak| streak.1 + 1);
        self.streaks.insert(id, (step, reports));
        if reports < REPORTS {
            return false;
        }
        if self.held.len() as u64 >= CAPACITY {
            self.overflows += u64::from(self.refused.insert(id));
            return false;
        }
        self.hold(id, (step, score, reports));
        true
    }

    fn hold(&mut self, id: u64, held: (u64, f32, u32)) {
        self.streaks.remove(&id);
        self.refused.remove(&id);
        self.stored.remove(&id);
        self.held.insert(id, held);
    }

    /// Set aside by hand, absent, and refused.
    fn set_aside(&mut self, id: u64) -> [u64; 3] {
        if self.held.contains_key(&id) {
            return [0; 3];
        }
        let Some((step, score)) = self.stored.get(&id).copied() else {
            return [0, 1, 0];
        };
        if self.held.len() as u64 >= CAPACITY {
            return [0, 0, 1];
        }
        self.hold(id, (step, score, self.streaks.get(&id).map_or(0, |streak| streak.1)));
        [1, 0, 0]
    }

    fn release(&mut self, id: u64, trust: bool) -> u64 {
        let Some((step, score, _)) = self.held.remove(&id) else {
            return 0;
        };
        self.stored.insert(id, (step, score));
        if trust {
            self.trusted.insert(id);
        }
        1
    }

    /// Blocked, and removed.
    fn block(&mut self, id: u64) -> [u64; 2] {
        if self.blocked.insert(id) { [1, self.remove(id)] } else { [0, 0] }
    }

    fn remove(&mut self, id: u64) -> u64 {
        self.trusted.remove(&id);
        self.streaks.remove(&id);
        self.refused.remove(&id);
        u64::from(self.held.remove(&id).is_some() | self.stored.remove(&id).is_some())
    }
}

fn sum<const N: usize>(counts: impl Iterator<Item = [u64; N]>) -> [u64; N] {
    counts.fold([0; N], |sum, counts| std::array::from_fn(|i| sum[i] + counts[i]))
}

fn distinct(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

async fn agrees(pool: &Pool, model: &Model) {
    let page = pool.list_quarantined(None, 100).await.unwrap();
    let held: Vec<_> = page.samples.iter().map(|s| (s.id, s.raw_score, s.reports)).collect();
    let expected: Vec<_> = model.held.iter().map(|(id, held)| (*id, held.1, held.2)).collect();
    assert_eq!((held, page.total, page.more), (expected, model.held.len() as u64, false));
    let ids: Vec<u64> = (0..IDS).collect();
    for (id, sample) in pool.samples(Ids::U64(ids.clone())).await.unwrap().iter().enumerate() {
        let id = id as u64;
        let (place, score) = match (model.held.get(&id), model.stored.get(&id)) {
            (Some(held), _) => (SamplePlace::Quarantine, Some(held.1)),
            (None, Some(stored)) => (SamplePlace::Hard, Some(stored.1)),
            (None, None) if model.blocked.contains(&id) => (SamplePlace::Blocked, None),
            (None, None) => (SamplePlace::Nowhere, None),
        };
        assert_eq!((sample.place, sample.score), (place, score), "sample {id}");
    }
    let stored = pool.store.get(&ids).await.unwrap();
    for (id, row) in stored.iter().enumerate() {
        assert_eq!(row.is_some(), model.stored.contains_key(&(id as u64)), "the store and sample {id}");
    }
    let quarantine = pool.stats().await.unwrap().store.quarantine;
    let sizes = (quarantine.overflows, quarantine.trusted, quarantine.blocked);
    assert_eq!(sizes, (model.overflows, model.trusted.len() as u64, model.blocked.len() as u64));
    let blocked = pool.list_blocked(None, 100).await.unwrap();
    let blocked_ids: Vec<u64> = blocked.ids.iter().map(|blocked| blocked.0).collect();
    assert_eq!(blocked_ids, model.blocked.iter().copied().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn does_what_a_plain_reference_does(
        changes in proptest::collection::vec(change(), 1..60),
        lower_is_harder in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let pool = pool(spec(lower_is_harder)).await;
            pool.report(crowd(100)).await.unwrap();
            let mut model = Model::default();
            for (i, change) in changes.into_iter().enumerate() {
                match change {
                    Change::Report(back, rows) => {
                        let step = 101 + i as u64 - back;
                        let score = |s: u8| if lower_is_harder { 100.0 - f32::from(s) } else { s.into() };
                        let rows: Vec<_> = rows.into_iter().map(|(id, s)| (id, score(s))).collect();
                        let threshold = pool.stats().await.unwrap().quarantine_threshold.unwrap();
                        let above = |s: f32| if lower_is_harder { s < threshold } else { s > threshold };
                        let counts = pool.report(report(step, &rows)).await.unwrap().counts;
                        let told = [counts.quarantined, counts.stale, counts.coalesced, counts.blocked];
                        assert_eq!(told, model.report(step, &rows, above));
                        let stored = counts.inserted + counts.updated;
                        assert_eq!(stored + told.iter().sum::<u64>(), rows.len() as u64);
                    }
                    Change::SetAside(ids) => {
                        let counts = pool.set_aside(Ids::U64(ids.clone())).await.unwrap();
                        let expected = sum(ids.iter().map(|id| model.set_aside(*id)));
                        assert_eq!([counts.set_aside, counts.absent, counts.refused], expected);
                    }
                    Change::Release(ids, trust) => {
                        let released = pool.release_quarantined(Some(Ids::U64(ids.clone())), trust).await.unwrap().released;
                        assert_eq!(released, ids.iter().map(|id| model.release(*id, trust)).sum::<u64>());
                    }
                    Change::Remove(ids) => {
                        let ids = distinct(ids);
                        let removed = pool.remove(Ids::U64(ids.clone())).await.unwrap();
                        assert_eq!(removed, ids.iter().map(|id| model.remove(*id)).sum::<u64>());
                    }
                    Change::Block(ids) => {
                        let counts = pool.set_blocked(Ids::U64(ids.clone()), Blocking::Block).await.unwrap();
                        let expected = sum(ids.iter().map(|id| model.block(*id)));
                        assert_eq!([counts.blocked, counts.removed], expected);
                    }
                    Change::Unblock(ids) => {
                        let counts = pool.set_blocked(Ids::U64(ids.clone()), Blocking::Unblock).await.unwrap();
                        assert_eq!(counts.blocked, ids.iter().map(|id| u64::from(model.blocked.remove(id))).sum::<u64>());
                    }
                }
                agrees(&pool, &model).await;
            }
        });
    }
}

#[tokio::test]
async fn nothing_is_set_aside_before_the_quantile_is_known_nor_without_a_rule() {
    let without = pool(PoolSpec { quarantine: None, ..spec(false) }).await;
    let with = pool(spec(false)).await;
    for pool in [&without, &with] {
        for step in 1..6 {
            pool.report(report(step, &[(1, 99.0), (2, 1.0)])).await.unwrap();
        }
        assert_eq!(pool.list_quarantined(None, 10).await.unwrap().total, 0);
        pool.report(crowd(10)).await.unwrap();
    }
    assert_eq!(without.score_quantile.memory_bytes(), 0);
    assert!(with.score_quantile.memory_bytes() > 0);
    for pool in [&without, &with] {
        let set_aside = pool.stats().await.unwrap().store.quarantine.set_aside;
        assert_eq!(set_aside, 0, "what came before the quantile counts for nothing");
    }
}

#[tokio::test]
async fn a_released_sample_has_the_weight_that_it_would_have_had() {
    let pool = pool(spec(false)).await;
    pool.report(crowd(100)).await.unwrap();
    for step in 101..=103 {
        pool.report(report(step, &[(1, 95.0), (2, 95.0), (2, 10.0)])).await.unwrap();
    }
    // Two half-lives later the quarantined one weighs what its neighbour does that was last reported with it.
    pool.report(report(103, &[(2, 95.0)])).await.unwrap();
    pool.report(report(123, &[(3, 95.0)])).await.unwrap();
    assert_eq!(pool.release_quarantined(None, false).await.unwrap().released, 1);
    let samples = pool.samples(Ids::U64(vec![1, 2, 3, 4])).await.unwrap();
    assert_eq!(samples[0], samples[1]);
    assert_eq!((samples[0].place, samples[0].age), (SamplePlace::Hard, Some(20.0)));
    let weights: Vec<f32> = samples[..3].iter().map(|s| s.weight_log2.unwrap()).collect();
    assert!((weights[2] - weights[0] - 2.0).abs() < 0.01, "{weights:?}");
    assert_eq!(samples[3].place, SamplePlace::Nowhere);
    // Long after: as old as a key may be.
    for step in 124..=126 {
        pool.report(report(step, &[(1, 95.0)])).await.unwrap();
    }
    let mut step = 126;
    for _ in 0..400 {
        step += 1_000;
        pool.report(report(step, &[(3, 10.0)])).await.unwrap();
    }
    assert_eq!(pool.release_quarantined(None, false).await.unwrap().released, 1);
    let [old, new] = pool.samples(Ids::U64(vec![1, 3])).await.unwrap()[..] else { panic!() };
    assert!(old.weight_log2.unwrap() < new.weight_log2.unwrap() - 1_000.0);
}

#[tokio::test]
async fn the_raw_score_is_compared_with_the_quantile_and_the_difference_is_stored() {
    let pool = pool(spec(false)).await;
    pool.report(crowd(100)).await.unwrap();
    for step in 101..=103 {
        let mut batch = report(step, &[(1, 95.0), (2, 40.0), (3, 95.0), (4, 1.0)]);
        // A difference of 85 would be above the quantile of 75 and one of 5 below it; a reference of infinity spoils its row.
        batch.reference_scores = vec![90.0, -45.0, 0.0, f32::INFINITY];
        let counts = pool.report(batch).await.unwrap().counts;
        assert_eq!(counts.non_finite, 1);
    }
    let held: Vec<u64> =
        pool.list_quarantined(None, 10).await.unwrap().samples.iter().map(|s| s.id).collect();
    assert_eq!(held, [1, 3]);
    assert_eq!(pool.release_quarantined(None, true).await.unwrap().released, 2);
    let samples = pool.samples(Ids::U64(vec![1, 2, 3, 4])).await.unwrap();
    let scores: Vec<_> = samples.iter().map(|s| s.score).collect();
    assert_eq!(scores, [Some(5.0), Some(85.0), Some(95.0), None]);
}
