//! Reads that combine the answers of all partitions.

use hardneg_partition::Partition;

use super::cells::concerned;
use super::queue::each_of_yielding;
use super::{LocalStore, each_of};
use crate::store::place::Standing;
use crate::store::select::{bounds_of, range_of, touches};
use crate::store::{
    Address, BackgroundCount, BackgroundSpec, BucketCount, Census, Cursor, Drawn, Headed, LoopRatio,
    PartitionBackground, Place, Row, ScanPage, Sender, ServeMark, ServePenalty, Served, StoreStats,
    StratumCount, Totals,
};

impl LocalStore {
    pub(super) fn count(&self) -> Census {
        let mut of_partitions = vec![hardneg_partition::row::Census::default(); self.cells.len()];
        each_of(&self.cells, 0..self.cells.len(), |number, partition| {
            of_partitions[number] = partition.census();
        });
        // The buckets are in order of the partitions, whichever was free first, so that the same seed draws the same batch.
        let mut buckets = Vec::with_capacity(of_partitions.iter().map(|census| census.buckets.len()).sum());
        for (number, census) in of_partitions.iter().enumerate() {
            buckets.extend(census.buckets.iter().map(|bucket| BucketCount {
                partition: number as u16,
                bucket: bucket.handle,
                low: bucket.low,
                high: bucket.high,
                count: bucket.count,
                resting: bucket.resting,
                offsets: bucket.offsets,
            }));
        }
        let background = match self.spec.background {
            BackgroundSpec::Dense { ids } => BackgroundCount::Dense {
                ids,
                removed: of_partitions.iter().map(|census| census.background.removed).sum(),
            },
            BackgroundSpec::Sampled { .. } => {
                BackgroundCount::Sampled(of_partitions.iter().map(partition_background).collect())
            }
        };
        Census {
            buckets,
            hard: of_partitions.iter().map(|census| census.hard).sum(),
            leased: of_partitions.iter().map(|census| census.leased).sum(),
            background,
            // That of the last operation which ended, as all other calls say it.
            floor: self.views.level().floor,
        }
    }

    pub(super) fn rows_at(&self, addresses: &[Address]) -> Vec<Option<Row>> {
        let mut rows = vec![None; addresses.len()];
        let dense = matches!(self.spec.background, BackgroundSpec::Dense { .. });
        let groups = self.cells.by_partition(addresses, |address| match *address {
            Address::Hard { partition, .. } => partition.into(),
            Address::Background { ordinal, .. } if dense => self.partition_of(ordinal),
            Address::Background { partition, .. } => partition.into(),
        });
        each_of(&self.cells, concerned(&groups), |number, partition| {
            let group = &groups[number];
            for &i in group {
                if let Address::Hard { bucket, ordinal, .. } = addresses[i] {
                    partition.prefetch_member(bucket, ordinal);
                }
            }
            for &i in group {
                match addresses[i] {
                    Address::Hard { bucket, ordinal, .. } => partition.prefetch_hard(bucket, ordinal),
                    Address::Background { ordinal, .. } => {
                        if let Some(id) = partition.background_id(ordinal) {
                            partition.prefetch(id);
                        }
                    }
                }
            }
            for &i in group {
                rows[i] = match addresses[i] {
                    Address::Hard { bucket, ordinal, .. } => partition.hard_at(bucket, ordinal),
                    Address::Background { ordinal, .. } => partition.background_at(ordinal),
                };
            }
        });
        rows
    }

    pub(super) fn rows_of(&self, ids: &[u64]) -> Vec<Option<Row>> {
        let mut rows = vec![None; ids.len()];
        let groups = self.cells.by_partition(ids, |id| self.partition_of(*id));
        each_of(&self.cells, concerned(&groups), |number, partition| {
            groups[number].iter().for_each(|&i| partition.prefetch(ids[i]));
            for &i in &groups[number] {
                rows[i] = partition.row(ids[i]);
            }
        });
        rows
    }

    pub(super) fn look(&self, drawn: &[Drawn], mark: ServeMark) -> Vec<Option<Served>> {
        let mut served = vec![None; drawn.len()];
        let groups = self.cells.by_partition(drawn, |drawn| self.partition_of(drawn.id));
        each_of(&self.cells, concerned(&groups), |number, partition| {
            groups[number].iter().for_each(|&i| partition.prefetch(drawn[i].id));
            for &i in &groups[number] {
                served[i] = partition.look(drawn[i].id, mark);
            }
        });
        served
    }

