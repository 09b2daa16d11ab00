//! A wall clock that jumps: leases and ages follow the time source of the pool, which reads the wall clock once, when it is made.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::admission::Patience;
use super::clock::TimeSource;
use super::registry::Registry;
use crate::model::batch::MineRequest;
use crate::model::limits::Limits;
use crate::model::report::{Ids, Report};
use crate::model::spec::PoolSpec;
use crate::store::naive_engine::NaiveEngine;

const HOUR: Duration = Duration::from_secs(3600);
/// Leases end to this, rounded up.
const TICK: Duration = Duration::from_millis(16);

/// The wall clock stood an hour before, or after, what it shows now when the source was made: it has jumped since. Whatever in a pool
/// took its time from it now would be an hour off.
#[tokio::test]
async fn neither_leases_nor_ages_follow_a_jump() {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for then in [wall - HOUR, wall, wall + HOUR] {
        let begun = Instant::now();
        let time = TimeSource::Monotonic { start: begun, unix_millis: then.as_millis() as u64 };
        let registry = Registry::new(Arc::new(NaiveEngine::default()), Limits::default(), time.clone());
        let spec = PoolSpec::defaults(&Limits::default());
        let pool = registry.create("faces", spec).await.unwrap().0;
        let ids = || Ids::U64(vec![1, 2]);
        pool.report(Report { ids: ids(), scores: vec![1.0, 1.0], ..Report::default() }).await.unwrap();
        let request = MineRequest { batch_size: 2, lease: Some(HOUR), ..MineRequest::default() };
        pool.mine(request.clone(), Patience::Refuse).await.unwrap();
        for sample in pool.samples(ids()).await.unwrap() {
            let passed = begun.elapsed();
            let left = sample.lease_left.unwrap();
            assert!(left <= HOUR + TICK, "a lease is no longer: {left:?} left");
            assert!(left + passed >= HOUR, "nor shorter: {left:?} left after {passed:?}");
            let (age, weight) = (sample.age.unwrap(), sample.weight_log2.unwrap());
            assert!((0.0..=passed.as_secs_f64() + 0.1).contains(&age), "{age} s old after {passed:?}");
            // Half-lives are hours; an offset is added to scores.
            assert!(
                weight <= 0.01 && f64::from(weight) >= -passed.as_secs_f64() / 3600.0 - 0.001,
                "{weight}"
            );
        }
        let again = pool.mine(request, Patience::Refuse).await.unwrap();
        assert!(again.columns.ids.is_empty(), "both rest");
    }
}
