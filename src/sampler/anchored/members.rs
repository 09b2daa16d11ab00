//! The members of the background, shared by the draws of many anchors: by number, each read once, when a draw first needs it.

use hashbrown::{HashMap, HashSet};

use crate::model::error::PoolError;
use crate::sampler::flat::background::{self, Background};
use crate::store::Store;

/// Maximum number of members read in one call.
const PIECE: usize = 16_384;
/// Maximum number of members remembered from one chunk of anchors to the next. The limit matters for dense id spaces, which may have any
/// number.
const READ_MAX: usize = 1 << 20;

/// A member of the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: u64,
    /// The group of near-duplicates; 0: none, or not known.
    pub(crate) group: u64,
    /// The label; 0: none. The store of samples keeps labels as strata.
    pub(crate) label: u32,
}

/// The members that have been read, with what is needed to read others.
pub(crate) struct Members<'a> {
    store: &'a dyn Store,
    pub(crate) background: &'a Background<'a>,
    /// The partitions, each with the number of its first member.
    lanes: Vec<(u16, u64)>,
    /// How many numbers there are. In a dense id space removed ids have numbers too; reading them finds that they are gone.
    pub(crate) total: u64,
    /// The members by number; `None`: the member is gone.
    read: HashMap<u64, Option<Member>>,
    /// The ids that have been read.
    seen: HashSet<u64>,
    /// Numbers of rows that were read and are in the background that the census counted (`met`), and that are not (`non_members`).
    met: usize,
    non_members: usize,
}

impl<'a> Members<'a> {
    pub(crate) fn new(store: &'a dyn Store, background: &'a Background<'a>) -> Self {
        let mut total = 0;
        let lanes: Vec<(u16, u64)> = background
            .lanes()
            .into_iter()
            .map(|lane| {
                let first = total;
                total += lane.members;
                (lane.partition, first)
            })
            .collect();
        // A dense id space whose ids are all removed has numbers, but no members.
        let total = if background.size > 0.0 { total } else { 0 };
        Self {
            store,
            background,
            lanes,
            total,
            read: HashMap::new(),
            seen: HashSet::new(),
            met: 0,
            non_members: 0,
        }
    }

    /// Whether another background has replaced the one that the census counted.
    pub(crate) fn is_overtaken(&self) -> bool {
        background::is_overtaken(self.non_members, self.met)
    }

    /// The member of this number: `None` before it is read, `Some(None)` when it is gone.
    pub(crate) fn get(&self, number: u64) -> Option<Option<Member>> {
        self.read.get(&number).copied()
    }

    /// Forgets all members if more than [`READ_MAX`] were read. It must not be called during a draw, in which a number stands for one
    /// member.
    pub(crate) fn forget_many(&mut self) {
        if self.read.len() > READ_MAX {
            self.read = HashMap::new();
            self.seen = HashSet::new();
        }
    }

    /// Reads those of the members that have not been read yet.
    pub(crate) async fn read(&mut self, mut numbers: Vec<u64>) -> Result<(), PoolError> {
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
                // A row that is not in the background that the census counted came with another one.
                let counted = row.filter(|row| self.background.contains(row.id));
                self.met += usize::from(counted.is_some());
                self.non_members += usize::from(counted.is_none() && row.is_some());
                // Numbers move when a member leaves. A member that is read under two numbers counts under the first only, or it could come
                // twice to an anchor.
                let member = counted.filter(|row| self.seen.insert(row.id)).map(|row| Member {
                    id: row.id,
                    group: row.group,
                    label: row.stratum,
                });
                self.read.insert(*number, member);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake::{FakeStore, Handle};
    use crate::store::hash::background_hash;
    use crate::store::key::Hardness;
    use crate::store::naive::NaiveStore;
    use crate::store::{BackgroundCount, BackgroundSpec, Census, PartitionBackground, Row, StoreSpec};
    use std::sync::Arc;

    /// A store whose member of number i has the id `id(i)`.
    fn store(id: impl Fn(u64) -> u64 + Send + 'static) -> FakeStore {
        let spec = StoreSpec {
            capacity: 1,
            partitions: 1,
            background: BackgroundSpec::Sampled { size: 1 },
            hardness: Hardness::default(),
            named: false,
            salt_seed: 1,
            workers: 64,
        };
        let handle = Handle::default();
        *handle.change.lock() = Some(Box::new(move |addresses, rows| {
            for (address, row) in addresses.iter().zip(rows) {
                if let crate::store::Address::Background { ordinal, .. } = address {
                    *row = Some(Row::unreported(id(*ordinal)));
                }
            }
        }));
        FakeStore { inner: Arc::new(NaiveStore::new(spec)), handle: Arc::new(handle) }
    }

    const SALT: u64 = 1;

    fn census(threshold: Option<u64>) -> Census {
        let partition = PartitionBackground { salt: SALT, threshold, members: 100, ..Default::default() };
        Census {
            buckets: Vec::new(),
            hard: 0,
            leased: 0,
            background: BackgroundCount::Sampled(vec![partition]),
            floor: None,
        }
    }

    /// A member leaves between two reads, and the last member gets its number, although it was read under its old number before.
    #[tokio::test]
    async fn a_member_that_is_read_under_two_numbers_counts_once() {
        let store = store(|number| if number == 7 { 99 } else { number });
        let census = census(None);
        let background = Background::of(&census);
        let mut members = Members::new(&store, &background);
        members.read(vec![98, 99]).await.unwrap();
        members.read(vec![6, 7]).await.unwrap();
        let ids = [98, 99, 6, 7].map(|number| members.get(number).unwrap().map(|member| member.id));
        assert_eq!(ids, [Some(98), Some(99), Some(6), None]);
    }

    #[tokio::test]
    async fn a_few_non_members_do_not_mean_another_background() {
        let threshold = 1 << 63;
        let (inside, outside): (Vec<u64>, Vec<u64>) =
            (0..400).partition(|id| background_hash(*id, SALT) < threshold);
        let store = store(move |number| {
            let number = number as usize;
            if (20..60).contains(&number) { inside[number] } else { outside[number] }
        });
        let census = census(Some(threshold));
        let background = Background::of(&census);
        let mut members = Members::new(&store, &background);
        members.read((0..3).collect()).await.unwrap();
        assert!(!members.is_overtaken(), "3 non-members may be chance");
        members.read((20..60).collect()).await.unwrap();
        members.read((3..20).collect()).await.unwrap();
        assert!(!members.is_overtaken(), "20 non-members, 40 members");
        assert_eq!(members.get(5), Some(None));
        members.read((60..90).collect()).await.unwrap();
        assert!(members.is_overtaken(), "50 non-members, 40 members");
    }
}
