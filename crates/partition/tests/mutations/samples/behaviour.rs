//! Uses a partition of samples that was loaded from any image.

use hardneg_partition::hash::placement_hash;
use hardneg_partition::key::{ADVANCE_MAX_UNITS, FOLD_BELOW_UNITS, Key};
use hardneg_partition::{
    ApplyCounts, Change, Columns, Drawn, ImageError, Op, Partition, QuarantineTerms, Reply, RowFaults,
    ScoreUpdate, Sender, ServeMark, ServePenalty, Source, Terms,
};
use std::sync::Arc;

use crate::machine::Machine;
use crate::random::SplitMix;

impl Machine for Partition {
    fn load(image: &[u8]) -> Result<Self, ImageError> {
        Self::load(image)
    }

    fn save(&self) -> Vec<u8> {
        self.save()
    }

    fn exercise(&mut self, random: &mut SplitMix) {
        // A stage of so large a capacity has hundreds of megabytes, which takes long to touch.
        if self.spec().capacity > 1 << 20 && random.below(32) > 0 {
            read(self, random);
        } else {
            use_it(self, random);
        }
    }
}

/// A plausible value of the decay clock D: not far from the highest key.
fn clock(partition: &Partition) -> u64 {
    let census = partition.census();
    let set_aside = partition.quarantined_page(None, usize::MAX);
    let floor = partition.folded_units();
    let set_aside = set_aside.iter().filter_map(|record| record.key_units);
    let set_aside = set_aside.max_by_key(|units| units.wrapping_sub(floor.unwrap_or(0)) as i64);
    let stored = census.buckets.first().map(|bucket| match floor.or(set_aside) {
        Some(near) => near.wrapping_add_signed(bucket.high.since(Key::of_clock(near))),
        None => u64::from(bucket.high.0),
    });
    match (stored, set_aside) {
        (Some(stored), Some(units)) if (units.wrapping_sub(stored) as i64) < 0 => stored,
        (Some(stored), None) => stored,
        (_, Some(units)) => units,
        (None, None) => floor.map_or(1 << 42, |floor| floor.wrapping_add(FOLD_BELOW_UNITS)),
    }
}

/// Applies every kind of operation and does every read.
fn use_it(partition: &mut Partition, random: &mut SplitMix) {
    let mut decay_units = clock(partition);
    let known: Vec<u64> = partition.scan(None, 8).rows.iter().take(8).map(|row| row.id).collect();
    let members = (0..4).filter_map(|ordinal| partition.background_id(ordinal));
    let mut ids: Vec<u64> =
        known.iter().copied().chain(members).chain((0..6).map(|_| random.below(500))).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.sort_by_key(|id| placement_hash(*id ^ random.0));
    let mut position = partition.position();
    let mut apply = |partition: &mut Partition, change: Change| {
        position = position.wrapping_add(1);
        partition.apply(Op { position, change })
    };
    for round in 0..2 {
        let stamp = random.next() as u32;
        report(partition, &ids, decay_units, stamp, random, &mut apply);
        let lease_until = [None, Some(random.below(1 << 20)), Some(u64::MAX)][random.below(3) as usize];
        let source = random.choose(&[Source::Hard, Source::Background]);
        let drawn = |ids: &[u64]| Drawn::all(ids, source);
        apply(partition, Change::Serve { drawn: drawn(&ids), mark: mark(true, lease_until) });
        apply(partition, Change::Serve { drawn: drawn(&known), mark: mark(false, None) });
        read(partition, random);
        apply(partition, Change::Release { ids: ids[..ids.len() / 3].to_vec() });
        apply(partition, Change::Remove { ids: ids[ids.len() / 2..].to_vec() });
        suspects(partition, &ids, decay_units, random, &mut apply);
        apply(
            partition,
            Change::Expire { now_millis: random.below(1 << 21), oldest_stamp: horizon(stamp, random) },
        );
        decay_units = decay_units.wrapping_add(random.choose(&[0, 1 << 16, ADVANCE_MAX_UNITS]));
        if round == 0 || random.below(2) == 0 {
            let floor_units = decay_units.wrapping_sub(FOLD_BELOW_UNITS);
            apply(partition, Change::Fold { floor_units });
        }
    }
    read(partition, random);
}

