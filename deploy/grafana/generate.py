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
        "Servers that take requests. Healthy: all of them, green.",
        "percentunit",
        f"avg(hardneg_ready{SERVER})",
        (None, RED),
        (1, GREEN),
    ),
    figure(
        "Alerts",
        "Alerts of rules.yml that fire now. Healthy: 0; the list is on Prometheus' page.",
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
        "Scores a second",
        "Rows of accepted batches. Healthy: steady at what your workers compute.",
        "cps",
        f"sum({rate('hardneg_pool_reported_rows_total')})",
    ),
    figure(
        "Batches a second",
        "Mined batches. Healthy: steady at what your trainers consume.",
        "cps",
        f"sum({rate('hardneg_pool_mined_batches_total')})",
    ),
    figure(
        "Mining p99",
        "99 of 100 batches are faster. Healthy: below 10 ms; over 100 ms is an alert.",
        "s",
        f"histogram_quantile(0.99, sum by (le) ({rate('hardneg_pool_mine_duration_seconds_bucket')}))",
        (None, GREEN),
        (0.01, ORANGE),
        (0.1, RED),
    ),
    figure(
        "Memory",
        "Resident memory. Healthy: below nine tenths of what the process may use (hardneg:memory_limit_bytes).",
        "bytes",
        f"sum(process_resident_memory_bytes{SERVER})",
    ),
    figure(
        "Version",
        "Versions that run. Healthy: one, the one you deployed.",
        "none",
        f"count by (version) (hardneg_build_info{SERVER})",
        legend="{{version}}",
    ),
]

INGEST = [
    lines(
        "Scores by pool",
        "Rows of accepted batches a second. Healthy: steady; a step down is a worker that left.",
        "cps",
        (by_pool("hardneg_pool_reported_rows_total"), "{{pool}}"),
    ),
    lines(
        "What became of the rows",
        "Healthy: 'updated' in a pool that knows its data, 'dropped' where most samples are too easy for a full one.",
        "cps",
        (f"sum by (outcome) ({rate('hardneg_pool_rows_total')})", "{{outcome}}"),
        stacked=True,
    ),
    lines(
        "Rows that do not count",
        "Shares of scores: non-finite, out of range, stale, clamped, floored. Healthy: 0, few stale if workers race.",
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
        "Accepted, refused and resent batches. Healthy: none refused, resends only around a lost connection.",
        "cps",
        (f"sum({rate('hardneg_pool_reported_batches_total')})", "accepted"),
        (f"sum({rate('hardneg_pool_rejected_batches_total')})", "refused"),
        (f"sum({rate('hardneg_pool_duplicate_batches_total')})", "resent"),
    ),
    lines(
        "Rows a batch",
        "Mean size of a batch of scores. Healthy: thousands; small batches cost more processor a score.",
        "short",
        (
            f"{by_pool('hardneg_pool_reported_rows_total')} / {by_pool('hardneg_pool_reported_batches_total')}",
            "{{pool}}",
        ),
    ),
    lines(
        "Time to apply a batch of scores",
        "From a batch's arrival at the pool to its ack. Healthy: flat, some milliseconds for thousands of rows.",
        "s",
        (quantile(0.5, "hardneg_pool_report_duration_seconds", "pool"), "p50 {{pool}}"),
        (quantile(0.99, "hardneg_pool_report_duration_seconds", "pool"), "p99 {{pool}}"),
    ),
]

