//! Mines a batch: checks, waits, the draw and its counts.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument as _;

use crate::model::batch::{BATCH_SIZE_MAX, MineRequest, MinedBatch, Wait};
use crate::model::curriculum::{self, Applied};
use crate::model::error::{PoolError, Violation};
use crate::model::flow::Side;
use crate::model::moment::Moment;
use crate::model::policy::{Policy, Shortfall};
use crate::model::spec::{IdKind, LEASE_MAX, PoolSpec, ServeLimits};
use crate::permits::Permit;
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::pool::control::is_control;
use crate::pool::executor::{self, Begun};
use crate::pool::rate_limiter::{FlowPermit, Told};
use crate::pool::rounds;
use crate::pool::spans;
use crate::sampler::flat::{self, DrawClock, MineContext, PoolTraits, Ranks, Serving};
use crate::store::key::{Key, UNITS_PER_OCTAVE};
use crate::store::{ServeMark, ServePenalty};

/// Maximum of the serve penalty, in octaves (docs/methods.md 9.1).
const SERVE_PENALTY_OCTAVES_MAX: i64 = 8;
/// Minimum time between two checks of the pool by a waiting request.
const WAIT_POLL: std::time::Duration = std::time::Duration::from_millis(5);
/// Maximum length of a request_id, in bytes.
pub(in crate::pool) const REQUEST_ID_BYTES_MAX: usize = 64;

impl Pool {
    /// Mines one batch.
    ///
    /// # Errors
    /// `Invalid` naming the field, `Run` where the round's has ended, `FailedPrecondition` (`SHORTFALL`), `NotFound` when deleted meanwhile, `Exhausted`
    /// while the server mines all that it may at once.
    pub async fn mine(
        self: &Arc<Self>,
        request: MineRequest,
        patience: Patience,
    ) -> Result<Arc<MinedBatch>, PoolError> {
        self.check_flat("MineBatch", "use MineNegatives")?;
        let spec = self.spec();
        self.check_mine(&spec, &request)?;
        if request.batch_size == 0 {
            // No samples of no positives: there is nothing to serve, or to remember for a retry.
            let request = Arc::new(MineRequest { dry_run: true, request_id: String::new(), ..request });
            let span = spans::mine(&self.id, &request);
            return pin!(self.mine_once(&spec, &request, patience, Begun::default()))
                .instrument(span)
                .await
                .map(Arc::new);
        }
        let request = Arc::new(request);
        if let Some(round) = &request.round {
            self.clock.check_not_ended(&round.run_id)?;
            let span = spans::mine(&self.id, &request);
            return pin!(self.mine_share(&request, round, patience)).instrument(span).await.map(Arc::new);
        }
        let span = spans::mine(&self.id, &request);
        if request.request_id.is_empty() {
            let mining = pin!(self.mine_once(&spec, &request, patience, Begun::default()));
            return mining.instrument(span).await.map(Arc::new);
        }
        let preparing = pin!(self.prepare(&spec, &request, patience));
        let pool = self.clone();
        let now_millis = move || pool.clock.now_millis();
        let draw = |prepared, begun| self.draw(request.clone(), prepared, begun);
        let mining = self.server.replay.get_or_mine(self.uid, &request, now_millis, preparing, draw);
        pin!(mining).instrument(span).await
    }

