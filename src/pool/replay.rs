//! Batches remembered by request_id, so that a retried mine returns the same one (docs/methods.md 14.3).

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::executor::{self, Begun};
use super::remembered::Remembered;
use crate::model::batch::{MineRequest, MinedBatch};
use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::store::put_once::{PutOnce, Space, Term};

/// A request with its batch.
type Known = (Arc<MineRequest>, Arc<MinedBatch>);
/// A request with its batch; `None` until it is drawn.
type Reply = tokio::sync::Mutex<Option<Known>>;

/// The replies of all pools of a server. The engine remembers their bytes. Concurrent requests with the same request_id wait here for the
/// first of them, so that they mine once.
#[derive(Debug)]
pub(super) struct Replay {
    /// Requests in progress, by pool uid and request_id.
    under_way: Mutex<HashMap<Arc<[u8]>, UnderWay>>,
    once: Arc<dyn PutOnce>,
    ttl: Duration,
}

/// The entry of a request_id.
#[derive(Debug, Default)]
struct UnderWay {
    reply: Arc<Reply>,
    /// Number of calls that use the entry.
    callers: usize,
}

/// A call that uses an entry. The last one removes the entry on drop.
struct Entered {
    replay: Arc<Replay>,
    name: Arc<[u8]>,
    reply: Arc<Reply>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut under_way = self.replay.under_way.lock();
        if let Some(entry) = under_way.get_mut(&self.name) {
            entry.callers -= 1;
            if entry.callers == 0 {
                under_way.remove(&self.name);
            }
        }
    }
}

impl Replay {
    /// No requests in progress.
    pub(super) fn new(limits: &Limits, once: Arc<dyn PutOnce>) -> Self {
        Self { under_way: Mutex::default(), once, ttl: limits.request_id_ttl }
    }

    fn enter(self: &Arc<Self>, pool_uid: u64, request_id: &str) -> Entered {
        let name: Arc<[u8]> = [&pool_uid.to_le_bytes(), request_id.as_bytes()].concat().into();
        let mut under_way = self.under_way.lock();
        let entry = under_way.entry(name.clone()).or_default();
        entry.callers += 1;
        Entered { replay: self.clone(), name, reply: entry.reply.clone() }
    }

    /// The batch remembered under the request_id, or else the one that `draw` makes of the result of `prepare`. If the caller drops the call
    /// before `draw` says that it has begun to mark samples, nothing has happened; else the draw is finished and remembered, so that a
    /// retry gets its batch. `now_millis` reads the clock of the pool.
    ///
    /// # Errors
    /// `Invalid` if the id was used for another request; the errors of `prepare` and `draw`, which are not remembered.
    pub(super) async fn get_or_mine<P, D>(
        self: &Arc<Self>,
        pool_uid: u64,
        request: &Arc<MineRequest>,
        now_millis: impl Fn() -> u64 + Send + 'static,
        prepare: impl Future<Output = Result<P, PoolError>>,
        draw: impl FnOnce(P, Begun) -> D,
    ) -> Result<Arc<MinedBatch>, PoolError>
    where
        D: Future<Output = Result<MinedBatch, PoolError>> + Send + 'static,
    {
        let entered = self.enter(pool_uid, &request.request_id);
        // Waits for the call that mines. If that one is dropped before its draw begins, this call mines.
        let mut reply = entered.reply.clone().lock_owned().await;
        if reply.is_none()
            && let Some(bytes) = self.once.get(Space::Replies, &entered.name, now_millis()).await?
        {
            *reply = Some(decode(&bytes)?);
        }
        let (first, batch) = match &*reply {
            Some(known) => known.clone(),
            None => {
                let begun = Begun::default();
                let drawing = draw(prepare.await?, begun.clone());
                let request = request.clone();
                let finishing = async move {
                    let batch = drawing.await?;
                    let known = entered.replay.remember(&entered.name, request, batch, now_millis).await?;
                    Ok(reply.insert(known).clone())
                };
                executor::finish_if_begun("mining", begun, finishing).await?
            }
        };
        if *first == **request {
            Ok(batch)
        } else {
            Err(PoolError::invalid("request_id", "was used for another request within its time"))
        }
    }

    /// Remembers a batch; returns the request and the batch that are remembered under the id then.
    async fn remember(
        &self,
        name: &[u8],
        request: Arc<MineRequest>,
        batch: MinedBatch,
        now_millis: impl Fn() -> u64,
    ) -> Result<Known, PoolError> {
        let bytes = Remembered::encode(&request, &batch)?;
        let term = Term { now_millis: now_millis(), ttl: self.ttl };
        let first = self.once.put_once(Space::Replies, name, bytes.clone(), term).await?;
        // If another server was first, both answer with its batch.
        if first == bytes { Ok((request, Arc::new(batch))) } else { decode(&first) }
    }
}

fn decode(bytes: &[u8]) -> Result<Known, PoolError> {
    let Remembered { request, batch } = Remembered::decode(bytes)?;
    Ok((Arc::new(request), Arc::new(batch)))
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