MINING = [
    lines(
        "Batches by pool",
        "Mined batches a second. Healthy: steady at what the trainers consume.",
        "cps",
        (by_pool("hardneg_pool_mined_batches_total"), "{{pool}}"),
    ),
    lines(
        "Mining time",
        "From the end of a wait to the mined batch. Healthy: p99 below 10 ms; it rises when scores take all cores.",
        "s",
        (quantile(0.5, "hardneg_pool_mine_duration_seconds", "pool"), "p50 {{pool}}"),
        (quantile(0.95, "hardneg_pool_mine_duration_seconds", "pool"), "p95 {{pool}}"),
        (quantile(0.99, "hardneg_pool_mine_duration_seconds", "pool"), "p99 {{pool}}"),
    ),
    heat(
        "Mining time, all of it",
        "How many batches took how long. Healthy: one narrow band; a second one is another kind of request.",
        "hardneg_pool_mine_duration_seconds",
        8,
    ),
    lines(
        "Short batches",
        "Share of batches smaller than asked for. Healthy: 0 once the pool has filled.",
        "percentunit",
        (
            f"{by_pool('hardneg_pool_short_batches_total')} / {by_pool('hardneg_pool_mined_batches_total')}",
            "{{pool}}",
        ),
    ),
    lines(
        "Proposals a served sample",
        "What a draw costs the sampler. Healthy: a few; tens mean windows or exclusions that leave few samples.",
        "short",
        (
            f"{by_pool('hardneg_pool_proposals_total')} / {by_pool('hardneg_pool_served_samples_total')}",
            "{{pool}}",
        ),
    ),
    lines(
        "Waiting for places",
        "Mining calls at work, and those that wait for a pool to fill. Healthy: far below the limits under Server.",
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
        "Hard and uniform samples a second. Healthy: both there, in the proportion that you asked for.",
        "cps",
        (f"sum by (source) ({rate('hardneg_pool_served_samples_total')})", "{{source}}"),
        stacked=True,
    ),
    lines(
        "Served for each reported row",
        "How often scores are used. Healthy: below 1; above it samples come again before they are scored.",
        "short",
        (
            f"{by_pool('hardneg_pool_served_samples_total')} / ({by_pool('hardneg_pool_reported_rows_total')} > 0)",
            "{{pool}}",
        ),
    ),
]

POLICIES = [
    lines(
        "Candidates turned away",
        "By the first filter that did, for each served sample. Healthy: what your policy asks for; tens are waste.",
        "short",
        (
            f"sum by (filter) ({rate('hardneg_pool_filtered_candidates_total')}) / ignoring (filter) group_left "
            f"sum({rate('hardneg_pool_served_samples_total')})",
            "{{filter}}",
        ),
    ),
    lines(
        "Resting",
        "Share of the hard samples that rest under a lease. Healthy: well below 1, or there is little left to mine.",
        "percentunit",
        (f"hardneg_pool_leased_samples{POOL} / (hardneg_pool_hard_samples{POOL} > 0)", "{{pool}}"),
        share=True,
    ),
    lines(
        "Quarantine",
        "Samples set aside as wrongly labelled. Healthy: few, and somebody looks at them.",
        "short",
        (f"hardneg_pool_quarantined_samples{POOL}", "{{pool}}"),
        (f"hardneg_pool_blocked_samples{POOL} > 0", "blocked in {{pool}}"),
        (by_pool("hardneg_pool_quarantine_overflows_total") + " > 0", "no room in {{pool}}, a second"),
    ),
    lines(
        "Answers a round",
        "Of rounds for ranks in step. Healthy: the number of ranks; more are retries.",
        "short",
        (
            f"1 + {by_pool('hardneg_pool_round_replays_total')} / ({by_pool('hardneg_pool_rounds_total')} > 0)",
            "{{pool}}",
        ),
    ),
    lines(
        "Flow",
        "Reported x ratio less mined. Healthy: moves within the error buffer; at its edge one side waits.",
        "short",
        (f"hardneg_pool_flow_balance_samples{POOL}", "{{pool}}"),
    ),
    lines(
        "Waits for the flow",
        "Calls that waited for the other side, and those in vain. Healthy: waits on the faster side, none in vain.",
        "cps",
        (f"sum by (pool, side) ({rate('hardneg_pool_flow_waits_total')})", "{{side}} {{pool}}"),
        (f"sum by (pool, side) ({rate('hardneg_pool_flow_timeouts_total')}) > 0", "in vain: {{side}} {{pool}}"),
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
        "Pushed out by harder ones, removed, or not reported for sample_ttl. Healthy: falling as losses settle.",
        "cps",
        (by_pool("hardneg_pool_evicted_samples_total"), "evicted {{pool}}"),
        (by_pool("hardneg_pool_removed_samples_total"), "removed {{pool}}"),
        (by_pool("hardneg_pool_expired_samples_total"), "expired {{pool}}"),
    ),
    lines(
        "Time until the pool is replaced",
        "Capacity over evictions. Healthy: longer than an epoch; below five minutes a larger capacity pays.",
        "s",
        (
            f"hardneg_pool_capacity_samples{POOL} / (rate(hardneg_pool_evicted_samples_total{POOL}[15m]) > 0)",
            "{{pool}}",
        ),
        log=True,
    ),
    lines(
        "Distinct ids",
        "Ids ever reported, estimated. Healthy: grows to the size of the data set, then flat.",
        "short",
        (f"hardneg_pool_distinct_samples{POOL}", "{{pool}}"),
    ),
    lines(
        "Background",
        "Samples of the uniform share. Healthy: at background_size, or at all ids while there are fewer.",
        "short",
        (f"hardneg_pool_background_samples{POOL}", "{{pool}}"),
    ),
    lines(
        "Background generations an hour",
        "Renewals of the uniform share. Healthy: some, while all samples are reported again and again.",
        "short",
        (f"sum by (pool) (increase(hardneg_pool_background_generations_total{POOL}[1h]))", "{{pool}}"),
    ),
    lines(
        "Memory by pool",
        "Bytes of each store, free room included. Healthy: flat once full, near 40 bytes a sample for a million.",
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
        "Of the workers heard in the last five minutes. Healthy: a step's time; a ramp to 300 s is one that stopped.",
        "s",
        (f"hardneg_pool_worker_lag_seconds{POOL}", "{{pool}}"),
    ),
    lines(
        "Steps a second",
        "How fast the clock of step pools goes. Healthy: your training's steps a second; 0 stops scores from ageing.",
        "short",
        (f"deriv(hardneg_pool_tick{POOL}[5m])", "{{pool}}"),
    ),
]

