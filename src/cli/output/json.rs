//! The contract's messages and columns as JSON.

use serde_json::{Value, json};

use super::counters::{anchored_counters, counts, stats_counters};
use crate::client::{Ids, pb};

/// A floating-point number; JSON has no NaN.
pub(in crate::cli) fn number(value: f32) -> Value {
    if value.is_finite() {
        // Convert by the shortest decimal form, so that 0.1_f32 becomes 0.1 and not 0.10000000149.
        value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
    } else {
        Value::Null
    }
}

/// A column of floating-point numbers.
pub(in crate::cli) fn floats_json(column: &[f32]) -> Value {
    column.iter().copied().map(number).collect()
}

/// A column of ids.
pub(in crate::cli) fn ids_json(ids: &Ids) -> Value {
    match ids {
        Ids::U64(ids) => json!(ids),
        Ids::Keys(keys) => json!(keys),
    }
}

/// The counts as JSON.
pub(in crate::cli) fn counts_json(report: &pb::ReportCounts) -> Value {
    counts(report)
        .into_iter()
        .map(|(name, count)| (name.to_owned(), Value::from(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The number of candidates that each filter rejected, as JSON.
pub(in crate::cli) fn filtered_json(filtered: &pb::FilterCounts) -> Value {
    json!({
        "excluded": filtered.excluded,
        "anchor_itself": filtered.anchor_itself,
        "known_positives": filtered.known_positives,
        "vetoed": filtered.vetoed,
        "same_label": filtered.same_label,
        "leased": filtered.leased,
        "max_serves": filtered.max_serves,
        "model_version": filtered.model_version,
        "age": filtered.age,
        "score": filtered.score,
        "positive_aware": filtered.positive_aware,
        "rank": filtered.rank,
        "unscored": filtered.unscored,
        "stratum": filtered.stratum,
        "group": filtered.group,
        "unscored_passed": filtered.unscored_passed,
    })
}

/// A pool's sizes as JSON.
pub(in crate::cli) fn sizes_json(sizes: &pb::PoolSizes) -> Value {
    json!({
        "hard": sizes.hard,
        "background": sizes.background,
        "distinct": sizes.distinct,
        "background_probability": sizes.background_probability,
        "closed_loop_ratio": sizes.closed_loop_ratio,
        "floor_log2": sizes.floor_log2.map(number),
    })
}

/// A pool's current run as JSON.
pub(in crate::cli) fn run_json(run: &pb::Run) -> Value {
    json!({ "run_id": run.run_id, "first_step": run.first_step, "step": run.step, "tick": run.tick })
}

/// A pool's figures as JSON.
pub(in crate::cli) fn stats_json(stats: &pb::PoolStats) -> Value {
    let mut value = json!({
        "name": stats.name,
        "uid": stats.uid.to_string(),
        "sizes": stats.sizes.as_ref().map(sizes_json),
        "counts": counts_json(&stats.counts.unwrap_or_default()),
        "run": stats.run.as_ref().map(run_json),
        "half_life_in_score": stats.half_life_in_score,
        "filtered": stats.filtered.as_ref().map(filtered_json),
        "anchored": stats.anchored.as_ref().map(|anchored| {
            anchored_counters(anchored).into_iter().collect::<std::collections::BTreeMap<_, _>>()
        }),
    });
    for (name, count) in stats_counters(stats) {
        value[name] = count.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anchors_hold_and_what_was_refused_is_shown() {
        let anchored = pb::AnchoredStats { anchors: 3, pairs_refused: 7, ..Default::default() };
        let value = stats_json(&pb::PoolStats { anchored: Some(anchored), ..Default::default() });
        assert_eq!(
            (&value["anchored"]["anchors"], &value["anchored"]["pairs_refused"]),
            (&json!(3), &json!(7))
        );
        assert_eq!(stats_json(&pb::PoolStats::default())["anchored"], Value::Null);
    }

    #[test]
    fn floats_are_written_in_their_shortest_form() {
        assert_eq!(number(0.1), json!(0.1));
        assert_eq!(number(f32::NAN), Value::Null);
    }
}
