//! Rounds: one draw for all ranks of a training step, divided into shares that are disjoint, equal in size and equally hard
//! (docs/methods.md 11.2).
//!
//! The first request of any rank draws the round, in its own task, so that the draw continues if the caller goes away and another rank waits.
//! If nobody waits any more before the first sample is marked as served, the draw ends. Ranks that ask meanwhile wait here and share the
//! draw. Ranks that ask later read its bytes, which the engine remembers, and take their rows from them.
//! A forgotten round is never drawn again: the highest forgotten round of each run is remembered, and all rounds up to it are over.

mod checks;
mod drawing;

pub(super) use checks::violations;
use checks::{check_same, expired};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::remembered::Remembered;
use crate::model::batch::{MineRequest, MinedBatch, Round};
use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::pool::Pool;
use crate::sampler::flat::Draws;

/// Maximum number of ranks of a round.
pub(crate) const WORLD_SIZE_MAX: u32 = 65_536;
/// Maximum number of samples of a round, over all ranks.
pub(crate) const ROUND_SIZE_MAX: u64 = 1 << 20;
/// Maximum number of runs of a pool whose highest forgotten round is remembered; the one unused for the longest time is forgotten first.
const RUNS_PER_POOL_MAX: usize = 1024;

type Outcome = Result<Arc<Dealt>, PoolError>;

/// A round that has been drawn.
#[derive(Debug)]
pub(super) struct Dealt {
    /// The first request.
    request: MineRequest,
    batch: MinedBatch,
    /// Rows of rank r: `places[r * share .. (r + 1) * share]`.
    places: Vec<u32>,
    share: usize,
}

impl Dealt {
    /// Divides a batch, which is in order of hardness, among the ranks: each stripe of `world_size` rows goes to the ranks by its own
    /// random permutation.
    fn new(Remembered { request, batch }: Remembered, world_size: u32, seed: u64) -> Self {
        let world = world_size as usize;
        let share = batch.columns.ids.len() / world;
        let mut draws = Draws::new(seed);
        let mut places = vec![0; share * world];
        let mut order: Vec<u32> = (0..world_size).collect();
        for stripe in 0..share {
            for last in (1..world).rev() {
                order.swap(last, draws.below(last as u64 + 1) as usize);
            }
            for (rank, offset) in order.iter().enumerate() {
                places[rank * share + stripe] = (stripe * world) as u32 + offset;
            }
        }
        Self { request, batch, places, share }
    }

    /// The rows of a rank.
    ///
    /// # Errors
    /// `FailedPrecondition` where the request differs from the first one, which another server may have had.
    fn share_of(&self, request: &MineRequest, round: &Round) -> Result<MinedBatch, PoolError> {
        check_same(&self.request, request, round)?;
        let first = round.rank as usize * self.share;
        let mut rows = self.batch.rows(&self.places[first..first + self.share], request.batch_size);
        rows.draw.round = Some(round.clone());
        Ok(rows)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RoundKey {
    run_id: Arc<str>,
    number: u64,
}

impl RoundKey {
    /// What the engine remembers the round under.
    fn name(&self, pool_uid: u64) -> Vec<u8> {
        [&pool_uid.to_le_bytes()[..], &self.number.to_le_bytes(), self.run_id.as_bytes()].concat()
    }
}

#[derive(Debug)]
struct Entry {
    /// The first request.
    request: Arc<MineRequest>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Each receiver is a rank that waits.
    Drawing(watch::Sender<Option<Outcome>>),
    /// The engine remembers it.
    Kept { bytes: usize, since_millis: u64 },
}

/// What is remembered of a run beside its rounds.
#[derive(Debug, Default)]
struct Run {
    /// All up to this one are over, but for those still kept.
    forgotten: Option<u64>,
    /// Rounds under way or kept.
    rounds: usize,
    /// Number of the last use, to find the run that was unused for the longest time.
    used: u64,
}

#[derive(Debug, Default)]
struct PoolRounds {
    rounds: HashMap<RoundKey, Entry>,
    /// Those kept, the oldest first.
    kept: BTreeMap<u64, RoundKey>,
    runs: HashMap<Arc<str>, Run>,
}

#[derive(Debug, Default)]
struct KeptRounds {
    pools: HashMap<u64, PoolRounds>,
    /// Those kept in all pools, the oldest first.
    kept: BTreeMap<u64, u64>,
    bytes: usize,
    serial: u64,
    /// Names of rounds that were forgotten here and that the engine has still to forget.
    forgotten: Vec<Vec<u8>>,
}

/// The rounds of all pools of a server; bounded per pool, in time and in bytes.
#[derive(Debug)]
pub(super) struct Rounds {
    state: Mutex<KeptRounds>,
    rounds_max: usize,
    ttl_millis: u64,
    bytes_max: usize,
}

enum Found {
    Kept,
    Drawing(watch::Receiver<Option<Outcome>>),
    /// The caller is to draw it.
    Begun(watch::Sender<Option<Outcome>>),
}

impl Rounds {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::default(),
            rounds_max: limits.max_rounds_per_pool,
            ttl_millis: limits.round_ttl.as_millis() as u64,
            bytes_max: limits.round_cache_bytes,
        }
    }

