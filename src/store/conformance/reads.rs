//! Every way to read the samples of a pool, against each other.

use std::collections::{BTreeMap, HashSet};

use crate::store::hash::placement_hash;
use crate::store::layout::partition_of;
use crate::store::{
    Address, BackgroundCount, BucketCount, Census, Cursor, Offsets, PartitionBackground, Row, ServePenalty,
    Store, StoreStats, StratumCount,
};

/// The rows of all pages of a scan, by id.
pub(super) async fn scanned(store: &dyn Store, limit: usize) -> BTreeMap<u64, Row> {
    let (mut rows, mut cursor) = (BTreeMap::new(), Some(Cursor::default()));
    while let Some(at) = cursor {
        let page = store.scan(at, limit).await.unwrap();
        for row in page.rows {
            assert!(rows.insert(row.id, row).is_none(), "{} is on two pages", row.id);
        }
        cursor = page.next;
    }
    rows
}

/// Checks that every read of a store at rest tells of the same samples.
pub(super) async fn check_reads_agree(name: &str, store: &dyn Store, partitions: usize, may_evict: bool) {
    let reads = Reads {
        name,
        store,
        partitions,
        hard: scanned(store, 7).await,
        census: store.census().await.unwrap(),
        stats: store.stats().await.unwrap(),
    };
    reads.check_counts().await;
    reads.check_buckets().await;
    let members = reads.check_background().await;
    reads.check_by_id(&members, may_evict).await;
    reads.check_order().await;
    reads.check_strata(&members).await;
}

/// A store at rest, with what its larger reads returned.
struct Reads<'a> {
    name: &'a str,
    store: &'a dyn Store,
    partitions: usize,
    /// The samples of the hard store, as a scan returned them.
    hard: BTreeMap<u64, Row>,
    census: Census,
    stats: StoreStats,
}

