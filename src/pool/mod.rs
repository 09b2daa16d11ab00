//! A pool: its spec, its clock and its stores. It takes reports and returns batches.

pub mod admission;
pub(crate) mod anchored;
pub(crate) mod calls;
pub mod clock;
mod control;
mod dedupe;
mod executor;
pub(crate) mod quarantine;
pub(crate) mod rate_limiter;
mod record;
#[cfg(test)]
mod recorded_tests;
pub mod registry;
mod remembered;
mod replay;
#[cfg(test)]
mod resends_tests;
pub(crate) mod rounds;
pub(crate) mod runs;
mod selection;
mod server_state;
mod spans;
mod store_errors;
mod store_specs;
#[cfg(test)]
mod strata_tests;
#[cfg(test)]
mod wall_clock_tests;
mod weight_warnings;

use parking_lot::RwLock;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use crate::activity::filter_totals::FilterTotals;
use crate::activity::stats::{CounterValues, Counters, PoolStats};
use crate::activity::{Recorder, Workers};
use crate::model::batch::PoolSizes;
use crate::model::error::PoolError;
use crate::model::hardness;
use crate::model::limits::Limits;
use crate::model::report::Ids;
use crate::model::report::NAME_BYTES_MAX;
use crate::model::run::RunState;
use crate::model::spec::{Decay, IdKind, PoolSpec};
use crate::model::spec_change::SpecChange;
use crate::pool::anchored::Anchored;
use crate::pool::clock::{Clock, Landmarks};
use crate::pool::dedupe::UnderWay;
use crate::pool::quarantine::RunningQuantile;
use crate::pool::rate_limiter::{RateLimiter, Sums};
use crate::pool::record::Record;
use crate::pool::server_state::ServerState;
use crate::pool::weight_warnings::WeightWarnings;
use crate::store::Store;
use crate::store::engine::PoolHandle;

/// A named store of samples with one spec.
pub struct Pool {
    id: String,
    uid: u64,
    create_time: SystemTime,
    /// The present spec, with its revision, which the etag contains.
    spec: RwLock<(Arc<PoolSpec>, u64)>,
    /// Held while the spec is changed, so that changes are made one after another.
    updating: tokio::sync::Mutex<()>,
    clock: Clock,
    /// The store of samples. Of an anchored pool it holds the background.
    store: Arc<dyn Store>,
    /// The anchors; `None` for a flat pool.
    anchored: Option<Anchored>,
    workers: Workers,
    under_way: UnderWay,
    server: Arc<ServerState>,
    counters: Counters,
    filtered: FilterTotals,
    weight_warnings: WeightWarnings,
    recorder: Recorder,
    /// The rate limiter of reports and mines, which holds the balance of the flow.
    rate_limiter: Arc<RateLimiter>,
    /// The running quantile of the reported raw scores, while the pool has a quarantine rule.
    score_quantile: RunningQuantile,
    limits: Limits,
    /// Notified by every applied batch; calls that wait for the pool to fill listen to it.
    grown: Notify,
    /// Cancelled when the pool is deleted.
    closed: CancellationToken,
}

