"""Writes dashboards/hardneg.json. Made with Grafana's own types, so that no field has a wrong name or kind.

    pip install 'grafana-foundation-sdk==1769699630!11.2.0' && python deploy/grafana/generate.py

The types of Grafana 11.2, which deploy/compose.yaml runs. make deploy-test checks that the file is what this writes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import heatmap as h
from grafana_foundation_sdk.models import prometheus as p

TARGET = Path(__file__).parent / "dashboards" / "hardneg.json"
SOURCE = d.DataSourceRef(type_val="prometheus", uid="${datasource}")

# Selectors: of the server, and of its pools.
SERVER = '{instance=~"$instance"}'
POOL = '{instance=~"$instance", pool=~"$pool"}'


def rate(metric: str, labels: str = POOL) -> str:
    """Per second, over a window that Grafana fits to the zoom."""
    return f"rate({metric}{labels}[$__rate_interval])"


def quantile(q: float, metric: str, by: str, labels: str = POOL) -> str:
    """A quantile of a histogram, by labels."""
    return f"histogram_quantile({q}, sum by (le, {by}) ({rate(metric + '_bucket', labels)}))"


def by_pool(metric: str) -> str:
    """The rate of a pool's counter."""
    return f"sum by (pool) ({rate(metric)})"


# Parts of selectors that are not whole label sets.
UNARY = '{instance=~"$instance", method=~"hardneg.+", method!~".+/(Stream|Watch).+"}'

Query = tuple[str, str]


def queries(pairs: Iterable[Query]) -> list[prometheus.Dataquery]:
    """Expressions with their legends, A, B, C, ..."""
    return [
        prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + i)).datasource(SOURCE).range()
        for i, (expr, legend) in enumerate(pairs)
    ]


