//! Within capacity the local store answers as the naive one does, and holds the same.

use super::tests::{contents, score, spec};
use super::*;
use crate::store::key::UNITS_PER_OCTAVE;
use crate::store::naive::NaiveStore;
use crate::store::{ScoreUpdate, Sender, Source};
use proptest::prelude::*;
use std::collections::HashSet;

/// What a report says, of which a batch is made.
#[derive(Clone, Debug)]
struct Report {
    rows: Vec<(u64, f32)>,
    /// LAST, MAX or EMA.
    update: usize,
    stamp: u32,
    /// Octaves that the decay clock has moved since the report before.
    octaves: u16,
    /// What strata and groups are made from; `None`: the report says none.
    attributes: Option<u32>,
    sequence: u64,
    oldest_stamp: Option<u32>,
}

impl Report {
    fn into_batch(self, decay_octaves: u64) -> ReportBatch {
        let Self { rows, attributes, .. } = self;
        let column = |of: fn(u64, u64) -> u64| {
            let of_row = |a: u32| rows.iter().map(move |row| of(row.0, u64::from(a)));
            attributes.into_iter().flat_map(of_row).collect::<Vec<_>>()
        };
        let updates = [ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Ema { weight: 0.25 }];
        ReportBatch {
            ids: rows.iter().map(|row| row.0).collect(),
            scores: rows.iter().map(|row| row.1).collect(),
            strata: column(|id, a| (id + a) % 7).into_iter().map(|stratum| stratum as u32).collect(),
            groups: column(|id, a| id / 9 + a),
            update: updates[self.update],
            stamp: self.stamp,
            refuse_stale: true,
            decay_units: decay_octaves * UNITS_PER_OCTAVE as u64,
            // Some are sent again, with other rows or without a number.
            sender: Some(Sender { worker: 1, epoch: 2, sequence: self.sequence }),
            oldest_stamp: self.oldest_stamp,
            ..ReportBatch::default()
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Report(Report),
    Remove(Vec<u64>),
    Serve(Vec<u64>, Option<u64>),
    Expire(u64, Option<u32>),
    Release(Vec<u64>),
}

fn ids() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0u64..130, 0..20)
}

/// Half of the time samples live for ever.
fn oldest_stamp() -> impl Strategy<Value = Option<u32>> {
    proptest::option::of(0u32..20)
}

fn op() -> impl Strategy<Value = Op> {
    let rows = proptest::collection::vec((0u64..120, score(100)), 0..60);
    let attributes = proptest::option::of(0u32..5);
    let report = (rows, 0usize..3, 0u32..50, 0u16..400, attributes, 0u64..16, oldest_stamp());
    let report = report.prop_map(|(rows, update, stamp, octaves, attributes, sequence, oldest_stamp)| {
        Op::Report(Report { rows, update, stamp, octaves, attributes, sequence, oldest_stamp })
    });
    // Leases end at whole ticks, as those of the naive store do.
    let lease_until = proptest::option::of((1u64..40).prop_map(|tick| tick * 16));
    prop_oneof![
        4 => report,
        1 => ids().prop_map(Op::Remove),
        3 => (ids(), lease_until).prop_map(|(ids, until)| Op::Serve(ids, until)),
        1 => ((0u64..640), oldest_stamp()).prop_map(|(now, oldest)| Op::Expire(now, oldest)),
        1 => ids().prop_map(Op::Release),
    ]
}

/// Two stores with the same spec, which get the same calls.
struct Both {
    local: LocalStore,
    naive: NaiveStore,
    decay_octaves: u64,
}

impl Both {
    /// Does the same to both, and checks that they answer the same.
    async fn apply(&mut self, op: Op) {
        match op {
            Op::Report(report) => {
                self.decay_octaves += u64::from(report.octaves);
                let batch = report.into_batch(self.decay_octaves);
                let local = self.local.apply(batch.clone()).await.unwrap();
                assert_eq!(local.counts, self.naive.apply(batch).await.unwrap().counts);
            }
            Op::Remove(ids) => {
                let distinct: HashSet<u64> = ids.into_iter().collect();
                let ids: Vec<u64> = distinct.into_iter().collect();
                let (removed, _) = self.local.remove(&ids).await.unwrap();
                assert_eq!(removed, self.naive.remove(&ids).await.unwrap().0);
            }
            Op::Serve(ids, lease_until) => self.serve(&ids, lease_until).await,
            Op::Expire(now, oldest_stamp) => {
                self.local.expire(now, oldest_stamp).await.unwrap();
                self.naive.expire(now, oldest_stamp).await.unwrap();
            }
            Op::Release(ids) => {
                let released = self.local.release(&ids).await.unwrap();
                assert_eq!(released, self.naive.release(&ids).await.unwrap());
            }
        }
    }

    async fn serve(&self, ids: &[u64], lease_until: Option<u64>) {
        let mark = ServeMark { count: true, max_serves: 3, lease_until };
        let ids: Vec<u64> = ids.iter().copied().filter(|id| *id < 120).collect();
        let source = |id: u64| if id.is_multiple_of(3) { Source::Background } else { Source::Hard };
        let drawn: Vec<Drawn> = ids.iter().map(|id| Drawn { id: *id, source: source(*id) }).collect();
        let served = self.local.serve(&drawn, mark).await.unwrap();
        assert_eq!(served, self.naive.serve(&drawn, mark).await.unwrap());
        assert_eq!(self.local.leases(&ids).await.unwrap(), self.naive.leases(&ids).await.unwrap());
    }

    /// Checks that both hold the same rows, in the same order.
    async fn check_contents(&self) {
        let (local, naive) = (&self.local, &self.naive);
        assert_eq!(contents(local).await, contents(naive).await);
        let some = ServePenalty { units_per_serve: 1 << 16, units_max: 8 << 16 };
        for penalty in [ServePenalty::default(), some] {
            for n in [1, 10, 1000] {
                let top = local.top(n, penalty, 1 << 20).await.unwrap();
                assert_eq!(top, naive.top(n, penalty, 1 << 20).await.unwrap());
            }
        }
        assert_eq!(local.strata(9).await.unwrap(), naive.strata(9).await.unwrap());
    }

    /// Checks that the buckets of the local store hold each sample once, within their bounds, and those that rest last.
    async fn check_buckets(&self) {
        let census = self.local.census().await.unwrap();
        assert_eq!(census.leased, self.naive.census().await.unwrap().leased);
        let mut seen = HashSet::new();
        for bucket in &census.buckets {
            for ordinal in 0..bucket.members() {
                let address = Address::Hard { partition: bucket.partition, bucket: bucket.bucket, ordinal };
                let row = self.local.fetch(&[address]).await.unwrap()[0].unwrap();
                assert_eq!(row.leased, ordinal >= bucket.count);
                let key = row.hard_key.unwrap();
                assert!(key.since(bucket.low) >= 0 && key.since(bucket.high) <= 0);
                assert!(seen.insert(row.id));
            }
        }
        assert_eq!(seen.len() as u64, census.hard);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn agrees_with_the_naive_store(ops in proptest::collection::vec(op(), 1..20), partitions in 1usize..6) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let local = LocalStore::new(spec(1000, partitions, 1000)).unwrap();
            let naive = NaiveStore::new(spec(1000, partitions, 1000));
            let mut both = Both { local, naive, decay_octaves: 1 << 20 };
            for op in ops {
                both.apply(op).await;
            }
            both.check_contents().await;
            both.check_buckets().await;
        });
    }
}