impl Reads<'_> {
    fn partition(&self, id: u64) -> usize {
        partition_of(placement_hash(id), self.partitions)
    }

    /// The counts of census, level and stats.
    async fn check_counts(&self) {
        let (name, census, stats) = (self.name, &self.census, &self.stats);
        let level = self.store.level().await.unwrap();
        let hard = self.hard.len() as u64;
        assert_eq!((census.hard, level.hard, stats.hard), (hard, hard, hard), "{name}");
        let told = (level.floor, stats.floor, stats.leased + stats.worn);
        assert_eq!(told, (census.floor, census.floor, census.leased), "{name}");
        let background = &census.background;
        assert_eq!(
            (stats.background, stats.distinct),
            (background.members(), background.distinct()),
            "{name}"
        );
        assert_eq!(stats.loop_ratio, background.loop_ratio(), "{name}");
    }

    /// The buckets hold each sample of the hard store once.
    async fn check_buckets(&self) {
        let name = self.name;
        let mut seen = HashSet::new();
        for bucket in &self.census.buckets {
            for row in self.check_bucket(bucket).await {
                assert!(seen.insert(row.id), "{name}: {} stands twice", row.id);
            }
        }
        assert_eq!(seen.len(), self.hard.len(), "{name}");
    }

    /// The samples of one bucket, each of which belongs there.
    async fn check_bucket(&self, bucket: &BucketCount) -> Vec<Row> {
        let (name, partition) = (self.name, bucket.partition);
        let address = |ordinal| Address::Hard { partition, bucket: bucket.bucket, ordinal };
        let rows = self.rows_at((0..=bucket.members()).map(address)).await;
        let mut offsets = Offsets::default();
        let keys = rows.iter().filter(|row| !row.leased).filter_map(|row| row.hard_key);
        keys.for_each(|key| offsets.add(key.since(bucket.low) as u64));
        assert_eq!(bucket.offsets, offsets, "{name}");
        for (ordinal, row) in rows.iter().enumerate() {
            assert_eq!(Some(row), self.hard.get(&row.id), "{name}");
            assert_eq!(row.leased, ordinal as u32 >= bucket.count, "{name}: those that rest come last");
            assert_eq!(usize::from(partition), self.partition(row.id), "{name}");
            let key = row.hard_key.unwrap();
            assert!(key.since(bucket.low) >= 0 && key.since(bucket.high) <= 0, "{name}");
        }
        rows
    }

    /// What stands at some addresses, of which only the last is past the end.
    async fn rows_at(&self, addresses: impl Iterator<Item = Address>) -> Vec<Row> {
        let addresses: Vec<Address> = addresses.collect();
        let mut rows = self.store.fetch(&addresses).await.unwrap();
        assert_eq!(rows.pop(), Some(None), "{}: past the last member", self.name);
        rows.into_iter().map(|row| row.expect("a member")).collect()
    }

    /// The members of the background, each once.
    async fn check_background(&self) -> Vec<Row> {
        let name = self.name;
        let BackgroundCount::Sampled(partitions) = &self.census.background else { panic!("{name}: sampled") };
        assert_eq!(partitions.len(), self.partitions, "{name}");
        let mut members = Vec::new();
        for (partition, count) in partitions.iter().enumerate() {
            members.extend(self.check_background_of(partition, count).await);
        }
        let distinct: HashSet<u64> = members.iter().map(|row| row.id).collect();
        assert_eq!(distinct.len(), members.len(), "{name}: a member stands twice");
        assert_eq!(self.stats.background, members.len() as u64, "{name}");
        members
    }

    /// The members of the background in one partition, each of which belongs there.
    async fn check_background_of(&self, partition: usize, count: &PartitionBackground) -> Vec<Row> {
        let name = self.name;
        let address = |ordinal| Address::Background { partition: partition as u16, ordinal };
        let members = self.rows_at((0..=count.members).map(address)).await;
        let in_census =
            |row: &Row| self.census.background.contains(row.id) && self.partition(row.id) == partition;
        assert!(members.iter().all(in_census), "{name}");
        let counted = |is: fn(&Row) -> bool| members.iter().filter(|row| is(row)).count() as u64;
        assert_eq!(count.resting_members, counted(|row| row.leased), "{name}");
        assert_eq!(count.in_hard, counted(|row| row.hard_key.is_some()), "{name}");
        let hard = self.hard.keys().filter(|id| self.partition(**id) == partition).count();
        assert_eq!(count.hard, hard as u64, "{name}");
        members
    }

    /// Reads by id: the samples, their leases, and what is attached to them. None of these changes anything.
    async fn check_by_id(&self, members: &[Row], may_evict: bool) {
        let (name, store) = (self.name, self.store);
        let mut all: BTreeMap<u64, Row> = members.iter().map(|row| (row.id, *row)).collect();
        all.extend(&self.hard);
        let ids: Vec<u64> = all.keys().copied().chain([u64::MAX]).collect();
        let leases = store.leases(&ids).await.unwrap();
        let attachments = store.attachments(&ids).await.unwrap();
        let got = store.get(&ids).await.unwrap();
        let mut worn = 0;
        for (i, row) in all.values().enumerate() {
            assert_eq!(got[i].as_ref(), Some(row), "{name}");
            // A worn sample rests without a lease.
            assert!(row.leased || leases[i].is_none(), "{name}");
            worn += u64::from(row.leased && leases[i].is_none());
            assert_eq!(attachments[i].as_ref().unwrap().serves, row.serves, "{name}");
        }
        let unknown = all.len();
        let is_unknown =
            got[unknown].is_none() && leases[unknown].is_none() && attachments[unknown].is_none();
        assert!(is_unknown, "{name}");
        // A sample that was pushed out goes on to rest, in case it comes back.
        let resting = leases.iter().flatten().count() as u64 + worn;
        let leased = self.census.leased;
        assert!(leased == resting || may_evict && leased > resting, "{name}: {resting} of {leased}");
    }

    /// Reads by the order of the hard store.
    async fn check_order(&self) {
        let (name, store) = (self.name, self.store);
        let mut order: Vec<Row> = self.hard.values().copied().collect();
        order.sort_by(|a, b| b.place(false).unwrap().compare(&a.place(false).unwrap()));
        let ranks: Vec<u64> = (0..=order.len() as u64).collect();
        let places: Vec<_> = order.iter().map(|row| row.place(false)).chain([None]).collect();
        assert_eq!(store.at_ranks(&ranks).await.unwrap(), places, "{name}");
        for n in [1, 20, usize::MAX] {
            let head = store.head(n).await.unwrap();
            assert!(n < usize::MAX || head.len() == order.len(), "{name}");
            let rest = &order[head.len()..];
            for (headed, row) in head.iter().zip(&order) {
                assert_eq!(headed.standing, row.place(false).unwrap().standing(), "{name}");
            }
            assert!(rest.first().zip(head.last()).is_none_or(|(row, last)| {
                row.place(false).unwrap().standing().compare(&last.standing).is_lt()
            }));
            // Ties are in no order, so the samples are compared as sets.
            let addresses: Vec<Address> = head.iter().filter_map(|headed| headed.address).collect();
            let found = store.fetch(&addresses).await.unwrap();
            let mut found: Vec<u64> = found.iter().flatten().map(|row| row.id).collect();
            let mut awake: Vec<u64> =
                order[..head.len()].iter().filter(|row| !row.leased).map(|row| row.id).collect();
            found.sort_unstable();
            awake.sort_unstable();
            assert_eq!(found, awake, "{name}");
        }
        let awake: Vec<Row> = order.iter().filter(|row| !row.leased).copied().collect();
        let top = store.top(order.len(), ServePenalty::default(), 1 << 20).await.unwrap();
        assert_eq!(top, awake, "{name}");
        let penalty = ServePenalty { units_per_serve: 3 << 15, units_max: 4 << 16 };
        let place = |row: &Row| row.place(false).unwrap().moved(-penalty.units(row.serves));
        let mut moved = awake;
        moved.sort_by(|a, b| place(b).compare(&place(a)));
        moved.truncate(9);
        assert_eq!(store.top(9, penalty, 1 << 20).await.unwrap(), moved, "{name}: with the penalty");
    }

    /// Counts of strata, and reads by stratum.
    async fn check_strata(&self, members: &[Row]) {
        let (name, store) = (self.name, self.store);
        let mut strata: BTreeMap<u32, StratumCount> = BTreeMap::new();
        let none = |stratum| StratumCount { stratum, hard: 0, background: 0 };
        for row in self.hard.values() {
            strata.entry(row.stratum).or_insert(none(row.stratum)).hard += 1;
        }
        for row in members {
            strata.entry(row.stratum).or_insert(none(row.stratum)).background += 1;
        }
        let strata: Vec<StratumCount> = strata.into_values().collect();
        assert_eq!(store.strata(usize::MAX).await.unwrap(), strata, "{name}");
        for most in 0..strata.len() {
            assert_eq!(store.strata(most).await.unwrap(), strata[..=most], "{name}: {most} and one more");
        }
        let of_strata = store.of_strata(&[2, 3]).await.unwrap();
        let of_strata: BTreeMap<u64, Row> = of_strata.into_iter().map(|row| (row.id, row)).collect();
        let in_strata = |row: &&Row| [2, 3].contains(&row.stratum);
        let expected = self.hard.values().filter(in_strata).map(|row| (row.id, *row)).collect();
        assert_eq!(of_strata, expected, "{name}");
    }
}
