//! The counters of the contract's messages, by name: one list of each for text and JSON.

use crate::client::pb;

/// The counts of reported rows. Naming every field here makes the compiler find one that is left out.
pub(in crate::cli) fn counts(counts: &pb::ReportCounts) -> [(&'static str, u64); 13] {
    macro_rules! by_name {
        ($($name:ident),*) => {{
            let pb::ReportCounts { $($name),* } = *counts;
            [$((stringify!($name), $name)),*]
        }};
    }
    by_name!(
        inserted,
        updated,
        background_only,
        dropped,
        non_finite,
        coalesced,
        duplicate,
        stale,
        out_of_range,
        anchor_limit,
        not_negative,
        quarantined,
        blocked
    )
}

/// The counts of what an anchored pool stores, and of what it refused.
pub(in crate::cli) fn anchored_counters(stats: &pb::AnchoredStats) -> [(&'static str, u64); 6] {
    [
        ("anchors", stats.anchors),
        ("negatives", stats.negatives),
        ("positives", stats.positives),
        ("vetoes", stats.vetoes),
        ("anchors_refused", stats.anchors_refused),
        ("pairs_refused", stats.pairs_refused),
    ]
}

/// The plain counters of a pool's figures.
pub(in crate::cli) fn stats_counters(stats: &pb::PoolStats) -> [(&'static str, u64); 28] {
    [
        ("reported_rows", stats.reported_rows),
        ("reported_batches", stats.reported_batches),
        ("rejected_batches", stats.rejected_batches),
        ("duplicate_batches", stats.duplicate_batches),
        ("evicted", stats.evicted),
        ("removed", stats.removed),
        ("expired", stats.expired),
        ("clamped", stats.clamped),
        ("floored", stats.floored),
        ("in_quarantine", stats.quarantined),
        ("quarantine_overflows", stats.quarantine_overflows),
        ("blocked_samples", stats.blocked),
        ("trusted_samples", stats.trusted),
        ("set_aside", stats.set_aside),
        ("released", stats.released),
        ("mined_batches", stats.mined_batches),
        ("served_hard", stats.served_hard),
        ("served_background", stats.served_background),
        ("shortfalls", stats.shortfalls),
        ("proposals", stats.proposals),
        ("background_generations", stats.background_generations),
        ("distinct_by_witness", stats.distinct_by_witness),
        ("leased", stats.leased),
        ("worn", stats.worn),
        ("rounds", stats.rounds),
        ("round_replays", stats.round_replays),
        ("control_batches", stats.control_batches),
        ("memory_bytes", stats.memory_bytes),
    ]
}