impl Pool {
    /// The pool of a handle. `spec` and `create_time` are those of its record, and `clock` was restored from it.
    fn new(
        handle: PoolHandle,
        spec: PoolSpec,
        create_time: SystemTime,
        clock: Clock,
        limits: &Limits,
        server: Arc<ServerState>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: handle.record.name,
            uid: handle.record.uid,
            create_time,
            clock,
            rate_limiter: RateLimiter::new(spec.flow),
            spec: RwLock::new((Arc::new(spec), handle.record.revision)),
            updating: tokio::sync::Mutex::default(),
            store: handle.samples,
            anchored: handle.anchors.map(Anchored::new),
            workers: Workers::new(limits.max_workers_per_pool),
            under_way: UnderWay::default(),
            server,
            counters: Counters::default(),
            filtered: FilterTotals::default(),
            weight_warnings: WeightWarnings::default(),
            recorder: Recorder::default(),
            score_quantile: RunningQuantile::default(),
            limits: limits.clone(),
            grown: Notify::new(),
            closed: CancellationToken::new(),
        })
    }

    /// The id of the pool: the last part of its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The uid, which differs between pools that have had the same name.
    #[must_use]
    pub fn uid(&self) -> u64 {
        self.uid
    }

    /// The time of creation.
    #[must_use]
    pub fn create_time(&self) -> SystemTime {
        self.create_time
    }

    /// The present spec.
    #[must_use]
    pub fn spec(&self) -> Arc<PoolSpec> {
        self.spec.read().0.clone()
    }

    /// The present revision, which each update increments.
    fn revision(&self) -> u64 {
        self.spec.read().1
    }

    /// The etag, which every update changes.
    #[must_use]
    pub fn etag(&self) -> String {
        self.etag_of(self.spec.read().1)
    }

    /// Resolves when the pool is deleted.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// The current run; `None` before the first report, and in a pool that does not age by steps.
    #[must_use]
    pub fn run(&self) -> Option<RunState> {
        self.clock.run()
    }

    /// Counters since the pool was created.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn counters(&self) -> Result<CounterValues, PoolError> {
        let values = self.counters.values();
        Ok(match &self.anchored {
            None => values.with_totals(&self.store.totals().await?),
            Some(anchored) => values.with_anchor_totals(&anchored.store.totals().await?),
        })
    }

    /// The sums from which the balance of the flow is computed. `None` without a flow, and if the store fails; then the next call that ends
    /// reports the sums.
    async fn sums_of_flow(&self) -> Option<Sums> {
        self.spec().flow?;
        self.sums().await.ok()
    }

    /// Numbers of rows reported and samples mined so far.
    async fn sums(&self) -> Result<Sums, PoolError> {
        let level = self.store.level().await?;
        Ok(Sums { reported: level.reported, mined: level.served })
    }

    /// Counts a batch that a layer above has refused.
    pub fn count_rejected(&self) {
        Counters::add(&self.counters.rejected_batches, 1);
    }

    /// Checks that an etag is empty or the present one; returns the present revision.
    fn check_etag(&self, etag: &str) -> Result<u64, PoolError> {
        let revision = self.spec.read().1;
        self.check_revision(etag, revision).map(|()| revision)
    }

    fn check_revision(&self, etag: &str, revision: u64) -> Result<(), PoolError> {
        if etag.is_empty() || etag == self.etag_of(revision) {
            return Ok(());
        }
        Err(PoolError::changed(&self.id))
    }

    fn etag_of(&self, revision: u64) -> String {
        format!("{:016x}-{revision}", self.uid)
    }

    /// The spec with a change applied, and the revision that it was computed from. The pool is not changed.
    ///
    /// # Errors
    /// `Aborted` if `etag` is given and is not the present one; `Invalid`.
    fn change(&self, etag: &str, change: SpecChange) -> Result<(PoolSpec, u64), PoolError> {
        let (spec, revision) = self.spec.read().clone();
        self.check_revision(etag, revision)?;
        let mut spec = (*spec).clone();
        if let Some(decay) = change.decay {
            if decay.by_steps() != spec.decay.by_steps() {
                return Err(PoolError::invalid(
                    "pool.spec.decay",
                    "a pool's clock (time or steps) is fixed at creation; only its half-life may change",
                ));
            }
            spec.decay = decay;
        }
        if let Some(policy) = change.default_policy {
            spec.default_policy = policy;
        }
        if let Some(serve_limits) = change.serve_limits {
            spec.serve_limits = serve_limits;
        }
        if let Some(rotation) = change.rotation {
            spec.rotation = rotation;
        }
        if let Some(score_update) = change.score_update {
            spec.score_update = score_update;
        }
        if let Some(control_fraction) = change.control_fraction {
            spec.control_fraction = control_fraction;
        }
        if let Some(sample_ttl) = change.sample_ttl {
            spec.sample_ttl = sample_ttl;
        }
        if let Some(flow) = change.flow {
            spec.flow = flow;
        }
        if let Some(quarantine) = change.quarantine {
            spec.quarantine = quarantine;
        }
        let violations = spec.violations(&self.limits);
        if !violations.is_empty() {
            return Err(PoolError::Invalid(violations));
        }
        Ok((spec, revision))
    }

    /// The record of the pool if it has this spec from now on.
    fn record(&self, spec: PoolSpec) -> Record {
        let clock = self.clock.landmarks_under(spec.decay);
        Record { spec, create_time: self.create_time, clock }
    }

    /// Applies a spec that the engine has already recorded. `changed_by` is the clock of the server that made the change, if it was another
    /// one. This must not fail: if the store cannot give the sums of the flow, the flow continues from the last known ones.
    async fn set_spec(&self, spec: PoolSpec, revision: u64, changed_by: Option<&Landmarks>) {
        let sums = self.sums().await.unwrap_or_default();
        let mut guard = self.spec.write();
        match changed_by {
            Some(landmarks) => self.clock.follow(spec.decay, landmarks),
            None => self.clock.set_decay(spec.decay),
        }
        self.rate_limiter.set(spec.flow, sums);
        if spec.quarantine.is_none() {
            self.score_quantile.clear();
        }
        *guard = (Arc::new(spec), revision);
    }

    /// Wakes all calls that wait, because the pool was deleted.
    fn close(&self) {
        self.closed.cancel();
        self.server.rounds.close(self.uid);
        self.grown.notify_waiters();
    }

    /// Resolves ids to integers: integer ids as they are, or the hashes of string keys together with the keys.
    fn resolve(
        &self,
        spec: &PoolSpec,
        ids: Ids,
        field: &str,
    ) -> Result<(Vec<u64>, Vec<Arc<str>>), PoolError> {
        self.resolve_kind(spec.id_kind, ids, field)
    }

    /// As [`Self::resolve`], for ids that must be of this kind.
    fn resolve_kind(
        &self,
        kind: IdKind,
        ids: Ids,
        field: &str,
    ) -> Result<(Vec<u64>, Vec<Arc<str>>), PoolError> {
        let hashes = match self.hashes(kind, &ids, field)? {
            Cow::Owned(hashes) => Some(hashes),
            Cow::Borrowed(_) => None,
        };
        Ok(match ids {
            Ids::U64(ids) => (hashes.unwrap_or(ids), Vec::new()),
            Ids::Names(names) => (hashes.unwrap_or_default(), names),
        })
    }

    /// Resolves ids to integers: integer ids as they are, or the hashes of string keys.
    ///
    /// # Errors
    /// `Invalid` naming `field`: ids of the other kind, or a key that is empty or too long.
    fn hashes<'a>(&self, kind: IdKind, ids: &'a Ids, field: &str) -> Result<Cow<'a, [u64]>, PoolError> {
        match (ids, kind) {
            (Ids::U64(ids), IdKind::U64) => Ok(Cow::Borrowed(ids)),
            (Ids::Names(names), IdKind::Name) => {
                if let Some(i) = names.iter().position(|n| n.is_empty() || n.len() > NAME_BYTES_MAX) {
                    return Err(PoolError::invalid(
                        format!("{field}.strings.values[{i}]"),
                        format!("{} bytes, not 1 to {NAME_BYTES_MAX}", names[i].len()),
                    ));
                }
                Ok(Cow::Owned(names.iter().map(|n| xxh3_64(n.as_bytes())).collect()))
            }
            (ids, _) if ids.is_empty() => Ok(Cow::Borrowed(&[])),
            (Ids::U64(_), IdKind::Name) => {
                Err(PoolError::invalid(field, format!("pool `{}` has string keys: send `strings`", self.id)))
            }
            (Ids::Names(_), IdKind::U64) => Err(PoolError::invalid(
                field,
                format!("pool `{}` has integer ids: send `u64s` or `u64_le`", self.id),
            )),
        }
    }

    /// Removes samples; returns how many were stored.
    ///
    /// # Errors
    /// `Invalid` naming `ids`.
    pub async fn remove(self: &Arc<Self>, ids: Ids) -> Result<u64, PoolError> {
        let pool = self.clone();
        executor::finish("removal", async move { pool.remove_now(ids).await }).await
    }

    async fn remove_now(&self, ids: Ids) -> Result<u64, PoolError> {
        let (ids, _) = self.resolve(&self.spec(), ids, "ids")?;
        let removed = match &self.anchored {
            None => self.store.remove(&ids).await?.0,
            Some(anchored) => {
                let removed = self.remove_negatives(anchored, &ids).await?;
                Counters::add(&self.counters.removed, removed);
                removed
            }
        };
        Ok(removed)
    }

    /// Ends leases early; returns how many there were.
    ///
    /// # Errors
    /// `Invalid` naming `ids`.
    pub async fn release_lease(self: &Arc<Self>, ids: Ids) -> Result<u64, PoolError> {
        let (ids, _) = self.resolve(&self.spec(), ids, "ids")?;
        let pool = self.clone();
        let releasing = async move {
            pool.expire().await?;
            Ok(pool.store.release(&ids).await?)
        };
        executor::finish("release of leases", releasing).await
    }

    /// Ends the leases that are over, and removes the samples whose time to live is over. Every call that reads samples does this first.
    async fn expire(&self) -> Result<(), PoolError> {
        let oldest_stamp = self.spec().sample_ttl.map(|ttl| self.clock.oldest_stamp(ttl, None));
        Ok(self.store.expire(self.clock.now_millis(), oldest_stamp).await?)
    }

    /// The present figures of the pool.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn stats(&self) -> Result<PoolStats, PoolError> {
        self.expire().await?;
        let mut store = self.store.stats().await?;
        store.memory_bytes += self.score_quantile.memory_bytes() as u64;
        let spec = self.spec();
        let now = self.clock.now();
        let sums = Sums { reported: store.totals.reported, mined: store.totals.served() };
        let stats = PoolStats {
            sizes: PoolSizes {
                hard: store.hard,
                background: store.background,
                distinct: store.distinct,
                background_probability: store.background_probability(),
                closed_loop_ratio: store.loop_ratio.ratio,
                floor_log2: store.floor.map(|key| now.log2_weight(key)),
            },
            counters: self.counters.values().with_totals(&store.totals),
            filtered: self.filtered.values(),
            quarantine_threshold: self.quarantine_threshold(&spec),
            store,
            run: self.clock.run(),
            flow_balance: self.rate_limiter.balance(sums),
            half_life_in_score: hardness::half_life_in_score(&spec.hardness)
                .filter(|_| spec.decay != Decay::Disabled),
            anchored: None,
        };
        self.with_anchors(stats).await
    }
}
