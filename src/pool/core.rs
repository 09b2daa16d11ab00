//! One pool: its spec, its clock and its store; reports in, batches out.

use parking_lot::RwLock;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use xxhash_rust::xxh3::xxh3_64;

use super::activity::Recorder;
use super::admission::Patience;
use super::batch::{BATCH_SIZE_MAX, MineRequest, MinedBatch, PoolSizes, Wait};
use super::clock::{Clock, Moment, TimeSource};
use super::error::{PoolError, Violation};
use super::house::House;
use super::ingest::{check_payloads, drop_unusable, merge};
use super::ledger::{Delivery, Ledger};
use super::policy::{Policy, PolicyOverrides};
use super::report::{Ack, AckStatus, Ids, Report, ReportCounts};
use super::sampler::{self, MineContext};
use super::spans;
use super::spec::{BackgroundRotation, Decay, IdKind, Limits, PoolSpec, ServeLimits};
use super::stats::{CounterValues, Counters, PoolStats};
use crate::store::key::{Key, UNITS_PER_OCTAVE};
use crate::store::{Engine, ReportBatch, Rotation, ScoreUpdate, ServeMark, ServePenalty, Store, StoreSpec};

/// Octaves that the serve penalty takes at most (DECISIONS 17).
const SERVE_PENALTY_OCTAVES_MAX: i64 = 8;
/// How often a waiting request looks at the pool at most.
const WAIT_POLL: std::time::Duration = std::time::Duration::from_millis(5);
/// Longest string key, bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest request_id, bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// What may change in a live pool; `None` keeps what there is.
#[derive(Clone, Debug, Default)]
pub struct SpecChange {
    /// Only its half-life: the kind of clock is fixed.
    pub decay: Option<Decay>,
    /// The default policy.
    pub default_policy: Option<PolicyOverrides>,
    /// Limits on repeats.
    pub serve_limits: Option<ServeLimits>,
    /// Background rotation.
    pub rotation: Option<BackgroundRotation>,
    /// Re-report rule.
    pub score_update: Option<ScoreUpdate>,
}

/// A named store of samples with one spec.
pub struct Pool {
    id: String,
    uid: u64,
    create_time: SystemTime,
    /// With the revision that the etag shows.
    spec: RwLock<(Arc<PoolSpec>, u64)>,
    clock: Clock,
    store: Arc<dyn Store>,
    ledger: Ledger,
    house: Arc<House>,
    counters: Counters,
    recorder: Recorder,
    limits: Limits,
    /// Told of every batch, for those who wait for the pool to fill.
    grown: Notify,
    /// Cancelled when the pool is deleted.
    closed: CancellationToken,
}

impl Pool {
    /// An empty pool; `spec` has been validated.
    pub(super) async fn open(
        id: &str,
        spec: PoolSpec,
        limits: &Limits,
        engine: &dyn Engine,
        time: TimeSource,
        house: Arc<House>,
    ) -> Result<Arc<Self>, PoolError> {
        let uid = rand::random::<u64>() | 1;
        let store = engine
            .open(&StoreSpec {
                capacity: spec.capacity as usize,
                shards: spec.shards as usize,
                background: spec.background,
                hardness: spec.hardness,
                named: spec.id_kind == IdKind::Name,
                salt_seed: uid,
            })
            .await?;
        Ok(Arc::new(Self {
            id: id.to_owned(),
            uid,
            create_time: SystemTime::now(),
            clock: Clock::new(spec.decay, time),
            spec: RwLock::new((Arc::new(spec), 1)),
            store,
            ledger: Ledger::new(limits.max_workers_per_pool),
            house,
            counters: Counters::default(),
            recorder: Recorder::default(),
            limits: limits.clone(),
            grown: Notify::new(),
            closed: CancellationToken::new(),
        }))
    }

    /// The last part of its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Differs between pools of one name.
    #[must_use]
    pub fn uid(&self) -> u64 {
        self.uid
    }

