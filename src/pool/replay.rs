//! Batches remembered by request_id, so that a retried mine returns the same one (DECISIONS 17).

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::batch::{MineRequest, MinedBatch};
use super::error::PoolError;
use super::remembered::Remembered;
use super::spec::Limits;
use crate::store::put_once::{PutOnce, Space, Term};

/// The request and its batch, once there is one.
type Reply = tokio::sync::Mutex<Option<(Arc<MineRequest>, Arc<MinedBatch>)>>;

/// Replies of all pools of a server. The bytes are remembered by the engine; here those wait that ask for what is being mined, so that
/// concurrent requests of one id mine once.
#[derive(Debug)]
pub(super) struct Replay {
    /// Requests under way, by pool uid and request_id.
    under_way: Mutex<HashMap<Arc<[u8]>, UnderWay>>,
    once: Arc<dyn PutOnce>,
    ttl: Duration,
}

/// A request_id that is asked for.
#[derive(Debug, Default)]
struct UnderWay {
    reply: Arc<Reply>,
    /// How many ask for it.
    callers: usize,
}

/// One that asks: the last takes the entry with it.
struct Entered<'a> {
    replay: &'a Replay,
    name: Arc<[u8]>,
    reply: Arc<Reply>,
}

impl Drop for Entered<'_> {
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
    /// Nothing is under way.
    pub(super) fn new(limits: &Limits, once: Arc<dyn PutOnce>) -> Self {
        Self { under_way: Mutex::default(), once, ttl: limits.request_id_ttl }
    }

    fn enter(&self, pool_uid: u64, request_id: &str) -> Entered<'_> {
        let name: Arc<[u8]> = [&pool_uid.to_le_bytes(), request_id.as_bytes()].concat().into();
        let mut under_way = self.under_way.lock();
        let entry = under_way.entry(name.clone()).or_default();
        entry.callers += 1;
        Entered { replay: self, name, reply: entry.reply.clone() }
    }

    /// The batch remembered under the request's id, else the one that `mine` makes. `now_millis` reads the pool's clock.
    ///
    /// # Errors
    /// `Invalid` when the id was used for another request; what `mine` returns, which is not remembered.
    pub(super) async fn get_or_mine(
        &self,
        pool_uid: u64,
        request: &MineRequest,
        now_millis: impl Fn() -> u64,
        mine: impl Future<Output = Result<MinedBatch, PoolError>>,
    ) -> Result<Arc<MinedBatch>, PoolError> {
        let entered = self.enter(pool_uid, &request.request_id);
        // Waits for who mines. Should they go away before they have, this one mines.
        let mut reply = entered.reply.lock().await;
        let (first, batch) = match &*reply {
            Some(known) => known.clone(),
            None => {
                let known = self.remembered_or_mined(&entered.name, request, now_millis, mine).await?;
                reply.insert(known).clone()
            }
        };
        if *first == *request {
            Ok(batch)
        } else {
            Err(PoolError::invalid("request_id", "was used for another request within its time"))
        }
    }

    async fn remembered_or_mined(
        &self,
        name: &[u8],
        request: &MineRequest,
        now_millis: impl Fn() -> u64,
        mine: impl Future<Output = Result<MinedBatch, PoolError>>,
    ) -> Result<(Arc<MineRequest>, Arc<MinedBatch>), PoolError> {
        let first = match self.once.get(Space::Replies, name, now_millis()).await? {
            Some(first) => first,
            None => {
                let batch = mine.await?;
                let bytes = Remembered::encode(request, &batch)?;
                let term = Term { now_millis: now_millis(), ttl: self.ttl };
                let first = self.once.put_once(Space::Replies, name, bytes.clone(), term).await?;
                if first == bytes {
                    return Ok((Arc::new(request.clone()), Arc::new(batch)));
                }
                // Another server was first: both answer with its batch.
                first
            }
        };
        let Remembered { request, batch } = Remembered::decode(&first)?;
        Ok((Arc::new(request), Arc::new(batch)))
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