SERVERS = [
    lines(
        "Calls by method",
        "Finished calls a second; a stream is one call. Healthy: MineBatch or long streams, and health checks.",
        "reqps",
        (f"sum by (method) ({rate('hardneg_grpc_requests_total', SERVER)})", "{{method}}"),
    ),
    lines(
        "Calls that did not end with OK",
        "By code. Healthy: CANCELLED when runs end, NOT_FOUND before a pool is made, little else.",
        "reqps",
        (
            'sum by (code) (rate(hardneg_grpc_requests_total{instance=~"$instance", code!="OK"}[$__rate_interval]))',
            "{{code}}",
        ),
        stacked=True,
    ),
    lines(
        "Time of unary calls, p99",
        "From a call's headers to its last byte, waits included. Healthy: milliseconds, unless you mine with a wait.",
        "s",
        (quantile(0.99, "hardneg_grpc_request_duration_seconds", "method", UNARY), "{{method}}"),
    ),
    lines(
        "Calls at work",
        "Open streams included. Healthy: a stream for each worker, unary calls near 0.",
        "short",
        (f"sum by (method) (hardneg_grpc_inflight_requests{SERVER}) > 0", "{{method}}"),
        (f"sum(hardneg_inflight_reports{SERVER})", "reports in hand"),
    ),
    lines(
        "Limits used",
        "Shares of the configured limits. Healthy: below 0.8; at 1 calls are refused or wait.",
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
        "Open gRPC connections. Healthy: one or two for each process of the training.",
        "short",
        (f"hardneg_grpc_connections{SERVER}", "{{instance}}"),
    ),
    lines(
        "Processors",
        "Cores in use. Healthy: some to spare; at the limit mining waits for a processor.",
        "short",
        (rate("process_cpu_seconds_total", SERVER), "{{instance}}"),
    ),
    lines(
        "Memory of the process",
        "Resident memory beside what the pools hold. Healthy: close together and flat.",
        "bytes",
        (f"process_resident_memory_bytes{SERVER}", "resident {{instance}}"),
        (f"sum by (instance) (hardneg_pool_memory_bytes{SERVER})", "pools {{instance}}"),
    ),
    lines(
        "File descriptors",
        "Open ones as a share of those allowed. Healthy: far below 0.8.",
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
        .description("Hard negatives for distributed trainers. Each panel says what healthy looks like.")
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
