//! The simplest put-once store: a list of entries, the oldest first.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::StoreError;
use super::put_once::{PutOnce, PutOnceLimits, Space, Term, check_name};

#[derive(Debug)]
struct Put {
    space: Space,
    name: Vec<u8>,
    bytes: Bytes,
    end_millis: u64,
}

#[derive(Debug)]
pub(super) struct NaivePutOnce {
    limits: PutOnceLimits,
    puts: Mutex<Vec<Put>>,
}

impl NaivePutOnce {
    pub(super) fn new(limits: PutOnceLimits) -> Self {
        Self { limits, puts: Mutex::default() }
    }
}

fn find(puts: &[Put], space: Space, name: &[u8]) -> Option<Bytes> {
    puts.iter().find(|put| put.space == space && put.name == name).map(|put| put.bytes.clone())
}

#[async_trait]
impl PutOnce for NaivePutOnce {
    async fn put_once(
        &self,
        space: Space,
        name: &[u8],
        bytes: Bytes,
        term: Term,
    ) -> Result<Bytes, StoreError> {
        check_name(name)?;
        let mut puts = self.puts.lock();
        puts.retain(|put| put.end_millis > term.now_millis);
        let first = find(&puts, space, name);
        if first.is_none() && self.limits.of(space) > 0 {
            let put = Put { space, name: name.to_vec(), bytes: bytes.clone(), end_millis: term.end_millis() };
            puts.push(put);
            loop {
                let of_space: Vec<usize> = (0..puts.len()).filter(|at| puts[*at].space == space).collect();
                let size: usize =
                    of_space.iter().map(|at| puts[*at].name.len() + puts[*at].bytes.len()).sum();
                if size <= self.limits.of(space) || of_space.len() == 1 {
                    break;
                }
                puts.remove(of_space[0]);
            }
        }
        Ok(first.unwrap_or(bytes))
    }

    async fn get(&self, space: Space, name: &[u8], now_millis: u64) -> Result<Option<Bytes>, StoreError> {
        self.expire(now_millis).await?;
        Ok(find(&self.puts.lock(), space, name))
    }

    async fn forget(&self, space: Space, names: &[Vec<u8>]) -> Result<(), StoreError> {
        self.puts.lock().retain(|put| put.space != space || !names.contains(&put.name));
        Ok(())
    }

    async fn expire(&self, now_millis: u64) -> Result<(), StoreError> {
        self.puts.lock().retain(|put| put.end_millis > now_millis);
        Ok(())
    }
}
