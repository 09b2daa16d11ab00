//! Draws a round in its own task for the rank that asks first, and shares it with the others.

use std::sync::Arc;

use tokio::sync::watch;

use super::checks::seed;
use super::{Dealt, Found, Outcome, RoundKey};
use crate::activity::stats::Counters;
use crate::model::batch::{MineRequest, MinedBatch, Round};
use crate::model::error::PoolError;
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::pool::executor::{self, Begun};
use crate::pool::remembered::Remembered;
use crate::store::put_once::{Space, Term};

/// A round under way. On drop it is removed if it was not drawn to its end, for example because the draw panicked.
struct Drawing {
    pool: Arc<Pool>,
    key: RoundKey,
    done: watch::Sender<Option<Outcome>>,
    /// Whether the round is kept, or was removed before.
    kept: bool,
}

impl Drawing {
    async fn draw(mut self, request: Arc<MineRequest>, round: Round, patience: Patience) {
        let begun = Begun::default();
        let drawn = tokio::select! {
            drawn = self.remembered_or_drawn(request, patience, &begun) => drawn,
            () = self.abandoned(&begun) => {
                self.kept = true;
                return;
            }
        };
        let outcome = match drawn {
            Ok((round_batch, bytes)) => {
                let now = self.pool.clock.now_millis();
                self.pool.server.rounds.keep(self.pool.uid, &self.key, bytes, now);
                self.kept = true;
                Ok(Arc::new(Dealt::new(round_batch, round.world_size, seed(self.pool.uid, &round))))
            }
            Err(error) => {
                // The round is removed before the error is reported, so that a retry begins a new draw.
                self.give_up();
                Err(error)
            }
        };
        self.done.send_replace(Some(outcome));
        let _ = self.pool.tell_of_forgotten_rounds().await;
    }

    /// Waits until no rank waits for the round any more, and removes it then. Once the draw has begun to mark samples it goes on.
    async fn abandoned(&self, begun: &Begun) {
        let rounds = &self.pool.server.rounds;
        loop {
            self.done.closed().await;
            if begun.is_set() {
                std::future::pending::<()>().await;
            }
            if rounds.abandon(self.pool.uid, &self.key, &self.done) {
                return;
            }
        }
    }

    /// The batch of the round, and the number of bytes remembered of it.
    async fn remembered_or_drawn(
        &self,
        request: Arc<MineRequest>,
        patience: Patience,
        begun: &Begun,
    ) -> Result<(Remembered, usize), PoolError> {
        let (pool, once) = (&self.pool, &self.pool.server.once);
        let name = self.key.name(pool.uid);
        let first = match once.get(Space::Rounds, &name, pool.clock.now_millis()).await? {
            // Another server has drawn it.
            Some(first) => first,
            None => {
                let batch = pool.mine_once(&pool.spec(), &request, patience, begun.clone()).await?;
                Counters::add(&pool.counters.rounds, 1);
                let bytes = Remembered::encode(&request, &batch)?;
                let term = Term { now_millis: pool.clock.now_millis(), ttl: pool.limits.round_ttl };
                let first = once.put_once(Space::Rounds, &name, bytes.clone(), term).await?;
                if first == bytes {
                    return Ok((Remembered { request: Arc::unwrap_or_clone(request), batch }, bytes.len()));
                }
                // Another server was faster, so all ranks get its batch.
                first
            }
        };
        Ok((Remembered::decode(&first)?, first.len()))
    }

    fn give_up(&mut self) {
        if !self.kept {
            self.kept = true;
            self.pool.server.rounds.give_up(self.pool.uid, &self.key);
        }
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl Pool {
    /// Forgets rounds that are too old. It must be called from time to time.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(in crate::pool) async fn forget_old_rounds(&self) -> Result<(), PoolError> {
        let now_millis = self.clock.now_millis();
        self.server.rounds.expire(now_millis);
        self.server.once.expire(now_millis).await?;
        self.tell_of_forgotten_rounds().await
    }

    /// Makes the engine forget the rounds that were forgotten here.
    async fn tell_of_forgotten_rounds(&self) -> Result<(), PoolError> {
        let forgotten = self.server.rounds.take_forgotten();
        Ok(self.server.once.forget(Space::Rounds, &forgotten).await?)
    }

    /// Reads a kept round from the engine and divides it again; `None`: the engine has forgotten it.
    async fn kept_round(&self, key: &RoundKey, round: &Round) -> Result<Option<Dealt>, PoolError> {
        let name = key.name(self.uid);
        let Some(bytes) = self.server.once.get(Space::Rounds, &name, self.clock.now_millis()).await? else {
            self.server.rounds.lose(self.uid, key);
            return Ok(None);
        };
        Ok(Some(Dealt::new(Remembered::decode(&bytes)?, round.world_size, seed(self.uid, round))))
    }

    /// The share of one rank of its round.
    ///
    /// # Errors
    /// As of [`Pool::mine`]; `FailedPrecondition`: `ROUND_MISMATCH` where the request differs from the round's first,
    /// `ROUND_EXPIRED` where the round has been forgotten.
    pub(in crate::pool) async fn mine_share(
        self: &Arc<Self>,
        request: &Arc<MineRequest>,
        round: &Round,
        patience: Patience,
    ) -> Result<MinedBatch, PoolError> {
        let rounds = &self.server.rounds;
        let key = RoundKey { run_id: round.run_id.clone(), number: round.number };
        loop {
            let (mut outcome, begun, _place) = match rounds.find(self, request, round)? {
                Found::Kept => {
                    // The round has gone from the engine, so it is over; the next iteration returns that error.
                    let Some(dealt) = self.kept_round(&key, round).await? else { continue };
                    Counters::add(&self.counters.round_replays, 1);
                    return dealt.share_of(request, round);
                }
                Found::Drawing(outcome) => (outcome, false, Some(self.server.admission.wait()?)),
                Found::Begun(done) => {
                    let outcome = done.subscribe();
                    let drawing = Drawing { pool: self.clone(), key: key.clone(), done, kept: false };
                    let drawing = drawing.draw(request.clone(), round.clone(), patience);
                    executor::begin(drawing);
                    (outcome, true, None)
                }
            };
            let drawn = match outcome.wait_for(Option::is_some).await {
                Ok(drawn) => drawn.clone(),
                Err(_) => None,
            };
            match drawn {
                Some(Ok(dealt)) => {
                    if !begun {
                        Counters::add(&self.counters.round_replays, 1);
                    }
                    return dealt.share_of(request, round);
                }
                // The request that began the round could not wait for a permit, but a stream can.
                Some(Err(PoolError::Exhausted { .. })) if !begun && patience == Patience::Queue => {}
                Some(Err(error)) => return Err(error),
                None => return Err(PoolError::Internal("round")),
            }
        }
    }
}
