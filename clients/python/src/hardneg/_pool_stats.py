"""Statistics of a pool, one dataclass for each message of the contract."""

from __future__ import annotations

from dataclasses import dataclass

from ._acks import ReportCounts
from ._messages import dataclass_of, optional_of
from ._proto import pool_pb2
from ._runs import Run


@dataclass(frozen=True)
class FilterCounts:
    """How many candidates each filter rejected, in the order in which filters apply; a candidate counts once.

    Attributes:
        excluded: By `exclude_ids`.
        anchor_itself: Because they are the anchor itself, in a pool with ``Anchored(anchors_are_samples=True)``.
        known_positives: Because they are known positives of the anchor.
        vetoed: Because they were vetoed for the anchor.
        same_label: Because they have the label of the anchor.
        leased: Because they are under a lease.
        max_serves: Because they were served `max_serves` times.
        model_version: By the window of model versions.
        age: By the window of ages.
        score: By the window of scores.
        positive_aware: By positive-aware margins, `hard_margin`, and the window of SEMI_HARD.
        rank: By rank and quantile windows.
        unscored: Places that the background would have filled, but for filters that cannot judge samples without a
            score for the anchor. ``shortfall="fill_unscored"`` fills them.
        stratum: Because their stratum was full.
        group: Because their group was full.
        unscored_passed: Background negatives without a score for the anchor that ``shortfall="fill_unscored"`` let
            pass the filters. No filter turned these away.
    """

    excluded: int = 0
    anchor_itself: int = 0
    known_positives: int = 0
    vetoed: int = 0
    same_label: int = 0
    leased: int = 0
    max_serves: int = 0
    model_version: int = 0
    age: int = 0
    score: int = 0
    positive_aware: int = 0
    rank: int = 0
    unscored: int = 0
    stratum: int = 0
    group: int = 0
    unscored_passed: int = 0

    @classmethod
    def from_proto(cls, message: pool_pb2.FilterCounts) -> FilterCounts:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class FlowStats:
    """The samples-per-insert limit of a pool in numbers.

    Attributes:
        balance: reported * mined_per_reported - mined, in samples, now.
        report_waits: Reports that waited for miners.
        report_timeouts: Reports that were refused at the end of their wait.
        mine_waits: Mining requests that waited for reports.
        mine_timeouts: Mining requests that got a partial batch at the end of their wait.
    """

    balance: float = 0.0
    report_waits: int = 0
    report_timeouts: int = 0
    mine_waits: int = 0
    mine_timeouts: int = 0

    @classmethod
    def from_proto(cls, message: pool_pb2.FlowStats) -> FlowStats:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class StratumShare:
    """The share of one stratum in the distinct samples reported, and in the samples served."""

    stratum: int
    reported: float
    served: float


@dataclass(frozen=True)
class BiasFigures:
    """The bias of mining, over the batches mined lately.

    Attributes:
        strata: The 64 strata with the largest shares of what is reported.
        strata_total_variation: Total variation between the served and the reported distribution over strata, half
            the sum of |difference|, 0 to 1.
        strata_kl: KL(served || reported) over strata, in nats.
        serves_gini: Gini coefficient of the serves of the hard store's samples, 0 (all alike) to 1 (one has all).
        effective_sample_share: Effective sample size over batch size, the mean over batches with weights.
        lift: (mean score served - mean of the background) / standard deviation of the background.
        served_age_quantiles: Quantiles 0.5, 0.9 and 0.99 of the ages served, in seconds or steps.
        served_score_quantiles: Quantiles 0.01, 0.1, 0.5, 0.9 and 0.99 of the scores served.
        background_score_quantiles: The same quantiles of the scores in the background.
    """

    strata: tuple[StratumShare, ...] = ()
    strata_total_variation: float = 0.0
    strata_kl: float = 0.0
    serves_gini: float = 0.0
    effective_sample_share: float = 0.0
    lift: float = 0.0
    served_age_quantiles: tuple[float, ...] = ()
    served_score_quantiles: tuple[float, ...] = ()
    background_score_quantiles: tuple[float, ...] = ()

    @classmethod
    def from_proto(cls, message: pool_pb2.BiasFigures) -> BiasFigures:
        strata = tuple(dataclass_of(StratumShare, share) for share in message.strata)
        return dataclass_of(cls, message, strata=strata)


