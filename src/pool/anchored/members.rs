//! The background as the draws of many anchors share it: members by their number, read once, when a draw first needs them.

use hashbrown::HashMap;

use crate::pool::error::PoolError;
use crate::pool::sampler::background::Background;
use crate::store::Store;

/// Members read in one call.
const PIECE: usize = 16_384;
/// Members remembered from one piece of the anchors to the next, at most: of a dense space there may be any number.
const READ_MAX: usize = 1 << 20;

/// A member of the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: u64,
    /// 0: none known.
    pub(super) group: u64,
}

/// Members that have been read.
pub(super) struct Members<'a> {
    store: &'a dyn Store,
    pub(super) background: &'a Background<'a>,
    /// Partitions with the number of their first member.
    lanes: Vec<(u16, u64)>,
    /// Numbers there are; of a dense id space removed ids included, which are then found to be gone.
    pub(super) total: u64,
    /// `None`: gone.
    read: HashMap<u64, Option<Member>>,
    /// Another background has taken the place of the one that was counted.
    pub(super) overtaken: bool,
}

impl<'a> Members<'a> {
    pub(super) fn new(store: &'a dyn Store, background: &'a Background<'a>) -> Self {
        let mut total = 0;
        let lanes: Vec<(u16, u64)> = background
            .lanes()
            .into_iter()
            .map(|(partition, count)| {
                let first = total;
                total += count;
                (partition, first)
            })
            .collect();
        // A dense space of which all is removed has numbers, but nobody.
        let total = if background.size > 0.0 { total } else { 0 };
        Self { store, background, lanes, total, read: HashMap::new(), overtaken: false }
    }

    /// The member of this number: `None` before it is read, `Some(None)` when it is gone.
    pub(super) fn get(&self, number: u64) -> Option<Option<Member>> {
        self.read.get(&number).copied()
    }

    /// Forgets what it has read, when that is much. Between draws: to one of them a member is one for good.
    pub(super) fn forget_many(&mut self) {
        if self.read.len() > READ_MAX {
            self.read = HashMap::new();
        }
    }

    /// Reads members that have not been read.
    pub(super) async fn read(&mut self, mut numbers: Vec<u64>) -> Result<(), PoolError> {
        numbers.retain(|number| !self.read.contains_key(number));
        numbers.sort_unstable();
        numbers.dedup();
        for numbers in numbers.chunks(PIECE) {
            let addresses: Vec<_> = numbers
                .iter()
                .map(|number| {
                    let lane = self.lanes.partition_point(|(_, first)| first <= number) - 1;
                    let (partition, first) = self.lanes[lane];
                    Background::address(partition, number - first)
                })
                .collect();
            let rows = self.store.fetch(&addresses).await?;
            for (number, row) in numbers.iter().zip(rows) {
                // What is not in the background that was counted came with another one.
                let counted = row.filter(|row| self.background.contains(row.id));
                self.overtaken |= counted.is_none() && row.is_some();
                let member = counted.map(|row| Member { id: row.id, group: row.group });
                self.read.insert(*number, member);
            }
        }
        Ok(())
    }
}