    pub(super) fn is_applied(&self, sender: &Sender) -> bool {
        let mut is_applied = false;
        each_of(&self.cells, 0..self.cells.len(), |_, partition| {
            is_applied |= partition.has_applied(sender);
        });
        is_applied
    }

    pub(super) fn lease_ends(&self, ids: &[u64]) -> Vec<Option<u64>> {
        let mut ends = vec![None; ids.len()];
        let groups = self.cells.by_partition(ids, |id| self.partition_of(*id));
        each_of(&self.cells, concerned(&groups), |number, partition| {
            groups[number].iter().for_each(|&i| ends[i] = partition.lease_end(ids[i]));
        });
        ends
    }

    pub(super) fn hardest(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Vec<Row> {
        if n == 0 {
            return Vec::new();
        }
        let mut best: Vec<(Place, Row)> = Vec::new();
        let share = scan_limit.div_ceil(self.cells.len());
        let harder = |a: &(Place, Row), b: &(Place, Row)| b.0.compare(&a.0);
        each_of(&self.cells, 0..self.cells.len(), |_, partition| {
            // Samples below the n-th of the partitions read so far are not needed.
            let floor = best.get(n - 1).map(|row| row.0);
            best.extend(partition.top(n, penalty, share, floor));
            if best.len() >= n {
                best.select_nth_unstable_by(n - 1, harder);
                best.truncate(n);
            }
        });
        best.sort_unstable_by(harder);
        best.into_iter().map(|(_, row)| row).collect()
    }

    pub(super) fn hardest_first(&self, n: usize) -> Vec<Headed> {
        let mut of_partitions = vec![hardneg_partition::row::Head::default(); self.cells.len()];
        let share = n.div_ceil(self.cells.len());
        each_of(&self.cells, 0..self.cells.len(), |number, partition| {
            of_partitions[number] = partition.head(share);
        });
        // What no partition has more samples of.
        let harder = |a: Standing, b: Standing| if a.compare(&b).is_ge() { a } else { b };
        let below = of_partitions.iter().filter_map(|head| Some(head.below?.standing())).reduce(harder);
        let Some(top) =
            of_partitions.iter().flat_map(|head| &head.samples).map(|s| s.standing).reduce(harder)
        else {
            return Vec::new();
        };
        // Sorted as numbers: how far the key is below the top, then the score, then the order in which the samples were read.
        let mut samples = Vec::with_capacity(of_partitions.iter().map(|head| head.samples.len()).sum());
        let mut order: Vec<(u64, u32)> = Vec::with_capacity(samples.capacity());
        for (number, head) in of_partitions.iter().enumerate() {
            let kept = |s: &&hardneg_partition::row::Headed| {
                below.is_none_or(|below| s.standing.compare(&below).is_gt())
            };
            for sample in head.samples.iter().filter(kept) {
                let down = top.key.since(sample.standing.key) as u64;
                order.push((down << 32 | u64::from(!sample.standing.score), samples.len() as u32));
                let (partition, bucket, ordinal) = (number as u16, sample.handle, sample.ordinal);
                let address = (!sample.rests).then_some(Address::Hard { partition, bucket, ordinal });
                samples.push(Headed { standing: sample.standing, address });
            }
        }
        if order.len() > n {
            // What the partitions read beyond `n` need not be sorted. Of ties at the end none is taken.
            let (_, (end, _), _) = order.select_nth_unstable(n);
            let end = *end;
            order.truncate(n);
            order.retain(|(standing, _)| *standing < end);
        }
        order.sort_unstable();
        order.into_iter().map(|(_, at)| samples[at as usize]).collect()
    }

    /// The place of the sample at a rank, found from the buckets of a census.
    pub(super) fn at_rank(&self, buckets: &[BucketCount], rank: u64) -> Option<Place> {
        let (range, mut above) = range_of(buckets, rank)?;
        let mut spans = Vec::new();
        each_of(&self.cells, 0..self.cells.len(), |_, partition| {
            spans.extend(partition.spans(range.low, range.high));
        });
        let bounds = bounds_of(&spans, rank - above)?;
        let (low, high) = bounds;
        let is_above = |span: &&crate::store::Span| !touches(span, bounds) && span.low.compare(&high).is_gt();
        above += spans.iter().filter(is_above).map(|span| u64::from(span.members)).sum::<u64>();
        let mut places = Vec::new();
        each_of(&self.cells, 0..self.cells.len(), |_, partition| {
            places.extend(partition.places(low, high));
        });
        // Operations since the census may have moved the ranks a little.
        let index = usize::try_from(rank.checked_sub(above)?).ok().filter(|index| *index < places.len())?;
        let (_, place, _) = places.select_nth_unstable_by(index, |a, b| b.compare(a));
        Some(*place)
    }

    pub(super) fn page(&self, cursor: Cursor, limit: usize) -> ScanPage {
        let number = usize::from(cursor.partition);
        let Some(cell) = self.cells.get(number) else {
            return ScanPage::default();
        };
        let page = cell.state.lock().scan(cursor.below, limit);
        let next = match page.below {
            Some(below) => Some(Cursor { below: Some(below), ..cursor }),
            None => (number + 1 < self.cells.len())
                .then_some(Cursor { partition: cursor.partition + 1, below: None }),
        };
        ScanPage { rows: page.rows, next }
    }

    pub(super) async fn count_strata(&self, most: usize) -> Vec<StratumCount> {
        let mut strata: Vec<StratumCount> = Vec::new();
        let count = |_, partition: &Partition| {
            let counts = partition.strata(most);
            strata = StratumCount::merged(std::mem::take(&mut strata), counts, most);
            strata.len()
        };
        each_of_yielding(&self.cells, count).await;
        strata
    }

    pub(super) async fn rows_of_strata(&self, strata: &[u32]) -> Vec<Row> {
        let mut of_partitions = vec![Vec::new(); self.cells.len()];
        let read = |number: usize, partition: &Partition| {
            let rows = strata.iter().flat_map(|stratum| partition.of_stratum(*stratum));
            of_partitions[number] = rows.collect::<Vec<Row>>();
            strata.len() + of_partitions[number].len()
        };
        each_of_yielding(&self.cells, read).await;
        // The rows are in order of the partitions, whichever was free first.
        of_partitions.concat()
    }

    pub(super) fn sum_totals(&self) -> Totals {
        let mut totals = Totals::default();
        each_of(&self.cells, 0..self.cells.len(), |_, partition| totals.add(partition.totals()));
        totals
    }

    pub(super) fn sizes(&self) -> StoreStats {
        let mut stats = StoreStats::default();
        let (mut removed, mut backgrounds) = (0, Vec::with_capacity(self.cells.len()));
        each_of(&self.cells, 0..self.cells.len(), |_, partition| {
            let of_partition = partition.stats();
            stats.hard += of_partition.hard;
            stats.background += of_partition.background;
            stats.leased += of_partition.leased;
            stats.worn += of_partition.worn;
            stats.memory_bytes += of_partition.memory_bytes.iter().sum::<usize>() as u64;
            stats.generations = stats.generations.max(of_partition.generations);
            stats.distinct_by_witness = stats.distinct_by_witness.saturating_add(of_partition.distinct.0);
            removed += of_partition.removed;
            stats.totals.add(partition.totals());
            let quarantine = &mut stats.quarantine;
            quarantine.set_aside += of_partition.quarantined;
            quarantine.overflows += of_partition.quarantine_overflows;
            quarantine.streaks += of_partition.streaks;
            quarantine.trusted += of_partition.trusted;
            quarantine.blocked += of_partition.blocked;
            backgrounds.push(PartitionBackground {
                threshold: of_partition.threshold,
                members: of_partition.background,
                hard: of_partition.hard,
                in_hard: of_partition.in_hard,
                own: of_partition.own,
                ..PartitionBackground::default()
            });
        });
        stats.distinct = backgrounds.iter().map(PartitionBackground::distinct).sum();
        stats.loop_ratio = LoopRatio::of(backgrounds.iter());
        if let BackgroundSpec::Dense { ids } = self.spec.background {
            stats.background = ids - removed;
            stats.distinct = stats.background as f64;
            stats.loop_ratio = LoopRatio::default();
        }
        stats.floor = self.views.level().floor;
        stats
    }
}

fn partition_background(census: &hardneg_partition::row::Census) -> PartitionBackground {
    let background = &census.background;
    PartitionBackground {
        salt: background.salt,
        threshold: background.threshold,
        members: background.members,
        resting_members: background.leased,
        hard: census.hard,
        leased: census.leased,
        resting_outside: background.resting_outside,
        resting_outside_members: background.resting_outside_members,
        in_hard: background.in_hard,
        own: background.own,
    }
}