fn mark(count: bool, lease_until: Option<u64>) -> ServeMark {
    ServeMark { count, max_serves: u16::MAX, lease_until }
}

/// Reports some ids, and now and then the same report again.
fn report(
    partition: &mut Partition,
    ids: &[u64],
    decay_units: u64,
    stamp: u32,
    random: &mut SplitMix,
    apply: &mut impl FnMut(&mut Partition, Change) -> Reply,
) {
    let rows = Arc::new(columns(ids, partition.spec(), decay_units, random));
    let range = 0..rows.ids.len();
    let update = random.choose(&[ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Ema { weight: 0.5 }]);
    let terms = Terms {
        decay_units,
        stamp,
        refuse_stale: random.below(2) == 0,
        model_version: stamp % 3,
        update,
        renew_after_rows: 1,
        quarantine: rule(random),
        faults: RowFaults::default(),
        oldest_stamp: horizon(stamp, random),
    };
    let sender = Some(sender(random));
    let report = Change::Report { rows, range, terms, sender };
    let counts = counts(&apply(partition, report.clone()), ids.len());
    assert!(counts.duplicate == 0 || counts.duplicate == ids.len() as u64);
    if partition.spec().workers > 0 && random.below(8) == 0 {
        resend(partition, report, ids.len());
    }
}

/// A horizon near a stamp, anywhere, or none.
fn horizon(stamp: u32, random: &mut SplitMix) -> Option<u32> {
    let near = stamp.wrapping_sub(random.below(9) as u32).wrapping_add(4);
    [Some(near), Some(near), Some(random.next() as u32), None][random.below(4) as usize]
}

/// A quarantine rule with half of the scores above its threshold, or none.
fn rule(random: &mut SplitMix) -> Option<QuarantineTerms> {
    let threshold = [None, Some(32.0), Some(32.0)][random.below(3) as usize];
    let reports = 1 + random.below(2) as u32;
    let terms = QuarantineTerms { threshold, reports, capacity: random.below(20), now_millis: random.next() };
    (random.below(4) > 0).then_some(terms)
}

/// Sets samples aside and releases them, blocks and unblocks ids, and sometimes clears the partition.
fn suspects(
    partition: &mut Partition,
    ids: &[u64],
    decay_units: u64,
    random: &mut SplitMix,
    apply: &mut impl FnMut(&mut Partition, Change) -> Reply,
) {
    let held: Vec<u64> = partition.quarantined_page(None, 5).iter().map(|record| record.id).collect();
    assert!(held.is_sorted() && held.iter().all(|id| partition.row(*id).is_none()));
    let some = |random: &mut SplitMix| ids[..random.below(ids.len() as u64 + 1) as usize].to_vec();
    let (capacity, now_millis) = (random.below(40), random.next());
    apply(partition, Change::SetAside { ids: some(random), capacity, decay_units, now_millis });
    let released = if random.below(2) == 0 { held } else { some(random) };
    apply(partition, Change::ReleaseQuarantined { ids: released, trust: random.below(2) == 0 });
    let blocked = partition.blocked_page(None, 3);
    assert!(blocked.iter().all(|(id, _)| partition.row(*id).is_none() && partition.is_blocked(*id)));
    apply(
        partition,
        Change::Block { ids: some(random)[..].iter().take(2).copied().collect(), names: vec![] },
    );
    apply(partition, Change::Unblock { ids: blocked.into_iter().map(|(id, _)| id).collect() });
    if random.below(8) == 0 {
        apply(partition, Change::Clear);
        let stats = partition.stats();
        assert_eq!((stats.hard, stats.background, stats.leased, stats.quarantined), (0, 0, 0, 0));
    }
}

/// A sender that the images of the corpus remember, or another.
fn sender(random: &mut SplitMix) -> Sender {
    let worker = random.choose(&[1, 2, 3, 1 << 64, 1 << 63]);
    let sequence = match random.below(4) {
        0 | 1 => random.below(8),
        2 => 990 + random.below(50),
        _ => u64::MAX - random.below(2000),
    };
    Sender { worker, epoch: random.below(2), sequence }
}