    /// The round of a request, begun if there is none.
    fn find(&self, pool: &Pool, request: &MineRequest, round: &Round) -> Result<Found, PoolError> {
        let mut state = self.state.lock();
        if pool.closed.is_cancelled() {
            // Under the lock: a deleted pool is closed once, and would be remembered for ever.
            return Err(PoolError::NotFound(pool.id.clone()));
        }
        state.expire(pool.clock.now_millis(), self.ttl_millis);
        state.serial += 1;
        let serial = state.serial;
        let rounds = state.pools.entry(pool.uid).or_default();
        let key = RoundKey { run_id: round.run_id.clone(), number: round.number };
        if let Some(entry) = rounds.rounds.get(&key) {
            check_same(&entry.request, request, round)?;
            if let Some(run) = rounds.runs.get_mut(&round.run_id) {
                run.used = serial;
            }
            return Ok(match &entry.stage {
                Stage::Drawing(done) => Found::Drawing(done.subscribe()),
                Stage::Kept { .. } => Found::Kept,
            });
        }
        rounds.make_room_for_run(&round.run_id);
        let run = rounds.runs.entry(round.run_id.clone()).or_default();
        run.used = serial;
        if let Some(forgotten) = run.forgotten.filter(|forgotten| round.number <= *forgotten) {
            return Err(expired(round, forgotten));
        }
        run.rounds += 1;
        let done = watch::Sender::new(None);
        let entry = Entry { request: Arc::new(request.clone()), stage: Stage::Drawing(done.clone()) };
        rounds.rounds.insert(key, entry);
        Ok(Found::Begun(done))
    }

    /// Keeps a drawn round of this number of bytes, and forgets the oldest rounds that exceed the limits with it.
    fn keep(&self, pool: u64, key: &RoundKey, bytes: usize, now_millis: u64) {
        let mut state = self.state.lock();
        state.serial += 1;
        let serial = state.serial;
        // A pool that was deleted during the draw has no entry any more.
        let Some(rounds) = state.pools.get_mut(&pool) else { return };
        let Some(entry) = rounds.rounds.get_mut(key) else { return };
        entry.stage = Stage::Kept { bytes, since_millis: now_millis };
        rounds.kept.insert(serial, key.clone());
        let surplus = rounds.kept.len().saturating_sub(self.rounds_max);
        let oldest: Vec<u64> = rounds.kept.keys().take(surplus).copied().collect();
        state.kept.insert(serial, pool);
        state.bytes += bytes;
        for serial in oldest {
            state.forget(serial);
        }
        while state.bytes > self.bytes_max && state.kept.len() > 1 {
            state.forget_oldest();
        }
    }

    /// Removes a round that could not be drawn, so that the next request can try again.
    fn give_up(&self, pool: u64, key: &RoundKey) {
        self.state.lock().give_up(pool, key);
    }

