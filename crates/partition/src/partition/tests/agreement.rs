//! Compares a partition with the reference model.

use std::collections::{BTreeMap, BTreeSet};

use crate::key::Key;
use crate::op::{ServeMark, WORN_UNTIL};
use crate::partition::naive::{Entry, Naive};
use crate::partition::{Partition, ServePenalty};
use crate::quarantine::{Quarantined, key_at};

/// Checks that both have the same records, streaks, and trusted and blocked ids.
fn agree_on_suspects(real: &Partition, naive: &Naive) {
    let suspects = &naive.suspects;
    let records = real.quarantined_page(None, usize::MAX);
    assert_eq!(records.len(), suspects.held.len());
    for (record, (id, held)) in records.into_iter().zip(&suspects.held) {
        let Quarantined { raw_score, score, stamp, model_version, stratum, group, threshold, .. } = *record;
        assert_eq!((record.id, threshold, record.reports), (*id, held.threshold, held.reports));
        let numbers = (record.set_aside_millis, raw_score.to_bits(), record.serves);
        assert_eq!(numbers, (held.millis, held.raw_score.to_bits(), held.serves));
        let key =
            held.key.filter(|(key, _)| real.folded_units.is_none_or(|f| key.since(Key::of_clock(f)) >= 0));
        if let Some((key, _)) =
            key.filter(|(_, at)| real.folded_units.is_none_or(|f| at.abs_diff(f) < 1 << 30))
        {
            assert_eq!(record.key_units.map(|units| key_at(units, real.folded_units)), Some(key));
        }
        assert_eq!(record.key_units.is_some(), held.key.is_some());
        let entry = Entry {
            score,
            stamp,
            version: model_version,
            serves: held.entry.as_ref().map_or(0, |entry| entry.serves),
            stratum,
            group,
            name: record.name.as_ref().map(ToString::to_string),
            payload: record.payload.as_ref().map(|p| p.to_vec()),
        };
        assert_eq!(held.entry.as_ref(), (!score.is_nan()).then_some(&entry), "record of {id}");
    }
    let streaks = real.quarantine.streaks.iter().map(|(id, s)| (id, s.reports, s.stamp, s.was_refused));
    assert_eq!(streaks.collect::<Vec<_>>(), suspects.streaks);
    assert_eq!(real.quarantine.trusted_ids(), suspects.trusted.iter().copied().collect::<Vec<_>>());
    let blocked = real.blocked_page(None, usize::MAX).into_iter();
    let blocked = blocked.map(|(id, name)| (id, name.map(|name| name.to_string())));
    assert_eq!(blocked.collect::<std::collections::BTreeMap<_, _>>(), suspects.blocked);
    assert_eq!(real.quarantine.overflows, suspects.overflows);
}

/// Checks that both store the same of every id, in the same order.
pub(super) fn agree(real: &Partition, naive: &Naive) {
    let order: Vec<u64> = naive.order().into_iter().filter(|id| !naive.leases.contains_key(id)).collect();
    let top = real.top(order.len() + 1, ServePenalty::default(), usize::MAX, None);
    assert_eq!(top.iter().map(|(_, row)| row.id).collect::<Vec<_>>(), order);
    if let Some((floor, _)) = top.get(order.len() / 2) {
        let above = real.top(order.len() + 1, ServePenalty::default(), usize::MAX, Some(*floor));
        let with_its_key = top.iter().filter(|(place, _)| place.key.since(floor.key) >= 0);
        assert!(above.iter().eq(with_its_key), "what is below a floor is left out, and nothing else");
    }
    assert_eq!(real.hard_len(), naive.hard.len() as u64);
    let all = real.scan(None, usize::MAX).rows;
    assert_eq!(all.iter().map(|row| row.id).collect::<BTreeSet<_>>(), naive.hard.keys().copied().collect());
    for id in 0..200 {
        let row = real.row(id);
        let is_unreported = |row: &crate::row::Row| row.score.is_nan();
        let stored = row.filter(|row| !is_unreported(row)).map(|row| {
            let look = ServeMark { count: false, max_serves: u16::MAX, lease_until: None };
            let served = real.look(id, look).expect("stored");
            Entry {
                score: row.score,
                stamp: row.stamp.expect("stored"),
                version: row.model_version,
                serves: row.serves,
                stratum: row.stratum,
                group: row.group,
                name: served.name.map(|n| n.to_string()),
                payload: served.payload.map(|p| p.to_vec()),
            }
        });
        assert_eq!(stored.as_ref(), naive.entry(id), "id {id}");
        let rest = naive.leases.get(&id).copied();
        assert_eq!(real.lease_end(id), rest.filter(|end| *end != WORN_UNTIL), "lease of {id}");
        assert!(row.is_none_or(|row| row.leased == rest.is_some()), "rest of {id}");
        if let Some(hard) = naive.hard.get(&id) {
            assert_eq!(row.and_then(|row| row.hard_key), Some(hard.0));
        }
        assert_eq!(row.and_then(|row| row.own_key), naive.own_key(id), "own key of {id}");
    }
    naive.senders.agree(&real.dedupe);
    assert_eq!(*real.totals(), naive.totals);
    agree_on_suspects(real, naive);
    let census = real.census();
    assert_eq!(census.leased, naive.leases.len() as u64);
    let background = &real.background;
    match background {
        None => assert_eq!(census.background.removed, naive.removed.len() as u64),
        Some(background) => {
            let members: BTreeSet<u64> =
                (0..census.background.members).map(|ordinal| real.background_id(ordinal).unwrap()).collect();
            assert_eq!(members, naive.serving.members.keys().copied().collect());
            assert_eq!(census.background.threshold, naive.serving.threshold);
            assert_eq!(background.generations, naive.generations);
            let in_hard = || members.iter().filter(|id| naive.hard.contains_key(id));
            assert_eq!(census.background.in_hard, in_hard().count() as u64);
            let own = in_hard().filter(|id| naive.own_key(**id).is_some()).count();
            assert_eq!(census.background.own, own as u64);
            let filling = background.filling.iter().zip(&naive.filling);
            for (real, naive) in std::iter::once((&background.serving, &naive.serving)).chain(filling) {
                let own = real.members().map(|member| (member.id, (member.own_key, member.owes_serve)));
                assert_eq!(own.collect::<BTreeMap<_, _>>(), naive.own);
            }
            let leased = members.iter().filter(|id| naive.leases.contains_key(id)).count();
            // Members that joined while they rested are not counted; there are none, for a report ends a lease.
            assert!(census.background.leased <= leased as u64);
        }
    }
}