def thresholds(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Colours from a value on; the first has none."""
    return (
        dashboard.ThresholdsConfig()
        .mode(d.ThresholdsMode.ABSOLUTE)
        .steps([d.Threshold(value=value, color=color) for value, color in steps])
    )


def lines(
    title: str,
    description: str,
    unit: str,
    *pairs: Query,
    width: int = 8,
    stacked: bool = False,
    share: bool = False,
    log: bool = False,
) -> timeseries.Panel:
    """Lines over time. `stacked` areas add up; a `share` runs from 0 to 1."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .targets(queries(pairs))
        .span(width)
        .height(8)
        .fill_opacity(40 if stacked else 8)
        .line_width(1)
        .show_points(c.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(c.LegendDisplayMode.LIST)
            .placement(c.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    if share:
        panel.min(0).max(1)
    elif unit != "none":
        panel.axis_soft_min(0)
    if log:
        panel.scale_distribution(common.ScaleDistributionConfig().type(c.ScaleDistribution.LOG).log(10))
    return panel


def figure(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *steps: tuple[float | None, str],
    legend: str = "",
    width: int = 3,
) -> stat.Panel:
    """One figure now, with its past behind it."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .targets(queries([(expr, legend)]))
        .span(width)
        .height(4)
        .thresholds(thresholds(*(steps or ((None, "text"),))))
        .color_mode(c.BigValueColorMode.VALUE)
        .graph_mode(c.BigValueGraphMode.AREA)
        .text_mode(c.BigValueTextMode.NAME if legend else c.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def heat(title: str, description: str, metric: str, width: int) -> heatmap.Panel:
    """A histogram over time."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .targets(
            [
                q.format(p.PromQueryFormat.HEATMAP)
                for q in queries([(f"sum by (le) ({rate(metric + '_bucket')})", "{{le}}")])
            ]
        )
        .span(width)
        .height(8)
        .y_axis(heatmap.YAxisConfig().unit("s"))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(h.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(h.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
    )


GREEN, ORANGE, RED = "green", "orange", "red"

OVERVIEW = [
    figure(
        "Ready",
        "Servers that are ready. Healthy: all of them, green.",
        "percentunit",
        f"avg(hardneg_ready{SERVER})",
        (None, RED),
        (1, GREEN),
    ),
    figure(
        "Alerts",
        "Alerts of rules.yml that are firing. Healthy: 0; Prometheus' own page lists them.",
        "none",
        'count(ALERTS{alertname=~"Hardneg.+", alertstate="firing"}) or vector(0)',
        (None, GREEN),
        (1, RED),
    ),
    figure(
        "Up for",
        "Time since the last start, which emptied the pools. Healthy: longer than the training run.",
        "s",
        f"min(time() - process_start_time_seconds{SERVER})",
        (None, ORANGE),
        (600, GREEN),
    ),
    figure(
        "Scores per second",
        "Rows of applied batches. Healthy: steady, at the rate at which your workers compute scores.",
        "cps",
        f"sum({rate('hardneg_pool_reported_rows_total')})",
    ),
    figure(
        "Batches per second",
        "Mined batches. Healthy: steady, at the rate at which your trainers use them.",
        "cps",
        f"sum({rate('hardneg_pool_mined_batches_total')})",
    ),
    figure(
        "Mining p99",
        "99th percentile of the time to mine a batch. Healthy: below 10 ms; above 100 ms an alert fires.",
        "s",
        f"histogram_quantile(0.99, sum by (le) ({rate('hardneg_pool_mine_duration_seconds_bucket')}))",
        (None, GREEN),
        (0.01, ORANGE),
        (0.1, RED),
    ),
    figure(
        "Memory",
        "Resident memory. Healthy: below 90 % of what the process may use (hardneg:memory_limit_bytes).",
        "bytes",
        f"sum(process_resident_memory_bytes{SERVER})",
    ),
    figure(
        "Version",
        "Versions of the running servers. Healthy: only the one that you deployed.",
        "none",
        f"count by (version) (hardneg_build_info{SERVER})",
        legend="{{version}}",
    ),
]

INGEST = [
    lines(
        "Scores by pool",
        "Rows of applied batches per second. Healthy: steady; it drops when a worker stops.",
        "cps",
        (by_pool("hardneg_pool_reported_rows_total"), "{{pool}}"),
    ),
    lines(
        "Rows by outcome",
        "Healthy: 'updated' where the pool holds the data set, 'dropped' where most samples are too easy for it.",
        "cps",
        (f"sum by (outcome) ({rate('hardneg_pool_rows_total')})", "{{outcome}}"),
        stacked=True,
    ),
    lines(
        "Rows with problems",
        "Shares of scores: non-finite, out of range, stale, clamped, floored. Healthy: 0, or few stale ones.",
        "percentunit",
        (
            'sum by (outcome) (rate(hardneg_pool_rows_total{instance=~"$instance", pool=~"$pool", '
            'outcome=~"non_finite|out_of_range|stale"}[$__rate_interval])) / ignoring (outcome) group_left '
            f"sum({rate('hardneg_pool_rows_total')})",
            "{{outcome}}",
        ),
        (
            f"sum({rate('hardneg_pool_clamped_scores_total')}) / sum({rate('hardneg_pool_rows_total')})",
            "clamped",
        ),
        (
            f"sum({rate('hardneg_pool_floored_scores_total')}) / sum({rate('hardneg_pool_rows_total')})",
            "below the floor",
        ),
    ),
    lines(
        "Batches of scores",
        "Applied, refused and resent batches. Healthy: none refused; resends only after a lost connection.",
        "cps",
        (f"sum({rate('hardneg_pool_reported_batches_total')})", "applied"),
        (f"sum({rate('hardneg_pool_rejected_batches_total')})", "refused"),
        (f"sum({rate('hardneg_pool_duplicate_batches_total')})", "resent"),
    ),
    lines(
        "Rows per batch",
        "Mean size of a batch of scores. Healthy: thousands; small batches cost more CPU time per score.",
        "short",
        (
            f"{by_pool('hardneg_pool_reported_rows_total')} / {by_pool('hardneg_pool_reported_batches_total')}",
            "{{pool}}",
        ),
    ),
    lines(
        "Time to apply a batch of scores",
        "From a batch's arrival at the pool to its ack. Healthy: steady, a few milliseconds for thousands of rows.",
        "s",
        (quantile(0.5, "hardneg_pool_report_duration_seconds", "pool"), "p50 {{pool}}"),
        (quantile(0.99, "hardneg_pool_report_duration_seconds", "pool"), "p99 {{pool}}"),
    ),
]

MINING = [
    lines(
        "Batches by pool",
        "Mined batches per second. Healthy: steady, at the rate at which the trainers use them.",
        "cps",
        (by_pool("hardneg_pool_mined_batches_total"), "{{pool}}"),
    ),
    lines(
        "Mining time",
        "Time to mine a batch, without waits. Healthy: p99 below 10 ms; it rises when reports use all cores.",
        "s",
        (quantile(0.5, "hardneg_pool_mine_duration_seconds", "pool"), "p50 {{pool}}"),
        (quantile(0.95, "hardneg_pool_mine_duration_seconds", "pool"), "p95 {{pool}}"),
        (quantile(0.99, "hardneg_pool_mine_duration_seconds", "pool"), "p99 {{pool}}"),
    ),
    heat(
        "Distribution of mining times",
        "Number of batches by mining time. Healthy: one narrow band; a second band is another kind of request.",
        "hardneg_pool_mine_duration_seconds",
        8,
    ),
    lines(
        "Short batches",
        "Share of batches smaller than requested. Healthy: 0 once the pool has filled.",
        "percentunit",
        (
            f"{by_pool('hardneg_pool_short_batches_total')} / {by_pool('hardneg_pool_mined_batches_total')}",
            "{{pool}}",
        ),
    ),
    lines(
        "Proposals per served sample",
        "The cost of a draw. Healthy: a few; tens mean that windows or exclusions admit few samples.",
        "short",
        (
            f"{by_pool('hardneg_pool_proposals_total')} / {by_pool('hardneg_pool_served_samples_total')}",
            "{{pool}}",
        ),
    ),
    lines(
        "Mining calls in progress and waiting",
        "Mining calls in progress, and those that wait for a pool to fill. Healthy: far below the limits under Server.",
        "short",
        (f"sum(hardneg_inflight_mines{SERVER})", "at work"),
        (f"sum(hardneg_waiting_mines{SERVER})", "waiting for a pool to fill"),
    ),
]

MIXTURE = [
    lines(
        "Share served from the background",
        "Healthy: near the random_fraction that you mine with (0.25 by default); 1 means that nothing hard was found.",
        "percentunit",
        (
            'sum by (pool) (rate(hardneg_pool_served_samples_total{instance=~"$instance", pool=~"$pool", '
            'source="background"}[$__rate_interval])) / ' + by_pool("hardneg_pool_served_samples_total"),
            "{{pool}}",
        ),
        share=True,
    ),
    lines(
        "Samples served by source",
        "Hard and background samples per second. Healthy: both, in the proportion that you requested.",
        "cps",
        (f"sum by (source) ({rate('hardneg_pool_served_samples_total')})", "{{source}}"),
        stacked=True,
    ),
    lines(
        "Served samples per reported row",
        "How often scores are used. Healthy: below 1; above it samples are served again before they are scored again.",
        "short",
        (
            f"{by_pool('hardneg_pool_served_samples_total')} / ({by_pool('hardneg_pool_reported_rows_total')} > 0)",
            "{{pool}}",
        ),
    ),
]

POLICIES = [
    lines(
        "Rejected candidates",
        "Per served sample, by the first filter that rejected them. Healthy: few; tens slow mining down.",
        "short",
        (
            f"sum by (filter) ({rate('hardneg_pool_filtered_candidates_total')}) / ignoring (filter) group_left "
            f"sum({rate('hardneg_pool_served_samples_total')})",
            "{{filter}}",
        ),
    ),
    lines(
        "Resting",
        "Share of the hard samples that are leased. Healthy: well below 1; otherwise few samples are left to mine.",
        "percentunit",
        (f"hardneg_pool_leased_samples{POOL} / (hardneg_pool_hard_samples{POOL} > 0)", "{{pool}}"),
        share=True,
    ),
    lines(
        "Quarantine",
        "Samples set aside as possibly mislabelled. Healthy: few, and somebody reviews them.",
        "short",
        (f"hardneg_pool_quarantined_samples{POOL}", "{{pool}}"),
        (f"hardneg_pool_blocked_samples{POOL} > 0", "blocked in {{pool}}"),
        (by_pool("hardneg_pool_quarantine_overflows_total") + " > 0", "no room in {{pool}}, a second"),
    ),
    lines(
        "Responses per round",
        "For rounds of data-parallel ranks. Healthy: the number of ranks; more are retries.",
        "short",
        (
            f"1 + {by_pool('hardneg_pool_round_replays_total')} / ({by_pool('hardneg_pool_rounds_total')} > 0)",
            "{{pool}}",
        ),
    ),
    lines(
        "Flow",
        "Reported x ratio - mined. Healthy: within the error buffer; at its bounds reports or mining requests wait.",
        "short",
        (f"hardneg_pool_flow_balance_samples{POOL}", "{{pool}}"),
    ),
    lines(
        "Waits for the rate limiter",
        "Calls that waited for the rate limiter, and timeouts. Healthy: waits on the faster side, no timeouts.",
        "cps",
        (f"sum by (pool, side) ({rate('hardneg_pool_flow_waits_total')})", "{{side}} {{pool}}"),
        (f"sum by (pool, side) ({rate('hardneg_pool_flow_timeouts_total')}) > 0", "timed out: {{side}} {{pool}}"),
    ),
]

POOLS = [
    lines(
        "Filled",
        "Hard samples over capacity. Healthy: 1 soon after the start.",
        "percentunit",
        (f"hardneg_pool_hard_samples{POOL} / hardneg_pool_capacity_samples{POOL}", "{{pool}}"),
        share=True,
    ),
    lines(
        "Floor",
        "log2 of the lowest weight in a full pool. Healthy: falls or settles as the model learns; rising, losses grow.",
        "none",
        (f"hardneg_pool_floor_log2{POOL}", "{{pool}}"),
    ),
    lines(
        "Evictions and removals",
        "Samples evicted by harder ones, removed, or expired. Healthy: falling as losses settle.",
        "cps",
        (by_pool("hardneg_pool_evicted_samples_total"), "evicted {{pool}}"),
        (by_pool("hardneg_pool_removed_samples_total"), "removed {{pool}}"),
        (by_pool("hardneg_pool_expired_samples_total"), "expired {{pool}}"),
    ),
    lines(
        "Time until the pool is replaced",
        "Capacity divided by evictions. Healthy: longer than an epoch; below five minutes enlarge the capacity.",
        "s",
        (
            f"hardneg_pool_capacity_samples{POOL} / (rate(hardneg_pool_evicted_samples_total{POOL}[15m]) > 0)",
            "{{pool}}",
        ),
        log=True,
    ),
    lines(
        "Distinct ids",
        "Estimated number of distinct ids reported. Healthy: grows to the size of the data set, then constant.",
        "short",
        (f"hardneg_pool_distinct_samples{POOL}", "{{pool}}"),
    ),
    lines(
        "Background",
        "Samples in the background. Healthy: background_size, or the number of ids while there are fewer.",
        "short",
        (f"hardneg_pool_background_samples{POOL}", "{{pool}}"),
    ),
    lines(
        "Background generations per hour",
        "Renewals of the background. Healthy: some, as long as all samples are reported repeatedly.",
        "short",
        (f"sum by (pool) (increase(hardneg_pool_background_generations_total{POOL}[1h]))", "{{pool}}"),
    ),
    lines(
        "Memory by pool",
        "Bytes of each store, with free space. Healthy: constant once full, about 40 bytes per sample at a million.",
        "bytes",
        (f"hardneg_pool_memory_bytes{POOL}", "{{pool}}"),
        stacked=True,
    ),
    lines(
        "Pools",
        "Healthy: one for each run and purpose; ever more are runs that do not delete theirs.",
        "short",
        (f"sum(hardneg_pools{SERVER})", "pools"),
    ),
]

WORKERS = [
    lines(
        "Workers",
        "Workers that reported in the last minute. Healthy: as many as you started.",
        "short",
        (f"hardneg_pool_workers{POOL}", "{{pool}}"),
    ),
    lines(
        "Longest silence",
        "Of workers that reported in the last five minutes. Healthy: the time of a step; a stopped one rises to 300 s.",
        "s",
        (f"hardneg_pool_worker_lag_seconds{POOL}", "{{pool}}"),
    ),
    lines(
        "Steps per second",
        "Steps of pools that age by steps. Healthy: your training's steps per second; at 0 scores do not age.",
        "short",
        (f"deriv(hardneg_pool_tick{POOL}[5m])", "{{pool}}"),
    ),
]

SERVERS = [
    lines(
        "Calls by method",
        "Finished calls per second; a stream is one call. Healthy: MineBatch or long streams, and health checks.",
        "reqps",
        (f"sum by (method) ({rate('hardneg_grpc_requests_total', SERVER)})", "{{method}}"),
    ),
    lines(
        "Calls that did not end with OK",
        "By code. Healthy: CANCELLED when runs end, NOT_FOUND before a pool is created, few others.",
        "reqps",
        (
            'sum by (code) (rate(hardneg_grpc_requests_total{instance=~"$instance", code!="OK"}[$__rate_interval]))',
            "{{code}}",
        ),
        stacked=True,
    ),
    lines(
        "Time of unary calls, p99",
        "From a call's headers to its last byte, including waits. Healthy: milliseconds, unless you mine with a wait.",
        "s",
        (quantile(0.99, "hardneg_grpc_request_duration_seconds", "method", UNARY), "{{method}}"),
    ),
    lines(
        "Calls in progress",
        "Including open streams. Healthy: one stream per worker, unary calls near 0.",
        "short",
        (f"sum by (method) (hardneg_grpc_inflight_requests{SERVER}) > 0", "{{method}}"),
        (f"sum(hardneg_inflight_reports{SERVER})", "reports in hand"),
    ),
    lines(
        "Limits used",
        "Used shares of the configured limits. Healthy: below 0.8; at 1 calls are refused or wait.",
        "percentunit",
        *(
            (
                f"{metric}{SERVER} / ignoring (limit) group_right "
                f'hardneg_limit{{instance=~"$instance", limit="{limit}"}}',
                "{{limit}}",
            )
            for metric, limit in (
                ("hardneg_pools", "max_pools"),
                ("hardneg_grpc_connections", "max_connections"),
                ("hardneg_inflight_mines", "max_inflight_mines"),
                ("hardneg_waiting_mines", "max_waiting_mines"),
                ("hardneg_inflight_reports", "max_inflight_reports"),
            )
        ),
        share=True,
    ),
    lines(
        "Connections",
        "Open gRPC connections. Healthy: one or two per process of the training.",
        "short",
        (f"hardneg_grpc_connections{SERVER}", "{{instance}}"),
    ),
    lines(
        "Processors",
        "Cores in use. Healthy: fewer than there are; when all are in use mining waits for a processor.",
        "short",
        (rate("process_cpu_seconds_total", SERVER), "{{instance}}"),
    ),
    lines(
        "Memory of the process",
        "Resident memory, and the memory of all pools. Healthy: close together and constant.",
        "bytes",
        (f"process_resident_memory_bytes{SERVER}", "resident {{instance}}"),
        (f"sum by (instance) (hardneg_pool_memory_bytes{SERVER})", "pools {{instance}}"),
    ),
    lines(
        "File descriptors",
        "Open file descriptors as a share of those allowed. Healthy: far below 0.8.",
        "percentunit",
        (f"process_open_fds{SERVER} / process_max_fds{SERVER}", "{{instance}}"),
        share=True,
    ),
]

ROWS = [
    ("Overview", OVERVIEW),
    ("Scores in", INGEST),
    ("Mining and its latency", MINING),
    ("Mixture", MIXTURE),
    ("Policies", POLICIES),
    ("Pool health", POOLS),
    ("Workers", WORKERS),
    ("Server", SERVERS),
]


def variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Values of a label; all of them at first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        # Also what has no such label value yet.
        .all_value(".*")
        .current(d.VariableOption(text="All", value="$__all"))
    )


def build() -> d.Dashboard:
    """The dashboard."""
    board = (
        dashboard.Dashboard("hardneg")
        .uid("hardneg")
        .description("Hard negatives for distributed trainers. Each panel says what a healthy state looks like.")
        .tags(["hardneg"])
        .readonly()
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(variable("instance", "Server", "label_values(hardneg_build_info, instance)"))
        .with_variable(
            variable("pool", "Pool", f"label_values(hardneg_pool_capacity_samples{SERVER}, pool)"),
        )
        .annotation(
            dashboard.AnnotationQuery()
            .name("Restarts")
            .datasource(SOURCE)
            .enable(True)
            .icon_color("red")
            .expr(f"time() - process_start_time_seconds{SERVER} < 60")
        )
    )
    number = 0
    for title, panels in ROWS:
        number += 1
        board.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            board.with_panel(panel.id(number))
    return board.build()


def render() -> str:
    """The text of the file."""
    return json.dumps(build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render())
    print(f"{TARGET}: {sum(len(panels) for _, panels in ROWS)} panels", file=sys.stderr)