    /// Removes a round that is being drawn if no rank waits for it. Returns whether none does. Ranks begin to wait under the lock, so none can
    /// come in between.
    fn abandon(&self, pool: u64, key: &RoundKey, done: &watch::Sender<Option<Outcome>>) -> bool {
        let mut state = self.state.lock();
        let is_abandoned = done.receiver_count() == 0;
        if is_abandoned {
            state.give_up(pool, key);
        }
        is_abandoned
    }

    /// A round that is kept has gone from the engine, which has bounds of its own: it is forgotten here too.
    fn lose(&self, pool: u64, key: &RoundKey) {
        let mut state = self.state.lock();
        let kept = state.pools.get(&pool).map(|rounds| &rounds.kept);
        let serial =
            kept.and_then(|kept| kept.iter().find(|(_, other)| *other == key)).map(|(serial, _)| *serial);
        if let Some(serial) = serial {
            state.forget(serial);
        }
    }

    /// Names of rounds that were forgotten since the last call.
    fn take_forgotten(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.state.lock().forgotten)
    }

    /// Forgets rounds that are too old. It must be called from time to time, so that idle pools keep nothing.
    pub(super) fn expire(&self, now_millis: u64) {
        self.state.lock().expire(now_millis, self.ttl_millis);
    }

    /// Forgets everything about a deleted pool.
    pub(super) fn close(&self, pool: u64) {
        let mut state = self.state.lock();
        let Some(rounds) = state.pools.remove(&pool) else { return };
        for (serial, key) in &rounds.kept {
            state.kept.remove(serial);
            state.forgotten.push(key.name(pool));
        }
        for entry in rounds.rounds.values() {
            if let Stage::Kept { bytes, .. } = entry.stage {
                state.bytes -= bytes;
            }
        }
    }
}

impl KeptRounds {
    fn give_up(&mut self, pool: u64, key: &RoundKey) {
        let Some(rounds) = self.pools.get_mut(&pool) else { return };
        if rounds.rounds.remove(key).is_some()
            && let Some(run) = rounds.runs.get_mut(&key.run_id)
        {
            run.rounds -= 1;
        }
    }

    fn expire(&mut self, now_millis: u64, ttl_millis: u64) {
        while let Some((serial, pool)) = self.kept.first_key_value() {
            let since = self.pools.get(pool).and_then(|rounds| rounds.since(*serial));
            if since.is_some_and(|since| now_millis.saturating_sub(since) < ttl_millis) {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((&serial, _)) = self.kept.first_key_value() {
            self.forget(serial);
        }
    }

    fn forget(&mut self, serial: u64) {
        let Some(pool) = self.kept.remove(&serial) else { return };
        let Some(rounds) = self.pools.get_mut(&pool) else { return };
        let Some(key) = rounds.kept.remove(&serial) else { return };
        self.forgotten.push(key.name(pool));
        if let Some(Entry { stage: Stage::Kept { bytes, .. }, .. }) = rounds.rounds.remove(&key) {
            self.bytes -= bytes;
        }
        if let Some(run) = rounds.runs.get_mut(&key.run_id) {
            run.rounds -= 1;
            run.forgotten = run.forgotten.max(Some(key.number));
        }
    }
}

impl PoolRounds {
    fn since(&self, serial: u64) -> Option<u64> {
        match self.rounds.get(self.kept.get(&serial)?)?.stage {
            Stage::Kept { since_millis, .. } => Some(since_millis),
            Stage::Drawing(_) => None,
        }
    }

    /// Runs with rounds are bounded by these; of the others the one unused for longest goes.
    fn make_room_for_run(&mut self, run_id: &Arc<str>) {
        if self.runs.len() < RUNS_PER_POOL_MAX || self.runs.contains_key(run_id) {
            return;
        }
        let idle = self.runs.iter().filter(|(_, run)| run.rounds == 0).min_by_key(|(_, run)| run.used);
        if let Some(idle) = idle.map(|(run_id, _)| run_id.clone()) {
            self.runs.remove(&idle);
        }
    }
}

#[cfg(test)]
mod tests;