    fn check_mine(&self, spec: &PoolSpec, request: &MineRequest) -> Result<(), PoolError> {
        let mut bad = request.policy.violations("policy");
        let curriculum = curriculum::in_force(&request.policy, &spec.default_policy);
        // The first step of a pool that ages by steps may be reported while the request waits.
        if curriculum.is_some() && request.step.is_none() && !spec.decay.by_steps() {
            bad.push(step_missing());
        }
        let is_empty = request.batch_size == 0 && request.may_be_empty;
        if is_empty && request.round.is_some() {
            let wrong = "gives no samples, and each rank of a round needs one: set min_size";
            bad.push(Violation::new("negative_ratio", wrong));
        } else if !is_empty && !(1..=BATCH_SIZE_MAX).contains(&request.batch_size) {
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
        if let Some(lease) = request.lease.filter(|lease| *lease > LEASE_MAX) {
            bad.push(Violation::new("lease", format!("{lease:?} is over {LEASE_MAX:?}")));
        }
        if let Some(round) = &request.round {
            bad.extend(rounds::violations(request, round));
        }
        if let Some(flow) = spec.flow.filter(|_| !request.dry_run) {
            let field = if request.round.is_some() { "round.world_size" } else { "batch_size" };
            bad.extend(flow.fault(Side::Mine, request.draw_size(), field));
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

    /// Mines by one draw; in a round, by that of all ranks. If the caller goes away before `begun` is set, the draw ends too.
    pub(in crate::pool) async fn mine_once(
        self: &Arc<Self>,
        spec: &PoolSpec,
        request: &Arc<MineRequest>,
        patience: Patience,
        begun: Begun,
    ) -> Result<MinedBatch, PoolError> {
        let prepared = pin!(self.prepare(spec, request, patience)).await?;
        let drawing = self.draw(request.clone(), prepared, begun.clone());
        executor::finish_if_begun("mining", begun, drawing).await
    }

    /// Waits for everything that a draw needs. Nothing has begun yet, so a call that is dropped leaves no trace.
    async fn prepare(
        self: &Arc<Self>,
        spec: &PoolSpec,
        request: &Arc<MineRequest>,
        patience: Patience,
    ) -> Result<Prepared, PoolError> {
        let excluded = self.hashes(spec.id_kind, &request.exclude, "exclude_ids")?.iter().copied().collect();
        let called = tokio::time::Instant::now();
        let mut timed_out = match request.wait {
            Some(wait) => pin!(self.wait_for(wait)).instrument(spans::wait(wait)).await?,
            None => false,
        };
        let flow_permit = match pin!(self.wait_for_reports(spec, request, called)).await? {
            Some((permit, ended)) => {
                timed_out |= ended;
                Some(permit)
            }
            None => None,
        };
        let mining_permit = self.server.admission.mine(patience).await?;
        Ok(Prepared { excluded, flow_permit, timed_out, _mining_permit: mining_permit })
    }

    /// Draws a batch and counts it, in a future that owns everything it needs. It sets `begun` before it marks samples as served.
    fn draw(
        self: &Arc<Self>,
        request: Arc<MineRequest>,
        prepared: Prepared,
        begun: Begun,
    ) -> impl Future<Output = Result<MinedBatch, PoolError>> + Send + 'static {
        let pool = self.clone();
        async move { pin!(pool.draw_now(&request, prepared, &begun)).await }
    }

    async fn draw_now(
        &self,
        request: &MineRequest,
        prepared: Prepared,
        begun: &Begun,
    ) -> Result<MinedBatch, PoolError> {
        let Prepared { excluded, flow_permit, timed_out, _mining_permit } = prepared;
        // The spec of the pool may have changed while the request waited.
        let spec = &*self.spec();
        let started = Instant::now();
        let now = self.clock.now();
        self.expire().await?;
        let step = request.step.or_else(|| self.clock.run().map(|run| run.step));
        let Some(Applied { policy, warmup }) = curriculum::apply(&request.policy, &spec.default_policy, step)
        else {
            return Err(PoolError::Invalid(vec![step_missing()]));
        };
        let control =
            request.round.as_ref().is_some_and(|round| is_control(spec.control_fraction, &self.id, round));
        let policy = if control { policy.uniform() } else { policy };
        let permitted = flow_permit.as_ref().map_or(u64::MAX, FlowPermit::samples);
        let marking = || begun.set();
        let context = MineContext {
            marking: &marking,
            ..self.mine_context(spec, request, policy, excluded, permitted, now)?
        };
        let drawn = spans::draw(context.policy.strategy, pin!(flat::mine(context))).await;
        if let Some(permit) = flow_permit {
            self.settle_mine(permit, &drawn).await;
        }
        let mut batch = drawn?;
        batch.draw.timed_out = timed_out;
        (batch.draw.control, batch.draw.warmup) = (control, warmup);
        batch.draw.shortfall_count =
            request.draw_size().saturating_sub(batch.columns.ids.len() as u64) as u32;
        self.recorder.mines.record(started.elapsed());
        self.count_mine(&batch, request.dry_run);
        Ok(batch)
    }

    /// What the sampler needs for a draw of at most `permitted` samples.
    ///
    /// # Errors
    /// `FailedPrecondition` (`FLOW`) if no samples are permitted and the policy does not accept a smaller batch.
    fn mine_context(
        &self,
        spec: &PoolSpec,
        request: &MineRequest,
        policy: Policy,
        excluded: HashSet<u64>,
        permitted: u64,
        now: Moment,
    ) -> Result<MineContext<'_>, PoolError> {
        let asked = request.draw_size();
        let ranks = request.round.as_ref().map(|round| Ranks {
            count: round.world_size as usize,
            hardness: spec.hardness,
            units_per_age: spec.decay.units_per_age(),
        });
        let size = asked.min(permitted);
        let size = (size - size % ranks.map_or(1, |ranks| ranks.count as u64)) as usize;
        if size == 0 && asked > 0 && policy.shortfall == Shortfall::Error {
            return Err(PoolError::FailedPrecondition {
                reason: "FLOW",
                message: format!(
                    "too little was reported in time: the pool's flow lets none of {asked} samples be mined"
                ),
            });
        }
        let lease = request.lease.unwrap_or(spec.serve_limits.lease);
        Ok(MineContext {
            store: &*self.store,
            policy,
            batch_size: size,
            requested: asked as usize,
            excluded,
            seed: request.seed.unwrap_or_else(rand::random),
            clock: DrawClock {
                now: Key(now.decay_units as u32),
                stamp: now.stamp,
                by_steps: spec.decay.by_steps(),
            },
            pool: PoolTraits {
                lower_is_harder: spec.hardness.lower_is_harder,
                named: spec.id_kind == IdKind::Name,
                payloads: spec.max_payload_bytes > 0,
            },
            serving: Serving {
                penalty: serve_penalty(spec.serve_limits),
                mark: ServeMark {
                    count: !request.dry_run,
                    max_serves: match spec.serve_limits.max_serves {
                        0 => u16::MAX,
                        n => n,
                    },
                    lease_until: (!request.dry_run && !lease.is_zero()).then(|| self.clock.end_millis(lease)),
                },
            },
            scan_limit: self.limits.max_scan_rows,
            strata_limit: self.limits.max_balance_strata,
            marking: &|| {},
            ranks,
        })
    }

    /// Reports to the rate limiter how many samples a draw has taken.
    async fn settle_mine(&self, permit: FlowPermit, drawn: &Result<MinedBatch, PoolError>) {
        let sums = self.sums_of_flow().await;
        match drawn {
            Ok(batch) => permit.settle(batch.columns.ids.len() as u64, sums),
            // The pool had too few samples, so there are no more to mine.
            Err(PoolError::FailedPrecondition { .. }) => permit.settle(0, sums),
            Err(_) => permit.fail(sums),
        }
    }

    /// Counts a batch, and its samples as served unless it is a dry run.
    fn count_mine(&self, batch: &MinedBatch, dry_run: bool) {
        self.counters.count_mine(batch, dry_run);
        self.filtered.add(&batch.draw.filtered);
        if !dry_run {
            self.recorder.served(batch);
        }
    }

    /// Waits while the draw would bring the balance of the flow below its bound; the flag is true if the time ran out first.
    async fn wait_for_reports(
        &self,
        spec: &PoolSpec,
        request: &MineRequest,
        called: tokio::time::Instant,
    ) -> Result<Option<(FlowPermit, bool)>, PoolError> {
        if request.dry_run {
            return Ok(None);
        }
        let Some(flow) = spec.flow else {
            return Ok(self.rate_limiter.free(Side::Mine).map(|permit| (permit, false)));
        };
        let patience = request.wait.map_or(flow.max_wait, |wait| wait.timeout).min(self.limits.max_wait);
        let told =
            Told { waits: &self.counters.flow_mine_waits, timeouts: &self.counters.flow_mine_timeouts };
        let wait_permit = || self.server.admission.wait();
        let closed = (&self.closed, self.id.as_str());
        self.rate_limiter
            .mine(request.draw_size(), called + patience, closed, wait_permit, told)
            .await
            .map(Some)
    }

    /// Waits until the hard store has `min_size` samples; true if the time ran out first.
    async fn wait_for(&self, wait: Wait) -> Result<bool, PoolError> {
        self.expire().await?;
        if self.store.level().await?.hard >= wait.min_size {
            return Ok(false);
        }
        let _permit = self.server.admission.wait()?;
        let deadline = tokio::time::Instant::now() + wait.timeout;
        loop {
            let grown = self.grown.notified();
            if self.closed.is_cancelled() {
                return Err(PoolError::NotFound(self.id.clone()));
            }
            self.expire().await?;
            if self.store.level().await?.hard >= wait.min_size {
                return Ok(false);
            }
            if tokio::time::timeout_at(deadline, grown).await.is_err() {
                return Ok(true);
            }
            // Many reports per second need not cause as many checks.
            tokio::time::sleep(WAIT_POLL).await;
        }
    }
}

/// What a draw needs, after all waits.
struct Prepared {
    /// The samples that the request excludes.
    excluded: HashSet<u64>,
    /// The permit of the flow; `None`: the request is a dry run.
    flow_permit: Option<FlowPermit>,
    /// Whether a wait timed out.
    timed_out: bool,
    /// The permit to mine, held during the draw.
    _mining_permit: Permit,
}

fn step_missing() -> Violation {
    Violation::new("step", "is needed: the policy has a curriculum, and no step has been reported")
}

fn serve_penalty(limits: ServeLimits) -> ServePenalty {
    ServePenalty {
        units_per_serve: (-limits.serve_penalty.log2() * UNITS_PER_OCTAVE as f64).round() as u32,
        units_max: (SERVE_PENALTY_OCTAVES_MAX * UNITS_PER_OCTAVE) as u32,
    }
}