    /// When it was created.
    #[must_use]
    pub fn create_time(&self) -> SystemTime {
        self.create_time
    }

    /// Its spec now.
    #[must_use]
    pub fn spec(&self) -> Arc<PoolSpec> {
        self.spec.read().0.clone()
    }

    /// Changes with every update.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("{:016x}-{}", self.uid, self.spec.read().1)
    }

    /// Resolves when the pool is deleted.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Counted since it was created.
    #[must_use]
    pub fn counters(&self) -> CounterValues {
        self.counters.values()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Counts a batch that a layer above refused before it got here.
    pub fn count_rejected(&self) {
        Counters::add(&self.counters.rejected_batches, 1);
    }

    /// Changes the live spec, all of it or nothing.
    pub(super) fn update(&self, etag: &str, change: SpecChange, limits: &Limits) -> Result<(), PoolError> {
        let mut guard = self.spec.write();
        if !etag.is_empty() && etag != format!("{:016x}-{}", self.uid, guard.1) {
            return Err(PoolError::Aborted(format!("pool `{}` changed: its etag is another", self.id)));
        }
        let mut spec = (*guard.0).clone();
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
        let violations = spec.violations(limits);
        if !violations.is_empty() {
            return Err(PoolError::Invalid(violations));
        }
        self.clock.set_decay(spec.decay);
        *guard = (Arc::new(spec), guard.1 + 1);
        Ok(())
    }

    /// Wakes whoever waits for a pool that was deleted.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.grown.notify_waiters();
    }

    /// Applies a batch of scores.
    ///
    /// # Errors
    /// `Invalid` naming the column, `Exhausted`, `Unavailable`; nothing is applied then.
    pub async fn report(&self, report: Report) -> Result<Ack, PoolError> {
        let begun = Instant::now();
        let span = spans::report(&self.id, report.ids.len());
        let applying = pin!(self.apply(report));
        let result = applying.instrument(span).await;
        match &result {
            Ok(_) => self.recorder.reports.record(begun.elapsed()),
            Err(_) => self.count_rejected(),
        }
        result
    }

    async fn apply(&self, report: Report) -> Result<Ack, PoolError> {
        let spec = self.spec();
        check_payloads(&spec, &report)?;
        let rows = report.ids.len() as u64;
        let (ids, names) = self.resolve(&spec, report.ids, "batch.ids")?;
        let moment = self.clock.report(report.step)?;
        if !self.ledger.enter(&report.sender) {
            Counters::add(&self.counters.duplicate_batches, 1);
            let floor = self.store.level().await?.floor;
            return Ok(self.ack(AckStatus::Duplicate, ReportCounts::default(), floor, moment));
        }
        let mut batch = ReportBatch {
            ids,
            scores: report.scores,
            names,
            payloads: report.payloads,
            decay_units: moment.decay_units,
            stamp: moment.stamp,
            refuse_stale: spec.decay.by_steps(),
            model_version: report.model_version,
            update: spec.score_update,
            rotation: Some(Rotation {
                after_rows: spec.rotation.after_reports.unwrap_or(u64::MAX),
                max_fill_millis: spec.rotation.max_fill_time.as_millis() as u64,
            }),
            now_millis: self.clock.now_millis(),
        };
        let (non_finite, out_of_range) = drop_unusable(&mut batch, spec.background);
        let applied = match self.store.apply(batch).instrument(spans::apply(spec.shards)).await {
            Ok(applied) => applied,
            Err(error) => {
                self.ledger.forget(&report.sender);
                return Err(error.into());
            }
        };
        let counts = merge(&applied.counts, non_finite, out_of_range);
        self.counters.count_report(rows, &counts, &applied.counts);
        let delivery = Delivery {
            now_millis: self.clock.now_millis(),
            rows,
            step: report.step,
            model_version: report.model_version,
        };
        self.ledger.deliver(&report.sender, delivery);
        self.grown.notify_waiters();
        Ok(self.ack(AckStatus::Applied, counts, applied.floor, moment))
    }

    fn ack(&self, status: AckStatus, counts: ReportCounts, floor: Option<Key>, now: Moment) -> Ack {
        Ack {
            status,
            counts,
            floor_log2: floor.map(|key| now.log2_weight(key)),
            position: 0,
            durable_position: 0,
        }
    }

    /// Integer ids, or the hashes of names together with the names.
    fn resolve(
        &self,
        spec: &PoolSpec,
        ids: Ids,
        field: &str,
    ) -> Result<(Vec<u64>, Vec<Arc<str>>), PoolError> {
        match (ids, spec.id_kind) {
            (Ids::U64(ids), IdKind::U64) => Ok((ids, Vec::new())),
            (Ids::Names(names), IdKind::Name) => {
                if let Some(i) = names.iter().position(|n| n.is_empty() || n.len() > NAME_BYTES_MAX) {
                    return Err(PoolError::invalid(
                        format!("{field}.strings.values[{i}]"),
                        format!("{} bytes, not 1 to {NAME_BYTES_MAX}", names[i].len()),
                    ));
                }
                Ok((names.iter().map(|n| xxh3_64(n.as_bytes())).collect(), names))
            }
            (ids, _) if ids.is_empty() => Ok((Vec::new(), Vec::new())),
            (Ids::U64(_), IdKind::Name) => {
                Err(PoolError::invalid(field, format!("pool `{}` has string keys: send `strings`", self.id)))
            }
            (Ids::Names(_), IdKind::U64) => Err(PoolError::invalid(
                field,
                format!("pool `{}` has integer ids: send `u64s` or `u64_le`", self.id),
            )),
        }
    }

    /// Mines one batch.
    ///
    /// # Errors
    /// `Invalid` naming the field, `FailedPrecondition` (`SHORTFALL`), `NotFound` when deleted meanwhile, `Exhausted`
    /// while the server mines all that it may at once.
    pub async fn mine(&self, request: MineRequest, patience: Patience) -> Result<Arc<MinedBatch>, PoolError> {
        let spec = self.spec();
        self.check_mine(&spec, &request)?;
        let mining = pin!(self.mine_once(&spec, &request, patience));
        let mining = mining.instrument(spans::mine(&self.id, &request));
        if request.request_id.is_empty() {
            return mining.await.map(Arc::new);
        }
        self.house.replay.get_or_mine(self.uid, &request, mining).await
    }

    fn check_mine(&self, spec: &PoolSpec, request: &MineRequest) -> Result<(), PoolError> {
        let mut bad = request.policy.violations("policy");
        if !(1..=BATCH_SIZE_MAX).contains(&request.batch_size) {
            bad.push(Violation::new(
                "batch_size",
                format!("{} is not in 1..={BATCH_SIZE_MAX}", request.batch_size),
            ));
        }
        if request.exclude.len() > BATCH_SIZE_MAX as usize {
            bad.push(Violation::new(
                "exclude_ids",
                format!("{} ids, over {BATCH_SIZE_MAX}", request.exclude.len()),
            ));
        }
        if request.request_id.len() > REQUEST_ID_BYTES_MAX {
            bad.push(Violation::new(
                "request_id",
                format!("{} bytes, over {REQUEST_ID_BYTES_MAX}", request.request_id.len()),
            ));
        }
        if let Some(wait) = request.wait {
            if wait.min_size > spec.capacity {
                bad.push(Violation::new(
                    "wait.min_size",
                    format!(
                        "{} is over the pool's capacity {}: it could never be met",
                        wait.min_size, spec.capacity
                    ),
                ));
            }
            if wait.timeout > self.limits.max_wait {
                bad.push(Violation::new(
                    "wait.timeout",
                    format!("{:?} is over this server's max_wait {:?}", wait.timeout, self.limits.max_wait),
                ));
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(PoolError::Invalid(bad)) }
    }

    async fn mine_once(
        &self,
        spec: &PoolSpec,
        request: &MineRequest,
        patience: Patience,
    ) -> Result<MinedBatch, PoolError> {
        let (excluded, _) = self.resolve(spec, request.exclude.clone(), "exclude_ids")?;
        let timed_out = match request.wait {
            Some(wait) => pin!(self.wait_for(wait)).instrument(spans::wait(wait)).await?,
            None => false,
        };
        let _place = self.house.admission.mine(patience).await?;
        let begun = Instant::now();
        let now = self.clock.now();
        let context = MineContext {
            store: &*self.store,
            policy: request.policy.over(&spec.default_policy.over(&Policy::default())),
            batch_size: request.batch_size as usize,
            excluded: excluded.into_iter().collect(),
            now: Key(now.decay_units as u32),
            stamp_now: now.stamp,
            by_steps: spec.decay.by_steps(),
            penalty: serve_penalty(spec.serve_limits),
            mark: ServeMark {
                count: !request.dry_run,
                max_serves: match spec.serve_limits.max_serves {
                    0 => u16::MAX,
                    n => n,
                },
            },
            seed: request.seed.unwrap_or_else(rand::random),
            scan_limit: self.limits.scan_limit,
            named: spec.id_kind == IdKind::Name,
            payloads: spec.max_payload_bytes > 0,
        };
        let mut batch = spans::draw(context.policy.strategy, pin!(sampler::mine(context))).await?;
        batch.timed_out = timed_out;
        self.recorder.mines.record(begun.elapsed());
        self.counters.count_mine(&batch);
        if !request.dry_run {
            self.recorder.served(&batch);
        }
        Ok(batch)
    }

    /// Waits until the hard store holds `min_size`; true when the time ran out first.
    async fn wait_for(&self, wait: Wait) -> Result<bool, PoolError> {
        if self.store.level().await?.hard >= wait.min_size {
            return Ok(false);
        }
        let _place = self.house.admission.wait()?;
        let deadline = tokio::time::Instant::now() + wait.timeout;
        loop {
            let grown = self.grown.notified();
            if self.closed.is_cancelled() {
                return Err(PoolError::NotFound(self.id.clone()));
            }
            if self.store.level().await?.hard >= wait.min_size {
                return Ok(false);
            }
            if tokio::time::timeout_at(deadline, grown).await.is_err() {
                return Ok(true);
            }
            // Many batches a second need not mean as many looks.
            tokio::time::sleep(WAIT_POLL).await;
        }
    }

    /// Removes samples; how many were stored, and the position.
    ///
    /// # Errors
    /// `Invalid` naming `ids`.
    pub async fn remove(&self, ids: Ids) -> Result<(u64, u64), PoolError> {
        let (ids, _) = self.resolve(&self.spec(), ids, "ids")?;
        let (removed, _) = self.store.remove(&ids).await?;
        Counters::add(&self.counters.removed, removed);
        Ok((removed, 0))
    }

    /// The pool's figures now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn stats(&self) -> Result<PoolStats, PoolError> {
        let store = self.store.stats().await?;
        let now = self.clock.now();
        Ok(PoolStats {
            sizes: PoolSizes {
                hard: store.hard,
                background: store.background,
                distinct: store.background as f64 / store.background_probability,
                background_probability: store.background_probability,
                floor_log2: store.floor.map(|key| now.log2_weight(key)),
            },
            counters: self.counters.values(),
            store,
            step: self.clock.step(),
        })
    }
}

fn serve_penalty(limits: ServeLimits) -> ServePenalty {
    ServePenalty {
        units_per_serve: (-limits.serve_penalty.log2() * UNITS_PER_OCTAVE as f64).round() as u32,
        units_max: (SERVE_PENALTY_OCTAVES_MAX * UNITS_PER_OCTAVE) as u32,
    }
}
