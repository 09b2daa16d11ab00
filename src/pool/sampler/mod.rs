//! Draws a batch.
use super::{batch::MinedBatch, error::PoolError, policy::Policy};
use crate::store::{ServeMark, ServePenalty, Store, key::Key};
use std::collections::HashSet;

pub struct MineContext<'a> {
    pub store: &'a dyn Store,
    pub policy: Policy,
    pub batch_size: usize,
    pub excluded: HashSet<u64>,
    pub now: Key,
    pub stamp_now: u32,
    pub by_steps: bool,
    pub penalty: ServePenalty,
    pub mark: ServeMark,
    pub seed: u64,
    pub scan_limit: usize,
    pub named: bool,
    pub payloads: bool,
}

pub async fn mine(context: MineContext<'_>) -> Result<MinedBatch, PoolError> {
    let _ = context;
    Err(PoolError::Unimplemented("mine".into()))
}