@dataclass(frozen=True)
class AnchoredStats:
    """What an anchored pool holds, over all anchors.

    Attributes:
        anchors: Number of anchors.
        negatives: Negatives stored of all anchors.
        positives: Known positives of all anchors.
        vetoes: Vetoed negatives of all anchors.
        anchors_refused: Rows dropped because the pool had `max_anchors` anchors.
        pairs_refused: Known positives and vetoes that were refused because a limit was reached.
    """

    anchors: int = 0
    negatives: int = 0
    positives: int = 0
    vetoes: int = 0
    anchors_refused: int = 0
    pairs_refused: int = 0

    @classmethod
    def from_proto(cls, message: pool_pb2.AnchoredStats) -> AnchoredStats:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class PoolSizes:
    """Sizes of a pool at one moment.

    Attributes:
        hard: Samples in the hard store.
        background: Samples in the serving background.
        distinct: Distinct ids reported, an estimate once they outnumber the background.
        background_probability: Inclusion probability of the background; 1 while it holds every id.
        closed_loop_ratio: The number of ids that hard store and background together represent, over `distinct`. It is
            1, but for chance, where membership of the hard store does not depend on the background.
        floor_log2: Lowest priority in the hard store, log2; None while there is room.
    """

    hard: int
    background: int
    distinct: float
    background_probability: float
    closed_loop_ratio: float
    floor_log2: float | None

    @classmethod
    def from_proto(cls, message: pool_pb2.PoolSizes) -> PoolSizes:
        return dataclass_of(cls, message)


@dataclass(frozen=True)
class PoolStats:
    """The statistics of a pool. Counters start when it is created. `PoolStats` in `pool.proto` describes every field.

    `clamped` and `floored` count scores that weigh the same as others: beyond 2^±4,096, and below 0 with POWER.
    `leased`, `worn`, `quarantined`, `blocked` and `trusted` are samples at present; `set_aside` and `released` are
    totals. `rounds` counts rounds mined, `round_replays` requests answered from an earlier one. `anchored` is None for
    a flat pool, `run` for one that does not age by steps or has had no report. `distinct_by_witness` estimates the
    number of ids from a sample that is never served: with a `sample_ttl`, the background is not renewed while it is
    below 9/10 of `sizes.distinct`. `half_life_in_score` is what one half-life takes from a score with hardness
    ``"exponential"``: temperature * ln 2; None with the others, and where scores do not age.
    """

    name: str
    uid: int
    sizes: PoolSizes
    counts: ReportCounts
    reported_rows: int
    reported_batches: int
    rejected_batches: int
    duplicate_batches: int
    evicted: int
    removed: int
    expired: int
    mined_batches: int
    served_hard: int
    served_background: int
    shortfalls: int
    proposals: int
    memory_bytes: int
    run: Run | None
    background_generations: int
    distinct_by_witness: int
    clamped: int
    floored: int
    leased: int
    worn: int
    quarantined: int
    quarantine_overflows: int
    blocked: int
    trusted: int
    set_aside: int
    released: int
    rounds: int
    round_replays: int
    control_batches: int
    filtered: FilterCounts
    flow: FlowStats
    bias: BiasFigures
    anchored: AnchoredStats | None
    half_life_in_score: float | None

    @classmethod
    def from_proto(cls, message: pool_pb2.PoolStats) -> PoolStats:
        return dataclass_of(
            cls,
            message,
            name=message.name.removeprefix("pools/"),
            sizes=PoolSizes.from_proto(message.sizes),
            counts=ReportCounts.from_proto(message.counts),
            run=optional_of(Run.from_proto, message, "run"),
            filtered=FilterCounts.from_proto(message.filtered),
            flow=FlowStats.from_proto(message.flow),
            bias=BiasFigures.from_proto(message.bias),
            anchored=optional_of(AnchoredStats.from_proto, message, "anchored"),
        )
