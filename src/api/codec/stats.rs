//! Encodes a pool's figures.

use super::anchored;
use super::report::encode_counts;
use crate::activity::stats::PoolStats;
use crate::model::batch::PoolSizes;
use crate::model::filter_counts::FilterCounts;
use crate::model::run::RunState;
use crate::proto::v1 as pb;

/// The figures of the pool `id` as a message.
pub(crate) fn encode(id: &str, uid: u64, stats: &PoolStats) -> pb::PoolStats {
    let counters = &stats.counters;
    let figures = pb::PoolStats {
        name: format!("pools/{id}"),
        uid,
        sizes: Some(encode_sizes(&stats.sizes)),
        reported_rows: counters.reported_rows,
        reported_batches: counters.reported_batches,
        counts: Some(encode_counts(&counters.rows)),
        evicted: counters.evicted,
        removed: counters.removed,
        expired: counters.expired,
        distinct_by_witness: stats.store.distinct_by_witness,
        mined_batches: counters.mined_batches,
        served_hard: counters.served_hard,
        served_background: counters.served_background,
        shortfalls: counters.shortfalls,
        proposals: counters.proposals,
        rejected_batches: counters.rejected_batches,
        duplicate_batches: counters.duplicate_batches,
        memory_bytes: stats.store.memory_bytes,
        run: stats.run.as_ref().map(encode_run),
        background_generations: stats.store.generations,
        clamped: counters.clamped,
        floored: counters.floored,
        leased: stats.store.leased,
        worn: stats.store.worn,
        filtered: Some(encode_filtered(&stats.filtered)),
        rounds: counters.rounds,
        round_replays: counters.round_replays,
        control_batches: counters.control_batches,
        flow: stats.flow_balance.map(|balance| pb::FlowStats {
            balance,
            report_waits: counters.flow_report_waits,
            report_timeouts: counters.flow_report_timeouts,
            mine_waits: counters.flow_mine_waits,
            mine_timeouts: counters.flow_mine_timeouts,
        }),
        quarantined: stats.store.quarantine.set_aside,
        quarantine_overflows: stats.store.quarantine.overflows,
        blocked: stats.store.quarantine.blocked,
        trusted: stats.store.quarantine.trusted,
        set_aside: counters.quarantine_set_aside,
        released: counters.quarantine_released,
        half_life_in_score: stats.half_life_in_score,
        ..Default::default()
    };
    match &stats.anchored {
        None => figures,
        Some(anchored) => anchored::encode_figures(anchored, counters, figures),
    }
}

/// The current run of a pool.
pub(crate) fn encode_run(run: &RunState) -> pb::Run {
    pb::Run {
        run_id: run.run_id.as_ref().to_owned(),
        first_step: run.first_step,
        step: run.step,
        tick: run.tick,
    }
}

/// The sizes of a pool's sources.
pub(super) fn encode_sizes(sizes: &PoolSizes) -> pb::PoolSizes {
    pb::PoolSizes {
        hard: sizes.hard,
        background: sizes.background,
        distinct: sizes.distinct,
        background_probability: sizes.background_probability,
        closed_loop_ratio: sizes.closed_loop_ratio,
        floor_log2: sizes.floor_log2,
    }
}

/// How many candidates each filter turned away.
pub(super) fn encode_filtered(counts: &FilterCounts) -> pb::FilterCounts {
    pb::FilterCounts {
        excluded: counts.excluded,
        anchor_itself: counts.anchor_itself,
        known_positives: counts.known_positives,
        vetoed: counts.vetoed,
        same_label: counts.same_label,
        leased: counts.leased,
        max_serves: counts.max_serves,
        model_version: counts.model_version,
        age: counts.age,
        score: counts.score,
        positive_aware: counts.positive_aware,
        rank: counts.rank,
        unscored: counts.unscored,
        stratum: counts.stratum,
        group: counts.group,
        unscored_passed: counts.unscored_passed,
    }
}
