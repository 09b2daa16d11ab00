//! Bytes remembered under a name: the first writer wins, and everybody reads the winner's bytes.
//!
//! It holds the replies to requests that may be retried, and the rounds that many ranks ask for, so that whichever server answers a retry,
//! it answers with the same bytes. No call here waits for another writer; a caller that wants others to wait while it makes the bytes has
//! to arrange that itself.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;

/// Maximum length of a name, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The kind of thing that a name stands for. Each kind has its own names and its own bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Replies by request_id.
    Replies,
    /// Rounds by run and number.
    Rounds,
}

/// Maximum total bytes of names and values. Over the limit, the oldest entries are forgotten first, but the newest stays whatever its size.
/// 0: nothing is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOnceLimits {
    /// The limit of [`Space::Replies`].
    pub reply_bytes: usize,
    /// The limit of [`Space::Rounds`].
    pub round_bytes: usize,
}

impl PutOnceLimits {
    /// The limit of a space, in bytes.
    #[must_use]
    pub fn of(&self, space: Space) -> usize {
        match space {
            Space::Replies => self.reply_bytes,
            Space::Rounds => self.round_bytes,
        }
    }
}

/// How long an entry is remembered. The caller gives the time, so that tests can set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The present time, Unix milliseconds.
    pub now_millis: u64,
    /// The time to live of the entry.
    pub ttl: Duration,
}

impl Term {
    /// The first moment at which the entry is forgotten, Unix milliseconds.
    #[must_use]
    pub fn end_millis(&self) -> u64 {
        self.now_millis.saturating_add(u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Remembers bytes under names. Bounded in bytes and in time.
#[async_trait]
pub trait PutOnce: Debug + Send + Sync + 'static {
    /// Remembers `bytes` under `name` unless the name has bytes already; returns the bytes that the name has then.
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
    /// The bytes of `name`; `None` if it has none, or its time is over.
    async fn get(&self, space: Space, name: &[u8], now_millis: u64) -> Result<Option<Bytes>, StoreError>;
    /// Forgets these names. The next writer of one of them is its first writer again.
    async fn forget(&self, space: Space, names: &[Vec<u8>]) -> Result<(), StoreError>;
    /// Forgets the entries whose time is over, so that entries nobody reads again do not stay.
    async fn expire(&self, now_millis: u64) -> Result<(), StoreError>;
}

/// Checks the length of a name.
///
/// # Errors
/// [`StoreError::Exhausted`] for a name over [`NAME_BYTES_MAX`].
pub fn check_name(name: &[u8]) -> Result<(), StoreError> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(StoreError::Exhausted(format!(
        "a name of {} bytes is longer than the limit of {NAME_BYTES_MAX}",
        name.len()
    )))
}