/// The counts of a report of `rows` rows, which sum to them.
fn counts(reply: &Reply, rows: usize) -> ApplyCounts {
    let Reply::Reported(counts) = reply else { panic!("{reply:?}") };
    let ApplyCounts { inserted, updated, background_only, dropped, coalesced, stale, .. } = counts;
    let ApplyCounts { duplicate, quarantined, blocked, .. } = counts;
    let applied = inserted + updated + background_only + dropped + coalesced;
    let all = applied + stale + duplicate + quarantined + blocked;
    assert_eq!(all, rows as u64, "{counts:?}");
    *counts
}

/// Sends the last report again at the same position, and checks that nothing changes.
fn resend(partition: &mut Partition, report: Change, rows: usize) {
    let Change::Report { sender: Some(Sender { sequence: 1.., .. }), .. } = report else {
        return;
    };
    let image = partition.save();
    let reply = partition.apply(Op { position: partition.position(), change: report });
    assert_eq!(counts(&reply, rows).duplicate, rows as u64);
    assert_eq!(partition.save(), image, "a resend changed something");
}

fn columns(
    ids: &[u64],
    spec: &hardneg_partition::PartitionSpec,
    decay_units: u64,
    random: &mut SplitMix,
) -> Columns {
    let scores = ids.iter().map(|_| random.below(1 << 16) as f32 / 1024.0).collect();
    let mut columns = Columns::plain(ids.to_vec(), scores, &spec.hardness, decay_units);
    if spec.named {
        columns.names = ids.iter().map(|id| format!("{id}").into()).collect();
    }
    if random.below(3) == 0 {
        columns.payloads = ids.iter().map(|id| vec![7; (*id % 3) as usize].into()).collect();
    }
    if random.below(3) == 0 {
        columns.strata = ids.iter().map(|id| (*id % 5) as u32).collect();
        columns.groups = ids.iter().map(|id| *id % 7).collect();
    }
    columns
}

fn read(partition: &Partition, random: &mut SplitMix) {
    let census = partition.census();
    assert!(census.buckets.len() <= 1500);
    let counted: u64 = census.buckets.iter().map(|b| u64::from(b.count) + u64::from(b.resting)).sum();
    assert_eq!(counted, census.hard);
    assert!(census.hard <= partition.spec().capacity as u64);
    for bucket in census.buckets.iter().take(8) {
        let members = bucket.count + bucket.resting;
        for ordinal in [0, random.below(u64::from(members)) as u32, members - 1] {
            let row = partition.hard_at(bucket.handle, ordinal).expect("a member");
            let key = row.hard_key.expect("the key of a hard row");
            assert!(key.since(bucket.low) >= 0 && key.since(bucket.high) <= 0);
            assert_eq!(row.leased, ordinal >= bucket.count);
            assert_eq!(partition.row(row.id), Some(row));
        }
        assert_eq!(partition.hard_at(bucket.handle, members), None);
    }
    let penalty = ServePenalty { units_per_serve: 100, units_max: 1 << 19 };
    let top = partition.top(10, penalty, usize::MAX, None);
    assert!(top.windows(2).all(|pair| pair[0].0.compare(&pair[1].0).is_ge()));
    let first = partition.scan(None, 5);
    if let Some(below) = first.below {
        let _ = partition.scan(Some(below), 5);
    }
    if let (Some(high), Some(low)) = (census.buckets.first(), census.buckets.last()) {
        let spans = partition.spans(Key(low.low.0), high.high);
        let members: u64 = spans.iter().map(|span| u64::from(span.members)).sum();
        assert_eq!(members, census.hard);
        if let Some(span) = spans.get(spans.len() / 2) {
            assert!(partition.places(span.low, span.high).len() >= span.members as usize);
        }
    }
    for stratum in partition.strata(usize::MAX) {
        if stratum.stratum != 0 {
            assert_eq!(partition.of_stratum(stratum.stratum).len() as u64, stratum.hard);
        }
    }
    assert!(census.background.resting_outside_members <= census.background.resting_outside);
    for ordinal in [0, census.background.members / 2] {
        if let Some(id) = partition.background_id(ordinal) {
            let _ = (partition.row(id), partition.lease_end(id), partition.first_lease_end());
        }
    }
    let stats = partition.stats();
    assert_eq!(stats.hard, census.hard);
}
