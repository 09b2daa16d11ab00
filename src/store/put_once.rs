//! What is remembered under a name: the first writer wins, and everybody reads the winner's bytes.
//!
//! Replies to requests that may be retried, and rounds that many ranks ask for, are remembered so: whichever server answers a retry, it
//! answers with the same bytes. Nothing in here waits for anybody; who wants others to wait while it makes the bytes does so itself.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;

/// Longest name, bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// What a name is the name of. Each kind has its own names and its own bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Replies by request_id.
    Replies,
    /// Rounds by run and number.
    Rounds,
}

/// Bytes of names and values that are remembered at most. What was put first is forgotten first, and what was put last stays whatever
/// its size. 0: nothing is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOnceLimits {
    /// Of [`Space::Replies`].
    pub reply_bytes: usize,
    /// Of [`Space::Rounds`].
    pub round_bytes: usize,
}

impl PutOnceLimits {
    /// The bound of a space.
    #[must_use]
    pub fn of(&self, space: Space) -> usize {
        match space {
            Space::Replies => self.reply_bytes,
            Space::Rounds => self.round_bytes,
        }
    }
}

/// For how long something is remembered. The time is the caller's, so that tests set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Unix milliseconds now.
    pub now_millis: u64,
    /// It is forgotten once so much time has gone by.
    pub ttl: Duration,
}

impl Term {
    /// The first moment at which it is forgotten, Unix milliseconds.
    #[must_use]
    pub fn end_millis(&self) -> u64 {
        self.now_millis.saturating_add(u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Remembers bytes under names. Bounded in bytes and in time.
#[async_trait]
pub trait PutOnce: Debug + Send + Sync + 'static {
    /// Remembers `bytes` under `name` unless something is remembered there already; what is remembered there then.
    ///
    /// # Errors
    /// [`StoreError::Exhausted`] for a name over [`NAME_BYTES_MAX`].
    async fn put_once(
        &self,
        space: Space,
        name: &[u8],
        bytes: Bytes,
        term: Term,
    ) -> Result<Bytes, StoreError>;
    /// What is remembered under `name`.
    async fn get(&self, space: Space, name: &[u8], now_millis: u64) -> Result<Option<Bytes>, StoreError>;
    /// Forgets what is remembered under these names; the next writer of one is its first again.
    async fn forget(&self, space: Space, names: &[Vec<u8>]) -> Result<(), StoreError>;
    /// Forgets what is too old by now, so that nothing is held where nobody asks.
    async fn expire(&self, now_millis: u64) -> Result<(), StoreError>;
}

/// Checks the length of a name.
///
/// # Errors
/// [`StoreError::Exhausted`].
pub fn check_name(name: &[u8]) -> Result<(), StoreError> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(StoreError::Exhausted(format!("a name of {} bytes is over {NAME_BYTES_MAX}", name.len())))
}
